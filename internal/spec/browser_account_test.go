package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// keyboard is a person who has no mouse.
type keyboard struct{ *oauthtest.Tab }

// to walks on with Tab until the cursor is at the element of an id, every one on the way
// being seen to have it.
func (k keyboard) to(t *testing.T, id string) {
	t.Helper()
	for range 60 {
		k.Keys(t, kb.Tab)
		var ring bool
		k.Eval(t, `(() => { const e = document.activeElement; return e === document.body || [e, e.parentElement].flatMap((x) => [null, "::after"].map((p) => getComputedStyle(x, p)))
			.some((s) => s.outlineStyle !== "none" && s.outlineWidth !== "0px" && (s.outlineColor !== "rgba(0, 0, 0, 0)" || s.boxShadow !== "none")); })()`, &ring)
		at := k.Focused(t)
		if !ring {
			t.Errorf("the cursor is at %q, and nothing shows it", at)
		}
		if at == id {
			return
		}
	}
	t.Fatalf("no way to %s with Tab:\n%s", id, k.Text(t, "body"))
}

// press goes to an element and presses Enter, which leads to another page.
func (k keyboard) press(t *testing.T, id string) {
	t.Helper()
	k.to(t, id)
	k.Load(t, chromedp.KeyEvent(kb.Enter))
}

// A person finds their way through their whole account without a mouse, with scripts and
// without, and out of it.
func TestBrowser_AccountByKeyboard(t *testing.T) {
	t.Parallel()
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			s.User(t, "alice")
			l := land(t, s)
			allowed := s.Browser(t)
			allowed.Walk(t, l.ask("/authorize", "s", "scope", "read"), "alice")
			k := keyboard{oauthtest.NewTab(t)}
			k.Do(t, emulation.SetDeviceMetricsOverride(1280, 800, 1, false))
			k.Scripts(t, scripts)
			k.Open(t, s.URL+"/account")
			k.Keys(t, "alice")
			k.to(t, "password")
			k.Keys(t, oauthtest.Password)
			k.Load(t, chromedp.KeyEvent(kb.Enter))
			want(t, k.Tab, "/account", http.StatusOK)

			k.press(t, "section-profile")
			k.to(t, "name")
			k.Keys(t, "Alice Liddell")
			k.press(t, "profile-save")
			if !k.Has(t, "#account-done") || !strings.Contains(k.Text(t, ".whose"), "Alice Liddell") {
				t.Errorf("the profile was not saved: %s", k.Text(t, "body"))
			}

			k.press(t, "section-security")
			k.press(t, "change-password")
			want(t, k.Tab, "/account/password", http.StatusOK)
			k.Keys(t, "a few words of her own") // the cursor is in the field already
			k.Load(t, chromedp.KeyEvent(kb.Enter))
			want(t, k.Tab, "/account/security", http.StatusOK)

			k.press(t, "section-sessions")
			if k.Has(t, "#end-others") {
				t.Error("the other browser is signed in still")
			}
			k.press(t, "section-apps")
			for n := 0; k.Text(t, ":focus") != "Remove access"; n++ {
				if k.Keys(t, kb.Tab); n > 60 {
					t.Fatalf("no way to the app's button with Tab, the cursor is at %s:\n%s", k.Focused(t), k.Text(t, "body"))
				}
			}
			k.Load(t, chromedp.KeyEvent(kb.Enter))
			if !k.Has(t, "#account-done") || k.Has(t, "button[name=revoke]") {
				t.Errorf("the app has access still: %s", k.Text(t, "body"))
			}
			k.press(t, "section-activity")
			for _, happened := range []string{"Access removed", "Password changed", "Profile changed", "Access allowed", "Account created"} {
				if !strings.Contains(k.Text(t, "#activity-list"), happened) {
					t.Errorf("the activity does not tell: %s", happened)
				}
			}
			k.press(t, "section-data")
			k.press(t, "to-delete")
			k.to(t, "confirm")
			k.Keys(t, "alice")
			k.press(t, "delete")
			if !k.Has(t, "#account-left") {
				t.Errorf("leaving shows %s", k.Text(t, "body"))
			}
			if complaints := k.Complaints(); len(complaints) > 0 {
				t.Errorf("the browser complains: %q", complaints)
			}
		})
	}
}
