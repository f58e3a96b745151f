package spec_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// The pair of RFC 7636 Appendix B.
const (
	appendixBVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	appendixBChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// codeWith gets a code for a request with a challenge; "" sends none.
func codeWith(t *testing.T, app *oauthtest.App, path, challenge string) string {
	t.Helper()
	pairs := []string{"code_challenge", challenge}
	if challenge != "" {
		pairs = append(pairs, "code_challenge_method", "S256")
	}
	code := app.Browser.Walk(t, authorizationURL(app, path, pairs...), "alice").Query().Get("code")
	if code == "" {
		t.Fatal("no code")
	}
	return code
}

// redeemWith presents a code; an empty verifier is not sent.
func redeemWith(t *testing.T, app *oauthtest.App, path, code, verifier string) *oauthtest.Answer {
	t.Helper()
	form := app.Credentials("grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", code)
	if verifier != "" {
		form.Set("code_verifier", verifier)
	}
	return app.Server.Post(t, path, form)
}

// RFC 7636 Section 4.4.1 and RFC 9700 Section 2.1.1: a client that must use PKCE
// and does not is refused; one that need not may (PK-01).
func TestRFC7636_4_4_1_ChallengeRequired(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	strict := s.App(t, func(m *oauth.ClientMetadata) { m.RequirePKCE = true })
	for name, tt := range map[string]struct {
		app  *oauthtest.App
		must bool
	}{
		"public":                     {s.PublicApp(t), true},
		"confidential that must":     {strict, true},
		"confidential that need not": {s.App(t), false},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				without := []string{"code_challenge", "", "code_challenge_method", ""}
				if tt.must {
					wantRefused(t, tt.app, s.Get(t, authorizationURL(tt.app, at.Code, without...)), "invalid_request")
				} else if answer := redeemWith(t, tt.app, at.AuthorizationCode, codeWith(t, tt.app, at.Code, ""), ""); answer.StatusCode != http.StatusOK {
					t.Errorf("without a challenge: %s", answer.Body)
				}
				if answer := redeemWith(t, tt.app, at.AuthorizationCode, codeWith(t, tt.app, at.Code, appendixBChallenge), appendixBVerifier); answer.StatusCode != http.StatusOK {
					t.Errorf("with a challenge: %s", answer.Body)
				}
			})
		})
	}
	// A token from the authorization endpoint has no code to protect.
	location := strict.Browser.Walk(t, authorizationURL(strict, "/open/implicit", "response_type", "token"), "alice")
	if !strings.Contains(location.Fragment, "access_token=") {
		t.Errorf("implicit led to %s", location)
	}
}

// RFC 7636 Section 4.3 and RFC 9700 Section 2.1.1: S256 is the only method; none named
// would mean plain (PK-02, conformance 30).
func TestRFC7636_4_3_OnlyS256(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, app := range map[string]*oauthtest.App{"public": s.PublicApp(t), "confidential": s.App(t)} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				for _, method := range []string{"", "plain", "PLAIN", "s256", "S256 ", "S512", "none", "S256,plain"} {
					url := authorizationURL(app, at.Code, "code_challenge", appendixBChallenge, "code_challenge_method", method)
					wantRefused(t, app, s.Get(t, url), "invalid_request")
				}
				wantRefused(t, app, s.Get(t, authorizationURL(app, at.Code, "code_challenge", "", "code_challenge_method", "S256")), "invalid_request")
			})
		})
	}
	methods, _ := s.Get(t, "/.well-known/oauth-authorization-server").JSON("code_challenge_methods_supported").([]any)
	if len(methods) != 1 || methods[0] != "S256" {
		t.Errorf("code_challenge_methods_supported = %v", methods)
	}
}

// RFC 7636 Sections 4.1 and 4.2: verifier and challenge have 43 to 128 unreserved
// characters; anything else is refused and spends nothing (PK-04).
func TestRFC7636_4_1_LengthAndAlphabet(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.PublicApp(t)
	good := strings.Repeat("Az09-._~", 6)[:43]
	bad := map[string]string{
		"too short": good[:42], "too long": strings.Repeat("a", 129), "huge": strings.Repeat("a", 10_000), "plus": good[:42] + "+", "slash": good[:42] + "/", "padding": good[:42] + "=",
		"space": good[:42] + " ", "percent": good[:42] + "%", "quote": good[:42] + `"`, "beyond ASCII": good[:41] + "é", "line break": good[:42] + "\n", "full width": strings.Repeat("ａ", 43),
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, challenge := range bad {
			t.Run("challenge "+name, func(t *testing.T) {
				wantRefused(t, app, s.Get(t, authorizationURL(app, at.Code, "code_challenge", challenge)), "invalid_request")
			})
		}
		for _, verifier := range []string{good, strings.Repeat("v", 128), appendixBVerifier} {
			code := codeWith(t, app, at.Code, challengeOf(verifier))
			for name, wrong := range bad {
				if len(name)%2 == 0 { // half of them: ten would spend the code
					if answer := redeemWith(t, app, at.AuthorizationCode, code, wrong); answer.StatusCode != http.StatusBadRequest {
						t.Errorf("verifier %s: %d %s", name, answer.StatusCode, answer.Body)
					}
				}
			}
			if answer := redeemWith(t, app, at.AuthorizationCode, code, verifier); answer.StatusCode != http.StatusOK {
				t.Errorf("verifier of %d characters: %s", len(verifier), answer.Body)
			}
		}
	})
}

// RFC 7636 Section 4.6: a code that was asked for with a challenge needs the verifier.
// A wrong one is refused and does not spend the code (PK-03, conformance 30).
func TestRFC7636_4_6_VerifierChecked(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, app := range map[string]*oauthtest.App{"public": s.PublicApp(t), "confidential": s.App(t)} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				code := codeWith(t, app, at.Code, appendixBChallenge)
				for _, wrong := range []string{"", strings.Repeat("w", 43), appendixBChallenge, strings.ToUpper(appendixBVerifier), appendixBVerifier + "x"} {
					if answer := redeemWith(t, app, at.AuthorizationCode, code, wrong); answer.StatusCode != http.StatusBadRequest || answer.Text("error") != "invalid_grant" {
						t.Errorf("verifier %q: %d %s", wrong, answer.StatusCode, answer.Body)
					}
				}
				if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.StatusCode != http.StatusOK {
					t.Errorf("the right verifier: %s", answer.Body)
				}
			})
		})
	}
}

// RFC 7636 Section 7.1: guessing is bounded. The tenth wrong verifier spends the
// code; a missing one is no guess, and neither is one for a foreign code (PK-03).
func TestRFC7636_7_1_TenWrongVerifiers(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app, other := s.PublicApp(t), s.PublicApp(t)
	wrong := strings.Repeat("w", 43)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		guess := func(code string, times int) {
			for range times {
				if answer := redeemWith(t, app, at.AuthorizationCode, code, wrong); answer.Text("error") != "invalid_grant" {
					t.Fatalf("a wrong verifier: %s", answer.Body)
				}
			}
		}
		code := codeWith(t, app, at.Code, appendixBChallenge)
		guess(code, 9)
		for range 5 {
			redeemWith(t, app, at.AuthorizationCode, code, "")
			redeemWith(t, other, at.AuthorizationCode, code, wrong)
		}
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.StatusCode != http.StatusOK {
			t.Errorf("after nine wrong verifiers: %s", answer.Body)
		}
		code = codeWith(t, app, at.Code, appendixBChallenge)
		guess(code, 10)
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.Text("error") != "invalid_grant" {
			t.Errorf("after ten wrong verifiers: %d %s", answer.StatusCode, answer.Body)
		}
		// The same when they come at once.
		code = codeWith(t, app, at.Code, appendixBChallenge)
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() { redeemWith(t, app, at.AuthorizationCode, code, wrong) })
		}
		wait.Wait()
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.Text("error") != "invalid_grant" {
			t.Errorf("after sixteen wrong verifiers at once: %d %s", answer.StatusCode, answer.Body)
		}
	})
}

// RFC 9700 Section 4.8.2: a verifier without a challenge shows that somebody took the
// challenge out of the authorization request (conformance 30).
func TestRFC7636_4_6_VerifierWithoutChallenge(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		code := codeWith(t, app, at.Code, "")
		if answer := redeemWith(t, app, at.AuthorizationCode, code, appendixBVerifier); answer.Text("error") != "invalid_grant" {
			t.Errorf("a verifier nobody asked for: %d %s", answer.StatusCode, answer.Body)
		}
		if answer := redeemWith(t, app, at.AuthorizationCode, code, ""); answer.StatusCode != http.StatusOK {
			t.Errorf("without it: %s", answer.Body)
		}
	})
}

// challengeOf makes the challenge of a verifier with the client library's code.
func challengeOf(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }
