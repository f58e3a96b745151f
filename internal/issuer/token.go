package issuer

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"crypto/rand"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
)

// Prefixes by which scanners of source code, and we ourselves, tell tokens.
const (
	accessPrefix  = "hat_"
	refreshPrefix = "hrt_"
)

// typeAccessToken is the typ of RFC 9068 Section 2.1.
const typeAccessToken = "at+jwt"

// An Issuer mints tokens under one name.
type Issuer struct {
	URL  string // "iss", RFC 8414 Section 2
	Ring *Ring
	Keys *client.Keys // of clients that want something encrypted
	Now  func() time.Time

	seen seen
}

// An AccessToken is the content of an access token, RFC 9068 Section 2.2: the
// same whether it is signed or sealed.
type AccessToken struct {
	Issuer    string         `json:"iss"`
	Subject   string         `json:"sub"`
	Audience  oauth.Audience `json:"aud"`
	ExpiresAt int64          `json:"exp"` // Unix seconds
	IssuedAt  int64          `json:"iat"` // Unix seconds
	JWTID     string         `json:"jti"`
	ClientID  string         `json:"client_id"`
	Scope     string         `json:"scope,omitempty"`
	AuthTime  int64          `json:"auth_time,omitempty"` // Unix seconds
	ACR       string         `json:"acr,omitempty"`
	AMR       []string       `json:"amr,omitempty"`

	// GrantID names the grant row that decides whether the token is in force.
	GrantID string `json:"gid,omitempty"`
	// Epochs are those of client and server that a token without a grant row was
	// made under.
	Epochs []int64 `json:"epochs,omitempty"`
}

// A Form says how an access token is made for a client.
type Form struct {
	Opaque    bool
	Algorithm string // of a signed one; "" means ES256
	Lifetime  time.Duration
}

// AccessToken mints an access token. Issuer, times and id are filled in here;
// an empty audience becomes the issuer.
func (i *Issuer) AccessToken(t *AccessToken, form Form) (string, error) {
	now := i.Now()
	t.Issuer, t.IssuedAt, t.ExpiresAt, t.JWTID = i.URL, now.Unix(), now.Add(form.Lifetime).Unix(), newTokenID()
	if len(t.Audience) == 0 {
		t.Audience = oauth.Audience{i.URL}
	}
	if form.Opaque {
		return i.Ring.sealToken(t)
	}
	purpose := PurposeES256
	if form.Algorithm == jose.RS256 {
		purpose = PurposeRS256
	}
	k, err := i.Ring.current(purpose)
	if err != nil {
		return "", err
	}
	return k.sign.Sign(typeAccessToken, t.AppendJSON(make([]byte, 0, 512)))
}

// sealToken makes an opaque token.
func (g *Ring) sealToken(t *AccessToken) (string, error) {
	k, err := g.current(PurposeAccessToken)
	if err != nil {
		return "", err
	}
	raw, err := k.begin(320)
	if err != nil {
		return "", err
	}
	return k.seal(accessPrefix, t.AppendJSON(raw)), nil
}

// AppendJSON appends the claims as encoding/json writes them.
func (t *AccessToken) AppendJSON(to []byte) []byte {
	o := oauth.NewObject(to)
	o.String("iss", t.Issuer)
	o.String("sub", t.Subject)
	o.AudienceIf("aud", t.Audience)
	o.Int("exp", t.ExpiresAt)
	o.Int("iat", t.IssuedAt)
	o.String("jti", t.JWTID)
	o.String("client_id", t.ClientID)
	o.StringIf("scope", t.Scope)
	o.IntIf("auth_time", t.AuthTime)
	o.StringIf("acr", t.ACR)
	o.StringsIf("amr", t.AMR)
	o.StringIf("gid", t.GrantID)
	o.IntsIf("epochs", t.Epochs)
	return o.End()
}

func newTokenID() string {
	var id [16]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// ErrNotActive is returned for a text that is no access token of this server,
// or one that has expired.
var ErrNotActive = errors.New("issuer: no live token of this server")

// maxToken bounds what is read at all, in bytes.
const maxToken = 16 << 10

// ReadAccessToken checks signature or seal, issuer and time of an access token.
// Whether it was revoked only the database knows.
func (i *Issuer) ReadAccessToken(token string) (*AccessToken, error) {
	if len(token) > maxToken {
		return nil, notActive(errors.New("longer than any token"))
	}
	t, err := i.open(token)
	if err != nil {
		return nil, notActive(err)
	}
	switch {
	case t.Issuer != i.URL:
		return nil, notActive(errors.New("another issuer"))
	case t.ExpiresAt <= i.Now().Unix():
		return nil, notActive(errors.New("expired"))
	}
	return t, nil
}

// open reads what is in a token whose seal or signature is ours.
func (i *Issuer) open(token string) (*AccessToken, error) {
	sum := hashOf(token)
	if known, ok := i.seen.get(sum); ok {
		if _, kept := i.Ring.byID(known.purpose, known.keyID); !kept {
			return nil, errNotOurs
		}
		t := known.token
		return &t, nil
	}
	k, content, err := i.Ring.readToken(token)
	if err != nil {
		return nil, err
	}
	var t AccessToken
	if err := json.Unmarshal(content, &t); err != nil {
		return nil, err
	}
	i.seen.put(sum, &seenToken{k.Purpose, k.ID, t})
	return &t, nil
}

// readToken opens or verifies a token with a key of ours, and nothing else.
func (g *Ring) readToken(token string) (k *key, content []byte, err error) {
	if sealed, ok := strings.CutPrefix(token, accessPrefix); ok {
		return g.unseal(PurposeAccessToken, sealed)
	}
	for _, k := range g.keys.Load().of[PurposeES256] {
		if !g.keeps(k) {
			continue
		}
		if content, err := k.sign.Recognize(token, typeAccessToken); !errors.Is(err, jose.ErrForeign) {
			return k, content, err
		}
	}
	content, err = jose.Verify(token, typeAccessToken, func(id string) (jose.Key, bool) {
		found, ok := g.byID(PurposeRS256, id)
		if !ok {
			return jose.Key{}, false
		}
		k = found
		return jose.Key{Algorithm: k.sign.Algorithm, Public: k.sign.Public()}, true
	})
	return k, content, err
}

func notActive(cause error) error { return errors.Join(ErrNotActive, cause) }

// A RefreshToken is what a refresh token says: which grant, and how often it has
// been refreshed. It is not stored; its MAC proves that we issued it.
type RefreshToken struct {
	GrantID    string
	Generation int64
}

const refreshSize = 16 + 8 // grant id, generation

// RefreshToken mints a refresh token: version, key id, grant id, generation, MAC.
func (i *Issuer) RefreshToken(t RefreshToken) (string, error) {
	k, err := i.Ring.current(PurposeRefreshToken)
	if err != nil {
		return "", err
	}
	id, err := uuid.Parse(t.GrantID)
	if err != nil {
		return "", fmt.Errorf("issuer: refresh token: %w", err)
	}
	if k.head == nil {
		return "", errKeyID
	}
	raw := append(append(make([]byte, 0, 64), k.head...), id[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.Generation)) //nolint:gosec // counts up from 0
	sum := mac(k, raw)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(raw, sum[:]...)), nil
}

// ReadRefreshToken checks the MAC of a refresh token. Garbage is refused here,
// without the database.
func (i *Issuer) ReadRefreshToken(token string) (RefreshToken, error) {
	text, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok || len(token) > 256 {
		return RefreshToken{}, errNotOurs
	}
	k, rest, err := i.Ring.split(PurposeRefreshToken, text)
	if err != nil {
		return RefreshToken{}, err
	}
	if len(rest) <= refreshSize {
		return RefreshToken{}, errNotOurs
	}
	message := append(append(make([]byte, 0, 64), k.head...), rest[:refreshSize]...)
	if sum := mac(k, message); !hmac.Equal(rest[refreshSize:], sum[:]) {
		return RefreshToken{}, errNotOurs
	}
	id, err := uuid.FromBytes(rest[:16])
	if err != nil {
		return RefreshToken{}, errNotOurs
	}
	generation := binary.BigEndian.Uint64(rest[16:refreshSize])
	return RefreshToken{GrantID: id.String(), Generation: int64(generation)}, nil //nolint:gosec // ours, by its MAC
}

// IsRefreshToken reports whether a text looks like a refresh token, so that
// revocation and introspection know where to look first.
func IsRefreshToken(token string) bool { return strings.HasPrefix(token, refreshPrefix) }
