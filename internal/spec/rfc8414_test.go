package spec_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// serverMetadata is what a client reads of the document; it is not the server's
// own type, so that a member that is renamed is missed.
type serverMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	RevocationMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionMethods  []string `json:"introspection_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	Locales               []string `json:"ui_locales_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	Request               *bool    `json:"request_parameter_supported"`
	RequestURI            *bool    `json:"request_uri_parameter_supported"`
	RegisteredRequestURI  *bool    `json:"require_request_uri_registration"`
	RequestAlgorithms     []string `json:"request_object_signing_alg_values_supported"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`

	BackchannelLogout         *bool  `json:"backchannel_logout_supported"`
	BackchannelLogoutSession  *bool  `json:"backchannel_logout_session_supported"`
	FrontchannelLogout        *bool  `json:"frontchannel_logout_supported"`
	FrontchannelLogoutSession *bool  `json:"frontchannel_logout_session_supported"`
	CheckSessionIframe        string `json:"check_session_iframe"`
}

// discover reads the metadata of an issuer where RFC 8414 Section 3.1 has it:
// between host and path.
func discover(t *testing.T, s *oauthtest.Server) serverMetadata {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer := s.Get(t, s.Origin+"/.well-known/oauth-authorization-server"+u.Path)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("metadata: %d %s", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	var m serverMetadata
	if err := json.Unmarshal(answer.Body, &m); err != nil {
		t.Fatal(err)
	}
	if m.Issuer != s.URL {
		t.Errorf("issuer = %q, want %q", m.Issuer, s.URL)
	}
	return m
}

// RFC 8414 Section 2: what a fresh server says of itself, and what it says once
// clients are registered for more (DI-11, JW-14, IM-01, RO-01).
func TestRFC8414_2_Metadata(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	on := true
	want := serverMetadata{
		Issuer: s.URL, AuthorizationEndpoint: s.URL + "/authorize", TokenEndpoint: s.URL + "/token", JWKSURI: s.URL + "/jwks",
		RevocationEndpoint: s.URL + "/revoke", IntrospectionEndpoint: s.URL + "/introspect",
		Scopes:        []string{"openid", "offline_access", "profile", "email", "address", "phone"},
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "fragment", "form_post"},
		GrantTypes:        []string{"authorization_code", "client_credentials", "refresh_token"},
		AuthMethods:       []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"},
		RevocationMethods: []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"}, IntrospectionMethods: []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
		ChallengeMethods: []string{"S256"}, Locales: []string{"en", "zh-Hans"}, Prompts: []string{"none", "login", "consent", "select_account"},
		Request: &on, RequestURI: &on, RegisteredRequestURI: &on, RequestAlgorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		UserInfoEndpoint: s.URL + "/userinfo", EndSessionEndpoint: s.URL + "/end-session", IDTokenAlgorithms: []string{"RS256", "ES256", "PS256", "EdDSA"},
		BackchannelLogout: &on, BackchannelLogoutSession: &on, FrontchannelLogout: &on, FrontchannelLogoutSession: &on, CheckSessionIframe: s.URL + "/check-session",
	}
	if diff := cmp.Diff(want, discover(t, s)); diff != "" {
		t.Errorf("a fresh server (-want +got):\n%s", diff)
	}
	s.App(t)
	s.Clock.Advance(2 * time.Second)
	want.ResponseTypes = []string{"code", "token"}
	want.GrantTypes = []string{"authorization_code", "client_credentials", "implicit", "password", "refresh_token"}
	if diff := cmp.Diff(want, discover(t, s)); diff != "" {
		t.Errorf("with a legacy client (-want +got):\n%s", diff)
	}
	declared := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "notes.read", TextEN: "Read notes", TextZH: "阅读笔记"}, {Name: "notes.write"}}
		c.ForbiddenGrants = []string{"password", "implicit"}
	})
	declared.App(t)
	m := discover(t, declared)
	if !slices.Equal(m.Scopes[len(m.Scopes)-2:], []string{"notes.read", "notes.write"}) || slices.Contains(m.GrantTypes, "password") || slices.Contains(m.GrantTypes, "implicit") || slices.Contains(m.ResponseTypes, "token") {
		t.Errorf("with declared scopes and forbidden grants: %+v", m)
	}
	body := string(declared.Get(t, "/.well-known/oauth-authorization-server").Body)
	for _, never := range []string{`"plain"`, "null", "registration_endpoint", "pushed"} {
		if strings.Contains(body, never) {
			t.Errorf("metadata holds %s: %s", never, body)
		}
	}
}

// RFC 8414 Section 3: the document is for GET, with a type of its own, for any
// origin, and caches may keep it for a while.
func TestRFC8414_3_Request(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	const path = "/.well-known/oauth-authorization-server"
	answer := s.Get(t, path)
	if h := answer.Header; h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Cache-Control"), "public, max-age=") {
		t.Errorf("headers = %v", h)
	}
	head := s.Do(t, s.Request(t, http.MethodHead, path, ""))
	if head.StatusCode != http.StatusOK || head.ContentLength != int64(len(answer.Body)) {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if answer := s.Do(t, s.Request(t, method, path, "")); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
	for _, other := range []string{path + "/", path + "/x", "/.well-known/", "/.well-known/oauth-authorization-server.json", "/.WELL-KNOWN/oauth-authorization-server"} {
		if answer := s.Get(t, other); answer.StatusCode == http.StatusOK {
			t.Errorf("%s answered %d", other, answer.StatusCode)
		}
	}
}

// RFC 8414 Section 2: whatever is listed is accepted, and one value outside of
// each list is refused (DI-11).
func TestRFC8414_2_ListsAreTrue(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t, func(m *oauth.ClientMetadata) { m.ResponseTypes = oauth.ResponseTypes })
	s.Clock.Advance(2 * time.Second)
	m := discover(t, s)
	b := signedIn(t, app)
	ask := func(pairs ...string) response {
		b.Open(t, authorizationURL(app, strings.TrimPrefix(m.AuthorizationEndpoint, s.URL), pairs...))
		if b.On("select-account-form") {
			choose(t, b, "account", "alice")
		}
		if b.On("login-form") {
			b.SignIn(t, "alice")
		}
		if b.On("select-account-form") {
			choose(t, b, "account", "alice")
		}
		if b.On("consent-form") {
			b.Approve(t)
		}
		return responseOf(t, app, b.Page)
	}
	for _, value := range m.ResponseTypes {
		if got := ask("response_type", value, "scope", "openid", "nonce", "n-1"); got.Has("error") {
			t.Errorf("response_type %s: %v", value, got)
		}
	}
	for _, value := range m.ResponseModes {
		if got := ask("response_mode", value); got.Get("code") == "" || got.Mode != value {
			t.Errorf("response_mode %s: %v in the %s", value, got, got.Mode)
		}
	}
	for _, value := range m.Prompts {
		if got := ask("prompt", value); got.Get("code") == "" {
			t.Errorf("prompt %s: %v", value, got)
		}
	}
	for _, value := range m.ChallengeMethods {
		if got := ask("code_challenge_method", value, "code_challenge", appendixBChallenge); got.Get("code") == "" {
			t.Errorf("code_challenge_method %s: %v", value, got)
		}
	}
	for _, value := range m.Locales {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, "/authorize", "ui_locales", value))
		if got := b.Page.Header.Get("Content-Language"); got != value {
			t.Errorf("ui_locales %s: the page is in %s", value, got)
		}
	}
	for name, pairs := range map[string][]string{
		"unsupported_response_type": {"response_type", "none"},
		"invalid_request":           {"response_mode", "web_message"},
		"invalid_request_object":    {"request", "x"},
		"invalid_request_uri":       {"request_uri", "https://app.example/x"},
	} {
		if got := ask(pairs...); got.Get("error") != name {
			t.Errorf("%v: %v, want %s", pairs, got, name)
		}
	}
	for _, pairs := range [][]string{{"prompt", "create"}, {"code_challenge_method", "plain", "code_challenge", appendixBVerifier}} {
		if got := ask(pairs...); got.Get("error") != "invalid_request" {
			t.Errorf("%v: %v", pairs, got)
		}
	}
	for _, grant := range []string{"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "implicit"} {
		if answer := s.Post(t, "/token", app.Credentials("grant_type", grant)); answer.Text("error") != "unsupported_grant_type" {
			t.Errorf("grant_type %s: %s", grant, answer.Body)
		}
	}
}

// RFC 8414 Section 2: each listed way of client authentication works at each
// endpoint that lists it, and another one does not (DI-11).
func TestRFC8414_2_AuthMethodsAreTrue(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	m := discover(t, s)
	key := newKey(t, "ES256", "key-1")
	for endpoint, methods := range map[string][]string{m.TokenEndpoint: m.AuthMethods, m.RevocationEndpoint: m.RevocationMethods, m.IntrospectionEndpoint: m.IntrospectionMethods} {
		for _, method := range []string{"client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt", "tls_client_auth"} {
			t.Run(strings.TrimPrefix(endpoint, s.URL)+" "+method, func(t *testing.T) {
				app := s.App(t, func(m *oauth.ClientMetadata) {
					switch method {
					case "none":
						oauthtest.Public(m)
					case "private_key_jwt":
						m.JWKS = publicSet(t, key)
						fallthrough
					case "client_secret_basic", "client_secret_post", "client_secret_jwt":
						m.TokenEndpointAuthMethod = method
					}
				})
				holder := &keyClient{s: s, id: app.ClientID, key: key, algorithm: "ES256"}
				if method == "client_secret_post" {
					app.Endpoint.AuthStyle = oauth2.AuthStyleInParams
				}
				if method == "client_secret_jwt" {
					holder.key, holder.algorithm = josev4.JSONWebKey{Key: []byte(app.ClientSecret)}, "HS256"
				}
				var refresh string
				if strings.HasSuffix(method, "_jwt") {
					refresh = holder.ask(t, "/token", holder.assertion(t, nil), "grant_type", "authorization_code", "code", app.Authorize(t, "alice", ""), "redirect_uri", app.RedirectURL).Text("refresh_token")
				} else {
					refresh = app.SignInAndExchange(t).RefreshToken
				}
				form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "token": {refresh}}
				if method != "client_secret_basic" {
					form.Set("client_id", app.ClientID)
				}
				switch method {
				case "client_secret_post":
					form.Set("client_secret", app.ClientSecret)
				case "private_key_jwt", "client_secret_jwt":
					form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
					form.Set("client_assertion", holder.assertion(t, nil))
				}
				r := s.Request(t, http.MethodPost, endpoint, form.Encode())
				if method == "client_secret_basic" {
					r.SetBasicAuth(url.QueryEscape(app.ClientID), url.QueryEscape(app.ClientSecret))
				}
				answer := s.Do(t, r)
				if listed, accepted := slices.Contains(methods, method), answer.StatusCode == http.StatusOK; listed != accepted {
					t.Errorf("listed: %t, answered %d %s", listed, answer.StatusCode, answer.Body)
				}
			})
		}
	}
}

// RFC 8414 Section 3.1: an issuer with a path has its document between host and
// path; a client that knows the issuer alone finds everything (DI-11).
func TestRFC8414_3_1_IssuerWithPath(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.Issuer += "/tenants/7" })
	m := discover(t, s)
	for _, address := range []string{m.AuthorizationEndpoint, m.TokenEndpoint, m.JWKSURI, m.RevocationEndpoint, m.IntrospectionEndpoint} {
		if !strings.HasPrefix(address, s.URL+"/") {
			t.Errorf("%s is not below the issuer", address)
		}
		if answer := s.Get(t, address); answer.StatusCode == http.StatusNotFound {
			t.Errorf("nothing at %s", address)
		}
	}
	if answer := s.Get(t, s.Origin+"/.well-known/oauth-authorization-server"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the document of another issuer: %d", answer.StatusCode)
	}
}

// RFC 8414 Section 5: a client built on golang.org/x/oauth2 that knows nothing but
// the metadata completes every grant (DI-11).
func TestRFC8414_ClientConfiguredFromMetadataAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config func(*config.Config)
		client func(*oauth.ClientMetadata)
	}{
		"plain":     {func(*config.Config) {}, func(*oauth.ClientMetadata) {}},
		"with path": {func(c *config.Config) { c.Issuer += "/auth" }, oauthtest.Opaque},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.Start(t, tt.config)
			app := s.App(t, tt.client)
			s.Clock.Advance(2 * time.Second)
			m := discover(t, s)
			ctx := t.Context()
			c := oauth2.Config{
				ClientID: app.ClientID, ClientSecret: app.ClientSecret, RedirectURL: oauthtest.Callback, Scopes: []string{"read"},
				Endpoint: oauth2.Endpoint{AuthURL: m.AuthorizationEndpoint, TokenURL: m.TokenEndpoint},
			}
			alive := func(grant string, token string, err error) {
				t.Helper()
				if err != nil || !app.Active(t, token) {
					t.Errorf("%s: %q, %v", grant, token, err)
				}
			}
			if !slices.Contains(m.GrantTypes, "authorization_code") || !slices.Contains(m.ChallengeMethods, "S256") {
				t.Fatalf("metadata = %+v", m)
			}
			verifier := oauth2.GenerateVerifier()
			location := app.Browser.Walk(t, c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), "alice")
			code := location.Query()
			if code.Get("state") != "s" || code.Get("iss") != m.Issuer {
				t.Errorf("answered %s", location)
			}
			token, err := c.Exchange(ctx, code.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			alive("authorization_code", token.AccessToken, nil)
			again, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				t.Fatal(err)
			}
			alive("refresh_token", again.AccessToken, nil)
			if again.RefreshToken == token.RefreshToken {
				t.Error("the refresh token was not rotated")
			}
			legacy, err := c.PasswordCredentialsToken(ctx, "alice", oauthtest.Password)
			if err != nil {
				t.Fatal(err)
			}
			alive("password", legacy.AccessToken, nil)
			own := clientcredentials.Config{ClientID: app.ClientID, ClientSecret: app.ClientSecret, TokenURL: m.TokenEndpoint, Scopes: []string{"read"}}
			service, err := own.Token(context.WithoutCancel(ctx))
			if err != nil {
				t.Fatal(err)
			}
			alive("client_credentials", service.AccessToken, nil)
			location = app.Browser.Walk(t, c.AuthCodeURL("s", oauth2.SetAuthURLParam("response_type", "token")), "alice")
			fragment, err := url.ParseQuery(location.Fragment)
			alive("implicit", fragment.Get("access_token"), err)
		})
	}
}
