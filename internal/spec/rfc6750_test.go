package spec_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// b64token is what a bearer token may look like, RFC 6750 Section 2.1.
var b64token = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// RFC 6750 Sections 2.1 and 4: every access token is of type Bearer and of the
// characters that an Authorization header holds, and short enough for one.
func TestRFC6750_4_TokenType(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			app := s.App(t, format).At(at)
			for grant, request := range tokenRequests(t, app, at) {
				answer := s.Post(t, request.path, request.form)
				token := answer.Text("access_token")
				if answer.Text("token_type") != "Bearer" || !b64token.MatchString(token) || len(token) > 4096 {
					t.Errorf("%s: %s token %s", grant, answer.Text("token_type"), token)
				}
			}
		}
	})
}

// RFC 6750 Section 3 with RFC 9110 Section 15.5.2: every 401 challenges, once, by
// a scheme the endpoint takes, and says nothing of what was sent (CA-01).
func TestRFC6750_3_Challenge(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	for _, path := range []string{"/token", "/oauth2/authorize", "/oauth2/password", "/oauth2/client-credentials", "/oauth2/refresh-token", "/introspect", "/revoke"} {
		for _, authorization := range []string{"", "Basic " + "eDp5", "Bearer x", "Basic", "Digest username=\"a\"", "\"><script>"} {
			r := formTo(t, s, path, lacking(app.Credentials("grant_type", "client_credentials", "token", "x"), "client_secret"))
			if authorization != "" {
				r = formTo(t, s, path, lacking(app.Credentials("grant_type", "client_credentials", "token", "x"), "client_secret", "client_id"))
				r.Header.Set("Authorization", authorization)
			}
			answer := s.Do(t, r)
			wantTokenError(t, answer, http.StatusUnauthorized, oauth.InvalidClient)
			challenges := answer.Header.Values("WWW-Authenticate")
			if len(challenges) != 1 || !strings.HasPrefix(challenges[0], `Basic realm="`) || strings.Contains(challenges[0], "error") || strings.Contains(challenges[0], "script") {
				t.Errorf("%s after %q: %q", path, authorization, challenges)
			}
		}
	}
}

// RFC 6750 Section 2: a bearer token authenticates nobody at these endpoints, in
// whatever way it is sent, and a token in a URL is not read.
func TestRFC6750_2_TokenIsNoClientProof(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		own, err := app.ClientToken(t, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{at.ClientCredentials, "/introspect", "/revoke"} {
			form := lacking(app.Credentials("grant_type", "client_credentials", "token", own.AccessToken), "client_secret")
			for _, scheme := range []string{"Bearer ", "bearer ", "DPoP ", ""} {
				r := formTo(t, s, path+"?access_token="+own.AccessToken, changed(form, "access_token", own.AccessToken))
				r.Header.Set("Authorization", scheme+own.AccessToken)
				wantTokenError(t, s.Do(t, r), http.StatusUnauthorized, oauth.InvalidClient)
			}
		}
		wantActive(t, app, "token", own.AccessToken, true)
	})
}
