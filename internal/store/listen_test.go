package store_test

import (
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// heard waits until a store has reason to follow.
func heard(t testing.TB, what string, s *store.Store) {
	t.Helper()
	select {
	case <-s.Changes():
	case <-time.After(time.Minute):
		t.Fatalf("%s is not heard of", what)
	}
}

// listeners are the connections to the database of s that listen.
func listeners(t testing.TB, s *store.Store) int64 {
	t.Helper()
	return count(t, s, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
}

// A change on one server is heard of on every other without looking, and there is
// nothing to hear when nothing has changed (RE-12).
func TestChangesHeard(t *testing.T) {
	t.Parallel()
	dsn := clusterDSN(t)
	s, other := openDSN(t, dsn), openDSN(t, dsn)
	heard(t, "what was changed before the store listened", s)
	for _, change := range clientChanges[:4] {
		if change.name == "update" {
			client(t, other, "app")
			heard(t, "client made", s)
		}
		follow(t, s)
		must(t, knownError(t, s, "app"))
		must(t, change.do(t.Context(), other))
		heard(t, change.name, s)
		follow(t, s)
		sameAsStored(t, change.name, s, "app")
	}
	must(t, other.AddFirstKey(t.Context(), key("k0", 0)))
	heard(t, "a key", s)
	must(t, s.AddFirstKey(t.Context(), store.Key{ID: "mine", Purpose: "seal", CreatedAt: now, ActiveAt: now}))
	heard(t, "a change of its own", s)
}

// On SQLite, where nobody announces anything, a store hears of its own changes.
func TestChangesOfOwn(t *testing.T) {
	t.Parallel()
	s := open(t)
	client(t, s, "app")
	heard(t, "a change of its own", s)
	user(t, s, "alice")
	select {
	case <-s.Changes():
		t.Error("a new user is a reason to follow")
	default:
	}
}

// A store that lost its ear listens again, and follows then whatever it missed.
func TestListenAgain(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	heard(t, "what was changed before the store listened", r.Store)
	eventually(t, "all listen", func() bool { return listeners(t, r.beside) == 2 })
	r.proxy.Refuse()
	eventually(t, "one listens no more", func() bool { return listeners(t, r.beside) == 1 })
	for len(r.Changes()) > 0 {
		<-r.Changes()
	}
	must(t, r.beside.AddFirstKey(t.Context(), key("k0", 0))) // which it cannot hear of
	r.proxy.Heal()
	heard(t, "that there may have been something to hear", r.Store)
	eventually(t, "all listen again", func() bool { return listeners(t, r.beside) == 2 })
	must(t, r.beside.DisableClient(t.Context(), "app", now, by))
	heard(t, "a change", r.Store)
}

// Behind a pooler nobody can listen, and nobody tries; a change is found by looking.
func TestListenBehindPooler(t *testing.T) {
	t.Parallel()
	dsn := clusterDSN(t)
	pooled := openDSN(t, dbtest.Bouncer(t, dsn))
	client(t, pooled, "app")
	follow(t, pooled)
	must(t, knownError(t, pooled, "app"))
	direct := openDSN(t, dsn)
	heard(t, "what was changed before the store listened", direct)
	must(t, pooled.DisableClient(t.Context(), "app", now, by))
	heard(t, "a change that was made behind the pooler", direct)
	must(t, direct.EnableClient(t.Context(), "app", now, by))
	follow(t, pooled)
	sameAsStored(t, "behind the pooler", pooled, "app")
	if n := listeners(t, direct); n != 1 {
		t.Errorf("%d connections listen, want the one that does not go through the pooler", n)
	}
}
