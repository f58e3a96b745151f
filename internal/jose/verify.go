package jose

import (
	"crypto"
	"encoding/base64"
	"errors"
	"strings"

	josev4 "github.com/go-jose/go-jose/v4"
)

// ErrInvalid is returned for every token that does not verify. Which check
// failed stands in the message, for the log; a caller needs no more.
var ErrInvalid = errors.New("jose: token is not valid")

// maxToken bounds what is parsed at all, in bytes.
const maxToken = 16 << 10

// A Key verifies signatures of one algorithm.
type Key struct {
	Algorithm string
	Public    crypto.PublicKey
}

// Verify checks a compact JWS and returns its payload. The header's typ must be
// typ (RFC 8725 Section 3.11), and the key is the one that find knows under the
// header's kid; the key fixes the algorithm, so the header cannot choose one.
// Claims are the caller's to check.
func Verify(token, typ string, find func(keyID string) (Key, bool)) ([]byte, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 || !isCanonical(token) {
		return nil, invalid("not a compact JWS of bearable size")
	}
	jws, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{ES256, RS256, PS256, EdDSA})
	if err != nil {
		return nil, invalid("parse: " + err.Error())
	}
	header := jws.Signatures[0].Protected
	key, ok := find(header.KeyID)
	switch {
	case !ok:
		return nil, invalid("no key of that kid")
	case header.Algorithm != key.Algorithm:
		return nil, invalid("alg is not the key's")
	case header.ExtraHeaders["crit"] != nil:
		return nil, invalid("crit names an extension, and none is understood here")
	}
	if got, _ := header.ExtraHeaders[josev4.HeaderType].(string); !sameType(got, typ) {
		return nil, invalid("typ is not " + typ)
	}
	payload, err := jws.Verify(key.Public)
	if err != nil {
		return nil, invalid("signature")
	}
	return payload, nil
}

// isCanonical reports whether every part is base64url in its one right spelling.
// The library forgives line breaks and stray bits at the end, which would give
// one token many texts.
func isCanonical(token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		if _, err := strict.DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return false
		}
	}
	return true
}

var strict = base64.RawURLEncoding.Strict()

// sameType compares media types as RFC 7515 Section 4.1.9 has it: without case,
// and with "application/" left out or not.
func sameType(got, want string) bool {
	got = strings.ToLower(got)
	return strings.TrimPrefix(got, "application/") == want
}

func invalid(why string) error { return errors.Join(ErrInvalid, errors.New(why)) }
