package login

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Prompt is what the sign-in page shows of the request that led to it.
type Prompt struct {
	Client    *web.Client
	LoginHint string
	UILocales string
}

// A Flow is the authorization request in progress that a person signs in for.
// The authorization endpoint owns it; the page only carries its sealed text.
type Flow interface {
	// Prompt opens a sealed request; its error may be a *web.SeeOther that begins
	// the request anew.
	Prompt(r *http.Request, sealed string) (*Prompt, error)
	// ResumeURL is where the request goes on once somebody has signed in.
	ResumeURL(sealed string) string
	// Cancel answers the client that the person has refused.
	Cancel(w http.ResponseWriter, r *http.Request, sealed string) error
	// Choose goes on with the account that is signed in, which the person has chosen.
	Choose(w http.ResponseWriter, r *http.Request, sealed string) error
}

// An Endpoint is the sign-in page.
type Endpoint struct {
	Authenticator *Authenticator
	Factors       *Factors
	SignIns       Sealer // of sign-ins that lack the second step
	Sessions      *Sessions
	Browsers      *web.Browsers
	Pages         *web.Pages
	Flow          Flow
	Base          string // path of the issuer
	Links         *Links
	Passwords     *PasswordPolicy
	Passkeys      *Passkeys // nil when there are none

	// RequireSecondFactor has everybody use a second factor; who has none sets one up.
	RequireSecondFactor bool
}

// Path is where the page lives, below the issuer.
const Path = "/login"

// Serve shows the sign-in page and takes its form.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return e.submit(w, r)
	}
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	page := web.LoginPage{Request: form.Get("request"), Return: e.returnTo(form), Username: form.Get("username")}
	if len(page.Username) > maxUsername {
		page.Username = ""
	}
	if page.Request == "" && page.Username == "" {
		session, err := e.Sessions.Current(r)
		switch {
		case err != nil:
			return err
		case session == nil:
		case page.Return != "": // a step that wants to be sure that it is still the same person
			page.Username, page.Confirm = session.Username, true
		default:
			page.SignedIn, page.AccountURL = session.Username, e.Base+AccountPath
		}
	}
	return e.show(w, r, http.StatusOK, page)
}

// AccountPath is where people look after their accounts, below the issuer.
const AccountPath = "/account"

// SignInURL is the sign-in page that leads on to a path below the issuer, for pages that
// want somebody to have signed in, or to have done so a short while ago.
func SignInURL(base, path string) string {
	return base + Path + "?return=" + url.QueryEscape(path)
}

// returnTo is the path below the issuer to which a sign-in leads that no app asked for;
// "" for none, and for whatever is not a page of an account: nobody may use the sign-in
// page to send people elsewhere.
func (e *Endpoint) returnTo(form oauth.Form) string {
	to := form.Get("return")
	inside := to == AccountPath || strings.HasPrefix(to, AccountPath+"/")
	if !inside || form.Get("request") != "" || path.Clean(to) != to || strings.ContainsFunc(to, unusual) {
		return ""
	}
	return to
}

// unusual characters are in no path of ours.
func unusual(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '/' && c != '-'
}

// show renders the page with what the sealed request says about itself.
func (e *Endpoint) show(w http.ResponseWriter, r *http.Request, status int, page web.LoginPage) error {
	page.Action, page.Self = e.Base+Path, e.Base+Path
	if page.Request != "" {
		prompt, err := e.Flow.Prompt(r, page.Request)
		if err != nil {
			return err
		}
		page.Client, page.UILocales = prompt.Client, prompt.UILocales
		page.Self += "?request=" + url.QueryEscape(page.Request)
		if page.Username == "" && page.Error == "" {
			page.Username = prompt.LoginHint
		}
	}
	if page.Return != "" {
		page.Self = SignInURL(e.Base, page.Return)
	}
	if e.Links.Sends {
		page.ForgotURL = e.stepURL(ForgottenPath, way{page.Request, page.Return}, "")
	}
	if e.Passkeys != nil {
		page.PasskeyURL = e.Base + PasskeyPath
	}
	page.FormToken = e.Browsers.FormToken(e.Browsers.ID(w, r))
	return e.Pages.Render(w, r, status, page)
}

// submit takes the form: cancel, or name and password.
func (e *Endpoint) submit(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	if err := e.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	page := web.LoginPage{Request: form.Get("request"), Return: e.returnTo(form), Username: form.Get("username")}
	if page.Request != "" {
		// A request that has expired begins anew before a password is looked at.
		if _, err := e.Flow.Prompt(r, page.Request); err != nil {
			return err
		}
		if form.Get("action") == "cancel" {
			return e.Flow.Cancel(w, r, page.Request)
		}
	}
	if e.Passkeys != nil && form.Get("action") == "passkey" {
		return e.signInWithPasskey(w, r, page, form.Get("credential"))
	}
	if page.Username == "" || form.Get("password") == "" {
		page.Error = web.LoginIncomplete
		return e.show(w, r, http.StatusUnprocessableEntity, page)
	}
	if len(page.Username) > maxEmail {
		page.Username = ""
	}
	user, err := e.check(r, form)
	if err != nil {
		return e.again(w, r, page, err)
	}
	err = e.afterPassword(w, r, way{page.Request, page.Return}, user)
	if errors.Is(err, store.ErrNotLive) { // disabled or changed between check and session
		return e.again(w, r, page, ErrWrong)
	}
	return err
}

// next is where somebody goes who has signed in: on with the request of an app, back to a
// page of the account, or to the account's first page.
func (e *Endpoint) next(request, to string) string {
	switch {
	case request != "":
		return e.Flow.ResumeURL(request)
	case to != "":
		return e.Base + to
	}
	return e.Base + AccountPath
}

func (e *Endpoint) check(r *http.Request, form oauth.Form) (*store.User, error) {
	return e.Authenticator.Check(r.Context(), Attempt{
		Username: form.Get("username"), Password: form.Get("password"),
		DeviceOf: func(usernameKey string) string { return e.Sessions.Device(r, usernameKey) },
	})
}

// again shows the page once more with what went wrong, in words that are the
// same for every name.
func (e *Endpoint) again(w http.ResponseWriter, r *http.Request, page web.LoginPage, err error) error {
	web.EventOf(r.Context()).Failure = err
	if errors.Is(err, ErrWrong) {
		// What the password grant calls it; to the log it would be our own failure.
		web.EventOf(r.Context()).Failure = oauth.Refuse(oauth.InvalidGrant, "user name or password is wrong", err)
		page.Error = web.LoginFailed
		return e.show(w, r, http.StatusUnprocessableEntity, page)
	}
	status, ok := errors.AsType[*web.StatusError](err)
	if !ok {
		return err
	}
	page.Error, page.RetryAfter = web.LoginBusy, int(status.RetryAfter.Seconds())+1
	if status.Status == http.StatusTooManyRequests {
		page.Error = web.LoginThrottled
	}
	return e.show(w, r, status.Status, page)
}
