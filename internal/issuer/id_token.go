package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// typeIDToken tells ID tokens from everything else that the same keys sign, RFC 8725
// Section 3.11. It is the one typ that every client takes.
const typeIDToken = "JWT"

// maxIDTokenLifetime is for how long an ID token may be presented to its client: it is
// read when it arrives, and its key is published for as long.
const maxIDTokenLifetime = time.Hour

// An IDToken is what a client is told about a sign-in, OpenID Connect Core Section 2.
type IDToken struct {
	Issuer          string         `json:"iss"`
	Subject         string         `json:"sub"`
	Audience        oauth.Audience `json:"aud"` // the client
	ExpiresAt       int64          `json:"exp"` // Unix seconds
	IssuedAt        int64          `json:"iat"` // Unix seconds
	AuthTime        int64          `json:"auth_time,omitempty"`
	Nonce           string         `json:"nonce,omitempty"`
	ACR             string         `json:"acr,omitempty"`
	AMR             []string       `json:"amr,omitempty"`
	AuthorizedParty string         `json:"azp,omitempty"`
	AccessTokenHash string         `json:"at_hash,omitempty"`
	CodeHash        string         `json:"c_hash,omitempty"`
	SessionID       string         `json:"sid,omitempty"`
}

// members adds the claims to an object.
func (t *IDToken) members(o *oauth.Object) {
	o.String("iss", t.Issuer)
	o.String("sub", t.Subject)
	o.AudienceIf("aud", t.Audience)
	o.Int("exp", t.ExpiresAt)
	o.Int("iat", t.IssuedAt)
	o.IntIf("auth_time", t.AuthTime)
	o.StringIf("nonce", t.Nonce)
	o.StringIf("acr", t.ACR)
	o.StringsIf("amr", t.AMR)
	o.StringIf("azp", t.AuthorizedParty)
	o.StringIf("at_hash", t.AccessTokenHash)
	o.StringIf("c_hash", t.CodeHash)
	o.StringIf("sid", t.SessionID)
}

// A Beside is what an ID token goes out beside, and what it tells because of that.
type Beside struct {
	Nonce       string          // of the authorization request; "" for a refresh, OpenID Connect Core Section 12.2
	Code        string          // "" when none goes out with it
	AccessToken string          // "" when none goes out with it
	Claims      Claims          // about the user, as far as they were asked for here
	To          *jose.Recipient // what PrepareIDToken has returned
}

// IDToken mints the ID token of a grant for its client.
func (i *Issuer) IDToken(g *store.Grant, m *oauth.ClientMetadata, lifetime time.Duration, b Beside) (string, error) {
	subject, err := i.Subject(m, g.UserID)
	if err != nil {
		return "", err
	}
	now := i.Now()
	t := IDToken{
		Issuer: i.URL, Subject: subject, Audience: oauth.Audience{g.ClientID}, AuthorizedParty: g.ClientID,
		IssuedAt: now.Unix(), ExpiresAt: now.Add(min(lifetime, maxIDTokenLifetime)).Unix(),
		AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: strings.Fields(g.AMR), SessionID: g.SID,
		Nonce: b.Nonce, CodeHash: halfHash(m.IDTokenAlg, b.Code), AccessTokenHash: halfHash(m.IDTokenAlg, b.AccessToken),
	}
	o := oauth.NewObject(make([]byte, 0, 768))
	t.members(&o)
	b.Claims.addTo(&o)
	signed, err := i.signFor(m.IDTokenAlg, typeIDToken, o.End())
	if err != nil {
		return "", err
	}
	return nest(signed, m.IDTokenKeyAlg, b.To)
}

// UserInfo is what UserInfo tells a client that wants it signed, encrypted, or both, as
// text, OpenID Connect Core Section 5.3.2. to is what PrepareUserInfo has returned.
func (i *Issuer) UserInfo(t *AccessToken, m *oauth.ClientMetadata, claims Claims, to *jose.Recipient) (string, error) {
	if m.UserInfoAlg == "" {
		if to == nil {
			return "", errReadable
		}
		return to.Encrypt(claims.AppendUserInfo(nil, t.Subject), "")
	}
	o := oauth.NewObject(make([]byte, 0, 768))
	o.String("iss", i.URL)
	o.String("aud", t.ClientID)
	o.String("sub", t.Subject)
	claims.addTo(&o)
	signed, err := i.signFor(m.UserInfoAlg, typeIDToken, o.End())
	if err != nil {
		return "", err
	}
	return nest(signed, m.UserInfoKeyAlg, to)
}

// PrepareIDToken gets what an ID token for a client takes before anything is spent for
// it: a key that signs, which is there as a rule, and the key of the client when it wants
// ID tokens encrypted. For all others it returns nil.
func (i *Issuer) PrepareIDToken(ctx context.Context, m *oauth.ClientMetadata) (*jose.Recipient, error) {
	if err := i.Ring.MakeFor(ctx, m); err != nil || m.IDTokenKeyAlg == "" {
		return nil, err
	}
	return i.Keys.Recipient(ctx, m, m.IDTokenKeyAlg, m.IDTokenContent)
}

// PrepareUserInfo is PrepareIDToken for UserInfo.
func (i *Issuer) PrepareUserInfo(ctx context.Context, m *oauth.ClientMetadata) (*jose.Recipient, error) {
	if err := i.Ring.MakeFor(ctx, m); err != nil || m.UserInfoKeyAlg == "" {
		return nil, err
	}
	return i.Keys.Recipient(ctx, m, m.UserInfoKeyAlg, m.UserInfoContent)
}

// errReadable is returned for what would go out readable to a client that wants it
// encrypted.
var errReadable = errors.New("issuer: nobody has looked for the key that the client wants this encrypted to")

// nest encrypts what was signed to a client that wants it so, OpenID Connect Core Section
// 16.14.
func nest(signed string, algorithm string, to *jose.Recipient) (string, error) {
	switch {
	case algorithm == "":
		return signed, nil
	case to == nil:
		return "", errReadable
	}
	return to.Encrypt([]byte(signed), typeIDToken)
}

// signFor signs with the algorithm that a client is registered for.
func (i *Issuer) signFor(algorithm, typ string, payload []byte) (string, error) {
	k, err := i.Ring.current(signerFor(algorithm))
	if err != nil {
		return "", err
	}
	return k.sign.Sign(typ, payload)
}

// halfHash binds an ID token to what it goes out beside; "" when that is nothing.
func halfHash(algorithm, text string) string {
	if text == "" {
		return ""
	}
	return jose.HalfHash(algorithm, text)
}

// ReadIDToken checks the signature of an ID token of this server, and that it was made
// for a client if one is named. It may have expired: as a hint it still tells who was
// signed in (OpenID Connect Core Section 3.1.2.2), and so its key may be one that is no
// longer published.
func (i *Issuer) ReadIDToken(token, clientID string) (*IDToken, error) {
	content, err := jose.Verify(token, strings.ToLower(typeIDToken), func(id string) (jose.Key, bool) {
		k := i.Ring.keys.Load().opened[id]
		if k == nil || k.sign == nil {
			return jose.Key{}, false
		}
		return jose.Key{Algorithm: k.sign.Algorithm, Public: k.sign.Public()}, true
	})
	if err != nil {
		return nil, err
	}
	var t IDToken
	if err := json.Unmarshal(content, &t); err != nil {
		return nil, err
	}
	switch {
	case t.Issuer != i.URL:
		return nil, errors.New("issuer: an ID token of another issuer")
	case t.Subject == "" || len(t.Audience) == 0 || t.ExpiresAt == 0:
		return nil, errors.New("issuer: not an ID token")
	case clientID != "" && !slices.Contains(t.Audience, clientID):
		return nil, errors.New("issuer: an ID token of another client")
	}
	return &t, nil
}
