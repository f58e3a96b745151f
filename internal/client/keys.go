package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// Keys finds the public keys of clients: in their registration, or where they publish
// them.
type Keys struct {
	// Fetch reads a document of one of the media types from an address that a client
	// has named.
	Fetch func(ctx context.Context, address string, mediaTypes ...string) ([]byte, error)
	Now   func() time.Time

	mu         sync.Mutex
	young, old map[string]*keySet // by address; old ones were young before
	flights    singleflight.Group
}

// A keySet is what was found at an address.
type keySet struct {
	keys  *jose.Keys // nil when nothing was ever found
	at    time.Time  // of keys
	tried time.Time  // the last time, whatever came of it
	err   error      // of that time
}

// How long keys of others are good for, how long they are while their address does not
// answer, and how often it is asked because of a key that is not among them (OpenID
// Connect Core Section 10.1.1).
const (
	keysFresh   = time.Hour
	keysStale   = 24 * time.Hour
	keysRefetch = time.Minute
	maxKeySets  = 1000 // addresses that are remembered
)

var keySetTypes = []string{"application/jwk-set+json", "application/json"}

// Verify checks that a client has signed a token with one of the algorithms, and returns
// its payload.
func (k *Keys) Verify(ctx context.Context, c *store.Client, token string, algorithms, types []string) (payload []byte, err error) {
	err = k.with(ctx, &c.Metadata, func(keys *jose.Keys) error {
		payload, err = keys.Verify(token, algorithms, types)
		return err
	})
	return payload, err
}

// Recipient finds the key of a client that something is encrypted to in one of its ways;
// no content means A128CBC-HS256. What is refused says why to the client: that its keys
// cannot be had at the moment, or that none of them fits.
func (k *Keys) Recipient(ctx context.Context, m *oauth.ClientMetadata, algorithm, content string) (r *jose.Recipient, err error) {
	err = k.with(ctx, m, func(keys *jose.Keys) error {
		r, err = keys.Recipient(algorithm, cmp.Or(content, oauth.ContentEncryptions[0]))
		return err
	})
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, jose.ErrUnknownKey):
		return nil, oauth.Refuse(oauth.InvalidRequest, "the client publishes no key that the answer can be encrypted to", err)
	}
	return nil, oauth.Refuse(oauth.TemporarilyUnavailable, "the keys of the client cannot be read right now", err)
}

// with does something with the keys of a client. A key that is not among those that were
// fetched may be newer than they are, so they are fetched again, once a minute at most.
func (k *Keys) with(ctx context.Context, m *oauth.ClientMetadata, do func(keys *jose.Keys) error) error {
	if m.JWKSURI == "" {
		keys, err := jose.ParseKeys(m.JWKS)
		if err != nil {
			return err
		}
		return do(keys)
	}
	keys, err := k.at(ctx, m.JWKSURI, keysFresh)
	if err != nil {
		return err
	}
	if err = do(keys); !errors.Is(err, jose.ErrUnknownKey) {
		return err
	}
	newer, failed := k.at(ctx, m.JWKSURI, keysRefetch)
	if failed != nil || newer == keys {
		return err
	}
	return do(newer)
}

// at returns the keys at an address, not older than age if it answers.
func (k *Keys) at(ctx context.Context, address string, age time.Duration) (*jose.Keys, error) {
	now := k.Now()
	if known := k.known(address); known != nil && (known.keys != nil && known.at.Add(age).After(now) || known.tried.Add(keysRefetch).After(now)) {
		return known.usable(now)
	}
	found, err, _ := k.flights.Do(address, func() (any, error) {
		return k.fetch(context.WithoutCancel(ctx), address), nil // whoever came first may leave
	})
	if err != nil {
		return nil, err
	}
	return found.(*keySet).usable(now)
}

func (k *Keys) known(address string) *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(address)
}

// find is known under the lock. What is asked for stays.
func (k *Keys) find(address string) *keySet {
	if known := k.young[address]; known != nil {
		return known
	}
	known := k.old[address]
	if known != nil {
		k.put(address, known)
	}
	return known
}

// put remembers a key set. When there are too many, those that nobody has asked for since
// it was so the last time are forgotten.
func (k *Keys) put(address string, set *keySet) {
	if k.young == nil || len(k.young) >= maxKeySets {
		k.young, k.old = map[string]*keySet{}, k.young
	}
	k.young[address] = set
}

// usable are the keys of a set, as long as they are good.
func (s *keySet) usable(now time.Time) (*jose.Keys, error) {
	if s.keys != nil && s.at.Add(keysStale).After(now) {
		return s.keys, nil
	}
	return nil, fmt.Errorf("client: keys: %w", s.err)
}

// fetch reads the keys at an address and remembers what came of it.
func (k *Keys) fetch(ctx context.Context, address string) *keySet {
	text, err := k.Fetch(ctx, address, keySetTypes...)
	var keys *jose.Keys
	if err == nil {
		keys, err = jose.ParseKeys(text)
	}
	now := k.Now()
	next := &keySet{keys: keys, at: now, tried: now, err: err}
	k.mu.Lock()
	defer k.mu.Unlock()
	if before := k.find(address); err != nil && before != nil {
		next.keys, next.at = before.keys, before.at
	}
	k.put(address, next)
	return next
}

// checkKeys looks at keys that a client is registered with by value.
func checkKeys(m *oauth.ClientMetadata) error {
	switch shared := m.TokenEndpointAuthMethod == oauth.AuthMethodSecretJWT; {
	case m.AuthSigningAlg == "":
	case shared && !slices.Contains(jose.MACAlgorithms, m.AuthSigningAlg):
		return oauth.Errorf(oauth.InvalidClientMetadata, "token_endpoint_auth_signing_alg must be HS256, HS384 or HS512 for client_secret_jwt")
	case !shared && !slices.Contains(jose.ForeignAlgorithms, m.AuthSigningAlg):
		return oauth.Errorf(oauth.InvalidClientMetadata, "token_endpoint_auth_signing_alg must be RS256, PS256, ES256 or EdDSA, but for client_secret_jwt")
	}
	if m.RequestObjectAlg != "" && !slices.Contains(jose.ForeignAlgorithms, m.RequestObjectAlg) {
		return oauth.Errorf(oauth.InvalidClientMetadata, "request_object_signing_alg must be RS256, PS256, ES256 or EdDSA")
	}
	if len(m.JWKS) == 0 {
		return nil
	}
	keys, err := jose.ParseKeys(m.JWKS)
	signs := m.TokenEndpointAuthMethod == oauth.AuthMethodPrivateKey || m.SendsRequestObjects()
	if err == nil && (keys.IsEmpty() || signs && keys.Len() == 0) {
		err = errors.New("no key in it can be used")
	}
	if err != nil {
		return oauth.Refuse(oauth.InvalidClientMetadata, "jwks must be a JSON Web Key Set with public keys, and with one to verify signatures with where the client signs", err)
	}
	for _, algorithm := range []string{m.IDTokenKeyAlg, m.UserInfoKeyAlg} {
		if algorithm == "" {
			continue
		}
		if _, err := keys.Recipient(algorithm, oauth.ContentEncryptions[0]); err != nil {
			return oauth.Refuse(oauth.InvalidClientMetadata, "jwks has no key that answers can be encrypted to in the way that is asked for", err)
		}
	}
	return nil
}
