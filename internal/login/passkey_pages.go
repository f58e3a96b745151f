package login

import (
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// PasskeyPath is where the sign-in page gets a challenge for a passkey, below the issuer.
const PasskeyPath = "/login/passkey"

// PasskeyOptions answers with the challenge of a sign-in, for the browser that has the
// page open.
func (e *Endpoint) PasskeyOptions(w http.ResponseWriter, r *http.Request) error {
	browser := e.Browsers.Mark(r)
	if browser == "" {
		return oauth.Refuse(oauth.InvalidRequest, "open the sign-in page first", errors.New("the browser sent no cookie of ours"))
	}
	options, err := e.Passkeys.SignInOptions(browser)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, options)
}

// signInWithPasskey takes the answer to a challenge. A passkey that is not accepted is
// told of in the same words whatever the reason; the way by password stays open.
func (e *Endpoint) signInWithPasskey(w http.ResponseWriter, r *http.Request, page web.LoginPage, answer string) error {
	user, err := e.Passkeys.SignIn(r.Context(), e.Browsers.Mark(r), answer)
	if err == nil {
		err = e.Sessions.Begin(w, r, user, passkeyAMR...)
		if errors.Is(err, store.ErrNotLive) { // disabled or changed between check and session
			err = refusedPasskey(err)
		}
	}
	switch {
	case err == nil:
		return web.Redirect(w, e.next(page.Request, page.Return))
	case errors.Is(err, ErrPasskey):
		page.Error = web.LoginPasskey
	case errors.Is(err, ErrPasskeyLate):
		page.Error = web.LoginStale
	default:
		return e.again(w, r, page, err)
	}
	web.EventOf(r.Context()).Failure = oauth.Refuse(oauth.InvalidGrant, "the passkey was not accepted", err)
	return e.show(w, r, http.StatusUnprocessableEntity, page)
}
