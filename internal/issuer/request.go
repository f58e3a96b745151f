package issuer

import (
	"context"
	"slices"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
)

// MakeFor makes the keys that a client wants and that are made on request, where there
// are none yet. It is called when a client is registered, so that the key is published
// before a token that it has signed comes to anybody.
func (g *Ring) MakeFor(ctx context.Context, m *oauth.ClientMetadata) error {
	if !isOnRequest(m.IDTokenAlg) && !isOnRequest(m.UserInfoAlg) && m.RequestObjectKeyAlg == "" {
		return nil
	}
	wanted := slices.DeleteFunc([]string{signerFor(m.IDTokenAlg), signerFor(m.UserInfoAlg)}, func(p string) bool { return !OnRequest(p) })
	if m.RequestObjectKeyAlg != "" {
		wanted = append(wanted, PurposeDecrypt)
	}
	return g.addFirst(ctx, wanted)
}

func isOnRequest(algorithm string) bool { return OnRequest(signerFor(algorithm)) }

// signerFor is the purpose of the key that signs with the algorithm that a client is
// registered for; "" means RS256.
func signerFor(algorithm string) string {
	switch algorithm {
	case jose.ES256:
		return PurposeES256
	case jose.PS256:
		return PurposePS256
	case jose.EdDSA:
		return PurposeEdDSA
	}
	return PurposeRS256
}

// MakeWanted makes the keys on request that clients of the database want and that are
// missing: clients may have come into it in another way than by being registered here.
func (g *Ring) MakeWanted(ctx context.Context) error {
	var wanted []string
	for _, p := range purposes {
		if !p.onRequest || g.newest(p.name) != nil {
			continue
		}
		piece := `_response_alg":"` + algorithmOf(p.name) + `"`
		if p.name == PurposeDecrypt {
			piece = `"request_object_encryption_alg":"`
		}
		used, err := g.Store.MetadataHolds(ctx, piece)
		if err != nil {
			return err
		}
		if used {
			wanted = append(wanted, p.name)
		}
	}
	return g.addFirst(ctx, wanted)
}

// DecryptRequestObject opens a request object that a client has encrypted to this server,
// OpenID Connect Core Section 6.1 and RFC 9101 Section 6.1. What is in it is the JWS of the
// client, which proves everything: anybody can encrypt.
func (g *Ring) DecryptRequestObject(jwe string) (jws string, err error) {
	plain, err := jose.Decrypt(jwe, func(id string) (found []*jose.DecryptionKey) {
		for _, k := range g.keys.Load().of[PurposeDecrypt] {
			if (id == "" || id == k.ID) && g.keeps(k) {
				found = append(found, k.open)
			}
		}
		return found
	})
	return string(plain), err
}
