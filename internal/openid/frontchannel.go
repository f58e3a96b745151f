package openid

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A farewell is what the page behind a sign-out does: it has the browser tell clients, and
// leads on. It travels sealed in the address, so any replica shows the page, and only
// where somebody has signed out.
type farewell struct {
	At      int64    `json:"at"` // Unix seconds
	SID     string   `json:"sid"`
	Clients []string `json:"clients"`
	Browser string   `json:"browser"`        // mark of the one that signed out
	Next    string   `json:"next,omitempty"` // address that the client wants the user at
	Locales string   `json:"locales,omitempty"`
}

// Bounds on a farewell.
const (
	farewellLife = 10 * time.Minute
	maxFrames    = 50
)

// farewell seals what the page has to do when clients took part in a session that want to
// be told by the browser; it is "" when there are none. What does not fit into an address
// is left out: the user comes first. browser is the mark of the one that signs out.
func (l *Logout) farewell(ctx context.Context, ended store.EndedSession, q *logoutRequest, browser string) (string, error) {
	f := farewell{At: l.Now().Unix(), SID: ended.SID, Browser: browser, Next: q.next(), Locales: q.uiLocales}
	for _, id := range ended.Clients {
		uri, err := l.frame(ctx, id, ended.SID)
		if err != nil {
			return "", err
		}
		if uri != "" && len(f.Clients) < maxFrames {
			f.Clients = append(f.Clients, id)
		}
	}
	for len(f.Clients) > 0 {
		text, err := json.Marshal(f)
		if err != nil {
			return "", err
		}
		sealed, err := l.Issuer.Ring.Seal(issuer.PurposeLogout, text)
		if err != nil || len(sealed) <= maxLogout {
			return sealed, err
		}
		f.Clients = f.Clients[:len(f.Clients)/2]
	}
	return "", nil
}

// frame is the address that tells a client of the end of a session, OpenID Connect
// Front-Channel Logout 1.0 Section 2; "" for one that is not told.
func (l *Logout) frame(ctx context.Context, clientID, sid string) (string, error) {
	c, err := l.Store.KnownClient(ctx, clientID, l.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case !c.DisabledAt.IsZero():
		return "", nil
	}
	known, err := l.Issuer.SessionID(&c.Metadata, sid)
	return c.Metadata.FrontchannelLogout(l.Issuer.URL, known), err
}

// Done is the page behind a sign-out.
func (l *Logout) Done(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	page := web.LoggedOutPage{ContinueURL: l.Base + "/", Self: l.Base + LoggedOutPath}
	if sealed := form.Get("request"); sealed != "" {
		if err := l.tell(r, &page, sealed); err != nil {
			return err
		}
	}
	return l.Pages.Render(w, r, http.StatusOK, page)
}

// tell puts a farewell into the page. One from long ago is kept from being told again, and
// one of another browser from being told at all: whoever opens that may be signed in.
func (l *Logout) tell(r *http.Request, page *web.LoggedOutPage, sealed string) error {
	f, err := l.openFarewell(sealed)
	if err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "the request in the address is not ours", err)
	}
	page.UILocales = f.Locales
	if f.Browser != l.Browsers.Mark(r) {
		return nil
	}
	if f.Next != "" {
		page.ContinueURL = f.Next
	}
	if l.Now().Sub(time.Unix(f.At, 0)) > farewellLife {
		return nil
	}
	page.Self, page.Leave = page.Self+"?request="+sealed, f.Next != ""
	for _, id := range f.Clients {
		uri, err := l.frame(r.Context(), id, f.SID)
		if err != nil {
			return err
		}
		if uri != "" {
			page.Frames = append(page.Frames, uri)
		}
	}
	return nil
}

func (l *Logout) openFarewell(sealed string) (f farewell, err error) {
	plain, err := l.Issuer.Ring.Open(issuer.PurposeLogout, sealed)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(plain, &f); err != nil {
		return f, err
	}
	return f, nil
}
