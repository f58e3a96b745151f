package account

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// secondFactorPath is the page of the second factor, below that of the account.
const secondFactorPath = "/second-factor"

// showSecondFactor shows the app that somebody has, and offers one to all others.
func (e *Endpoint) showSecondFactor(v *visit) error {
	app, err := e.Store.AuthenticatorApp(v.r.Context(), v.user.ID)
	if errors.Is(err, store.ErrNotFound) {
		return e.offerApp(v, http.StatusOK, v.form.Get("app"), "")
	}
	if err != nil {
		return err
	}
	left, err := e.Store.RecoveryCodesLeft(v.r.Context(), v.user.ID)
	if err != nil {
		return err
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.TwoStepPage{
		Person: e.person(v), App: app.ID, Added: app.CreatedAt, Used: app.UsedAt, CodesLeft: left, Required: e.RequireSecondFactor,
	})
}

// offerApp shows what an authenticator app is set up with. A new offer goes into the
// address, so that the picture stays the same whatever is done with the page.
func (e *Endpoint) offerApp(v *visit, status int, offered string, wrong web.SecondFactorError) error {
	browser := e.Browsers.MarkOf(e.Browsers.ID(v.w, v.r))
	key, uri, err := e.Factors.Offered(v.user, browser, offered)
	if err != nil {
		if offered, err = e.Factors.Offer(v.user.ID, browser); err != nil {
			return err
		}
		return web.Redirect(v.w, e.secondFactorURL(offered))
	}
	page := web.TwoStepPage{Person: e.person(v), Offer: &web.AppOffer{Enrolment: offered, Key: key, URI: uri}, Error: wrong}
	page.Self = e.secondFactorURL(offered)
	return e.Pages.Render(v.w, v.r, status, page)
}

func (e *Endpoint) secondFactorURL(offered string) string {
	return e.Base + login.AccountPath + secondFactorPath + "?app=" + url.QueryEscape(offered)
}

// changeSecondFactor takes the forms of the page: an app that shows its first code, new
// recovery codes, or the end of the app (MF-04).
func (e *Endpoint) changeSecondFactor(v *visit) error {
	switch v.form.Get("action") {
	case "confirm":
		return e.confirmApp(v)
	case "renew":
		codes, err := e.Factors.RenewRecoveryCodes(v.r.Context(), v.user)
		if err != nil {
			return e.overtaken(v, err)
		}
		return e.showCodes(v, codes)
	case "remove":
		err := e.Store.RemoveAuthenticatorApp(v.r.Context(), v.user.ID, v.user.Epoch, v.form.Get("id"), v.now, v.by())
		if err != nil {
			return e.overtaken(v, err)
		}
		return e.done(v, "/security", "factor_removed")
	}
	return oauth.Errorf(oauth.InvalidRequest, "action must be confirm, renew or remove")
}

// overtaken answers for what was removed or changed in another window meanwhile.
func (e *Endpoint) overtaken(v *visit, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return e.asItIs(v)
	case errors.Is(err, store.ErrNotLive):
		return e.again(v, secondFactorPath)
	}
	return err
}

// asItIs shows how things stand, to somebody whose page knew it otherwise.
func (e *Endpoint) asItIs(v *visit) error {
	return web.Redirect(v.w, e.Base+login.AccountPath+secondFactorPath)
}

func (e *Endpoint) confirmApp(v *visit) error {
	offered, code := v.form.Get("app"), v.form.Get("code")
	if code == "" {
		return e.offerApp(v, http.StatusUnprocessableEntity, offered, web.SecondFactorIncomplete)
	}
	_, codes, err := e.Factors.Confirm(v.r.Context(), v.user, e.Browsers.Mark(v.r), offered, code)
	switch {
	case errors.Is(err, login.ErrNoEnrolment):
		return e.offerApp(v, http.StatusOK, "", "")
	case errors.Is(err, login.ErrWrongCode):
		web.EventOf(v.r.Context()).Failure = oauth.Refuse(oauth.InvalidGrant, "the code of the new authenticator app is wrong", err)
		return e.offerApp(v, http.StatusUnprocessableEntity, offered, web.SecondFactorFailed)
	case errors.Is(err, store.ErrConflict): // set up in another window
		return e.asItIs(v)
	case err == nil:
		// Who has shown a code has passed the second factor, in this session.
		err = e.Sessions.StepUp(v.w, v.r, v.user, v.session, "")
	}
	switch {
	case errors.Is(err, store.ErrNotLive):
		return e.again(v, secondFactorPath)
	case err != nil:
		return err
	case len(codes) == 0:
		return e.done(v, "/security", "factor_added")
	}
	return e.showCodes(v, codes)
}

// showCodes shows recovery codes, the one time that they can be read.
func (e *Endpoint) showCodes(v *visit, codes []string) error {
	page := web.TwoStepPage{Person: e.person(v), NewCodes: codes}
	page.Self = "" // it cannot be fetched again
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}
