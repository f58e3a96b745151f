package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/jose"
)

// foreignToken is a token that a foreign library has signed, and the set with its key.
func foreignToken(t testing.TB, typ string) (token string, set []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := josev4.JSONWebKey{Key: key, KeyID: "k"}
	options := &josev4.SignerOptions{}
	if typ != "" {
		options = options.WithType(josev4.ContentType(typ))
	}
	signer, err := josev4.NewSigner(josev4.SigningKey{Algorithm: josev4.ES256, Key: jwk}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(`{"sub":"client"}`))
	if err != nil {
		t.Fatal(err)
	}
	if token, err = jws.CompactSerialize(); err != nil {
		t.Fatal(err)
	}
	if set, err = json.Marshal(josev4.JSONWebKeySet{Keys: []josev4.JSONWebKey{jwk.Public()}}); err != nil {
		t.Fatal(err)
	}
	return token, set
}

// The key decides about the algorithm, and the caller about which of them and which typ
// he takes (RFC 8725 Sections 3.1 and 3.11).
func TestForeignVerify(t *testing.T) {
	t.Parallel()
	token, set := foreignToken(t, "JWT")
	other, _ := foreignToken(t, "")
	keys, err := jose.ParseKeys(set)
	if err != nil || keys.Len() != 1 {
		t.Fatalf("%d keys, %v", keys.Len(), err)
	}
	for name, tt := range map[string]struct {
		token             string
		algorithms, types []string
		want              error
	}{
		"right":             {token, []string{"RS256", "ES256"}, []string{"", "jwt"}, nil},
		"algorithm":         {token, []string{"RS256"}, []string{"jwt"}, jose.ErrInvalid},
		"none at all":       {token, nil, []string{"jwt"}, jose.ErrInvalid},
		"typ":               {token, jose.ForeignAlgorithms, []string{"", "dpop+jwt"}, jose.ErrInvalid},
		"no typ":            {other, jose.ForeignAlgorithms, []string{"jwt"}, jose.ErrInvalid},
		"another's":         {other, jose.ForeignAlgorithms, []string{""}, jose.ErrInvalid},
		"longer than all":   {token + strings.Repeat("A", 16<<10), jose.ForeignAlgorithms, []string{"jwt"}, jose.ErrInvalid},
		"another spelling":  {token + "\n", jose.ForeignAlgorithms, []string{"jwt"}, jose.ErrInvalid},
		"hundreds of parts": {strings.Repeat("e30.", 300), jose.ForeignAlgorithms, []string{"jwt"}, jose.ErrInvalid},
	} {
		payload, err := keys.Verify(tt.token, tt.algorithms, tt.types)
		if !errors.Is(err, tt.want) || (err == nil) != (string(payload) == `{"sub":"client"}`) {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
	}
	empty, err := jose.ParseKeys([]byte(`{"keys":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Verify(token, jose.ForeignAlgorithms, []string{"jwt"}); !errors.Is(err, jose.ErrUnknownKey) || !errors.Is(err, jose.ErrInvalid) {
		t.Errorf("a key that is not there: %v", err)
	}
}

// Of a set, what can be used is; a set with a secret in it is none (JW-05).
func TestParseKeys(t *testing.T) {
	t.Parallel()
	_, set := foreignToken(t, "")
	key := strings.TrimSuffix(strings.TrimPrefix(string(set), `{"keys":[`), `]}`)
	for text, want := range map[string]int{
		string(set):   1,
		`{"keys":[]}`: 0,
		`{"keys":[{"kty":"unknown"},{},7,` + key + `]}`:                                      1,
		`{"keys":[` + key + `],"more":true}`:                                                 1,
		`{"keys":[` + strings.Replace(key, `"kid":"k"`, `"kid":"k","use":"enc"`, 1) + `]}`:   0,
		`{"keys":[` + strings.Replace(key, `"kid":"k"`, `"kid":"k","alg":"RS256"`, 1) + `]}`: 0,
		`{"keys":[` + strings.Replace(key, `"kid":"k"`, `"kid":"k","alg":"ES256"`, 1) + `]}`: 1,
		`{"keys":[` + strings.Replace(key, `"kid":"k"`, `"kid":"k","d":"AAAA"`, 1) + `]}`:    -1,
		`{"keys":[{"kty":"oct","k":"AAAA"}]}`:                                                -1,
		`{}`:                                                                                 -1, `[]`: -1, ``: -1, `{"keys":{}}`: -1, `{"keys":null}`: -1,
		`{"keys":[` + strings.Repeat("{},", 50) + `{}]}`:        -1,
		`{"keys":[],"x":"` + strings.Repeat("x", 64<<10) + `"}`: -1,
	} {
		keys, err := jose.ParseKeys([]byte(text))
		switch {
		case want < 0 && !errors.Is(err, jose.ErrInvalid):
			t.Errorf("%.80s: %v", text, err)
		case want >= 0 && (err != nil || keys.Len() != want):
			t.Errorf("%.80s: %v, want %d keys", text, err, want)
		}
	}
}

// Whatever is read as a key set verifies nothing that its holder has not signed.
func FuzzParseKeys(f *testing.F) {
	token, set := foreignToken(f, "JWT")
	f.Add(string(set))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k"}]}`)
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	own := string(set)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := jose.ParseKeys([]byte(text))
		if err != nil {
			return
		}
		if payload, err := keys.Verify(token, jose.ForeignAlgorithms, []string{"jwt"}); err == nil && !strings.Contains(text, coordinate(own)) {
			t.Errorf("a set without the key took %q", payload)
		}
	})
}

// coordinate is the text of one half of a public point.
func coordinate(set string) string {
	_, rest, _ := strings.Cut(set, `"x":"`)
	x, _, _ := strings.Cut(rest, `"`)
	return x
}
