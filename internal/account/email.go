package account

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// emailPath is where people name another address, when there is mail to confirm it.
const emailPath = "/email"

// sendsMail reports whether there is mail.
func (e *Endpoint) sendsMail() bool { return e.Links != nil && e.Links.Sends }

func (e *Endpoint) showEmail(v *visit) error {
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.EmailPage{Person: e.person(v), Email: v.user.Email, Verified: v.user.EmailVerified})
}

// changeEmail has a link sent to the address that somebody has named: it becomes theirs by
// using it, and the old one is told then (AC-02).
func (e *Endpoint) changeEmail(v *visit) error {
	address := strings.TrimSpace(v.form.Get("email"))
	if !login.IsEmail(address) {
		page := web.EmailPage{Person: e.person(v), Email: v.user.Email, Verified: v.user.EmailVerified, Wrong: true}
		if len(address) <= maxShown {
			page.Typed = address
		}
		return e.Pages.Render(v.w, v.r, http.StatusUnprocessableEntity, page)
	}
	if address == v.user.Email && v.user.EmailVerified {
		return web.Redirect(v.w, e.Base+login.AccountPath+"/profile")
	}
	err := e.Links.ChangeEmail(v.r.Context(), v.user.ID, v.session.UserEpoch, address, e.Pages.Language(v.r, ""), v.by())
	if errors.Is(err, store.ErrNotLive) {
		return e.again(v, emailPath)
	}
	if err != nil {
		return err
	}
	return e.done(v, "/profile", "email")
}

// maxShown bounds what a page repeats of what was typed, in bytes.
const maxShown = 254
