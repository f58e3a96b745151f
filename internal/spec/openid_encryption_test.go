package spec_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// newEncKey makes a key that answers can be encrypted to.
func newEncKey(t *testing.T, algorithm, id string) josev4.JSONWebKey {
	t.Helper()
	if strings.HasPrefix(algorithm, "RSA") {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		ok(t, err)
		return josev4.JSONWebKey{Key: key, KeyID: id, Use: "enc"}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	return josev4.JSONWebKey{Key: key, KeyID: id, Use: "enc"}
}

// encrypted has a client get both its ID tokens and UserInfo encrypted to a key.
func encrypted(t *testing.T, key josev4.JSONWebKey, algorithm, content string) func(*oauth.ClientMetadata) {
	set := publicSet(t, key)
	return func(m *oauth.ClientMetadata) {
		m.JWKS = set
		m.IDTokenKeyAlg, m.IDTokenContent, m.UserInfoKeyAlg, m.UserInfoContent = algorithm, content, algorithm, content
	}
}

// decrypted opens a JWE as its reader does with a foreign library, and returns what is in
// it. The header names key and algorithms, and says that a JWT is in it when one is.
func decrypted(t *testing.T, text string, key josev4.JSONWebKey, algorithm, content, contentType string) string {
	t.Helper()
	if content == "" {
		content = "A128CBC-HS256"
	}
	jwe, err := josev4.ParseEncryptedCompact(text, []josev4.KeyAlgorithm{josev4.KeyAlgorithm(algorithm)}, []josev4.ContentEncryption{josev4.ContentEncryption(content)})
	if err != nil {
		t.Fatalf("%.80s: %v", text, err)
	}
	if cty, _ := jwe.Header.ExtraHeaders[josev4.HeaderContentType].(string); jwe.Header.KeyID != key.KeyID || cty != contentType {
		t.Errorf("kid %q, cty %q, want %q and %q", jwe.Header.KeyID, cty, key.KeyID, contentType)
	}
	plain, err := jwe.Decrypt(key.Key)
	ok(t, err)
	return string(plain)
}

// OpenID Connect Core Sections 10.2 and 16.14: ID tokens are signed and then encrypted to
// the client, at every place that makes one and in every way that is listed, and what is
// in them is an ID token as always (JW-01, JW-13).
func TestOpenIDCore_10_2_EncryptedIDToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	listed := s.Get(t, "/.well-known/openid-configuration")
	for i, algorithm := range oauth.EncryptionAlgorithms {
		content := append([]string{""}, oauth.ContentEncryptions...)[i]
		t.Run(algorithm+" "+content, func(t *testing.T) {
			for _, of := range []string{"id_token", "userinfo"} {
				algs, _ := listed.JSON(of + "_encryption_alg_values_supported").([]any)
				encs, _ := listed.JSON(of + "_encryption_enc_values_supported").([]any)
				if !slices.Contains(algs, any(algorithm)) || content != "" && !slices.Contains(encs, any(content)) || len(algs) != len(oauth.EncryptionAlgorithms) || len(encs) != len(oauth.ContentEncryptions) {
					t.Errorf("%s: listed are %v and %v", of, algs, encs)
				}
			}
			key := newEncKey(t, algorithm, "enc-1")
			p := newRelyingParty(t, s, encrypted(t, key, algorithm, content))
			open := func(text string) string { t.Helper(); return decrypted(t, text, key, algorithm, content, "JWT") }
			answer, _ := p.ask(t, "response_type", "code id_token token", "scope", "openid offline_access", "nonce", "n-1", "prompt", "consent")
			front, claims := p.verify(t, open(answer.Get("id_token")))
			if err := front.VerifyAccessToken(answer.Get("access_token")); err != nil || claims["nonce"] != "n-1" || claims["c_hash"] != leftHalf(answer.Get("code")) {
				t.Errorf("front: %v, %v", err, claims)
			}
			tokens := p.tokens(t, answer.Get("code"))
			back, _ := p.verify(t, open(tokens.Text("id_token")))
			if err := back.VerifyAccessToken(tokens.Text("access_token")); err != nil || back.Subject != p.user.ID {
				t.Errorf("back: %v, %s", err, back.Subject)
			}
			refreshed := p.Refresh(t, oauthtest.AllAddresses[1], tokens.Text("refresh_token"))
			p.verify(t, open(refreshed.Text("id_token")))
			byPassword := s.Post(t, "/oauth2/password", p.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password, "scope", "openid"))
			p.verify(t, open(byPassword.Text("id_token")))
			// Decrypted, it is a hint; as it is, it tells us nothing (Section 3.1.2.1).
			hint := open(answer.Get("id_token"))
			if location := p.Browser.Open(t, p.address("scope", "openid", "prompt", "none", "id_token_hint", hint)); responseCode(location) == "" {
				t.Errorf("as a hint: %s", location.Header.Get("Location"))
			}
		})
	}
}

// OpenID Connect Core Section 5.3.2: UserInfo is encrypted, signed or not.
func TestOpenIDCore_5_3_2_EncryptedUserInfo(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	key := newEncKey(t, "ECDH-ES", "enc-1")
	for _, signed := range append([]string{""}, oauth.SigningAlgorithms...) {
		p := newRelyingParty(t, s, encrypted(t, key, "ECDH-ES+A256KW", "A256GCM"), func(m *oauth.ClientMetadata) { m.UserInfoAlg = signed })
		answer := p.userInfo(t, p.accessToken(t, "scope", "openid email"))
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/jwt" || strings.Contains(string(answer.Body), "alice") {
			t.Fatalf("%d %v %s", answer.StatusCode, answer.Header, answer.Body)
		}
		var claims map[string]any
		want := []string{"email", "email_verified", "sub"}
		if signed == "" {
			ok(t, json.Unmarshal([]byte(decrypted(t, string(answer.Body), key, "ECDH-ES+A256KW", "A256GCM", "")), &claims))
		} else {
			header, payload, err := verifiedBy(keySet(t, s), decrypted(t, string(answer.Body), key, "ECDH-ES+A256KW", "A256GCM", "JWT"))
			ok(t, err)
			ok(t, json.Unmarshal(payload, &claims))
			want = []string{"aud", "email", "email_verified", "iss", "sub"}
			if header.Algorithm != signed {
				t.Errorf("signed with %s", header.Algorithm)
			}
		}
		if got := members(claims); !slices.Equal(got, want) || claims["sub"] != p.user.ID {
			t.Errorf("%s: claims %v, want %v", signed, claims, want)
		}
	}
}

// A publisher serves a key set at an address that servers of its configuration read.
type publisher struct {
	*httptest.Server
	keys    atomic.Value
	away    atomic.Bool
	fetched atomic.Int64
}

func newPublisher(t *testing.T) (*publisher, func(*config.Config)) {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		if p.away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(p.keys.Load().(json.RawMessage))
	}))
	t.Cleanup(p.Close)
	return p, reaching(authorityOf(t, p.Server))
}

// OpenID Connect Core Section 10.2.1: the key at jwks_uri is had before anything is spent.
// When it cannot be had the code, the refresh token and the consent are as good as before,
// and keys that were fetched are used for a day.
func TestOpenIDCore_10_2_1_JWKSURI(t *testing.T) {
	t.Parallel()
	at, reads := newPublisher(t)
	s := oauthtest.Start(t, reads)
	first, second := newEncKey(t, "ECDH-ES", "enc-1"), newEncKey(t, "ECDH-ES", "enc-2")
	at.keys.Store(publicSet(t, newKey(t, "ES256", "sig-1"), first))
	at.away.Store(true)
	p := newRelyingParty(t, s, encrypted(t, first, "ECDH-ES", ""), func(m *oauth.ClientMetadata) { m.JWKS, m.JWKSURI = nil, at.URL+"/jwks" })

	redeem := func(code string) *oauthtest.Answer {
		return s.Post(t, "/token", p.Credentials("grant_type", "authorization_code", "code", code, "redirect_uri", p.RedirectURL))
	}
	answer, _ := p.ask(t, "scope", "openid offline_access", "prompt", "consent")
	code := answer.Get("code")
	for range 2 { // of which one is asked
		if refused := redeem(code); refused.StatusCode != http.StatusServiceUnavailable || refused.Text("error") != "temporarily_unavailable" {
			t.Errorf("away: %d %s", refused.StatusCode, refused.Body)
		}
	}
	if at.fetched.Load() != 1 {
		t.Errorf("fetched %d times", at.fetched.Load())
	}
	implicit, _ := p.ask(t, "response_type", "id_token", "nonce", "n")
	if implicit.Get("error") != "temporarily_unavailable" || implicit.Has("id_token") {
		t.Errorf("away, through the browser: %v", implicit)
	}
	if grants, err := s.Store.Grants(t.Context(), p.user.ID, "", 10); err != nil || len(grants) != 1 {
		t.Errorf("%d grants, %v: a row was made for an answer that was not given", len(grants), err)
	}

	at.away.Store(false)
	at.fetched.Store(0)
	s.Clock.Advance(61 * time.Second) // the code is over by now, and another is to be had
	answer, _ = p.ask(t, "scope", "openid offline_access", "prompt", "consent")
	tokens := redeem(answer.Get("code"))
	p.verify(t, decrypted(t, tokens.Text("id_token"), first, "ECDH-ES", "", "JWT"))
	if at.fetched.Load() != 1 {
		t.Errorf("fetched %d times", at.fetched.Load())
	}

	// The client changes to another key, and nobody notices.
	at.keys.Store(publicSet(t, second))
	s.Clock.Advance(time.Hour)
	tokens = p.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token"))
	p.verify(t, decrypted(t, tokens.Text("id_token"), second, "ECDH-ES", "", "JWT"))
	// For less than a day what was there is used.
	at.away.Store(true)
	s.Clock.Advance(2 * time.Hour)
	tokens = p.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token"))
	p.verify(t, decrypted(t, tokens.Text("id_token"), second, "ECDH-ES", "", "JWT"))
	s.Clock.Advance(25 * time.Hour)
	refresh := tokens.Text("refresh_token")
	if refused := p.Refresh(t, oauthtest.AllAddresses[0], refresh); refused.Text("error") != "temporarily_unavailable" {
		t.Errorf("away for a day: %d %s", refused.StatusCode, refused.Body)
	}
	if narrowed := p.Refresh(t, oauthtest.AllAddresses[0], refresh, "scope", "offline_access"); narrowed.StatusCode != http.StatusOK || narrowed.JSON("id_token") != nil {
		t.Errorf("without an ID token: %d %s", narrowed.StatusCode, narrowed.Body)
	}
	// A set without a key that fits is the client's mistake.
	at.keys.Store(publicSet(t, newKey(t, "ES256", "sig-1"), newEncKey(t, "RSA-OAEP", "enc-3")))
	at.away.Store(false)
	s.Clock.Advance(2 * time.Minute)
	if refused := p.Refresh(t, oauthtest.AllAddresses[0], refresh); refused.StatusCode != http.StatusBadRequest || refused.Text("error") != "invalid_request" {
		t.Errorf("no key that fits: %d %s", refused.StatusCode, refused.Body)
	}
}

// A code that came to a client whose keys were away for a moment is redeemed afterwards.
func TestOpenIDCore_10_2_1_CodeStaysGood(t *testing.T) {
	t.Parallel()
	at, reads := newPublisher(t)
	s := oauthtest.Start(t, reads)
	key := newEncKey(t, "RSA-OAEP-256", "enc-1")
	at.keys.Store(publicSet(t, newEncKey(t, "ECDH-ES", "enc-0")))
	p := newRelyingParty(t, s, encrypted(t, key, "RSA-OAEP-256", "A128GCM"), func(m *oauth.ClientMetadata) {
		m.JWKS, m.JWKSURI, m.CodeLifetime = nil, at.URL+"/jwks", 60
	})
	code := p.code(t)
	redeem := p.Credentials("grant_type", "authorization_code", "code", code, "redirect_uri", p.RedirectURL)
	if refused := s.Post(t, "/token", redeem); refused.Text("error") != "invalid_request" {
		t.Errorf("without a key: %d %s", refused.StatusCode, refused.Body)
	}
	at.keys.Store(publicSet(t, key))
	// At another address, which is asked at once and not only after a minute.
	if _, err := s.Clients.Update(t.Context(), p.ClientID, func(m *oauth.ClientMetadata) error { m.JWKSURI = at.URL + "/other"; return nil }, theOperator); err != nil {
		t.Fatal(err)
	}
	tokens := s.Post(t, "/token", redeem)
	if tokens.StatusCode != http.StatusOK {
		t.Fatalf("with a key: %d %s", tokens.StatusCode, tokens.Body)
	}
	p.verify(t, decrypted(t, tokens.Text("id_token"), key, "RSA-OAEP-256", "A128GCM", "JWT"))
}

// UserInfo that cannot be encrypted is not told; the token is as good as before.
func TestOpenIDCore_5_3_2_KeysAway(t *testing.T) {
	t.Parallel()
	at, reads := newPublisher(t)
	s := oauthtest.Start(t, reads)
	key := newEncKey(t, "ECDH-ES", "enc-1")
	at.keys.Store(publicSet(t, key))
	at.away.Store(true)
	p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) { m.JWKSURI, m.UserInfoKeyAlg = at.URL+"/jwks", "ECDH-ES" })
	token := p.accessToken(t, "scope", "openid email")
	if refused := p.userInfo(t, token); refused.StatusCode != http.StatusServiceUnavailable || refused.Text("error") != "temporarily_unavailable" || strings.Contains(string(refused.Body), "alice") {
		t.Errorf("away: %d %s", refused.StatusCode, refused.Body)
	}
	at.away.Store(false)
	s.Clock.Advance(61 * time.Second)
	if told := decrypted(t, string(p.userInfo(t, token).Body), key, "ECDH-ES", "", ""); !strings.Contains(told, "alice@example.com") {
		t.Errorf("told %s", told)
	}
}

// OpenID Connect Registration Section 2: enc needs alg, alg needs a key that fits, RSA1_5
// and whatever else is not listed is refused.
func TestRegistration_Encryption(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	rsaKey, ecKey := newEncKey(t, "RSA-OAEP", "r"), newEncKey(t, "ECDH-ES", "e")
	both := publicSet(t, rsaKey, ecKey)
	for name, tt := range map[string]struct {
		jwks     json.RawMessage
		alg, enc string
		refuse   bool
	}{
		"both":            {both, "ECDH-ES", "A256CBC-HS512", false},
		"no enc":          {both, "RSA-OAEP", "", false},
		"no alg":          {both, "", "A128GCM", true},
		"RSA1_5":          {both, "RSA1_5", "", true},
		"dir":             {both, "dir", "A128GCM", true},
		"A192GCM":         {both, "ECDH-ES", "A192GCM", true},
		"none":            {both, "none", "", true},
		"no keys":         {nil, "ECDH-ES", "", true},
		"another kind":    {publicSet(t, rsaKey), "ECDH-ES", "", true},
		"for signatures":  {publicSet(t, newKey(t, "ES256", "s")), "ECDH-ES", "", true},
		"keys, not asked": {both, "", "", false},
	} {
		for i, set := range []func(m *oauth.ClientMetadata){
			func(m *oauth.ClientMetadata) { m.IDTokenKeyAlg, m.IDTokenContent = tt.alg, tt.enc },
			func(m *oauth.ClientMetadata) { m.UserInfoKeyAlg, m.UserInfoContent = tt.alg, tt.enc },
		} {
			m := oauth.ClientMetadata{RedirectURIs: []string{oauthtest.Callback}, Scope: "openid", JWKS: tt.jwks}
			set(&m)
			if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); (oauth.CodeOf(err) == oauth.InvalidClientMetadata) != tt.refuse || !tt.refuse && err != nil {
				t.Errorf("%s, %d: %v", name, i, err)
			}
		}
	}
	m := oauth.ClientMetadata{Scope: "read", GrantTypes: []string{oauth.GrantClientCredentials}, TokenEndpointAuthMethod: oauth.AuthMethodPrivateKey, JWKS: both}
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("private_key_jwt with keys for encryption alone: %v", err)
	}
	m = oauth.ClientMetadata{RedirectURIs: []string{oauthtest.Callback}, JWKS: both, RequestObjectAlg: "ES256"}
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("request objects with keys for encryption alone: %v", err)
	}
}

// encryptedTo is a text that a foreign library has encrypted to the key that the server
// publishes for it.
func encryptedTo(t *testing.T, s *oauthtest.Server, algorithm, content, text string) string {
	t.Helper()
	for _, key := range keySet(t, s).Keys {
		if key.Use != "enc" {
			continue
		}
		to := josev4.Recipient{Algorithm: josev4.KeyAlgorithm(algorithm), Key: key.Key, KeyID: key.KeyID}
		encrypter, err := josev4.NewEncrypter(josev4.ContentEncryption(content), to, (&josev4.EncrypterOptions{}).WithContentType("JWT"))
		ok(t, err)
		jwe, err := encrypter.Encrypt([]byte(text))
		ok(t, err)
		sealed, err := jwe.CompactSerialize()
		ok(t, err)
		return sealed
	}
	t.Fatal("no key to encrypt to is published")
	return ""
}

// OpenID Connect Core Section 6.1, RFC 9101 Section 6.1: a request object may come
// encrypted to the key that is published once a client is registered for it, and in it is
// the signed one, without which it is nothing: anybody can encrypt (JR-01, JW-05).
func TestRFC9101_6_1_Encrypted(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	listed := s.Get(t, "/.well-known/openid-configuration")
	plainApp := newObjectApp(t, s, "ES256")
	for _, key := range keySet(t, s).Keys {
		if key.Use != "sig" {
			t.Errorf("a key for %q before anybody wants it", key.Use)
		}
	}
	a := newObjectApp(t, s, "ES256", func(m *oauth.ClientMetadata) { m.RequestObjectKeyAlg = "ECDH-ES" })
	algs, _ := listed.JSON("request_object_encryption_alg_values_supported").([]any)
	encs, _ := listed.JSON("request_object_encryption_enc_values_supported").([]any)
	if len(algs) == 0 || len(encs) == 0 {
		t.Fatalf("listed are %v and %v", algs, encs)
	}
	b := signedIn(t, a.App)
	for _, alg := range algs {
		for _, enc := range encs {
			for _, app := range []*objectApp{a, plainApp} { // the key is there for all
				object := encryptedTo(t, s, alg.(string), enc.(string), app.object(t, nil))
				if got := responseOf(t, app.App, b.Open(t, app.by("/authorize", "request", object))); got.Get("code") == "" || got.Get("state") != "state-1" {
					t.Errorf("%v, %v: %v", alg, enc, got.Values)
				}
			}
		}
	}
	foreign := newObjectApp(t, s, "ES256")
	good := encryptedTo(t, s, "ECDH-ES", "A128GCM", a.object(t, nil))
	for name, object := range map[string]string{
		"of another client": encryptedTo(t, s, "ECDH-ES", "A128GCM", foreign.object(t, nil)),
		"not signed":        encryptedTo(t, s, "ECDH-ES", "A128GCM", `{"client_id":"`+a.id+`","response_type":"code"}`),
		"alg none":          encryptedTo(t, s, "ECDH-ES", "A128GCM", "eyJhbGciOiJub25lIn0.e30."),
		"encrypted twice":   encryptedTo(t, s, "ECDH-ES", "A128GCM", good),
		"changed":           good[:len(good)-3] + "AAA",
		"dots":              "....",
	} {
		wantRefused(t, a.App, s.Get(t, a.by("/authorize", "request", object, "redirect_uri", a.RedirectURL, "response_type", "code", "state", "state-1")), "invalid_request_object")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for name, edit := range map[string]func(m *oauth.ClientMetadata){
		"RSA-OAEP":    func(m *oauth.ClientMetadata) { m.RequestObjectKeyAlg = "RSA-OAEP" },
		"enc alone":   func(m *oauth.ClientMetadata) { m.RequestObjectContent = "A128GCM" },
		"unknown enc": func(m *oauth.ClientMetadata) { m.RequestObjectKeyAlg, m.RequestObjectContent = "ECDH-ES", "A192GCM" },
	} {
		m := oauth.ClientMetadata{RedirectURIs: []string{oauthtest.Callback}, JWKS: publicSet(t, newKey(t, "ES256", "k"))}
		edit(&m)
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
}
