// Package jose signs and verifies: JWS compact tokens, JSON Web Keys and their
// thumbprints. It is the only package that knows a JOSE library.
//
// It serves no URL. Its one invariant: the sender of a token never chooses how
// it is verified. Algorithms, type and key come from the caller (RFC 8725
// Section 3.1), and keys named or carried in a header are not looked at.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// Algorithms this package signs and verifies with, RFC 7518 Section 3.1 and RFC 8037
// Section 3.1, where EdDSA is that with Ed25519.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	PS256 = "PS256"
	EdDSA = "EdDSA"
)

// A PrivateKey signs with one algorithm, for ever the same.
type PrivateKey struct {
	KeyID     string // RFC 7638 thumbprint, the "kid" of headers and key sets
	Algorithm string
	signer    crypto.Signer
}

// GenerateKey makes a new key for an algorithm.
func GenerateKey(algorithm string) (*PrivateKey, error) {
	switch algorithm {
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("jose: generate ES256 key: %w", err)
		}
		return newPrivateKey(algorithm, key)
	case RS256, PS256:
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("jose: generate %s key: %w", algorithm, err)
		}
		return newPrivateKey(algorithm, key)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("jose: generate EdDSA key: %w", err)
		}
		return newPrivateKey(algorithm, key)
	}
	return nil, fmt.Errorf("jose: no such algorithm: %q", algorithm)
}

// ParsePrivateKey reads what Marshal wrote.
func ParsePrivateKey(algorithm string, der []byte) (*PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("jose: parse private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("jose: a %T does not sign", key)
	}
	return newPrivateKey(algorithm, signer)
}

func newPrivateKey(algorithm string, signer crypto.Signer) (*PrivateKey, error) {
	k := &PrivateKey{Algorithm: algorithm, signer: signer}
	switch public := signer.Public().(type) {
	case *ecdsa.PublicKey:
		if algorithm != ES256 || public.Curve != elliptic.P256() {
			return nil, fmt.Errorf("jose: the key does not fit %s", algorithm)
		}
	case *rsa.PublicKey:
		if algorithm != RS256 && algorithm != PS256 || public.N.BitLen() < 2048 {
			return nil, fmt.Errorf("jose: the key does not fit %s", algorithm)
		}
	case ed25519.PublicKey:
		if algorithm != EdDSA {
			return nil, fmt.Errorf("jose: the key does not fit %s", algorithm)
		}
	default:
		return nil, fmt.Errorf("jose: no algorithm for a %T", public)
	}
	jwk, err := k.PublicJWK()
	if err != nil {
		return nil, err
	}
	k.KeyID = jwk.thumbprint()
	return k, nil
}

// Marshal encodes the private key as PKCS #8, for sealing.
func (k *PrivateKey) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("jose: marshal private key: %w", err)
	}
	return der, nil
}

// Public is the half that verifies.
func (k *PrivateKey) Public() crypto.PublicKey { return k.signer.Public() }

// A JWK is a public key of a key set, RFC 7517 Section 4. It has no member that
// could hold a private part.
type JWK struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg,omitempty"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// A JWKS is a key set, RFC 7517 Section 5.
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// PublicJWK is the key as the key set publishes it.
func (k *PrivateKey) PublicJWK() (JWK, error) {
	jwk := JWK{Use: "sig", Algorithm: k.Algorithm, KeyID: k.KeyID}
	switch public := k.signer.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, X, Y
		if err != nil {
			return JWK{}, fmt.Errorf("jose: encode public key: %w", err)
		}
		half := len(point) / 2
		jwk.KeyType, jwk.Curve = "EC", "P-256"
		jwk.X = base64.RawURLEncoding.EncodeToString(point[1 : 1+half])
		jwk.Y = base64.RawURLEncoding.EncodeToString(point[1+half:])
	case *rsa.PublicKey:
		jwk.KeyType = "RSA"
		jwk.N = base64.RawURLEncoding.EncodeToString(public.N.Bytes())
		jwk.E = base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes())
	case ed25519.PublicKey:
		jwk.KeyType, jwk.Curve = "OKP", "Ed25519" // RFC 8037 Section 2
		jwk.X = base64.RawURLEncoding.EncodeToString(public)
	}
	return jwk, nil
}

// thumbprint is the SHA-256 thumbprint of RFC 7638 Section 3: the required
// members alone, in the order of their names (for OKP those of RFC 8037 Section 2).
func (j JWK) thumbprint() string {
	var members any
	switch j.KeyType {
	case "EC":
		members = struct {
			Crv string `json:"crv"`
			Kty string `json:"kty"`
			X   string `json:"x"`
			Y   string `json:"y"`
		}{j.Curve, j.KeyType, j.X, j.Y}
	case "OKP":
		members = struct {
			Crv string `json:"crv"`
			Kty string `json:"kty"`
			X   string `json:"x"`
		}{j.Curve, j.KeyType, j.X}
	default:
		members = struct {
			E   string `json:"e"`
			Kty string `json:"kty"`
			N   string `json:"n"`
		}{j.E, j.KeyType, j.N}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic("jose: strings do not marshal: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
