package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A person who is invited opens the link in a real browser, is told why a password is
// refused, chooses one, and signs in to an app with it: with scripts and without, with the
// mouse and by keyboard alone, in either language.
func TestBrowser_Invitation(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		language string
		scripts  bool
		keyboard bool
	}{
		"mouse, in English": {"en", true, false}, "keyboard, in Chinese": {"zh", true, true}, "without scripts": {"en", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inbox := mailtest.Start(t, mailtest.Options{})
			s := oauthtest.Start(t, mailing(inbox))
			app := land(t, s)
			u := &store.User{ID: store.NewUserID(), Username: "zoe", UsernameKey: "zoe", Email: "zoe@example.com", Locale: tt.language, CreatedAt: s.Clock.Now()}
			if _, err := s.Links.Invite(t.Context(), u, true, theOperator); err != nil {
				t.Fatal(err)
			}
			link := inbox.Wait(t, 1)[0].Read(t).Link()
			b := oauthtest.NewTab(t)
			b.Do(t, network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": tt.language}))
			b.Scripts(t, tt.scripts)
			send := func(password string) {
				t.Helper()
				if tt.keyboard { // the cursor is there
					b.Keys(t, password)
					b.Load(t, chromedp.KeyEvent(kb.Enter))
					return
				}
				b.Type(t, "#password", password)
				b.Follow(t, "#password-submit")
			}
			b.Open(t, link)
			want(t, b, "/login/password", http.StatusOK)
			if focused := b.Focused(t); !strings.Contains(focused, "password") {
				t.Errorf("the cursor begins in %q", focused)
			}
			send("short")
			want(t, b, "/login/password", http.StatusUnprocessableEntity)
			if b.Text(t, "#password-problem") == "" {
				t.Error("nothing tells why the password was refused")
			}
			send(anotherPassword)
			want(t, b, "/login/password/ready", http.StatusOK)
			b.Follow(t, "#result-next")
			want(t, b, "/login", http.StatusOK)
			b.Open(t, app.ask("/authorize", "s"))
			b.SignIn(t, "zoe@example.com", anotherPassword)
			want(t, b, "/consent", http.StatusOK)
		})
	}
}

// Somebody who has forgotten the password on the way to an app finds the way back.
func TestBrowser_ForgottenPassword(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	app := land(t, s)
	withAddress(t, s, "alice", "alice@example.com", true)
	b := oauthtest.NewTab(t)
	b.Open(t, app.ask("/authorize", "s"))
	b.SignIn(t, "alice", "what was it again?")
	b.Follow(t, "#login-forgot")
	want(t, b, "/login/forgot", http.StatusOK)
	b.Keys(t, "alice")
	b.Load(t, chromedp.KeyEvent(kb.Enter))
	want(t, b, "/login/forgot/sent", http.StatusOK)
	mail := oauthtest.NewTab(t) // on another machine
	mail.Open(t, inbox.Wait(t, 1)[0].Read(t).Link())
	mail.Type(t, "#password", anotherPassword)
	mail.Follow(t, "#password-submit")
	want(t, mail, "/login/password/done", http.StatusOK)
	b.Follow(t, "#result-next")
	want(t, b, "/login", http.StatusOK)
	b.SignIn(t, "alice", anotherPassword)
	want(t, b, "/consent", http.StatusOK)
	mail.Open(t, s.URL+"/login/password?"+url.Values{"ticket": {"gone"}}.Encode())
	want(t, mail, "/login/password", http.StatusGone)
}
