package spec_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// signedInAs is who a browser is signed in as, by the server's own page.
func signedInAs(t *testing.T, s *oauthtest.Server, cookies ...*http.Cookie) string {
	t.Helper()
	r := s.Request(t, http.MethodGet, "/", "")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	body := string(s.Do(t, r).Body)
	if strings.Contains(body, `id="home-signin"`) {
		return ""
	}
	_, rest, _ := strings.Cut(body, `<bdi class="name">`)
	name, _, _ := strings.Cut(rest, "<")
	return name
}

func sessionCookie(t *testing.T, b *oauthtest.Browser) *http.Cookie {
	t.Helper()
	return &http.Cookie{Name: "hufu_session", Value: cookieNamed(t, b, "hufu_session")}
}

// Every sign-in gives the browser a new session id and ends the old one; an id
// that an attacker planted is never taken over; a new password ends the session
// (SE-01).
func TestSession_NewIDForEachSignIn(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	s.User(t, "bob")
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	if cookieNamed(t, b, "hufu_session") != "" {
		t.Error("there is a session before anybody signed in")
	}
	b.SignIn(t, "alice")
	first := sessionCookie(t, b)
	if len(first.Value) < 43 || signedInAs(t, s, first) != "alice" {
		t.Fatalf("session %q", first.Value)
	}
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "login")) // step-up
	if signedInAs(t, s, first) != "alice" {
		t.Error("asking for a new sign-in ended the old one")
	}
	b.SignIn(t, "alice")
	second := sessionCookie(t, b)
	if second.Value == first.Value || signedInAs(t, s, first) != "" || signedInAs(t, s, second) != "alice" {
		t.Errorf("after a new sign-in the old id is %q's, the new one %q's", signedInAs(t, s, first), signedInAs(t, s, second))
	}
	b.Open(t, s.URL+"/login")
	b.SignIn(t, "bob")
	third := sessionCookie(t, b)
	if third.Value == second.Value || signedInAs(t, s, second) != "" || signedInAs(t, s, third) != "bob" {
		t.Errorf("after somebody else's sign-in the old id is %q's, the new one %q's", signedInAs(t, s, second), signedInAs(t, s, third))
	}
	if err := s.Store.SetPassword(t.Context(), theUser(t, s, "bob").ID, theUser(t, s, "bob").Password, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	if signedInAs(t, s, third) != "" {
		t.Error("a session outlives the password it was begun with")
	}
	// A refused sign-in changes nothing.
	b.Open(t, s.URL+"/login")
	b.SignIn(t, "bob")
	fourth := sessionCookie(t, b)
	b.Open(t, s.URL+"/login")
	b.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {"wrong horse"}})
	if sessionCookie(t, b).Value != fourth.Value || signedInAs(t, s, fourth) != "bob" {
		t.Error("a wrong password touched the session")
	}
	planted := stranger(t, s)
	r := formRequest(t, planted, s, "login-form", url.Values{"username": {"alice"}, "password": {oauthtest.Password}})
	r.AddCookie(&http.Cookie{Name: "hufu_session", Value: strings.Repeat("A", 43)})
	for _, c := range s.Do(t, r).Cookies() {
		if c.Name == "hufu_session" && c.Value == strings.Repeat("A", 43) {
			t.Error("the server took over a session id that was planted")
		}
	}
	for _, value := range []string{strings.Repeat("A", 43), "", "x", strings.Repeat("A", 5000), "' OR 1=1", fourth.Value + "A", fourth.Value[:42]} {
		if name := signedInAs(t, s, &http.Cookie{Name: "hufu_session", Value: value}); name != "" {
			t.Errorf("session %.20q is %s's", value, name)
		}
	}
}

// Sessions end on the server: when they were not used for a while, and when they
// are old, however busy (SE-03, conformance 5).
func TestSession_IdleAndAbsoluteEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit           func(*config.Config)
		idle, absolute time.Duration
	}{
		"default":    {func(*config.Config) {}, 12 * time.Hour, 30 * 24 * time.Hour},
		"configured": {func(c *config.Config) { c.SessionIdleLifetime, c.SessionLifetime = 10*time.Minute, time.Hour }, 10 * time.Minute, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, tt.edit)
			app := s.App(t)
			b := signedIn(t, app)
			cookie, began := sessionCookie(t, b), s.Clock.Now()
			for s.Clock.Now().Add(tt.idle * 9 / 10).Before(began.Add(tt.absolute)) {
				s.Clock.Advance(tt.idle * 9 / 10)
				if signedInAs(t, s, cookie) != "alice" {
					t.Fatalf("over after %v of %v", s.Clock.Now().Sub(began), tt.absolute)
				}
			}
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "none"))
			if responseOf(t, app, b.Page).Get("code") == "" {
				t.Error("no code in a live session")
			}
			s.Clock.Advance(began.Add(tt.absolute + time.Second).Sub(s.Clock.Now()))
			if signedInAs(t, s, cookie) != "" {
				t.Error("a busy session has no end")
			}
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "none"))
			wantRefused(t, app, b.Page, "login_required")

			b = signedIn(t, app)
			cookie = sessionCookie(t, b)
			s.Clock.Advance(tt.idle + time.Second)
			if signedInAs(t, s, cookie) != "" {
				t.Error("an idle session has no end")
			}
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "none"))
			wantRefused(t, app, b.Page, "login_required")
		})
	}
}

// OpenID Connect Core Section 3.1.2.1: prompt=none shows no page. Without a session it
// is login_required, without a consent consent_required; a hint signs nobody in (AZ-03,
// AZ-12, conformance 31).
func TestOIDCCore_3_1_2_1_PromptNone(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app, other := s.App(t), s.App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for path, responseType := range map[string]string{at.Code: "code", at.Implicit: "token"} {
			ask := func(app *oauthtest.App, pairs ...string) string {
				return authorizationURL(app, path, append([]string{"response_type", responseType, "prompt", "none"}, pairs...)...)
			}
			for _, pairs := range [][]string{{}, {"login_hint", "alice"}, {"id_token_hint", "eyJhbGciOiJub25lIn0.e30."}, {"max_age", "0"}} {
				wantRefused(t, app, s.Get(t, ask(app, pairs...)), "login_required")
			}
			b := signedIn(t, app)
			b.Open(t, ask(app))
			if got := responseOf(t, app, b.Page); got.Has("error") {
				t.Errorf("answered %v", got)
			}
			for want, address := range map[string]string{
				ask(other):                            "consent_required",
				ask(app, "scope", "read write"):       "consent_required",
				ask(app, "max_age", "0"):              "login_required",
				ask(app, "id_token_hint", "somebody"): "login_required",
			} {
				b.Open(t, want)
				who := app
				if want == ask(other) {
					who = other
				}
				wantRefused(t, who, b.Page, address)
			}
		}
	})
}

// OpenID Connect Core Section 3.1.2.1: prompt=login and max_age=0 ask for a sign-in
// although there is a session, and only that sign-in goes on: not the old session by
// another address, not one whose cookie was held back at first (AZ-04, conformance 32).
func TestOIDCCore_3_1_2_1_PromptLogin(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, pairs := range [][]string{{"prompt", "login"}, {"prompt", "login select_account"}, {"prompt", "login consent"}, {"max_age", "0"}} {
			b := signedIn(t, app)
			s.Clock.Advance(2 * time.Minute)
			old := sessionCookie(t, b)
			b.Open(t, authorizationURL(app, at.Code, pairs...))
			if !b.On("login-form") {
				t.Fatalf("%v led to %s", pairs, b.Page.Request.URL.Path)
			}
			page := b.Page
			request := page.Request.URL.Query().Get("request")
			for _, path := range []string{"/authorize/resume", "/consent"} {
				b.Open(t, s.URL+path+"?request="+request)
				if responseCode(b.Page) != "" || !b.On("login-form") {
					t.Errorf("%v: the old session got on by %s", pairs, path)
				}
			}
			// The session's cookie kept away from the first request, then sent.
			plain := s.Browser(t)
			plain.Open(t, authorizationURL(app, at.Code, pairs...))
			for _, path := range []string{"/authorize/resume", "/consent"} {
				r := s.Request(t, http.MethodGet, path+"?request="+plain.Page.Request.URL.Query().Get("request"), "")
				r.AddCookie(old)
				r.AddCookie(&http.Cookie{Name: "hufu_browser", Value: cookieNamed(t, plain, "hufu_browser")})
				answer := s.Do(t, r)
				location := answer.Header.Get("Location")
				if responseCode(answer) != "" || strings.Contains(string(answer.Body), "consent-form") || !strings.HasPrefix(location, "/login?") && !strings.HasPrefix(location, "/authorize/resume?") {
					t.Errorf("%v: a session held back got on by %s: %d to %q", pairs, path, answer.StatusCode, location)
				}
			}
			b.Page = page
			b.SignIn(t, "alice")
			if b.On("consent-form") != slices.Contains(pairs, "login consent") {
				t.Errorf("%v: after the sign-in at %s", pairs, b.Page.Request.URL.Path)
			}
			if b.On("consent-form") {
				s.Clock.Advance(10 * time.Minute) // however long the rest takes
				b.Approve(t)
			}
			if responseOf(t, app, b.Page).Get("code") == "" {
				t.Errorf("%v: no code", pairs)
			}
		}
	})
}

// OpenID Connect Core Section 3.1.2.1: behind max_age the user signs in again, and
// auth_time moves with it; a client can have it for all its requests (AZ-24,
// conformance 33).
func TestOIDCCore_3_1_2_1_MaxAge(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	hundred := int64(100)
	registered := s.App(t, func(m *oauth.ClientMetadata) { m.DefaultMaxAge = &hundred })
	for name, tt := range map[string]struct {
		app   *oauthtest.App
		pairs []string
	}{
		"asked for":  {s.App(t), []string{"max_age", "100"}},
		"registered": {registered, nil},
		"the sooner": {registered, []string{"max_age", "100"}},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				authTime := func(b *oauthtest.Browser) float64 {
					answer := redeemWith(t, tt.app, at.AuthorizationCode, responseOf(t, tt.app, b.Page).Get("code"), "")
					seconds, _ := tt.app.Introspect(t, answer.Text("access_token")).JSON("auth_time").(float64)
					if seconds == 0 {
						t.Errorf("no auth_time: %s", answer.Body)
					}
					return seconds
				}
				b := s.Browser(t)
				b.Walk(t, authorizationURL(tt.app, at.Code, tt.pairs...), "alice")
				first := authTime(b)
				s.Clock.Advance(98 * time.Second)
				b.Open(t, authorizationURL(tt.app, at.Code, tt.pairs...))
				if again := authTime(b); again != first {
					t.Errorf("auth_time moved from %v to %v without a sign-in", first, again)
				}
				s.Clock.Advance(4 * time.Second)
				b.Open(t, authorizationURL(tt.app, at.Code, append(tt.pairs, "prompt", "none")...))
				wantRefused(t, tt.app, b.Page, "login_required")
				b.Open(t, authorizationURL(tt.app, at.Code, tt.pairs...))
				if !b.On("login-form") {
					t.Fatalf("led to %s", b.Page.Request.URL.Path)
				}
				b.SignIn(t, "alice")
				if now := authTime(b); now < first+100 {
					t.Errorf("auth_time is %v, was %v", now, first)
				}
				// A sign-in that is young enough needs no other one.
				b.Open(t, authorizationURL(tt.app, at.Code, append(tt.pairs, "prompt", "none")...))
				authTime(b)
			})
		})
	}
	// What the request says goes before what is registered.
	b := signedIn(t, registered)
	s.Clock.Advance(5 * time.Minute)
	b.Open(t, authorizationURL(registered, "/authorize", "max_age", "1000", "prompt", "none"))
	if responseOf(t, registered, b.Page).Get("code") == "" {
		t.Error("a longer max_age was not honoured")
	}
}

// Two flows in two tabs of one browser, whichever ends first, each end with their
// own client, state, scope and code (AZ-08).
func TestAuthorization_TwoTabs(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	first := s.App(t)
	second := s.App(t, func(m *oauth.ClientMetadata) { m.RedirectURIs = []string{"https://second.example/callback"} })
	for name, pairs := range map[string][]string{"plain": {}, "both ask for a sign-in": {"prompt", "login"}, "both ask for consent": {"prompt", "consent"}} {
		for _, order := range []string{"first", "second"} {
			t.Run(name+", "+order+" ends first", func(t *testing.T) {
				oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
					b := s.Browser(t)
					tabs := map[string]*oauthtest.Answer{}
					apps := map[string]*oauthtest.App{"first": first, "second": second}
					states := map[string]string{"first": "one", "second": "two"}
					scopes := map[string]string{"first": "read", "second": "write"}
					for _, tab := range []string{"first", "second"} {
						tabs[tab] = b.Open(t, authorizationURL(apps[tab], at.Code, append(pairs, "state", states[tab], "scope", scopes[tab])...))
					}
					for _, tab := range []string{"first", "second"} {
						b.Page = tabs[tab]
						if b.On("login-form") {
							b.SignIn(t, "alice")
						}
						tabs[tab] = b.Page
					}
					ending := []string{"first", "second"}
					if order == "second" {
						slices.Reverse(ending)
					}
					for _, tab := range ending {
						b.Page = tabs[tab]
						if b.On("consent-form") {
							b.Approve(t)
						}
						got := responseOf(t, apps[tab], b.Page)
						if got.To != apps[tab].RedirectURL || got.Get("state") != states[tab] {
							t.Fatalf("tab %s ended at %s with %v", tab, got.To, got)
						}
						answer := redeemWith(t, apps[tab], at.AuthorizationCode, got.Get("code"), "")
						if answer.Text("scope") != scopes[tab] {
							t.Errorf("tab %s: %s", tab, answer.Body)
						}
					}
				})
			})
		}
	}
}

// On the consent page the user can sign in as somebody else; the request goes on
// for the other one, and what the first allowed stays the first's.
func TestAuthorization_AnotherAccount(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	s.User(t, "bob")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, at.Code, "prompt", "consent"))
		b.SignIn(t, "alice")
		if !strings.Contains(string(b.Page.Body), `<bdi class="name">alice</bdi>`) {
			t.Fatal("the consent page does not say who is asked")
		}
		consent := b.Page
		b.Open(t, s.Origin+switchLink(t, consent))
		if !b.On("login-form") {
			t.Fatalf("the link led to %s", b.Page.Request.URL.Path)
		}
		b.SignIn(t, "bob")
		if !b.On("consent-form") || !strings.Contains(string(b.Page.Body), `<bdi class="name">bob</bdi>`) {
			t.Fatalf("after the switch at %s", b.Page.Request.URL.Path)
		}
		b.Approve(t)
		answer := redeemWith(t, app, at.AuthorizationCode, responseOf(t, app, b.Page).Get("code"), "")
		if got := app.Introspect(t, answer.Text("access_token")).Text("username"); got != "bob" {
			t.Errorf("the token is %s's", got)
		}
		// The page that asked alice does not speak for bob.
		b.Open(t, authorizationURL(app, at.Code, "prompt", "login consent"))
		b.SignIn(t, "alice")
		asked := b.Page
		b.Open(t, s.URL+"/login")
		b.SignIn(t, "bob")
		b.Page = asked
		b.Approve(t)
		if responseCode(b.Page) != "" {
			t.Error("a page that asked alice was answered by bob")
		}
	})
}

func switchLink(t *testing.T, answer *oauthtest.Answer) string {
	t.Helper()
	for _, link := range linkPattern.FindAllStringSubmatch(string(answer.Body), -1) {
		if strings.HasPrefix(link[1], "/login?request=") {
			return link[1]
		}
	}
	t.Fatal("no link to another account")
	return ""
}

// Consent is remembered for user, client and scope if the user wants it; more scope is
// asked for again, and what was allowed stays allowed (conformance 41).
func TestConsent_Remembered(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "bob")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, other := s.App(t), s.App(t)
		b := s.Browser(t)
		asked := func(app *oauthtest.App, pairs ...string) bool {
			b.Open(t, authorizationURL(app, at.Code, pairs...))
			if b.On("login-form") {
				t.Fatal("asked to sign in")
			}
			return b.On("consent-form")
		}
		b.Open(t, authorizationURL(app, at.Code))
		b.SignIn(t, "alice")
		b.Submit(t, "consent-form", url.Values{"decision": {"approve"}, "remember": nil})
		if !asked(app) {
			t.Error("remembered although nobody wanted it")
		}
		b.Approve(t)
		for name, tt := range map[string]struct {
			app   *oauthtest.App
			pairs []string
			want  bool
		}{
			"the same":             {app, nil, false},
			"by the other type":    {app, []string{"response_mode", "fragment"}, false},
			"more scope":           {app, []string{"scope", "read write"}, true},
			"other scope":          {app, []string{"scope", "write"}, true},
			"openid beside":        {app, []string{"scope", "read openid"}, true},
			"no scope named":       {app, []string{"scope", ""}, true}, // stands for read and write
			"another client":       {other, nil, true},
			"demanded":             {app, []string{"prompt", "consent"}, true},
			"the same, once again": {app, nil, false},
		} {
			if got := asked(tt.app, tt.pairs...); got != tt.want {
				t.Errorf("%s: asked %t, want %t", name, got, tt.want)
			}
		}
		asked(app, "scope", "write openid")
		b.Approve(t)
		if asked(app, "scope", "read write openid") || asked(app, "scope", "read") {
			t.Error("what was allowed in two steps is not allowed together")
		}
		// Refusing more does not take away what was allowed.
		asked(app, "scope", "read offline_access")
		b.Submit(t, "consent-form", url.Values{"decision": {"deny"}})
		if asked(app, "scope", "read") {
			t.Error("a refusal took a consent away")
		}
		// Withdrawn, it is asked for again; somebody else was never asked.
		if err := s.Store.WithdrawConsent(t.Context(), theUser(t, s, "alice").ID, app.ClientID, s.Clock.Now(), theOperator); err != nil {
			t.Fatal(err)
		}
		if !asked(app) {
			t.Error("withdrawn and not asked for")
		}
		b.Approve(t)
		b.Open(t, s.URL+"/login")
		b.SignIn(t, "bob")
		if !asked(app) {
			t.Error("bob has allowed what alice did")
		}
	})
}

// A trusted client needs no consent page, and gets one all the same when it asks.
func TestConsent_TrustedClient(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t, func(m *oauth.ClientMetadata) { m.Trusted = true })
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := app.Server.Browser(t)
		b.Open(t, authorizationURL(app, at.Code, "scope", "read write openid"))
		b.SignIn(t, "alice")
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Error("no code behind the sign-in")
		}
		b.Open(t, authorizationURL(app, at.Code, "prompt", "none"))
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Error("no code without a page")
		}
		b.Open(t, authorizationURL(app, at.Code, "prompt", "consent"))
		if !b.On("consent-form") {
			t.Error("the page that was asked for is not shown")
		}
	})
}

// OpenID Connect RP-Initiated Logout Sections 2 and 4: the user is asked, the
// session ends on yes alone, and no address that came along is gone to or linked
// (LO-13, CS-02).
func TestLogout_AsksAndGoesNowhere(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	evil := url.Values{"post_logout_redirect_uri": {"https://evil.example/bye"}, "client_id": {"nobody"}, "state": {"evil"}, "logout_hint": {"evil"}, "ui_locales": {"zh"}}.Encode()
	for _, query := range []string{"", "?" + evil, "?post_logout_redirect_uri=javascript:alert(1)", "?post_logout_redirect_uri=//evil.example", "?client_id=" + app.ClientID + "&post_logout_redirect_uri=" + url.QueryEscape(app.RedirectURL)} {
		b := signedIn(t, app)
		cookie := sessionCookie(t, b)
		b.Open(t, s.URL+"/end-session"+query)
		if !b.On("logout-form") || b.Page.StatusCode != http.StatusOK || signedInAs(t, s, cookie) != "alice" {
			t.Fatalf("%q: not asked: %d", query, b.Page.StatusCode)
		}
		leadsAway := func(step string) {
			t.Helper()
			for _, link := range linkPattern.FindAllStringSubmatch(string(b.Page.Body), -1) {
				if !strings.HasPrefix(link[1], "/") || strings.HasPrefix(link[1], "//") {
					t.Errorf("%q %s: links to %s", query, step, link[1])
				}
			}
			if b.Location(t) != nil {
				t.Errorf("%q %s: led to %s", query, step, b.Location(t))
			}
		}
		leadsAway("question")
		question := b.Page
		b.Submit(t, "logout-form", url.Values{"decision": {"no"}})
		leadsAway("no")
		if signedInAs(t, s, cookie) != "alice" {
			t.Error("signed out on no")
		}
		b.Page = question
		b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		leadsAway("yes")
		if !b.On("logged-out") || b.Page.Request.URL.Path != "/logout/done" || signedInAs(t, s, cookie) != "" || cookieNamed(t, b, "hufu_session") != "" {
			t.Errorf("%q: after yes at %s, session of %q", query, b.Page.Request.URL, signedInAs(t, s, cookie))
		}
		// Once more, with nobody signed in.
		b.Open(t, s.URL+"/end-session"+query)
		leadsAway("again")
		if !b.On("logged-out") {
			t.Errorf("%q: again at %s", query, b.Page.Request.URL)
		}
		b.Open(t, authorizationURL(app, "/authorize", "prompt", "none"))
		wantRefused(t, app, b.Page, "login_required")
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r := s.Request(t, method, "/end-session?id_token_hint=x.y.z", "")
		if method == http.MethodPost {
			r = s.Request(t, method, "/end-session", "id_token_hint=x.y.z")
		}
		wantErrorPage(t, s.Do(t, r), http.StatusBadRequest, "invalid_request")
	}
}

// A grant with openid and without offline_access ends with the session at
// sign-out; all others outlive it, and none ends when the session merely expires.
func TestLogout_EndsWhatIsBoundToTheSession(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	judge := func(tokens map[string]string) map[string]bool {
		alive := map[string]bool{}
		for scope, token := range tokens {
			alive[scope] = app.Active(t, token)
		}
		return alive
	}
	begin := func(b *oauthtest.Browser) map[string]string {
		tokens := map[string]string{}
		for _, scope := range []string{"read", "openid", "openid offline_access"} {
			b.Walk(t, authorizationURL(app, "/authorize", "scope", scope), "alice")
			tokens[scope] = redeemWith(t, app, "/token", responseOf(t, app, b.Page).Get("code"), "").Text("access_token")
		}
		return tokens
	}
	want := func(name string, got map[string]bool, openid bool) {
		t.Helper()
		if !got["read"] || !got["openid offline_access"] || got["openid"] != openid {
			text, err := json.Marshal(got)
			t.Errorf("%s: %s %v", name, text, err)
		}
	}
	b, elsewhere := s.Browser(t), s.Browser(t)
	tokens, others := begin(b), begin(elsewhere)
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "login")) // the same person again
	b.SignIn(t, "alice")
	want("after a new sign-in", judge(tokens), true)
	b.Open(t, s.URL+"/end-session")
	b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	want("after the sign-out", judge(tokens), false)
	want("in another browser", judge(others), true)
	short := oauthtest.Start(t, func(c *config.Config) { c.SessionIdleLifetime = time.Minute })
	app, s = short.App(t), short
	expired := begin(short.Browser(t))
	short.Clock.Advance(2 * time.Minute)
	want("after the session expired", judge(expired), true)
}
