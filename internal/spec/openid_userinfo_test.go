package spec_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// accessToken is one of a code flow for a scope.
func (p *relyingParty) accessToken(t *testing.T, pairs ...string) string {
	t.Helper()
	answer, _ := p.ask(t, pairs...)
	return p.tokens(t, answer.Get("code")).Text("access_token")
}

// infoOf is what UserInfo answers as JSON.
func infoOf(t *testing.T, answer *oauthtest.Answer) map[string]any {
	t.Helper()
	var info map[string]any
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("UserInfo: %d %v %s", answer.StatusCode, answer.Header, answer.Body)
	}
	if err := json.Unmarshal(answer.Body, &info); err != nil {
		t.Fatal(err)
	}
	return info
}

// OpenID Connect Core Section 5.4: each scope stands for its claims, and nothing is
// told beyond; types are those of Section 5.1 (UI-02, conformance 6, 58, 59).
func TestOpenIDCore_5_4_ScopeClaims(t *testing.T) {
	t.Parallel()
	p := newRelyingParty(t, oauthtest.Start(t))
	all := map[string]any{}
	for _, scope := range []string{"", "profile", "email", "address", "phone"} {
		want := append([]string{"sub"}, oauth.Scope{scope}.Claims()...)
		slices.Sort(want)
		info := infoOf(t, p.userInfo(t, p.accessToken(t, "scope", "openid "+scope)))
		if got := members(info); !slices.Equal(got, want) {
			t.Errorf("scope %q gives %v, want %v", scope, got, want)
		}
		if info["sub"] != p.user.ID {
			t.Errorf("sub %v", info["sub"])
		}
		for name, value := range info {
			all[name] = value
		}
	}
	delete(all, "sub")
	updated, _ := all["updated_at"].(float64)
	if updated != float64(p.user.UpdatedAt.Unix()) {
		t.Errorf("updated_at %v", all["updated_at"])
	}
	delete(all, "updated_at")
	var want map[string]any
	if err := json.Unmarshal([]byte(aliceClaims), &want); err != nil {
		t.Fatal(err)
	}
	delete(want, "employee_number") // no scope stands for it
	want["email"], want["email_verified"] = "alice@example.com", true
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// OpenID Connect Core Section 5.5: what the claims parameter asks for under userinfo is
// at UserInfo, what under id_token is in the ID token, and nowhere else; what nobody
// has is left out, and what belongs to the protocol cannot be had this way
// (conformance 37).
func TestOpenIDCore_5_5_ClaimsParameter(t *testing.T) {
	t.Parallel()
	p := newRelyingParty(t, oauthtest.Start(t), func(m *oauth.ClientMetadata) { m.Scope += " employee_number" })
	request := `{"userinfo":{"name":{"essential":true},"shoe_size":null,"client_id":null},
		"id_token":{"email":null,"employee_number":{"essential":true},"given_name#ja":null,"nonce":{"value":"forged"},"iss":null},"other":{"x":null}}`
	for _, responseType := range []string{"code", "code id_token", "id_token token"} {
		answer, _ := p.ask(t, "scope", "openid", "claims", request, "response_type", responseType, "nonce", "n-1")
		tokens := map[string]any{"id_token": answer.Get("id_token"), "access_token": answer.Get("access_token")}
		if answer.Has("code") {
			exchanged := p.tokens(t, answer.Get("code"))
			tokens["access_token"] = exchanged.Text("access_token")
			_, claims := p.verify(t, exchanged.Text("id_token"))
			wantClaims(t, claims)
		}
		if raw, _ := tokens["id_token"].(string); raw != "" {
			_, claims := p.verify(t, raw)
			wantClaims(t, claims)
		}
		access, _ := tokens["access_token"].(string)
		if got, want := members(infoOf(t, p.userInfo(t, access))), []string{"name", "sub"}; !slices.Equal(got, want) {
			t.Errorf("%s: UserInfo has %v, want %v", responseType, got, want)
		}
	}
	for _, bad := range []string{"name", "[]", `{"userinfo":[]}`, `{"id_token":{"name":"x"}}`, strings.Repeat(" ", 4100) + "{}"} {
		wantRefused(t, p.App, p.Server.Get(t, p.address("claims", bad)), "invalid_request")
	}
}

// A claim can be asked for by name only by a client that may ask for the scope that
// stands for it, a claim of no standard scope has one of its own name; and the user is
// asked about it, can be asked in vain, and is asked again when it is a new one (UI-02).
func TestOpenIDCore_5_5_ClaimsNeedScopeAndConsent(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "phone", TextEN: "Your phone number", Optional: true}}
	})
	p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.Scope = "openid email phone" })
	const wanted = `{"userinfo":{"email":null,"name":null,"employee_number":null,"phone_number":{"essential":true}}}`
	token := p.accessToken(t, "scope", "openid", "claims", wanted)
	if got, want := members(infoOf(t, p.userInfo(t, token))), []string{"email", "phone_number", "sub"}; !slices.Equal(got, want) {
		t.Errorf("a client that may ask for email and phone got %v, want %v", got, want)
	}
	if answer, _ := p.ask(t, "scope", "openid", "claims", wanted, "prompt", "none"); !answer.Has("code") {
		t.Errorf("what was allowed and remembered: %v", answer)
	}
	p.Browser = s.Browser(t)
	p.Browser.Open(t, p.address("scope", "openid", "claims", wanted, "prompt", "consent"))
	p.Browser.SignIn(t, "alice")
	if page := string(p.Browser.Page.Body); !strings.Contains(page, "phone number") || !strings.Contains(page, "See your email address") {
		t.Errorf("the page does not say what is asked for:\n%s", page)
	}
	p.Browser.Submit(t, "consent-form", url.Values{"decision": {"approve"}, "scope": {}})
	answer, _ := answerOf(t, p.Browser.Location(t))
	info := infoOf(t, p.userInfo(t, p.tokens(t, answer.Get("code")).Text("access_token")))
	if got, want := members(info), []string{"email", "sub"}; !slices.Equal(got, want) {
		t.Errorf("without the tick at phone: %v, want %v", got, want)
	}
	fresh := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.Scope = "openid email" })
	fresh.ask(t, "scope", "openid")
	if answer, _ := fresh.ask(t, "scope", "openid", "claims", wanted, "prompt", "none"); answer.Get("error") != "consent_required" {
		t.Errorf("claims that nobody was asked about: %v", answer)
	}
}

// What a client may no longer ask for it is no longer told, whatever a user has allowed
// it before (design.md Section 4).
func TestOpenIDCore_5_5_ClaimsStillRegistered(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	answer, _ := p.ask(t, "scope", "openid", "claims", `{"userinfo":{"email":null},"id_token":{"email":null}}`)
	other, _ := p.ask(t, "scope", "openid", "claims", `{"userinfo":{"email":null},"id_token":{"email":null}}`)
	tokens := p.tokens(t, answer.Get("code"))
	if info := infoOf(t, p.userInfo(t, tokens.Text("access_token"))); info["email"] == nil {
		t.Errorf("told %v", info)
	}
	if _, err := s.Clients.Update(t.Context(), p.ClientID, func(m *oauth.ClientMetadata) error { m.Scope = "openid"; return nil }, theOperator); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(2 * time.Second)
	if info := infoOf(t, p.userInfo(t, tokens.Text("access_token"))); info["email"] != nil {
		t.Errorf("UserInfo still tells %v", info)
	}
	if _, told := p.verify(t, p.tokens(t, other.Get("code")).Text("id_token")); told["email"] != nil {
		t.Errorf("the ID token still tells %v", told)
	}
}

// RFC 9068 Section 4, RFC 8707: UserInfo takes tokens that are meant for it. With openid
// a token is, whatever API it is for as well; one for an API alone is not (AT-02).
func TestOpenIDCore_5_3_UserInfoAudience(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	const api = "https://api.example"
	p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.Resources = []string{api} })
	both := p.accessToken(t, "scope", "openid read", "resource", api)
	if info := p.userInfo(t, both); info.StatusCode != http.StatusOK {
		t.Errorf("a token for both: %d %s", info.StatusCode, info.Body)
	}
	if diff := cmp.Diff(any([]any{api, s.URL}), p.Introspect(t, both).JSON("aud")); diff != "" {
		t.Errorf("aud of a token with openid (-want +got):\n%s", diff)
	}
	alone := p.accessToken(t, "scope", "read", "resource", api)
	if aud := p.Introspect(t, alone).JSON("aud"); aud != api || p.userInfo(t, alone).StatusCode == http.StatusOK {
		t.Errorf("a token for the API alone: aud %v", aud)
	}
}

// OpenID Connect Core Section 11: offline_access means nothing where no refresh token can
// come of it, and prompt=consent with it gives one (conformance 41, 52).
func TestOpenIDCore_11_OfflineAccess(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	if answer, _ := p.ask(t, "scope", "openid offline_access", "response_type", "id_token token", "nonce", "n"); answer.Get("scope") != "openid" {
		t.Errorf("through the browser: %v", answer)
	}
	online := newRelyingParty(t, s, func(m *oauth.ClientMetadata) {
		m.GrantTypes, m.ResponseTypes = []string{oauth.GrantAuthorizationCode}, nil
	})
	answer, _ := online.ask(t, "scope", "openid offline_access")
	if tokens := online.tokens(t, answer.Get("code")); tokens.Text("scope") != "openid" || tokens.Text("refresh_token") != "" {
		t.Errorf("a client without the grant: %s", tokens.Body)
	}
	unregistered := newRelyingParty(t, s, func(m *oauth.ClientMetadata) {
		m.GrantTypes, m.ResponseTypes, m.Scope = []string{oauth.GrantAuthorizationCode}, nil, "openid"
	})
	answer, _ = unregistered.ask(t, "scope", "openid offline_access")
	if tokens := unregistered.tokens(t, answer.Get("code")); tokens.Text("scope") != "openid" || tokens.Text("refresh_token") != "" {
		t.Errorf("a client with neither the grant nor the scope: %s", tokens.Body)
	}
	answer, _ = p.ask(t, "scope", "openid offline_access", "prompt", "consent")
	if tokens := p.tokens(t, answer.Get("code")); tokens.Text("refresh_token") == "" {
		t.Errorf("offline: %s", tokens.Body)
	}
}

func wantClaims(t *testing.T, claims map[string]any) {
	t.Helper()
	if claims["email"] != "alice@example.com" || claims["employee_number"] != "42" || claims["nonce"] != "n-1" || claims["name"] != nil || claims["given_name"] != nil {
		t.Errorf("claims %v", claims)
	}
}

// OpenID Connect Core Section 5.5.1: a sub with a value names the one who may answer,
// and an essential acr that no sign-in here reaches fails the request (conformance 36).
func TestOpenIDCore_5_5_1_ValuesAndEssential(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	s.User(t, "bob")
	claims := func(member, text string) []string {
		return []string{"claims", `{"id_token":{"` + member + `":` + text + `}}`, "prompt", "none"}
	}
	p.ask(t) // alice is signed in and has agreed
	for _, mine := range []string{`{"value":"` + p.user.ID + `"}`, `null`, `{"essential":true}`} {
		if answer, _ := p.ask(t, claims("sub", mine)...); !answer.Has("code") {
			t.Errorf("sub %s: %v", mine, answer)
		}
	}
	if answer, _ := p.ask(t, claims("sub", `{"value":"somebody else"}`)...); answer.Get("error") != "login_required" {
		t.Errorf("another sub: %v", answer)
	}
	answer, _ := p.ask(t, claims("acr", `{"essential":true,"values":["urn:nobody:has:this"]}`)...)
	if answer.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("an acr out of reach: %v", answer)
	}
	for _, wanted := range []string{`{"values":["urn:nobody:has:this"]}`, `{"essential":true}`, `{"essential":true,"values":["urn:nobody:has:this","urn:hufu:acr:password"]}`} {
		answer, _ := p.ask(t, claims("acr", wanted)...)
		_, told := p.verify(t, p.tokens(t, answer.Get("code")).Text("id_token"))
		if told["acr"] != "urn:hufu:acr:password" {
			t.Errorf("acr %s: %v", wanted, told["acr"])
		}
	}
}

// OpenID Connect Core Section 5.3.1, RFC 6750 Sections 2 and 3: how a token is sent,
// and how one that does not do is refused (UI-01, UI-11, AT-03, AT-04, TE-19,
// conformance 60, 62, 63).
func TestOpenIDCore_5_3_UserInfoRequest(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	token := p.accessToken(t, "scope", "openid email read")
	service, err := p.ClientToken(t, oauthtest.AllAddresses[0])
	if err != nil {
		t.Fatal(err)
	}
	plain := p.accessToken(t, "scope", "read")
	header := func(lines ...string) func(r *http.Request) {
		return func(r *http.Request) {
			for _, line := range lines {
				r.Header.Add("Authorization", line)
			}
		}
	}
	body := func(r *http.Request, text string) {
		r.Body = http.NoBody
		*r = *s.Request(t, http.MethodPost, "/userinfo", text)
	}
	for name, tt := range map[string]struct {
		method string
		edit   func(r *http.Request)
		status int
		code   string // in the challenge
	}{
		"GET, header":       {http.MethodGet, header("Bearer " + token), 200, ""},
		"POST, header":      {http.MethodPost, header("Bearer " + token), 200, ""},
		"scheme in capital": {http.MethodGet, header("BEARER " + token), 200, ""},
		"scheme in small":   {http.MethodGet, header("bearer   " + token), 200, ""},
		"POST, body":        {http.MethodPost, func(r *http.Request) { body(r, "access_token="+token) }, 200, ""},
		"POST, JSON beside": {http.MethodPost, func(r *http.Request) {
			body(r, "{}")
			r.Header.Set("Content-Type", "application/json")
			header("Bearer " + token)(r)
		}, 200, ""},
		"none":              {http.MethodGet, header(), 401, "-"},
		"none, POST":        {http.MethodPost, header(), 401, "-"},
		"Basic":             {http.MethodGet, header("Basic " + token), 401, "-"},
		"scheme alone":      {http.MethodGet, header("Bearer"), 400, "invalid_request"},
		"tab":               {http.MethodGet, header("Bearer\t" + token), 401, "-"},
		"two words":         {http.MethodGet, header("Bearer " + token + " " + token), 400, "invalid_request"},
		"two headers":       {http.MethodGet, header("Bearer "+token, "Bearer "+token), 400, "invalid_request"},
		"header and body":   {http.MethodPost, func(r *http.Request) { body(r, "access_token="+token); header("Bearer " + token)(r) }, 400, "invalid_request"},
		"twice in the body": {http.MethodPost, func(r *http.Request) { body(r, "access_token="+token+"&access_token="+token) }, 400, "invalid_request"},
		"in the address":    {http.MethodGet, func(r *http.Request) { r.URL.RawQuery = "access_token=" + token }, 400, "invalid_request"},
		"garbage":           {http.MethodGet, header("Bearer garbage"), 401, "invalid_token"},
		"an ID token":       {http.MethodGet, header("Bearer " + idTokenOf(t, p)), 401, "invalid_token"},
		"without openid":    {http.MethodGet, header("Bearer " + plain), 403, "insufficient_scope"},
		"of a client":       {http.MethodGet, header("Bearer " + service.AccessToken), 403, "insufficient_scope"},
	} {
		r := s.Request(t, tt.method, "/userinfo", "")
		tt.edit(r)
		answer := s.Do(t, r)
		challenge := answer.Header.Get("WWW-Authenticate")
		switch {
		case answer.StatusCode != tt.status:
			t.Errorf("%s: %d %s, want %d", name, answer.StatusCode, answer.Body, tt.status)
		case tt.status == 200 && answer.Text("sub") != p.user.ID:
			t.Errorf("%s: %s", name, answer.Body)
		case tt.code == "-" && (!strings.HasPrefix(challenge, "Bearer") || strings.Contains(challenge, "error")):
			t.Errorf("%s: challenge %q", name, challenge)
		case tt.code != "" && tt.code != "-" && !strings.Contains(challenge, `error="`+tt.code+`"`):
			t.Errorf("%s: challenge %q, want %s", name, challenge, tt.code)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: CORS %v", name, answer.Header)
		}
	}
	if r := s.Do(t, s.Request(t, http.MethodDelete, "/userinfo", "")); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", r.StatusCode)
	}
}

func idTokenOf(t *testing.T, p *relyingParty) string {
	t.Helper()
	answer, _ := p.ask(t)
	return p.tokens(t, answer.Get("code")).Text("id_token")
}

// A token that was revoked, or whose user or client is no longer in force, tells
// nothing any more, at once (AT-03, AT-04, RE-12).
func TestOpenIDCore_5_3_UserInfoAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *oauthtest.Server, p *relyingParty, token string){
		"revoked": func(t *testing.T, s *oauthtest.Server, p *relyingParty, token string) {
			s.Post(t, "/revoke", p.Credentials("token", token))
		},
		"expired": func(_ *testing.T, s *oauthtest.Server, _ *relyingParty, _ string) { s.Clock.Advance(11 * time.Minute) },
		"user disabled": func(t *testing.T, s *oauthtest.Server, p *relyingParty, _ string) {
			ok(t, s.Store.DisableUser(t.Context(), p.user.ID, s.Clock.Now(), theOperator))
		},
		"user deleted": func(t *testing.T, s *oauthtest.Server, p *relyingParty, _ string) {
			ok(t, s.Store.DeleteUser(t.Context(), p.user.ID, s.Clock.Now(), theOperator))
		},
		"client disabled": func(t *testing.T, s *oauthtest.Server, p *relyingParty, _ string) {
			ok(t, s.Store.DisableClient(t.Context(), p.ClientID, s.Clock.Now(), theOperator))
		},
		"revoke-all": func(t *testing.T, s *oauthtest.Server, _ *relyingParty, _ string) {
			ok(t, s.Store.RevokeAll(t.Context(), s.Clock.Now(), theOperator))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			p := newRelyingParty(t, s)
			token := p.accessToken(t)
			infoOf(t, p.userInfo(t, token))
			end(t, s, p, token)
			if answer := p.userInfo(t, token); answer.StatusCode != http.StatusUnauthorized || answer.Text("error") != "invalid_token" {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// OpenID Connect Core Section 5.3.2: a client can have UserInfo signed (conformance 61).
func TestOpenIDCore_5_3_2_SignedUserInfo(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range oauth.SigningAlgorithms {
		p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.UserInfoAlg = algorithm })
		answer := p.userInfo(t, p.accessToken(t, "scope", "openid email"))
		if answer.Header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%v %s", answer.Header, answer.Body)
		}
		token, err := p.provider.Verifier(&oidc.Config{ClientID: p.ClientID, SkipExpiryCheck: true}).Verify(t.Context(), string(answer.Body))
		ok(t, err)
		var claims map[string]any
		ok(t, token.Claims(&claims))
		if got, want := members(claims), []string{"aud", "email", "email_verified", "iss", "sub"}; !slices.Equal(got, want) || token.Subject != p.user.ID {
			t.Errorf("claims %v, want %v", claims, want)
		}
		if header := headerOf(t, string(answer.Body)); header["alg"] != algorithm {
			t.Errorf("header %v", header)
		}
	}
}

// registeredMembers are the names of metadata in the registry "OAuth Authorization Server
// Metadata" of IANA. Clients may stumble over others.
var registeredMembers = strings.Fields(`issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint
	scopes_supported response_types_supported response_modes_supported grant_types_supported token_endpoint_auth_methods_supported
	token_endpoint_auth_signing_alg_values_supported service_documentation ui_locales_supported op_policy_uri op_tos_uri
	revocation_endpoint revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported
	introspection_endpoint introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
	code_challenge_methods_supported signed_metadata device_authorization_endpoint tls_client_certificate_bound_access_tokens
	mtls_endpoint_aliases userinfo_endpoint acr_values_supported subject_types_supported id_token_signing_alg_values_supported
	id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported userinfo_signing_alg_values_supported
	userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported request_object_signing_alg_values_supported
	request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported display_values_supported
	claim_types_supported claims_supported claims_locales_supported claims_parameter_supported request_parameter_supported
	request_uri_parameter_supported require_request_uri_registration require_signed_request_object
	pushed_authorization_request_endpoint require_pushed_authorization_requests introspection_signing_alg_values_supported
	introspection_encryption_alg_values_supported introspection_encryption_enc_values_supported
	authorization_response_iss_parameter_supported check_session_iframe frontchannel_logout_supported
	backchannel_logout_session_supported end_session_endpoint backchannel_logout_supported frontchannel_logout_session_supported
	backchannel_token_delivery_modes_supported backchannel_authentication_endpoint
	backchannel_authentication_request_signing_alg_values_supported backchannel_user_code_parameter_supported
	authorization_details_types_supported dpop_signing_alg_values_supported authorization_signing_alg_values_supported
	authorization_encryption_alg_values_supported authorization_encryption_enc_values_supported prompt_values_supported`)
