package spec_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// RFC 6749 Section 4.1.3: a confidential and a public client, each with a
// library that is not ours, get working tokens for a code.
func TestRFC6749_4_1_3_CodeForTokens(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "public": s.PublicApp(t), "opaque": s.App(t, oauthtest.Opaque)} {
			token := app.At(at).SignInAndExchange(t)
			if !token.Valid() || token.TokenType != "Bearer" || token.RefreshToken == "" || token.Extra("scope") != "read" {
				t.Errorf("%s: %+v", name, token)
			}
			wantActive(t, watcher, name+" access token", token.AccessToken, true)
		}
	})
}

// RFC 6749 Section 4.1.2: a code works once. The second use is refused, and what was
// issued from the first one ends: access token and refresh token, also those that a
// refresh has given meanwhile. The audit trail tells it once (CO-01, CO-06, conformance
// 48).
func TestRFC6749_4_1_2_CodeUsedTwice(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "public": s.PublicApp(t), "opaque": s.App(t, oauthtest.Opaque)} {
			app = app.At(at)
			verifier := oauth2.GenerateVerifier()
			code := app.Authorize(t, "alice", verifier)
			first := redeem(t, app, code, "code_verifier", verifier)
			wantGranted(t, first)
			refreshed := app.Refresh(t, at, first.Text("refresh_token"))
			wantGranted(t, refreshed)
			wantActive(t, watcher, name+" token before the replay", first.Text("access_token"), true)
			before := len(replays(t, s))
			for range 2 {
				wantTokenError(t, redeem(t, app, code, "code_verifier", verifier), http.StatusBadRequest, oauth.InvalidGrant)
			}
			wantActive(t, watcher, name+" first access token", first.Text("access_token"), false)
			wantActive(t, watcher, name+" refreshed access token", refreshed.Text("access_token"), false)
			wantActive(t, watcher, name+" refresh token", refreshed.Text("refresh_token"), false)
			wantTokenError(t, app.Refresh(t, at, refreshed.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
			events := replays(t, s)
			if len(events) != before+1 || events[0].ClientID != app.ClientID || events[0].GrantID == "" || events[0].UserID == "" || events[0].By.Address != "127.0.0.1" || events[0].By.RequestID == "" {
				t.Errorf("%s: %d replays in the audit trail, want one more than %d: %+v", name, len(events), before, events)
			}
		}
	})
}

// RFC 6749 Section 4.1.2: the second use is a replay also when the code would have
// expired by then (CO-06, conformance 48).
func TestRFC6749_4_1_2_CodeUsedAgainAfterItsEnd(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		code := app.Authorize(t, "alice", "")
		first := redeem(t, app, code)
		wantGranted(t, first)
		s.Clock.Advance(5 * time.Minute)
		wantActive(t, app, "access token", first.Text("access_token"), true)
		wantTokenError(t, redeem(t, app, code), http.StatusBadRequest, oauth.InvalidGrant)
		wantActive(t, app, "access token", first.Text("access_token"), false)
	})
}

// Only who passes as the code's own client, with its redirect URI and verifier,
// can end a grant by using its code again: a stranger who has seen a spent code
// harms nobody (CO-03, CO-06).
func TestRFC6749_4_1_2_ReplayByAStranger(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, other := s.App(t).At(at), s.App(t).At(at)
		verifier := oauth2.GenerateVerifier()
		code := app.Authorize(t, "alice", verifier)
		form := codeForm(app, code, "code_verifier", verifier)
		first := s.Post(t, at.AuthorizationCode, form)
		wantGranted(t, first)
		for name, spoiled := range map[string]url.Values{
			"other client":   changed(form, "client_id", other.ClientID, "client_secret", other.ClientSecret),
			"wrong secret":   changed(form, "client_secret", "not the secret at all"),
			"no secret":      lacking(form, "client_secret"),
			"other redirect": changed(form, "redirect_uri", "https://app.example/callback/"),
			"no redirect":    lacking(form, "redirect_uri"),
			"wrong verifier": changed(form, "code_verifier", oauth2.GenerateVerifier()),
			"no verifier":    lacking(form, "code_verifier"),
			"bad resource":   changed(form, "resource", "https://api.example/"),
		} {
			if answer := s.Post(t, at.AuthorizationCode, spoiled); answer.StatusCode < 400 || answer.StatusCode > 401 {
				t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
			}
		}
		wantActive(t, app, "access token", first.Text("access_token"), true)
		wantGranted(t, app.Refresh(t, at, first.Text("refresh_token")))
	})
}

// RFC 6749 Section 4.1.2: of 24 callers who present one code at the same moment
// one gets tokens (CO-01).
func TestRFC6749_4_1_2_CodeRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for range 4 {
			form := codeForm(app, app.Authorize(t, "alice", ""))
			var won, refused atomic.Int32
			together(24, func(int) {
				switch answer := s.Post(t, at.AuthorizationCode, form); {
				case answer.StatusCode == http.StatusOK:
					won.Add(1)
				case answer.StatusCode == http.StatusBadRequest && answer.Text("error") == "invalid_grant":
					refused.Add(1)
				default:
					t.Errorf("%d %s", answer.StatusCode, answer.Body)
				}
			})
			if won.Load() != 1 || refused.Load() != 23 {
				t.Errorf("%d won and %d were refused, want 1 and 23", won.Load(), refused.Load())
			}
		}
	})
}

// RFC 6749 Section 4.1.2: a code lives 60 seconds by default, as long as its client is
// registered for, and never longer than 60 seconds (CO-02, conformance 49).
func TestRFC6749_4_1_2_CodeExpires(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, tt := range []struct{ registered, lives int64 }{{0, 60}, {60, 60}, {20, 20}} {
			app := s.App(t, func(m *oauth.ClientMetadata) { m.CodeLifetime = tt.registered }).At(at)
			early, late := app.Authorize(t, "alice", ""), app.Authorize(t, "alice", "")
			s.Clock.Advance(time.Duration(tt.lives-8) * time.Second)
			wantGranted(t, redeem(t, app, early))
			s.Clock.Advance(9 * time.Second)
			wantTokenError(t, redeem(t, app, late), http.StatusBadRequest, oauth.InvalidGrant)
			s.Clock.Advance(-9 * time.Second) // set back, for the next case; and the code is not spent
			wantGranted(t, redeem(t, app, late))
		}
	})
	for _, seconds := range []int64{-1, 61, 3600} {
		m := oauthtest.EveryGrant()
		m.CodeLifetime = seconds
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("registering a code lifetime of %d s: %v", seconds, err)
		}
	}
}

// RFC 6749 Section 4.1.3: a code is for the client it was issued to, which must prove
// itself. Whoever else presents it gets nothing and spends nothing (CO-03, conformance
// 49).
func TestRFC6749_4_1_3_CodeOfAnotherClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		apps := map[string]*oauthtest.App{"confidential": s.App(t).At(at), "public": s.PublicApp(t).At(at)}
		for _, app := range apps {
			verifier := oauth2.GenerateVerifier()
			form := codeForm(app, app.Authorize(t, "alice", verifier), "code_verifier", verifier)
			for _, thief := range []*oauthtest.App{s.App(t), s.PublicApp(t), s.App(t, func(m *oauth.ClientMetadata) { m.Trusted = true })} {
				stolen := lacking(form, "client_secret")
				for name, values := range thief.Credentials() {
					stolen[name] = values
				}
				wantTokenError(t, s.Post(t, at.AuthorizationCode, stolen), http.StatusBadRequest, oauth.InvalidGrant)
				for range 10 { // as many as spend the code of a client that guesses
					wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(stolen, "code_verifier", oauth2.GenerateVerifier())), http.StatusBadRequest, oauth.InvalidGrant)
				}
			}
			wantTokenError(t, s.Post(t, at.AuthorizationCode, lacking(form, "client_id", "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(form, "client_id", "nobody")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(form, "client_secret", "not the secret at all")), http.StatusUnauthorized, oauth.InvalidClient)
			if app.ClientSecret != "" {
				wantTokenError(t, s.Post(t, at.AuthorizationCode, lacking(form, "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
			}
			wantGranted(t, s.Post(t, at.AuthorizationCode, form))
		}
	})
}

// RFC 6749 Section 4.1.3: redirect_uri is the very one of the authorization request;
// another one that is registered, or another spelling, will not do. A wrong one spends
// nothing (CO-04, conformance 49).
func TestRFC6749_4_1_3_RedirectURI(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	const loopback = "http://127.0.0.1/callback"
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, func(m *oauth.ClientMetadata) {
			m.RedirectURIs = append(m.RedirectURIs, oauthtest.Callback+"/2", loopback)
		}).At(at)
		for _, tt := range []struct {
			uri   string
			wrong []string
		}{
			{oauthtest.Callback, []string{
				oauthtest.Callback + "/2", oauthtest.Callback + "/", oauthtest.Callback + "?", oauthtest.Callback + "#", oauthtest.Callback + "?a=b",
				"HTTPS://app.example/callback", "https://APP.example/callback", "https://app.example:443/callback", "https://app.example/%63allback",
				"https://app.example/./callback", " " + oauthtest.Callback, oauthtest.Callback + " ", "https://evil.example/callback", loopback, "callback",
			}},
			{"http://127.0.0.1:49152/callback", []string{loopback, "http://127.0.0.1:49153/callback", "http://127.0.0.1:049152/callback", "http://localhost:49152/callback", "http://[::1]:49152/callback"}},
		} {
			app.RedirectURL = tt.uri
			form := codeForm(app, app.Authorize(t, "alice", ""))
			for _, wrong := range tt.wrong {
				wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(form, "redirect_uri", wrong)), http.StatusBadRequest, oauth.InvalidGrant)
			}
			wantTokenError(t, s.Post(t, at.AuthorizationCode, lacking(form, "redirect_uri")), http.StatusBadRequest, oauth.InvalidRequest)
			wantGranted(t, s.Post(t, at.AuthorizationCode, form))
		}
	})
}

// RFC 6749 Section 4.1.3: when the authorization request left redirect_uri out,
// the token request may too, and may name the registered one; the seed's address
// always wants it (CO-04, LE-01).
func TestRFC6749_4_1_3_RedirectURILeftOut(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, begun := range oauthtest.AllAddresses {
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			app := s.App(t)
			app.RedirectURL = ""
			form := func() url.Values {
				return lacking(codeForm(app, app.At(begun).Authorize(t, "alice", "")), "redirect_uri")
			}
			named := changed(form(), "redirect_uri", oauthtest.Callback)
			wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(named, "redirect_uri", oauthtest.Callback+"/2")), http.StatusBadRequest, oauth.InvalidGrant)
			wantGranted(t, s.Post(t, at.AuthorizationCode, named))
			left := form()
			if at.Name == "seed" {
				wantTokenError(t, s.Post(t, at.AuthorizationCode, left), http.StatusBadRequest, oauth.InvalidRequest)
				wantTokenError(t, s.Post(t, at.AuthorizationCode, changed(left, "redirect_uri", "")), http.StatusBadRequest, oauth.InvalidRequest)
				left.Set("redirect_uri", oauthtest.Callback)
			}
			wantGranted(t, s.Post(t, at.AuthorizationCode, left))
		})
	}
}

// RFC 6749 Section 4.1.3: a code that was never issued is refused in the words of
// one that cannot be used any more, and text that looks like one is no more than
// that.
func TestRFC6749_4_1_3_UnknownCode(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		code := app.Authorize(t, "alice", "")
		spent := app.Authorize(t, "alice", "")
		wantGranted(t, redeem(t, app, spent))
		want := string(redeem(t, app, spent).Body)
		for _, wrong := range []string{
			"x", code + "x", code[1:], " " + code, code + " ", code + "=", strings.ToUpper(code), strings.ToLower(code), hashOf(code), hashOf(""),
			"' OR '1'='1", "%", "_", "NULL", "null", "0", "界", strings.Repeat("x", 9000),
		} {
			answer := redeem(t, app, wrong)
			wantTokenError(t, answer, http.StatusBadRequest, oauth.InvalidGrant)
			if string(answer.Body) != want {
				t.Errorf("code %.60q: %s, want as for a spent one: %s", wrong, answer.Body, want)
			}
		}
		wantGranted(t, redeem(t, app, code))
	})
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// RFC 6749 Section 10.10: a code holds 256 random bits, and only a hash of it is
// stored. Nor does the database, with its log, hold a refresh token, a client
// secret, a password or the cookie of a session (CO-05, CA-07, RT-09, SE-06); and
// the server's own log tells none of them (CO-08, LS-02).
func TestRFC6749_10_10_NothingStoredOpensAnything(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnFile)
	secrets := map[string]string{"password": oauthtest.Password}
	codes := map[string]bool{}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for range 20 {
			code := app.Authorize(t, "alice", "")
			if raw, err := base64.RawURLEncoding.DecodeString(code); err != nil || len(raw) < 32 || codes[code] {
				t.Errorf("code %q is not 256 random bits", code)
			}
			codes[code] = true
			secrets["pending code"] = code
		}
		secrets[at.Name+" spent code"] = app.Authorize(t, "alice", "")
		answer := redeem(t, app, secrets[at.Name+" spent code"])
		wantGranted(t, answer)
		secrets[at.Name+" access token"] = answer.Text("access_token")
		secrets[at.Name+" refresh token"] = answer.Text("refresh_token")
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(answer.Text("refresh_token"), "hrt_"))
		if err != nil {
			t.Fatal(err)
		}
		secrets[at.Name+" proof in the refresh token"] = string(raw[len(raw)-32:])
		secrets[at.Name+" client secret"] = app.ClientSecret
		for _, cookie := range app.Browser.Cookies(t) {
			if strings.HasSuffix(cookie.Name, "session") {
				secrets[at.Name+" session cookie"] = cookie.Value
			}
		}
		if secrets[at.Name+" session cookie"] == "" {
			t.Fatal("no session cookie")
		}
		redeem(t, app, secrets[at.Name+" spent code"]) // refusals are logged with their cause
		app.Refresh(t, at, answer.Text("refresh_token"))
		s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
		wrong := "wrong " + oauthtest.Password
		s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", wrong))
	})
	stored := databaseFiles(t, s)
	if !bytes.Contains(stored, []byte(hashOf(secrets["pending code"]))) {
		t.Error("the hash of a code was not found: this test looks in the wrong place")
	}
	for name, secret := range secrets {
		if bytes.Contains(stored, []byte(secret)) || bytes.Contains(stored, []byte(base64.RawURLEncoding.EncodeToString([]byte(secret)))) {
			t.Errorf("the database holds the %s", name)
		}
		if strings.Contains(s.Log.String(), secret) {
			t.Errorf("the log tells the %s", name)
		}
	}
}

// databaseFiles is all that a thief of the database would read.
func databaseFiles(t *testing.T, s *oauthtest.Server) (all []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Config.Data, "hufu.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("database files: %v, %v", files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	return all
}

// RFC 6749 Section 4.1.2: when the user or the client is taken out of force
// between a code and its redemption, there are no tokens, also when they are
// back by then (CO-07).
func TestRFC6749_4_1_2_CodeOfTheDisabled(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range endings() {
			t.Run(name, func(t *testing.T) {
				app, user := s.App(t).At(at), newUser(t, s)
				code := app.Authorize(t, user.Username, "")
				tt.end(t, s, app, user)
				wantTokenError(t, redeem(t, app, code), tt.code.Status(), tt.code)
			})
		}
	})
}

// newUser makes a user under a name that nobody has.
func newUser(t *testing.T, s *oauthtest.Server) *store.User {
	t.Helper()
	return s.User(t, "user-"+strings.ToLower(rand.Text()))
}

// An ending takes what a user has allowed a client out of force.
type ending struct {
	end  func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, user *store.User)
	code oauth.Code // of a token request of that client afterwards
}

// endings are all the ways in which an operator or a user ends a grant from the
// outside.
func endings() map[string]ending {
	must := func(t *testing.T, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return map[string]ending{
		"user disabled": {func(t *testing.T, s *oauthtest.Server, _ *oauthtest.App, u *store.User) {
			must(t, s.Store.DisableUser(t.Context(), u.ID, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"user disabled and enabled": {func(t *testing.T, s *oauthtest.Server, _ *oauthtest.App, u *store.User) {
			must(t, s.Store.DisableUser(t.Context(), u.ID, s.Clock.Now(), byOperator), s.Store.EnableUser(t.Context(), u.ID, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"user deleted": {func(t *testing.T, s *oauthtest.Server, _ *oauthtest.App, u *store.User) {
			must(t, s.Store.DeleteUser(t.Context(), u.ID, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"password changed": {func(t *testing.T, s *oauthtest.Server, _ *oauthtest.App, u *store.User) {
			must(t, s.Store.SetPassword(t.Context(), u.ID, u.Password, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"consent withdrawn": {func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, u *store.User) {
			must(t, s.Store.WithdrawConsent(t.Context(), u.ID, app.ClientID, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"client disabled": {func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, _ *store.User) {
			must(t, s.Store.DisableClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator))
		}, oauth.InvalidClient},
		"client disabled and enabled": {func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, _ *store.User) {
			must(t, s.Store.DisableClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator), s.Store.EnableClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
		"client deleted": {func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, _ *store.User) {
			must(t, s.Store.DeleteClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator))
		}, oauth.InvalidClient},
		"client deleted and made anew": {func(t *testing.T, s *oauthtest.Server, app *oauthtest.App, _ *store.User) {
			must(t, s.Store.DeleteClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator))
			_, _, err := s.Clients.Register(t.Context(), app.ClientID, oauthtest.EveryGrant(), app.ClientSecret, byOperator)
			must(t, err)
		}, oauth.InvalidGrant},
		"everything revoked": {func(t *testing.T, s *oauthtest.Server, _ *oauthtest.App, _ *store.User) {
			must(t, s.Store.RevokeAll(t.Context(), s.Clock.Now(), byOperator))
		}, oauth.InvalidGrant},
	}
}
