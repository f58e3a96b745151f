package login

import (
	"net/http"
	"net/url"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// SelectPath is where somebody chooses with which account to go on, below the issuer.
const SelectPath = "/select-account"

// SelectAccount shows the accounts that this browser knows and takes the choice, OpenID
// Connect Core Section 3.1.2.1 (prompt select_account). Who chooses the one that is signed
// in goes on with it; every other one signs in.
func (e *Endpoint) SelectAccount(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return e.choose(w, r)
	}
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	sealed := form.Get("request")
	prompt, err := e.Flow.Prompt(r, sealed)
	if err != nil {
		return err
	}
	session, err := e.Sessions.Current(r)
	if err != nil {
		return err
	}
	accounts := e.accounts(r, session)
	if len(accounts) == 0 {
		return web.Redirect(w, e.signInURL(sealed, ""))
	}
	return e.Pages.Render(w, r, http.StatusOK, web.SelectAccountPage{
		Client: *prompt.Client, Accounts: accounts, Action: e.Base + SelectPath, Request: sealed,
		FormToken: e.Browsers.FormToken(e.Browsers.ID(w, r)), Self: e.Base + SelectPath + "?request=" + url.QueryEscape(sealed), UILocales: prompt.UILocales,
	})
}

// accounts are those to choose from: the one that is signed in, and then those that have
// not signed out.
func (e *Endpoint) accounts(r *http.Request, session *store.Session) []web.Account {
	var all []web.Account
	names := e.Sessions.Accounts(r)
	if session != nil {
		all = append(all, web.Account{Username: session.Username, SignedIn: true})
		names = without(names, session.Username)
	}
	for _, name := range names {
		all = append(all, web.Account{Username: name})
	}
	return all
}

// choose takes the form: an account, another one than those, or none.
func (e *Endpoint) choose(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	if err := e.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	sealed, name := form.Get("request"), form.Get("account")
	if _, err := e.Flow.Prompt(r, sealed); err != nil {
		return err
	}
	if form.Get("action") == "cancel" {
		return e.Flow.Cancel(w, r, sealed)
	}
	session, err := e.Sessions.Current(r)
	if err != nil {
		return err
	}
	if name != "" && session != nil && name == session.Username {
		return e.Flow.Choose(w, r, sealed)
	}
	return web.Redirect(w, e.signInURL(sealed, name))
}

// signInURL is the sign-in page of a request, with a name filled in.
func (e *Endpoint) signInURL(sealed, name string) string {
	query := url.Values{"request": {sealed}}
	if name != "" && len(name) <= maxUsername {
		query.Set("username", name)
	}
	return e.Base + Path + "?" + query.Encode()
}
