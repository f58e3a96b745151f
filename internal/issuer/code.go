package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// NewCode makes an authorization code: 256 random bits, RFC 6749 Section 10.10.
func NewCode() string {
	code := make([]byte, 32)
	rand.Read(code)
	return base64.RawURLEncoding.EncodeToString(code)
}

// HashCode is the only form in which a code is stored.
func HashCode(code string) string {
	sum := sha256.Sum256([]byte(code))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
