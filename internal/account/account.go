// Package account holds the pages where people look after their own account: who they
// are, how they sign in, where they are signed in, which apps may do something in their
// name, what happened, and the way out.
package account

import (
	"errors"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An Endpoint is all pages of accounts.
type Endpoint struct {
	Store      *store.Store
	Sessions   *login.Sessions
	Browsers   *web.Browsers
	Pages      *web.Pages
	Hasher     *login.Hasher
	Passkeys   *login.Passkeys // nil when there are none
	Factors    *login.Factors
	Passwords  *login.PasswordPolicy
	Links      *login.Links
	Now        func() time.Time
	Base       string // path of the issuer
	SignOutURL string
	// ScopeText is the declared text of a scope in a language of the pages; "" for none.
	ScopeText func(scope, language string) string
	// RequireSecondFactor has everybody use a second factor before a dangerous step, and
	// tells those who remove theirs that they will need another.
	RequireSecondFactor bool
}

// A Route is one page of an account: its path below the issuer, the methods it answers,
// and what does so.
type Route struct {
	Path, Methods string
	Serve         web.Handler
}

// A page shows something and may take its form.
type page struct {
	path  string
	fresh bool // asks for another sign-in when the last one was long ago
	show  func(v *visit) error
	take  func(v *visit) error // nil when there is no form
}

// A visit is one request of somebody who is signed in.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	session *store.Session
	user    *store.User
	form    oauth.Form // the query of a GET, the body of a POST
	now     time.Time
}

// Routes are all pages. Each passes the one check of serve.
func (e *Endpoint) Routes() []Route {
	var routes []Route
	pages := []page{
		{path: "", show: e.overview},
		{path: "/profile", show: e.showProfile, take: e.saveProfile},
		{path: "/security", show: e.security},
		{path: "/password", fresh: true, show: e.showPassword, take: e.changePassword},
		{path: secondFactorPath, fresh: true, show: e.showSecondFactor, take: e.changeSecondFactor},
		{path: "/sessions", show: e.showSessions, take: e.endSession},
		{path: "/apps", show: e.showApps, take: e.removeApp},
		{path: "/activity", show: e.activity},
		{path: "/data", show: e.showData},
		{path: "/export", fresh: true, show: e.showData, take: e.export},
		{path: "/delete", fresh: true, show: e.showDelete, take: e.leave},
	}
	if e.sendsMail() {
		pages = append(pages, page{path: emailPath, fresh: true, show: e.showEmail, take: e.changeEmail})
	}
	if e.Passkeys != nil {
		pages = append(pages,
			page{path: passkeysPath, fresh: true, show: e.showPasskeys, take: e.changePasskeys},
			page{path: passkeyOptionsPath, fresh: true, show: e.passkeyOptions})
	}
	for _, p := range pages {
		methods := "GET, HEAD"
		if p.take != nil {
			methods += ", POST"
		}
		routes = append(routes, Route{login.AccountPath + p.path, methods, e.serve(p)})
	}
	return routes
}

// serve is the one check before every page: a form is one of our own, somebody is signed
// in, and for a dangerous step has been so for a short while only (SE-07). Half a sign-in
// is none.
func (e *Endpoint) serve(p page) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		v, answer := &visit{w: w, r: r, now: e.Now()}, p.show
		if r.Method == http.MethodPost {
			answer = p.take
			if v.form, err = oauth.ParseForm(r); err == nil {
				err = e.Browsers.CheckForm(r, v.form)
			}
		} else {
			v.form, err = oauth.ParseQuery(r)
		}
		if err != nil {
			return err
		}
		if err := e.enter(v); err != nil {
			return err
		}
		if v.user == nil || p.fresh && v.now.Sub(v.session.AuthTime) > login.FreshFor {
			return web.Redirect(w, login.SignInURL(e.Base, login.AccountPath+p.path))
		}
		if p.fresh && (v.user.SecondFactor || e.RequireSecondFactor) && !login.HasSecondFactor(v.session) {
			// A device that stands in for the second factor is not enough here (MF-04), and
			// a session from before everybody needed one is not either.
			return web.Redirect(w, login.SecondFactorURL(e.Base, login.AccountPath+p.path))
		}
		return answer(v)
	}
}

// enter finds who is signed in; v.user stays nil when nobody is.
func (e *Endpoint) enter(v *visit) error {
	session, err := e.Sessions.Current(v.r)
	if err != nil || session == nil {
		return err
	}
	user, err := e.Store.User(v.r.Context(), session.UserID)
	if errors.Is(err, store.ErrNotFound) || err == nil && user.Epoch != session.UserEpoch {
		return nil // deleted or changed since the session was read
	}
	v.session, v.user = session, user
	return err
}

// person is what every page shows.
func (e *Endpoint) person(v *visit) web.Person {
	p := web.Person{
		Username: v.user.Username, Name: claimsOf(v.user).text("name"), SignOutURL: e.SignOutURL, Now: v.now,
		FormToken: e.Browsers.FormToken(e.Browsers.ID(v.w, v.r)),
	}
	if v.r.Method != http.MethodPost {
		p.Done = v.form.Get("done")
	}
	p.Self = v.r.URL.EscapedPath() // and without its query: what was done is said once
	return p
}

// by says who does what v asks for.
func (v *visit) by() store.By { return login.By(v.r.Context(), v.user.ID) }

// done leads back to a page, which says what was done. It is shown once.
func (e *Endpoint) done(v *visit, path, what string) error {
	return web.Redirect(v.w, e.Base+login.AccountPath+path+"?done="+what)
}

// again has somebody sign in once more, who was changed while the page was open.
func (e *Endpoint) again(v *visit, path string) error {
	return web.Redirect(v.w, login.SignInURL(e.Base, login.AccountPath+path))
}

// maxListed bounds what a page lists of sessions and apps.
const maxListed = 200

// overview tells in a few words what the other pages say.
func (e *Endpoint) overview(v *visit) error {
	sessions, err := e.Store.Sessions(v.r.Context(), v.user.ID, v.now, e.Sessions.Idle, maxListed)
	if err != nil {
		return err
	}
	apps, err := e.Store.Accesses(v.r.Context(), v.user.ID, v.now, maxListed)
	if err != nil {
		return err
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.OverviewPage{Person: e.person(v), Email: v.user.Email, TwoStep: v.user.SecondFactor, Sessions: len(sessions), Apps: len(apps)})
}
