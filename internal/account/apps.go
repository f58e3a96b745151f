package account

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// showApps lists the clients that may do something in the person's name.
func (e *Endpoint) showApps(v *visit) error {
	accesses, err := e.Store.Accesses(v.r.Context(), v.user.ID, v.now, maxListed)
	if err != nil {
		return err
	}
	page, language := web.AppsPage{Person: e.person(v)}, e.Pages.Language(v.r, "")
	for _, access := range accesses {
		client, err := e.client(v.r.Context(), access.ClientID, v.now)
		if err != nil {
			return err
		}
		app := web.App{ID: access.ClientID, Client: client, Since: access.Since, UsedAt: access.UsedAt}
		for _, scope := range access.Scope {
			app.Scopes = append(app.Scopes, web.ScopeView{Name: scope, Text: e.ScopeText(scope, language)})
		}
		page.Apps = append(page.Apps, app)
	}
	// Those in use come first; the order of ids means nothing to anybody.
	slices.SortStableFunc(page.Apps, func(a, b web.App) int { return latest(b).Compare(latest(a)) })
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}

func latest(a web.App) time.Time {
	if a.UsedAt.After(a.Since) {
		return a.UsedAt
	}
	return a.Since
}

// client is what pages show of a client; of one that is gone, its id.
func (e *Endpoint) client(ctx context.Context, id string, now time.Time) (web.Client, error) {
	c, err := e.Store.KnownClient(ctx, id, now)
	if errors.Is(err, store.ErrNotFound) {
		return web.Client{Host: id}, nil
	}
	if err != nil {
		return web.Client{}, err
	}
	m := c.Metadata
	return web.Client{Name: m.ClientName, Host: id, LogoURI: m.LogoURI, PolicyURI: m.PolicyURI, TermsURI: m.TermsOfServiceURI, HomeURI: m.ClientURI}, nil
}

// removeApp takes everything back that a client was allowed. One that was allowed
// nothing is not there (AC-01).
func (e *Endpoint) removeApp(v *visit) error {
	id := v.form.Get("revoke")
	if id == "" {
		return oauth.Errorf(oauth.InvalidRequest, "revoke must name an app")
	}
	accesses, err := e.Store.Accesses(v.r.Context(), v.user.ID, v.now, maxListed)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(accesses, func(a store.Access) bool { return a.ClientID == id }) {
		return notTheirs(store.ErrNotFound)
	}
	if err := e.Store.WithdrawConsent(v.r.Context(), v.user.ID, id, v.now, v.by()); err != nil {
		return err
	}
	return e.done(v, "/apps", "app")
}
