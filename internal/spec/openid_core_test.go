package spec_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// aliceClaims has a value for every standard claim (conformance 6).
const aliceClaims = `{"name":"Alice 爱丽丝","given_name":"Alice","family_name":"Liddell","middle_name":"P","nickname":"al",
	"preferred_username":"alice","profile":"https://alice.example/","picture":"https://alice.example/me.png","website":"https://alice.example/blog",
	"gender":"female","birthdate":"1990-05-04","zoneinfo":"Asia/Shanghai","locale":"zh-CN","phone_number":"+86 10 1234","phone_number_verified":true,
	"address":{"locality":"Beijing","country":"CN"},"employee_number":"42"}`

// A relyingParty is an OpenID client that may do everything, its user alice with every
// standard claim, and a foreign library that knows the provider by its discovery
// document alone.
type relyingParty struct {
	*oauthtest.App
	user     *store.User
	provider *oidc.Provider
}

var everyScope = []string{"openid", "profile", "email", "address", "phone"}

func newRelyingParty(t *testing.T, s *oauthtest.Server, edits ...func(*oauth.ClientMetadata)) *relyingParty {
	t.Helper()
	app := s.App(t, append([]func(*oauth.ClientMetadata){func(m *oauth.ClientMetadata) {
		m.Scope = "read openid profile email address phone offline_access"
		m.ResponseTypes = oauth.ResponseTypes
		m.PostLogoutRedirectURIs = []string{"https://app.example/bye", "https://app.example/bye?from=hufu"}
	}}, edits...)...)
	user, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if user.Email == "" {
		with := *user
		with.Email, with.EmailVerified, with.Claims = "alice@example.com", true, json.RawMessage(aliceClaims)
		if err := s.Store.UpdateUser(t.Context(), user, &with, s.Clock.Now(), theOperator); err != nil {
			t.Fatal(err)
		}
	}
	if user, err = s.Store.UserByName(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	provider, err := oidc.NewProvider(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	app.Scopes = everyScope
	return &relyingParty{app, user, provider}
}

// verify checks an ID token as a client does that knows the keys, and returns its
// claims.
func (p *relyingParty) verify(t *testing.T, raw string) (*oidc.IDToken, map[string]any) {
	t.Helper()
	if raw == "" {
		t.Fatal("no ID token")
	}
	token, err := p.provider.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.Server.Clock.Now}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return token, claims
}

// ask walks through an authorization request and returns the parameters of the answer
// with the part of the address they came in.
func (p *relyingParty) ask(t *testing.T, pairs ...string) (url.Values, string) {
	t.Helper()
	return answerOf(t, p.Browser.Walk(t, p.address(pairs...), "alice"))
}

// address is that of an authorization request. An empty value leaves a parameter out.
func (p *relyingParty) address(pairs ...string) string {
	query := url.Values{"client_id": {p.ClientID}, "redirect_uri": {p.RedirectURL}, "response_type": {"code"}, "scope": {strings.Join(p.Scopes, " ")}, "state": {"state-1"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if query.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			query.Del(pairs[i])
		}
	}
	return "/authorize?" + query.Encode()
}

// answerOf reads the parameters of an authorization answer, and where they were.
func answerOf(t *testing.T, location *url.URL) (url.Values, string) {
	t.Helper()
	if location.Fragment == "" {
		return location.Query(), "query"
	}
	values, err := url.ParseQuery(location.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	return values, "fragment"
}

// tokens exchanges a code of an answer.
func (p *relyingParty) tokens(t *testing.T, code string) *oauthtest.Answer {
	t.Helper()
	answer := p.Server.Post(t, "/token", p.Credentials("grant_type", "authorization_code", "code", code, "redirect_uri", p.RedirectURL))
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("token endpoint: %d %s", answer.StatusCode, answer.Body)
	}
	return answer
}

// userInfo asks UserInfo with a token in the header.
func (p *relyingParty) userInfo(t *testing.T, token string) *oauthtest.Answer {
	t.Helper()
	r := p.Server.Request(t, http.MethodGet, "/userinfo", "")
	r.Header.Set("Authorization", "Bearer "+token)
	return p.Server.Do(t, r)
}

// leftHalf is the hash that binds an ID token to what goes out beside it.
func leftHalf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func members(claims map[string]any) []string {
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// OpenID Connect Core Sections 2 and 3.1: the code flow, driven by a library that has
// read the discovery document and nothing else, at both addresses and with every
// algorithm (JW-13, conformance 2, 26, 28, 51, 55, 56, 58, 59, 61).
func TestOpenIDCore_3_1_CodeFlow(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range append([]string{""}, oauth.SigningAlgorithms...) {
		p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.IDTokenAlg = algorithm })
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			p := &relyingParty{p.At(at), p.user, p.provider}
			before := s.Clock.Now().Unix()
			nonce := "nonce of 64 characters " + strings.Repeat("n", 41)
			location := p.Browser.Walk(t, p.AuthCodeURL("state-1", oidc.Nonce(nonce)), "alice")
			if got := location.Query().Get("iss"); got != s.URL {
				t.Errorf("iss %q", got)
			}
			tokens, err := p.Exchange(t.Context(), location.Query().Get("code"))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := tokens.Extra("id_token").(string)
			token, claims := p.verify(t, raw)
			if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
				t.Error(err)
			}
			if token.Subject != p.user.ID || token.Nonce != nonce || token.Issuer != s.URL {
				t.Errorf("sub %q, nonce %q, iss %q", token.Subject, token.Nonce, token.Issuer)
			}
			want := []string{"acr", "amr", "at_hash", "aud", "auth_time", "azp", "exp", "iat", "iss", "nonce", "sid", "sub"}
			if got := members(claims); !slices.Equal(got, want) {
				t.Errorf("claims %v, want %v", got, want)
			}
			if at, _ := claims["auth_time"].(float64); int64(at) < before-60 || int64(at) > s.Clock.Now().Unix() || claims["azp"] != p.ClientID || claims["acr"] == "" {
				t.Errorf("claims %v", claims)
			}
			header := headerOf(t, raw)
			if want := firstOf(algorithm, "RS256"); header["alg"] != want || header["kid"] == "" || header["typ"] != "JWT" {
				t.Errorf("header %v, want alg %s", header, want)
			}
			info, err := p.provider.UserInfo(t.Context(), p.TokenSource(t.Context(), tokens))
			if err != nil {
				t.Fatal(err)
			}
			if info.Subject != token.Subject || info.Email != "alice@example.com" || !info.EmailVerified {
				t.Errorf("UserInfo %+v", info)
			}
			if tokens.RefreshToken != "" {
				t.Error("a refresh token without offline_access (conformance 52)")
			}
		})
	}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// headerOf is the header of a compact JWS.
func headerOf(t *testing.T, token string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// OpenID Connect Core Section 3.1.2.1: an OpenID request is one whose scope says
// openid. Without, no ID token comes, whatever else was sent (conformance 93).
func TestOpenIDCore_3_1_2_1_OpenIDIsAScope(t *testing.T) {
	t.Parallel()
	p := newRelyingParty(t, oauthtest.Start(t))
	answer, _ := p.ask(t, "scope", "read", "nonce", "n", "claims", "not even JSON")
	tokens := p.tokens(t, answer.Get("code"))
	if tokens.JSON("id_token") != nil {
		t.Error("an ID token for a request without openid")
	}
	if info := p.userInfo(t, tokens.Text("access_token")); info.StatusCode != http.StatusForbidden {
		t.Errorf("UserInfo without openid: %d", info.StatusCode)
	}
	wantRefused(t, p.App, p.Server.Get(t, p.address("response_type", "id_token", "scope", "read", "nonce", "n")), "invalid_request")
}

// OpenID Connect Core Sections 3.2 and 3.3, OAuth 2.0 Multiple Response Types Section 3
// and 5: every response type gives what its words say, in the fragment unless it is a
// code alone; the ID token is bound to what goes out beside it, and both ID tokens of a
// hybrid flow tell of the same user (conformance 19, 24, 56, 57).
func TestOpenIDCore_3_3_ResponseTypes(t *testing.T) {
	t.Parallel()
	p := newRelyingParty(t, oauthtest.Start(t))
	for _, responseType := range []string{"code", "id_token", "token id_token", "id_token code", "token code", "token id_token code"} {
		t.Run(responseType, func(t *testing.T) {
			words := strings.Fields(responseType)
			for _, mode := range []string{"", "fragment", "form_post"} {
				p.Browser = p.Server.Browser(t)
				var answer url.Values
				var place string
				if mode == "form_post" {
					p.Browser.Open(t, p.address("response_type", responseType, "nonce", "n-1", "response_mode", mode))
					p.Browser.SignIn(t, "alice")
					if p.Browser.On("consent-form") {
						p.Browser.Approve(t)
					}
					_, answer = p.Browser.Form(t, "form-post")
				} else {
					answer, place = p.ask(t, "response_type", responseType, "nonce", "n-1", "response_mode", mode)
				}
				if want := map[bool]string{true: "query", false: "fragment"}[responseType == "code" && mode == ""]; mode != "form_post" && place != want {
					t.Errorf("the answer came in the %s, want the %s", place, want)
				}
				for name, word := range map[string]string{"code": "code", "access_token": "token", "id_token": "id_token", "token_type": "token", "expires_in": "token"} {
					if answer.Has(name) != slices.Contains(words, word) {
						t.Errorf("%s: %t in %v", name, answer.Has(name), answer)
					}
				}
				if answer.Get("state") != "state-1" || answer.Get("iss") != p.Server.URL || answer.Has("refresh_token") {
					t.Errorf("answer %v", answer)
				}
				p.checkAnswer(t, answer)
			}
		})
	}
}

// checkAnswer looks at what an authorization answer brought, and at what the token
// endpoint gives for its code.
func (p *relyingParty) checkAnswer(t *testing.T, answer url.Values) {
	t.Helper()
	var front map[string]any
	if answer.Has("id_token") {
		_, front = p.verify(t, answer.Get("id_token"))
		for claim, beside := range map[string]string{"at_hash": answer.Get("access_token"), "c_hash": answer.Get("code")} {
			want := any(nil)
			if beside != "" {
				want = leftHalf(beside)
			}
			if front[claim] != want {
				t.Errorf("%s is %v, want %v", claim, front[claim], want)
			}
		}
		if front["nonce"] != "n-1" || front["sub"] != p.user.ID {
			t.Errorf("claims %v", front)
		}
		if alone := !answer.Has("access_token") && !answer.Has("code"); (front["email"] != nil) != alone {
			t.Errorf("the claims of the scope: email %v, alone %t", front["email"], alone)
		}
	}
	live := func() {
		t.Helper()
		if token := answer.Get("access_token"); token != "" && (!p.Active(t, token) || p.userInfo(t, token).StatusCode != http.StatusOK) {
			t.Error("the access token is not in force")
		}
	}
	live() // also before the code is redeemed
	if !answer.Has("code") {
		return
	}
	tokens := p.tokens(t, answer.Get("code"))
	_, back := p.verify(t, tokens.Text("id_token"))
	if back["nonce"] != "n-1" || front != nil && (front["sub"] != back["sub"] || front["iss"] != back["iss"] || front["sid"] != back["sid"] || front["auth_time"] != back["auth_time"]) {
		t.Errorf("front %v, back %v", front, back)
	}
	live()
	// A replay ends everything, also what went out beside the code (CO-06, conformance 48).
	again := p.Server.Post(t, "/token", p.Credentials("grant_type", "authorization_code", "code", answer.Get("code"), "redirect_uri", p.RedirectURL))
	if again.StatusCode != http.StatusBadRequest || again.Text("error") != "invalid_grant" {
		t.Errorf("a second use: %d %s", again.StatusCode, again.Body)
	}
	for _, token := range []string{answer.Get("access_token"), tokens.Text("access_token")} {
		if token != "" && p.userInfo(t, token).StatusCode != http.StatusUnauthorized {
			t.Error("UserInfo takes a token of a code that was used twice")
		}
	}
}

// OpenID Connect Core Sections 3.2.2.1 and 3.3.2.11: an ID token that comes through the
// browser needs a nonce, and the refusal comes where the answer would have come; a
// code alone needs none. query is never the place for a token (conformance 23, 24, 27).
func TestOpenIDCore_3_2_2_1_Nonce(t *testing.T) {
	t.Parallel()
	p := newRelyingParty(t, oauthtest.Start(t))
	for _, responseType := range oauth.ResponseTypes {
		needs := oauth.Gives(responseType, "id_token")
		r := p.Server.Get(t, p.address("response_type", responseType))
		location, err := url.Parse(r.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if !needs {
			if strings.HasPrefix(location.String(), oauthtest.Callback) {
				t.Errorf("%s without a nonce: %s", responseType, location)
			}
			continue
		}
		answer, place := answerOf(t, location)
		if answer.Get("error") != "invalid_request" || place != "fragment" || answer.Get("state") != "state-1" || answer.Has("code") || answer.Has("id_token") {
			t.Errorf("%s without a nonce: %v in the %s", responseType, answer, place)
		}
		wantRefused(t, p.App, p.Server.Get(t, p.address("response_type", responseType, "nonce", "n", "response_mode", "query")), "invalid_request")
	}
	wantRefused(t, p.App, p.Server.Get(t, p.address("response_type", "")), "invalid_request")
	for _, unknown := range []string{"none", "code code", "id_token id_token", "code id_token token device"} {
		wantRefused(t, p.App, p.Server.Get(t, p.address("response_type", unknown, "nonce", "n")), "unsupported_response_type")
	}
}

// OpenID Connect Core Section 12.2: a refresh gives an ID token of the same sign-in
// with a new time and without the nonce; a narrowed scope without openid gives none
// (conformance 52, 53).
func TestOpenIDCore_12_2_Refresh(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		t.Parallel()
		p := newRelyingParty(t, oauthtest.Start(t))
		answer, _ := p.ask(t, "scope", "openid email offline_access read", "nonce", "n-1", "prompt", "consent")
		first := p.tokens(t, answer.Get("code"))
		_, before := p.verify(t, first.Text("id_token"))
		p.Server.Clock.Advance(3 * time.Second)
		second := p.Refresh(t, at, first.Text("refresh_token"))
		token, after := p.verify(t, second.Text("id_token"))
		for _, claim := range []string{"iss", "sub", "aud", "auth_time", "azp", "acr", "sid"} {
			if before[claim] != after[claim] {
				t.Errorf("%s was %v and is %v", claim, before[claim], after[claim])
			}
		}
		if after["iat"].(float64) < before["iat"].(float64)+3 || after["nonce"] != nil {
			t.Errorf("iat %v then %v, nonce %v", before["iat"], after["iat"], after["nonce"])
		}
		if err := token.VerifyAccessToken(second.Text("access_token")); err != nil {
			t.Error(err)
		}
		if narrowed := p.Refresh(t, at, second.Text("refresh_token"), "scope", "read"); narrowed.JSON("id_token") != nil || narrowed.StatusCode != http.StatusOK {
			t.Errorf("narrowed to read: %d %s", narrowed.StatusCode, narrowed.Body)
		}
	})
}
