package spec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A forger has an own key pair, a token of the server, and its published keys.
type forger struct {
	ec     *ecdsa.PrivateKey
	rsa    *rsa.PrivateKey
	header map[string]any
	claims string // the second part of a token that is in force
	good   string
	keys   jose.JSONWebKeySet
}

func newForger(t *testing.T, app *oauthtest.App) *forger {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	token, err := app.ClientToken(t, oauthtest.AllAddresses[0])
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token.AccessToken, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{ec: ec, rsa: other, claims: parts[1], good: token.AccessToken, keys: keySet(t, app.Server)}
	if err := json.Unmarshal(raw, &f.header); err != nil {
		t.Fatal(err)
	}
	return f
}

// token makes a token with the header of a good one, changed by pairs, over the
// claims of a good one; sign may be nil.
func (f *forger) token(sign func(message []byte) []byte, pairs ...any) string {
	header := maps.Clone(f.header)
	for i := 0; i+1 < len(pairs); i += 2 {
		header[pairs[i].(string)] = pairs[i+1]
	}
	encoded, err := json.Marshal(header)
	if err != nil {
		panic(err) // a header of the test's own
	}
	message := base64.RawURLEncoding.EncodeToString(encoded) + "." + f.claims
	var signature []byte
	if sign != nil {
		signature = sign([]byte(message))
	}
	return message + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (f *forger) es256(message []byte) []byte {
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, f.ec, digest[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func (f *forger) rs256(message []byte) []byte {
	digest := sha256.Sum256(message)
	signature, err := rsa.SignPKCS1v15(nil, f.rsa, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return signature
}

func hs256(secret []byte) func(message []byte) []byte {
	return func(message []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(message)
		return h.Sum(nil)
	}
}

// wantAllInactive presents forged tokens wherever a token is read.
func wantAllInactive(t *testing.T, app *oauthtest.App, forged map[string]string) {
	t.Helper()
	for name, token := range forged {
		for _, address := range []string{"/introspect", "/revoke"} {
			answer := app.Server.Post(t, address, app.Credentials("token", token))
			if answer.StatusCode != http.StatusOK || answer.JSON("active") == true {
				t.Errorf("%s at %s: %d %s", name, address, answer.StatusCode, answer.Body)
			}
		}
	}
}

// RFC 8725 Sections 3.1 and 3.2: the key fixes the algorithm. No token chooses
// none, an HMAC with what is public, or the algorithm of another key (JW-01).
func TestRFC8725_3_1_AlgorithmIsTheKeys(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	f := newForger(t, app)
	forged := map[string]string{
		"ES256 by another key":  f.token(f.es256),
		"RS256 under an EC kid": f.token(f.rs256, "alg", "RS256"),
		"no signature":          f.token(nil),
		"a signature of zeros":  f.token(func([]byte) []byte { return make([]byte, 64) }),
		"no alg":                f.token(f.es256, "alg", nil),
		"alg a number":          f.token(f.es256, "alg", 5),
		"typ JWT":               f.token(f.es256, "typ", "JWT"),
		"cut":                   f.good[:len(f.good)-4],
		"doubled":               f.good + "." + f.good,
		"claims changed":        strings.Replace(f.good, f.claims, base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+app.Server.URL+`","exp":9999999999}`)), 1),
		"padded":                f.good + "=",
		"with a space":          " " + f.good,
		"as JSON":               `{"payload":"` + f.claims + `","signatures":[]}`,
		"as JWE":                f.good + "..",
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "ES384", "PS256", "EdDSA", "dir"} {
		forged["unsigned "+alg] = f.token(nil, "alg", alg)
	}
	for _, key := range f.keys.Keys {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		for form, secret := range map[string][]byte{
			"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": text, "kid": []byte(key.KeyID), "nothing": {},
		} {
			for _, alg := range []string{"HS256", key.Algorithm} {
				forged[alg+" with the "+key.Algorithm+" key as "+form] = f.token(hs256(secret), "alg", alg, "kid", key.KeyID)
			}
		}
		forged["the signature under "+key.Algorithm] = f.token(f.es256, "kid", key.KeyID, "alg", "ES256")
		forged["RS256 under "+key.Algorithm] = f.token(f.rs256, "kid", key.KeyID, "alg", "RS256")
	}
	wantAllInactive(t, app, forged)
	if !app.Active(t, f.good) {
		t.Error("the good token is not active")
	}
}

// RFC 8725 Section 3.10: keys that a header carries or points to are not looked
// at, and nothing is fetched (JW-02).
func TestRFC8725_3_10_KeysFromTheHeader(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	f := newForger(t, app)
	own := jose.JSONWebKey{Key: f.ec.Public(), KeyID: "own", Algorithm: "ES256", Use: "sig"}
	var fetched atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{own}})
	}))
	t.Cleanup(evil.Close)
	forged := map[string]string{}
	for _, kid := range []any{"own", f.header["kid"], evil.URL, nil} {
		for name, value := range map[string]any{"jwk": own, "jku": evil.URL, "x5u": evil.URL, "x5c": []string{"AA=="}, "x5t": "AA", "jwks": map[string]any{"keys": []any{own}}} {
			forged[name] = f.token(f.es256, "kid", kid, name, value)
			wantAllInactive(t, app, forged)
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("the server fetched %d times", n)
	}
}

// RFC 8725 Section 3.10: kid is looked up and nothing else; an unknown one is
// refused, however it is written (JW-03).
func TestRFC8725_3_10_KeyIDIsPlainLookup(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	f := newForger(t, app)
	kid, _ := f.header["kid"].(string)
	forged := map[string]string{}
	for _, id := range []any{
		"", "../../../../dev/null", "/dev/null", "file:///dev/null", "http://127.0.0.1:1/", "' OR '1'='1", "x' UNION SELECT 'a", "; ls", "$(id)", "%00", "\x00", kid + "\x00", kid + " ",
		strings.ToLower(kid) + "x", kid[:len(kid)-1], strings.Repeat(kid, 20), 7, true, nil, []string{kid}, map[string]any{"kid": kid}, "虎符", strings.Repeat("k", 10_000),
	} {
		for _, sign := range []func([]byte) []byte{f.es256, hs256(nil), nil} {
			forged["kid"] = f.token(sign, "kid", id)
			wantAllInactive(t, app, forged)
		}
	}
	huge := app.Server.Post(t, "/introspect", app.Credentials("token", f.token(f.es256, "kid", strings.Repeat("k", 1<<20))))
	if huge.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a kid of 1 MB: %d", huge.StatusCode)
	}
}

// RFC 7519 Section 4.1.4: a token is over at exp, give or take nothing, and a
// clock that is set back does not bring back what was revoked (JW-06, CK-01).
func TestRFC7519_4_1_4_Expiry(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, format := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
		t.Run(name, func(t *testing.T) {
			app := s.App(t, format)
			for grant, token := range accessTokens(t, app, oauthtest.AllAddresses[0]) {
				began := s.Clock.Now()
				s.Clock.Advance(9*time.Minute + 50*time.Second)
				if !app.Active(t, token) {
					t.Errorf("%s: over before its time", grant)
				}
				s.Clock.Advance(11 * time.Second)
				if app.Active(t, token) {
					t.Errorf("%s: alive behind its time", grant)
				}
				s.Clock.Advance(time.Hour)
				s.Clock.Advance(began.Sub(s.Clock.Now()))
			}
		})
	}
}
