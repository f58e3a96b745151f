package spec_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// RFC 6749 Section 4.1.2: the server may give codes less than 60 seconds, and a client
// its own time within those (CO-02, conformance 5).
func TestRFC6749_4_1_2_CodeLifetimeOfTheServer(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.CodeLifetime = 20 * time.Second })
	for name, tt := range map[string]struct {
		app      *oauthtest.App
		lifetime time.Duration
	}{
		"server's":          {s.App(t), 20 * time.Second},
		"client's, shorter": {s.App(t, func(m *oauth.ClientMetadata) { m.CodeLifetime = 5 }), 5 * time.Second},
		"client's, longer":  {s.App(t, func(m *oauth.ClientMetadata) { m.CodeLifetime = 60 }), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				code := codeWith(t, tt.app, at.Code, appendixBChallenge)
				s.Clock.Advance(tt.lifetime - 2*time.Second)
				if answer := redeemWith(t, tt.app, at.AuthorizationCode, code, appendixBVerifier); answer.StatusCode != http.StatusOK {
					t.Errorf("in time: %s", answer.Body)
				}
				code = codeWith(t, tt.app, at.Code, appendixBChallenge)
				s.Clock.Advance(tt.lifetime)
				if answer := redeemWith(t, tt.app, at.AuthorizationCode, code, appendixBVerifier); answer.Text("error") != "invalid_grant" {
					t.Errorf("too late: %d %s", answer.StatusCode, answer.Body)
				}
				s.Clock.Advance(-2*tt.lifetime + 2*time.Second)
			})
		})
	}
}

// A user or a client that is disabled while a page is open gets no code: the page
// leads to sign-in, or to the error page (CO-07).
func TestRFC6749_4_1_1_DisabledWhileThePageIsOpen(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	b.SignIn(t, "alice")
	consent := b.Page
	user := theUser(t, s, "alice").ID
	if err := s.Store.DisableUser(t.Context(), user, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	b.Approve(t)
	if !b.On("login-form") {
		t.Fatalf("a disabled user got to %s: %d", b.Page.Request.URL.Path, b.Page.StatusCode)
	}
	b.SignIn(t, "alice")
	if !b.On("login-error") || b.Page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a disabled user signed in: %d", b.Page.StatusCode)
	}
	if err := s.Store.EnableUser(t.Context(), user, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	b.Page = consent
	b.Approve(t)
	if !b.On("login-form") {
		t.Errorf("enabling a user revived a session: %d", b.Page.StatusCode)
	}
	b.SignIn(t, "alice")
	if err := s.Store.DisableClient(t.Context(), app.ClientID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	b.Approve(t)
	wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
}

// RFC 9700 Section 4.2: nothing about a code leaves with a referrer, and the
// pages around it load nothing foreign and are kept by no cache (CO-08, RU-09).
func TestRFC9700_4_2_CodeDoesNotLeak(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := app.Server.Browser(t)
		check := func(step string) {
			h := b.Page.Header
			if h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Referrer-Policy %q, Cache-Control %q", step, h.Get("Referrer-Policy"), h.Get("Cache-Control"))
			}
			for _, link := range linkPattern.FindAllStringSubmatch(string(b.Page.Body), -1) {
				if strings.Contains(link[0], "src=") && !strings.HasPrefix(link[1], "/assets/") {
					t.Errorf("%s loads %s", step, link[1])
				}
			}
		}
		b.Open(t, authorizationURL(app, at.Code, "prompt", "login consent"))
		check("sign-in")
		b.SignIn(t, "alice")
		check("consent")
		b.Approve(t)
		check("redirect")
		if b.Page.StatusCode != http.StatusSeeOther || len(b.Page.Body) != 0 {
			t.Errorf("the code came with %d and %q", b.Page.StatusCode, b.Page.Body)
		}
		code := responseOf(t, app, b.Page).Get("code")
		if strings.Contains(app.Server.Log.String(), code) {
			t.Error("the code stands in the log")
		}
		b.Open(t, authorizationURL(app, at.Code, "response_mode", "form_post"))
		check("form post")
	})
}

// RFC 9700 Section 4.12: after a password was posted the browser goes on by 303,
// which drops it; 307 and 308 would send it on (RU-09).
func TestRFC9700_4_12_RedirectAfterPassword(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t, func(m *oauth.ClientMetadata) { m.Trusted = true })
	b := app.Server.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	action, fields := b.Form(t, "login-form")
	fields.Set("username", "alice")
	fields.Set("password", oauthtest.Password)
	r := app.Server.Request(t, http.MethodPost, app.Server.Origin+action, fields.Encode())
	for _, c := range b.Cookies(t) {
		r.AddCookie(c)
	}
	answer := app.Server.Do(t, r)
	if answer.StatusCode != http.StatusSeeOther || strings.Contains(answer.Header.Get("Location"), "horse") {
		t.Errorf("%d to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
}
