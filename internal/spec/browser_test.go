package spec_test

import (
	_ "embed"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

//go:embed testdata/audit.js
var auditScript string

// look checks the page that is open: audit.js, and what the browser complains of.
func look(t *testing.T, b *oauthtest.Tab) {
	t.Helper()
	var found []string
	b.Eval(t, auditScript, &found)
	for _, wrong := range append(found, b.Complaints()...) {
		t.Errorf("%s, %s", b.URL(t).Path, wrong)
	}
}

// want fails when the tab is not where it should be, and looks the page over.
func want(t *testing.T, b *oauthtest.Tab, path string, status int) {
	t.Helper()
	if got := b.URL(t).Path; got != path || b.Status != status {
		t.Fatalf("the browser is at %s (%d), want %s (%d):\n%s", got, b.Status, path, status, b.Text(t, "body"))
	}
	look(t, b)
}

// redeem changes a code for tokens, and says whose they are.
func (l *landing) redeem(t *testing.T, code string) (subject string) {
	t.Helper()
	answer := l.server.Post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {l.Callback}, "client_id": {l.ClientID}, "client_secret": {l.Secret}})
	return l.subject(t, answer.Text("access_token"))
}

// subject introspects an access token.
func (l *landing) subject(t *testing.T, token string) string {
	t.Helper()
	answer := l.server.Post(t, "/introspect", url.Values{"token": {token}, "client_id": {l.ClientID}, "client_secret": {l.Secret}})
	if active, _ := answer.JSON("active").(bool); !active {
		t.Fatalf("the token is not active: %s", answer.Body)
	}
	return answer.Text("sub")
}

// OpenID Connect Core Section 3.1.2.3: a person signs in on a page of the server
// in a real browser. A wrong password is told in the page's words and leaves the
// name in its field; then the right one leads on (LG-01, HD-12).
func TestBrowser_SignInWrongThenRight(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		t.Parallel()
		s := oauthtest.Start(t)
		alice, l, b := s.User(t, "alice"), land(t, s), oauthtest.NewTab(t)
		b.Open(t, l.ask(at.Code, "state 1"))
		want(t, b, "/login", http.StatusOK)
		if got := b.Focused(t); got != "username" {
			t.Errorf("the cursor is in %s, want the name", got)
		}
		b.SignIn(t, "alice", "wrong")
		want(t, b, "/login", http.StatusUnprocessableEntity)
		wrong := b.Text(t, "#login-error")
		var name, password string
		b.Eval(t, `username.value`, &name)
		b.Eval(t, `password.value`, &password)
		if wrong == "" || name != "alice" || password != "" || b.Focused(t) != "password" {
			t.Errorf("after a wrong password: %q, name %q, password %q, cursor in %s", wrong, name, password, b.Focused(t))
		}
		b.SignIn(t, "nobody", oauthtest.Password)
		want(t, b, "/login", http.StatusUnprocessableEntity)
		if got := b.Text(t, "#login-error"); got != wrong {
			t.Errorf("an unknown name reads %q, a wrong password %q", got, wrong)
		}
		b.SignIn(t, "alice", oauthtest.Password)
		want(t, b, "/consent", http.StatusOK)
		b.Follow(t, "#consent-approve")
		back := l.arrived(t)
		if got := []string{back.Method, back.Values.Get("state"), back.Values.Get("iss"), back.Referer}; !slices.Equal(got, []string{"GET", "state 1", s.URL, ""}) {
			t.Errorf("method, state, iss and referrer = %q", got)
		}
		if got := l.redeem(t, back.Values.Get("code")); got != alice.ID {
			t.Errorf("sub = %q, want alice", got)
		}
	})
}

// RFC 6749 Section 4.1.2.1: whoever says no, on either page, sends the client
// access_denied with its state, and nothing is remembered of it (AZ-06).
func TestBrowser_Refusal(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		t.Parallel()
		s := oauthtest.Start(t)
		s.User(t, "alice")
		l, b := land(t, s), oauthtest.NewTab(t)
		denied := func(state string) {
			t.Helper()
			got := l.arrived(t).Values
			got.Del("error_description")
			if diff := cmp.Diff(url.Values{"error": {"access_denied"}, "state": {state}, "iss": {s.URL}}, got); diff != "" {
				t.Errorf("the client was told (-want +got):\n%s", diff)
			}
		}
		b.Open(t, l.ask(at.Code, "one"))
		b.Follow(t, "#login-cancel") // empty fields are no obstacle
		denied("one")
		b.Open(t, l.ask(at.Code, "two"))
		b.SignIn(t, "alice", oauthtest.Password)
		b.Follow(t, "#consent-deny")
		denied("two")
		b.Open(t, l.ask(at.Code, "three"))
		want(t, b, "/consent", http.StatusOK)
		b.Open(t, l.ask("/authorize", "four", "prompt", "none"))
		if got := l.arrived(t).Values.Get("error"); got != "consent_required" {
			t.Errorf("prompt=none after a refusal = %q", got)
		}
	})
}

// RFC 6749 Section 10.2, RFC 8252 Section 8.6: consent is remembered when the
// person leaves the tick, for what was allowed and no more; never for a public
// client on loopback (AZ-13).
func TestBrowser_Consent(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "photos", TextEN: "See your photos", TextZH: "查看您的照片", Optional: true}}
	})
	s.User(t, "alice")
	l := land(t, s, func(m *oauth.ClientMetadata) { m.Scope = "read write photos" })
	b := oauthtest.NewTab(t)
	asked := func(scope string, pairs ...string) bool {
		t.Helper()
		b.Open(t, l.ask("/authorize", "s", append([]string{"scope", scope}, pairs...)...))
		if b.Has(t, "#login-form") {
			b.SignIn(t, "alice", oauthtest.Password)
		}
		if !b.Has(t, "#consent-form") {
			l.arrived(t)
			return false
		}
		look(t, b)
		return true
	}
	approve := func() url.Values {
		t.Helper()
		b.Follow(t, "#consent-approve")
		return l.arrived(t).Values
	}
	if !asked("read") {
		t.Fatal("nobody was asked the first time")
	}
	b.Click(t, "#consent-remember")
	approve()
	if !asked("read") {
		t.Fatal("the choice was remembered although the tick was taken away")
	}
	approve()
	if asked("read") {
		t.Fatal("the choice was not remembered")
	}
	if !asked("read", "prompt", "consent") {
		t.Error("prompt=consent asked nobody")
	}
	if !asked("read photos") {
		t.Fatal("more was given than was allowed")
	}
	b.Click(t, "#scope-photos")
	code := approve().Get("code")
	answer := s.Post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {l.Callback}, "client_id": {l.ClientID}, "client_secret": {l.Secret}})
	if got := answer.Text("scope"); got != "read" {
		t.Errorf("scope without the tick = %q, want read", got)
	}
	if !asked("read photos") {
		t.Error("what was unticked was remembered as allowed")
	}

	native := land(t, s, oauthtest.Public)
	for range 2 {
		b.Open(t, native.ask("/authorize", "s", "code_challenge", strings.Repeat("a", 43), "code_challenge_method", "S256"))
		want(t, b, "/consent", http.StatusOK)
		if b.Has(t, "#consent-remember") {
			t.Error("a public client on loopback offers to be remembered")
		}
		b.Follow(t, "#consent-approve")
		native.arrived(t)
	}
}

// OpenID Connect Core Section 5.5.1: a claim that is asked for as essential stands on the
// consent page as what it is about, and what was not asked for does not; it is told when
// the person agrees, and whoever unticks it is asked again the next time.
func TestBrowser_ConsentToEssentialClaims(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "phone", TextEN: "Your phone number", TextZH: "您的电话号码", Optional: true}}
	})
	s.User(t, "alice")
	l := land(t, s, func(m *oauth.ClientMetadata) { m.Scope = "openid profile email phone" })
	b := oauthtest.NewTab(t)
	address := l.ask("/authorize", "s", "scope", "openid", "claims", `{"userinfo":{"preferred_username":{"essential":true},"phone_number":{"essential":true}}}`)
	b.Open(t, address)
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/consent", http.StatusOK)
	if text := b.Text(t, "#consent-scopes"); !strings.Contains(text, "phone number") || strings.Contains(text, "email") {
		t.Errorf("the page asks for: %s", text)
	}
	b.Click(t, "#scope-phone")
	b.Follow(t, "#consent-approve")
	answer := s.Post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {l.arrived(t).Values.Get("code")}, "redirect_uri": {l.Callback}, "client_id": {l.ClientID}, "client_secret": {l.Secret}})
	r := s.Request(t, http.MethodGet, "/userinfo", "")
	r.Header.Set("Authorization", "Bearer "+answer.Text("access_token"))
	if info := s.Do(t, r); info.Text("preferred_username") != "alice" || info.JSON("phone_number") != nil || info.JSON("name") != nil {
		t.Errorf("UserInfo: %s", info.Body)
	}
	b.Open(t, address)
	want(t, b, "/consent", http.StatusOK)
}

// OpenID Connect Core Section 3.1.2.1 (ui_locales) and the language switch: a
// page is in one language, says which, and what a person chose on a page stays
// through the whole flow (AZ-10).
func TestBrowser_Languages(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	l := land(t, s)
	language := func(b *oauthtest.Tab, tag, title string) {
		t.Helper()
		var got []string
		b.Eval(t, `[document.documentElement.lang, document.querySelector("h1").innerText.replaceAll("\n", "")]`, &got)
		if !slices.Equal(got, []string{tag, title}) || b.Header["content-language"] != tag {
			t.Errorf("%s is in %q with heading %q (Content-Language %s), want %s and %q", b.URL(t).Path, got[0], got[1], b.Header["content-language"], tag, title)
		}
		look(t, b)
	}
	switchTo := func(b *oauthtest.Tab, tag string) {
		t.Helper()
		b.Follow(t, `nav a[hreflang="`+tag+`"]`)
	}
	b := oauthtest.NewTab(t)
	b.Open(t, l.ask("/authorize", "s"))
	language(b, "en", "Sign in")
	b.Open(t, l.ask("/authorize", "s", "ui_locales", "xx zh-CN en"))
	language(b, "zh-Hans", "登录")
	switchTo(b, "en") // what is chosen on the page is stronger
	language(b, "en", "Sign in")
	switchTo(b, "zh-Hans")
	language(b, "zh-Hans", "登录")
	b.SignIn(t, "alice", "wrong")
	language(b, "zh-Hans", "登录")
	switchTo(b, "en") // away from the answer to a POST
	language(b, "en", "Sign in")
	switchTo(b, "zh-Hans")
	b.SignIn(t, "alice", oauthtest.Password)
	language(b, "zh-Hans", "允许「Silver Birch」使用您的账号？")
	switchTo(b, "en")
	language(b, "en", "Let Silver Birch use your account?")
	switchTo(b, "zh-Hans")
	b.Follow(t, "#consent-approve")
	if got := l.arrived(t).Values; got.Get("code") == "" || got.Get("state") != "s" {
		t.Errorf("the flow ended with %v", got)
	}
	b.Open(t, s.URL+"/authorize?client_id=nobody")
	language(b, "zh-Hans", "无法识别此应用")
	b.Open(t, s.URL+"/end-session")
	language(b, "zh-Hans", "要退出登录吗？")
	b.Follow(t, "#logout-confirm")
	language(b, "zh-Hans", "您已退出登录")
	switchTo(b, "en")
	language(b, "en", "You are signed out")

	chinese := oauthtest.NewTab(t)
	chinese.Do(t, network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}))
	chinese.Open(t, l.ask("/authorize", "s"))
	language(chinese, "zh-Hans", "登录")
	chinese.Open(t, l.ask("/authorize", "s", "ui_locales", "en"))
	language(chinese, "en", "Sign in")
}

// OpenID Connect Core Section 3.1.2: two flows in two tabs of one browser, both
// open at once and finished in either order, end each with its own client and
// state (AZ-08).
func TestBrowser_TwoTabs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		signInFirst bool // the tabs stand on the consent page, else on the sign-in page
		order       []int
	}{
		"sign-in, first first":  {false, []int{0, 1}},
		"sign-in, second first": {false, []int{1, 0}},
		"consent, first first":  {true, []int{0, 1}},
		"consent, second first": {true, []int{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			alice := s.User(t, "alice")
			clients := []*landing{land(t, s), land(t, s)}
			b := oauthtest.NewTab(t)
			tabs := []*oauthtest.Tab{b, b.Beside(t)}
			for i, at := range []string{"/authorize", "/open/authorize/index"} {
				tabs[i].Open(t, clients[i].ask(at, name+clients[i].ClientID))
			}
			if tt.signInFirst {
				for _, b := range tabs {
					b.SignIn(t, "alice", oauthtest.Password)
				}
			}
			for _, i := range tt.order {
				if !tt.signInFirst {
					want(t, tabs[i], "/login", http.StatusOK)
					tabs[i].SignIn(t, "alice", oauthtest.Password)
				}
				look(t, tabs[i])
				tabs[i].Follow(t, "#consent-approve")
				got := clients[i].arrived(t).Values
				if got.Get("state") != name+clients[i].ClientID {
					t.Errorf("tab %d ended with state %q", i, got.Get("state"))
				}
				if subject := clients[i].redeem(t, got.Get("code")); subject != alice.ID {
					t.Errorf("tab %d: sub = %q", i, subject)
				}
			}
			for _, l := range clients {
				l.nobody(t)
			}
		})
	}
}

// A consent page tells who is signed in. When somebody else has signed in
// meanwhile, in another tab, its button must not share their account: the page is
// shown again with the right name (AZ-08).
func TestBrowser_ConsentOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice := s.User(t, "alice")
	s.User(t, "bob")
	l, b := land(t, s), oauthtest.NewTab(t)
	b.Open(t, l.ask("/authorize", "s"))
	b.SignIn(t, "bob", oauthtest.Password)
	if got := b.Text(t, ".account"); !strings.Contains(got, "bob") {
		t.Fatalf("the page tells: %s", got)
	}
	other := b.Beside(t)
	other.Open(t, s.URL+"/login")
	other.SignIn(t, "alice", oauthtest.Password)
	b.Follow(t, "#consent-approve")
	l.nobody(t)
	want(t, b, "/consent", http.StatusOK)
	if got := b.Text(t, ".account"); !strings.Contains(got, "alice") {
		t.Errorf("the page tells: %s", got)
	}
	b.Follow(t, "#consent-approve")
	if got := l.redeem(t, l.arrived(t).Values.Get("code")); got != alice.ID {
		t.Errorf("sub = %q, want alice", got)
	}
}

// Reload and the back button, on both pages: a page still good works again, one
// that was used tells so and offers to begin anew, and never is there a second
// code from one page (AZ-09).
func TestBrowser_BackAndReload(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	l, b := land(t, s, func(m *oauth.ClientMetadata) { m.Scope = "read" }), oauthtest.NewWindow(t)
	b.Open(t, l.ask("/authorize", "s"))
	b.Reload(t)
	want(t, b, "/login", http.StatusOK)
	b.SignIn(t, "alice", "wrong")
	b.Reload(t) // sends the form again, as browsers do
	want(t, b, "/login", http.StatusUnprocessableEntity)
	b.Back(t)
	b.SignIn(t, "alice", oauthtest.Password)
	b.Reload(t)
	want(t, b, "/consent", http.StatusOK)
	b.Back(t) // the sign-in page of the same request: signing in once more is harmless
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	l.arrived(t)

	b.Back(t) // onto the consent page as it was left, or as the server shows it now
	if b.Has(t, "#consent-approve") {
		b.Follow(t, "#consent-approve")
	}
	want(t, b, "/consent", http.StatusBadRequest)
	b.Reload(t)
	if !b.Has(t, "#error-page") {
		t.Fatalf("reload shows %s", b.Text(t, "body"))
	}
	for range 6 { // all the way back, the sign-in page of a finished request
		b.Back(t)
		if b.Has(t, "#login-form") {
			break
		}
	}
	b.SignIn(t, "alice", oauthtest.Password)
	if !b.Has(t, "#error-page") {
		t.Fatalf("signing in again shows %s", b.Text(t, "body"))
	}
	look(t, b)
	l.nobody(t)
	b.Follow(t, "#error-restart")
	if got := l.arrived(t).Values; got.Get("code") == "" || got.Get("state") != "s" {
		t.Errorf("begun anew: %v", got)
	}
	l.nobody(t)
}

// A page left open past the life of its request begins anew when it is used: the
// person signs in or decides once more, and the client gets one answer (AZ-09).
func TestBrowser_LeftOpen(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(t *testing.T, b *oauthtest.Tab){
		"reload of sign-in": func(t *testing.T, b *oauthtest.Tab) { b.Reload(t) },
		"use of sign-in":    func(t *testing.T, b *oauthtest.Tab) { b.SignIn(t, "alice", oauthtest.Password) },
		"cancel of sign-in": func(t *testing.T, b *oauthtest.Tab) { b.Follow(t, "#login-cancel") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			s.User(t, "alice")
			l, b := land(t, s), oauthtest.NewTab(t)
			b.Open(t, l.ask("/open/authorize/index", "s"))
			s.Clock.Advance(2 * time.Hour)
			late(t, b)
			want(t, b, "/login", http.StatusOK)
			b.SignIn(t, "alice", oauthtest.Password)
			s.Clock.Advance(2 * time.Hour)
			b.Follow(t, "#consent-approve")
			l.nobody(t)
			want(t, b, "/consent", http.StatusOK)
			b.Follow(t, "#consent-approve")
			l.redeem(t, l.arrived(t).Values.Get("code"))
			l.nobody(t)
		})
	}
}

// OAuth 2.0 Form Post Response Mode Section 2: the answer comes to the client as a
// POST, by itself where scripts run and by a button where they do not; hostile values
// stay values, and the client learns no referrer (AZ-11, CO-08, conformance 24, 44).
func TestBrowser_FormPost(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>document.title="hit"</script>&amp;'中文`
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			s.User(t, "alice")
			l, b := land(t, s), oauthtest.NewTab(t)
			b.Scripts(t, scripts)
			finish := func(button string) arrival {
				t.Helper()
				b.Follow(t, button)
				if !scripts {
					look(t, b)
					if b.Header["cache-control"] != "no-store" {
						t.Errorf("Cache-Control = %q", b.Header["cache-control"])
					}
					b.Follow(t, "#form-post-submit")
				}
				return l.arrived(t)
			}
			b.Open(t, l.ask("/authorize", hostile, "response_mode", "form_post"))
			b.SignIn(t, "alice", oauthtest.Password)
			got := finish("#consent-deny")
			if got.Method != http.MethodPost || got.Referer != "" || got.Values.Get("error") != "access_denied" || got.Values.Get("state") != hostile {
				t.Errorf("refusal = %+v", got)
			}
			b.Open(t, l.ask("/open/authorize/index", hostile, "response_mode", "form_post"))
			got = finish("#consent-approve")
			if got.Method != http.MethodPost || got.Referer != "" || got.Values.Get("state") != hostile || got.Values.Get("iss") != s.URL {
				t.Errorf("answer = %+v", got)
			}
			l.redeem(t, got.Values.Get("code"))
			if address := b.URL(t); address.RawQuery != "" || address.Fragment != "" {
				t.Errorf("the address bar shows %s", address)
			}
			for _, complaint := range b.Complaints() {
				t.Error(complaint)
			}
		})
	}
}

// RFC 6749 Section 4.2.2: the token of the implicit grant stays in the fragment,
// which the browser sends to no server (IM-02).
func TestBrowser_Implicit(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		t.Parallel()
		s := oauthtest.Start(t)
		alice, l, b := s.User(t, "alice"), land(t, s), oauthtest.NewTab(t)
		b.Open(t, l.ask(at.Implicit, "s 1", "response_type", "token"))
		b.SignIn(t, "alice", oauthtest.Password)
		b.Follow(t, "#consent-approve")
		got := l.arrived(t)
		if len(got.Values) != 0 || got.Referer != "" {
			t.Errorf("the client's server was sent %v, referrer %q", got.Values, got.Referer)
		}
		var fragment string
		b.Eval(t, `location.hash.slice(1)`, &fragment)
		answer, err := url.ParseQuery(fragment)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Get("state") != "s 1" || answer.Get("token_type") != "Bearer" || answer.Has("refresh_token") {
			t.Errorf("fragment = %v", answer)
		}
		if got := l.subject(t, answer.Get("access_token")); got != alice.ID {
			t.Errorf("sub = %q", got)
		}
	})
}

// shiftTab goes one control back.
var shiftTab = chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(input.ModifierShift))

// The whole flow by keyboard alone, with scripts and without: every control is
// reached by Tab in the order it is read, shows that it is reached, and Enter
// does what the page is for (WCAG 2.2 Sections 2.1.1, 2.4.3 and 2.4.7).
func TestBrowser_Keyboard(t *testing.T) {
	t.Parallel()
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, func(c *config.Config) {
				c.Scopes = []config.Scope{{Name: "write", TextEN: "Change things", TextZH: "修改内容", Optional: true}}
			})
			s.User(t, "alice")
			l, b := land(t, s), oauthtest.NewTab(t)
			b.Scripts(t, scripts)
			// tab walks on from where the cursor is, until it is at the last of ids.
			tab := func(ids ...string) {
				t.Helper()
				for _, id := range ids {
					b.Keys(t, kb.Tab)
					var ring bool
					b.Eval(t, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && s.outlineWidth !== "0px" && (s.outlineColor !== "rgba(0, 0, 0, 0)" || s.boxShadow !== "none"); })()`, &ring)
					if got := b.Focused(t); got != id || !ring {
						t.Fatalf("Tab leads to %s (shown: %t), want %s", got, ring, id)
					}
				}
			}
			b.Open(t, l.ask("/authorize", "s", "scope", "read write"))
			b.Keys(t, "alice")
			tab("password")
			b.Keys(t, "wrong")
			b.Load(t, chromedp.KeyEvent(kb.Enter))
			want(t, b, "/login", http.StatusUnprocessableEntity)
			b.Keys(t, oauthtest.Password)
			if scripts {
				tab("reveal")
				b.Keys(t, " ")
				var kind string
				b.Eval(t, `password.type + " " + reveal.ariaPressed + " " + password.value.length`, &kind)
				if kind != "text true 21" || b.Focused(t) != "password" {
					t.Errorf("the password is shown as %q, the cursor is in %s", kind, b.Focused(t))
				}
				tab("reveal")
			}
			tab("login-submit", "login-cancel")
			b.Do(t, shiftTab)
			b.Load(t, chromedp.KeyEvent(kb.Enter))
			want(t, b, "/consent", http.StatusOK)
			for b.Focused(t) != "scope-write" {
				b.Keys(t, kb.Tab)
			}
			b.Keys(t, " ")
			tab("consent-remember")
			b.Keys(t, " ")
			tab("consent-approve", "consent-deny")
			b.Do(t, shiftTab)
			b.Load(t, chromedp.KeyEvent(" "))
			if got := l.arrived(t).Values; got.Get("code") == "" {
				t.Errorf("answer = %v", got)
			}
			b.Open(t, l.ask("/authorize", "s", "scope", "read"))
			for b.Focused(t) != "consent-remember" {
				b.Keys(t, kb.Tab)
			}
			b.Load(t, chromedp.KeyEvent(kb.Enter)) // in a box, Enter presses the page's first button
			if got := l.arrived(t).Values; got.Get("code") == "" {
				t.Errorf("Enter on the consent page = %v", got)
			}
		})
	}
}
