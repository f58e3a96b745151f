package spec_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// OpenID Connect Registration Section 2: every member that this server knows is taken and
// told back as it was sent (conformance 67).
func TestOpenIDRegistration_2_Members(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	keys := string(publicSet(t, newKey(t, "ES256", "k")))
	sent := `{"redirect_uris":["https://app.example/callback","https://app.example/cb?x=1"],"client_name":"App","client_uri":"https://app.example/","logo_uri":"https://app.example/logo.png",
		"policy_uri":"https://app.example/policy","tos_uri":"https://app.example/tos","contacts":["a@app.example","b@app.example"],"application_type":"web","subject_type":"public",
		"response_types":["code","id_token","code id_token"],"grant_types":["authorization_code","implicit","refresh_token"],"token_endpoint_auth_method":"private_key_jwt",
		"token_endpoint_auth_signing_alg":"ES256","id_token_signed_response_alg":"ES256","userinfo_signed_response_alg":"RS256","default_max_age":3600,"require_auth_time":true,
		"default_acr_values":["urn:hufu:acr:password"],"initiate_login_uri":"https://app.example/login","post_logout_redirect_uris":["https://app.example/bye"],
		"backchannel_logout_uri":"https://app.example/told","backchannel_logout_session_required":true,"frontchannel_logout_uri":"https://app.example/frame",
		"frontchannel_logout_session_required":true,"request_uris":["https://app.example/request"],"request_object_signing_alg":"ES256","require_signed_request_object":true,
		"software_id":"id","software_version":"2.1","scope":"openid email","jwks":` + keys + `}`
	answer := register(t, s, sent)
	var want, got map[string]any
	ok(t, json.Unmarshal([]byte(sent), &want))
	ok(t, json.Unmarshal(answer.Body, &got))
	for _, name := range []string{"client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"} {
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sent +told):\n%s", diff)
	}
	uri := register(t, s, `{"redirect_uris":["https://app.example/callback"],"jwks_uri":"https://app.example/jwks"}`)
	if uri.Text("jwks_uri") != "https://app.example/jwks" {
		t.Errorf("jwks_uri: %s", uri.Body)
	}
}

// OpenID Connect Registration Section 2: a client that names its response types alone
// gets the grants that go with them, and both work (conformance 67).
func TestOpenIDRegistration_2_ResponseTypesAlone(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	for types, grants := range map[string][]any{
		`["code"]`: {"authorization_code"}, `["id_token token"]`: {"implicit"}, `["code id_token token"]`: {"authorization_code", "implicit"}, `["id_token","code"]`: {"implicit", "authorization_code"},
	} {
		answer := register(t, s, `{"redirect_uris":["https://app.example/callback"],"response_types":`+types+`}`)
		if diff := cmp.Diff(any(grants), answer.JSON("grant_types")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", types, diff)
		}
	}
	app := registeredApp(t, s, register(t, s, `{"redirect_uris":["https://app.example/callback"],"response_types":["id_token token"]}`))
	app.Browser.Open(t, authorizationURL(app, "/authorize", "response_type", "id_token token", "scope", "openid", "nonce", "n"))
	app.Browser.SignIn(t, "alice")
	app.Browser.Approve(t)
	if got := responseOf(t, app, app.Browser.Page); got.Get("id_token") == "" || got.Get("access_token") == "" || got.Mode != "fragment" {
		t.Errorf("answered %v", got)
	}
}

// OpenID Connect Registration Section 2: a web application that gets tokens through the
// browser has https and no localhost; a native one a scheme of its own or loopback (RU-05,
// RU-06).
func TestOpenIDRegistration_2_ApplicationType(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	body := func(kind, grant, uri string) string {
		return `{"application_type":"` + kind + `","grant_types":["` + grant + `"],"redirect_uris":["` + uri + `"]}`
	}
	for _, taken := range []string{
		body("native", "authorization_code", "com.example.app:/cb"), body("native", "authorization_code", "http://127.0.0.1/cb"), body("native", "authorization_code", "http://localhost/cb"),
		body("web", "implicit", "https://app.example/cb"), body("web", "authorization_code", "http://localhost/cb"),
	} {
		register(t, s, taken)
	}
	for _, refused := range []string{
		body("web", "implicit", "http://localhost/cb"), body("web", "implicit", "https://localhost/cb"), body("native", "authorization_code", "http://app.example/cb"),
		body("native", "authorization_code", "myapp:/cb"), `{"response_types":["id_token"],"redirect_uris":["http://127.0.0.1/cb"]}`, // web by default
	} {
		wantRegistrationError(t, refused, sendJSON(t, s, http.MethodPost, "/register", "", refused), http.StatusBadRequest, oauth.InvalidRedirectURI)
	}
	wantRegistrationError(t, "unknown", sendJSON(t, s, http.MethodPost, "/register", "", body("desktop", "authorization_code", "https://app.example/cb")), http.StatusBadRequest, oauth.InvalidClientMetadata)
}

// OpenID Connect Core Section 4: where a third party has a client begin a sign-in is an
// https address, told back to the client (conformance 65, 66).
func TestOpenIDCore_4_InitiateLoginURI(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	const with = `{"redirect_uris":["https://app.example/callback"],"initiate_login_uri":`
	for _, refused := range []string{`"http://app.example/login"`, `"com.example.app:/login"`, `"/login"`, `["https://app.example/login"]`} {
		wantRegistrationError(t, refused, sendJSON(t, s, http.MethodPost, "/register", "", with+refused+`}`), http.StatusBadRequest, oauth.InvalidClientMetadata)
	}
	answer := register(t, s, with+`"https://app.example/login"}`)
	if got := sendJSON(t, s, http.MethodGet, answer.Text("registration_client_uri"), answer.Text("registration_access_token"), ""); got.StatusCode != http.StatusOK || got.Text("initiate_login_uri") != "https://app.example/login" {
		t.Errorf("read back: %d %s", got.StatusCode, got.Body)
	}
}

// OpenID Connect Registration Section 2: pictures and pages of a client are for browsers.
// The server shows them, where its policy allows them, and never goes there itself, neither
// when they are registered nor when they are shown (SS-02).
func TestOpenIDRegistration_2_NeverFetched(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, openRegistration, r.reaches)
	s.User(t, "alice")
	c := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"client_name":"App","client_uri":"`+r.URL+`/home","logo_uri":"`+r.URL+`/logo.png","policy_uri":"`+r.URL+`/policy","tos_uri":"`+r.URL+`/tos"}`)
	app := registeredApp(t, s, c.Answer)
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "scope", "openid"))
	for _, on := range []string{"/logo.png", "/policy", "/tos"} {
		if !strings.Contains(string(b.Page.Body), r.URL+on) {
			t.Errorf("the sign-in page does not show %s", on)
		}
	}
	if policy := directives(t, "sign-in", b.Page.Header.Get("Content-Security-Policy")); !strings.Contains(policy["img-src"], r.URL) {
		t.Errorf("the policy does not allow the picture: %v", policy)
	}
	b.SignIn(t, "alice")
	if !b.On("consent-form") {
		t.Fatalf("not on the consent page: %d", b.Page.StatusCode)
	}
	for _, path := range []string{"/home", "/logo.png", "/policy", "/tos"} {
		if n := len(r.at(path)); n != 0 {
			t.Errorf("the server went to %s %d times", path, n)
		}
	}
}
