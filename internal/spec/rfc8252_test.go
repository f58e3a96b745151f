package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// nativeApp registers a public client with a redirect URI.
func nativeApp(t *testing.T, s *oauthtest.Server, uris ...string) *oauthtest.App {
	t.Helper()
	return s.App(t, oauthtest.Public, func(m *oauth.ClientMetadata) { m.RedirectURIs = uris })
}

// RFC 8252 Section 7.1: an app may be answered at a scheme of its own.
func TestRFC8252_7_1_PrivateUseScheme(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, uri := range []string{"com.example.app:/oauth2redirect", "com.example.app://oauth2redirect", "com.example.app:oauth2redirect", "com.example.app:/cb?x=1"} {
		app := nativeApp(t, s, uri)
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			location := app.Browser.Walk(t, authorizationURL(app, at.Code), "alice").String()
			if !strings.HasPrefix(location, uri+"?code=") && !strings.HasPrefix(location, uri+"&code=") {
				t.Fatalf("answered at %s", location)
			}
			code := responseOf(t, app, app.Browser.Page).Get("code")
			if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.StatusCode != http.StatusOK {
				t.Errorf("exchange: %s", answer.Body)
			}
			// A browser cannot post a form to such an address; the error can be told.
			answer := s.Get(t, authorizationURL(app, at.Code, "response_mode", "form_post"))
			if got := responseOf(t, app, answer); got.Get("error") != "invalid_request" || got.Mode != "query" {
				t.Errorf("form_post answered %v", got)
			}
			for _, other := range []string{"com.example.app:/other", "com.example.app2:/oauth2redirect", "COM.example.app:/oauth2redirect", strings.Replace(uri, "app:", "app:1:", 1)} {
				wantErrorPage(t, s.Get(t, authorizationURL(app, at.Code, "redirect_uri", other)), http.StatusBadRequest, "invalid_request")
			}
		})
	}
}

// RFC 8252 Section 7.3: on a loopback address the app picks its port at the time
// of the request. Nothing else of the address is free (RU-04).
func TestRFC8252_7_3_LoopbackPort(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := nativeApp(t, s, "http://127.0.0.1/cb", "http://[::1]:9000/cb?x=1", "http://localhost:7000/cb", "http://127.0.0.2/cb", "https://127.0.0.1/cb", "http://127.0.0.1/")
	for uri, good := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:1/cb": true, "http://127.0.0.1:80/cb": true, "http://127.0.0.1:51004/cb": true, "http://127.0.0.1:65535/cb": true,
		"http://[::1]/cb?x=1": true, "http://[::1]:1234/cb?x=1": true, "http://127.0.0.1:8080/": true, "http://localhost:7000/cb": true,

		"http://127.0.0.1:0/cb": false, "http://127.0.0.1:65536/cb": false, "http://127.0.0.1:080/cb": false, "http://127.0.0.1:+80/cb": false, "http://127.0.0.1:/cb": false,
		"http://127.0.0.1:8o/cb": false, "http://127.0.0.1:80:80/cb": false, "http://127.0.0.1:80.evil.example/cb": false, "http://127.0.0.1:80@evil.example/cb": false,
		"http://127.0.0.1.evil.example/cb": false, "http://127.0.0.1@evil.example/cb": false, "http://user@127.0.0.1:80/cb": false, "http://127.0.0.1:80\\@evil.example/cb": false,
		"http://127.0.0.1:80/cb/": false, "http://127.0.0.1:80/CB": false, "http://127.0.0.1:80/cb?": false, "http://127.0.0.1:80/cb#": false, "http://127.0.0.1:80/cb#x": false,
		"http://127.0.0.1:80/./cb": false, "http://127.0.0.1:80//cb": false, "http://127.0.0.1:80/%63b": false, "http://127.0.0.1:80": false,
		"http://[::1]:1234/cb": false, "http://[::1]:1234/cb?x=2": false, "http://[0:0:0:0:0:0:0:1]:80/cb?x=1": false, "http://[::1%25lo]/cb?x=1": false, "http://::1/cb?x=1": false,
		"http://localhost/cb": false, "http://localhost:7001/cb": false, "http://127.0.0.2:81/cb": false, "http://127.1/cb": false, "http://2130706433/cb": false,
		"https://127.0.0.1:443/cb": false, "https://127.0.0.1:51004/cb": false, "HTTP://127.0.0.1:51004/cb": false,
	} {
		t.Run(uri, func(t *testing.T) {
			for _, path := range []string{"/authorize", "/open/authorize/index"} {
				answer := s.Get(t, authorizationURL(app, path, "redirect_uri", uri, "prompt", "none"))
				if !good {
					wantErrorPage(t, answer, http.StatusBadRequest, "invalid_request")
					continue
				}
				if got, want := answer.Header.Get("Location"), uri+separatorFor(uri)+"error=login_required&"; !strings.HasPrefix(got, want) {
					t.Errorf("Location = %q, want %s…", got, want)
				}
			}
		})
	}
}

func separatorFor(uri string) string {
	if strings.Contains(uri, "?") {
		return "&"
	}
	return "?"
}

// RFC 8252 Section 7.3: the code is bound to the port of the request, too (CO-04).
func TestRFC8252_7_3_CodeBoundToPort(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := nativeApp(t, s, "http://127.0.0.1/callback")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app.RedirectURL = "http://127.0.0.1:51004/callback"
		code := codeWith(t, app, at.Code, appendixBChallenge)
		app.RedirectURL = "http://127.0.0.1:51005/callback"
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.Text("error") != "invalid_grant" {
			t.Errorf("another port: %s", answer.Body)
		}
		app.RedirectURL = "http://127.0.0.1:51004/callback"
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.StatusCode != http.StatusOK {
			t.Errorf("the same port: %s", answer.Body)
		}
	})
}

// RFC 8252 Section 8.6: any app on the device could use the name of a public
// client, so the user is asked each time, unless the answer goes to an https
// address that the system gives to its owner alone (AZ-13).
func TestRFC8252_8_6_PublicClientIsAskedEachTime(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, tt := range map[string]struct {
		app   *oauthtest.App
		again bool
	}{
		"loopback":                  {nativeApp(t, s, "http://127.0.0.1/callback"), true},
		"localhost":                 {nativeApp(t, s, "http://localhost:7000/callback"), true},
		"private-use scheme":        {nativeApp(t, s, "com.example.app:/callback"), true},
		"claimed https":             {nativeApp(t, s, "https://app.example/callback"), false},
		"confidential, on loopback": {s.App(t, func(m *oauth.ClientMetadata) { m.RedirectURIs = []string{"http://127.0.0.1/callback"} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				b := s.Browser(t)
				b.Open(t, authorizationURL(tt.app, at.Code))
				b.SignIn(t, "alice")
				if b.On("consent-form") { // a box that the page did not show does not help
					b.Submit(t, "consent-form", url.Values{"decision": {"approve"}, "remember": {"1"}})
				}
				if responseOf(t, tt.app, b.Page).Get("code") == "" {
					t.Fatal("no code")
				}
				b.Open(t, authorizationURL(tt.app, at.Code))
				if b.On("consent-form") != tt.again {
					t.Errorf("asked again: %t, want %t", b.On("consent-form"), tt.again)
				}
				if tt.again && b.On("consent-remember") {
					t.Error("the page offers to remember what cannot be remembered")
				}
				b.Open(t, authorizationURL(tt.app, at.Code, "prompt", "none"))
				if tt.again {
					wantRefused(t, tt.app, b.Page, "consent_required")
				} else if responseOf(t, tt.app, b.Page).Get("code") == "" {
					t.Error("prompt=none gave no code")
				}
			})
		})
	}
}

// What was allowed at the claimed https address of an app does not count for
// another address of it that anybody could take (AZ-13).
func TestRFC8252_8_6_ConsentIsForTheClaimedAddress(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := nativeApp(t, s, "https://app.example/callback", "http://127.0.0.1/callback", "com.example.app:/callback")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := signedIn(t, app)
		b.Open(t, authorizationURL(app, at.Code))
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Fatal("not remembered at the claimed address")
		}
		for _, uri := range []string{"http://127.0.0.1:51004/callback", "com.example.app:/callback"} {
			b.Open(t, authorizationURL(app, at.Code, "redirect_uri", uri))
			if !b.On("consent-form") || b.On("consent-remember") {
				t.Errorf("%s: at %s", uri, b.Page.Request.URL.Path)
			}
			b.Open(t, authorizationURL(app, at.Code, "redirect_uri", uri, "prompt", "none"))
			if got := responseOf(t, app, b.Page); got.Get("error") != "consent_required" {
				t.Errorf("%s: %v", uri, got)
			}
		}
	})
}

// A public client that is trusted needs no consent page, but the user must have
// seen a page for it: nobody else vouches for who asks (AZ-13).
func TestRFC8252_8_6_TrustedPublicClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t, oauthtest.Public, func(m *oauth.ClientMetadata) {
		m.RedirectURIs, m.Trusted = []string{"http://127.0.0.1/callback"}, true
	})
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, at.Code))
		b.SignIn(t, "alice")
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Fatal("no code after the sign-in page")
		}
		b.Open(t, authorizationURL(app, at.Code))
		if !b.On("consent-form") {
			t.Error("a code without any page")
		}
		b.Open(t, authorizationURL(app, at.Code, "prompt", "none"))
		wantRefused(t, app, b.Page, "consent_required")
	})
}
