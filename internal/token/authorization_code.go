package token

import (
	"context"
	"errors"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// authorizationCode exchanges a code for tokens, RFC 6749 Section 4.1.3.
func (e *Endpoint) authorizationCode(ctx context.Context, c *client.Authenticated, form oauth.Form) (*oauth.TokenResponse, error) {
	code, err := form.Require("code")
	if err != nil {
		return nil, err
	}
	hash := issuer.HashCode(code)
	g, err := e.Store.GrantByCode(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalidGrant(badCode, errors.New("no grant has this code"))
	}
	if err != nil {
		return nil, err
	}
	web.EventOf(ctx).GrantID, web.EventOf(ctx).UserID = g.ID, g.UserID
	if err := e.checkCode(ctx, c, g, form); err != nil {
		return nil, err
	}
	resource, err := resources(form, g.Resource)
	if err != nil {
		return nil, err
	}
	about, err := e.about(ctx, c, g)
	if err != nil {
		return nil, err
	}
	to, err := e.prepare(ctx, c, parseGranted(g))
	if err != nil {
		return nil, err
	}
	now := e.Now()
	end := e.grantEnd(c, g.Scope, now)
	if err := e.Store.RedeemCode(ctx, g.ID, c.ID, web.EventOf(ctx).RequestID, now, end); err != nil {
		return nil, e.notRedeemed(ctx, c, g.ID, err)
	}
	g.Resource, g.ExpiresAt = resource, end.Truncate(time.Second) // as the row has it
	return e.answer(ctx, c, g, parseGranted(g), issuer.Beside{Claims: about, To: to})
}

// badCode is all that a client learns about a code that cannot be used.
const badCode = "the code is not valid, was used, has expired or belongs to another client"

// checkCode compares what the request says with what the code was issued for,
// in the order of RFC 6749 Section 4.1.3. It comes before the gate, so that a
// stranger with a stolen code cannot spend it. Nothing it reads ever changes.
func (e *Endpoint) checkCode(ctx context.Context, c *client.Authenticated, g *store.Grant, form oauth.Form) error {
	uri, verifier := form.Get("redirect_uri"), form.Get("code_verifier")
	switch {
	case g.ClientID != c.ID:
		return invalidGrant(badCode, oauth.Because("other_client", "the code was issued to client "+g.ClientID))
	case uri == "" && g.RedirectURISent:
		return oauth.Errorf(oauth.InvalidRequest, "redirect_uri is missing; the authorization request carried it")
	case uri != "" && uri != g.RedirectURI:
		return invalidGrant("redirect_uri is not the one the code was issued for", errors.New("it was issued for "+g.RedirectURI))
	}
	err := oauth.Challenge(g.Challenge).Verify(verifier)
	if err != nil && g.Challenge != "" && verifier != "" {
		// Guessing at the verifier spends the code in the end, RFC 7636 Section 7.1.
		return errors.Join(err, e.Store.CountWrongVerifier(ctx, g.ID))
	}
	return err
}

// about reads the claims about the user that the request wanted in the ID token, which
// is seldom: those of the scope are at UserInfo (OpenID Connect Core Section 5.4). It
// comes before the gate, for a code that was spent on an answer that then fails is lost.
func (e *Endpoint) about(ctx context.Context, c *client.Authenticated, g *store.Grant) (issuer.Claims, error) {
	asked, err := oauth.KeptClaims(g.Claims)
	if err != nil {
		return nil, err
	}
	asked.Within(c.Metadata.Registered()) // as it is now
	names := asked.IDTokenNames()
	if len(names) == 0 {
		return nil, nil
	}
	user, err := e.Store.User(ctx, g.UserID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalidGrant(badCode, errors.New("the user was deleted meanwhile"))
	}
	if err != nil {
		return nil, err
	}
	return issuer.ClaimsOf(user, names)
}

// notRedeemed tells why the gate stayed shut. A code that comes a second time
// with everything right is a replay: what was issued from it ends (RFC 6749
// Section 4.1.2).
func (e *Endpoint) notRedeemed(ctx context.Context, c *client.Authenticated, grantID string, err error) error {
	if !isVerdict(err) {
		return err
	}
	if errors.Is(err, store.ErrReplayed) {
		if failed := e.Store.RevokeGrant(ctx, grantID, store.EventReplay, "code used twice", e.Now(), by(ctx, c)); failed != nil && !errors.Is(failed, store.ErrNotFound) {
			return failed
		}
	}
	return invalidGrant(badCode, err)
}

// parseGranted is the scope of a row; it was checked before it was written.
func parseGranted(g *store.Grant) oauth.Scope {
	scope, _ := oauth.ParseScope(g.Scope)
	return scope
}
