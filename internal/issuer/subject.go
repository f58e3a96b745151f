package issuer

import (
	"encoding/base64"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// pairwiseVersion is the version of the UUIDs that are pairwise subjects, the one that RFC
// 9562 Section 5.8 leaves to everybody's own use. Ids of users are of others, and ids of
// clients are no UUIDs.
const pairwiseVersion = 8

// Subject is the name under which a client knows a user, OpenID Connect Core Section 8:
// the id of the user, or for a client of pairwise subjects a keyed hash of sector and
// user, which cannot be led back and is the same for every client of the sector. It is
// the one place where an id becomes a subject.
func (i *Issuer) Subject(m *oauth.ClientMetadata, userID string) (string, error) {
	if !m.IsPairwise() {
		return userID, nil
	}
	k, err := i.Ring.current(PurposePairwise)
	if err != nil {
		return "", err
	}
	sum := mac(k, m.SectorIdentifier+"\x00"+userID)
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | pairwiseVersion<<4
	id[8] = id[8]&0x3f | 0x80
	return id.String(), nil
}

// SessionID is the name under which a client knows a session: its sid, or for a client of
// pairwise subjects another one, since clients of two sectors would find by the sid whom
// their subjects keep apart.
func (i *Issuer) SessionID(m *oauth.ClientMetadata, sid string) (string, error) {
	if !m.IsPairwise() || sid == "" {
		return sid, nil
	}
	k, err := i.Ring.current(PurposePairwise)
	if err != nil {
		return "", err
	}
	sum := mac(k, "sid\x00"+m.SectorIdentifier+"\x00"+sid)
	return base64.RawURLEncoding.EncodeToString(sum[:16]), nil
}

// IsPairwise reports whether a subject is one that its sector alone knows.
func IsPairwise(subject string) bool {
	id, err := uuid.Parse(subject)
	return err == nil && id.Version() == pairwiseVersion && id.String() == subject
}
