package jose

import (
	"errors"
	"slices"
)

// MACAlgorithms are those of an HMAC with a secret that two share, RFC 7518 Section 3.2.
var MACAlgorithms = []string{"HS256", "HS384", "HS512"}

// ErrMAC is returned for a token whose HMAC was made with another secret.
var ErrMAC = errors.New("jose: the HMAC is not one of this secret")

// MACKeySize is how many bytes a secret must have at least for an algorithm, RFC 7518
// Section 3.2: as many as the hash. 0 for an algorithm that is none of an HMAC.
func MACKeySize(algorithm string) int {
	switch algorithm {
	case "HS256":
		return 32
	case "HS384":
		return 48
	case "HS512":
		return 64
	}
	return 0
}

// VerifyMAC checks a compact JWS that somebody made with one of the secrets and with one
// of the algorithms, which must all be those of an HMAC, and returns its payload. Its typ
// must be one of the types; "" stands for none. The bytes of a secret are the key, OpenID
// Connect Core Section 10.1.
func VerifyMAC(token string, secrets [][]byte, algorithms, types []string) ([]byte, error) {
	if slices.ContainsFunc(algorithms, func(alg string) bool { return MACKeySize(alg) == 0 }) {
		return nil, errors.New("jose: an algorithm that is none of an HMAC")
	}
	jws, err := parseForeign(token, algorithms, types)
	if err != nil {
		return nil, err
	}
	failed := errors.Join(ErrInvalid, ErrMAC)
	for _, secret := range secrets {
		if size := MACKeySize(jws.Signatures[0].Protected.Algorithm); len(secret) < size {
			failed = errors.Join(failed, errors.New("the secret is too short for the algorithm"))
			continue
		}
		if read, err := jws.Verify(secret); err == nil {
			return read, nil
		}
	}
	return nil, failed
}
