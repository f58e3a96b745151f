package oauth

import (
	"slices"
	"strings"
)

// checkEncryption looks at how a client wants its answers encrypted, and at how it encrypts
// its requests, OpenID Connect Registration Section 2.
func (m *ClientMetadata) checkEncryption() error {
	for _, way := range []struct {
		name, alg, enc string
		algorithms     []string
	}{
		{"id_token_encrypted_response", m.IDTokenKeyAlg, m.IDTokenContent, EncryptionAlgorithms},
		{"userinfo_encrypted_response", m.UserInfoKeyAlg, m.UserInfoContent, EncryptionAlgorithms},
		{"request_object_encryption", m.RequestObjectKeyAlg, m.RequestObjectContent, AgreementAlgorithms},
	} {
		switch {
		case way.alg == "" && way.enc != "":
			return metadataError("%s_enc needs %s_alg", way.name, way.name)
		case way.alg == "":
		case !slices.Contains(way.algorithms, way.alg):
			return metadataError("%s_alg must be one of %s", way.name, strings.Join(way.algorithms, ", "))
		case way.enc != "" && !slices.Contains(ContentEncryptions, way.enc):
			return metadataError("%s_enc must be one of %s", way.name, strings.Join(ContentEncryptions, ", "))
		case len(m.JWKS) == 0 && m.JWKSURI == "":
			return metadataError("%s_alg needs jwks or jwks_uri", way.name)
		}
	}
	return nil
}

// EncryptionAlgorithms are those by which a client can have the key of an answer told to
// it, RFC 7518 Section 4.1, and ContentEncryptions those that the answer itself is
// encrypted with, Section 5.1. The first is that of a client that names none, OpenID
// Connect Registration Section 2.
var (
	EncryptionAlgorithms = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}
	AgreementAlgorithms  = []string{"ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"} // of what is encrypted to us
	ContentEncryptions   = []string{"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"}
)
