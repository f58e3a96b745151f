package account

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// passkeysPath is where people look after their passkeys, below the account, and
// passkeyOptionsPath where that page gets a challenge to add one.
const (
	passkeysPath       = "/passkeys"
	passkeyOptionsPath = "/passkeys/options"
)

func (e *Endpoint) showPasskeys(v *visit) error { return e.passkeysPage(v, http.StatusOK, "") }

func (e *Endpoint) passkeysPage(v *visit, status int, problem string) error {
	passkeys, err := e.Store.Passkeys(v.r.Context(), v.user.ID)
	if err != nil {
		return err
	}
	page := web.PasskeysPage{
		Person: e.person(v), Problem: problem, Full: len(passkeys) >= store.MaxPasskeys, OptionsURL: e.Base + login.AccountPath + passkeyOptionsPath,
		RPID: e.Passkeys.RPID, UserHandle: base64.RawURLEncoding.EncodeToString(login.UserHandle(v.user.ID)),
	}
	for _, k := range passkeys {
		page.Passkeys = append(page.Passkeys, web.Passkey{ID: k.ID, Name: k.Name, Roaming: k.Attachment == login.RoamingAuthenticator, AddedAt: k.CreatedAt, UsedAt: k.LastUsedAt})
	}
	return e.Pages.Render(v.w, v.r, status, page)
}

// adding is who adds a passkey in this visit.
func (e *Endpoint) adding(v *visit) login.Adding {
	a := login.Adding{User: v.user, Session: v.session.SID, Epoch: v.session.UserEpoch, Browser: e.Browsers.Mark(v.r)}
	device := web.DeviceOf(v.r.UserAgent())
	a.Device = strings.Trim(device.Browser+" · "+device.System, " ·")
	return a
}

// passkeyOptions answers the script of the page with what a passkey is made with.
func (e *Endpoint) passkeyOptions(v *visit) error {
	options, err := e.Passkeys.AddOptions(v.r.Context(), e.adding(v))
	if err != nil {
		return err
	}
	v.w.Header().Set("Cache-Control", "no-store")
	return web.JSON(v.w, http.StatusOK, options)
}

// changePasskeys adds one, gives one another name, or removes one (MF-04). One that is not
// theirs is not there (AC-01).
func (e *Endpoint) changePasskeys(v *visit) error {
	id := v.form.Get("id")
	switch v.form.Get("action") {
	case "add":
		return e.addPasskey(v)
	case "rename":
		if err := e.Store.RenamePasskey(v.r.Context(), v.user.ID, id, login.PasskeyName(v.form.Get("name"))); err != nil {
			return notTheirs(err)
		}
		return e.done(v, passkeysPath, "passkey_named")
	case "remove":
		err := e.Store.RemovePasskey(v.r.Context(), v.user.ID, v.user.Epoch, id, v.now, v.by())
		switch {
		case err == nil:
			return e.done(v, passkeysPath, "passkey_removed")
		case errors.Is(err, store.ErrLast):
			web.EventOf(v.r.Context()).Failure = oauth.Refuse(oauth.InvalidRequest, "the last means to sign in stays", err)
			return e.passkeysPage(v, http.StatusConflict, "last")
		case errors.Is(err, store.ErrNotLive): // changed in another window meanwhile
			return e.again(v, passkeysPath)
		}
		return notTheirs(err)
	}
	return oauth.Errorf(oauth.InvalidRequest, "action must be add, rename or remove")
}

func (e *Endpoint) addPasskey(v *visit) error {
	_, err := e.Passkeys.Add(v.r.Context(), e.adding(v), v.form.Get("credential"))
	status, problem := http.StatusUnprocessableEntity, ""
	switch {
	case err == nil:
		return e.done(v, passkeysPath, "passkey_added")
	case errors.Is(err, login.ErrPasskey):
		problem = "refused"
	case errors.Is(err, login.ErrPasskeyLate):
		problem = "late"
	case errors.Is(err, store.ErrConflict):
		status, problem = http.StatusConflict, "taken"
	case errors.Is(err, store.ErrTooMany):
		status, problem = http.StatusConflict, "full"
	case errors.Is(err, store.ErrNotFound): // disabled, deleted or signed out since the page was entered
		return e.again(v, passkeysPath)
	default:
		return err
	}
	web.EventOf(v.r.Context()).Failure = oauth.Refuse(oauth.InvalidRequest, "the passkey was not added", err)
	return e.passkeysPage(v, status, problem)
}

// An exportedPasskey is a passkey in the file of an account.
type exportedPasskey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	AAGUID     string     `json:"aaguid"`
	PublicKey  string     `json:"public_key"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

func (e *Endpoint) gatherPasskeys(v *visit, all *exported) error {
	passkeys, err := e.Store.Passkeys(v.r.Context(), v.user.ID)
	for _, k := range passkeys {
		one := exportedPasskey{ID: k.ID, Name: k.Name, AAGUID: k.AAGUID, PublicKey: k.PublicKey, CreatedAt: k.CreatedAt}
		if !k.LastUsedAt.IsZero() {
			one.LastUsedAt = &k.LastUsedAt
		}
		all.Passkeys = append(all.Passkeys, one)
	}
	return err
}
