package issuer_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// published are the kids of the key set.
func (h *house) published(t testing.TB) map[string]bool {
	t.Helper()
	set, err := h.Ring.JWKS()
	must(t, err)
	kids := map[string]bool{}
	for _, k := range set.Keys {
		if kids[k.KeyID] {
			t.Errorf("kid %s is published twice", k.KeyID)
		}
		kids[k.KeyID] = true
	}
	return kids
}

// newest is the last key of a purpose.
func (h *house) newest(t testing.TB, purpose string) store.Key {
	t.Helper()
	for _, k := range h.Ring.List() {
		if k.Purpose == purpose && k.RetiredAt.IsZero() {
			return k
		}
	}
	t.Fatalf("no key for %s", purpose)
	return store.Key{}
}

// Every purpose has one key after the first start, however many processes start at
// once, and none of them is stored unsealed (KY-03, RE-02).
func TestPrepare(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	houses := make([]*house, 8)
	var starters sync.WaitGroup
	for i := range houses {
		starters.Go(func() {
			now := time.Unix(1_800_000_000, 0)
			h := &house{now: now}
			h.Issuer = &issuer.Issuer{Ring: &issuer.Ring{Store: s, Master: master(t, 1), Now: func() time.Time { return now }, Publish: publish}}
			if err := h.Ring.Prepare(context.Background()); err != nil {
				t.Error(err)
			}
			houses[i] = h
		})
	}
	starters.Wait()
	var purposes []string
	for _, k := range houses[0].Ring.List() {
		purposes = append(purposes, k.Purpose)
		if k.Sealed != "" {
			t.Errorf("the list shows what %s seals", k.Purpose)
		}
	}
	if diff := cmp.Diff(slices.DeleteFunc(issuer.Purposes(), issuer.OnRequest), purposes); diff != "" {
		t.Errorf("purposes (-want +got):\n%s", diff)
	}
	for i, h := range houses {
		if diff := cmp.Diff(houses[0].Ring.List(), h.Ring.List()); diff != "" {
			t.Errorf("process %d has another ring (-first +its):\n%s", i, diff)
		}
	}
	if got := len(houses[0].published(t)); got != 2 {
		t.Errorf("%d keys are published, want ES256 and RS256", got)
	}
}

// A key on request is made once, however many processes are asked for it, and only when
// a client wants it.
func TestMakeFor(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	houses := make([]*house, 8)
	for i := range houses {
		houses[i] = onStore(t, s, master(t, 1))
	}
	var callers sync.WaitGroup
	for _, h := range houses {
		callers.Go(func() {
			for _, m := range []oauth.ClientMetadata{{}, {IDTokenAlg: "ES256"}, {IDTokenAlg: "EdDSA", UserInfoAlg: "PS256"}, {RequestObjectKeyAlg: "ECDH-ES", UserInfoAlg: "EdDSA"}} {
				if err := h.Ring.MakeFor(context.Background(), &m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	for i, h := range houses {
		if diff := cmp.Diff(houses[0].Ring.List(), h.Ring.List()); diff != "" {
			t.Errorf("process %d has another ring (-first +its):\n%s", i, diff)
		}
		for _, m := range []oauth.ClientMetadata{{IDTokenAlg: "EdDSA"}, {IDTokenAlg: "PS256"}} {
			token, err := h.IDToken(alice(), &m, time.Hour, issuer.Beside{})
			must(t, err)
			if read, err := houses[0].ReadIDToken(token, "app"); err != nil || read.Subject != alice().UserID {
				t.Errorf("%s: read back %+v, %v", m.IDTokenAlg, read, err)
			}
		}
	}
	if got := len(houses[0].published(t)); got != 5 {
		t.Errorf("%d keys are published, want 5", got)
	}
	if ages := houses[0].Ring.Ages(); len(ages) != len(issuer.Purposes()) {
		t.Errorf("ages %v", ages)
	}
}

// The key that others encrypt to rotates: the next one is published for a cache period
// beside it, then alone, and what was encrypted to the one before is read for two days.
func TestRotateDecryption(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(t, h.Ring.MakeFor(t.Context(), &oauth.ClientMetadata{RequestObjectKeyAlg: "ECDH-ES"}))
	encrypt := func(id string) string {
		t.Helper()
		set, err := h.Ring.JWKS()
		must(t, err)
		for _, k := range set.Keys {
			if k.KeyID == id && k.Use == "enc" {
				text, err := json.Marshal(jose.JWKS{Keys: []jose.JWK{k}})
				must(t, err)
				keys, err := jose.ParseKeys(text)
				must(t, err)
				to, err := keys.Recipient("ECDH-ES+A256KW", "A256GCM")
				must(t, err)
				sealed, err := to.Encrypt([]byte("a.b.c"), "JWT")
				must(t, err)
				return sealed
			}
		}
		t.Fatalf("no key %s to encrypt to", id)
		return ""
	}
	reads := func(text string) bool {
		jws, err := h.Ring.DecryptRequestObject(text)
		return err == nil && jws == "a.b.c"
	}
	old := h.newest(t, issuer.PurposeDecrypt)
	next, err := h.Ring.Rotate(t.Context(), issuer.PurposeDecrypt, by)
	must(t, err)
	before, after := encrypt(old.ID), encrypt(next.ID)
	begin := h.now
	for _, step := range []struct {
		after            time.Duration
		listed, readable bool // the old one
	}{{0, true, true}, {publish + spread - time.Second, true, true}, {publish + spread, false, true}, {47 * time.Hour, false, true}, {49 * time.Hour, false, false}} {
		h.now = begin.Add(step.after)
		if listed := h.published(t); listed[old.ID] != step.listed || !listed[next.ID] || reads(before) != step.readable || !reads(after) {
			t.Errorf("after %v: published %v, the old one reads %t", step.after, listed, reads(before))
		}
	}
	must(t, h.Ring.Remove(t.Context(), next.ID, by))
	if reads(after) || h.published(t)[next.ID] {
		t.Error("a removed key reads or is published")
	}
	again := onStore(t, h.Ring.Store, master(t, 1))
	if again.newest(t, issuer.PurposeDecrypt).ID == next.ID {
		t.Error("the successor of a removed key is the key")
	}
}

// What a client wants encrypted never goes out readable, not even by a mistake of ours.
func TestNeverReadable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := oauth.ClientMetadata{IDTokenKeyAlg: "ECDH-ES", UserInfoKeyAlg: "ECDH-ES"}
	if token, err := h.IDToken(alice(), &m, time.Hour, issuer.Beside{}); err == nil || token != "" {
		t.Errorf("an ID token: %q, %v", token, err)
	}
	for _, signed := range []string{"", "RS256"} {
		m.UserInfoAlg = signed
		if text, err := h.UserInfo(&issuer.AccessToken{}, &m, nil, nil); err == nil || text != "" {
			t.Errorf("UserInfo: %q, %v", text, err)
		}
	}
	if diff := cmp.Diff(jose.KeyAlgorithms, oauth.EncryptionAlgorithms) + cmp.Diff(jose.ContentAlgorithms, oauth.ContentEncryptions) + cmp.Diff(jose.AgreementAlgorithms, oauth.AgreementAlgorithms); diff != "" {
		t.Errorf("what is registered is not what is made:\n%s", diff)
	}
}

// A process with another master key refuses to work, and changes nothing.
func TestWrongMaster(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before, err := h.Ring.Store.Keys(t.Context())
	must(t, err)
	server, err := h.Ring.Store.Server(t.Context())
	must(t, err)
	wrong := &issuer.Ring{Store: h.Ring.Store, Master: master(t, 2), Now: h.Now}
	if err := wrong.Prepare(t.Context()); err == nil {
		t.Error("another master key was taken")
	}
	after, err := h.Ring.Store.Keys(t.Context())
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the ring (-before +after):\n%s", diff)
	}
	if again, err := h.Ring.Store.Server(t.Context()); err != nil || *again != *server {
		t.Errorf("the server row is %+v, was %+v, %v", again, server, err)
	}
}

// OpenID Connect Core Section 10.1.1: a new signing key is published for a whole
// cache period before its first use, and the old one until its last token has
// expired (KY-01).
func TestRotate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.newest(t, issuer.PurposeES256)
	next, err := h.Ring.Rotate(t.Context(), issuer.PurposeES256, by)
	must(t, err)
	kid := func() string {
		t.Helper()
		token := h.mint(t, "ES256")
		for _, id := range []string{old.ID, next.ID} {
			if signedBy(t, token) == id {
				return id
			}
		}
		t.Fatal("signed by a third key")
		return ""
	}
	begin := h.now
	for _, step := range []struct {
		after                time.Duration
		signs                string
		oldListed, newListed bool
	}{
		{0, old.ID, true, true},
		{publish, old.ID, true, true},
		{publish + 4*time.Second, old.ID, true, true},
		{publish + 5*time.Second, next.ID, true, true},
		{publish + time.Hour + 5*time.Minute, next.ID, true, true}, // a token of the last second lived an hour
		{publish + 2*time.Hour, next.ID, false, true},
	} {
		h.now = begin.Add(step.after)
		if got := kid(); got != step.signs {
			t.Errorf("after %v %s signs, want %s", step.after, got, step.signs)
		}
		listed := h.published(t)
		if listed[old.ID] != step.oldListed || listed[next.ID] != step.newListed {
			t.Errorf("after %v: old published %t, new published %t", step.after, listed[old.ID], listed[next.ID])
		}
	}
	other := onStore(t, h.Ring.Store, master(t, 1))
	if !other.published(t)[next.ID] {
		t.Error("another replica does not publish it")
	}
}

// A token signed a moment before the change verifies to its end.
func TestRotateKeepsTokens(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"ES256", "RS256", "opaque"} {
		h := newHouse(t)
		purpose := map[string]string{"ES256": issuer.PurposeES256, "RS256": issuer.PurposeRS256, "opaque": issuer.PurposeAccessToken}[form]
		next, err := h.Ring.Rotate(t.Context(), purpose, by)
		must(t, err)
		h.now = next.ActiveAt.Add(-time.Second)
		token := h.mint(t, form)
		for _, after := range []time.Duration{0, 2 * time.Second, 10*time.Minute - time.Second} {
			h.now = next.ActiveAt.Add(-time.Second + after)
			if _, err := h.ReadAccessToken(token); err != nil {
				t.Errorf("%s, after %v: %v", form, after, err)
			}
		}
	}
}

// Rotating again and again never uses a key before its time, and what can not be
// made anew is not rotated.
func TestRotateOften(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.newest(t, issuer.PurposeES256)
	for range 3 {
		_, err := h.Ring.Rotate(t.Context(), issuer.PurposeES256, by)
		must(t, err)
		if got := signedBy(t, h.mint(t, "ES256")); got != first.ID {
			t.Errorf("signed by %s, want the first key", got)
		}
	}
	h.now = h.now.Add(publish + spread)
	if got := signedBy(t, h.mint(t, "ES256")); got != h.newest(t, issuer.PurposeES256).ID {
		t.Errorf("signed by %s, want the newest key", got)
	}
	for _, purpose := range []string{issuer.PurposeClientSecret, issuer.PurposeSharedSecret, "nothing"} {
		if _, err := h.Ring.Rotate(t.Context(), purpose, by); err == nil {
			t.Errorf("%s was rotated", purpose)
		}
	}
}

const spread = 5 * time.Second

// A signing key of a certain age is rotated by itself, by one replica; keys that
// nobody else sees are left.
func TestRotateAged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := onStore(t, h.Ring.Store, master(t, 1))
	const age = 90 * 24 * time.Hour
	h.now = h.now.Add(age - time.Second)
	if rotated, err := h.Ring.RotateAged(t.Context(), age, by); err != nil || len(rotated) != 0 {
		t.Errorf("before its time: %v, %v", rotated, err)
	}
	h.now = h.now.Add(time.Second)
	other.now = h.now
	rotated, err := h.Ring.RotateAged(t.Context(), age, by)
	if err != nil || len(rotated) != 2 {
		t.Errorf("at its time: %v, %v", rotated, err)
	}
	if again, err := other.Ring.RotateAged(t.Context(), age, by); err != nil || len(again) != 0 {
		t.Errorf("by another replica too: %v, %v", again, err)
	}
	if again, err := h.Ring.RotateAged(t.Context(), age, by); err != nil || len(again) != 0 {
		t.Errorf("again at once: %v, %v", again, err)
	}
}

// An emergency removal takes effect at once: what the key made is refused, and
// its successor works (KY-02).
func TestRemove(t *testing.T) {
	t.Parallel()
	for form, purpose := range map[string]string{"ES256": issuer.PurposeES256, "opaque": issuer.PurposeAccessToken} {
		h := newHouse(t)
		token, old := h.mint(t, form), h.newest(t, purpose)
		must(t, h.Ring.Remove(t.Context(), old.ID, by))
		if _, err := h.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s: a token of a removed key: %v", form, err)
		}
		if h.published(t)[old.ID] {
			t.Errorf("%s: a removed key is published", form)
		}
		if _, err := h.ReadAccessToken(h.mint(t, form)); err != nil {
			t.Errorf("%s: a new token: %v", form, err)
		}
		if err := h.Ring.Remove(t.Context(), old.ID, by); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: removed twice: %v", form, err)
		}
	}
	h := newHouse(t)
	for _, purpose := range []string{issuer.PurposeClientSecret, issuer.PurposeSharedSecret} {
		if err := h.Ring.Remove(t.Context(), h.newest(t, purpose).ID, by); err == nil {
			t.Errorf("the key for %s was removed, and every secret with it", purpose)
		}
	}
}

// A removal by a command reaches a running server when it reads the ring again.
func TestRefresh(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.mint(t, "ES256")
	command := onStore(t, h.Ring.Store, master(t, 1))
	must(t, command.Ring.Remove(t.Context(), signedBy(t, token), by))
	must(t, h.Ring.Refresh(t.Context()))
	if _, err := h.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
		t.Errorf("after the ring was read again: %v", err)
	}
	if diff := cmp.Diff(command.Ring.List(), h.Ring.List()); diff != "" {
		t.Errorf("the rings differ (-command +server):\n%s", diff)
	}
}

// Another master key seals the same ring: everything that was made lives, the old
// key opens nothing any more, and what a thief of the old one takes is useless.
func TestReseal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, hash := h.mint(t, "opaque"), hashSecret(t, h)
	shared, err := h.Ring.SealSecret("a shared secret")
	must(t, err)
	must(t, h.Ring.Reseal(t.Context(), master(t, 2), by))
	if err := (&issuer.Ring{Store: h.Ring.Store, Master: master(t, 1), Now: h.Now}).Prepare(t.Context()); err == nil {
		t.Error("the old master key is taken")
	}
	again := onStore(t, h.Ring.Store, master(t, 2))
	if _, err := again.ReadAccessToken(token); err != nil {
		t.Errorf("a token from before: %v", err)
	}
	if !again.Ring.CheckSecret(hash, "a secret") {
		t.Error("a client secret from before is wrong")
	}
	if secret, err := again.Ring.OpenSecret(shared); err != nil || string(secret) != "a shared secret" {
		t.Errorf("a shared secret from before: %q, %v", secret, err)
	}
	if err := h.Ring.Reseal(t.Context(), master(t, 3), by); err == nil {
		t.Error("a process with the old key sealed the ring again")
	}
}

// After a reset every key is new, and nothing from before is honoured.
func TestReset(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, hash := h.mint(t, "ES256"), hashSecret(t, h)
	refresh, err := h.RefreshToken(issuer.RefreshToken{GrantID: store.NewGrantID()})
	must(t, err)
	must(t, issuer.Reset(t.Context(), h.Ring.Store, master(t, 2), h.now, by))
	again := onStore(t, h.Ring.Store, master(t, 2))
	if _, err := again.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
		t.Errorf("an access token: %v", err)
	}
	if _, err := again.ReadRefreshToken(refresh); err == nil {
		t.Error("a refresh token is read")
	}
	if again.Ring.CheckSecret(hash, "a secret") {
		t.Error("a client secret is right")
	}
	for _, k := range again.Ring.List() {
		for _, before := range h.Ring.List() {
			if k.ID == before.ID {
				t.Errorf("the key for %s is the old one", k.Purpose)
			}
		}
	}
}

func hashSecret(t testing.TB, h *house) string {
	t.Helper()
	hash, err := h.Ring.HashSecret("a secret")
	must(t, err)
	return hash
}
