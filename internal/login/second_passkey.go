package login

import (
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// SecondPasskeyPath is where the page of a second step gets a challenge for a passkey,
// below the issuer.
const SecondPasskeyPath = "/login/second-factor/passkey"

// findPasskeys notes whether whoever stands before a second step has passkeys, one of
// which does as well.
func (e *Endpoint) findPasskeys(r *http.Request, s *standing) error {
	if e.Passkeys == nil {
		return nil
	}
	passkeys, err := e.Passkeys.Store.Passkeys(r.Context(), s.user.ID)
	if len(passkeys) > 0 {
		s.passkeyURL = e.stepURL(SecondPasskeyPath, s.way, s.half)
	}
	return err
}

// SecondPasskeyOptions answers with a challenge for the passkeys of whoever stands before
// a second step.
func (e *Endpoint) SecondPasskeyOptions(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	s, err := e.stand(r, form)
	if err == nil && s.user == nil {
		err = errBeginAgain
	}
	if err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "nobody stands before the second step of a sign-in", err)
	}
	options, err := e.Passkeys.ConfirmOptions(r.Context(), e.Browsers.Mark(r), s.user.ID)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, options)
}

// takePasskey takes the answer of a passkey for the second step. again shows the page once
// more with what went wrong.
func (e *Endpoint) takePasskey(w http.ResponseWriter, r *http.Request, s *standing, answer string, again func(status int, wrong web.SecondFactorError, retryAfter int) error) error {
	event := web.EventOf(r.Context())
	event.UserID = s.user.ID
	if e.Passkeys == nil {
		return web.NotFound(w, r)
	}
	err := e.Passkeys.Confirm(r.Context(), e.Browsers.Mark(r), s.user.ID, answer)
	if err == nil {
		err = e.finish(w, r, s, methodKey, "")
	}
	switch {
	case err == nil:
		return web.Redirect(w, e.next(s.request, s.to))
	case errors.Is(err, store.ErrNotLive): // disabled or changed between check and session
		return e.beginAgain(w, r, s, errBeginAgain)
	case errors.Is(err, ErrPasskey), errors.Is(err, ErrPasskeyLate):
		event.Failure = oauth.Refuse(oauth.InvalidGrant, "the passkey was not accepted", err)
		return again(http.StatusUnprocessableEntity, web.SecondFactorPasskey, 0)
	}
	status, ok := errors.AsType[*web.StatusError](err)
	if !ok {
		return err
	}
	event.Failure = err
	return again(status.Status, web.SecondFactorThrottled, int(status.RetryAfter.Seconds())+1)
}
