package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/jose"
)

// readers are private keys of somebody else, by what they are called here.
var readers = sync.OnceValue(func() map[string]any {
	made := map[string]any{}
	for name, bits := range map[string]int{"rsa": 2048, "weak": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		made[name] = key
	}
	for name, curve := range map[string]elliptic.Curve{"ec": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		made[name] = key
	}
	return made
})

// A published is a key as somebody publishes it.
type published struct{ name, use, alg string }

// publish makes a key set; the kid of a key says where it stands.
func publish(t testing.TB, keys ...published) *jose.Keys {
	t.Helper()
	set := josev4.JSONWebKeySet{Keys: []josev4.JSONWebKey{}}
	for i, k := range keys {
		jwk := josev4.JSONWebKey{Key: readers()[k.name], KeyID: string(rune('a' + i)), Use: k.use, Algorithm: k.alg}
		set.Keys = append(set.Keys, jwk.Public())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	read, err := jose.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// RFC 7516 Section 7.1: what is encrypted in any of the ways a foreign library decrypts
// with the private key, and with no other; kid and cty stand in the header.
func TestEncryptForForeignReader(t *testing.T) {
	t.Parallel()
	const plain = "eyJ.eyJ.c2ln"
	for _, algorithm := range jose.KeyAlgorithms {
		for _, content := range jose.ContentAlgorithms {
			for _, name := range []string{"rsa", "ec", "p384", "p521"} {
				to, err := publish(t, published{name, "enc", ""}).Recipient(algorithm, content)
				if fitting := strings.HasPrefix(algorithm, "RSA") == (name == "rsa"); !fitting {
					if !errors.Is(err, jose.ErrUnknownKey) {
						t.Errorf("%s to %s: %v", algorithm, name, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s to %s: %v", algorithm, name, err)
				}
				for _, contentType := range []string{"JWT", ""} {
					text, err := to.Encrypt([]byte(plain), contentType)
					if err != nil {
						t.Fatal(err)
					}
					jwe, err := josev4.ParseEncryptedCompact(text, []josev4.KeyAlgorithm{josev4.KeyAlgorithm(algorithm)}, []josev4.ContentEncryption{josev4.ContentEncryption(content)})
					if err != nil {
						t.Fatal(err)
					}
					got, err := jwe.Decrypt(readers()[name])
					cty, _ := jwe.Header.ExtraHeaders[josev4.HeaderContentType].(string)
					if err != nil || string(got) != plain || jwe.Header.KeyID != "a" || cty != contentType {
						t.Errorf("%s, %s to %s: %q, %v, kid %q, cty %q", algorithm, content, name, got, err, jwe.Header.KeyID, cty)
					}
					again, err := to.Encrypt([]byte(plain), contentType)
					if err != nil || again == text {
						t.Errorf("%s, %s: encrypted twice alike, %v", algorithm, content, err)
					}
				}
			}
		}
	}
}

// OpenID Connect Core Section 10.2: a key that is meant for signatures, or for another
// algorithm, or that is too weak is not encrypted to; one that is meant for it goes
// before one that does not say.
func TestRecipient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keys      []published
		algorithm string
		kid       string // "" for none that fits
	}{
		"for encryption":      {[]published{{"rsa", "enc", ""}}, "RSA-OAEP-256", "a"},
		"for nothing":         {[]published{{"rsa", "", ""}}, "RSA-OAEP-256", "a"},
		"for signatures":      {[]published{{"rsa", "sig", ""}}, "RSA-OAEP-256", ""},
		"its alg":             {[]published{{"rsa", "", "RSA-OAEP"}}, "RSA-OAEP", "a"},
		"another alg":         {[]published{{"rsa", "enc", "RSA-OAEP"}}, "RSA-OAEP-256", ""},
		"alg of signatures":   {[]published{{"rsa", "", "RS256"}}, "RSA-OAEP", ""},
		"alg RSA1_5":          {[]published{{"rsa", "enc", "RSA1_5"}}, "RSA-OAEP", ""},
		"weak":                {[]published{{"weak", "enc", ""}}, "RSA-OAEP", ""},
		"the one meant for":   {[]published{{"rsa", "sig", ""}, {"rsa", "", ""}, {"rsa", "enc", ""}}, "RSA-OAEP", "c"},
		"of several kinds":    {[]published{{"rsa", "enc", ""}, {"ec", "enc", ""}}, "ECDH-ES", "b"},
		"of the right kind":   {[]published{{"rsa", "enc", ""}}, "ECDH-ES", ""},
		"unknown way":         {[]published{{"rsa", "enc", ""}}, "RSA1_5", ""},
		"direct":              {[]published{{"ec", "enc", ""}}, "dir", ""},
		"password":            {[]published{{"ec", "enc", ""}}, "PBES2-HS256+A128KW", ""},
		"nobody publishes it": {nil, "ECDH-ES", ""},
	} {
		to, err := publish(t, tt.keys...).Recipient(tt.algorithm, "A128GCM")
		if err != nil {
			if tt.kid != "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		text, err := to.Encrypt([]byte("x"), "")
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := josev4.ParseEncryptedCompact(text, []josev4.KeyAlgorithm{josev4.KeyAlgorithm(tt.algorithm)}, []josev4.ContentEncryption{"A128GCM"})
		if err != nil || jwe.Header.KeyID != tt.kid || tt.kid == "" {
			t.Errorf("%s: encrypted to %q, want %q, %v", name, jwe.Header.KeyID, tt.kid, err)
		}
	}
	if _, err := publish(t, published{"ec", "enc", ""}).Recipient("ECDH-ES", "A192GCM"); err == nil {
		t.Error("A192GCM was taken")
	}
	both := publish(t, published{"rsa", "enc", ""}, published{"ec", "", ""}, published{"weak", "", ""})
	if both.Len() != 1 || both.IsEmpty() || !publish(t, published{"weak", "", ""}).IsEmpty() || publish(t, published{"rsa", "enc", ""}).IsEmpty() {
		t.Error("the keys of a set are counted wrong")
	}
}

// Whatever is read as a key set, what is encrypted to it only its holder can read: a set
// without his public key in it leads to a text that he cannot decrypt.
func FuzzRecipient(f *testing.F) {
	ec := josev4.JSONWebKey{Key: readers()["ec"], KeyID: "a", Use: "enc"}
	public := ec.Public()
	text, err := public.MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	own := string(text)
	f.Add(`{"keys":[` + own + `]}`)
	f.Add(`{"keys":[` + strings.Replace(own, `"use":"enc"`, `"use":"sig"`, 1) + `]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}]}`)
	f.Add(`{"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := jose.ParseKeys([]byte(text))
		if err != nil {
			return
		}
		for _, algorithm := range jose.KeyAlgorithms {
			to, err := keys.Recipient(algorithm, "A128GCM")
			if err != nil {
				continue
			}
			sealed, err := to.Encrypt([]byte("x"), "JWT")
			if err != nil {
				t.Fatalf("%s was taken and does not encrypt: %v", text, err)
			}
			jwe, err := josev4.ParseEncryptedCompact(sealed, []josev4.KeyAlgorithm{josev4.KeyAlgorithm(algorithm)}, []josev4.ContentEncryption{"A128GCM"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jwe.Decrypt(readers()["ec"]); err == nil && !strings.Contains(text, coordinate(own)) {
				t.Errorf("a set without the key leads to a text for it: %s", text)
			}
		}
	})
}
