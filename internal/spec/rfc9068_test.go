package spec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// keySet reads /jwks as a resource server does.
func keySet(t *testing.T, s *oauthtest.Server) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	answer := s.Get(t, "/jwks")
	if err := json.Unmarshal(answer.Body, &set); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("jwks: %d, %v", answer.StatusCode, err)
	}
	return set
}

// verified checks a token against a key set as RFC 9068 Section 4 has a resource
// server do, and returns its header and claims.
func verified(set jose.JSONWebKeySet, token string) (jose.Header, map[string]any, error) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return jose.Header{}, nil, err
	}
	header := jws.Signatures[0].Protected
	keys := set.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != header.Algorithm {
		return header, nil, fmt.Errorf("%d keys for kid %s and alg %s", len(keys), header.KeyID, header.Algorithm)
	}
	payload, err := jws.Verify(keys[0].Key)
	if err != nil {
		return header, nil, err
	}
	var claims map[string]any
	return header, claims, json.Unmarshal(payload, &claims)
}

// accessTokens gets an access token by every grant, by grant type.
func accessTokens(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, pairs ...string) map[string]string {
	t.Helper()
	ask := func(path string, own ...string) *oauthtest.Answer {
		answer := app.Server.Post(t, path, app.Credentials(append(own, pairs...)...))
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, answer.Body)
		}
		return answer
	}
	location := app.Browser.Walk(t, authorizationURL(app, at.Code, pairs...), "alice")
	code := ask(at.AuthorizationCode, "grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", location.Query().Get("code"))
	app.Browser.Walk(t, authorizationURL(app, at.Implicit, append(pairs, "response_type", "token")...), "alice")
	return map[string]string{
		"authorization_code": code.Text("access_token"),
		"implicit":           responseOf(t, app, app.Browser.Page).Get("access_token"),
		"refresh_token":      ask(at.Refresh, "grant_type", "refresh_token", "refresh_token", code.Text("refresh_token")).Text("access_token"),
		"password":           ask(at.Password, "grant_type", "password", "username", "alice", "password", oauthtest.Password, "scope", "read").Text("access_token"),
		"client_credentials": ask(at.ClientCredentials, "grant_type", "client_credentials", "scope", "read").Text("access_token"),
	}
}

// RFC 9068 Sections 2.1, 2.2 and 4: the access token of every grant is a JWT that
// a resource server checks with the published keys and no question asked.
func TestRFC9068_2_HeaderAndClaims(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, tt := range map[string]struct {
		edit func(m *oauth.ClientMetadata)
		alg  string
	}{
		"ES256 by default": {func(*oauth.ClientMetadata) {}, "ES256"},
		"RS256 registered": {func(m *oauth.ClientMetadata) { m.AccessTokenAlg = "RS256" }, "RS256"},
		"ES256 registered": {func(m *oauth.ClientMetadata) { m.AccessTokenAlg, m.TokenFormat = "ES256", "jwt" }, "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			app := s.App(t, tt.edit)
			alice, seen := theUser(t, s, "alice").ID, map[string]bool{}
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				for grant, token := range accessTokens(t, app, at) {
					header, claims, err := verified(keySet(t, s), token)
					if err != nil {
						t.Fatalf("%s: %v", grant, err)
					}
					if header.Algorithm != tt.alg || header.ExtraHeaders[jose.HeaderType] != "at+jwt" {
						t.Errorf("%s: alg %s, typ %v", grant, header.Algorithm, header.ExtraHeaders[jose.HeaderType])
					}
					subject := alice
					if grant == "client_credentials" {
						subject = app.ClientID
					}
					for claim, want := range map[string]any{"iss": s.URL, "aud": s.URL, "sub": subject, "client_id": app.ClientID, "scope": "read"} {
						if claims[claim] != want {
							t.Errorf("%s: %s = %v, want %v", grant, claim, claims[claim], want)
						}
					}
					now, iat, exp := float64(s.Clock.Now().Unix()), claims["iat"].(float64), claims["exp"].(float64)
					if iat > now || iat < now-60 || exp != iat+600 {
						t.Errorf("%s: iat %v, exp %v at %v", grant, iat, exp, now)
					}
					jti, _ := claims["jti"].(string)
					if len(jti) < 20 || seen[jti] {
						t.Errorf("%s: jti %q", grant, jti)
					}
					seen[jti] = true
					// Section 2.2.1: when and how the user signed in, for a user's token only.
					personal := []string{"auth_time", "acr", "amr"}
					for _, claim := range personal {
						if _, has := claims[claim]; has != (grant != "client_credentials") {
							t.Errorf("%s: %s = %v", grant, claim, claims[claim])
						}
					}
					for _, never := range []string{"nonce", "email", "name", "username", "preferred_username", "client_secret"} {
						if _, has := claims[never]; has {
							t.Errorf("%s: the token tells %s", grant, never)
						}
					}
				}
			})
		})
	}
	m := oauthtest.EveryGrant()
	for _, alg := range []string{"none", "HS256", "ES512", "PS256", "es256", "EdDSA"} {
		m.AccessTokenAlg = alg
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("registering for %s: %v", alg, err)
		}
	}
}

// RFC 9068 Section 3 and RFC 8707 Section 2: aud is the resource that was asked
// for, else the client's default, else the issuer.
func TestRFC9068_3_Audience(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	resources := func(m *oauth.ClientMetadata) { m.Resources = []string{"https://api.example/", "urn:example:notes"} }
	for name, tt := range map[string]struct {
		app      *oauthtest.App
		resource string
		want     any
	}{
		"issuer":   {s.App(t, resources), "", s.URL},
		"default":  {s.App(t, func(m *oauth.ClientMetadata) { m.DefaultAudience = "https://notes.example" }), "", "https://notes.example"},
		"resource": {s.App(t, resources), "https://api.example/", "https://api.example/"},
		"urn":      {s.App(t, resources), "urn:example:notes", "urn:example:notes"},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				var pairs []string
				if tt.resource != "" {
					pairs = []string{"resource", tt.resource}
				}
				for grant, token := range accessTokens(t, tt.app, at, pairs...) {
					_, claims, err := verified(keySet(t, s), token)
					if err != nil || claims["aud"] != tt.want {
						t.Errorf("%s: aud = %v, want %v (%v)", grant, claims["aud"], tt.want, err)
					}
				}
			})
		})
	}
	app := s.App(t, resources)
	location := app.Browser.Walk(t, authorizationURL(app, "/authorize", "resource", "https://api.example/")+"&resource=urn:example:notes", "alice")
	answer := s.Post(t, "/token", app.Credentials("grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", location.Query().Get("code")))
	_, claims, err := verified(keySet(t, s), answer.Text("access_token"))
	if diff := cmp.Diff([]any{"https://api.example/", "urn:example:notes"}, claims["aud"]); diff != "" || err != nil {
		t.Errorf("two resources (-want +got): %v\n%s", err, diff)
	}
}

// RFC 7517 Section 5: the key set holds public members alone, one entry for each kid,
// and no key too weak or symmetric (JW-14, conformance 16).
func TestRFC7517_5_KeySet(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	answer := s.Get(t, "/jwks")
	if h := answer.Header; h.Get("Content-Type") != "application/json" && h.Get("Content-Type") != "application/jwk-set+json" || h.Get("Cache-Control") != "public, max-age=900" {
		t.Errorf("headers = %v", h)
	}
	var raw struct{ Keys []map[string]any }
	if err := json.Unmarshal(answer.Body, &raw); err != nil {
		t.Fatal(err)
	}
	public := map[string][]string{"EC": {"alg", "crv", "kid", "kty", "use", "x", "y"}, "RSA": {"alg", "e", "kid", "kty", "n", "use"}}
	for _, key := range raw.Keys {
		kind, _ := key["kty"].(string)
		if diff := cmp.Diff(public[kind], slices.Sorted(maps.Keys(key))); diff != "" || key["use"] != "sig" {
			t.Errorf("members of the %s key (-want +got):\n%s", kind, diff)
		}
	}
	seen, algorithms := map[string]bool{}, map[string]bool{}
	for _, key := range keySet(t, s).Keys {
		thumbprint, err := key.Thumbprint(crypto.SHA256)
		if err != nil || key.KeyID != base64.RawURLEncoding.EncodeToString(thumbprint) || seen[key.KeyID] || !key.IsPublic() || !key.Valid() {
			t.Errorf("key %s: %v", key.KeyID, err)
		}
		seen[key.KeyID], algorithms[key.Algorithm] = true, true
		switch k := key.Key.(type) {
		case *rsa.PublicKey:
			if k.N.BitLen() < 2048 || k.E != 65537 {
				t.Errorf("an RSA key of %d bits with exponent %d", k.N.BitLen(), k.E)
			}
		case *ecdsa.PublicKey:
			if k.Curve != elliptic.P256() {
				t.Errorf("a key on %s", k.Curve.Params().Name)
			}
		default:
			t.Errorf("a %T", k)
		}
	}
	if !algorithms["ES256"] || !algorithms["RS256"] || len(algorithms) != 2 {
		t.Errorf("algorithms = %v", algorithms)
	}
}
