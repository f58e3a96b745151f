package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/jose"
)

// keys are one key of each algorithm; an RSA key takes long to make.
var keys = sync.OnceValue(func() map[string]*jose.PrivateKey {
	made := map[string]*jose.PrivateKey{}
	for _, algorithm := range []string{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA} {
		k, err := jose.GenerateKey(algorithm)
		if err != nil {
			panic(err)
		}
		made[algorithm] = k
	}
	return made
})

// find knows all keys, as the ring of a server does.
func find(id string) (jose.Key, bool) {
	for _, k := range keys() {
		if k.KeyID == id {
			return jose.Key{Algorithm: k.Algorithm, Public: k.Public()}, true
		}
	}
	return jose.Key{}, false
}

const payload = `{"iss":"https://id.example","sub":"alice"}`

func sign(t testing.TB, algorithm string) string {
	t.Helper()
	token, err := keys()[algorithm].Sign("at+jwt", []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// RFC 7515 Section 7.1: what we sign a foreign library verifies, with the key it
// reads from our key set, and the kid is the thumbprint of RFC 7638 (JW-14).
func TestSignForForeignVerifier(t *testing.T) {
	t.Parallel()
	for algorithm, key := range keys() {
		jwk, err := key.PublicJWK()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(jose.JWKS{Keys: []jose.JWK{jwk}})
		if err != nil {
			t.Fatal(err)
		}
		var set josev4.JSONWebKeySet
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatalf("key set %s: %v", text, err)
		}
		read := set.Keys[0]
		thumbprint, err := read.Thumbprint(crypto.SHA256)
		if err != nil || !read.IsPublic() || read.Algorithm != algorithm || read.Use != "sig" {
			t.Errorf("%s: %+v, %v", algorithm, read, err)
		}
		if want := base64.RawURLEncoding.EncodeToString(thumbprint); read.KeyID != want || key.KeyID != want {
			t.Errorf("%s: kid %q, want the thumbprint %q", algorithm, read.KeyID, want)
		}
		token := sign(t, algorithm)
		jws, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{josev4.SignatureAlgorithm(algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		header := jws.Signatures[0].Header
		if header.KeyID != key.KeyID || header.Algorithm != algorithm || header.ExtraHeaders[josev4.HeaderType] != "at+jwt" {
			t.Errorf("%s: header %+v", algorithm, header)
		}
		if got, err := jws.Verify(read.Key); err != nil || string(got) != payload {
			t.Errorf("%s: verified %q, %v", algorithm, got, err)
		}
		if got, err := jose.Verify(token, "at+jwt", find); err != nil || string(got) != payload {
			t.Errorf("%s: we verify %q, %v", algorithm, got, err)
		}
	}
}

// forge signs any header with any bytes, as an attacker can.
func forge(header string, body string, signature func(signed []byte) []byte) string {
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(body))
	return signed + "." + enc.EncodeToString(signature([]byte(signed)))
}

// resign signs any header with one of our own keys, so that only the header can
// be what is refused.
func resign(t *testing.T, algorithm, header string) string {
	t.Helper()
	// Sign takes typ verbatim; the closing quote is ours to place.
	head := strings.ReplaceAll(header, "KID", keys()[algorithm].KeyID)
	der, err := keys()[algorithm].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return forge(head, payload, func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		if k, ok := private.(*rsa.PrivateKey); ok {
			s, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		r, s, err := ecdsa.Sign(rand.Reader, private.(*ecdsa.PrivateKey), digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	})
}

// RFC 8725 Sections 3.1 to 3.11: algorithm, key and type are the verifier's to
// choose; what a header brings along is not looked at (JW-01, JW-02, JW-03,
// JW-04, JW-05).
func TestVerifyHeader(t *testing.T) {
	t.Parallel()
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirs := josev4.JSONWebKey{Key: attacker.Public(), KeyID: "x"}
	jwk, err := theirs.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	byAttacker := func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, attacker, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	public, err := x509.MarshalPKIXPublicKey(keys()[jose.RS256].Public())
	if err != nil {
		t.Fatal(err)
	}
	byPublicKey := func(signed []byte) []byte {
		mac := hmac.New(sha256.New, public)
		mac.Write(signed)
		return mac.Sum(nil)
	}
	nothing := func([]byte) []byte { return nil }
	ec, rs := keys()[jose.ES256].KeyID, keys()[jose.RS256].KeyID
	for name, tt := range map[string]struct {
		token    string
		accepted bool
	}{
		"usual":                     {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt"}`), true},
		"members in another order":  {resign(t, jose.RS256, `{"typ":"at+jwt","kid":"KID","alg":"RS256"}`), true},
		"typ in other case":         {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"AT+JWT"}`), true},
		"typ with application/":     {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"application/at+jwt"}`), true},
		"foreign jwk beside kid":    {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt","jwk":`+string(jwk)+`}`), true},
		"jku and x5u beside kid":    {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/"}`), true},
		"typ of an ID token":        {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"JWT"}`), false},
		"typ missing":               {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID"}`), false},
		"typ a number":              {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":1}`), false},
		"typ with a parameter":      {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt;a=b"}`), false},
		"typ with text/":            {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"text/at+jwt"}`), false},
		"kid missing":               {resign(t, jose.ES256, `{"alg":"ES256","typ":"at+jwt"}`), false},
		"kid of the other key":      {resign(t, jose.ES256, `{"alg":"ES256","kid":"`+rs+`","typ":"at+jwt"}`), false},
		"kid a path":                {resign(t, jose.ES256, `{"alg":"ES256","kid":"../../etc/passwd","typ":"at+jwt"}`), false},
		"kid an SQL text":           {resign(t, jose.ES256, `{"alg":"ES256","kid":"' OR 1=1 --","typ":"at+jwt"}`), false},
		"kid of 15 KiB":             {resign(t, jose.ES256, `{"alg":"ES256","kid":"`+strings.Repeat("a", 15<<10)+`","typ":"at+jwt"}`), false},
		"unknown crit":              {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt","crit":["x"],"x":1}`), false},
		"crit b64":                  {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt","crit":["b64"],"b64":true}`), false},
		"empty crit":                {resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt","crit":[]}`), false},
		"alg none":                  {forge(`{"alg":"none","kid":"`+ec+`","typ":"at+jwt"}`, payload, nothing), false},
		"alg None":                  {forge(`{"alg":"None","kid":"`+ec+`","typ":"at+jwt"}`, payload, nothing), false},
		"alg missing":               {forge(`{"kid":"`+ec+`","typ":"at+jwt"}`, payload, nothing), false},
		"HS256 with the public key": {forge(`{"alg":"HS256","kid":"`+rs+`","typ":"at+jwt"}`, payload, byPublicKey), false},
		"RS256 named for ES256":     {resign(t, jose.ES256, `{"alg":"RS256","kid":"KID","typ":"at+jwt"}`), false},
		"ES256 named for RS256":     {resign(t, jose.RS256, `{"alg":"ES256","kid":"KID","typ":"at+jwt"}`), false},
		"signed by an attacker":     {forge(`{"alg":"ES256","kid":"`+ec+`","typ":"at+jwt"}`, payload, byAttacker), false},
		"attacker's jwk":            {forge(`{"alg":"ES256","kid":"x","typ":"at+jwt","jwk":`+string(jwk)+`}`, payload, byAttacker), false},
		"attacker's jwk, our kid":   {forge(`{"alg":"ES256","kid":"`+ec+`","typ":"at+jwt","jwk":`+string(jwk)+`}`, payload, byAttacker), false},
		"no signature":              {forge(`{"alg":"ES256","kid":"`+ec+`","typ":"at+jwt"}`, payload, nothing), false},
		"signature of zeroes":       {forge(`{"alg":"ES256","kid":"`+ec+`","typ":"at+jwt"}`, payload, func([]byte) []byte { return make([]byte, 64) }), false},
		"signature too long":        {forge(`{"alg":"ES256","kid":"`+ec+`","typ":"at+jwt"}`, payload, func([]byte) []byte { return make([]byte, 65) }), false},
		"header no object":          {forge(`[]`, payload, nothing), false},
		"header no JSON":            {forge(`{`, payload, nothing), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := jose.Verify(tt.token, "at+jwt", find)
			switch {
			case tt.accepted && (err != nil || string(got) != payload):
				t.Errorf("got %q, %v", got, err)
			case !tt.accepted && (!errors.Is(err, jose.ErrInvalid) || got != nil):
				t.Errorf("got %q, %v; want ErrInvalid", got, err)
			}
		})
	}
}

// RFC 7515 Section 2: three parts of base64url without padding, in one spelling
// (JW-05).
func TestVerifyForm(t *testing.T) {
	t.Parallel()
	token := sign(t, jose.ES256)
	header, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	for name, text := range map[string]string{
		"empty":             "",
		"dots":              "..",
		"many dots":         strings.Repeat(".", 8000),
		"two parts":         header + "." + body,
		"five parts":        token + "..",
		"a part more":       token + "." + signature,
		"padding":           token + "==",
		"break at the end":  token + "\n",
		"break in header":   header[:4] + "\n" + header[4:] + "." + body + "." + signature,
		"break in body":     header + "." + body[:4] + "\r\n" + body[4:] + "." + signature,
		"break in the tag":  header + "." + body + "." + signature[:4] + "\n" + signature[4:],
		"space before":      " " + token,
		"stray bits":        token[:len(token)-1] + next(token[len(token)-1]),
		"standard alphabet": header + "." + body + "." + strings.Repeat("+/", 43),
		"without header":    "." + body + "." + signature,
		"without body":      header + ".." + signature,
		"JSON form":         `{"protected":"` + header + `","payload":"` + body + `","signature":"` + signature + `"}`,
		"17 KiB":            header + "." + strings.Repeat("A", 17<<10) + "." + signature,
	} {
		if got, err := jose.Verify(text, "at+jwt", find); !errors.Is(err, jose.ErrInvalid) {
			t.Errorf("%s: got %q, %v; want ErrInvalid", name, got, err)
		}
	}
}

// next is another last letter for the same bytes: a signature of 64 bytes leaves
// four bits of it unused.
func next(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)|1])
}

// A key keeps its algorithm and its id through storage, and cannot take those of
// another.
func TestPrivateKey(t *testing.T) {
	t.Parallel()
	for algorithm, key := range keys() {
		der, err := key.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := jose.ParsePrivateKey(algorithm, der)
		if err != nil || back.KeyID != key.KeyID || back.Algorithm != algorithm {
			t.Errorf("%s: read back %+v, %v", algorithm, back, err)
		}
		again, err := back.Marshal()
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("%s: written again it differs, %v", algorithm, err)
		}
		for _, other := range []string{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA, "ES384", "none", ""} {
			_, err := jose.ParsePrivateKey(other, der)
			rsa := strings.HasSuffix(algorithm, "S256") && algorithm != jose.ES256 && strings.HasSuffix(other, "S256") && other != jose.ES256
			if other != algorithm && !rsa && err == nil { // the purpose tells keys of RSA apart
				t.Errorf("a key of %s was taken for %q", algorithm, other)
			}
		}
		if _, err := jose.ParsePrivateKey(algorithm, der[:len(der)-1]); err == nil {
			t.Errorf("%s: half a key was taken", algorithm)
		}
	}
	if keys()[jose.RS256].Public().(*rsa.PublicKey).N.BitLen() < 2048 {
		t.Error("the RSA key is shorter than 2048 bits")
	}
	if _, err := jose.GenerateKey("HS256"); err == nil {
		t.Error("a key was made for HS256")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.ParsePrivateKey(jose.ES256, der); err == nil {
		t.Error("a key on P-384 was taken for ES256")
	}
}

// A key set shows nothing that is private (JW-14, KY-03).
func TestPublicJWK(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		jose.ES256: "alg crv kid kty use x y", jose.RS256: "alg e kid kty n use",
		jose.PS256: "alg e kid kty n use", jose.EdDSA: "alg crv kid kty use x",
	}
	for algorithm, key := range keys() {
		jwk, err := key.PublicJWK()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(jwk)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]string
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(want[algorithm]) {
			if members[name] == "" {
				t.Errorf("%s: no %s in %s", algorithm, name, text)
			}
			delete(members, name)
		}
		if len(members) > 0 {
			t.Errorf("%s: members too many: %v", algorithm, members)
		}
		if algorithm == jose.ES256 && (len(jwk.X) != 43 || len(jwk.Y) != 43) {
			t.Errorf("coordinates of %d and %d letters, want 43: RFC 7518 Section 6.2.1.2", len(jwk.X), len(jwk.Y))
		}
	}
}

// RFC 8725 Section 3.2: the nonce of ECDSA comes from key and message (RFC 6979),
// so no weakness of random numbers can give the key away.
func TestSignIsDeterministic(t *testing.T) {
	t.Parallel()
	if once, again := sign(t, jose.ES256), sign(t, jose.ES256); once != again {
		t.Errorf("signed twice:\n%s\n%s", once, again)
	}
	other, err := keys()[jose.ES256].Sign("at+jwt", []byte(`{"iss":"https://id.example","sub":"bob"}`))
	if err != nil {
		t.Fatal(err)
	}
	signature := func(token string) string { return token[strings.LastIndex(token, ".")+1:] }
	if signature(other)[:42] == signature(sign(t, jose.ES256))[:42] {
		t.Error("two messages share a nonce, which tells the key")
	}
}

// A key recognizes what it signed for the same use, in its one text, and nothing
// else; not even the twin that every signature of ECDSA has, nor another that is
// right.
func TestRecognize(t *testing.T) {
	t.Parallel()
	key, token := keys()[jose.ES256], sign(t, jose.ES256)
	if got, err := key.Recognize(token, "at+jwt"); err != nil || string(got) != payload {
		t.Errorf("its own: %q, %v", got, err)
	}
	signed := token[:strings.LastIndex(token, ".")]
	raw, err := base64.RawURLEncoding.DecodeString(token[len(signed)+1:])
	if err != nil {
		t.Fatal(err)
	}
	twin := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(raw[32:]))
	other, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	another := resign(t, jose.ES256, `{"alg":"ES256","kid":"KID","typ":"at+jwt"}`) // with a nonce of its own
	for name, tt := range map[string]struct {
		key        *jose.PrivateKey
		token, typ string
		verifies   bool
		want       error
	}{
		"the twin":          {key, signed + "." + base64.RawURLEncoding.EncodeToString(append(raw[:32:32], twin.FillBytes(make([]byte, 32))...)), "at+jwt", true, jose.ErrInvalid},
		"another signature": {key, another, "at+jwt", true, jose.ErrInvalid},
		"for another use":   {key, token, "JWT", true, jose.ErrForeign},
		"of another key":    {other, token, "at+jwt", true, jose.ErrForeign},
		"of RSA":            {keys()[jose.RS256], sign(t, jose.RS256), "at+jwt", true, jose.ErrForeign},
		"without signature": {key, signed + ".", "at+jwt", false, jose.ErrInvalid},
		"cut":               {key, signed, "at+jwt", false, jose.ErrForeign},
		"longer":            {key, token + "A", "at+jwt", false, jose.ErrInvalid},
		"broken":            {key, token + "\n", "at+jwt", false, jose.ErrInvalid},
		"header alone":      {key, strings.SplitAfter(token, ".")[0], "at+jwt", false, jose.ErrForeign},
		"empty":             {key, "", "at+jwt", false, jose.ErrForeign},
	} {
		if got, err := tt.key.Recognize(tt.token, tt.typ); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := jose.Verify(tt.token, "at+jwt", find); (err == nil) != tt.verifies {
			t.Errorf("%s: as a signature: %v, want it right: %t", name, err, tt.verifies)
		}
	}
}

// Exactly what is two numbers of 256 bits in DER is read, and as these numbers.
func FuzzSideBySide(f *testing.F) {
	for _, seed := range []string{"3006020101020102", "300702020080020100", "3008020200ff02020100", "30060201810201", "300602010102010200", "3006020001020102", "30", "300702020001020101"} {
		der, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		got, refused := jose.SideBySide(der)
		var want struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &want); err != nil {
			want.R, want.S = big.NewInt(-1), big.NewInt(-1)
		}
		again, err := asn1.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		valid := bytes.Equal(again, der) && min(want.R.Sign(), want.S.Sign()) >= 0 && max(want.R.BitLen(), want.S.BitLen()) <= 256
		switch {
		case valid != (refused == nil):
			t.Errorf("%x: %v; it is %v and %v", der, refused, want.R, want.S)
		case valid && !bytes.Equal(got, append(want.R.FillBytes(make([]byte, 32)), want.S.FillBytes(make([]byte, 32))...)):
			t.Errorf("%x reads as %x, want %x and %x", der, got, want.R, want.S)
		}
	})
}

// Of all texts exactly those verify that were signed: whatever is accepted is
// header and payload of a token of ours, and its signature in its one spelling.
func FuzzVerify(f *testing.F) {
	genuine := map[string]string{}
	for algorithm := range keys() {
		token := sign(f, algorithm)
		genuine[token[:strings.LastIndex(token, ".")]] = token
		f.Add(token, 0, byte(0))
		f.Add(token, len(token)-1, byte(1))
		f.Add(token, 40, byte('\n'))
	}
	f.Add("..", 0, byte(0))
	f.Add("eyJhbGciOiJub25lIn0.e30.", 3, byte(7))
	f.Fuzz(func(t *testing.T, text string, at int, change byte) {
		// The fuzzer knows the tokens of another run only; mutate those of this one.
		texts := []string{text}
		for _, token := range genuine {
			at := max(0, at) % len(token)
			texts = append(texts, token[:at]+string(rune(change))+token[at:], token[:at]+string(token[at]^change)+token[at+1:], token[:at]+token[at+1:], token[:at]+text+token[at:])
		}
		for _, text := range texts {
			signed := text[:max(0, strings.LastIndex(text, "."))]
			for _, read := range []func() ([]byte, error){
				func() ([]byte, error) { return jose.Verify(text, "at+jwt", find) },
				func() ([]byte, error) { return keys()[jose.ES256].Recognize(text, "at+jwt") },
			} {
				if got, err := read(); err == nil && (genuine[signed] != text || string(got) != payload) {
					t.Errorf("accepted %q as %q", text, got)
				}
			}
		}
	})
}
