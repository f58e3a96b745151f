package account

import (
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// security lists the ways to sign in.
func (e *Endpoint) security(v *visit) error {
	left, err := e.Store.RecoveryCodesLeft(v.r.Context(), v.user.ID)
	if err != nil {
		return err
	}
	_, err = e.Store.AuthenticatorApp(v.r.Context(), v.user.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	page := web.SecurityPage{Person: e.person(v), HasPassword: v.user.Password != "", HasApp: err == nil, CodesLeft: left}
	if e.Passkeys != nil {
		passkeys, err := e.Store.Passkeys(v.r.Context(), v.user.ID)
		if err != nil {
			return err
		}
		page.PasskeysURL, page.Passkeys = e.Base+login.AccountPath+passkeysPath, len(passkeys)
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}

func (e *Endpoint) showPassword(v *visit) error { return e.passwordPage(v, http.StatusOK, "") }

func (e *Endpoint) passwordPage(v *visit, status int, problem web.PasswordProblem) error {
	return e.Pages.Render(v.w, v.r, status, web.PasswordPage{Person: e.person(v), HasPassword: v.user.Password != "", Problem: problem})
}

// changePassword sets another password, which ends everything that was made under the
// old one, and goes on in this browser under a new session (SE-01, SE-05).
func (e *Endpoint) changePassword(v *visit) error {
	password := v.form.Get("password")
	hash, err := e.Passwords.HashNew(v.r.Context(), e.Hasher, password, login.OwnNames(v.user)...)
	if refused, ok := errors.AsType[*login.PasswordError](err); ok {
		web.EventOf(v.r.Context()).Failure = err
		return e.passwordPage(v, http.StatusUnprocessableEntity, refused.Problem)
	}
	if err != nil {
		return err
	}
	epoch, err := e.Store.ChangePassword(v.r.Context(), v.user.ID, v.session.UserEpoch, hash, v.now, v.by())
	if err == nil {
		err = e.Sessions.Continue(v.w, v.r, v.session, epoch)
	}
	switch {
	case errors.Is(err, store.ErrNotLive): // changed in another window meanwhile
		return e.again(v, "/password")
	case err != nil:
		return err
	}
	return e.done(v, "/security", "password")
}
