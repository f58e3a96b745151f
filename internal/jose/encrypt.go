package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"slices"

	josev4 "github.com/go-jose/go-jose/v4"
)

// KeyAlgorithms are those by which the key of a JWE is told to its reader, RFC 7518
// Section 4.1. RSA1_5 is none of them: what answers to it can be asked to decrypt (RFC
// 8725 Section 3.2).
var KeyAlgorithms = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}

// ContentAlgorithms are those that the content of a JWE is encrypted with, RFC 7518
// Section 5.1.
var ContentAlgorithms = []string{"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"}

// A Recipient is somebody whom something can be encrypted to, with one of his keys and
// in one way.
type Recipient struct {
	key       josev4.JSONWebKey
	algorithm string
	content   string
}

// Recipient finds the key of a set that something is encrypted to: one that is meant for
// it, else one that does not say what it is meant for, as OpenID Connect Core Section
// 10.2 has it. ErrUnknownKey is returned when there is none.
func (k *Keys) Recipient(algorithm, content string) (*Recipient, error) {
	if !slices.Contains(KeyAlgorithms, algorithm) || !slices.Contains(ContentAlgorithms, content) {
		return nil, fmt.Errorf("jose: no such way to encrypt: %q and %q", algorithm, content)
	}
	for _, use := range []string{"enc", ""} {
		for i := range k.encrypt {
			if key := k.encrypt[i]; key.Use == use && encrypts(&key, algorithm) {
				return &Recipient{key: key, algorithm: algorithm, content: content}, nil
			}
		}
	}
	return nil, ErrUnknownKey
}

// encrypts reports whether something can be encrypted to a key by an algorithm: the type
// of the key decides, and what it says of itself.
func encrypts(key *josev4.JSONWebKey, algorithm string) bool {
	if key.Use == "sig" || key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return (algorithm == "RSA-OAEP" || algorithm == "RSA-OAEP-256") && public.N.BitLen() >= 2048 && public.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		known := public.Curve == elliptic.P256() || public.Curve == elliptic.P384() || public.Curve == elliptic.P521()
		return known && (algorithm == "ECDH-ES" || algorithm == "ECDH-ES+A128KW" || algorithm == "ECDH-ES+A256KW")
	}
	return false
}

// Encrypt makes a JWE in compact form, RFC 7516 Section 7.1. Its cty is contentType; ""
// leaves that out.
func (r *Recipient) Encrypt(plain []byte, contentType string) (string, error) {
	options := &josev4.EncrypterOptions{}
	if contentType != "" {
		options = options.WithContentType(josev4.ContentType(contentType))
	}
	to := josev4.Recipient{Algorithm: josev4.KeyAlgorithm(r.algorithm), Key: r.key.Key, KeyID: r.key.KeyID}
	encrypter, err := josev4.NewEncrypter(josev4.ContentEncryption(r.content), to, options)
	if err != nil {
		return "", fmt.Errorf("jose: encrypt: %w", err)
	}
	jwe, err := encrypter.Encrypt(plain)
	if err != nil {
		return "", fmt.Errorf("jose: encrypt: %w", err)
	}
	text, err := jwe.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("jose: encrypt: %w", err)
	}
	return text, nil
}
