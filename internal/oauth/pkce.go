package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// A Challenge is a code_challenge made with S256, RFC 7636 Section 4.2; "" when
// the request carried none.
type Challenge string

// ParseChallenge reads code_challenge and code_challenge_method of an
// authorization request. Only S256 is taken: plain protects nothing once the
// request leaks (RFC 9700 Section 2.1.1), and plain is what a missing method
// means.
func ParseChallenge(form Form) (Challenge, error) {
	challenge, method := form.Get("code_challenge"), form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "":
		return "", nil
	case challenge == "":
		return "", Errorf(InvalidRequest, "code_challenge is missing")
	case method != "S256":
		return "", Errorf(InvalidRequest, "code_challenge_method must be S256")
	case !isUnreserved(challenge):
		return "", Errorf(InvalidRequest, "code_challenge must be 43 to 128 unreserved characters")
	}
	return Challenge(challenge), nil
}

// Verify reports whether verifier answers the challenge, as RFC 7636
// Section 4.6 has the token endpoint do before it returns tokens.
//
// A verifier without a challenge is refused too. Accepting it would let an
// attacker strip the challenge from the authorization request, the downgrade
// that RFC 9700 Section 4.8 describes.
func (c Challenge) Verify(verifier string) error {
	switch {
	case c == "" && verifier == "":
		return nil
	case c == "":
		return Errorf(InvalidGrant, "code_verifier was sent, but the authorization request had no code_challenge")
	case verifier == "":
		return Errorf(InvalidGrant, "code_verifier is missing")
	case !isUnreserved(verifier):
		return Errorf(InvalidRequest, "code_verifier must be 43 to 128 unreserved characters")
	}
	sum := sha256.Sum256([]byte(verifier))
	answer := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(answer), []byte(c)) != 1 {
		return Errorf(InvalidGrant, "code_verifier does not match the code_challenge")
	}
	return nil
}

// isUnreserved follows the grammar of RFC 7636 Section 4.1.
func isUnreserved(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
