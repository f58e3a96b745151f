package issuer_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

var by = store.By{Actor: "test"}

// A house is an issuer with its ring on a database of its own, whose time stands
// still until it is moved.
type house struct {
	*issuer.Issuer
	now time.Time
}

const publish = 15 * time.Minute

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), store.Options{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func master(t testing.TB, fill byte) *issuer.Master {
	t.Helper()
	m, err := issuer.NewMaster(bytes.Repeat([]byte{fill}, issuer.MasterKeySize))
	must(t, err)
	return m
}

func newHouse(t testing.TB) *house { return onStore(t, openStore(t), master(t, 1)) }

// onStore is another house, as another process, on a database.
func onStore(t testing.TB, s *store.Store, m *issuer.Master) *house {
	t.Helper()
	h := &house{now: time.Unix(1_800_000_000, 0).UTC()}
	clock := func() time.Time { return h.now }
	h.Issuer = &issuer.Issuer{URL: "https://id.example", Ring: &issuer.Ring{Store: s, Master: m, Now: clock, Publish: publish}, Now: clock}
	must(t, h.Ring.Prepare(context.Background()))
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// alice is the row of somebody's grant.
func alice() *store.Grant {
	return &store.Grant{
		ID: store.NewGrantID(), UserID: "6e9f2a51-3b1c-4c55-9d0e-4f6a1d2b3c4d", ClientID: "app", Scope: "read write",
		AuthTime: time.Unix(1_799_999_000, 0), ACR: "urn:acr", AMR: "pwd otp",
	}
}

// forms are the ways in which an access token is made for a client.
var forms = map[string]oauth.ClientMetadata{
	"ES256":  {},
	"RS256":  {AccessTokenAlg: "RS256"},
	"opaque": {TokenFormat: oauth.TokenFormatOpaque},
}

// mint gives alice's access token for ten minutes.
func (h *house) mint(t testing.TB, form string) string {
	t.Helper()
	m := forms[form]
	token, err := h.GrantToken(alice(), &m, oauth.Scope{"read"}, 10*time.Minute)
	must(t, err)
	return token
}
