package login

import (
	"errors"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// SecondFactor shows the page that asks for a code, and takes its form. It completes half
// a sign-in, or adds to a session what it lacks.
func (e *Endpoint) SecondFactor(w http.ResponseWriter, r *http.Request) error {
	s, form, err := e.enterStep(w, r, SecondFactorPath)
	if s == nil || err != nil {
		return err
	}
	if r.Method == http.MethodPost && form.Get("action") == "passkey" {
		return e.takePasskey(w, r, s, form.Get("credential"), func(status int, wrong web.SecondFactorError, retryAfter int) error {
			return e.askCode(w, r, status, s, web.SecondFactorPage{Error: wrong, RetryAfter: retryAfter})
		})
	}
	if r.Method == http.MethodPost {
		return e.takeCode(w, r, s, form)
	}
	return e.askCode(w, r, http.StatusOK, s, web.SecondFactorPage{Recovery: form.Get("recovery") != ""})
}

// enterStep finds who stands before a step, and sends those elsewhere who have no business
// there; then it is nil.
func (e *Endpoint) enterStep(w http.ResponseWriter, r *http.Request, path string) (*standing, oauth.Form, error) {
	parse := oauth.ParseQuery
	if r.Method == http.MethodPost {
		parse = oauth.ParseForm
	}
	form, err := parse(r)
	if err != nil {
		return nil, form, err
	}
	if r.Method == http.MethodPost {
		if err := e.Browsers.CheckForm(r, form); err != nil {
			return nil, form, err
		}
	}
	s, err := e.stand(r, form)
	if err != nil {
		return nil, form, e.beginAgain(w, r, s, err)
	}
	if r.Method == http.MethodPost && s.request != "" && form.Get("action") == "cancel" {
		return nil, form, e.Flow.Cancel(w, r, s.request)
	}
	switch {
	case s.user == nil:
		return nil, form, web.Redirect(w, e.againURL(s.way))
	case s.session != nil && HasSecondFactor(s.session):
		return nil, form, web.Redirect(w, e.next(s.request, s.to))
	case s.user.SecondFactor != (path == SecondFactorPath):
		return nil, form, e.otherStep(w, s)
	case path == SetUpPath && !s.isFresh(e.Sessions.Now()):
		return nil, form, web.Redirect(w, e.againURL(s.way))
	}
	return s, form, e.findPasskeys(r, s)
}

// otherStep leads those who have a second factor to where it is asked for, those who must
// have one to where they get it, and all others to the beginning.
func (e *Endpoint) otherStep(w http.ResponseWriter, s *standing) error {
	switch {
	case s.user.SecondFactor:
		return web.Redirect(w, e.stepURL(SecondFactorPath, s.way, s.half))
	case e.RequireSecondFactor:
		return web.Redirect(w, e.stepURL(SetUpPath, s.way, s.half))
	case s.session != nil: // nobody wants one of them
		return web.Redirect(w, e.next(s.request, s.to))
	}
	return web.Redirect(w, e.againURL(s.way))
}

// askCode shows the page.
func (e *Endpoint) askCode(w http.ResponseWriter, r *http.Request, status int, s *standing, page web.SecondFactorPage) error {
	other, here := "1", ""
	if page.Recovery {
		other, here = "", "1"
	}
	page.SignInStep = e.step(w, r, s, SecondFactorPath, "recovery", here)
	page.OtherURL = e.stepURL(SecondFactorPath, s.way, s.half, "recovery", other)
	page.Remember = int(e.Sessions.Remembered / (24 * time.Hour))
	return e.Pages.Render(w, r, status, page)
}

// takeCode takes the form.
func (e *Endpoint) takeCode(w http.ResponseWriter, r *http.Request, s *standing, form oauth.Form) error {
	page := web.SecondFactorPage{Recovery: form.Get("recovery") != ""}
	code := form.Get("code")
	if code == "" {
		page.Error = web.SecondFactorIncomplete
		return e.askCode(w, r, http.StatusUnprocessableEntity, s, page)
	}
	web.EventOf(r.Context()).UserID = s.user.ID
	factor, err := e.Factors.Check(r.Context(), s.user.ID, code, e.Sessions.Device(r, s.user.UsernameKey))
	if err != nil {
		return e.askCodeAgain(w, r, s, page, err)
	}
	if form.Get("remember") == "" || e.Sessions.Remembered == 0 {
		factor = ""
	}
	err = e.finish(w, r, s, methodOTP, factor)
	if errors.Is(err, store.ErrNotLive) { // disabled or changed between check and session
		return e.beginAgain(w, r, s, errBeginAgain)
	}
	if err != nil {
		return err
	}
	return web.Redirect(w, e.next(s.request, s.to))
}

// askCodeAgain shows the page once more with what went wrong.
func (e *Endpoint) askCodeAgain(w http.ResponseWriter, r *http.Request, s *standing, page web.SecondFactorPage, err error) error {
	event := web.EventOf(r.Context())
	event.Failure = err
	switch {
	case errors.Is(err, ErrWrongCode):
		event.Failure = oauth.Refuse(oauth.InvalidGrant, "the code of the second factor is wrong", err)
		page.Error = web.SecondFactorFailed
		return e.askCode(w, r, http.StatusUnprocessableEntity, s, page)
	case errors.Is(err, ErrUsedCode):
		event.Failure = oauth.Refuse(oauth.InvalidGrant, "the code of the second factor was used before", err)
		page.Error = web.SecondFactorUsed
		return e.askCode(w, r, http.StatusUnprocessableEntity, s, page)
	}
	status, ok := errors.AsType[*web.StatusError](err)
	if !ok {
		return err
	}
	page.Error, page.RetryAfter = web.SecondFactorBusy, int(status.RetryAfter.Seconds())+1
	if status.Status == http.StatusTooManyRequests {
		page.Error = web.SecondFactorThrottled
	}
	return e.askCode(w, r, status.Status, s, page)
}

// SetUp has somebody set up an authenticator app who cannot go on without a second factor,
// and has proved the rest a short while ago. Who has a passkey is asked for that instead.
func (e *Endpoint) SetUp(w http.ResponseWriter, r *http.Request) error {
	s, form, err := e.enterStep(w, r, SetUpPath)
	if s == nil || err != nil {
		return err
	}
	if r.Method == http.MethodPost && form.Get("action") == "passkey" {
		return e.takePasskey(w, r, s, form.Get("credential"), func(status int, wrong web.SecondFactorError, _ int) error {
			return e.showOffer(w, r, status, s, "", wrong)
		})
	}
	if s.passkeyURL != "" {
		// They have a second factor. Whoever knows the password alone gives themselves no
		// other one.
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusUnprocessableEntity
		}
		return e.showOffer(w, r, status, s, "", "")
	}
	if r.Method == http.MethodPost {
		return e.confirmApp(w, r, s, form)
	}
	offered := form.Get("app")
	if _, _, err := e.Factors.Offered(s.user, e.Browsers.Mark(r), offered); err != nil {
		return e.offerApp(w, r, s)
	}
	return e.showOffer(w, r, http.StatusOK, s, offered, "")
}

// offerApp makes an offer and leads to where it is shown: however often that is fetched,
// in whatever language, the picture stays the same.
func (e *Endpoint) offerApp(w http.ResponseWriter, r *http.Request, s *standing) error {
	offered, err := e.Factors.Offer(s.user.ID, e.Browsers.MarkOf(e.Browsers.ID(w, r)))
	if err != nil {
		return err
	}
	return web.Redirect(w, e.stepURL(SetUpPath, s.way, s.half, "app", offered))
}

// showOffer shows the page: what an app is set up with, or nothing but the way by passkey.
func (e *Endpoint) showOffer(w http.ResponseWriter, r *http.Request, status int, s *standing, offered string, wrong web.SecondFactorError) error {
	if s.passkeyURL != "" {
		return e.Pages.Render(w, r, status, web.SetUpFactorPage{SignInStep: e.step(w, r, s, SetUpPath), Error: wrong})
	}
	key, uri, err := e.Factors.Offered(s.user, e.Browsers.Mark(r), offered)
	if err != nil {
		return e.offerApp(w, r, s)
	}
	return e.Pages.Render(w, r, status, web.SetUpFactorPage{
		SignInStep: e.step(w, r, s, SetUpPath, "app", offered), AppOffer: web.AppOffer{Enrolment: offered, Key: key, URI: uri}, Error: wrong,
	})
}

// confirmApp takes the form: with the right code the app is the user's, and they have
// signed in with it.
func (e *Endpoint) confirmApp(w http.ResponseWriter, r *http.Request, s *standing, form oauth.Form) error {
	offered, code := form.Get("app"), form.Get("code")
	if code == "" {
		return e.showOffer(w, r, http.StatusUnprocessableEntity, s, offered, web.SecondFactorIncomplete)
	}
	_, codes, err := e.Factors.Confirm(r.Context(), s.user, e.Browsers.Mark(r), offered, code)
	switch {
	case errors.Is(err, ErrNoEnrolment):
		return e.offerApp(w, r, s)
	case errors.Is(err, ErrWrongCode):
		web.EventOf(r.Context()).Failure = oauth.Refuse(oauth.InvalidGrant, "the code of the new authenticator app is wrong", err)
		return e.showOffer(w, r, http.StatusUnprocessableEntity, s, offered, web.SecondFactorFailed)
	case errors.Is(err, store.ErrConflict): // in another tab
		return web.Redirect(w, e.stepURL(SecondFactorPath, s.way, s.half))
	case errors.Is(err, store.ErrNotLive):
		return e.beginAgain(w, r, s, errBeginAgain)
	case err != nil:
		return err
	}
	if err := e.finish(w, r, s, methodOTP, ""); errors.Is(err, store.ErrNotLive) {
		return e.beginAgain(w, r, s, errBeginAgain)
	} else if err != nil {
		return err
	}
	next := e.next(s.request, s.to)
	if len(codes) == 0 { // they have some
		return web.Redirect(w, next)
	}
	return e.Pages.Render(w, r, http.StatusOK, web.RecoveryCodesPage{Codes: codes, NextURL: next, UILocales: s.prompt.UILocales})
}
