package spec_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// revoke sends a token to be revoked and wants it done.
func revoke(t *testing.T, app *oauthtest.App, token string, pairs ...string) {
	t.Helper()
	answer := app.Server.Post(t, "/revoke", app.Credentials(append([]string{"token", token}, pairs...)...))
	if answer.StatusCode != http.StatusOK || len(answer.Body) > 0 || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("revoking: %d %q, Cache-Control %q", answer.StatusCode, answer.Body, answer.Header.Get("Cache-Control"))
	}
}

// RFC 7009 Section 2.1: revoking a refresh token ends its grant with every access
// token, whatever token_type_hint says, and also when a newer refresh token is
// out (RV-12, AT-03).
func TestRFC7009_2_1_RefreshToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "public": s.PublicApp(t), "opaque": s.App(t, oauthtest.Opaque)} {
			for _, hint := range []string{"", "refresh_token", "access_token", "id_token", "nonsense", strings.Repeat("x", 5000)} {
				kept, token := app.At(at).SignInAndExchange(t), app.At(at).SignInAndExchange(t)
				refreshed := next(t, app, at, token.RefreshToken)
				revoke(t, app, token.RefreshToken, "token_type_hint", hint)
				for _, dead := range []string{token.AccessToken, token.RefreshToken, refreshed.Text("access_token"), refreshed.Text("refresh_token")} {
					wantActive(t, watcher, name+" token", dead, false)
				}
				wantTokenError(t, app.Refresh(t, at, refreshed.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
				wantActive(t, watcher, name+" token of another grant", kept.AccessToken, true)
				next(t, app, at, kept.RefreshToken)
			}
		}
	})
}

// RFC 7009 Section 2.1: revoking an access token ends that one and leaves its
// grant, whatever token_type_hint says, until it would have expired (RV-12,
// AT-03).
func TestRFC7009_2_1_AccessToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "public": s.PublicApp(t), "opaque": s.App(t, oauthtest.Opaque)} {
			for _, hint := range []string{"", "refresh_token", "access_token", "nonsense"} {
				token := app.At(at).SignInAndExchange(t)
				refreshed := next(t, app, at, token.RefreshToken)
				revoke(t, app, token.AccessToken, "token_type_hint", hint)
				wantActive(t, watcher, name+" revoked access token", token.AccessToken, false)
				wantActive(t, watcher, name+" other access token", refreshed.Text("access_token"), true)
				wantActive(t, watcher, name+" refresh token", refreshed.Text("refresh_token"), true)
				next(t, app, at, refreshed.Text("refresh_token"))
				s.Clock.Advance(9 * time.Minute)
				if _, err := s.Store.DeleteExpired(t.Context(), s.Clock.Now()); err != nil {
					t.Fatal(err)
				}
				wantActive(t, watcher, name+" revoked access token near its end", token.AccessToken, false)
			}
		}
	})
}

// A client's token for itself is revoked alone, too.
func TestRFC7009_2_1_ClientToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			app := s.App(t, format)
			first, second := s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials")), s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials"))
			revoke(t, app, first.Text("access_token"))
			wantActive(t, app, "revoked token", first.Text("access_token"), false)
			wantActive(t, app, "other token", second.Text("access_token"), true)
		}
	})
}

// RFC 7009 Section 2.2: what is no token, or dead already, is revoked as well as
// can be: 200, with nothing in the answer that tells (RV-01). A missing token is
// invalid_request.
func TestRFC7009_2_2_UnknownToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
		app := s.App(t, format)
		code, token, expired := app.Authorize(t, "alice", ""), app.SignInAndExchange(t), app.SignInAndExchange(t)
		s.Clock.Advance(11 * time.Minute)
		next(t, app, oauthtest.AllAddresses[0], token.RefreshToken)
		unknown := []string{
			"x", "hat_", "hrt_", "hat_x", "hrt_x", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", code, app.ClientSecret, expired.AccessToken, "界", " ", "%00",
			token.RefreshToken + "x", token.AccessToken + "x", "hrt_" + strings.Repeat("A", 55_000), "hat_" + strings.Repeat("A", 55_000), strings.Repeat(".", 55_000),
			"hrt_" + base64.RawURLEncoding.EncodeToString(make([]byte, 63)),
		}
		for _, text := range unknown {
			revoke(t, app, text)
		}
		for range 3 {
			revoke(t, app, expired.RefreshToken)
		}
		form := app.Credentials()
		wantTokenError(t, s.Post(t, "/revoke", form), http.StatusBadRequest, oauth.InvalidRequest)
		wantTokenError(t, s.Post(t, "/revoke", changed(form, "token", "")), http.StatusBadRequest, oauth.InvalidRequest)
		wantTokenError(t, s.Post(t, "/revoke?token="+token.RefreshToken, form), http.StatusBadRequest, oauth.InvalidRequest)
		wantActive(t, app, "refresh token in its window", token.RefreshToken, true)
	}
	events, err := s.Store.Events(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	revoked := 0
	for _, e := range events {
		if e.Kind == store.EventGrantRevoked || e.Kind == store.EventTokenRevoked {
			revoked++
		}
	}
	if revoked != 2 {
		t.Errorf("%d revocations in the audit trail, want one of each client", revoked)
	}
}

// RFC 7009 Section 2.1: who does not prove to be the client revokes nothing
// (RV-02).
func TestRFC7009_2_1_Unauthenticated(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
		app := s.App(t, format)
		token := app.SignInAndExchange(t)
		for _, text := range []string{token.AccessToken, token.RefreshToken} {
			form := app.Credentials("token", text)
			wantTokenError(t, s.Post(t, "/revoke", lacking(form, "client_id", "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, s.Post(t, "/revoke", lacking(form, "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, s.Post(t, "/revoke", changed(form, "client_secret", "not the secret at all")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, s.Post(t, "/revoke", changed(form, "client_id", "nobody")), http.StatusUnauthorized, oauth.InvalidClient)
			bearer := formTo(t, s, "/revoke", lacking(form, "client_id", "client_secret"))
			bearer.Header.Set("Authorization", "Bearer "+token.AccessToken)
			wantTokenError(t, s.Do(t, bearer), http.StatusUnauthorized, oauth.InvalidClient)
			wantActive(t, app, "token", text, true)
		}
	}
}

// RFC 7009 Section 2.1: a client revokes its own tokens only. The refusal says
// so, and the token stays.
func TestRFC7009_2_1_TokenOfAnotherClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
		app := s.App(t, format)
		token := app.SignInAndExchange(t)
		own, err := app.ClientToken(t, oauthtest.AllAddresses[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, thief := range []*oauthtest.App{s.App(t), s.PublicApp(t), observer(t, s)} {
			for _, text := range []string{token.AccessToken, token.RefreshToken, own.AccessToken} {
				wantTokenError(t, s.Post(t, "/revoke", thief.Credentials("token", text)), http.StatusBadRequest, oauth.UnauthorizedClient)
				wantActive(t, app, "token", text, true)
			}
		}
	}
}

// RFC 7009 Section 2.1: the request is a POST of a form, with the rules of the
// token endpoint.
func TestRFC7009_2_1_Form(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	wantFormRules(t, s.App(t), "/revoke")
}

// wantFormRules checks an endpoint beside the token endpoint that takes a token:
// methods, media types, repeated parameters and bad text (TE-08, TE-12).
func wantFormRules(t *testing.T, app *oauthtest.App, path string) {
	t.Helper()
	s, token := app.Server, app.SignInAndExchange(t).AccessToken
	form := app.Credentials("token", token, "token_type_hint", "access_token")
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"} {
		answer := s.Do(t, s.Request(t, method, path+"?"+form.Encode(), form.Encode()))
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s %s: %d, Allow %q", method, path, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
	for _, kind := range []string{"", "application/json", "multipart/form-data; boundary=x", "text/plain"} {
		r := formTo(t, s, path, form)
		r.Header.Set("Content-Type", kind)
		wantTokenError(t, s.Do(t, r), http.StatusUnsupportedMediaType, oauth.InvalidRequest)
	}
	for name := range form {
		twice := changed(form)
		twice[name] = []string{form.Get(name), form.Get(name)}
		wantTokenError(t, s.Post(t, path, twice), http.StatusBadRequest, oauth.InvalidRequest)
		for _, bad := range []string{"%00", "%ff", "%zz", "%"} {
			body := lacking(form, name).Encode() + "&" + name + "=" + bad
			wantTokenError(t, s.Do(t, s.Request(t, http.MethodPost, path, body)), http.StatusBadRequest, oauth.InvalidRequest)
		}
	}
	form.Set("padding", strings.Repeat("x", 64<<10))
	wantTokenError(t, s.Post(t, path, form), http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
	wantActive(t, app, "token", token, true)
}
