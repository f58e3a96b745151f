package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

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
