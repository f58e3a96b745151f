package account

import (
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// showSessions lists where the person is signed in, this browser first.
func (e *Endpoint) showSessions(v *visit) error {
	sessions, err := e.Store.Sessions(v.r.Context(), v.user.ID, v.now, e.Sessions.Idle, maxListed)
	if err != nil {
		return err
	}
	// A browser that is not signed in any more may stand in for the second factor still.
	page := web.SessionsPage{Person: e.person(v), Others: v.user.SecondFactor && e.Sessions.Remembered > 0}
	for _, s := range sessions {
		one := web.SignedIn{SID: s.SID, UserAgent: s.UserAgent, Address: s.Address, Since: s.CreatedAt, SeenAt: s.SeenAt, Current: s.SID == v.session.SID}
		if one.Current {
			page.Sessions = append([]web.SignedIn{one}, page.Sessions...)
		} else {
			page.Sessions = append(page.Sessions, one)
		}
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}

// endSession signs another browser out, or all others (SE-04). One that is not theirs is
// not there (AC-01).
func (e *Endpoint) endSession(v *visit) error {
	sid := v.form.Get("end")
	switch sid {
	case "others":
		if err := e.Store.EndOtherSessions(v.r.Context(), v.user.ID, v.session.SID, v.now, v.by()); err != nil {
			return err
		}
		return e.done(v, "/sessions", "sessions")
	case v.session.SID:
		return web.Redirect(v.w, e.SignOutURL)
	}
	if err := e.Store.EndUserSession(v.r.Context(), v.user.ID, sid, v.now, v.by()); err != nil {
		return notTheirs(err)
	}
	return e.done(v, "/sessions", "session")
}

// notTheirs answers for what a person does not have as for what does not exist.
func notTheirs(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &web.StatusError{Status: http.StatusNotFound, Code: "invalid_request", Description: "there is nothing of that name here", Cause: err}
	}
	return err
}
