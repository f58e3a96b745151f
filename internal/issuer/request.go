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
	if !isOnRequest(m.IDTokenAlg) && !isOnRequest(m.UserInfoAlg) {
		return nil
	}
	return g.addFirst(ctx, slices.DeleteFunc([]string{signerFor(m.IDTokenAlg), signerFor(m.UserInfoAlg)}, func(p string) bool { return !OnRequest(p) }))
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
		used, err := g.Store.MetadataHolds(ctx, `_response_alg":"`+algorithmOf(p.name)+`"`)
		if err != nil {
			return err
		}
		if used {
			wanted = append(wanted, p.name)
		}
	}
	return g.addFirst(ctx, wanted)
}
