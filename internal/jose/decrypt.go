package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	josev4 "github.com/go-jose/go-jose/v4"
)

// AgreementAlgorithms are those by which others tell us the key of what they encrypt to
// us, RFC 7518 Section 4.6. They need no key of ours but one on a curve, and whoever
// sends something learns nothing from whether it was decrypted.
var AgreementAlgorithms = []string{"ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}

// A DecryptionKey opens what others have encrypted to us.
type DecryptionKey struct {
	KeyID string // RFC 7638 thumbprint, the "kid" of headers and key sets
	key   *ecdsa.PrivateKey
}

// GenerateDecryptionKey makes a new one, on P-256.
func GenerateDecryptionKey() (*DecryptionKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("jose: generate decryption key: %w", err)
	}
	return newDecryptionKey(key)
}

// ParseDecryptionKey reads what Marshal wrote.
func ParseDecryptionKey(der []byte) (*DecryptionKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("jose: parse decryption key: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("jose: a %T does not decrypt", key)
	}
	return newDecryptionKey(private)
}

func newDecryptionKey(key *ecdsa.PrivateKey) (*DecryptionKey, error) {
	k := &DecryptionKey{key: key}
	jwk, err := k.PublicJWK()
	if err != nil {
		return nil, err
	}
	k.KeyID = jwk.thumbprint()
	return k, nil
}

// Marshal encodes the private key as PKCS #8, for sealing.
func (k *DecryptionKey) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("jose: marshal decryption key: %w", err)
	}
	return der, nil
}

// PublicJWK is the key as the key set publishes it. It names no algorithm: it serves all
// of them.
func (k *DecryptionKey) PublicJWK() (JWK, error) {
	jwk := JWK{Use: "enc", KeyID: k.KeyID, KeyType: "EC", Curve: "P-256"}
	point, err := k.key.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		return JWK{}, fmt.Errorf("jose: encode public key: %w", err)
	}
	half := len(point) / 2
	jwk.X = base64.RawURLEncoding.EncodeToString(point[1 : 1+half])
	jwk.Y = base64.RawURLEncoding.EncodeToString(point[1+half:])
	return jwk, nil
}

// Bounds on what is decrypted, in bytes: a JWS of the greatest size fits.
const (
	maxEncrypted = maxToken*4/3 + 4<<10
	maxHeader    = 2 << 10
)

// IsEncrypted reports whether a text has the parts of a compact JWE, RFC 7516 Section 3.1.
func IsEncrypted(text string) bool { return len(text) <= maxEncrypted && strings.Count(text, ".") == 4 }

// Decrypt opens a compact JWE that somebody has encrypted to one of our keys: find knows
// them by the kid of the header, "" when it has none. Algorithms are those of
// AgreementAlgorithms and ContentAlgorithms. Everything that can be said against a text
// without a key is said first, and nothing in it is decompressed (RFC 8725 Section 3.6).
func Decrypt(text string, find func(keyID string) []*DecryptionKey) ([]byte, error) {
	header, err := readEncryptedHeader(text)
	if err != nil {
		return nil, err
	}
	allowed := make([]josev4.ContentEncryption, len(ContentAlgorithms))
	for i, content := range ContentAlgorithms {
		allowed[i] = josev4.ContentEncryption(content)
	}
	jwe, err := josev4.ParseEncryptedCompact(text, []josev4.KeyAlgorithm{josev4.KeyAlgorithm(header.Algorithm)}, allowed)
	if err != nil {
		return nil, errors.Join(invalid("parse"), err)
	}
	for _, key := range find(header.KeyID) {
		if plain, err := jwe.Decrypt(key.key); err == nil {
			return plain, nil
		}
	}
	return nil, invalid("no key of ours opens it")
}

// An encryptedHeader is what is read of the header of a JWE before a library sees it.
type encryptedHeader struct {
	Algorithm   string          `json:"alg"`
	KeyID       string          `json:"kid"`
	Compression json.RawMessage `json:"zip"`
	Critical    json.RawMessage `json:"crit"`
}

// readEncryptedHeader wants a JWE of bearable size in its one right spelling.
func readEncryptedHeader(text string) (h encryptedHeader, err error) {
	if !IsEncrypted(text) || !isCanonical(text) {
		return h, invalid("not a compact JWE of bearable size")
	}
	parts := strings.Split(text, ".")
	raw, err := strict.DecodeString(parts[0])
	if err != nil || len(raw) > maxHeader || json.Unmarshal(raw, &h) != nil {
		return h, invalid("the header of the JWE cannot be read, or is longer than it needs to be")
	}
	switch {
	case !slices.Contains(AgreementAlgorithms, h.Algorithm):
		return h, invalid("alg is none that is decrypted here")
	case h.Compression != nil:
		return h, invalid("compressed, and nothing is decompressed here")
	case h.Critical != nil:
		return h, invalid("crit names an extension, and none is understood here")
	case (h.Algorithm == "ECDH-ES") != (parts[1] == ""):
		return h, invalid("the encrypted key is there when it must not be, or the other way round")
	}
	return h, nil
}
