package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	josev4 "github.com/go-jose/go-jose/v4"
)

// ForeignAlgorithms are those that others may sign with, RFC 7518 Section 3.1 and RFC
// 8037: all asymmetric, so that no key of theirs is a secret of ours.
var ForeignAlgorithms = []string{RS256, PS256, ES256, EdDSA}

// Keys are the public keys of somebody else, RFC 7517 Section 5.
type Keys struct {
	keys    []josev4.JSONWebKey // to verify with
	encrypt []josev4.JSONWebKey // to encrypt to
}

// Bounds on a key set of somebody else.
const (
	maxKeySet  = 64 << 10 // bytes
	maxKeys    = 50
	maxRSABits = 8192 // beyond which to verify is a burden
)

// ErrUnknownKey is returned for a token whose key is in no set that is known: it may be
// in a newer one.
var ErrUnknownKey = errors.New("jose: no key of the set fits")

// ParseKeys reads a key set. Keys that are of no use here are left out: those of other
// types or curves, or too weak. A set that holds a private or a secret
// key is refused: it was never meant to be shown.
func ParseKeys(text []byte) (*Keys, error) {
	if len(text) > maxKeySet {
		return nil, invalid("a key set of unbearable size")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.Join(invalid("not a key set"), err)
	}
	if set.Keys == nil || len(set.Keys) > maxKeys {
		return nil, invalid("a key set has a member keys, with 50 keys at most")
	}
	var k Keys
	for _, raw := range set.Keys {
		var members struct {
			Private any `json:"d"`
			Secret  any `json:"k"`
		}
		if json.Unmarshal(raw, &members) == nil && (members.Private != nil || members.Secret != nil) {
			return nil, invalid("a key set with a private or a secret key in it")
		}
		var key josev4.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue // of a kind that is not used here; another key of the set may be
		}
		if slices.ContainsFunc(ForeignAlgorithms, func(alg string) bool { return fits(&key, alg) }) {
			k.keys = append(k.keys, key)
		}
		if slices.ContainsFunc(KeyAlgorithms, func(alg string) bool { return encrypts(&key, alg) }) {
			k.encrypt = append(k.encrypt, key)
		}
	}
	return &k, nil
}

// Len is how many keys of the set can verify signatures.
func (k *Keys) Len() int { return len(k.keys) }

// IsEmpty reports whether no key of the set is of any use.
func (k *Keys) IsEmpty() bool { return len(k.keys) == 0 && len(k.encrypt) == 0 }

// fits reports whether a key can verify signatures of an algorithm: the type of the key
// decides, and what the key says of itself (RFC 8725 Section 3.1).
func fits(key *josev4.JSONWebKey, algorithm string) bool {
	if key.Use == "enc" || key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return (algorithm == "RS256" || algorithm == "PS256") && public.N.BitLen() >= 2048 && public.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return algorithm == "ES256" && public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// Verify checks a compact JWS that the holder of the keys has signed with one of the
// algorithms, and returns its payload. Its typ must be one of the types; "" stands for
// none. Nothing that its header holds but the name of a key is looked at, and that only
// chooses among the keys of the set.
func (k *Keys) Verify(token string, algorithms, types []string) ([]byte, error) {
	jws, err := parseForeign(token, algorithms, types)
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Protected
	known := false
	for i := range k.keys {
		key := &k.keys[i]
		if header.KeyID != "" && key.KeyID != header.KeyID || !fits(key, header.Algorithm) {
			continue
		}
		known = true
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	if !known {
		return nil, errors.Join(ErrInvalid, ErrUnknownKey)
	}
	return nil, invalid("signature")
}

// parseForeign reads a compact JWS of somebody else whose signature is not checked yet.
func parseForeign(token string, algorithms, types []string) (*josev4.JSONWebSignature, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 || !isCanonical(token) {
		return nil, invalid("not a compact JWS of bearable size")
	}
	allowed := make([]josev4.SignatureAlgorithm, len(algorithms))
	for i, alg := range algorithms {
		allowed[i] = josev4.SignatureAlgorithm(alg)
	}
	jws, err := josev4.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, errors.Join(invalid("parse"), err)
	}
	header := jws.Signatures[0].Protected
	typ, _ := header.ExtraHeaders[josev4.HeaderType].(string)
	switch {
	case header.ExtraHeaders["crit"] != nil || header.ExtraHeaders["b64"] != nil:
		return nil, invalid("crit names an extension, and none is understood here")
	case !slices.ContainsFunc(types, func(want string) bool { return sameType(typ, want) }):
		return nil, invalid("typ is none that is wanted")
	}
	return jws, nil
}

// Unverified is the payload of a compact JWS whose signature nobody has looked at yet:
// it tells whose keys to look with, and nothing else.
func Unverified(token string) ([]byte, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 || !isCanonical(token) {
		return nil, invalid("not a compact JWS of bearable size")
	}
	payload, err := strict.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return nil, invalid("payload")
	}
	return payload, nil
}
