package account

import (
	"net/http"
	"slices"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/web"
)

// activityPage is how many events a page shows.
const activityPage = 25

// activity tells what happened lately, the newest first.
func (e *Endpoint) activity(v *visit) error {
	events, err := e.Store.UserEvents(v.r.Context(), v.user.ID, v.form.Get("before"), activityPage+1)
	if err != nil {
		return err
	}
	// Who asked for a link had not signed in, and may well have been the person; what an app
	// did goes under its name.
	own := []string{v.user.ID, login.By(v.r.Context(), "").Actor}
	page := web.ActivityPage{Person: e.person(v)}
	if len(events) > activityPage {
		events = events[:activityPage]
		page.Older = events[activityPage-1].ID
	}
	for _, event := range events {
		h := web.Happening{Kind: event.Kind, At: event.At, Address: event.By.Address, Foreign: event.By.Actor != event.ClientID && !slices.Contains(own, event.By.Actor)}
		if event.ClientID != "" {
			client, err := e.client(v.r.Context(), event.ClientID, v.now)
			if err != nil {
				return err
			}
			if h.Client = client.Name; h.Client == "" {
				h.Client = client.Host
			}
		}
		page.Happenings = append(page.Happenings, h)
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}
