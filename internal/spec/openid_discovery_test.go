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
	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// OpenID Connect Discovery Section 3: behind a proxy that speaks https every address the
// server hands out is https below the one issuer, and clients that know nothing else
// register, sign a user in, refresh and ask (conformance 1, 2, 26, 64).
func TestOpenIDDiscovery_3_HTTPS(t *testing.T) {
	t.Parallel()
	s, _ := overTLS(t, openRegistration)
	s.User(t, "alice")
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: s.Via})
	provider, err := oidc.NewProvider(ctx, s.URL)
	ok(t, err)
	var document map[string]any
	ok(t, provider.Claims(&document))
	if document["issuer"] != s.URL || !strings.HasPrefix(s.URL, "https://") {
		t.Errorf("issuer %v, want %s", document["issuer"], s.URL)
	}
	for name, value := range document {
		if address, _ := value.(string); (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" || name == "check_session_iframe") && !strings.HasPrefix(address, s.URL+"/") {
			t.Errorf("%s is %v", name, value)
		}
	}
	registration := register(t, s, `{"redirect_uris":["`+oauthtest.Callback+`"],"grant_types":["authorization_code","refresh_token"]}`)
	if own := registration.Text("registration_client_uri"); !strings.HasPrefix(own, s.URL+"/register/") {
		t.Errorf("registration_client_uri %s", own)
	}
	c := oauth2.Config{
		ClientID: registration.Text("client_id"), ClientSecret: registration.Text("client_secret"), Endpoint: provider.Endpoint(),
		RedirectURL: oauthtest.Callback, Scopes: []string{"openid", "offline_access"},
	}
	verifier := oauth2.GenerateVerifier()
	location := s.Browser(t).Walk(t, c.AuthCodeURL("state-1", oidc.Nonce("n"), oauth2.S256ChallengeOption(verifier)), "alice")
	if q := location.Query(); q.Get("iss") != s.URL || q.Get("state") != "state-1" {
		t.Errorf("led to %s", location)
	}
	tokens, err := c.Exchange(ctx, location.Query().Get("code"), oauth2.VerifierOption(verifier))
	ok(t, err)
	renewed, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
	ok(t, err)
	for name, got := range map[string]*oauth2.Token{"code": tokens, "refresh": renewed} {
		raw, _ := got.Extra("id_token").(string)
		token, err := provider.Verifier(&oidc.Config{ClientID: c.ClientID}).Verify(ctx, raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(got))
		if err != nil || info.Subject != token.Subject || token.Issuer != s.URL {
			t.Errorf("%s: UserInfo %v, %v; iss %s", name, info, err, token.Issuer)
		}
	}
}

// OpenID Connect Discovery Section 3 and 4: the document says what is true, in the types
// of the registry, at both addresses and below the path of the issuer (DI-11,
// conformance 8, 9, 10, 11, 12, 13, 14, 15, 16, 17).
func TestOpenIDDiscovery_3_Configuration(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.Issuer += "/tenant" })
	p := newRelyingParty(t, s)
	s.Clock.Advance(2 * time.Second)
	answer := s.Get(t, "/.well-known/openid-configuration")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	if oauthForm := s.Get(t, s.Origin+"/.well-known/oauth-authorization-server/tenant"); string(oauthForm.Body) != string(answer.Body) {
		t.Error("the two forms of the document differ")
	}
	var document map[string]any
	ok(t, json.Unmarshal(answer.Body, &document))
	for name, value := range document {
		if !slices.Contains(registeredMembers, name) {
			t.Errorf("%s is in no registry", name)
		}
		switch {
		case strings.HasSuffix(name, "_endpoint"), name == "jwks_uri", name == "check_session_iframe":
			address, _ := value.(string)
			if u, err := url.Parse(address); err != nil || !strings.HasPrefix(address, s.URL+"/") || s.Get(t, address).StatusCode == http.StatusNotFound {
				t.Errorf("%s: %v (%v)", name, value, u)
			}
		case strings.HasSuffix(name, "_supported") && !strings.Contains(name, "channel_logout_") && !slices.Contains([]string{"claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported", "authorization_response_iss_parameter_supported"}, name):
			if list, isList := value.([]any); !isList || len(list) == 0 {
				t.Errorf("%s is no list: %v", name, value)
			}
		case strings.HasSuffix(name, "_supported"):
			if _, isBool := value.(bool); !isBool {
				t.Errorf("%s: %v", name, value)
			}
		}
	}
	for name, want := range map[string][]any{
		"id_token_signing_alg_values_supported": {"RS256", "ES256", "PS256", "EdDSA"},
		"userinfo_signing_alg_values_supported": {"RS256", "ES256", "PS256", "EdDSA"},
		"subject_types_supported":               {"public", "pairwise"},
		"response_types_supported":              {"code", "token", "id_token", "id_token token", "code id_token", "code token", "code id_token token"},
		"scopes_supported":                      {"openid", "offline_access", "profile", "email", "address", "phone"},
		"acr_values_supported":                  {"urn:hufu:acr:password", "urn:hufu:acr:mfa"},
		"display_values_supported":              {"page", "popup", "touch", "wap"},
	} {
		if diff := cmp.Diff(any(want), document[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, value := range []string{"PS384", "none", "HS256"} {
		if _, _, err := s.Clients.Register(t.Context(), "", oauth.ClientMetadata{RedirectURIs: []string{oauthtest.Callback}, IDTokenAlg: value}, "", theOperator); err == nil {
			t.Errorf("%s is not listed and was taken", value)
		}
	}
	if info := infoOf(t, p.userInfo(t, p.accessToken(t))); info["sub"] != p.user.ID {
		t.Errorf("below a path: %v", info)
	}
}

// OpenID Connect Discovery Section 3, Core Section 15.2: what clients may register
// themselves for is listed although none does yet (conformance 10).
func TestOpenIDDiscovery_3_WhatCanBeRegistered(t *testing.T) {
	t.Parallel()
	m := discover(t, oauthtest.Start(t, openRegistration))
	if !slices.Equal(m.ResponseTypes, oauth.ResponseTypes) || !slices.Contains(m.GrantTypes, "implicit") || slices.Contains(m.GrantTypes, "password") {
		t.Errorf("%v, %v", m.ResponseTypes, m.GrantTypes)
	}
	m = discover(t, oauthtest.Start(t, func(c *config.Config) { c.Registration = config.RegistrationOpen }))
	if !slices.Equal(m.ResponseTypes, []string{"code"}) || slices.Contains(m.GrantTypes, "implicit") {
		t.Errorf("without implicit: %v, %v", m.ResponseTypes, m.GrantTypes)
	}
	m = discover(t, oauthtest.Start(t, func(c *config.Config) {
		c.Registration, c.RegistrationGrants = config.RegistrationOpen, []string{oauth.GrantImplicit}
	}))
	if !slices.Equal(m.ResponseTypes, []string{"code", "token", "id_token", "id_token token"}) {
		t.Errorf("implicit alone: %v", m.ResponseTypes)
	}
}

// OpenID Connect Discovery Section 3: response types are listed that some client is
// registered for, and only while it is (DI-11, conformance 10).
func TestOpenIDDiscovery_3_ResponseTypesInUse(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	wantTypes := func(want ...string) {
		t.Helper()
		s.Clock.Advance(2 * time.Second)
		if m := discover(t, s); !slices.Equal(m.ResponseTypes, want) || slices.Contains(m.GrantTypes, "implicit") != (len(want) > 1) {
			t.Errorf("%q, %q, want %q", m.ResponseTypes, m.GrantTypes, want)
		}
	}
	wantTypes("code")
	hybrid := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{"token id_token code", "code"} })
	wantTypes("code", "code id_token token")
	newRelyingParty(t, s, func(m *oauth.ClientMetadata) {
		m.GrantTypes, m.ResponseTypes = []string{oauth.GrantImplicit}, []string{"id_token"}
	})
	wantTypes("code", "id_token", "code id_token token")
	ok(t, s.Store.DisableClient(t.Context(), hybrid.ClientID, s.Clock.Now(), theOperator))
	wantTypes("code", "id_token")
}
