package spec_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// newSecretJWTClient is a client that proves itself by an HMAC with its secret, made by a
// foreign library.
func newSecretJWTClient(t *testing.T, s *oauthtest.Server, algorithm string, edits ...func(*oauth.ClientMetadata)) *keyClient {
	t.Helper()
	m := oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodSecretJWT}
	for _, edit := range edits {
		edit(&m)
	}
	id, secret := s.Register(t, "", m)
	return &keyClient{s: s, id: id, key: sharedKey(secret), algorithm: algorithm}
}

func sharedKey(secret string) josev4.JSONWebKey { return josev4.JSONWebKey{Key: []byte(secret)} }

func (c *keyClient) secret() string { return string(c.key.Key.([]byte)) }

func wantOK(t *testing.T, what string, answer *oauthtest.Answer) {
	t.Helper()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %d %s", what, answer.StatusCode, answer.Body)
	}
}

// OpenID Connect Core Section 9: a client proves itself by an assertion that it has made
// with its secret, with each of the listed algorithms and at every endpoint where clients
// do so, under both tables of addresses (conformance 15, 46).
func TestOpenIDCore_9_ClientSecretJWT(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	listed := s.Get(t, "/.well-known/openid-configuration")
	for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
		c := newSecretJWTClient(t, s, algorithm)
		for _, at := range oauthtest.AllAddresses {
			for _, audience := range []any{s.URL, s.URL + "/token", s.URL + at.ClientCredentials, []string{"https://other.example", s.URL}} {
				wantOK(t, algorithm, c.ask(t, at.ClientCredentials, c.assertion(t, map[string]any{"aud": audience})))
			}
		}
		token := c.ask(t, "/token", c.assertion(t, nil), "client_id", c.id).Text("access_token")
		for _, path := range []string{"/introspect", "/revoke", "/introspect"} {
			wantOK(t, path, c.ask(t, path, c.assertion(t, map[string]any{"aud": s.URL + path}), "token", token))
		}
		for _, endpoint := range []string{"token", "revocation", "introspection"} {
			values, _ := listed.JSON(endpoint + "_endpoint_auth_signing_alg_values_supported").([]any)
			found := false
			for _, value := range values {
				found = found || value == algorithm
			}
			if !found {
				t.Errorf("%s is not listed for the %s endpoint: %v", algorithm, endpoint, values)
			}
		}
	}
}

// Whatever is wrong with such an assertion, or with the way it is sent, is invalid_client:
// the client uses its method and no other, and no other client uses this one (CA-03,
// CA-04, CA-05, JW-01, JW-06).
func TestOpenIDCore_9_ClientSecretJWTRefused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	c, other := newSecretJWTClient(t, s, "HS256"), newSecretJWTClient(t, s, "HS256")
	now := s.Clock.Now()
	used := c.assertion(t, nil)
	wantOK(t, "the first time", c.ask(t, "/token", used))
	good := c.assertion(t, nil)
	_, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	pair := newKey(t, "ES256", "k")
	for name, assertion := range map[string]string{
		"used before":        used,
		"alg none":           "eyJhbGciOiJub25lIn0." + payload + ".",
		"signed with a key":  c.sign(t, pair, "ES256", nil, c.claims()),
		"key in the header":  c.sign(t, pair, "ES256", map[josev4.HeaderKey]any{"jwk": pair.Public()}, c.claims()),
		"crit":               c.sign(t, c.key, "HS256", map[josev4.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}, c.claims()),
		"typ of a token":     c.sign(t, c.key, "HS256", map[josev4.HeaderKey]any{"typ": "at+jwt"}, c.claims()),
		"iss is another":     c.assertion(t, map[string]any{"iss": other.id}),
		"other aud":          c.assertion(t, map[string]any{"aud": "https://other.example"}),
		"no exp":             c.assertion(t, map[string]any{"exp": nil}),
		"expired":            c.assertion(t, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}),
		"far future":         c.assertion(t, map[string]any{"exp": now.Add(3 * time.Hour).Unix()}),
		"made in the future": c.assertion(t, map[string]any{"iat": now.Add(2 * time.Minute).Unix()}),
		"no jti":             c.assertion(t, map[string]any{"jti": nil}),
	} {
		wantInvalidClient(t, name, c.ask(t, "/token", assertion))
	}
	for name, assertion := range map[string]string{
		"another's secret":   c.sign(t, other.key, "HS256", nil, c.claims()),
		"the id as a secret": c.sign(t, sharedKey(c.id+c.id), "HS256", nil, c.claims()),
		"a kid":              c.sign(t, josev4.JSONWebKey{Key: other.key.Key, KeyID: "../../key"}, "HS256", nil, c.claims()),
	} {
		wantInvalidClient(t, name, c.ask(t, "/token", assertion))
	}
	// The client's own secret, in any other way.
	post := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {c.secret()}}
	wantInvalidClient(t, "secret in the body", s.Post(t, "/token", post))
	r := s.Request(t, http.MethodPost, "/token", "grant_type=client_credentials")
	r.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret()))
	wantInvalidClient(t, "secret by Basic", s.Do(t, r))
	wantInvalidClient(t, "id alone", s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}}))
	// Others, with an HMAC.
	secretive := s.App(t)
	byHMAC := &keyClient{s: s, id: secretive.ClientID, key: sharedKey(secretive.ClientSecret), algorithm: "HS256"}
	wantInvalidClient(t, "a client with another method", byHMAC.ask(t, "/token", byHMAC.assertion(t, nil)))
	keyed := newKeyClient(t, s, "ES256")
	wantInvalidClient(t, "a client with keys", keyed.ask(t, "/token", keyed.sign(t, sharedKey(strings.Repeat("k", 64)), "HS256", nil, keyed.claims())))
	public := s.PublicApp(t)
	byNobody := &keyClient{s: s, id: public.ClientID, key: sharedKey(strings.Repeat("k", 64)), algorithm: "HS256"}
	wantInvalidClient(t, "a public client", byNobody.ask(t, "/token", byNobody.assertion(t, nil)))
	// A registered algorithm is the only one (OpenID Connect Registration Section 2).
	pinned := newSecretJWTClient(t, s, "HS512", func(m *oauth.ClientMetadata) { m.AuthSigningAlg = "HS512" })
	wantOK(t, "the registered algorithm", pinned.ask(t, "/token", pinned.assertion(t, nil)))
	wantInvalidClient(t, "another algorithm than registered", pinned.ask(t, "/token", pinned.sign(t, pinned.key, "HS256", nil, pinned.claims())))
}

// An assertion is used up by one request, however many bring it at the same moment (CA-04).
func TestOpenIDCore_9_ClientSecretJWTSingleUse(t *testing.T) {
	t.Parallel()
	c := newSecretJWTClient(t, oauthtest.Start(t), "HS256")
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

// Who guesses at a secret by HMACs is slowed as one who sends it, for a client and for a
// name that no client has; the right secret never is (CA-01, CA-06).
func TestOpenIDCore_9_ClientSecretJWTGuessed(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	c := newSecretJWTClient(t, s, "HS256")
	wrong := sharedKey(strings.Repeat("g", 64))
	for _, id := range []string{c.id, "nobody-1"} {
		guesser := &keyClient{s: s, id: id, key: wrong, algorithm: "HS256"}
		var last *oauthtest.Answer
		for range 11 {
			last = guesser.ask(t, "/token", guesser.assertion(t, nil))
		}
		if last.StatusCode != http.StatusTooManyRequests || last.Header.Get("Retry-After") == "" {
			t.Errorf("%s: the eleventh guess: %d %s", id, last.StatusCode, last.Body)
		}
	}
	wantOK(t, "the right one", c.ask(t, "/token", c.assertion(t, nil)))
}

// A client has two secrets while it moves from one to the other, each good for
// assertions; the old one is refused afterwards (CA-08). Neither is in the database as it
// is, and both survive a new master key.
func TestOpenIDCore_9_ClientSecretJWTRotation(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnFile)
	c := newSecretJWTClient(t, s, "HS256")
	made, secret, err := s.Clients.AddSecret(t.Context(), c.id, "", time.Time{}, theOperator)
	ok(t, err)
	for name, key := range map[string]josev4.JSONWebKey{"old": c.key, "new": sharedKey(secret)} {
		wantOK(t, name, c.ask(t, "/token", c.sign(t, key, "HS512", nil, c.claims())))
	}
	ok(t, s.Store.RetireSecrets(t.Context(), c.id, made.ID, s.Clock.Now().Add(time.Minute), s.Clock.Now(), theOperator))
	wantOK(t, "the old one, not yet retired", c.ask(t, "/token", c.assertion(t, nil)))
	s.Clock.Advance(2 * time.Minute)
	wantInvalidClient(t, "the old one, retired", c.ask(t, "/token", c.assertion(t, nil)))
	wantOK(t, "the new one", c.ask(t, "/token", c.sign(t, sharedKey(secret), "HS256", nil, c.claims())))
	stored, err := s.Store.Client(t.Context(), c.id)
	ok(t, err)
	for _, kept := range stored.Secrets {
		if kept.Sealed == "" || strings.Contains(kept.Sealed, secret) || strings.Contains(kept.Sealed, c.secret()) {
			t.Errorf("stored as %q", kept.Sealed)
		}
	}
	if log := s.Log.String(); strings.Contains(log, secret) || strings.Contains(log, c.secret()) {
		t.Error("a secret is in the log")
	}
	if err := s.Store.RemoveSecret(t.Context(), c.id, made.ID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	wantInvalidClient(t, "removed", c.ask(t, "/token", c.sign(t, sharedKey(secret), "HS256", nil, c.claims())))
}

// RFC 7518 Section 3.2: the secret is as long as the hash at least; a client is changed to
// this method only when it has a secret that an HMAC can be checked with, and whoever
// changes it is told how it gets one.
func TestRegistration_ClientSecretJWT(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	base := oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodSecretJWT}
	for name, tt := range map[string]struct {
		alg    string
		length int
		refuse bool
	}{
		"31 bytes": {"", 31, true}, "32 bytes": {"", 32, false}, "47 for HS384": {"HS384", 47, true}, "48 for HS384": {"HS384", 48, false},
		"63 for HS512": {"HS512", 63, true}, "made for HS512": {"HS512", 0, false}, "ES256": {"ES256", 64, true}, "none": {"none", 64, true},
	} {
		m := base
		m.AuthSigningAlg = tt.alg
		_, _, err := s.Clients.Register(t.Context(), "", m, strings.Repeat("s", tt.length), theOperator)
		if got := oauth.CodeOf(err) == oauth.InvalidClientMetadata; got != tt.refuse || !got && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	change := func(id string, edit func(m *oauth.ClientMetadata)) error {
		_, err := s.Clients.Update(t.Context(), id, func(m *oauth.ClientMetadata) error { edit(m); return nil }, theOperator)
		return err
	}
	toSecretJWT := func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = oauth.AuthMethodSecretJWT }
	m := base
	m.TokenEndpointAuthMethod = oauth.AuthMethodBasic
	id, _ := s.Register(t, "", m)
	if err := change(id, toSecretJWT); !errors.Is(err, client.ErrNotSealed) || oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Fatalf("without a sealed secret: %v", err)
	}
	if _, _, err := s.Clients.AddSealedSecret(t.Context(), id, strings.Repeat("x", 20), time.Time{}, theOperator); err == nil {
		t.Error("a sealed secret of 20 bytes was taken")
	}
	_, secret, err := s.Clients.AddSealedSecret(t.Context(), id, "", time.Time{}, theOperator)
	ok(t, err)
	ok(t, change(id, toSecretJWT))
	c := &keyClient{s: s, id: id, key: sharedKey(secret), algorithm: "HS256"}
	wantOK(t, "with its new secret", c.ask(t, "/token", c.assertion(t, nil)))

	brought := strings.Repeat("b", 40)
	short, _, err := s.Clients.Register(t.Context(), "", base, brought, theOperator)
	ok(t, err)
	if err := change(short.ID, func(m *oauth.ClientMetadata) { m.AuthSigningAlg = "HS512" }); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("HS512 for a secret of 40 bytes: %v", err)
	}
	ok(t, change(short.ID, func(m *oauth.ClientMetadata) { m.ClientName = "changed" }))

	keyed := newKeyClient(t, s, "ES256")
	_, secret, err = s.Clients.AddSealedSecret(t.Context(), keyed.id, "", time.Time{}, theOperator)
	ok(t, err)
	ok(t, change(keyed.id, toSecretJWT))
	c = &keyClient{s: s, id: keyed.id, key: sharedKey(secret), algorithm: "HS384"}
	wantOK(t, "of one that had keys", c.ask(t, "/token", c.assertion(t, nil)))
	wantInvalidClient(t, "with its key as before", keyed.ask(t, "/token", keyed.assertion(t, nil)))
	if _, _, err := s.Clients.AddSealedSecret(t.Context(), s.PublicApp(t).ClientID, "", time.Time{}, theOperator); err == nil {
		t.Error("a public client was given a secret")
	}
	m.AuthSigningAlg = "HS256"
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); err == nil {
		t.Error("HS256 was registered for a client that makes no assertions with its secret")
	}
	if bytes.Contains([]byte(s.Log.String()), []byte(secret)) {
		t.Error("the secret is in the log")
	}
}

// RFC 7592 Section 2.2: an application that registers itself is given a secret that its
// HMACs are checked with; one that changes to this method is given a new one, as long as
// it has not two already, and what it had before does not help it.
func TestRFC7592_2_2_ClientSecretJWT(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	const method = `"token_endpoint_auth_method":"client_secret_jwt"`
	asks := func(c *registered, secret string) *oauthtest.Answer {
		holder := &keyClient{s: s, id: c.id, key: sharedKey(secret), algorithm: "HS512"}
		return holder.ask(t, "/introspect", holder.assertion(t, nil), "token", "nothing")
	}
	first := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"token_endpoint_auth_signing_alg":"HS512",`+method+`}`)
	wantOK(t, "registered for it", asks(first, first.Text("client_secret")))

	second := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"]}`)
	before := second.Text("client_secret")
	changed := second.manage(t, http.MethodPut, second.replacement(","+method))
	wantOK(t, "changed to it", changed)
	wantOK(t, "with the new secret", asks(second, changed.Text("client_secret")))
	old := &keyClient{s: s, id: second.id, key: sharedKey(before), algorithm: "HS256"}
	wantInvalidClient(t, "with the old one", old.ask(t, "/introspect", old.assertion(t, nil), "token", "nothing"))
	if again := second.manage(t, http.MethodPut, second.replacement(`,"client_name":"again",`+method)); again.StatusCode != http.StatusOK || again.JSON("client_secret") != nil {
		t.Errorf("changed again: %d %s", again.StatusCode, again.Body)
	}

	third := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"]}`)
	_, _, err := s.Clients.AddSecret(t.Context(), third.id, "", time.Time{}, theOperator)
	ok(t, err)
	wantRegistrationError(t, "with two secrets", third.manage(t, http.MethodPut, third.replacement(","+method)), http.StatusBadRequest, oauth.InvalidClientMetadata)
}
