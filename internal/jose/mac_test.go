package jose_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"strings"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/jose"
)

// macToken is a token that a foreign library has made with a secret.
func macToken(t testing.TB, algorithm, secret, typ string) string {
	t.Helper()
	options := &josev4.SignerOptions{}
	if typ != "" {
		options = options.WithType(josev4.ContentType(typ))
	}
	signer, err := josev4.NewSigner(josev4.SigningKey{Algorithm: josev4.SignatureAlgorithm(algorithm), Key: []byte(secret)}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(`{"sub":"client"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// handmade is macToken for secrets that the library refuses.
func handmade(algorithm, secret string) string {
	return forge(`{"alg":"`+algorithm+`"}`, `{"sub":"client"}`, func(signed []byte) []byte {
		m := hmac.New(map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[algorithm], []byte(secret))
		m.Write(signed)
		return m.Sum(nil)
	})
}

// RFC 7518 Section 3.2: an HMAC is taken when it was made with one of the secrets, that
// is as long as the hash, and with an algorithm that the caller names; one of a key pair
// never is (JW-01).
func TestVerifyMAC(t *testing.T) {
	t.Parallel()
	secret, short := strings.Repeat("s", 64), strings.Repeat("s", 31)
	signed, _ := foreignToken(t, "")
	for name, tt := range map[string]struct {
		token      string
		secrets    []string
		algorithms []string
		want       error
	}{
		"HS256":             {macToken(t, "HS256", secret, ""), []string{secret}, jose.MACAlgorithms, nil},
		"HS384":             {macToken(t, "HS384", secret, "JWT"), []string{secret}, jose.MACAlgorithms, nil},
		"HS512":             {macToken(t, "HS512", secret, ""), []string{secret}, jose.MACAlgorithms, nil},
		"the second secret": {macToken(t, "HS256", secret, ""), []string{secret[1:], secret}, jose.MACAlgorithms, nil},
		"32 bytes":          {handmade("HS256", secret[:32]), []string{secret[:32]}, jose.MACAlgorithms, nil},
		"31 bytes":          {handmade("HS256", short), []string{short}, jose.MACAlgorithms, jose.ErrMAC},
		"47 for HS384":      {handmade("HS384", secret[:47]), []string{secret[:47]}, jose.MACAlgorithms, jose.ErrMAC},
		"63 for HS512":      {handmade("HS512", secret[:63]), []string{secret[:63]}, jose.MACAlgorithms, jose.ErrMAC},
		"another secret":    {macToken(t, "HS256", secret, ""), []string{secret[1:]}, jose.MACAlgorithms, jose.ErrMAC},
		"no secret":         {macToken(t, "HS256", secret, ""), nil, jose.MACAlgorithms, jose.ErrMAC},
		"another algorithm": {macToken(t, "HS512", secret, ""), []string{secret}, []string{"HS256"}, jose.ErrInvalid},
		"no algorithm":      {macToken(t, "HS256", secret, ""), []string{secret}, nil, jose.ErrInvalid},
		"typ":               {macToken(t, "HS256", secret, "at+jwt"), []string{secret}, jose.MACAlgorithms, jose.ErrInvalid},
		"of a key pair":     {signed, []string{secret}, jose.MACAlgorithms, jose.ErrInvalid},
	} {
		var secrets [][]byte
		for _, s := range tt.secrets {
			secrets = append(secrets, []byte(s))
		}
		payload, err := jose.VerifyMAC(tt.token, secrets, tt.algorithms, []string{"", "jwt"})
		if !errors.Is(err, tt.want) || (err == nil) != (string(payload) == `{"sub":"client"}`) {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
		if tt.want == jose.ErrMAC && !errors.Is(err, jose.ErrInvalid) {
			t.Errorf("%s: %v is not invalid", name, err)
		}
	}
	for _, algorithm := range []string{"ES256", "none", ""} {
		if _, err := jose.VerifyMAC(signed, [][]byte{[]byte(secret)}, []string{"HS256", algorithm}, []string{""}); err == nil || errors.Is(err, jose.ErrInvalid) {
			t.Errorf("asked to take %q: %v", algorithm, err)
		}
	}
}

// Of all texts those verify that were made with the secret, in their one spelling.
func FuzzVerifyMAC(f *testing.F) {
	secret := strings.Repeat("s", 64)
	genuine := map[string]bool{}
	for _, algorithm := range jose.MACAlgorithms {
		token := macToken(f, algorithm, secret, "")
		genuine[token] = true
		f.Add(token)
		f.Add(token + "\n")
		f.Add(strings.Replace(token, ".", "..", 1))
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if payload, err := jose.VerifyMAC(token, [][]byte{[]byte(secret)}, jose.MACAlgorithms, []string{"", "jwt"}); err == nil && !genuine[token] {
			t.Errorf("accepted %q as %q", token, payload)
		}
	})
}
