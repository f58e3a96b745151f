// Package token is the token endpoint with its grants, one file each, and
// beside it introspection and revocation.
//
// It serves /token, /introspect, /revoke and the seed's four addresses below
// /oauth2/, which pin the grant type and are otherwise the token endpoint. Its
// one invariant: whether a code or a refresh token may be spent is decided by
// one statement of package store, and nothing is signed before that statement is
// durable.
package token

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An Endpoint is the token endpoint with what stands beside it.
type Endpoint struct {
	Store   *store.Store
	Issuer  *issuer.Issuer
	Clients *client.Registry
	Users   *login.Authenticator
	Now     func() time.Time

	// Lifetimes of a client that has none of its own.
	AccessTokenLifetime  time.Duration
	RefreshIdleLifetime  time.Duration
	RefreshTokenLifetime time.Duration // absolute
	RefreshGrace         time.Duration
	Forbidden            []string // grants that no client may use
	// RequireSecondFactor leaves the password grant to nobody: it cannot ask for one.
	RequireSecondFactor bool
}

// Addresses of the endpoint, below the issuer.
const (
	Path                  = "/token"
	AuthorizationCodePath = "/oauth2/authorize"
	PasswordPath          = "/oauth2/password"
	ClientCredentialsPath = "/oauth2/client-credentials"
	RefreshTokenPath      = "/oauth2/refresh-token"
	IntrospectPath        = "/introspect"
	RevokePath            = "/revoke"
)

// Paths are all addresses of the token endpoint with the grant type that each
// pins; "" pins none.
var Paths = map[string]string{
	Path:                  "",
	AuthorizationCodePath: oauth.GrantAuthorizationCode,
	PasswordPath:          oauth.GrantPassword,
	ClientCredentialsPath: oauth.GrantClientCredentials,
	RefreshTokenPath:      oauth.GrantRefreshToken,
}

// Serve answers a token request at one of its addresses, RFC 6749 Section 3.2.
func (e *Endpoint) Serve(path string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := oauth.ParseForm(r)
		if err != nil {
			return err
		}
		c, err := e.Clients.Authenticate(r.Context(), r, form)
		if err != nil {
			return err
		}
		response, err := e.grant(r.Context(), c, form, Paths[path])
		if err != nil {
			return err
		}
		if err := e.use(r.Context(), c); err != nil {
			return err
		}
		w.Header().Set("Pragma", "no-cache") // RFC 6749 Section 5.1
		return web.JSON(w, http.StatusOK, response)
	}
}

// use notes the first use of a client that registered itself, before its tokens leave. Most
// have been noted at the authorization endpoint.
func (e *Endpoint) use(ctx context.Context, c *client.Authenticated) error {
	if c.UnusedUntil.IsZero() {
		return nil
	}
	err := e.Store.UseClient(ctx, c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return oauth.Refuse(oauth.InvalidClient, "client authentication failed", oauth.Because("client_id", "the client was deleted meanwhile"))
	}
	return err
}

// grant picks the grant by its type. A grant is a function: only
// client.Authenticate makes the *Authenticated it takes.
func (e *Endpoint) grant(ctx context.Context, c *client.Authenticated, form oauth.Form, pinned string) (*oauth.TokenResponse, error) {
	grantType, err := form.Require("grant_type")
	if err != nil {
		return nil, err
	}
	if pinned != "" && grantType != pinned {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "this address is for grant_type %s only", pinned)
	}
	var grant func(context.Context, *client.Authenticated, oauth.Form) (*oauth.TokenResponse, error)
	switch grantType {
	case oauth.GrantAuthorizationCode:
		grant = e.authorizationCode
		if _, err := form.Require("redirect_uri"); pinned != "" && err != nil {
			return nil, err
		}
	case oauth.GrantPassword:
		grant = e.password
	case oauth.GrantClientCredentials:
		grant = e.clientCredentials
	case oauth.GrantRefreshToken:
		grant = e.refreshToken
	}
	if grant == nil || slices.Contains(e.Forbidden, grantType) {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "this server does not know the grant_type")
	}
	web.EventOf(ctx).Grant = grantType
	if !c.Metadata.HasGrant(grantType) {
		return nil, oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for this grant_type")
	}
	return grant(ctx, c, form)
}

// prepare gets what an ID token for the client takes, before anything is spent for it.
func (e *Endpoint) prepare(ctx context.Context, c *client.Authenticated, scope oauth.Scope) (*jose.Recipient, error) {
	if !scope.Contains(oauth.ScopeOpenID) {
		return nil, nil
	}
	return e.Issuer.PrepareIDToken(ctx, &c.Metadata)
}

// answer mints the tokens of a live grant, RFC 6749 Section 5.1. The scope is
// what was granted and is still registered; beside is what goes into an ID token beside
// what the grant and the access token tell. The database is not asked any more: what was spent for this answer
// is spent.
func (e *Endpoint) answer(ctx context.Context, c *client.Authenticated, g *store.Grant, scope oauth.Scope, beside issuer.Beside) (*oauth.TokenResponse, error) {
	web.EventOf(ctx).GrantID = g.ID
	scope = scope.Intersect(c.Metadata.Registered())
	lifetime := min(e.accessLifetime(c), g.ExpiresAt.Sub(e.Now().Truncate(time.Second)))
	token, err := e.Issuer.GrantToken(g, &c.Metadata, scope, lifetime)
	if err != nil {
		return nil, err
	}
	response := &oauth.TokenResponse{AccessToken: token, TokenType: "Bearer", ExpiresIn: int64(lifetime / time.Second), Scope: scope.String()}
	if e.refreshes(c, g.Scope) {
		if response.RefreshToken, err = e.Issuer.RefreshToken(issuer.RefreshToken{GrantID: g.ID, Generation: g.Generation}); err != nil {
			return nil, err
		}
	}
	if scope.Contains(oauth.ScopeOpenID) {
		beside.Nonce, beside.AccessToken = g.Nonce, token
		response.IDToken, err = e.Issuer.IDToken(g, &c.Metadata, lifetime, beside)
	}
	web.EventOf(ctx).Token = issuer.TokenForm(&c.Metadata)
	return response, err
}

// refreshes says whether a grant of a scope gives refresh tokens to a client.
func (e *Endpoint) refreshes(c *client.Authenticated, scope string) bool {
	return c.Metadata.HasGrant(oauth.GrantRefreshToken) && oauth.Scope(strings.Fields(scope)).GivesRefreshToken()
}

func (e *Endpoint) accessLifetime(c *client.Authenticated) time.Duration {
	return own(c.Metadata.AccessTokenLifetime, e.AccessTokenLifetime)
}

// own is the client's own number of seconds, or what the server has for all.
func own(seconds int64, all time.Duration) time.Duration {
	if seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return all
}

// grantEnd is when nothing of a new grant can be used any more: the absolute
// end of its refresh tokens, or that of its one access token.
func (e *Endpoint) grantEnd(c *client.Authenticated, scope string, now time.Time) time.Time {
	if e.refreshes(c, scope) {
		return now.Add(own(c.Metadata.RefreshTokenLifetime, e.RefreshTokenLifetime))
	}
	return now.Add(e.accessLifetime(c))
}

// resources are those of the request, within what was granted: a token request
// narrows, and never widens (RFC 8707 Section 2.2).
func resources(form oauth.Form, granted string) (string, error) {
	asked := form.All("resource")
	if len(asked) == 0 {
		return granted, nil
	}
	for _, r := range asked {
		if err := oauth.CheckResource(r); err != nil {
			return "", err
		}
		if !slices.Contains(strings.Fields(granted), r) {
			return "", oauth.Errorf(oauth.InvalidTarget, "resource was not granted")
		}
	}
	return strings.Join(asked, " "), nil
}

// by says who caused a change: the client that sent the request.
func by(ctx context.Context, c *client.Authenticated) store.By {
	event := web.EventOf(ctx)
	return store.By{Actor: c.ID, Address: event.Address, RequestID: event.RequestID}
}

// invalidGrant is the refusal of RFC 6749 Section 5.2 for a code or token that
// cannot be used; which of the many reasons it was, the operator reads.
func invalidGrant(description string, cause error) error {
	return oauth.Refuse(oauth.InvalidGrant, description, cause)
}

// isVerdict reports whether the store decided against a grant, as opposed to
// having failed.
func isVerdict(err error) bool {
	for _, verdict := range []error{store.ErrNotFound, store.ErrExpired, store.ErrRevoked, store.ErrReplayed, store.ErrNotLive, store.ErrExhausted} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}
