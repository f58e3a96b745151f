package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Revoke ends a token of the client that asks, RFC 7009 Section 2. A refresh
// token takes its grant with it, and so every access token; an access token goes
// alone. A token that is unknown or dead already is no error (Section 2.2). The
// hint about its type is not needed: tokens tell what they are.
func (e *Endpoint) Revoke(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	c, err := e.Clients.Authenticate(r.Context(), r, form)
	if err != nil {
		return err
	}
	text, err := form.Require("token")
	if err != nil {
		return err
	}
	revoke := e.revokeAccess
	if issuer.IsRefreshToken(text) {
		revoke = e.revokeRefresh
	}
	if err := revoke(r.Context(), c, text); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// notYours is for a token that is genuine and another client's.
func notYours(owner string) error {
	return oauth.Refuse(oauth.UnauthorizedClient, "the token was not issued to this client", oauth.Because("other_client", "it was issued to client "+owner))
}

func (e *Endpoint) revokeRefresh(ctx context.Context, c *client.Authenticated, text string) error {
	t, err := e.Issuer.ReadRefreshToken(text)
	if err != nil {
		return nil
	}
	g, err := e.Store.Grant(ctx, t.GrantID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if g.ClientID != c.ID {
		return notYours(g.ClientID)
	}
	web.EventOf(ctx).GrantID = g.ID
	err = e.Store.RevokeGrant(ctx, g.ID, store.EventGrantRevoked, "revoked by the client", e.Now(), by(ctx, c))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (e *Endpoint) revokeAccess(ctx context.Context, c *client.Authenticated, text string) error {
	t, err := e.Issuer.ReadAccessToken(text)
	if err != nil {
		return nil
	}
	if t.ClientID != c.ID {
		return notYours(t.ClientID)
	}
	web.EventOf(ctx).GrantID = t.GrantID
	return e.Store.RevokeToken(ctx, t.JWTID, c.ID, t.GrantID, e.Now(), time.Unix(t.ExpiresAt, 0), by(ctx, c))
}
