package issuer

import (
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// GrantToken mints an access token from a grant row, for a scope within the
// row's. It never outlives the row, which decides whether it is in force.
func (i *Issuer) GrantToken(g *store.Grant, m *oauth.ClientMetadata, scope oauth.Scope, lifetime time.Duration) (string, error) {
	to := audience(strings.Fields(g.Resource), m)
	if to != nil && scope.Contains(oauth.ScopeOpenID) && !to.Contains(i.URL) {
		to = append(slices.Clone(to), i.URL) // UserInfo is a resource as well, RFC 9068 Section 4
	}
	subject, err := i.Subject(m, g.UserID)
	if err != nil {
		return "", err
	}
	t := &AccessToken{
		Subject: subject, ClientID: g.ClientID, Scope: scope.String(), GrantID: g.ID,
		Audience: to, AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: strings.Fields(g.AMR),
	}
	return i.AccessToken(t, i.form(m, lifetime))
}

// ClientToken mints an access token for the client itself, RFC 6749 Section
// 4.4. Nothing is stored: the epochs say whether it is in force. Its subject is
// the client's id, by which a resource server tells it from a user's (RFC 9068
// Section 2.2).
func (i *Issuer) ClientToken(c *store.Client, scope oauth.Scope, resource []string, lifetime time.Duration) (string, error) {
	t := &AccessToken{
		Subject: c.ID, ClientID: c.ID, Scope: scope.String(), Audience: audience(resource, &c.Metadata),
		Epochs: []int64{c.Epoch, c.ServerEpoch},
	}
	return i.AccessToken(t, i.form(&c.Metadata, lifetime))
}

// TokenForm is the form of the access tokens that a client gets.
func TokenForm(m *oauth.ClientMetadata) web.Token {
	if m.TokenFormat == oauth.TokenFormatOpaque {
		return web.SealedToken
	}
	return web.SignedToken
}

func (i *Issuer) form(m *oauth.ClientMetadata, lifetime time.Duration) Form {
	return Form{Opaque: TokenForm(m) == web.SealedToken, Algorithm: m.AccessTokenAlg, Lifetime: lifetime}
}

// audience is the resource that was asked for, else the client's default; nil
// stands for the issuer.
func audience(resource []string, m *oauth.ClientMetadata) oauth.Audience {
	if len(resource) > 0 {
		return resource
	}
	if m.DefaultAudience != "" {
		return oauth.Audience{m.DefaultAudience}
	}
	return nil
}

// InForce reports whether a token that was read back is still honoured, by what
// the database knows of it.
func (t *AccessToken) InForce(state *store.TokenState) bool {
	switch {
	case state.Revoked:
		return false
	case t.GrantID != "":
		return state.Live
	}
	return len(t.Epochs) == 2 && t.Epochs[0] == state.ClientEpoch && t.Epochs[1] == state.ServerEpoch
}
