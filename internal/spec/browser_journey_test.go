package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A person who has never seen Hufu is invited by mail, chooses a password, adds a passkey
// and an authenticator app, signs in to an app, loses the phone and gets in with a
// recovery code, forgets the password and chooses another, looks at what has access,
// throws the app out, and leaves; nobody tells them where to press but the pages.
func TestBrowser_Journey(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "zh"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s, inbox := mailingServer(t, oauthtest.OnLocalhost)
			l := land(t, s)
			zoe := &store.User{ID: store.NewUserID(), Username: "zoe", UsernameKey: "zoe", Email: "zoe@example.com", Locale: language, CreatedAt: s.Clock.Now()}
			if _, err := s.Links.Invite(t.Context(), zoe, true, theOperator); err != nil {
				t.Fatal(err)
			}
			letters := 1
			link := func() string {
				t.Helper()
				letter := inbox.Wait(t, letters)[letters-1].Read(t)
				letters++
				return letter.Link()
			}
			laptop := newTabIn(t, language)
			onlyByButton(t, laptop)
			keys := laptop.Keychain(t)

			// Invited, to a first password and a first sign-in.
			laptop.Open(t, link())
			laptop.Type(t, "#password", anotherPassword)
			laptop.Follow(t, "#password-submit")
			laptop.Follow(t, "#result-next")
			laptop.SignIn(t, "zoe@example.com", anotherPassword)
			want(t, laptop, "/account", http.StatusOK)

			// A passkey, and an app on the phone.
			laptop.Follow(t, "#to-security")
			laptop.Follow(t, "#manage-passkeys")
			laptop.Follow(t, "#passkey-submit")
			if keys.Passkeys(t) != 1 {
				t.Fatalf("the keychain holds %d passkeys", keys.Passkeys(t))
			}
			link() // told of the passkey
			laptop.Follow(t, "#passkeys-back")
			laptop.Follow(t, "#second-factor")
			var key string
			laptop.Eval(t, `document.getElementById("app-key").textContent`, &key)
			phone := oauthtest.AuthenticatorOf(s, key)
			laptop.Type(t, "#code", phone.Code(t))
			laptop.Follow(t, "#set-up-submit")
			codes := strings.Fields(laptop.Text(t, "#recovery-codes"))
			if len(codes) != 10 {
				t.Fatalf("recovery codes %q (%d): %s", codes, laptop.Status, laptop.Text(t, "body"))
			}
			laptop.Follow(t, "#recovery-continue")
			link() // told of the second step, and of the codes
			link()

			// Out, and to an app by passkey alone.
			laptop.Follow(t, "#account-signout")
			laptop.Follow(t, "#logout-confirm")
			laptop.Open(t, l.ask("/authorize", "with a passkey", "scope", "read"))
			laptop.Follow(t, "#passkey-submit")
			laptop.Follow(t, "#consent-approve")
			if got := l.redeem(t, l.arrived(t).Values.Get("code")); got != zoe.ID {
				t.Errorf("sub = %q, want zoe", got)
			}

			// The phone is lost: another computer, the password, a recovery code.
			desk := newTabIn(t, language)
			desk.Open(t, s.URL+"/account")
			desk.SignIn(t, "zoe", anotherPassword)
			want(t, desk, "/login/second-factor", http.StatusOK)
			desk.Follow(t, "#use-recovery")
			desk.Keys(t, codes[3])
			desk.Load(t, chromedp.KeyEvent(kb.Enter))
			want(t, desk, "/account", http.StatusOK)
			link() // told of the code, and of the computer
			link()
			desk.Follow(t, "#section-security")
			desk.Follow(t, "#second-factor")
			desk.Click(t, "#remove-details summary")
			desk.Follow(t, "#remove-app")
			link() // told that the second step is off

			// The password is forgotten, and another one chosen.
			desk.Follow(t, "#account-signout")
			desk.Follow(t, "#logout-confirm")
			desk.Open(t, s.URL+"/login")
			desk.Follow(t, "#login-forgot")
			desk.Type(t, "#username", "zoe@example.com")
			desk.Follow(t, "#forgot-submit")
			desk.Open(t, link())
			desk.Type(t, "#password", "yet another long password")
			desk.Follow(t, "#password-submit")
			desk.Follow(t, "#result-next")
			desk.SignIn(t, "zoe", "yet another long password")
			want(t, desk, "/account", http.StatusOK)
			if laptop.Open(t, s.URL+"/account"); !laptop.Has(t, "#login-form") {
				t.Error("the laptop is signed in still, under the old password")
			}

			// What has access is looked at, and thrown out.
			desk.Follow(t, "#section-apps")
			if !strings.Contains(desk.Text(t, ".app"), "Silver Birch") {
				t.Errorf("the apps: %s", desk.Text(t, "main"))
			}
			desk.Follow(t, "button[name=revoke]")
			if desk.Has(t, "button[name=revoke]") {
				t.Error("the app has access still")
			}
			desk.Follow(t, "#section-activity")
			if n := strings.Count(desk.Text(t, "#activity-list"), "\n"); n < 20 {
				t.Errorf("the activity has %d lines:\n%s", n, desk.Text(t, "#activity-list"))
			}

			// And gone.
			desk.Follow(t, "#section-data")
			desk.Follow(t, "#to-delete")
			desk.Type(t, "#confirm", "zoe")
			desk.Follow(t, "#delete")
			if !desk.Has(t, "#account-left") {
				t.Fatalf("leaving shows %s", desk.Text(t, "body"))
			}
			desk.Open(t, s.URL+"/login")
			desk.SignIn(t, "zoe", "yet another long password")
			want(t, desk, "/login", http.StatusUnprocessableEntity)
			laptop.Open(t, s.URL+"/login")
			if keys.Passkeys(t) > 0 { // the browser may have forgotten it by now
				laptop.Follow(t, "#passkey-submit")
				want(t, laptop, "/login", http.StatusUnprocessableEntity)
			}
		})
	}
}

// newTabIn is a browser of somebody who reads a language.
func newTabIn(t *testing.T, language string) *oauthtest.Tab {
	t.Helper()
	b := oauthtest.NewWindow(t)
	b.Do(t, network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": language}), chromedp.EmulateViewport(1280, 800))
	return b
}
