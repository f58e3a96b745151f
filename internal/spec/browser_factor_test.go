package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A person sets up an authenticator app and keeps the recovery codes, signs in to an app
// with a code and has the device remembered, loses the phone, gets in with a recovery code,
// and takes the lost app away; all without a mouse, with scripts and without (MF-04, MF-05).
func TestBrowser_SecondFactorByKeyboard(t *testing.T) {
	t.Parallel()
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			s.User(t, "alice")
			l := land(t, s)
			k := keyboard{oauthtest.NewTab(t)}
			k.Scripts(t, scripts)
			enter := chromedp.KeyEvent(kb.Enter)
			k.Open(t, s.URL+"/account/second-factor")
			k.SignIn(t, "alice", oauthtest.Password)
			want(t, k.Tab, "/account/second-factor", http.StatusOK)
			var key string
			k.Eval(t, `document.getElementById("app-key").textContent`, &key)
			phone := oauthtest.AuthenticatorOf(s, key)
			k.to(t, "code")
			k.Keys(t, "000000")
			k.Load(t, enter)
			want(t, k.Tab, "/account/second-factor", http.StatusUnprocessableEntity)
			if k.Focused(t) != "code" || k.Text(t, "#second-factor-error") == "" {
				t.Errorf("after a wrong code: the cursor is in %s", k.Focused(t))
			}
			k.Keys(t, phone.Code(t))
			k.Load(t, enter)
			want(t, k.Tab, "/account/second-factor", http.StatusOK)
			codes := strings.Fields(k.Text(t, "#recovery-codes"))
			if len(codes) != 10 {
				t.Fatalf("recovery codes %q", codes)
			}
			k.press(t, "recovery-continue")
			want(t, k.Tab, "/account/security", http.StatusOK)

			other := keyboard{oauthtest.NewTab(t)}
			other.Scripts(t, scripts)
			other.Open(t, l.ask("/authorize", "s", "scope", "read"))
			other.SignIn(t, "alice", oauthtest.Password)
			want(t, other.Tab, "/login/second-factor", http.StatusOK)
			if other.Focused(t) != "code" {
				t.Errorf("the cursor is in %s, want the code", other.Focused(t))
			}
			var hints string
			other.Eval(t, `code.autocomplete + " " + code.inputMode`, &hints)
			if hints != "one-time-code numeric" {
				t.Errorf("the field says %q", hints)
			}
			other.Keys(t, phone.Code(t))
			other.to(t, "remember")
			other.Keys(t, " ")
			other.press(t, "second-factor-submit")
			want(t, other.Tab, "/consent", http.StatusOK)
			other.Follow(t, "#consent-approve")
			if got := l.arrived(t).Values; got.Get("code") == "" {
				t.Errorf("answer %v", got)
			}
			other.Open(t, l.ask("/authorize", "s", "scope", "read", "prompt", "login"))
			other.SignIn(t, "alice", oauthtest.Password)
			if got := l.arrived(t).Values; got.Get("code") == "" {
				t.Errorf("a remembered device: %v", got)
			}

			lost := keyboard{oauthtest.NewTab(t)}
			lost.Scripts(t, scripts)
			lost.Open(t, s.URL+"/account/second-factor")
			lost.SignIn(t, "alice", oauthtest.Password)
			want(t, lost.Tab, "/login/second-factor", http.StatusOK)
			lost.press(t, "use-recovery")
			want(t, lost.Tab, "/login/second-factor", http.StatusOK)
			lost.Keys(t, strings.ToLower(codes[3])) // the cursor is in the field
			lost.Load(t, enter)
			want(t, lost.Tab, "/account/second-factor", http.StatusOK)
			if got := lost.Text(t, "#codes-left"); !strings.HasPrefix(got, "9 ") {
				t.Errorf("it says %q", got)
			}
			lost.Eval(t, `document.querySelector("#remove-details summary").focus()`, nil)
			lost.Keys(t, kb.Enter)
			lost.press(t, "remove-app")
			want(t, lost.Tab, "/account/security", http.StatusOK)
			if theUser(t, s, "alice").SecondFactor || !lost.Has(t, "#account-done") {
				t.Errorf("the app was not removed: %s", lost.Text(t, "body"))
			}
		})
	}
}
