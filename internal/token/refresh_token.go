package token

import (
	"context"
	"errors"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// refreshToken gives new tokens for a refresh token, RFC 6749 Section 6, and
// notices one that was stolen (RFC 9700 Section 4.14.2).
func (e *Endpoint) refreshToken(ctx context.Context, c *client.Authenticated, form oauth.Form) (*oauth.TokenResponse, error) {
	text, err := form.Require("refresh_token")
	if err != nil {
		return nil, err
	}
	token, err := e.Issuer.ReadRefreshToken(text)
	if err != nil {
		return nil, invalidGrant(badRefreshToken, err)
	}
	web.EventOf(ctx).GrantID = token.GrantID
	narrowed, err := e.narrow(ctx, c, token, form)
	if err != nil {
		return nil, err
	}
	to, err := e.prepareRefresh(ctx, c, token, narrowed)
	if err != nil {
		return nil, err
	}
	g, err := e.Store.NextGeneration(ctx, e.refresh(c.Client, token))
	if err != nil {
		return nil, e.notRefreshed(ctx, c, token, err)
	}
	scope := parseGranted(g)
	if narrowed != nil {
		scope, g.Resource = narrowed.scope, narrowed.resource
	}
	g.Nonce = "" // OpenID Connect Core Section 12.2
	return e.answer(ctx, c, g, scope, issuer.Beside{To: to})
}

// badRefreshToken is all that a client learns about a token that cannot be used.
const badRefreshToken = "the refresh token is not valid, was revoked, has expired or belongs to another client"

func (e *Endpoint) refresh(c *store.Client, token issuer.RefreshToken) store.Refresh {
	grace := e.RefreshGrace
	if own := c.Metadata.RefreshGrace; own != nil {
		grace = time.Duration(*own) * time.Second
	}
	return store.Refresh{
		GrantID: token.GrantID, ClientID: c.ID, Generation: token.Generation, Rotate: c.Metadata.Rotates(),
		Grace: grace, Idle: own(c.Metadata.RefreshIdleLifetime, e.RefreshIdleLifetime), Now: e.Now(),
	}
}

// prepareRefresh is prepare for a grant that has not been read. Only when something is
// missing does it look whether an ID token is due at all.
func (e *Endpoint) prepareRefresh(ctx context.Context, c *client.Authenticated, token issuer.RefreshToken, narrowed *narrower) (*jose.Recipient, error) {
	if narrowed != nil {
		return e.prepare(ctx, c, narrowed.scope)
	}
	to, err := e.Issuer.PrepareIDToken(ctx, &c.Metadata)
	if err == nil {
		return to, nil
	}
	if g, failed := e.Store.Grant(ctx, token.GrantID); failed == nil && !parseGranted(g).Contains(oauth.ScopeOpenID) {
		return nil, nil
	}
	return nil, err
}

// narrower is what one answer is limited to; the grant stays as it is.
type narrower struct {
	scope    oauth.Scope
	resource string
}

// narrow checks a scope or resource that the request asks for, before the gate:
// a refused request must not spend the token. What a row was granted never
// changes, so reading it first decides nothing too early. nil: nothing was asked.
func (e *Endpoint) narrow(ctx context.Context, c *client.Authenticated, token issuer.RefreshToken, form oauth.Form) (*narrower, error) {
	if form.Get("scope") == "" && len(form.All("resource")) == 0 {
		return nil, nil
	}
	g, err := e.Store.Grant(ctx, token.GrantID)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.ClientID != c.ID {
		return nil, invalidGrant(badRefreshToken, errors.New("no such grant of this client"))
	}
	if err != nil {
		return nil, err
	}
	n := &narrower{scope: parseGranted(g)}
	scope, err := oauth.ParseScope(form.Get("scope"))
	switch {
	case err != nil:
		return nil, err
	case !scope.Within(n.scope):
		return nil, oauth.Errorf(oauth.InvalidScope, "scope must not go beyond what was granted")
	case len(scope) > 0:
		n.scope = scope
	}
	n.resource, err = resources(form, g.Resource)
	return n, err
}

// notRefreshed tells why the gate stayed shut. A token older than the previous
// one, or the previous one after its grace, has been in two hands: everything
// issued from the grant ends.
func (e *Endpoint) notRefreshed(ctx context.Context, c *client.Authenticated, token issuer.RefreshToken, err error) error {
	if !isVerdict(err) {
		return err
	}
	if errors.Is(err, store.ErrReplayed) {
		if failed := e.Store.RevokeGrant(ctx, token.GrantID, store.EventReplay, "refresh token used again", e.Now(), by(ctx, c)); failed != nil && !errors.Is(failed, store.ErrNotFound) {
			return failed
		}
	}
	return invalidGrant(badRefreshToken, err)
}
