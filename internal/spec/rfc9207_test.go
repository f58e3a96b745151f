package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// RFC 9207 Section 2: every authorization response, success or error, in the query, the
// fragment or a form, names the issuer exactly (AZ-29, conformance 26).
func TestRFC9207_2_IssuerInEveryResponse(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*config.Config){
		"plain":     func(*config.Config) {},
		"with path": func(c *config.Config) { c.Issuer += "/tenants/7" },
	} {
		t.Run(name, func(t *testing.T) {
			app := oauthtest.Start(t, edit).App(t)
			s := app.Server
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				for path, responseType := range map[string]string{at.Code: "code", at.Implicit: "token"} {
					for _, mode := range []string{"", "fragment", "form_post"} {
						ask := func(pairs ...string) string {
							return authorizationURL(app, path, append([]string{"response_type", responseType, "response_mode", mode}, pairs...)...)
						}
						b := s.Browser(t)
						b.Open(t, ask("prompt", "consent"))
						b.SignIn(t, "alice")
						b.Approve(t)
						answers := map[string]*oauthtest.Answer{"after pages": b.Page}
						b.Open(t, ask())
						answers["at once"] = b.Page
						b.Open(t, ask("prompt", "none", "scope", "read openid"))
						answers["consent required"] = b.Page
						answers["login required"] = s.Get(t, ask("prompt", "none"))
						answers["invalid scope"] = s.Get(t, ask("scope", "admin"))
						answers["bad mode"] = s.Get(t, ask("response_mode", "frob"))
						answers["bad type"] = s.Get(t, ask("response_type", "frob"))
						answers["repeated"] = s.Get(t, ask()+"&scope=read")
						for step, answer := range answers {
							got := responseOf(t, app, answer)
							if iss := got.Values["iss"]; len(iss) != 1 || iss[0] != s.URL {
								t.Errorf("%s %q %s: iss = %q, want %q once", path, mode, step, iss, s.URL)
							}
						}
					}
				}
			})
		})
	}
}

// RFC 9207 Section 3: metadata announces it, under the issuer that answers name
// (AZ-29).
func TestRFC9207_3_Announced(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	metadata := s.Get(t, "/.well-known/oauth-authorization-server")
	if metadata.JSON("authorization_response_iss_parameter_supported") != true || metadata.Text("issuer") != s.URL {
		t.Errorf("metadata = %s", metadata.Body)
	}
}

// RFC 9207 Section 2.4: the issuer comes from configuration. No header of a
// request changes a byte of it, or of any address that is handed out (HP-01).
func TestRFC9207_2_4_IssuerIgnoresHeaders(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	for _, headers := range []map[string]string{
		{"Host": "evil.example"}, {"Host": "evil.example:1"}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444", "X-Forwarded-Prefix": "/evil"},
		{"Forwarded": "host=evil.example;proto=https"}, {"X-Original-URL": "/evil.example"}, {"X-Rewrite-URL": "/evil.example"}, {"X-Forwarded-Server": "evil.example"},
		{"Origin": "https://evil.example", "Referer": "https://evil.example/"},
	} {
		get := func(path string) *oauthtest.Answer {
			r := s.Request(t, http.MethodGet, path, "")
			for name, value := range headers {
				r.Header.Set(name, value)
			}
			if host := headers["Host"]; host != "" {
				r.Host = host
			}
			return s.Do(t, r)
		}
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/login", "/", "/logout/done", "/jwks", "/nowhere", "/authorize"} {
			want, got := s.Get(t, path), get(path)
			if got.StatusCode != want.StatusCode || strings.Contains(string(got.Body), "evil") {
				t.Errorf("%v: %s answered %d with\n%s", headers, path, got.StatusCode, got.Body)
			}
		}
		if got := responseOf(t, app, get(authorizationURL(app, "/authorize", "prompt", "none"))); got.Get("iss") != s.URL || got.Get("error") != "login_required" {
			t.Errorf("%v: %v", headers, got)
		}
		if location := get(authorizationURL(app, "/authorize")).Header.Get("Location"); !strings.HasPrefix(location, "/login?") {
			t.Errorf("%v: led to %q", headers, location)
		}
		for _, path := range []string{"//evil.example/authorize", "/\\evil.example", "//evil.example//", "/./authorize", "/login/"} {
			if answer := get(path); strings.Contains(answer.Header.Get("Location"), "//") || strings.Contains(answer.Header.Get("Location"), "\\") {
				t.Errorf("%v: %s led to %q", headers, path, answer.Header.Get("Location"))
			}
		}
	}
	token, err := app.ClientToken(t, oauthtest.AllAddresses[0])
	if err != nil {
		t.Fatal(err)
	}
	if iss := app.Introspect(t, token.AccessToken).Text("iss"); iss != s.URL {
		t.Errorf("iss = %q", iss)
	}
}
