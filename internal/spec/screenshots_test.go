package spec_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A studio is a server with everything on it that pages can show.
type studio struct {
	*oauthtest.Server
	short, long, bare, native *landing
	strict                    *landing // requires a second factor
	phones                    map[string]*oauthtest.Authenticator
	demo                      string // issuer of a demo beside it
	inbox                     *mailtest.Server
	brand                     *branded
}

// resetLink is one for another password of alice.
func (s *studio) resetLink(t *testing.T) string {
	t.Helper()
	link, err := s.Links.Reset(t.Context(), theUser(t, s.Server, "alice"), theOperator)
	if err != nil {
		t.Fatal(err)
	}
	return link.URL
}

// birch is where an answer would go from the pages that documents show.
const birch = "https://birch.example/callback"

func newStudio(t *testing.T, language, issuer string) *studio {
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, oauthtest.OnLocalhost, mailing(inbox), func(c *config.Config) {
		c.Scopes = []config.Scope{
			{Name: "calendar.read", TextEN: "See the events in your calendar", TextZH: "查看您日历中的日程", Optional: true},
			{Name: "calendar.write", TextEN: "Add, change and remove events", TextZH: "添加、修改和删除日程", Optional: true},
		}
	})
	s.User(t, "alice")
	s.User(t, "a.rather-long.user.name@department.example.org")
	s.User(t, "fred")
	s.User(t, "greta")
	s.User(t, "hanna")
	names := map[string][2]string{
		"en": {"Silver Birch", "The Incorporated Society for Very Long Application Names of Northumberland"},
		"zh": {"银桦日历", "全国中小学生课外阅读与综合实践活动信息管理服务平台（试运行版）"},
	}[language]
	named := func(name, scope string) func(*oauth.ClientMetadata) {
		return func(m *oauth.ClientMetadata) { m.ClientName, m.Scope = name, scope }
	}
	return &studio{
		Server: s, demo: issuer, inbox: inbox,
		short: land(t, s, named(names[0], "profile email calendar.read"), func(m *oauth.ClientMetadata) {
			m.RedirectURIs = append(m.RedirectURIs, birch)
		}),
		long: land(t, s, named(names[1], "openid profile email address phone offline_access calendar.read calendar.write https://api.example.org/photos/v2/albums.readonly"), func(m *oauth.ClientMetadata) {
			m.ClientURI, m.PolicyURI, m.TermsOfServiceURI = "https://www.long-names.example/about", "https://www.long-names.example/privacy", "https://www.long-names.example/terms"
		}),
		bare:   land(t, s, named(names[0], "")),
		native: land(t, s, oauthtest.Public, named(names[0], "profile")),
		strict: land(t, s, named(names[0], "profile"), func(m *oauth.ClientMetadata) { m.RequireSecondFactor = true }),
		phones: map[string]*oauthtest.Authenticator{},
	}
}

// A scene is one page in one state. as says who is signed in.
type scene struct {
	name, as string
	show     func(t *testing.T, s *studio, b *oauthtest.Tab)
}

func opens(address func(s *studio) string) func(*testing.T, *studio, *oauthtest.Tab) {
	return func(t *testing.T, s *studio, b *oauthtest.Tab) { b.Open(t, address(s)) }
}

var scenes = []scene{
	{"home", "", opens(func(s *studio) string { return s.URL + "/" })},
	{"home-signed-in", "alice", opens(func(s *studio) string { return s.URL + "/" })},
	{"login", "", opens(func(s *studio) string {
		return s.short.ask("/authorize", "s", "scope", "profile", "redirect_uri", birch)
	})},
	{"login-long", "", opens(func(s *studio) string {
		return s.long.ask("/open/authorize/index", "s", "scope", "profile", "login_hint", "a.rather-long.user.name@department.example.org")
	})},
	{"login-alone", "", opens(func(s *studio) string { return s.URL + "/login" })},
	{"login-error", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile"))
		b.SignIn(t, "alice", "wrong")
	}},
	{"login-throttled", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		guesser := s.Browser(t)
		guesser.Open(t, "/login")
		for guesser.Page.StatusCode != http.StatusTooManyRequests {
			guesser.Submit(t, "login-form", url.Values{"username": {"carol"}, "password": {"wrong"}})
		}
		b.Open(t, s.URL+"/login")
		b.SignIn(t, "carol", "wrong")
		if b.Status != http.StatusTooManyRequests {
			t.Errorf("status after many tries = %d", b.Status)
		}
	}},
	{"login-passkey-cancelled", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Keychain(t).Owner(t, false)
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile"))
		b.Click(t, "#passkey-submit")
		b.Until(t, `!document.getElementById("passkey-message").hidden`)
	}},
	{"login-passkey-refused", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile"))
		b.Load(t, chromedp.Evaluate(`document.getElementById("passkey-form").submit()`, nil))
		b.Complaints() // that nobody has pressed anything
	}},
	{"select-account", "alice", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/login")
		b.SignIn(t, "a.rather-long.user.name@department.example.org", oauthtest.Password)
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile", "prompt", "select_account"))
	}},
	{"consent", "alice", opens(func(s *studio) string {
		return s.short.ask("/authorize", "s", "scope", "profile email calendar.read", "redirect_uri", birch)
	})},
	{"consent-long", "a.rather-long.user.name@department.example.org", opens(func(s *studio) string {
		return s.long.ask("/authorize", "s", "scope", "openid profile email address phone offline_access calendar.read calendar.write https://api.example.org/photos/v2/albums.readonly")
	})},
	{"consent-none", "alice", opens(func(s *studio) string { return s.bare.ask("/authorize", "s", "scope", "") })},
	{"consent-native", "alice", opens(func(s *studio) string {
		return s.native.ask("/authorize", "s", "scope", "profile", "code_challenge", strings.Repeat("a", 43), "code_challenge_method", "S256")
	})},
	{"error-unknown-client", "", opens(func(s *studio) string { return s.URL + "/authorize?client_id=nobody&response_type=code" })},
	{"error-redirect", "", opens(func(s *studio) string {
		return s.short.ask("/authorize", "s", "redirect_uri", "https://elsewhere.example/callback")
	})},
	{"error-used", "alice", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile"))
		b.Follow(t, "#consent-approve")
		s.short.arrived(t)
		b.Back(t)
		if b.Has(t, "#consent-approve") { // as it was left; the server has not been asked
			b.Follow(t, "#consent-approve")
		}
	}},
	{"login-forgot", "", opens(func(s *studio) string { return s.URL + "/login/forgot" })},
	{"login-forgot-error", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Scripts(t, false)
		b.Open(t, s.URL+"/login/forgot")
		b.Type(t, "#username", " ")
		b.Follow(t, "#forgot-submit")
	}},
	{"login-forgot-sent", "", opens(func(s *studio) string { return s.URL + "/login/forgot/sent" })},
	{"new-password", "", func(t *testing.T, s *studio, b *oauthtest.Tab) { b.Open(t, s.resetLink(t)) }},
	{"new-password-refused", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.resetLink(t))
		b.Type(t, "#password", "Password123!")
		b.Follow(t, "#password-submit")
	}},
	{"new-password-done", "", opens(func(s *studio) string { return s.URL + "/login/password/done" })},
	{"invitation", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		u := &store.User{ID: store.NewUserID(), Username: "zoe", UsernameKey: "zoe", CreatedAt: s.Clock.Now()}
		link, err := s.Links.Invite(t.Context(), u, false, theOperator)
		if err != nil {
			t.Fatal(err)
		}
		b.Open(t, link.URL)
	}},
	{"invitation-done", "", opens(func(s *studio) string { return s.URL + "/login/password/ready" })},
	{"confirm-email", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		if err := s.Links.ChangeEmail(t.Context(), theUser(t, s.Server, "alice").ID, 0, "alice@example.com", "", theOperator); err != nil {
			t.Fatal(err)
		}
		b.Open(t, s.inbox.Wait(t, 1)[0].Read(t).Link())
	}},
	{"confirm-email-done", "", opens(func(s *studio) string { return s.URL + "/login/email/done" })},
	{"set-up", "", func(t *testing.T, s *studio, b *oauthtest.Tab) { b.Open(t, setUpLink(t, s.Server)) }},
	{"set-up-refused", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, setUpLink(t, s.Server))
		b.Type(t, "#username", "alice")
		b.Type(t, "#email", "alice@example.com")
		b.Type(t, "#password", "short")
		b.Follow(t, "#first-admin-submit")
	}},
	{"set-up-done", "", opens(func(s *studio) string { return s.URL + "/login/first-administrator/done" })},
	{"link-dead", "", opens(func(s *studio) string { return s.URL + "/login/password?ticket=gone" })},
	{"error-not-found", "", opens(func(s *studio) string { return s.URL + "/nothing" })},
	{"form-post", "alice", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Scripts(t, false)
		b.Open(t, s.short.ask("/authorize", "s", "scope", "profile", "response_mode", "form_post", "prompt", "none"))
		if b.Has(t, "#consent-approve") {
			b.Follow(t, "#consent-approve")
		}
	}},
	{"logout", "alice", opens(func(s *studio) string { return s.URL + "/end-session" })},
	{"logged-out", "", opens(func(s *studio) string { return s.URL + "/logout/done" })},
	{"logged-out-frames", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		m := oauthtest.EveryGrant()
		m.FrontchannelLogoutURI, m.RedirectURIs = s.short.URL+"/out", []string{s.short.Callback}
		m.PostLogoutRedirectURIs = m.RedirectURIs
		id, secret := s.Register(t, "", m)
		b.Open(t, s.URL+"/authorize?"+url.Values{"client_id": {id}, "redirect_uri": m.RedirectURIs, "response_type": {"code"}, "scope": {"openid"}}.Encode())
		b.SignIn(t, "alice", oauthtest.Password)
		b.Follow(t, "#consent-approve")
		answer := s.Post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {b.URL(t).Query().Get("code")}, "redirect_uri": m.RedirectURIs, "client_id": {id}, "client_secret": {secret}})
		b.Open(t, s.URL+logout("id_token_hint", answer.Text("id_token"), "post_logout_redirect_uri", s.short.Callback))
		b.Eval(t, `window.stop()`, nil) // or it would lead on while it is looked at
	}},
	{"home-demo", "", opens(func(s *studio) string { return s.demo + "/" })},
	{"playground", "", opens(func(s *studio) string { return s.demo + "/playground" })},
	{"playground-begin", "", opens(func(s *studio) string { return s.demo + "/playground/pkce" })},
	{"playground-back", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.demo+"/playground/pkce")
		b.Follow(t, "#go")
		b.SignIn(t, demo.Alice, demo.AlicePassword)
		b.Follow(t, "#consent-approve")
	}},
	{"playground-tokens", "", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Follow(t, "#run-verify .primary") }},
	{"playground-introspect", "", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Follow(t, "#run-introspect .primary") }},
	{"playground-replayed", "", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Follow(t, "#run-replay .primary") }},
	{"playground-implicit", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.demo+"/playground/implicit")
		b.Follow(t, "#go")
		if b.Has(t, "#consent-approve") {
			b.Follow(t, "#consent-approve")
		}
	}},
	{"playground-failed", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.demo+"/playground/password")
		b.Follow(t, "#run-password button[value=secret]")
	}},
}

// Every page in every state, in both languages, light and dark, from the
// narrowest phone to a desktop: neither audit.js nor axe-core has anything to say, and no
// page is heavy. With HUFU_SCREENSHOTS=DIR it also leaves a picture of each (AZ-10, HD-12).
func TestScreenshots(t *testing.T) {
	t.Parallel()
	directory := os.Getenv("HUFU_SCREENSHOTS")
	if directory != "" {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	issuer := openDemo(t, "").URL
	for _, language := range []string{"en", "zh"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := newStudio(t, language, issuer)
			tabs := map[string]*oauthtest.Tab{}
			shown, all := map[string]bool{}, true
			furnish(t, s)
			s.brand = newBranded(t, language)
			for _, sc := range slices.Concat(scenes, accountScenes, factorScenes, brandScenes) {
				b := tabs[sc.as]
				if b == nil {
					b = oauthtest.NewTab(t)
					b.Do(t, network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": language}))
					tabs[sc.as] = b
					if sc.as != "" {
						b.Open(t, s.URL+"/login")
						b.SignIn(t, sc.as, oauthtest.Password)
					}
				}
				ran := false
				t.Run(sc.name, func(t *testing.T) {
					ran = true
					shown[pictures(t, s, b, sc, language, directory)] = true
				})
				all = all && ran
			}
			if all && !t.Failed() { // and not some that -run names
				checkShown(t, shown)
			}
		})
	}
}

// A window is what a page is looked at in. Of the narrowest no picture is taken;
// portrait is for documents, of a few pages and in twice the detail.
type window struct {
	width, height int64
	scale         float64
	pictured      bool
}

var (
	windows  = []window{{320, 568, 1, false}, {360, 740, 1, true}, {1280, 800, 1, true}}
	portrait = window{560, 1046, 2, true}
)

// pictures looks at one page in every way, and returns the name of its template.
func pictures(t *testing.T, s *studio, b *oauthtest.Tab, sc scene, language, directory string) (page string) {
	b.Do(t, emulation.SetDeviceMetricsOverride(1280, 800, 1, false))
	sc.show(t, s, b)
	b.Do(t, emulation.SetScriptExecutionDisabled(false)) // for axe; what the page did not run so far, it does not run now
	b.Eval(t, `document.body.dataset.page`, &page)
	weigh(t, b)
	sizes := windows
	if directory != "" && (sc.name == "login" || sc.name == "consent") {
		sizes = append(slices.Clone(windows), portrait)
	}
	for _, scheme := range []string{"light", "dark"} {
		b.Do(t, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}))
		for _, w := range sizes {
			b.Do(t, emulation.SetDeviceMetricsOverride(w.width, w.height, w.scale, w.width < 480))
			look(t, b)
			// What axe sees hangs on the colours or on the width, and not on both at once.
			if w.pictured && (w.width < 480) == (scheme == "light") {
				runAxe(t, b)
			}
			if directory == "" || !w.pictured {
				continue
			}
			name := fmt.Sprintf("%s-%s-%s-%d.png", sc.name, language, scheme, w.width)
			b.Do(t, shoot(filepath.Join(directory, name), w))
		}
	}
	return page
}

// shoot takes a picture of the whole page, however long.
func shoot(file string, w window) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var height float64
		if err := chromedp.Evaluate(`document.documentElement.scrollHeight`, &height).Do(ctx); err != nil {
			return err
		}
		png, err := page.CaptureScreenshot().WithCaptureBeyondViewport(true).WithClip(&page.Viewport{
			Width: float64(w.width), Height: max(height, float64(w.height)), Scale: 1,
		}).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(file, png, 0o600)
	})
}
