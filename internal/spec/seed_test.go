package spec_test

import (
	"net/http"
	"net/url"
	"testing"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// The seed's document, one subtest a chapter, on its six addresses, once with a
// client that gets JWTs and once with one that gets opaque tokens (LE-01).
func TestSeed(t *testing.T) {
	t.Parallel()
	for name, format := range map[string]func(*oauth.ClientMetadata){
		"jwt":    func(*oauth.ClientMetadata) {},
		"opaque": oauthtest.Opaque,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := oauthtest.Start(t).App(t, format).At(oauthtest.AllAddresses[1])
			t.Run("authorization_code", func(t *testing.T) { seedAuthorizationCode(t, app) })
			t.Run("implicit", func(t *testing.T) { seedImplicit(t, app) })
			t.Run("password", func(t *testing.T) { seedPassword(t, app) })
			t.Run("client_credentials", func(t *testing.T) { seedClientCredentials(t, app) })
			t.Run("refresh_token", func(t *testing.T) { seedRefreshToken(t, app) })
		})
	}
}

func seedAuthorizationCode(t *testing.T, app *oauthtest.App) {
	location := app.Browser.Walk(t, app.Server.URL+"/open/authorize/index?"+url.Values{
		"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {oauthtest.Callback}, "state": {"csrf-1"},
	}.Encode(), "alice")
	if got := location.Query().Get("state"); got != "csrf-1" {
		t.Errorf("state = %q", got)
	}
	answer := app.Server.Post(t, "/oauth2/authorize", app.Credentials(
		"grant_type", "authorization_code", "redirect_uri", oauthtest.Callback, "code", location.Query().Get("code")))
	wantTokens(t, app, answer, true)
}

func seedImplicit(t *testing.T, app *oauthtest.App) {
	location := app.Browser.Walk(t, app.Server.URL+"/open/implicit?"+url.Values{
		"response_type": {"token"}, "client_id": {app.ClientID}, "redirect_uri": {oauthtest.Callback}, "scope": {"read"}, "state": {"csrf-2"},
	}.Encode(), "alice")
	fragment, err := url.ParseQuery(location.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	if location.RawQuery != "" || fragment.Get("state") != "csrf-2" || fragment.Get("token_type") != "Bearer" || fragment.Get("refresh_token") != "" {
		t.Errorf("answer = %s", location)
	}
	if !app.Active(t, fragment.Get("access_token")) {
		t.Error("the token is not active")
	}
}

func seedPassword(t *testing.T, app *oauthtest.App) {
	wantTokens(t, app, app.Server.Post(t, "/oauth2/password", app.Credentials(
		"grant_type", "password", "username", "alice", "password", oauthtest.Password, "scope", "read")), true)
}

func seedClientCredentials(t *testing.T, app *oauthtest.App) {
	wantTokens(t, app, app.Server.Post(t, "/oauth2/client-credentials", app.Credentials(
		"grant_type", "client_credentials", "scope", "read")), false)
}

func seedRefreshToken(t *testing.T, app *oauthtest.App) {
	verifier := oauth2.GenerateVerifier()
	token, err := app.Exchange(t.Context(), app.Authorize(t, "alice", verifier), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	wantTokens(t, app, app.Server.Post(t, "/oauth2/refresh-token", app.Credentials(
		"grant_type", "refresh_token", "refresh_token", token.RefreshToken, "scope", "read")), true)
}

// wantTokens checks an answer of the token endpoint, RFC 6749 Section 5.1.
func wantTokens(t *testing.T, app *oauthtest.App, answer *oauthtest.Answer, refresh bool) {
	t.Helper()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s", answer.StatusCode, answer.Body)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q", got)
	}
	if got := answer.Text("token_type"); got != "Bearer" {
		t.Errorf("token_type = %q", got)
	}
	if seconds, _ := answer.JSON("expires_in").(float64); seconds != 600 {
		t.Errorf("expires_in = %v", answer.JSON("expires_in"))
	}
	if got := answer.Text("refresh_token") != ""; got != refresh {
		t.Errorf("refresh token in the answer: %t, want %t", got, refresh)
	}
	if !app.Active(t, answer.Text("access_token")) {
		t.Error("the access token is not active")
	}
}
