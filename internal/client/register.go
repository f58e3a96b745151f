package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// NewSecret makes a client secret of 256 random bits. Its prefix lets scanners
// of source code find one that got lost.
func NewSecret() string {
	return "hcs_" + randomText(32)
}

// newSharedSecret makes one that is long enough for every HMAC, RFC 7518 Section 3.2.
func newSharedSecret() string { return "hcs_" + randomText(48) }

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
	return g.create(ctx, &store.Client{ID: id, Metadata: metadata}, secret, by)
}

func (g *Registry) create(ctx context.Context, c *store.Client, secret string, by store.By) (*store.Client, string, error) {
	c.Metadata.Normalize()
	if err := g.checkMetadata(ctx, &c.Metadata, nil); err != nil {
		return nil, "", err
	}
	made := c.ID == ""
	for c.ID == "" || made && c.ID[0] == '-' { // which a command line would take for a flag
		c.ID = randomText(16)
	}
	if err := checkID(c.ID); err != nil {
		return nil, "", err
	}
	c.CreatedAt = g.Now()
	switch {
	case !c.Metadata.HasSecret() && secret != "":
		return nil, "", errNoSecret
	case c.Metadata.HasSecret():
		made, plain, err := g.newSecret(&c.Metadata, secret, time.Time{}, false)
		if err != nil {
			return nil, "", err
		}
		c.Secrets, secret = []store.ClientSecret{made}, plain
	}
	if err := g.MakeKeys(ctx, &c.Metadata); err != nil {
		return nil, "", err
	}
	if err := g.Store.CreateClient(ctx, c, by); err != nil {
		return nil, "", err
	}
	c, err := g.Store.Client(ctx, c.ID)
	return c, secret, err
}

// checkMetadata is the one check of a registration, whoever makes or changes it; before is nil
// for a new one. It fills in what follows from the rest.
func (g *Registry) checkMetadata(ctx context.Context, m, before *oauth.ClientMetadata) error {
	if err := errors.Join(m.Validate(), checkKeys(m)); err != nil {
		return err
	}
	if before != nil && before.IsPublic() != m.IsPublic() {
		return oauth.Errorf(oauth.InvalidClientMetadata, "a client cannot turn from public to confidential or back; create another one")
	}
	if before != nil && before.IsPairwise() != m.IsPairwise() {
		return oauth.Errorf(oauth.InvalidClientMetadata, "subject_type of a client cannot change: it would take every user for a stranger; create another one")
	}
	return g.settleSector(ctx, m, before)
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
		before := c.Metadata
		if err := edit(&c.Metadata); err != nil {
			return nil, err
		}
		c.Metadata.Normalize()
		if err := g.checkMetadata(ctx, &c.Metadata, &before); err != nil {
			return nil, err
		}
		if err := g.checkSealed(c); err != nil {
			return nil, err
		}
		if err := g.MakeKeys(ctx, &c.Metadata); err != nil {
			return nil, err
		}
		if err := g.Store.UpdateClient(ctx, c, g.Now(), by); err != store.ErrConflict || tries == 5 {
			return c, err
		}
	}
}

// ErrNotSealed is returned for a client that cannot prove itself in the way it is changed
// to.
var ErrNotSealed = oauth.Errorf(oauth.InvalidClientMetadata, "client_secret_jwt needs a secret that is kept sealed and is long enough, and the client has none")

// checkSealed wants a secret that assertions can be checked with from a client whose
// assertions are made with one.
func (g *Registry) checkSealed(c *store.Client) error {
	if c.Metadata.TokenEndpointAuthMethod != oauth.AuthMethodSecretJWT {
		return nil
	}
	secrets, err := g.sharedSecrets(c)
	if err == nil && !slices.ContainsFunc(secrets, func(s []byte) bool { return len(s) >= sharedSize(&c.Metadata) }) {
		err = ErrNotSealed
	}
	return err
}

// hasTwo reports whether the client has as many live secrets as it can have.
func (g *Registry) hasTwo(c *store.Client) bool {
	now, live := g.Now(), 0
	for _, s := range c.Secrets {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) {
			live++
		}
	}
	return live >= store.MaxSecrets
}

// sharedSize is how long a secret must be for the HMACs of a client, RFC 7518 Section 3.2.
func sharedSize(m *oauth.ClientMetadata) int {
	if size := jose.MACKeySize(m.AuthSigningAlg); size > 0 {
		return size
	}
	return jose.MACKeySize("HS256")
}

// AddSecret gives a confidential client a second secret, so that it can move
// from one to the other; expires ends the new one, the zero time never.
func (g *Registry) AddSecret(ctx context.Context, id, secret string, expires time.Time, by store.By) (store.ClientSecret, string, error) {
	return g.addSecret(ctx, id, secret, expires, false, by)
}

// AddSealedSecret is AddSecret for a client that is about to be registered for
// client_secret_jwt: the secret is kept sealed beside its hash.
func (g *Registry) AddSealedSecret(ctx context.Context, id, secret string, expires time.Time, by store.By) (store.ClientSecret, string, error) {
	return g.addSecret(ctx, id, secret, expires, true, by)
}

func (g *Registry) addSecret(ctx context.Context, id, secret string, expires time.Time, seal bool, by store.By) (store.ClientSecret, string, error) {
	c, err := g.Store.Client(ctx, id)
	if err != nil {
		return store.ClientSecret{}, "", err
	}
	if !c.Metadata.HasSecret() && !(seal && !c.Metadata.IsPublic()) {
		return store.ClientSecret{}, "", errNoSecret
	}
	made, plain, err := g.newSecret(&c.Metadata, secret, expires, seal)
	if err != nil {
		return made, "", err
	}
	return made, plain, g.Store.AddSecret(ctx, id, made, by)
}

// newSecret makes the record of a secret, and the secret when none is brought.
func (g *Registry) newSecret(m *oauth.ClientMetadata, secret string, expires time.Time, seal bool) (made store.ClientSecret, plain string, err error) {
	seal = seal || m.TokenEndpointAuthMethod == oauth.AuthMethodSecretJWT
	if secret == "" && seal {
		secret = newSharedSecret()
	} else if secret == "" {
		secret = NewSecret()
	}
	if n := utf8.RuneCountInString(secret); n < minSecret || n > maxSecret || !utf8.ValidString(secret) || strings.ContainsFunc(secret, unicode.IsControl) {
		return store.ClientSecret{}, "", oauth.Errorf(oauth.InvalidClientMetadata, "a client secret must have %d to %d characters, none of them a control character", minSecret, maxSecret)
	}
	made = store.ClientSecret{ID: store.NewSecretID(), CreatedAt: g.Now(), ExpiresAt: expires}
	if made.Hash, err = g.HashSecret(secret); err != nil {
		return store.ClientSecret{}, "", err
	}
	if !seal {
		return made, secret, nil
	}
	if len(secret) < sharedSize(m) {
		return store.ClientSecret{}, "", oauth.Errorf(oauth.InvalidClientMetadata, "a client secret that is the key of an HMAC must be as long as its hash, 32 bytes at least")
	}
	if made.Sealed, err = g.SealSecret(secret); err != nil {
		return store.ClientSecret{}, "", err
	}
	return made, secret, nil
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
