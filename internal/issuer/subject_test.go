package issuer_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// OpenID Connect Core Section 8.1: a pairwise subject depends on the sector, the user and a
// key that stays when the master key changes; it is a UUID of a version that no id of a
// user has, so it is neither taken for one nor for a client's id.
func TestSubject(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	client := func(sector string) *oauth.ClientMetadata {
		return &oauth.ClientMetadata{SubjectType: oauth.SubjectPairwise, SectorIdentifier: sector}
	}
	subject := func(m *oauth.ClientMetadata, user string) string {
		t.Helper()
		s, err := h.Subject(m, user)
		must(t, err)
		return s
	}
	alice, bob := store.NewUserID(), uuid.NewString()
	if got := subject(&oauth.ClientMetadata{SectorIdentifier: "a.example"}, alice); got != alice || issuer.IsPairwise(got) || issuer.IsPairwise(bob) {
		t.Errorf("public: %s of %s", got, alice)
	}
	seen := map[string]bool{}
	for _, sector := range []string{"a.example", "b.example", "a.example" + alice[:1]} {
		for _, user := range []string{alice, bob, alice[1:]} {
			s := subject(client(sector), user)
			if id, err := uuid.Parse(s); err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 || !issuer.IsPairwise(s) || s != subject(client(sector), user) || seen[s] {
				t.Errorf("%s of %s in %s", s, user, sector)
			}
			seen[s] = true
		}
	}
	for _, s := range []string{"", "x", "urn:uuid:" + subject(client("a.example"), alice), "{" + subject(client("a.example"), alice) + "}", "client"} {
		if issuer.IsPairwise(s) {
			t.Errorf("%q passes for a pairwise subject", s)
		}
	}
	before := subject(client("a.example"), alice)
	next := master(t, 2)
	must(t, h.Ring.Reseal(t.Context(), next, by))
	again := &issuer.Ring{Store: h.Ring.Store, Master: next, Now: h.Now}
	must(t, again.Prepare(t.Context()))
	after, err := (&issuer.Issuer{Ring: again}).Subject(client("a.example"), alice)
	must(t, err)
	if after != before {
		t.Errorf("after reseal %s, before %s", after, before)
	}
	must(t, issuer.Reset(t.Context(), h.Ring.Store, master(t, 3), h.Now(), by))
	fresh := &issuer.Ring{Store: h.Ring.Store, Master: master(t, 3), Now: h.Now}
	must(t, fresh.Prepare(t.Context()))
	if reset, err := (&issuer.Issuer{Ring: fresh}).Subject(client("a.example"), alice); err != nil || reset == before {
		t.Errorf("after reset %s, %v", reset, err)
	}
}
