package spec_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// RFC 9700 Section 2.1.2: a fresh server gives no token at the authorization
// endpoint and does not announce it; registering a client for it is the switch,
// and a server setting forbids it for good (IM-01, RO-01).
func TestRFC6749_4_2_OffUnlessRegistered(t *testing.T) {
	t.Parallel()
	modern := func(m *oauth.ClientMetadata) { m.GrantTypes = []string{oauth.GrantAuthorizationCode} }
	announced := func(s *oauthtest.Server) bool {
		metadata := s.Get(t, "/.well-known/oauth-authorization-server")
		types, _ := metadata.JSON("response_types_supported").([]any)
		grants, _ := metadata.JSON("grant_types_supported").([]any)
		if slices.Contains(types, any("token")) != slices.Contains(grants, any("implicit")) {
			t.Errorf("response types %v, grants %v", types, grants)
		}
		return slices.Contains(types, any("token"))
	}
	s := oauthtest.Start(t)
	app := s.App(t, modern)
	if announced(s) {
		t.Error("a fresh server announces the response type token")
	}
	for _, path := range []string{"/authorize", "/open/implicit"} {
		wantRefused(t, app, s.Get(t, authorizationURL(app, path, "response_type", "token")), "unauthorized_client")
	}
	legacy := s.App(t)
	s.Clock.Advance(2 * time.Second)
	if !announced(s) {
		t.Error("metadata does not list what a client is registered for")
	}
	if err := s.Store.DisableClient(t.Context(), legacy.ClientID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(2 * time.Second)
	if announced(s) {
		t.Error("metadata lists what no client in force may use")
	}
	m := oauthtest.EveryGrant()
	if warnings := m.Warnings(); len(warnings) != 2 {
		t.Errorf("registering for both legacy grants warns %q", warnings)
	}

	s = oauthtest.Start(t, func(c *config.Config) { c.ForbiddenGrants = []string{"implicit"} })
	app = s.App(t)
	if announced(s) {
		t.Error("metadata lists what is forbidden")
	}
	for _, path := range []string{"/authorize", "/open/implicit"} {
		wantRefused(t, app, s.Get(t, authorizationURL(app, path, "response_type", "token")), "unsupported_response_type")
	}
}

// RFC 6749 Section 4.2.2: the token comes in the fragment and nowhere else, lives
// ten minutes at most, and no refresh token comes with it (IM-02).
func TestRFC6749_4_2_2_TokenInTheFragment(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.AccessTokenLifetime = time.Hour })
	for name, tt := range map[string]struct {
		app      *oauthtest.App
		lifetime int
	}{
		"jwt":        {s.App(t), 600},
		"opaque":     {s.App(t, oauthtest.Opaque), 600},
		"own longer": {s.App(t, func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 3600 }), 600},
		"own less":   {s.App(t, func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 60 }), 60},
		"public": {s.App(t, oauthtest.Public, func(m *oauth.ClientMetadata) {
			m.GrantTypes = []string{oauth.GrantImplicit}
		}), 600},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				b := s.Browser(t)
				b.Walk(t, authorizationURL(tt.app, at.Implicit, "response_type", "token", "scope", "read openid offline_access", "code_challenge", "", "code_challenge_method", ""), "alice")
				answer, got := b.Page, responseOf(t, tt.app, b.Page)
				want := map[string]string{"token_type": "Bearer", "expires_in": strconv.Itoa(tt.lifetime), "scope": "read openid", "state": "state-1", "iss": s.URL}
				for name, value := range want {
					if got.Get(name) != value {
						t.Errorf("%s = %q, want %q", name, got.Get(name), value)
					}
				}
				if len(got.Values) != len(want)+2 || !got.Has("session_state") || got.Mode != "fragment" || got.To != tt.app.RedirectURL {
					t.Errorf("answered %v in the %s of %s", got, got.Mode, got.To)
				}
				if answer.Header.Get("Cache-Control") != "no-store" || len(answer.Body) != 0 {
					t.Errorf("Cache-Control = %q, body %q", answer.Header.Get("Cache-Control"), answer.Body)
				}
				judge := s.App(t, func(m *oauth.ClientMetadata) { m.Introspect = oauth.IntrospectAny })
				if !judge.Active(t, got.Get("access_token")) {
					t.Error("the token is not active")
				}
				s.Clock.Advance(time.Duration(tt.lifetime+1) * time.Second)
				if judge.Active(t, got.Get("access_token")) {
					t.Error("the token outlives what was said")
				}
			})
		})
	}
}

// RFC 6749 Section 4.2.2.1: a client that is not registered for a response type
// that carries a token gets none, by GET or by POST, signed in or not (IM-12).
func TestRFC6749_4_2_2_1_NotRegistered(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.App(t) // somebody else is registered for it
	app := s.App(t, func(m *oauth.ClientMetadata) {
		m.GrantTypes = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	})
	b := signedIn(t, app)
	before := len(grantsOf(t, s))
	for _, responseType := range []string{"token", "id_token", "code token", "token code", "code id_token", "id_token token", "code id_token token", "token token", "TOKEN"} {
		for _, path := range []string{"/authorize", "/open/implicit", "/open/authorize/index"} {
			for _, mode := range []string{"", "fragment", "form_post"} {
				q := authorizationQuery(app, "response_type", responseType, "response_mode", mode, "nonce", "n")
				b.Open(t, s.URL+path+"?"+q.Encode())
				post := s.Request(t, http.MethodPost, path, q.Encode())
				post.Header.Set("Sec-Fetch-Site", "same-origin")
				for _, c := range b.Cookies(t) {
					post.AddCookie(c)
				}
				for _, answer := range []*oauthtest.Answer{b.Page, s.Do(t, post)} {
					got := responseOf(t, app, answer)
					if code := got.Get("error"); code != "unauthorized_client" && code != "unsupported_response_type" {
						t.Errorf("%q at %s: %v", responseType, path, got)
					}
					if responseType == "token" && path != "/open/authorize/index" && got.Get("error") != "unauthorized_client" {
						t.Errorf("token at %s: %v", path, got)
					}
					for _, name := range []string{"access_token", "id_token", "code"} {
						if got.Has(name) {
							t.Errorf("%q at %s gave a %s", responseType, path, name)
						}
					}
				}
			}
		}
	}
	if after := len(grantsOf(t, s)); after != before {
		t.Errorf("%d grants were made", after-before)
	}
}

// grantsOf lists all grants as the operator does.
func grantsOf(t *testing.T, s *oauthtest.Server) []string {
	t.Helper()
	grants, err := s.Store.Grants(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, g := range grants {
		ids = append(ids, g.ID)
	}
	return ids
}

// OAuth 2.0 Form Post Response Mode Section 2: the answer comes on a page that
// sends itself by a script of ours, escaped, and kept by no cache (AZ-11).
func TestFormPost_2_SelfSubmittingPage(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	state := `"><script>alert(1)</script>&amp;'` + "`虎"
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for path, responseType := range map[string]string{at.Code: "code", at.Implicit: "token"} {
			b := signedIn(t, app)
			b.Open(t, authorizationURL(app, path, "response_type", responseType, "response_mode", "form_post", "state", state))
			got := responseOf(t, app, b.Page)
			if got.To != app.RedirectURL || got.Get("state") != state || got.Get("iss") != app.Server.URL || got.Get("code") == "" && got.Get("access_token") == "" {
				t.Errorf("answered %v to %s", got, got.To)
			}
			body, h := string(b.Page.Body), b.Page.Header
			if strings.Contains(body, "<script>") || strings.Contains(body, "alert(1)</") {
				t.Errorf("the state is not escaped:\n%s", body)
			}
			scripts := scriptPattern.FindAllStringSubmatch(body, -1)
			if len(scripts) != 1 || !strings.HasPrefix(scripts[0][1], "/assets/") || !strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self';") {
				t.Fatalf("scripts %q under %q", scripts, h.Get("Content-Security-Policy"))
			}
			if script := app.Server.Get(t, scripts[0][1]); script.StatusCode != http.StatusOK || !strings.HasPrefix(script.Header.Get("Content-Type"), "text/javascript") {
				t.Errorf("the script: %d %s", script.StatusCode, script.Header.Get("Content-Type"))
			}
			if strings.Contains(h.Get("Content-Security-Policy"), "form-action") || h.Get("Cache-Control") != "no-store" || b.Page.StatusCode != http.StatusOK {
				t.Errorf("%d, headers %v", b.Page.StatusCode, h)
			}
			if !strings.Contains(body, `id="form-post-submit"`) {
				t.Error("no button for a browser without scripts")
			}
		}
		refused := responseOf(t, app, app.Server.Get(t, authorizationURL(app, at.Code, "response_mode", "form_post", "scope", "admin", "state", state)))
		want := url.Values{"error": {"invalid_scope"}, "state": {state}, "iss": {app.Server.URL}, "error_description": refused.Values["error_description"]}
		if refused.Mode != "form_post" || refused.Encode() != want.Encode() {
			t.Errorf("refused with %v in the %s", refused, refused.Mode)
		}
	})
}

var scriptPattern = regexp.MustCompile(`<script\b[^>]*\bsrc="([^"]*)"[^>]*></script>`)
