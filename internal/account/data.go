package account

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

func (e *Endpoint) showData(v *visit) error {
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.DataPage{Person: e.person(v)})
}

// An exported account is everything that is kept about a person and is theirs to know.
// Secrets are not in it, not even as hashes.
type exported struct {
	ExportedAt    time.Time         `json:"exported_at"`
	Subject       string            `json:"sub"`
	Username      string            `json:"username"`
	Email         string            `json:"email,omitempty"`
	EmailVerified bool              `json:"email_verified"`
	Language      string            `json:"language,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	UpdatedAt     time.Time         `json:"updated_at"`
	Claims        json.RawMessage   `json:"claims"`
	Passkeys      []exportedPasskey `json:"passkeys,omitempty"`
	Sessions      []exportedSession `json:"sessions"`
	Apps          []exportedApp     `json:"apps"`
	SecondFactors []exportedFactor  `json:"second_factors"`
	RecoveryCodes int               `json:"recovery_codes"` // how many are left
	Events        []exportedEvent   `json:"events"`         // the newest first, maxExported at most
}

type exportedSession struct {
	SID       string    `json:"sid"`
	Address   string    `json:"address,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
	ACR       string    `json:"acr"`
	AMR       string    `json:"amr"`
}

type exportedApp struct {
	ClientID string     `json:"client_id"`
	Name     string     `json:"client_name,omitempty"`
	Scope    []string   `json:"scope"`
	Since    time.Time  `json:"since"`
	UsedAt   *time.Time `json:"used_at,omitempty"`
}

type exportedFactor struct {
	Kind      string     `json:"kind"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

type exportedEvent struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Actor    string    `json:"actor"`
	ClientID string    `json:"client_id,omitempty"`
	Address  string    `json:"address,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// maxExported bounds what one answer holds of the audit trail.
const maxExported = 10_000

// export answers with the account as a file.
func (e *Endpoint) export(v *visit) error {
	u := v.user
	all := exported{
		ExportedAt: v.now.UTC(), Subject: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Language: u.Locale,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Claims: u.Claims, Sessions: []exportedSession{}, Apps: []exportedApp{}, SecondFactors: []exportedFactor{}, Events: []exportedEvent{},
	}
	for _, gather := range []func(*visit, *exported) error{e.gatherPasskeys, e.gatherSessions, e.gatherApps, e.gatherFactors, e.gatherEvents} {
		if err := gather(v, &all); err != nil {
			return err
		}
	}
	body, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="account.json"`)
	h.Set("Cache-Control", "no-store")
	_, _ = v.w.Write(append(body, '\n')) // the reader may have gone
	return nil
}

func (e *Endpoint) gatherSessions(v *visit, all *exported) error {
	sessions, err := e.Store.Sessions(v.r.Context(), v.user.ID, v.now, e.Sessions.Idle, maxExported)
	for _, s := range sessions {
		all.Sessions = append(all.Sessions, exportedSession{s.SID, s.Address, s.UserAgent, s.CreatedAt, s.SeenAt, s.ExpiresAt, s.ACR, s.AMR})
	}
	return err
}

func (e *Endpoint) gatherFactors(v *visit, all *exported) error {
	factors, err := e.Store.SecondFactors(v.r.Context(), v.user.ID)
	if err != nil {
		return err
	}
	for _, f := range factors {
		factor := exportedFactor{Kind: string(f.Kind), CreatedAt: f.CreatedAt}
		if !f.UsedAt.IsZero() {
			factor.UsedAt = &f.UsedAt
		}
		all.SecondFactors = append(all.SecondFactors, factor)
	}
	all.RecoveryCodes, err = e.Store.RecoveryCodesLeft(v.r.Context(), v.user.ID)
	return err
}

func (e *Endpoint) gatherApps(v *visit, all *exported) error {
	accesses, err := e.Store.Accesses(v.r.Context(), v.user.ID, v.now, maxExported)
	if err != nil {
		return err
	}
	for _, a := range accesses {
		client, err := e.client(v.r.Context(), a.ClientID, v.now)
		if err != nil {
			return err
		}
		app := exportedApp{ClientID: a.ClientID, Name: client.Name, Scope: append([]string{}, a.Scope...), Since: a.Since}
		if !a.UsedAt.IsZero() {
			app.UsedAt = &a.UsedAt
		}
		all.Apps = append(all.Apps, app)
	}
	return nil
}

func (e *Endpoint) gatherEvents(v *visit, all *exported) error {
	const page = 500
	for before := ""; len(all.Events) < maxExported; {
		events, err := e.Store.UserEvents(v.r.Context(), v.user.ID, before, page)
		if err != nil {
			return err
		}
		for _, event := range events {
			all.Events = append(all.Events, exportedEvent{event.At, event.Kind, event.By.Actor, event.ClientID, event.By.Address, event.Detail})
		}
		if len(events) < page {
			return nil
		}
		before = events[page-1].ID
	}
	return nil
}

func (e *Endpoint) showDelete(v *visit) error {
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.DeletePage{Person: e.person(v)})
}

// leave deletes the account of whoever has typed its name.
func (e *Endpoint) leave(v *visit) error {
	page := web.DeletePage{Person: e.person(v)}
	if key, err := login.UsernameKey(v.form.Get("confirm")); err != nil || key != v.user.UsernameKey {
		page.Wrong = true
		return e.Pages.Render(v.w, v.r, http.StatusUnprocessableEntity, page)
	}
	err := e.Store.Leave(v.r.Context(), v.user.ID, v.session.UserEpoch, v.now, v.by())
	switch {
	case errors.Is(err, store.ErrLastAdmin):
		page.LastAdmin = true
		return e.Pages.Render(v.w, v.r, http.StatusConflict, page)
	case errors.Is(err, store.ErrNotLive):
		return e.again(v, "/delete")
	case err != nil:
		return err
	}
	if err := e.Sessions.Clear(v.w, v.r); err != nil {
		return err
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, web.LeftPage{})
}
