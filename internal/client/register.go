package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// NewSecret makes a client secret of 256 random bits. Its prefix lets scanners
// of source code find one that got lost.
func NewSecret() string {
	return "hcs_" + randomText(32)
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Bounds on a secret that somebody brings, in characters.
const (
	minSecret = 16
	maxSecret = 256
)

// Register makes a client. An empty id or secret is made up; the secret of a
// confidential client is returned and can never be read again.
func (g *Registry) Register(ctx context.Context, id string, metadata oauth.ClientMetadata, secret string, by store.By) (*store.Client, string, error) {
	metadata.Normalize()
	if err := errors.Join(metadata.Validate(), checkKeys(&metadata)); err != nil {
		return nil, "", err
	}
	made := id == ""
	for id == "" || made && id[0] == '-' { // which a command line would take for a flag
		id = randomText(16)
	}
	if err := checkID(id); err != nil {
		return nil, "", err
	}
	c := &store.Client{ID: id, Metadata: metadata, CreatedAt: g.Now()}
	switch {
	case !metadata.HasSecret() && secret != "":
		return nil, "", errNoSecret
	case metadata.HasSecret():
		made, plain, err := g.newSecret(secret, time.Time{})
		if err != nil {
			return nil, "", err
		}
		c.Secrets, secret = []store.ClientSecret{made}, plain
	}
	if err := g.MakeKeys(ctx, &metadata); err != nil {
		return nil, "", err
	}
	if err := g.Store.CreateClient(ctx, c, by); err != nil {
		return nil, "", err
	}
	c, err := g.Store.Client(ctx, id)
	return c, secret, err
}

var errNoSecret = oauth.Errorf(oauth.InvalidClientMetadata, "a client that is public, or proves itself by a key, has no secret")

// Update changes the metadata of a client by one edit, which is tried again
// when somebody else changed the client meanwhile.
func (g *Registry) Update(ctx context.Context, id string, edit func(m *oauth.ClientMetadata) error, by store.By) (*store.Client, error) {
	for tries := 0; ; tries++ {
		c, err := g.Store.Client(ctx, id)
		if err != nil {
			return nil, err
		}
		wasPublic := c.Metadata.IsPublic()
		if err := edit(&c.Metadata); err != nil {
			return nil, err
		}
		c.Metadata.Normalize()
		if err := errors.Join(c.Metadata.Validate(), checkKeys(&c.Metadata)); err != nil {
			return nil, err
		}
		if wasPublic != c.Metadata.IsPublic() {
			return nil, oauth.Errorf(oauth.InvalidClientMetadata, "a client cannot turn from public to confidential or back; create another one")
		}
		if err := g.MakeKeys(ctx, &c.Metadata); err != nil {
			return nil, err
		}
		if err := g.Store.UpdateClient(ctx, c, g.Now(), by); err != store.ErrConflict || tries == 5 {
			return c, err
		}
	}
}

// AddSecret gives a confidential client a second secret, so that it can move
// from one to the other; expires ends the new one, the zero time never.
func (g *Registry) AddSecret(ctx context.Context, id, secret string, expires time.Time, by store.By) (store.ClientSecret, string, error) {
	c, err := g.Store.Client(ctx, id)
	if err != nil {
		return store.ClientSecret{}, "", err
	}
	if !c.Metadata.HasSecret() {
		return store.ClientSecret{}, "", errNoSecret
	}
	made, plain, err := g.newSecret(secret, expires)
	if err != nil {
		return made, "", err
	}
	return made, plain, g.Store.AddSecret(ctx, id, made, by)
}

func (g *Registry) newSecret(secret string, expires time.Time) (store.ClientSecret, string, error) {
	if secret == "" {
		secret = NewSecret()
	}
	if n := utf8.RuneCountInString(secret); n < minSecret || n > maxSecret || !utf8.ValidString(secret) || strings.ContainsFunc(secret, unicode.IsControl) {
		return store.ClientSecret{}, "", oauth.Errorf(oauth.InvalidClientMetadata, "a client secret must have %d to %d characters, none of them a control character", minSecret, maxSecret)
	}
	hash, err := g.HashSecret(secret)
	if err != nil {
		return store.ClientSecret{}, "", err
	}
	return store.ClientSecret{ID: store.NewSecretID(), Hash: hash, CreatedAt: g.Now(), ExpiresAt: expires}, secret, nil
}

// maxClientID is how long a client id may be, in bytes.
const maxClientID = 128

// checkID keeps ids readable, and apart from subjects of users, which are UUIDs:
// a resource server tells the two apart by that (RFC 9068 Section 5).
func checkID(id string) error {
	if len(id) > maxClientID || !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(id) != id {
		return oauth.Errorf(oauth.InvalidClientMetadata, "a client id must have 1 to 128 bytes of printable characters, and no space at its ends")
	}
	if uuid.Validate(id) == nil {
		return oauth.Errorf(oauth.InvalidClientMetadata, "a client id must not be a UUID: subjects of users are")
	}
	return nil
}
