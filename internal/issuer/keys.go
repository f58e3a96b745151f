// Package issuer holds the keys of the server, and everything it signs, seals
// or mints with them: access tokens, refresh tokens, sealed requests; and it
// reads its own work back.
//
// It serves no URL. Its one invariant: a key serves one purpose, which is part
// of what it makes, so that nothing made for one use passes for another.
package issuer

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/store"
)

// Purposes of keys.
const (
	PurposeES256        = "sign:ES256"
	PurposeRS256        = "sign:RS256"
	PurposePS256        = "sign:PS256"
	PurposeEdDSA        = "sign:EdDSA"
	PurposeDecrypt      = "decrypt:ECDH-ES" // request objects
	PurposeAccessToken  = "access_token"
	PurposeRefreshToken = "refresh_token"
	PurposeRequest      = "request"
	PurposeLogout       = "logout"
	PurposeForm         = "form"
	PurposeDevice       = "device"
	PurposeClientSecret = "client_secret"
	PurposePairwise     = "pairwise"
	PurposePasskey      = "passkey"       // challenges
	PurposeSharedSecret = "shared_secret" // of a client, which is the key of its HMACs
	PurposeMail         = "mail"          // one-time links that wait to be sent
	PurposeSignIn       = "sign_in"       // one that lacks the second factor yet
	PurposeEnrolment    = "enrolment"     // of an authenticator app that has shown no code yet
	PurposeTOTP         = "totp"          // secrets of authenticator apps
	PurposeRecoveryCode = "recovery_code"
)

// purposes lists every key a server has, and how long after its retirement
// something made with it can still be in use. Zero: such a key is never retired.
// A key on request is made when the first client wants it: not everybody who reads a
// key set bears an unusual key in it.
var purposes = []struct {
	name      string
	lifetime  time.Duration
	onRequest bool
}{
	{PurposeES256, signedFor, false},
	{PurposeRS256, signedFor, false},
	{PurposePS256, signedFor, true},
	{PurposeEdDSA, signedFor, true},
	{PurposeDecrypt, 48 * time.Hour, true}, // some keep a key set for longer than they should
	{PurposeAccessToken, signedFor, false},
	{PurposeRefreshToken, 366 * 24 * time.Hour, false},
	{PurposeRequest, 48 * time.Hour, false},
	{PurposeLogout, 48 * time.Hour, false},
	{PurposeForm, 48 * time.Hour, false},
	{PurposePasskey, 48 * time.Hour, false},
	{PurposeDevice, 400 * 24 * time.Hour, false},
	{PurposeMail, 96 * time.Hour, false},
	{PurposeClientSecret, 0, false},
	{PurposeSharedSecret, 0, false},
	{PurposePairwise, 0, false}, // users would turn into strangers
	{PurposeSignIn, 48 * time.Hour, false},
	{PurposeEnrolment, 48 * time.Hour, false},
	{PurposeTOTP, 0, false},         // an app keeps its secret for as long as its user likes
	{PurposeRecoveryCode, 0, false}, // they lie in a drawer until they are needed
}

// signedFor is how long a key is kept for what it signed: no token lives longer than an
// hour.
const signedFor = time.Hour + 5*time.Minute

// Purposes lists what keys there can be, in the order in which they are shown.
func Purposes() []string {
	var names []string
	for _, p := range purposes {
		names = append(names, p.name)
	}
	return names
}

// OnRequest reports whether the first key of a purpose is made only when a client wants it.
func OnRequest(purpose string) bool {
	for _, p := range purposes {
		if p.name == purpose {
			return p.onRequest
		}
	}
	return false
}

// IsForGood reports whether the key of a purpose has no successor: what was made with it
// is kept for as long as its client wants.
func IsForGood(purpose string) bool {
	for _, p := range purposes {
		if p.name == purpose {
			return p.lifetime == 0
		}
	}
	return false
}

// signs begins the purpose of a key that signs; its algorithm follows.
const signs = "sign:"

// IsSigning reports whether keys of a purpose sign.
func IsSigning(purpose string) bool { return strings.HasPrefix(purpose, signs) }

// isPublished reports whether the public halves of keys of a purpose are published: those
// that others verify with or encrypt to.
func isPublished(purpose string) bool { return IsSigning(purpose) || purpose == PurposeDecrypt }

func algorithmOf(purpose string) string { return strings.TrimPrefix(purpose, signs) }

// A Ring holds the opened keys of the database. It follows changes when Refresh
// is called, which the server does when something has changed; signing needs no database.
type Ring struct {
	Store  *store.Store
	Master *Master
	Now    func() time.Time
	// Publish is how long a new signing key is published before its first use: the
	// time for which others may keep a copy of the key set.
	Publish time.Duration

	keys       atomic.Pointer[snapshot]
	refreshing sync.Mutex
}

// A snapshot is the ring at one moment.
type snapshot struct {
	all    []store.Key
	opened map[string]*key   // by id
	of     map[string][]*key // by purpose, in the order of all
	set    atomic.Pointer[keySet]
}

// A key is an opened key.
type key struct {
	store.Key
	*material
}

// Material is what a key works with: sign, or open, or all the others.
type material struct {
	sign *jose.PrivateKey
	open *jose.DecryptionKey
	aead cipher.AEAD
	head []byte     // version and key id, in front of all it makes
	macs *sync.Pool // of *macState
}

// Prepare checks the master key against the database, makes every key that is
// missing, and loads the ring.
func (g *Ring) Prepare(ctx context.Context) error {
	if err := g.checkMaster(ctx); err != nil {
		return err
	}
	if err := g.Refresh(ctx); err != nil {
		return err
	}
	var missing []string
	for _, p := range purposes {
		if !p.onRequest {
			missing = append(missing, p.name)
		}
	}
	return g.addFirst(ctx, missing)
}

// addFirst makes the first key of each purpose that has none. Of several processes that
// try, one does.
func (g *Ring) addFirst(ctx context.Context, purposes []string) error {
	added := false
	for _, purpose := range purposes {
		if g.newest(purpose) != nil {
			continue
		}
		first, err := g.make(purpose, g.Now())
		if err != nil {
			return err
		}
		if err := g.Store.AddFirstKey(ctx, first); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		added = true
	}
	if !added {
		return nil
	}
	return g.Refresh(ctx)
}

// checkMaster refuses a master key that is not the database's.
func (g *Ring) checkMaster(ctx context.Context) error {
	server, err := g.Store.Server(ctx)
	if err != nil {
		return err
	}
	if server.KeyCheck == "" {
		if err := g.Store.SetKeyCheck(ctx, g.Master.check()); err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
		if server, err = g.Store.Server(ctx); err != nil {
			return err
		}
	}
	if server.KeyCheck != g.Master.check() {
		return errors.New("issuer: this is not the master key the database was sealed with; nothing was changed")
	}
	return nil
}

// make creates a key and seals it.
func (g *Ring) make(purpose string, active time.Time) (store.Key, error) {
	k := store.Key{Purpose: purpose, Check: g.Master.check(), CreatedAt: g.Now(), ActiveAt: active}
	if IsSigning(purpose) {
		private, err := jose.GenerateKey(algorithmOf(purpose))
		if err != nil {
			return k, err
		}
		der, err := private.Marshal()
		if err != nil {
			return k, err
		}
		k.ID, k.Sealed = private.KeyID, g.Master.seal(purpose, der)
		return k, nil
	}
	if purpose == PurposeDecrypt {
		private, err := jose.GenerateDecryptionKey()
		if err != nil {
			return k, err
		}
		der, err := private.Marshal()
		if err != nil {
			return k, err
		}
		k.ID, k.Sealed = private.KeyID, g.Master.seal(purpose, der)
		return k, nil
	}
	secret := make([]byte, chacha20poly1305.KeySize)
	rand.Read(secret)
	k.ID, k.Sealed = newKeyID(), g.Master.seal(purpose, secret)
	return k, nil
}

// keyIDSize is how many bytes of a token name the key it was made with.
const keyIDSize = 6

func newKeyID() string {
	id := make([]byte, keyIDSize)
	rand.Read(id)
	return base64.RawURLEncoding.EncodeToString(id)
}

// Refresh loads what changed in the ring since it was last read.
func (g *Ring) Refresh(ctx context.Context) error {
	g.refreshing.Lock() // or what was read earlier could be put in place later
	defer g.refreshing.Unlock()
	all, err := g.Store.Keys(ctx)
	if err != nil {
		return err
	}
	// A newer release that works on the same database may have others.
	all = slices.DeleteFunc(all, func(k store.Key) bool { return !slices.Contains(Purposes(), k.Purpose) })
	before := g.keys.Load()
	next := &snapshot{all: all, opened: make(map[string]*key, len(all)), of: map[string][]*key{}}
	for _, stored := range all {
		k := &key{Key: stored}
		if before != nil {
			if known := before.opened[stored.ID]; known != nil && known.Sealed == stored.Sealed {
				k.material = known.material
			}
		}
		if k.material == nil {
			if k.material, err = g.open(stored); err != nil {
				return err
			}
		}
		next.opened[stored.ID] = k
		next.of[stored.Purpose] = append(next.of[stored.Purpose], k)
	}
	g.keys.Store(next)
	return nil
}

func (g *Ring) open(stored store.Key) (*material, error) {
	plain, err := g.Master.open(stored.Purpose, stored.Sealed)
	if err != nil {
		return nil, err
	}
	m := &material{}
	if IsSigning(stored.Purpose) {
		m.sign, err = jose.ParsePrivateKey(algorithmOf(stored.Purpose), plain)
		return m, err
	}
	if stored.Purpose == PurposeDecrypt {
		m.open, err = jose.ParseDecryptionKey(plain)
		return m, err
	}
	if m.aead, err = chacha20poly1305.NewX(plain); err != nil {
		return nil, fmt.Errorf("issuer: open key: %w", err)
	}
	m.head, m.macs = head(stored.ID), newMACs(plain)
	return m, nil
}

// newest returns the last key of a purpose, used already or not yet.
func (g *Ring) newest(purpose string) *key {
	for _, k := range g.keys.Load().of[purpose] {
		if k.RetiredAt.IsZero() {
			return k
		}
	}
	return nil
}

// current returns the key that is used for a purpose now. When clocks or a
// removal have left none, the newest is used rather than nothing.
func (g *Ring) current(purpose string) (*key, error) {
	now := g.Now()
	for _, k := range g.keys.Load().of[purpose] {
		if !k.ActiveAt.After(now) && (k.RetiredAt.IsZero() || k.RetiredAt.After(now)) {
			return k, nil
		}
	}
	if k := g.newest(purpose); k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("issuer: no key for %s", purpose)
}

// Ages tells how long the key that is used for each purpose has been in use.
func (g *Ring) Ages() map[string]time.Duration {
	now, ages := g.Now(), make(map[string]time.Duration, len(purposes))
	for _, p := range purposes {
		if k, err := g.current(p.name); err == nil {
			ages[p.name] = max(0, now.Sub(k.ActiveAt))
		}
	}
	return ages
}

// byID returns the key that made something, as long as it is kept.
func (g *Ring) byID(purpose, id string) (*key, bool) {
	k := g.keys.Load().opened[id]
	if k == nil || k.Purpose != purpose || !g.keeps(k) {
		return nil, false
	}
	return k, true
}

// keeps reports whether what a key made can still be in use.
func (g *Ring) keeps(k *key) bool { return k.ExpiresAt.IsZero() || k.ExpiresAt.After(g.Now()) }

// A keySet is what JWKS made of a snapshot, good from then on until a key in it
// expires.
type keySet struct {
	jose.JWKS
	from, until time.Time // until is zero for ever
}

// JWKS is the key set that verifiers read: keys in use, keys about to be used,
// and keys whose last token has not expired yet. As long as that is the same, so
// is the pointer; the caller must not change what it points to.
func (g *Ring) JWKS() (*jose.JWKS, error) {
	s, now := g.keys.Load(), g.Now()
	if made := s.set.Load(); made != nil && !now.Before(made.from) && (made.until.IsZero() || made.until.After(now)) {
		return &made.JWKS, nil
	}
	made := &keySet{JWKS: jose.JWKS{Keys: []jose.JWK{}}, from: now}
	for i := len(s.all) - 1; i >= 0; i-- {
		k := s.opened[s.all[i].ID]
		if !isPublished(k.Purpose) {
			continue
		}
		end := k.ExpiresAt
		if k.open != nil { // nothing is encrypted any more to one that has a successor
			end = k.RetiredAt
		}
		if !end.IsZero() && !end.After(now) {
			continue
		}
		if !end.IsZero() && (made.until.IsZero() || end.Before(made.until)) {
			made.until = end
		}
		jwk, err := k.public()
		if err != nil {
			return nil, err
		}
		made.Keys = append(made.Keys, jwk)
	}
	s.set.Store(made)
	return &made.JWKS, nil
}

// public is the half of a key that is published.
func (k *key) public() (jose.JWK, error) {
	if k.open != nil {
		return k.open.PublicJWK()
	}
	return k.sign.PublicJWK()
}
