package openid

import (
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Logout ends the session of a browser, after asking.
type Logout struct {
	Sessions *login.Sessions
	Browsers *web.Browsers
	Pages    *web.Pages
	Base     string // path of the issuer
}

// Addresses of the pages, below the issuer.
const (
	EndSessionPath = "/end-session"
	LoggedOutPath  = "/logout/done"
)

// EndSession asks whether to sign out, and does it when the form comes back. No
// hint can do it unasked yet: this server has issued no ID token, so every hint
// is one that does not verify.
func (l *Logout) EndSession(w http.ResponseWriter, r *http.Request) error {
	parse := oauth.ParseQuery
	if r.Method == http.MethodPost {
		parse = oauth.ParseForm
	}
	form, err := parse(r)
	if err != nil {
		return err
	}
	if form.Get("id_token_hint") != "" {
		return oauth.Refuse(oauth.InvalidRequest, "id_token_hint is not an ID token of this server", errors.New("no ID token was ever issued"))
	}
	if r.Method == http.MethodPost && form.Has("decision") {
		return l.decide(w, r, form)
	}
	if r.Method == http.MethodPost {
		// A client may send its user here by POST; the question needs a GET, where
		// the browser sends its cookies.
		return web.Redirect(w, l.Base+EndSessionPath)
	}
	session, err := l.Sessions.Current(r)
	if err != nil {
		return err
	}
	if session == nil {
		return web.Redirect(w, l.Base+LoggedOutPath)
	}
	return l.Pages.Render(w, r, http.StatusOK, web.LogoutPage{
		Username: session.Username, Action: l.Base + EndSessionPath, Self: l.Base + EndSessionPath,
		FormToken: l.Browsers.FormToken(l.Browsers.ID(w, r)), UILocales: form.Get("ui_locales"),
	})
}

func (l *Logout) decide(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	if err := l.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	if form.Get("decision") != "yes" {
		return web.Redirect(w, l.Base+"/")
	}
	if _, err := l.Sessions.Current(r); err != nil { // names who signs out in the log and the audit trail
		return err
	}
	if err := l.Sessions.End(r.Context(), w, r); err != nil {
		return err
	}
	return web.Redirect(w, l.Base+LoggedOutPath)
}

// Done is the page behind a sign-out.
func (l *Logout) Done(w http.ResponseWriter, r *http.Request) error {
	return l.Pages.Render(w, r, http.StatusOK, web.LoggedOutPage{ContinueURL: l.Base + "/", Self: l.Base + LoggedOutPath})
}
