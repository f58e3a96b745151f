package jose_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/jose"
)

// ours is a key of ours, as others read it.
var ours = sync.OnceValues(func() (*jose.DecryptionKey, josev4.JSONWebKey) {
	key, err := jose.GenerateDecryptionKey()
	if err != nil {
		panic(err)
	}
	jwk, err := key.PublicJWK()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(jwk)
	if err != nil {
		panic(err)
	}
	var read josev4.JSONWebKey
	if err := read.UnmarshalJSON(text); err != nil {
		panic(err)
	}
	return key, read
})

// opener knows our key by its kid, and when none is named.
func opener(id string) []*jose.DecryptionKey {
	key, _ := ours()
	if id != "" && id != key.KeyID {
		return nil
	}
	return []*jose.DecryptionKey{key}
}

// encryptToUs is what a foreign library makes; kid "" leaves it out.
func encryptToUs(t testing.TB, key any, kid, algorithm, content string, compress bool) string {
	t.Helper()
	options := (&josev4.EncrypterOptions{}).WithContentType("oauth-authz-req+jwt")
	if compress {
		options.Compression = josev4.DEFLATE
	}
	encrypter, err := josev4.NewEncrypter(josev4.ContentEncryption(content), josev4.Recipient{Algorithm: josev4.KeyAlgorithm(algorithm), Key: key, KeyID: kid}, options)
	if err != nil {
		t.Fatal(err)
	}
	jwe, err := encrypter.Encrypt([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwe.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// RFC 7516 Section 5.2: what a foreign library encrypts to the published key we read, in
// every way that is offered, named by its kid or not, and again when the key was stored.
func TestDecrypt(t *testing.T) {
	t.Parallel()
	key, public := ours()
	der, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := jose.ParseDecryptionKey(der)
	if err != nil || stored.KeyID != key.KeyID || public.KeyID != key.KeyID || public.Use != "enc" || public.Algorithm != "" || !public.IsPublic() {
		t.Fatalf("stored %+v, published %+v, %v", stored, public, err)
	}
	for _, algorithm := range jose.AgreementAlgorithms {
		for _, content := range jose.ContentAlgorithms {
			for _, kid := range []string{"", key.KeyID} {
				text := encryptToUs(t, public.Key, kid, algorithm, content, false)
				if plain, err := jose.Decrypt(text, opener); err != nil || string(plain) != payload {
					t.Errorf("%s, %s, kid %q: %q, %v", algorithm, content, kid, plain, err)
				}
				if plain, err := jose.Decrypt(text, func(string) []*jose.DecryptionKey { return []*jose.DecryptionKey{stored} }); err != nil || string(plain) != payload {
					t.Errorf("%s, %s, with the stored key: %q, %v", algorithm, content, plain, err)
				}
			}
		}
	}
	for _, algorithm := range []string{jose.ES256, jose.RS256, jose.EdDSA} {
		der, err := keys()[algorithm].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.ParseDecryptionKey(der); (err == nil) != (algorithm == jose.ES256) { // which is a key on P-256 as well
			t.Errorf("a key of %s: %v", algorithm, err)
		}
	}
}

// withHeader is a JWE with another header.
func withHeader(t *testing.T, text string, change func(h map[string]any)) string {
	t.Helper()
	parts := strings.Split(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	change(header)
	if raw, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	parts[0] = base64.RawURLEncoding.EncodeToString(raw)
	return strings.Join(parts, ".")
}

// RFC 8725 Sections 3.1 and 3.6: what is too large, compressed, critical, made for another
// key or by an algorithm that was not offered is refused before anything is worked out
// (JW-01, JW-04, JW-05).
func TestDecryptRefused(t *testing.T) {
	t.Parallel()
	_, public := ours()
	good := encryptToUs(t, public.Key, "", "ECDH-ES", "A128GCM", false)
	wrapped := encryptToUs(t, public.Key, "", "ECDH-ES+A128KW", "A128GCM", false)
	parts := strings.Split(good, ".")
	asked := 0
	counting := func(id string) []*jose.DecryptionKey { asked++; return opener(id) }
	for name, text := range map[string]string{
		"empty":            "",
		"dots":             "....",
		"hundreds of dots": strings.Repeat(".", 400),
		"a JWS":            sign(t, jose.ES256),
		"six parts":        good + ".AA",
		"compressed":       encryptToUs(t, public.Key, "", "ECDH-ES", "A128GCM", true),
		"zip none":         withHeader(t, good, func(h map[string]any) { h["zip"] = "none" }),
		"zip empty":        withHeader(t, good, func(h map[string]any) { h["zip"] = "" }),
		"crit":             withHeader(t, good, func(h map[string]any) { h["crit"] = []string{"exp"} }),
		"RSA1_5":           withHeader(t, good, func(h map[string]any) { h["alg"] = "RSA1_5" }),
		"dir":              withHeader(t, good, func(h map[string]any) { h["alg"] = "dir" }),
		"PBES2 at length":  withHeader(t, wrapped, func(h map[string]any) { h["alg"], h["p2c"], h["p2s"] = "PBES2-HS256+A128KW", 1<<30, "AAAA" }),
		"ECDH-ES+A192KW":   encryptToUs(t, public.Key, "", "ECDH-ES+A192KW", "A128GCM", false),
		"A192GCM":          encryptToUs(t, public.Key, "", "ECDH-ES", "A192GCM", false),
		"no alg":           withHeader(t, good, func(h map[string]any) { delete(h, "alg") }),
		"no enc":           withHeader(t, good, func(h map[string]any) { delete(h, "enc") }),
		"no epk":           withHeader(t, good, func(h map[string]any) { delete(h, "epk") }),
		"epk of nobody": withHeader(t, good, func(h map[string]any) {
			h["epk"] = map[string]any{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
		}),
		"epk off the curve": withHeader(t, good, func(h map[string]any) { h["epk"].(map[string]any)["y"] = h["epk"].(map[string]any)["x"] }),
		"epk elsewhere":     withHeader(t, good, func(h map[string]any) { h["epk"].(map[string]any)["crv"] = "P-384" }),
		"another kid":       encryptToUs(t, public.Key, "../../key", "ECDH-ES", "A128GCM", false),
		"a long header":     withHeader(t, good, func(h map[string]any) { h["kid"] = strings.Repeat("k", 3<<10) }),
		"a key too many":    parts[0] + ".AAAA." + strings.Join(parts[2:], "."),
		"a key too few":     strings.Join(append(strings.Split(wrapped, ".")[:1], append([]string{""}, strings.Split(wrapped, ".")[2:]...)...), "."),
		"tag cut":           good[:len(good)-4],
		"tag gone":          strings.Join(parts[:4], ".") + ".",
		"iv gone":           parts[0] + "..." + parts[3] + "." + parts[4],
		"another spelling":  good + "\n",
		"endless":           good[:len(good)-len(parts[4])-1] + strings.Repeat("A", 40<<10) + "." + parts[4],
		"for somebody else": encryptToUs(t, &readers()["ec"].(*ecdsa.PrivateKey).PublicKey, "", "ECDH-ES", "A128GCM", false),
	} {
		if plain, err := jose.Decrypt(text, counting); err == nil || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	if asked > 10 { // most are refused without a key
		t.Errorf("a key was looked for %d times", asked)
	}
}

// Of all texts only those are read that were encrypted to us, in their one spelling; the
// rest is refused without a word about what is in it.
func FuzzDecrypt(f *testing.F) {
	_, public := ours()
	var made []string
	for _, algorithm := range jose.AgreementAlgorithms {
		made = append(made, encryptToUs(f, public.Key, "", algorithm, "A128CBC-HS256", false))
		f.Add(made[len(made)-1], 0, byte(0))
		f.Add(made[len(made)-1], 200, byte('.'))
	}
	f.Add("....", 3, byte('A'))
	f.Add(encryptToUs(f, public.Key, "", "ECDH-ES", "A256GCM", true), 5, byte(1))
	f.Fuzz(func(t *testing.T, text string, at int, change byte) {
		texts := []string{text}
		for _, token := range made { // the fuzzer knows those of another run only
			at := max(0, at) % len(token)
			texts = append(texts, token[:at]+string(rune(change))+token[at:], token[:at]+string(token[at]^change)+token[at+1:], token[:at]+token[at+1:])
		}
		for _, text := range texts {
			plain, err := jose.Decrypt(text, opener)
			switch genuine := strings.Contains(strings.Join(made, " "), text) && len(text) > 100; {
			case err != nil && plain != nil:
				t.Errorf("refused, and read as %q", plain)
			case err == nil && (!genuine || !bytes.Equal(plain, []byte(payload))):
				t.Errorf("%q is read as %q", text, plain)
			}
		}
	})
}
