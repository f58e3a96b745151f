package authorize

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// maxImplicitLifetime bounds a token that went through a browser's address bar.
const maxImplicitLifetime = 10 * time.Minute

// issue makes the grant row and answers with what was asked for. The row is
// durable before the answer leaves, and tokens are signed after that.
func (e *Endpoint) issue(w http.ResponseWriter, r *http.Request, q *request, session *store.Session, consent *store.Consent) error {
	event := web.EventOf(r.Context())
	about, err := e.about(r.Context(), q, session)
	if errors.Is(err, store.ErrNotFound) {
		return web.Redirect(w, e.restartURL(q)) // deleted meanwhile
	}
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	beside := issuer.Beside{Nonce: q.nonce, Claims: about}
	if q.gives(oauth.ResponseTypeIDToken) {
		if beside.To, err = e.Issuer.PrepareIDToken(r.Context(), &q.client.Metadata); err != nil {
			return e.refuse(w, r, q, err)
		}
	}
	if !q.client.UnusedUntil.IsZero() { // before the grant: what is granted must not go with an unused client
		if err := e.Store.UseClient(r.Context(), q.client.ID); errors.Is(err, store.ErrNotFound) {
			return web.Redirect(w, e.restartURL(q))
		} else if err != nil {
			return e.refuse(w, r, q, err)
		}
	}
	g, code := e.grant(q, session)
	by := store.By{Actor: session.UserID, Address: event.Address, RequestID: event.RequestID}
	err = e.Store.CreateGrant(r.Context(), g, consent, by)
	switch {
	case errors.Is(err, store.ErrReplayed):
		return e.usedUp(q)
	case errors.Is(err, store.ErrNotLive):
		// Signed out, disabled or changed meanwhile: the request begins anew.
		return web.Redirect(w, e.restartURL(q))
	case err != nil:
		return e.refuse(w, r, q, err)
	}
	event.GrantID, event.Grant = g.ID, g.GrantType
	params, err := e.answer(g, q, code, beside)
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	if q.gives(oauth.ResponseTypeToken) {
		event.Token = issuer.TokenForm(&q.client.Metadata)
	}
	return e.respond(w, r, q, params)
}

// answer is what the response type asked for: a code, an access token, an ID token, or
// several of them (OAuth 2.0 Multiple Response Type Encoding Practices Section 3).
func (e *Endpoint) answer(g *store.Grant, q *request, code string, beside issuer.Beside) (params []oauth.Param, err error) {
	if code != "" {
		params = append(params, oauth.Param{Name: "code", Value: code})
	}
	var token string
	if q.gives(oauth.ResponseTypeToken) {
		granted, err := e.token(g, q)
		if err != nil {
			return nil, err
		}
		params, token = append(params, granted...), granted[0].Value
	}
	if q.gives(oauth.ResponseTypeIDToken) {
		beside.Code, beside.AccessToken = code, token
		idToken, err := e.Issuer.IDToken(g, &q.client.Metadata, e.implicitLifetime(q), beside)
		if err != nil {
			return nil, err
		}
		params = append(params, oauth.Param{Name: "id_token", Value: idToken})
	}
	return params, nil
}

// about reads the claims about the user that go into an ID token from here: those that
// the claims parameter wants in it, and those of the scope where no access token will
// be there to ask UserInfo with (OpenID Connect Core Section 5.4).
func (e *Endpoint) about(ctx context.Context, q *request, session *store.Session) (issuer.Claims, error) {
	if !q.gives(oauth.ResponseTypeIDToken) {
		return nil, nil
	}
	names := q.claims.IDTokenNames()
	if q.responseType == oauth.ResponseTypeIDToken {
		names = append(q.scope.Claims(), names...)
	}
	if len(names) == 0 {
		return nil, nil
	}
	user, err := e.Store.User(ctx, session.UserID)
	if err != nil {
		return nil, err
	}
	return issuer.ClaimsOf(user, names)
}

// grant fills a row: pending with a code, or live at once for a token.
func (e *Endpoint) grant(q *request, session *store.Session) (g *store.Grant, code string) {
	now := e.Now()
	g = &store.Grant{
		ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: q.client.ID, UserID: session.UserID,
		Scope: q.scope.String(), Resource: strings.Join(q.resource, " "), RedirectURI: q.redirect.String(), RedirectURISent: q.redirectSent,
		Nonce: q.nonce, AuthTime: session.AuthTime, ACR: login.ToldACR(session.ACR, q.acr.asked()), AMR: session.AMR, SID: session.SID,
		ClientEpoch: q.client.Epoch, UserEpoch: session.UserEpoch, CreatedAt: now, Challenge: string(q.challenge),
	}
	if q.scope.Contains(oauth.ScopeOpenID) && !q.scope.Contains(oauth.ScopeOfflineAccess) {
		g.SessionID = session.SID
	}
	if q.scope.Contains(oauth.ScopeOpenID) {
		g.Claims, g.HearsOfLogout = q.claims.Text(), q.client.Metadata.HearsOfLogout()
	}
	if q.gives(oauth.ResponseTypeCode) {
		code = issuer.NewCode()
		g.CodeHash, g.CodeExpiresAt = issuer.HashCode(code), now.Add(e.codeLifetime(q))
	} else {
		g.GrantType, g.RedeemedAt = oauth.GrantImplicit, now
	}
	g.ExpiresAt = now // an ID token alone is no more to be asked about
	if q.gives(oauth.ResponseTypeToken) {
		g.ExpiresAt = now.Add(e.implicitLifetime(q))
	}
	if g.CodeExpiresAt.After(g.ExpiresAt) {
		g.ExpiresAt = g.CodeExpiresAt
	}
	if q.resumed {
		// The row remembers the sealed request for as long as that could come back.
		g.RequestID, g.KeepUntil = q.id, q.created.Add(e.RequestLifetime)
	}
	return g, code
}

func (e *Endpoint) codeLifetime(q *request) time.Duration {
	if own := q.client.Metadata.CodeLifetime; own > 0 {
		return time.Duration(own) * time.Second
	}
	return e.CodeLifetime
}

func (e *Endpoint) implicitLifetime(q *request) time.Duration {
	lifetime := e.AccessTokenLifetime
	if own := q.client.Metadata.AccessTokenLifetime; own > 0 {
		lifetime = time.Duration(own) * time.Second
	}
	return min(lifetime, maxImplicitLifetime)
}

// token is the answer of RFC 6749 Section 4.2.2. It never holds a refresh token.
func (e *Endpoint) token(g *store.Grant, q *request) ([]oauth.Param, error) {
	lifetime := e.implicitLifetime(q)
	token, err := e.Issuer.GrantToken(g, &q.client.Metadata, q.scope, lifetime)
	if err != nil {
		return nil, err
	}
	params := []oauth.Param{
		{Name: "access_token", Value: token},
		{Name: "token_type", Value: "Bearer"},
		{Name: "expires_in", Value: strconv.FormatInt(int64(lifetime/time.Second), 10)},
	}
	if len(q.scope) > 0 {
		params = append(params, oauth.Param{Name: "scope", Value: q.scope.String()})
	}
	return params, nil
}

// refuse answers a request that cannot be granted. The client is told, with the
// state it sent (RFC 6749 Section 4.1.2.1), but only at an address that was
// matched; otherwise, and when the failure is ours to retry, the user sees a page.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, q *request, err error) error {
	if next, ok := errors.AsType[*web.SeeOther](err); ok {
		return next
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if q == nil || q.redirect.String() == "" || !ok {
		return err
	}
	web.EventOf(r.Context()).Failure = err
	return e.respond(w, r, q, []oauth.Param{
		{Name: "error", Value: string(refusal.Code)},
		{Name: "error_description", Value: refusal.Description},
	})
}

// respond sends the parameters to the client, with state, session state and issuer
// (RFC 9207 Section 2) behind them, in the place the request asked for.
func (e *Endpoint) respond(w http.ResponseWriter, r *http.Request, q *request, params []oauth.Param) error {
	if q.state != "" {
		params = append(params, oauth.Param{Name: "state", Value: q.state})
	}
	if state := e.sessionState(r, q); state != "" {
		params = append(params, oauth.Param{Name: "session_state", Value: state})
	}
	params = append(params, oauth.Param{Name: "iss", Value: e.Issuer.URL})
	switch q.mode {
	case oauth.ResponseModeFormPost:
		page := web.FormPostPage{Action: q.redirect.String(), UILocales: q.uiLocales}
		for _, p := range params {
			page.Fields = append(page.Fields, web.Field(p))
		}
		return e.Pages.Render(w, r, http.StatusOK, page)
	case oauth.ResponseModeFragment:
		return web.Redirect(w, q.redirect.WithFragment(params))
	}
	return web.Redirect(w, q.redirect.WithQuery(params))
}

// sessionState tells a client of an OpenID request how things stand in the browser, in
// refusals as well, OpenID Connect Session Management 1.0 Section 2; "" where nobody is
// signed in, or no page of the client could ask later.
func (e *Endpoint) sessionState(r *http.Request, q *request) string {
	origin := oauth.Origin(q.redirect.String())
	if origin == "" || !q.isOpenID() {
		return ""
	}
	if !q.looked {
		var err error
		if q.session, err = e.Sessions.Current(r); err != nil {
			return "" // the answer is a refusal, which matters more
		}
	}
	if q.session == nil {
		return ""
	}
	return e.Sessions.State(r, q.client.ID, origin)
}
