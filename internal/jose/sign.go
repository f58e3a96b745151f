package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Sign makes a JWS in compact form (RFC 7515 Section 7.1) over the payload,
// with typ, alg and kid in its header. It signs with the standard library: on
// the hot path of the token endpoint that takes half of the time the library
// needs.
func (k *PrivateKey) Sign(typ string, payload []byte) (string, error) {
	token := k.appendHeader(make([]byte, 0, 1024), typ) // on the stack, as a rule
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	token, err := k.appendSignature(token)
	return string(token), err
}

// ErrForeign is returned for a token that Sign did not begin.
var ErrForeign = errors.New("jose: not a token of this key")

// Recognize returns the payload of a token that Sign made with this key, an ES256
// one, for this typ. It signs again and compares: ES256 has one signature of a text
// here, because the nonce comes from key and text, and to make it takes half of the
// time of verifying it. So a token has one text as well, while ECDSA by itself
// gives each signature a twin. A token with another header is ErrForeign.
func (k *PrivateKey) Recognize(token, typ string) ([]byte, error) {
	header := k.appendHeader(make([]byte, 0, 256), typ)
	end := strings.LastIndexByte(token, '.')
	if k.Algorithm != ES256 || end < len(header) || token[:len(header)] != string(header) {
		return nil, ErrForeign
	}
	again, err := k.appendSignature(append(make([]byte, 0, 1024), token[:end]...))
	if err != nil || subtle.ConstantTimeCompare(again, []byte(token)) == 0 {
		return nil, ErrInvalid
	}
	payload, err := strict.DecodeString(token[len(header):end])
	if err != nil {
		return nil, ErrInvalid
	}
	return payload, nil
}

// appendHeader appends the header of a token with the dot behind it.
func (k *PrivateKey) appendHeader(to []byte, typ string) []byte {
	header := append(make([]byte, 0, 128), `{"alg":"`...)
	header = append(append(header, k.Algorithm...), `","kid":"`...)
	header = append(append(header, k.KeyID...), `","typ":"`...)
	header = append(append(header, typ...), `"}`...)
	return append(base64.RawURLEncoding.AppendEncode(to, header), '.')
}

// appendSignature signs header and payload and appends the signature behind a dot.
func (k *PrivateKey) appendSignature(token []byte) ([]byte, error) {
	signature, err := k.signature(token)
	if err != nil {
		return nil, fmt.Errorf("jose: sign %s: %w", k.Algorithm, err)
	}
	return base64.RawURLEncoding.AppendEncode(append(token, '.'), signature), nil
}

func (k *PrivateKey) signature(token []byte) ([]byte, error) {
	if key, ok := k.signer.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, token), nil
	}
	sum := sha256.Sum256(token)
	digest := sum[:]
	switch key := k.signer.(type) {
	case *ecdsa.PrivateKey:
		// Without a source of random numbers the nonce is that of RFC 6979, which RFC
		// 8725 Section 3.2 asks for. It also costs a fifth less.
		der, err := key.Sign(nil, digest, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return sideBySide(der)
	case *rsa.PrivateKey:
		if k.Algorithm == PS256 { // with a salt as long as the hash, RFC 7518 Section 3.5
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
	}
	return nil, fmt.Errorf("no signature with a %T", k.signer)
}

// HalfHash is the left half of the hash of a text, as base64url: what at_hash and c_hash
// of an ID token are (OpenID Connect Core Sections 3.1.3.6 and 3.3.2.11). The hash is
// that of the algorithm the token is signed with; Ed25519 hashes with SHA-512 (RFC 8032
// Section 5.1).
func HalfHash(algorithm, text string) string {
	if algorithm == EdDSA {
		sum := sha512.Sum512([]byte(text))
		return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// sideBySide turns SEQUENCE { INTEGER r, INTEGER s } in DER into R and S of 32
// bytes each, RFC 7518 Section 3.4.
func sideBySide(der []byte) ([]byte, error) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errSignature
	}
	r, rest, ok := readInteger(der[2:])
	s, rest, also := readInteger(rest)
	if !ok || !also || len(rest) > 0 {
		return nil, errSignature
	}
	signature := make([]byte, 64)
	copy(signature[32-len(r):], r)
	copy(signature[64-len(s):], s)
	return signature, nil
}

var errSignature = errors.New("not a signature of P-256")

// readInteger reads a number of at most 32 bytes that is not negative, in its one
// right spelling.
func readInteger(der []byte) (number, rest []byte, ok bool) {
	if len(der) < 3 || der[0] != 0x02 || der[1] == 0 || int(der[1]) > len(der)-2 || der[2]&0x80 != 0 {
		return nil, nil, false
	}
	number, rest = der[2:2+der[1]], der[2+der[1]:]
	if len(number) > 1 && number[0] == 0 {
		if number = number[1:]; number[0]&0x80 == 0 {
			return nil, nil, false // nothing for the zero to keep from being negative
		}
	}
	return number, rest, len(number) <= 32
}
