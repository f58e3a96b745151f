package spec_test

import (
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// idToken asks for an ID token by a response type, from wherever that gives one, and
// returns it with its claims.
func (p *relyingParty) idToken(t *testing.T, responseType string, pairs ...string) (string, map[string]any) {
	t.Helper()
	answer, _ := p.ask(t, append([]string{"response_type", responseType, "nonce", "n"}, pairs...)...)
	raw := answer.Get("id_token")
	if raw == "" && answer.Has("code") {
		raw = p.tokens(t, answer.Get("code")).Text("id_token")
	}
	if raw == "" {
		t.Fatalf("%s with %q: %v", responseType, pairs, answer)
	}
	_, claims := p.verify(t, raw)
	return raw, claims
}

// OpenID Connect Core Sections 2 and 3.1.2.1: auth_time is in the ID token, in whole
// seconds; it stays while nobody signs in anew, with prompt=none, with a hint and within
// max_age, and moves with prompt=login and behind max_age (AZ-04, AZ-24, conformance 31,
// 32, 33, 34).
func TestOpenIDCore_3_1_2_1_AuthTime(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	for _, responseType := range []string{"code", "id_token", "code id_token token"} {
		t.Run(responseType, func(t *testing.T) {
			p := *p
			app := *p.App
			app.Browser, p.App = s.Browser(t), &app
			raw, claims := p.idToken(t, responseType)
			before, _ := claims["auth_time"].(float64)
			if before == 0 || before != math.Trunc(before) {
				t.Fatalf("auth_time %v", claims["auth_time"])
			}
			s.Clock.Advance(5 * time.Second)
			for _, pairs := range [][]string{{"prompt", "none"}, {"prompt", "none", "id_token_hint", raw}, {"max_age", "10000"}, {"prompt", "none", "max_age", "10000"}} {
				if _, again := p.idToken(t, responseType, pairs...); again["auth_time"] != before || again["sub"] != claims["sub"] {
					t.Errorf("%q: auth_time %v, was %v; sub %v", pairs, again["auth_time"], before, again["sub"])
				}
			}
			for _, pairs := range [][]string{{"prompt", "login"}, {"max_age", "1"}, {"max_age", "0"}} {
				s.Clock.Advance(5 * time.Second)
				_, anew := p.idToken(t, responseType, pairs...)
				now, _ := anew["auth_time"].(float64)
				if now <= before || now != math.Trunc(now) || anew["sub"] != claims["sub"] {
					t.Errorf("%q: auth_time %v, was %v; sub %v", pairs, anew["auth_time"], before, anew["sub"])
				}
				before = now
			}
		})
	}
}

// OpenID Connect Core Sections 3.1.2.1 and 15.1: what a request may say beside the rest
// stops nothing, in whatever order it is said, and acr is one that metadata lists
// (conformance 19, 35, 36).
func TestOpenIDCore_15_1_HarmlessParameters(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	for _, responseType := range []string{"code", "id_token", "token id_token code"} {
		for _, pairs := range [][]string{
			{"display", "page"}, {"display", "popup"}, {"display", "touch"}, {"display", "wap"}, {"display", "hologram"},
			{"ui_locales", "se"}, {"claims_locales", "se en"}, {"acr_values", "1 2"}, {"acr_values", "1 urn:hufu:acr:password"}, {"login_hint", "buffy@app.example"},
			{"extra", "foobar"}, {"scope", "email openid"}, {"scope", "phone address openid"},
		} {
			_, claims := p.idToken(t, responseType, pairs...)
			if claims["acr"] != "urn:hufu:acr:password" || claims["sub"] != p.user.ID {
				t.Errorf("%s with %q: %v", responseType, pairs, claims)
			}
		}
	}
}

var namedSubmit = regexp.MustCompile(`(?:name|id)="submit"`)

// OAuth 2.0 Form Post Response Mode Section 2: for every response type, and for a refusal,
// the page holds one form, which goes to the client by POST and can be sent by a script:
// nothing in it hides the function of that name (conformance 24, 44).
func TestFormPostResponseMode_2_Page(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	p.ask(t) // alice is signed in and has agreed
	for _, responseType := range oauth.ResponseTypes {
		for _, prompt := range []string{"", "none login"} {
			p.Browser.Open(t, p.address("response_type", responseType, "nonce", "n", "response_mode", "form_post", "state", `a"<>&'b`, "prompt", prompt))
			page := p.Browser.Page
			body := string(page.Body)
			if page.StatusCode != http.StatusOK || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Count(body, "<form") != 1 ||
				!strings.Contains(body, `<form id="form-post" method="post"`) || namedSubmit.MatchString(body) {
				t.Fatalf("%s: %d %v\n%s", responseType, page.StatusCode, page.Header, body)
			}
			action, fields := p.Browser.Form(t, "form-post")
			want := []string{"iss", "session_state", "state"}
			if prompt != "" {
				want = append(want, "error", "error_description")
			} else {
				for word, names := range map[string][]string{"code": {"code"}, "id_token": {"id_token"}, "token": {"access_token", "expires_in", "scope", "token_type"}} {
					if oauth.Gives(responseType, word) {
						want = append(want, names...)
					}
				}
			}
			var got []string
			for name := range fields {
				got = append(got, name)
			}
			slices.Sort(want)
			slices.Sort(got)
			if action != oauthtest.Callback || !slices.Equal(got, want) || fields.Get("state") != `a"<>&'b` {
				t.Errorf("%s: %q to %s, want %q", responseType, got, action, want)
			}
		}
	}
}

// bits measures a text as a judge does who sees it alone: Shannon's entropy of its
// characters, times their number.
func bits(text string) float64 {
	counts, sum := map[rune]float64{}, 0.0
	for _, c := range text {
		counts[c]++
	}
	n := float64(len(text))
	for _, count := range counts {
		sum -= count / n * math.Log2(count/n)
	}
	return sum * n
}

// RFC 6749 Section 10.10: codes and tokens cannot be guessed, and look so (CO-05,
// conformance 29).
func TestRFC6749_10_10_Entropy(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, edit := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
		app := s.App(t, edit)
		seen := map[string]bool{}
		for range 10 {
			code := app.Authorize(t, "alice", "")
			tokens, err := app.Exchange(t.Context(), code)
			ok(t, err)
			for kind, text := range map[string]string{"code": code, "access token": tokens.AccessToken, "refresh token": tokens.RefreshToken} {
				if bits(text) < 128 || len(text) < 43 || seen[text] {
					t.Errorf("%s, %s %q: %.0f bits", name, kind, text, bits(text))
				}
				seen[text] = true
			}
		}
	}
}
