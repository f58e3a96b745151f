package spec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A keyClient is a client that proves itself by a key of its own, signed with by a
// foreign library.
type keyClient struct {
	s         *oauthtest.Server
	id        string
	key       josev4.JSONWebKey
	algorithm string
}

// newKey makes a key for an algorithm.
func newKey(t *testing.T, algorithm, id string) josev4.JSONWebKey {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case "RS256", "PS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	ok(t, err)
	return josev4.JSONWebKey{Key: key, KeyID: id, Use: "sig"}
}

// publicSet is the key set of the public halves of keys.
func publicSet(t *testing.T, keys ...josev4.JSONWebKey) json.RawMessage {
	t.Helper()
	var set josev4.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, key.Public())
	}
	text, err := json.Marshal(set)
	ok(t, err)
	return text
}

func newKeyClient(t *testing.T, s *oauthtest.Server, algorithm string, edits ...func(*oauth.ClientMetadata)) *keyClient {
	t.Helper()
	c := &keyClient{s: s, key: newKey(t, algorithm, "key-1"), algorithm: algorithm}
	m := oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodPrivateKey, JWKS: publicSet(t, c.key)}
	for _, edit := range edits {
		edit(&m)
	}
	var secret string
	if c.id, secret = s.Register(t, "", m); secret != "" {
		t.Error("a client with keys was given a secret")
	}
	return c
}

// claims are those of a good assertion.
func (c *keyClient) claims() map[string]any {
	now := c.s.Clock.Now()
	return map[string]any{"iss": c.id, "sub": c.id, "aud": c.s.URL, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "jti": rand.Text()}
}

// sign makes an assertion; the header's members and the claims may be any.
func (c *keyClient) sign(t *testing.T, key josev4.JSONWebKey, algorithm string, header map[josev4.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	signer, err := josev4.NewSigner(josev4.SigningKey{Algorithm: josev4.SignatureAlgorithm(algorithm), Key: key}, &josev4.SignerOptions{ExtraHeaders: header})
	ok(t, err)
	payload, err := json.Marshal(claims)
	ok(t, err)
	jws, err := signer.Sign(payload)
	ok(t, err)
	text, err := jws.CompactSerialize()
	ok(t, err)
	return text
}

// assertion is a good one, with some claims changed; nil takes one away.
func (c *keyClient) assertion(t *testing.T, changes map[string]any) string {
	t.Helper()
	claims := c.claims()
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return c.sign(t, c.key, c.algorithm, nil, claims)
}

// ask asks for a token with an assertion.
func (c *keyClient) ask(t *testing.T, path, assertion string, pairs ...string) *oauthtest.Answer {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion}, "client_assertion_type": {oauth.AssertionTypeJWT}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.s.Post(t, path, form)
}

func wantInvalidClient(t *testing.T, what string, answer *oauthtest.Answer) {
	t.Helper()
	if answer.StatusCode != http.StatusUnauthorized || answer.Text("error") != "invalid_client" || answer.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: %d %s", what, answer.StatusCode, answer.Body)
	}
}

// RFC 7523 Section 3, OpenID Connect Core Section 9: a client proves itself by an
// assertion that it has signed, with any of its algorithms and at every endpoint where
// clients do so, under both tables of addresses (conformance 15, 46).
func TestRFC7523_3_PrivateKeyJWT(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		c := newKeyClient(t, s, algorithm)
		for _, at := range oauthtest.AllAddresses {
			for _, audience := range []any{s.URL, s.URL + "/token", s.URL + at.ClientCredentials, []string{"https://other.example", s.URL}} {
				answer := c.ask(t, at.ClientCredentials, c.assertion(t, map[string]any{"aud": audience}))
				if answer.StatusCode != http.StatusOK {
					t.Fatalf("%s for %v at %s: %d %s", algorithm, audience, at.ClientCredentials, answer.StatusCode, answer.Body)
				}
			}
		}
		token := c.ask(t, "/token", c.assertion(t, nil), "client_id", c.id).Text("access_token")
		for _, path := range []string{"/introspect", "/revoke", "/introspect"} {
			answer := c.ask(t, path, c.assertion(t, map[string]any{"aud": s.URL + path}), "token", token)
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Body)
			}
		}
	}
	m := s.Get(t, "/.well-known/openid-configuration")
	if methods, _ := m.JSON("token_endpoint_auth_methods_supported").([]any); len(methods) != 5 || methods[3] != "private_key_jwt" {
		t.Errorf("methods %v", methods)
	}
}

// RFC 7523 Section 3: whatever is wrong with an assertion, it is invalid_client and
// nothing else, and it costs the client nothing (CA-03, CA-04, CA-05, JW-01, JW-02,
// JW-03, JW-04, JW-06, conformance 46).
func TestRFC7523_3_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	c, other := newKeyClient(t, s, "ES256"), newKeyClient(t, s, "ES256")
	now := s.Clock.Now()
	used := c.assertion(t, nil)
	if answer := c.ask(t, "/token", used); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, answer.Body)
	}
	good := c.assertion(t, nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	public, err := x509.MarshalPKIXPublicKey(c.key.Public().Key)
	ok(t, err)
	foreign := newKey(t, "ES256", "key-1")
	for name, assertion := range map[string]string{
		"used before":        used,
		"other client's key": c.sign(t, other.key, "ES256", nil, c.claims()),
		"other kid":          c.sign(t, josev4.JSONWebKey{Key: c.key.Key, KeyID: "../../key"}, "ES256", nil, c.claims()),
		"key in the header":  c.sign(t, foreign, "ES256", map[josev4.HeaderKey]any{"jwk": foreign.Public()}, c.claims()),
		"jku in the header":  c.sign(t, foreign, "ES256", map[josev4.HeaderKey]any{"jku": "https://evil.example/jwks"}, c.claims()),
		"crit":               c.sign(t, c.key, "ES256", map[josev4.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}, c.claims()),
		"typ of a token":     c.sign(t, c.key, "ES256", map[josev4.HeaderKey]any{"typ": "at+jwt"}, c.claims()),
		"HMAC with the key":  c.sign(t, josev4.JSONWebKey{Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), KeyID: "key-1"}, "HS256", nil, c.claims()),
		"alg none":           "eyJhbGciOiJub25lIn0." + payload + ".",
		"no signature":       header + "." + payload + ".",
		"signature cut":      good[:len(good)-4],
		"signature changed":  header + "." + payload + "." + strings.Repeat("A", len(signature)),
		"garbage":            "garbage",
		"five parts":         good + ".e30.e30",
		"no JSON":            "e30.AAAA.AAAA",
		"iss is another":     c.assertion(t, map[string]any{"iss": other.id}),
		"sub is another":     c.assertion(t, map[string]any{"sub": other.id}),
		"both are another":   c.assertion(t, map[string]any{"iss": other.id, "sub": other.id}),
		"nobody":             c.assertion(t, map[string]any{"iss": "nobody", "sub": "nobody"}),
		"NUL in sub":         c.assertion(t, map[string]any{"iss": "\x00", "sub": "\x00"}),
		"an endless sub":     c.assertion(t, map[string]any{"iss": strings.Repeat("x", 5000), "sub": strings.Repeat("x", 5000)}),
		"no sub":             c.assertion(t, map[string]any{"sub": nil}),
		"no aud":             c.assertion(t, map[string]any{"aud": nil}),
		"other aud":          c.assertion(t, map[string]any{"aud": "https://other.example"}),
		"aud with a slash":   c.assertion(t, map[string]any{"aud": s.URL + "/"}),
		"aud is an object":   c.assertion(t, map[string]any{"aud": map[string]any{"a": s.URL}}),
		"no exp":             c.assertion(t, map[string]any{"exp": nil}),
		"exp is a text":      c.assertion(t, map[string]any{"exp": "soon"}),
		"expired":            c.assertion(t, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}),
		"far future":         c.assertion(t, map[string]any{"exp": now.Add(3 * time.Hour).Unix()}),
		"beyond all bounds":  c.assertion(t, map[string]any{"exp": 1e300}),
		"not yet":            c.assertion(t, map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}),
		"made in the future": c.assertion(t, map[string]any{"iat": now.Add(2 * time.Minute).Unix()}),
		"no jti":             c.assertion(t, map[string]any{"jti": nil}),
		"a jti of 300":       c.assertion(t, map[string]any{"jti": strings.Repeat("j", 300)}),
	} {
		wantInvalidClient(t, name, c.ask(t, "/token", assertion))
	}
	for name, pairs := range map[string][]string{
		"other type":      {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
		"other client_id": {"client_id", other.id},
	} {
		wantInvalidClient(t, name, c.ask(t, "/token", c.assertion(t, nil), pairs...))
	}
	for name, pairs := range map[string][]string{"a secret as well": {"client_secret", "0123456789abcdef"}, "no type": {"client_assertion_type", ""}, "no assertion": {"client_assertion", ""}} {
		if answer := c.ask(t, "/token", c.assertion(t, nil), pairs...); answer.StatusCode != http.StatusBadRequest || answer.Text("error") != "invalid_request" {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	wantInvalidClient(t, "id alone", s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}}))
	wantInvalidClient(t, "a secret instead", s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {"0123456789abcdef"}}))
	secretive := s.App(t)
	wantInvalidClient(t, "an assertion of a client with a secret", (&keyClient{s: s, id: secretive.ClientID, key: c.key, algorithm: "ES256"}).ask(t, "/token", (&keyClient{s: s, id: secretive.ClientID, key: c.key, algorithm: "ES256"}).assertion(t, nil)))
	for name, changes := range map[string]map[string]any{
		"8 s ahead": {"iat": now.Add(8 * time.Second).Unix(), "nbf": now.Add(8 * time.Second).Unix()}, "just expired": {"exp": s.Clock.Now().Add(-5 * time.Second).Unix()},
		"a fraction": {"exp": float64(now.Add(time.Minute).Unix()) + 0.5}, "more claims": {"x": map[string]any{"y": 1}},
	} {
		if answer := c.ask(t, "/token", c.assertion(t, changes)); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	pinned := newKeyClient(t, s, "PS256", func(m *oauth.ClientMetadata) { m.AuthSigningAlg = "PS256" })
	wantInvalidClient(t, "another algorithm than registered", pinned.ask(t, "/token", pinned.sign(t, pinned.key, "RS256", nil, pinned.claims())))
}

// An assertion is used up by one request, however many bring it at the same moment, and
// stays so after a restart (CA-04).
func TestRFC7523_3_SingleUse(t *testing.T) {
	t.Parallel()
	c := newKeyClient(t, oauthtest.Start(t), "ES256")
	for range 5 {
		assertion := c.assertion(t, nil)
		var taken atomic.Int64
		var askers sync.WaitGroup
		for range 16 {
			askers.Go(func() {
				if c.ask(t, "/token", assertion).StatusCode == http.StatusOK {
					taken.Add(1)
				}
			})
		}
		askers.Wait()
		if taken.Load() != 1 {
			t.Errorf("taken %d times", taken.Load())
		}
	}
}

// OpenID Connect Core Section 10.1.1: keys at jwks_uri are fetched when they are needed,
// and again, once a minute at most, for a key that is not among them; while the address
// does not answer, those that were there are used (SS-01, conformance 3, 47).
func TestOpenIDCore_10_1_1_JWKSURI(t *testing.T) {
	t.Parallel()
	var keys atomic.Value
	var fetched atomic.Int64
	var away atomic.Bool
	publisher := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		if away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(keys.Load().(json.RawMessage))
	}))
	t.Cleanup(publisher.Close)
	authority := authorityOf(t, publisher)
	s := oauthtest.Start(t, reaching(authority))
	c := newKeyClient(t, s, "ES256", func(m *oauth.ClientMetadata) { m.JWKS, m.JWKSURI = nil, publisher.URL+"/jwks" })
	second := newKey(t, "ES256", "key-2")
	keys.Store(publicSet(t, c.key))
	step := func(what string, key josev4.JSONWebKey, status int, fetches int64) {
		t.Helper()
		before := fetched.Load()
		answer := c.ask(t, "/token", c.sign(t, key, "ES256", nil, c.claims()))
		if answer.StatusCode != status || fetched.Load()-before != fetches {
			t.Errorf("%s: %d after %d fetches, want %d after %d: %s", what, answer.StatusCode, fetched.Load()-before, status, fetches, answer.Body)
		}
	}
	step("the first time", c.key, http.StatusOK, 1)
	step("again", c.key, http.StatusOK, 0)
	step("a key that is not there, at once", second, http.StatusUnauthorized, 0)
	keys.Store(publicSet(t, c.key, second))
	s.Clock.Advance(time.Minute + time.Second)
	step("a new key", second, http.StatusOK, 1)
	step("the old one", c.key, http.StatusOK, 0)
	away.Store(true)
	s.Clock.Advance(time.Hour + time.Second)
	step("away", second, http.StatusOK, 1)
	step("away, asked no more", second, http.StatusOK, 0)
	s.Clock.Advance(24 * time.Hour)
	step("away for a day", second, http.StatusUnauthorized, 1)
	away.Store(false)
	keys.Store(publicSet(t, second))
	s.Clock.Advance(time.Minute + time.Second)
	step("back", second, http.StatusOK, 1)
	step("a key that was taken away", c.key, http.StatusUnauthorized, 0)

	closed := oauthtest.Start(t, func(c *config.Config) { c.OutboundCAFile = authority })
	before := fetched.Load()
	c.s = closed
	c.id, _ = closed.Register(t, "", oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodPrivateKey, JWKSURI: publisher.URL + "/jwks"})
	wantInvalidClient(t, "loopback by default", c.ask(t, "/token", c.assertion(t, nil)))
	if fetched.Load() != before {
		t.Error("a loopback address was fetched from")
	}
}

// What a client can be registered with: public keys, one way to find them, and a use for
// them (conformance 7, 67).
func TestRegistration_Keys(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	private, err := json.Marshal(josev4.JSONWebKeySet{Keys: []josev4.JSONWebKey{newKey(t, "ES256", "a")}})
	ok(t, err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	ok(t, err)
	for name, edit := range map[string]func(m *oauth.ClientMetadata){
		"no keys":        func(m *oauth.ClientMetadata) { m.JWKS = nil },
		"both":           func(m *oauth.ClientMetadata) { m.JWKSURI = "https://app.example/jwks" },
		"http":           func(m *oauth.ClientMetadata) { m.JWKS, m.JWKSURI = nil, "http://app.example/jwks" },
		"private":        func(m *oauth.ClientMetadata) { m.JWKS = private },
		"secret":         func(m *oauth.ClientMetadata) { m.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`) },
		"weak":           func(m *oauth.ClientMetadata) { m.JWKS = publicSet(t, josev4.JSONWebKey{Key: weak, KeyID: "w"}) },
		"empty":          func(m *oauth.ClientMetadata) { m.JWKS = json.RawMessage(`{"keys":[]}`) },
		"no set":         func(m *oauth.ClientMetadata) { m.JWKS = json.RawMessage(`[]`) },
		"no JSON":        func(m *oauth.ClientMetadata) { m.JWKS = json.RawMessage(`{`) },
		"unknown alg":    func(m *oauth.ClientMetadata) { m.AuthSigningAlg = "HS256" },
		"unknown method": func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "tls_client_auth" },
	} {
		m := oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodPrivateKey, JWKS: publicSet(t, newKey(t, "ES256", "a"))}
		edit(&m)
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newKeyClient(t, s, "ES256")
	if _, _, err := s.Clients.AddSecret(t.Context(), c.id, "", time.Time{}, theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("a secret for a client with keys: %v", err)
	}
}
