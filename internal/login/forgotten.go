package login

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// The limits on asking for links. An address that asks for too many is told so; an
// account that is asked for too often gets no more mail, and nobody is told.
var (
	forgottenPerAddress = store.Limit{Burst: 20, Interval: 30 * time.Second}
	forgottenPerAccount = store.Limit{Burst: 3, Interval: 10 * time.Minute}
	forgottenByNobody   = store.Limit{Burst: 1, Interval: time.Second}
)

var (
	errManyAddresses = errors.New("too many addresses were to be confirmed for one account")
	errManyForgotten = errors.New("too many requests for a new password from one address")
)

// Forgotten asks whose password was forgotten, and has a link sent to whoever that is.
// The answer is the same for everybody, and takes as long: nothing is sent before it, and
// as much is written for a name that nobody has.
func (e *Endpoint) Forgotten(w http.ResponseWriter, r *http.Request) error {
	if !e.Links.Sends {
		return web.NotFound(w, r)
	}
	if r.Method != http.MethodPost {
		form, err := oauth.ParseQuery(r)
		if err != nil {
			return err
		}
		return e.showForgotten(w, r, http.StatusOK, web.ForgottenPage{Request: form.Get("request"), Return: e.returnTo(form), Username: form.Get("username")})
	}
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	if err := e.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	page := web.ForgottenPage{Request: form.Get("request"), Return: e.returnTo(form), Username: strings.TrimSpace(form.Get("username"))}
	if page.Username == "" {
		page.Error = web.ForgottenIncomplete
		return e.showForgotten(w, r, http.StatusUnprocessableEntity, page)
	}
	err = e.sendReset(r, page.Username)
	if refused, ok := errors.AsType[*web.StatusError](err); ok && refused.Status == http.StatusTooManyRequests {
		web.EventOf(r.Context()).Failure = err
		page.Error, page.RetryAfter = web.ForgottenThrottled, int(refused.RetryAfter.Seconds())+1
		return e.showForgotten(w, r, refused.Status, page)
	}
	if err != nil {
		return err
	}
	return web.Redirect(w, e.stepURL(ForgottenSentPath, way{page.Request, page.Return}, ""))
}

func (e *Endpoint) showForgotten(w http.ResponseWriter, r *http.Request, status int, page web.ForgottenPage) error {
	g := way{page.Request, page.Return}
	page.Action, page.BackURL, page.Self = e.Base+ForgottenPath, e.againURL(g), e.stepURL(ForgottenPath, g, "")
	if len(page.Username) > maxEmail {
		page.Username = ""
	}
	page.FormToken = e.Browsers.FormToken(e.Browsers.ID(w, r))
	return e.Pages.Render(w, r, status, page)
}

// ForgottenSent tells to look for the mail.
func (e *Endpoint) ForgottenSent(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	g := way{form.Get("request"), e.returnTo(form)}
	return e.Pages.Render(w, r, http.StatusOK, web.ResultPage{
		Result: web.ResultMailSent, NextURL: e.againURL(g), Self: e.stepURL(ForgottenSentPath, g, ""),
	})
}

// maxEmail bounds an address, RFC 5321 Section 4.5.3.1.
const maxEmail = 254

// sendReset has a link sent, if there is somebody to send it to.
func (e *Endpoint) sendReset(r *http.Request, name string) error {
	ctx, now := r.Context(), e.Links.Now()
	wait, err := e.Links.Store.Attempt(ctx, store.Bucket("forgotten address", source(web.EventOf(ctx).Address)), forgottenPerAddress, now)
	if err != nil {
		return err
	}
	if wait > 0 {
		return web.TooManyRequests(wait, errManyForgotten)
	}
	u, err := e.Authenticator.named(ctx, name)
	if err != nil {
		return err
	}
	account := u.UsernameKey
	if account == "" {
		account = name
	}
	if wait, err = e.Links.Store.Attempt(ctx, store.Bucket("forgotten account", account), forgottenPerAccount, now); err != nil {
		return err
	}
	if wait > 0 {
		u = &store.User{}
	}
	err = e.Links.SendReset(ctx, u, e.Pages.Language(r, ""), By(r.Context(), ""))
	if errors.Is(err, store.ErrNotLive) { // as much is written for nobody
		_, err = e.Links.Store.Attempt(ctx, store.Bucket("forgotten by nobody", randomID()), forgottenByNobody, now)
	}
	return err
}

// named is the user whom somebody means with a user name or a verified address; an empty
// one when there is none.
func (a *Authenticator) named(ctx context.Context, name string) (*store.User, error) {
	name = strings.TrimSpace(name)
	key, err := UsernameKey(name)
	if err != nil {
		key = "" // a name that nobody can have
	}
	address := ""
	if IsEmail(name) {
		address = name
	}
	u, err := a.Store.UserBySignIn(ctx, key, address)
	if errors.Is(err, store.ErrNotFound) {
		return &store.User{}, nil
	}
	return u, err
}
