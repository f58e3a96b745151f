package token

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Introspect tells a confidential client about a token, RFC 7662 Section 2.
// What is not active, and what the client may not see, is inactive and nothing
// else (Section 2.2).
func (e *Endpoint) Introspect(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	c, err := e.Clients.Authenticate(r.Context(), r, form)
	if err != nil {
		return err
	}
	if c.Metadata.IsPublic() {
		return oauth.Refuse(oauth.InvalidClient, "client authentication failed", oauth.Because("public_client", "a public client cannot introspect"))
	}
	text, err := form.Require("token")
	if err != nil {
		return err
	}
	read := e.introspectAccess
	if issuer.IsRefreshToken(text) {
		read = e.introspectRefresh
	}
	response, err := read(r.Context(), c, text)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, response)
}

// inactive is all that is said of a token that is dead or none of the client's
// business.
func inactive() *oauth.IntrospectionResponse { return &oauth.IntrospectionResponse{} }

// maySee says whose tokens a client may look at: its own, those addressed to
// it, and all if it was registered so.
func maySee(c *client.Authenticated, owner string, audience oauth.Audience) bool {
	return owner == c.ID || audience.Contains(c.ID) || c.Metadata.Introspect == oauth.IntrospectAny
}

// username is told beside a subject, unless that is to keep from whoever reads it who
// the user is elsewhere (OpenID Connect Core Section 8).
func username(name, subject string) string {
	if issuer.IsPairwise(subject) {
		return ""
	}
	return name
}

func (e *Endpoint) introspectAccess(ctx context.Context, c *client.Authenticated, text string) (*oauth.IntrospectionResponse, error) {
	t, err := e.Issuer.ReadAccessToken(text)
	if err != nil || !maySee(c, t.ClientID, t.Audience) {
		return inactive(), nil
	}
	state, err := e.Store.TokenState(ctx, t.GrantID, t.ClientID, t.JWTID, e.Now())
	if err != nil {
		return nil, err
	}
	if !t.InForce(state) {
		return inactive(), nil
	}
	return &oauth.IntrospectionResponse{
		Active: true, Scope: t.Scope, ClientID: t.ClientID, Username: username(state.Username, t.Subject), TokenType: "Bearer",
		ExpiresAt: t.ExpiresAt, IssuedAt: t.IssuedAt, Subject: t.Subject, Audience: t.Audience, Issuer: t.Issuer,
		JWTID: t.JWTID, AuthTime: t.AuthTime, ACR: t.ACR, AMR: t.AMR,
	}, nil
}

func (e *Endpoint) introspectRefresh(ctx context.Context, c *client.Authenticated, text string) (*oauth.IntrospectionResponse, error) {
	t, err := e.Issuer.ReadRefreshToken(text)
	if err != nil {
		return inactive(), nil
	}
	now := e.Now()
	g, err := e.Store.GrantState(ctx, t.GrantID, now)
	if errors.Is(err, store.ErrNotFound) || err == nil && !maySee(c, g.ClientID, nil) {
		return inactive(), nil
	}
	if err != nil {
		return nil, err
	}
	owner, err := e.Store.KnownClient(ctx, g.ClientID, now)
	if errors.Is(err, store.ErrNotFound) {
		return inactive(), nil
	}
	if err != nil {
		return nil, err
	}
	refresh := e.refresh(owner, t)
	idleEnd := g.RotatedAt.Add(refresh.Idle)
	usable := t.Generation >= g.Generation || t.Generation+1 == g.Generation && g.RotatedAt.Add(refresh.Grace).After(now)
	if !usable || !g.Live || !idleEnd.After(now) || !owner.Metadata.HasGrant(oauth.GrantRefreshToken) {
		return inactive(), nil
	}
	end := g.ExpiresAt
	if idleEnd.Before(end) {
		end = idleEnd
	}
	subject, err := e.Issuer.Subject(&owner.Metadata, g.UserID)
	if err != nil {
		return nil, err
	}
	return &oauth.IntrospectionResponse{
		Active: true, Scope: parseGranted(&g.Grant).Intersect(owner.Metadata.Registered()).String(), ClientID: g.ClientID,
		Username: username(g.Username, subject), ExpiresAt: end.Unix(), IssuedAt: g.RotatedAt.Unix(), Subject: subject,
		Audience: oauth.Audience{e.Issuer.URL}, Issuer: e.Issuer.URL,
		AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: strings.Fields(g.AMR),
	}, nil
}
