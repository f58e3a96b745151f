package openid

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Logout ends the session of a browser: unasked for a client that shows an ID token
// of this very session, and after a question for everybody else.
type Logout struct {
	Store    *store.Store
	Issuer   *issuer.Issuer
	Sessions *login.Sessions
	Browsers *web.Browsers
	Pages    *web.Pages
	Now      func() time.Time
	Base     string // path of the issuer
}

// Addresses of the pages, below the issuer.
const (
	EndSessionPath = "/end-session"
	LoggedOutPath  = "/logout/done"
	// CheckSessionPath is the page of package web that clients have in a frame.
	CheckSessionPath = "/check-session"
)

// A logoutRequest is a request of RP-Initiated Logout Section 2, as far as it was
// understood.
type logoutRequest struct {
	form      oauth.Form
	hint      *issuer.IDToken // nil without one
	redirect  oauth.Redirect  // zero: the user ends here
	state     string
	uiLocales string
}

// EndSession takes a request to sign out, by GET or POST, and the answer to its own
// question, OpenID Connect RP-Initiated Logout 1.0 Sections 2 and 3.
func (l *Logout) EndSession(w http.ResponseWriter, r *http.Request) error {
	parse := oauth.ParseQuery
	if r.Method == http.MethodPost {
		parse = oauth.ParseForm
	}
	form, err := parse(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost && form.Has("decision") {
		return l.decide(w, r, form)
	}
	if r.Method == http.MethodPost {
		return l.continueByGet(w, r, form)
	}
	q, err := l.read(r.Context(), form)
	if err != nil {
		return err
	}
	session, err := l.Sessions.Current(r)
	if err != nil {
		return err
	}
	if session == nil {
		return l.endIdled(w, r, q)
	}
	own, err := l.isOf(r.Context(), q.hint, session)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && own {
		return l.end(w, r, q)
	}
	return l.ask(w, r, q, session)
}

// endIdled is for a browser in which nobody is signed in any more. When its session has
// only idled, its end is still to be told; who shows an ID token of it may say so.
func (l *Logout) endIdled(w http.ResponseWriter, r *http.Request, q *logoutRequest) error {
	idled, err := l.Sessions.Idled(r)
	if err != nil {
		return err
	}
	own, err := l.isOf(r.Context(), q.hint, idled)
	if err != nil {
		return err
	}
	if own && r.Method == http.MethodGet {
		return l.end(w, r, q)
	}
	l.Sessions.ShowState(w, r, nil)
	return l.leave(w, q)
}

// isOf reports whether an ID token is of a session: of its sid, and of its user, by the names
// under which the client of the token knows them.
func (l *Logout) isOf(ctx context.Context, t *issuer.IDToken, session *store.Session) (bool, error) {
	if t == nil || session == nil {
		return false, nil
	}
	if !issuer.IsPairwise(t.Subject) {
		return t.SessionID == session.SID && t.Subject == session.UserID, nil
	}
	c, err := l.Store.KnownClient(ctx, t.Audience[0], l.Now())
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	subject, err := l.Issuer.Subject(&c.Metadata, session.UserID)
	if err != nil {
		return false, err
	}
	sid, err := l.Issuer.SessionID(&c.Metadata, session.SID)
	return t.Subject == subject && t.SessionID == sid, err
}

// carriedByLogout are the parameters that a request to sign out is made of.
var carriedByLogout = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}

// seal makes the text in which a request travels through the browser.
func (l *Logout) seal(form oauth.Form) (string, error) {
	values := url.Values{}
	for _, name := range carriedByLogout {
		if value := form.Get(name); value != "" {
			values.Set(name, value)
		}
	}
	return l.Issuer.Ring.Seal(issuer.PurposeLogout, []byte(values.Encode()))
}

// unseal reads such a text again.
func (l *Logout) unseal(sealed string) (oauth.Form, error) {
	plain, err := l.Issuer.Ring.Open(issuer.PurposeLogout, sealed)
	if err != nil {
		return oauth.Form{}, oauth.Refuse(oauth.InvalidRequest, "the request in the address is not ours", err)
	}
	values, err := url.ParseQuery(string(plain))
	for name := range values {
		if !slices.Contains(carriedByLogout, name) {
			err = errors.New("sealed for another page")
		}
	}
	if err != nil {
		return oauth.Form{}, oauth.Refuse(oauth.InvalidRequest, "the request in the address is none to sign out", err)
	}
	return oauth.NewForm(values), nil
}

// maxLogout bounds a request that travels in an address, in bytes.
const maxLogout = 12 << 10

// continueByGet goes on by GET: a client may send its user here by POST from its own
// site, and then the browser sends no cookies.
func (l *Logout) continueByGet(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	if _, err := l.read(r.Context(), form); err != nil {
		return err
	}
	sealed, err := l.seal(form)
	if err != nil {
		return err
	}
	if len(sealed) > maxLogout {
		return oauth.Errorf(oauth.InvalidRequest, "the request is too long")
	}
	return web.Redirect(w, l.Base+EndSessionPath+"?request="+sealed)
}

// read checks a request. What does not verify is refused and never ignored, and an
// address that is not registered for the client of the hint leads nowhere (RP-Initiated
// Logout Sections 2 and 4).
func (l *Logout) read(ctx context.Context, form oauth.Form) (*logoutRequest, error) {
	if sealed := form.Get("request"); sealed != "" {
		var err error
		if form, err = l.unseal(sealed); err != nil {
			return nil, err
		}
	}
	q := &logoutRequest{form: form, state: form.Get("state"), uiLocales: form.Get("ui_locales")}
	if len(q.state) > maxLogoutState || strings.ContainsFunc(q.state, unicode.IsControl) {
		return nil, oauth.Errorf(oauth.InvalidRequest, "state must be at most %d bytes without control characters", maxLogoutState)
	}
	hint := form.Get("id_token_hint")
	if hint == "" {
		return q, nil
	}
	var err error
	if q.hint, err = l.Issuer.ReadIDToken(hint, form.Get("client_id")); err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "id_token_hint is not an ID token of this server for the client", err)
	}
	uri := form.Get("post_logout_redirect_uri")
	if uri == "" {
		return q, nil
	}
	c, err := l.Store.KnownClient(ctx, q.hint.Audience[0], l.Now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil && c.DisabledAt.IsZero() {
		if redirect, ok := oauth.MatchAny(c.Metadata.PostLogoutRedirectURIs, uri); ok {
			q.redirect = redirect
			return q, nil
		}
	}
	return nil, oauth.Refuse(oauth.InvalidRequest, "post_logout_redirect_uri is not registered", errors.New("the address is none of the client's, or there is no such client"))
}

const maxLogoutState = 2048

// ask shows the question.
func (l *Logout) ask(w http.ResponseWriter, r *http.Request, q *logoutRequest, session *store.Session) error {
	sealed, err := l.seal(q.form)
	if err != nil {
		return err
	}
	return l.Pages.Render(w, r, http.StatusOK, web.LogoutPage{
		Username: session.Username, Action: l.Base + EndSessionPath, Self: l.Base + EndSessionPath + "?request=" + sealed, Request: sealed,
		FormToken: l.Browsers.FormToken(l.Browsers.ID(w, r)), UILocales: q.uiLocales,
	})
}

// decide takes the answer to the question.
func (l *Logout) decide(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	if err := l.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	if form.Get("decision") != "yes" {
		return web.Redirect(w, l.Base+"/")
	}
	q, err := l.read(r.Context(), form)
	if err != nil {
		return err
	}
	if _, err := l.Sessions.Current(r); err != nil { // names who signs out in the log and the audit trail
		return err
	}
	return l.end(w, r, q)
}

func (l *Logout) end(w http.ResponseWriter, r *http.Request, q *logoutRequest) error {
	ended, err := l.Sessions.End(r.Context(), w, r)
	if err != nil {
		return err
	}
	told, err := l.farewell(r.Context(), ended, q, l.Browsers.MarkOf(l.Browsers.ID(w, r)))
	if err != nil {
		return err
	}
	if told != "" {
		return web.Redirect(w, l.Base+LoggedOutPath+"?request="+told)
	}
	return l.leave(w, q)
}

// leave sends a user who is signed out to where the client wants them.
func (l *Logout) leave(w http.ResponseWriter, q *logoutRequest) error {
	if next := q.next(); next != "" {
		return web.Redirect(w, next)
	}
	return web.Redirect(w, l.Base+LoggedOutPath)
}

// next is where the client wants a user who is signed out, with its state and nothing
// else (RP-Initiated Logout Section 3); "" when it says nothing.
func (q *logoutRequest) next() string {
	if q.redirect.String() == "" || q.state == "" {
		return q.redirect.String()
	}
	return q.redirect.WithQuery([]oauth.Param{{Name: "state", Value: q.state}})
}
