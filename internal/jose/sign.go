package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Sign makes a JWS in compact form (RFC 7515 Section 7.1) over the payload,
// with typ, alg and kid in its header. It signs with the standard library: on
// the hot path of the token endpoint that takes two thirds of the time the
// library needs.
func (k *PrivateKey) Sign(typ string, payload []byte) (string, error) {
	header := `{"alg":"` + k.Algorithm + `","kid":"` + k.KeyID + `","typ":"` + typ + `"}`
	enc := base64.RawURLEncoding
	token := make([]byte, 0, enc.EncodedLen(len(header))+enc.EncodedLen(len(payload))+2+enc.EncodedLen(256))
	token = enc.AppendEncode(token, []byte(header))
	token = append(token, '.')
	token = enc.AppendEncode(token, payload)

	digest := sha256.Sum256(token)
	signature, err := k.signDigest(digest[:])
	if err != nil {
		return "", fmt.Errorf("jose: sign %s: %w", k.Algorithm, err)
	}
	token = append(token, '.')
	return string(enc.AppendEncode(token, signature)), nil
}

func (k *PrivateKey) signDigest(digest []byte) ([]byte, error) {
	switch key := k.signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 64) // R and S side by side, RFC 7518 Section 3.4
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature, nil
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
	}
	return nil, fmt.Errorf("no signature with a %T", k.signer)
}
