// Package authorize is the authorization endpoint: it checks a request, finds
// out what is still missing (sign-in, consent), and answers the client.
//
// It serves /authorize, /authorize/resume, /consent, and the seed's addresses
// /open/authorize/index and /open/implicit, which pin the response type and are
// otherwise the same. Its one invariant: pages never know the next one. They
// lead back to the dispatcher, which decides from the sealed request and from
// the session alone.
package authorize

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An Endpoint is the authorization endpoint with its aliases.
type Endpoint struct {
	Store    *store.Store
	Issuer   *issuer.Issuer
	Sessions *login.Sessions
	Browsers *web.Browsers
	Pages    *web.Pages
	Keys     *client.Keys
	// Fetch reads a document of one of the media types from an address that a client
	// is registered with.
	Fetch func(ctx context.Context, address string, mediaTypes ...string) ([]byte, error)
	Now   func() time.Time
	Base  string // path of the issuer

	RequestLifetime     time.Duration // of a sealed request
	CodeLifetime        time.Duration
	AccessTokenLifetime time.Duration
	Forbidden           []string             // grants that no client may use
	Scopes              map[string]ScopeText // declared scopes

	// RequireSecondFactor has everybody use a second factor, whatever the client says.
	RequireSecondFactor bool
	// ACRValues are those that a sign-in here can have.
	ACRValues []string
}

// A ScopeText is what was declared about a scope.
type ScopeText struct {
	English, Chinese string
	Optional         bool
}

// Addresses of the endpoint, below the issuer.
const (
	Path         = "/authorize"
	CodePath     = "/open/authorize/index" // pins response_type to code
	ImplicitPath = "/open/implicit"        // pins response_type to token
	ResumePath   = "/authorize/resume"
	ConsentPath  = "/consent"
)

// pinned are the response types that the aliases pin.
var pinned = map[string]string{CodePath: oauth.ResponseTypeCode, ImplicitPath: oauth.ResponseTypeToken}

// Serve takes an authorization request by GET or POST, RFC 6749 Section 3.1, at
// one of its addresses.
func (e *Endpoint) Serve(path string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		parse := oauth.ParseQuery
		if r.Method == http.MethodPost {
			parse = oauth.ParseForm
		}
		form, err := parse(r)
		if err != nil && (form.Get("client_id") == "" || form.Get("redirect_uri") == "") {
			return err // whom to tell is not certain
		}
		q := &request{path: path, form: form}
		if err := e.validate(r.Context(), q, err); err != nil {
			return e.refuse(w, r, q, err)
		}
		if r.Method == http.MethodPost && !e.bringsCookies(r) {
			return e.continueByGet(w, r, q)
		}
		q.begin(e.Now())
		q.sessionMark = e.Sessions.Mark(r)
		return e.dispatch(w, r, q)
	}
}

// bringsCookies reports whether a POST could be answered at once. A POST from
// another site brings no SameSite cookies, whoever is signed in, and must not be
// given new ones.
func (e *Endpoint) bringsCookies(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "" || site == "same-origin" || site == "none") && e.Browsers.Mark(r) != ""
}

// continueByGet seals a foreign POST and goes on by GET, where the browser sends
// what it has.
func (e *Endpoint) continueByGet(w http.ResponseWriter, r *http.Request, q *request) error {
	sealed, err := e.seal(q, "")
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	return web.Redirect(w, e.ResumeURL(sealed))
}

// Resume goes on with a sealed request: after a sign-in, or after a POST from
// another site.
func (e *Endpoint) Resume(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	q, err := e.open(r, form.Get("request"))
	if err != nil {
		return err
	}
	if q.err != nil {
		return e.refuse(w, r, q, q.err)
	}
	return e.dispatch(w, r, q)
}

// dispatch decides what a request needs next. Every page leads back here.
func (e *Endpoint) dispatch(w http.ResponseWriter, r *http.Request, q *request) error {
	session, err := e.Sessions.Current(r)
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	q.session, q.looked = session, true
	e.Sessions.ShowState(w, r, session)
	silent := q.prompts["none"]
	foreign, err := e.isForeign(q, session)
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	switch {
	case session != nil && !foreign && !e.needsSignIn(r, q, session):
	case silent, slices.Equal(q.subjects, nobody):
		return e.refuse(w, r, q, oauth.Errorf(oauth.LoginRequired, "the user must sign in"))
	case foreign && e.signedInFor(r, q, session):
		return e.refuse(w, r, q, oauth.Errorf(oauth.LoginRequired, "another user signed in than the one who was asked for"))
	case e.offersChoice(r, q, session):
		return e.toPage(w, r, q, login.SelectPath)
	default:
		return e.toPage(w, r, q, login.Path)
	}
	if e.needsChoice(r, q, session) {
		return e.toPage(w, r, q, login.SelectPath)
	}
	step, err := e.missingStep(r, q, session)
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	if step != "" {
		if silent {
			return e.refuse(w, r, q, oauth.Errorf(oauth.LoginRequired, "the user must sign in with a second factor"))
		}
		return e.toPage(w, r, q, step)
	}
	asks, err := e.needsConsent(r, q, session)
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	if asks {
		if silent {
			return e.refuse(w, r, q, oauth.Errorf(oauth.ConsentRequired, "the user must be asked"))
		}
		return e.toPage(w, r, q, ConsentPath)
	}
	return e.issue(w, r, q, session, nil)
}

// isForeign reports whether a session is of somebody else than the request wants, by the
// name under which the client knows the user.
func (e *Endpoint) isForeign(q *request, session *store.Session) (bool, error) {
	if session == nil || len(q.subjects) == 0 {
		return false, nil
	}
	subject, err := e.Issuer.Subject(&q.client.Metadata, session.UserID)
	return !slices.Contains(q.subjects, subject), err
}

// toPage seals the request for this browser and leads to one of our pages.
func (e *Endpoint) toPage(w http.ResponseWriter, r *http.Request, q *request, page string) error {
	sealed, err := e.seal(q, e.Browsers.MarkOf(e.Browsers.ID(w, r)))
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	return web.Redirect(w, e.pageURL(page, sealed))
}

// needsSignIn says whether a session does not satisfy the request: it asks for
// a new sign-in, or for one not older than max_age (OpenID Connect Core Section
// 3.1.2.1). A sign-in that happened for this very request satisfies it, however
// long the rest takes.
func (e *Endpoint) needsSignIn(r *http.Request, q *request, session *store.Session) bool {
	if e.signedInFor(r, q, session) {
		return false
	}
	if q.prompts["login"] {
		return true
	}
	return q.maxAge != nil && (*q.maxAge == 0 || e.Now().Sub(session.AuthTime) > time.Duration(*q.maxAge)*time.Second)
}

// needsChoice says whether the person must still say with which account to go on. Who has
// signed in for this very request has said so.
func (e *Endpoint) needsChoice(r *http.Request, q *request, session *store.Session) bool {
	return q.prompts["select_account"] && q.chosen != session.SID && !e.signedInFor(r, q, session)
}

// offersChoice reports whether somebody who must sign in may first choose as whom: nobody
// is signed in, and the browser knows accounts.
func (e *Endpoint) offersChoice(r *http.Request, q *request, session *store.Session) bool {
	return q.prompts["select_account"] && !q.prompts["login"] && session == nil && len(e.Sessions.Accounts(r)) > 0
}

// Choose implements login.Flow: the choice is for the session that the browser has now,
// and for no later one.
func (e *Endpoint) Choose(w http.ResponseWriter, r *http.Request, sealed string) error {
	q, err := e.open(r, sealed)
	if err != nil {
		return err
	}
	session, err := e.Sessions.Current(r)
	if err != nil {
		return err
	}
	if session != nil { // it keeps this name when a second factor is added to it
		q.chosen = session.SID
	}
	again, err := e.seal(q, e.Browsers.Mark(r))
	if err != nil {
		return e.refuse(w, r, q, err)
	}
	return web.Redirect(w, e.ResumeURL(again))
}

// clockSkew is how far the clocks of two replicas may be apart.
const clockSkew = time.Minute

// signedInFor reports whether the browser's session began after the request
// did: it is neither the one the request found, nor an older one whose cookie
// was kept from it at first.
func (e *Endpoint) signedInFor(r *http.Request, q *request, session *store.Session) bool {
	return q.resumed && e.Sessions.Mark(r) != q.sessionMark && session.AuthTime.After(q.created.Add(-clockSkew))
}

// needsConsent says whether the user must be asked. A public client whose
// redirect is not a claimed https one may be anybody on that device, so it is
// asked every time (RFC 8252 Section 8.6); a trusted one only when the user has
// seen no page at all.
func (e *Endpoint) needsConsent(r *http.Request, q *request, session *store.Session) (bool, error) {
	m := &q.client.Metadata
	unproven := m.IsPublic() && !q.redirect.IsClaimedHTTPS()
	switch {
	case q.prompts["consent"]:
		return true, nil
	case m.Trusted:
		return unproven && !e.signedInFor(r, q, session), nil
	case unproven:
		return true, nil
	}
	remembered, found, err := e.Store.Consent(r.Context(), session.UserID, q.client)
	if err != nil || !found {
		return true, err
	}
	allowed, err := oauth.ParseScope(remembered)
	return !q.asks().Within(allowed), err
}

// Prompt implements login.Flow.
func (e *Endpoint) Prompt(r *http.Request, sealed string) (*login.Prompt, error) {
	q, err := e.open(r, sealed)
	if err != nil {
		return nil, err
	}
	if q.err != nil {
		// What was right when it was sealed no longer is: the endpoint answers.
		return nil, &web.SeeOther{URL: e.ResumeURL(sealed)}
	}
	view := q.view()
	return &login.Prompt{Client: &view, LoginHint: q.loginHint, UILocales: q.uiLocales}, nil
}

// Cancel implements login.Flow: refusing to sign in refuses the client.
func (e *Endpoint) Cancel(w http.ResponseWriter, r *http.Request, sealed string) error {
	q, err := e.open(r, sealed)
	if err != nil {
		return err
	}
	return e.refuse(w, r, q, errors.Join(q.err, denied()))
}

func denied() error { return oauth.Errorf(oauth.AccessDenied, "the user refused") }

var _ login.Flow = (*Endpoint)(nil)
