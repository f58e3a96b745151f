package spec_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// onlyByButton makes a tab one of a browser that offers no passkeys by itself, as some do.
func onlyByButton(t *testing.T, b *oauthtest.Tab) {
	t.Helper()
	b.Do(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`delete PublicKeyCredential.isConditionalMediationAvailable`).Do(ctx)
		return err
	}))
}

// In a real browser a passkey of its own keychain signs in by the button, in the flow of a
// client; who is not known for its owner is told so, and goes on by password.
func TestBrowser_PasskeyButton(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice := s.User(t, "alice")
	l, b := land(t, s), oauthtest.NewWindow(t)
	onlyByButton(t, b)
	keys := b.Keychain(t)
	keys.Keep(t, s.Passkey(t, alice))
	keys.Owner(t, false)
	b.Open(t, l.ask("/authorize", "state 1"))
	want(t, b, "/login", http.StatusOK)
	b.Click(t, "#passkey-submit")
	b.Until(t, `!document.getElementById("passkey-message").hidden`)
	look(t, b)
	if got := b.Text(t, "#passkey-message"); got != "No passkey was used. You can try again, or sign in with your password." {
		t.Errorf("the page says %q", got)
	}
	keys.Owner(t, true)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	if got := l.redeem(t, l.arrived(t).Values.Get("code")); got != alice.ID {
		t.Errorf("sub = %q, want alice", got)
	}
	// And by password after all.
	keys.Owner(t, false)
	b.Open(t, l.ask("/authorize", "state 2", "prompt", "login"))
	b.Click(t, "#passkey-submit")
	b.Until(t, `!document.getElementById("passkey-message").hidden`)
	b.SignIn(t, "alice", oauthtest.Password)
	if got := l.arrived(t).Values.Get("state"); got != "state 2" {
		t.Errorf("by password: %q", got)
	}
}

// A passkey is offered where the name is typed, without any press of a button: the browser
// answers as soon as its keychain does. What the person types meanwhile is in nobody's way.
func TestBrowser_PasskeyConditional(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice := s.User(t, "alice")
	l, b := land(t, s), oauthtest.NewWindow(t)
	keys := b.Keychain(t)
	keys.Keep(t, s.Passkey(t, alice))
	keys.Present(t, false)
	b.Open(t, l.ask("/authorize", "state 1"))
	want(t, b, "/login", http.StatusOK)
	b.SignIn(t, "alice", "wrong")
	want(t, b, "/login", http.StatusUnprocessableEntity)
	keys.Present(t, true)
	b.Go(t, l.ask("/authorize", "state 2"), "/consent")
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	back := l.arrived(t)
	if got := l.redeem(t, back.Values.Get("code")); got != alice.ID || back.Values.Get("state") != "state 2" {
		t.Errorf("sub = %q, state %q", got, back.Values.Get("state"))
	}
}

// Without scripts nobody is offered what needs them.
func TestBrowser_PasskeyWithoutScripts(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	b := oauthtest.NewWindow(t)
	b.Scripts(t, false)
	b.Open(t, s.URL+"/login")
	want(t, b, "/login", http.StatusOK)
	if b.Has(t, "#passkey-submit") {
		t.Error("there is a button that does nothing")
	}
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/account", http.StatusOK)
}

// Somebody adds a passkey in a real browser, signs out, and signs in with it, without a
// word typed; the browser does not add a second one, and what was removed signs nobody in.
func TestBrowser_PasskeyAddAndUse(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice := s.User(t, "alice")
	l, b := land(t, s), oauthtest.NewWindow(t)
	onlyByButton(t, b)
	keys := b.Keychain(t)
	b.Open(t, s.URL+"/account/security")
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/account/security", http.StatusOK)
	b.Follow(t, "#manage-passkeys")
	want(t, b, "/account/passkeys", http.StatusOK)
	keys.Owner(t, false)
	b.Click(t, "#passkey-submit")
	b.Until(t, `!document.getElementById("passkey-message").hidden`)
	if got := b.Text(t, "#passkey-message"); got != "No passkey was added. You can try again whenever you like." {
		t.Errorf("the page says %q", got)
	}
	keys.Owner(t, true)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/account/passkeys", http.StatusOK)
	if got := b.Text(t, "#passkey-0"); got != "Chrome · Linux" || keys.Passkeys(t) != 1 {
		t.Errorf("added %q, the keychain holds %d", got, keys.Passkeys(t))
	}
	b.Click(t, "#passkey-submit")
	b.Until(t, `!document.getElementById("passkey-message").hidden`)
	if got := b.Text(t, "#passkey-message"); got != "This device already has a passkey for your account." || keys.Passkeys(t) != 1 {
		t.Errorf("the page says %q", got)
	}
	b.Open(t, s.URL+"/end-session")
	b.Follow(t, "#logout-confirm")
	b.Open(t, l.ask("/authorize", "state 1"))
	want(t, b, "/login", http.StatusOK)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	if got := l.redeem(t, l.arrived(t).Values.Get("code")); got != alice.ID {
		t.Errorf("sub = %q, want alice", got)
	}
	b.Open(t, s.URL+"/account/passkeys")
	b.Click(t, ".edit summary")
	b.Follow(t, ".edit button[value=remove]")
	want(t, b, "/account/passkeys", http.StatusOK)
	b.Open(t, s.URL+"/end-session")
	b.Follow(t, "#logout-confirm")
	b.Open(t, s.URL+"/login")
	if keys.Passkeys(t) > 0 { // the browser may have forgotten it by now
		b.Follow(t, "#passkey-submit")
		want(t, b, "/login", http.StatusUnprocessableEntity)
	}
}

// A page that was left open for too long asks for another sign-in when a passkey is to be
// added, and leads back.
func TestBrowser_PasskeyAddLate(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	b := oauthtest.NewWindow(t)
	onlyByButton(t, b)
	keys := b.Keychain(t)
	b.Open(t, s.URL+"/account/passkeys")
	b.SignIn(t, "alice", oauthtest.Password)
	s.Clock.Advance(11 * time.Minute)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/login", http.StatusOK)
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/account/passkeys", http.StatusOK)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/account/passkeys", http.StatusOK)
	if keys.Passkeys(t) != 1 {
		t.Error("not added")
	}
}

// On the page of the second step a passkey of the browser does in place of a code.
func TestBrowser_PasskeySecondFactor(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice := s.User(t, "alice")
	withApp(t, s, "alice")
	l, b := land(t, s), oauthtest.NewWindow(t)
	onlyByButton(t, b)
	keys := b.Keychain(t)
	keys.Keep(t, s.Passkey(t, alice))
	b.Open(t, l.ask("/authorize", "state 1"))
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/login/second-factor", http.StatusOK)
	b.Follow(t, "#passkey-submit")
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	if got := l.redeem(t, l.arrived(t).Values.Get("code")); got != alice.ID {
		t.Errorf("sub = %q, want alice", got)
	}
}

// Adding a passkey, naming it, and signing in with it take no mouse.
func TestBrowser_PasskeyByKeyboard(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	b := oauthtest.NewWindow(t)
	onlyByButton(t, b)
	b.Keychain(t)
	b.Open(t, s.URL+"/account/passkeys")
	b.SignIn(t, "alice", oauthtest.Password)
	tabTo := func(selector string) {
		t.Helper()
		for range 40 {
			var there bool
			if b.Eval(t, `document.activeElement.matches("`+selector+`")`, &there); there {
				return
			}
			b.Keys(t, kb.Tab)
		}
		t.Fatalf("the keyboard does not reach %s", selector)
	}
	tabTo("#passkey-submit")
	b.Load(t, chromedp.KeyEvent(kb.Enter))
	want(t, b, "/account/passkeys", http.StatusOK)
	tabTo(".edit summary")
	b.Keys(t, kb.Enter)
	tabTo("#name-0")
	b.Keys(t, kb.End, " 1")
	b.Load(t, chromedp.KeyEvent(kb.Enter))
	want(t, b, "/account/passkeys", http.StatusOK)
	if got := b.Text(t, "#passkey-0"); got != "Chrome · Linux 1" {
		t.Errorf("it is called %q", got)
	}
	b.Open(t, s.URL+"/end-session")
	b.Follow(t, "#logout-confirm")
	b.Open(t, s.URL+"/login")
	tabTo("#passkey-submit")
	b.Load(t, chromedp.KeyEvent(kb.Enter))
	want(t, b, "/account", http.StatusOK)
}
