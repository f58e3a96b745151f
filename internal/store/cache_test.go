package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hufu-auth/hufu/internal/store"
)

// write runs one statement as a unit of its own.
func write(t testing.TB, s *store.Store, text string, args ...any) {
	t.Helper()
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), text, args...)
		return err
	}))
}

// Ways to write to a client behind everybody's back: as nothing of ours would,
// without a revision, and as it was done, with one. What is written is an epoch.
func writeBehind(t testing.TB, s *store.Store, id string, epoch int64) {
	t.Helper()
	write(t, s, `UPDATE client SET epoch = $2 WHERE id = $1`, id, epoch)
}

func writeNumbered(t testing.TB, s *store.Store, id string, epoch int64) {
	t.Helper()
	writeBehind(t, s, id, epoch)
	write(t, s, `UPDATE server SET revision = revision + 1`)
	write(t, s, `UPDATE client SET revision = (SELECT revision FROM server) WHERE id = $1`, id)
}

func follow(t testing.TB, s *store.Store) (revision int64) {
	t.Helper()
	revision, err := s.Follow(t.Context(), now)
	must(t, err)
	return revision
}

// known is the epoch of a client as the server knows it.
func known(t testing.TB, s *store.Store, id string) int64 {
	t.Helper()
	c, err := s.KnownClient(t.Context(), id, now)
	must(t, err)
	return c.Epoch
}

// A client is read once and then known without the database, until Follow hears
// that it has changed. A client that nobody knows is asked for each time.
func TestKnownClient(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		s, other := openDSN(t, dsn), openDSN(t, dsn)
		client(t, other, "app")
		client(t, other, "zoo")
		follow(t, s)
		for _, id := range []string{"app", "zoo"} {
			if epoch := known(t, s, id); epoch != 1 {
				t.Fatalf("%s has epoch %d", id, epoch)
			}
			writeBehind(t, other, id, 7)
			if epoch := known(t, s, id); epoch != 1 {
				t.Errorf("%s: the database was asked", id)
			}
		}
		follow(t, s)
		if epoch := known(t, s, "app"); epoch != 1 {
			t.Error("a copy was forgotten although nobody said that it has changed")
		}
		writeNumbered(t, other, "app", 8)
		if epoch := known(t, s, "app"); epoch != 1 {
			t.Error("the database was asked before Follow")
		}
		follow(t, s)
		if epoch := known(t, s, "app"); epoch != 8 {
			t.Errorf("epoch %d after Follow, want 8", epoch)
		}
		if epoch := known(t, s, "zoo"); epoch != 1 {
			t.Error("the change of one client made another forgotten")
		}
		want(t, "a client that nobody knows", knownError(t, s, "late"), store.ErrNotFound)
		client(t, other, "late")
		want(t, "the same, made meanwhile", knownError(t, s, "late"), nil)
	})
}

func knownError(t testing.TB, s *store.Store, id string) error {
	t.Helper()
	_, err := s.KnownClient(t.Context(), id, now)
	return err
}

// sameAsStored fails unless a client is known exactly as it is stored, or as one
// that is not there.
func sameAsStored(t testing.TB, what string, s *store.Store, id string) {
	t.Helper()
	stored, missing := s.Client(t.Context(), id)
	got, err := s.KnownClient(t.Context(), id, now)
	if missing != nil {
		want(t, what+": read", missing, store.ErrNotFound)
		want(t, what+": known", err, store.ErrNotFound)
		return
	}
	must(t, err)
	if diff := cmp.Diff(stored, got, cmpopts.IgnoreUnexported(store.Client{})); diff != "" {
		t.Errorf("%s (-stored +known):\n%s", what, diff)
	}
}

// clientChanges are all that can be done to a client or to all of them, in an order
// in which each can be done.
var clientChanges = []struct {
	name     string
	ofServer bool
	do       func(ctx context.Context, s *store.Store) error
}{
	{"update", false, func(ctx context.Context, s *store.Store) error {
		c, err := s.Client(ctx, "app")
		if err != nil {
			return err
		}
		c.Metadata.ClientName += "'"
		return s.UpdateClient(ctx, c, now, by)
	}},
	{"secret added", false, func(ctx context.Context, s *store.Store) error {
		return s.AddSecret(ctx, "app", store.ClientSecret{ID: "1", Hash: "h1", CreatedAt: now}, by)
	}},
	{"second secret added", false, func(ctx context.Context, s *store.Store) error {
		return s.AddSecret(ctx, "app", store.ClientSecret{ID: "2", Hash: "h2", CreatedAt: now}, by)
	}},
	{"secrets retired", false, func(ctx context.Context, s *store.Store) error {
		return s.RetireSecrets(ctx, "app", "2", now.Add(time.Hour), now, by)
	}},
	{"secret removed", false, func(ctx context.Context, s *store.Store) error { return s.RemoveSecret(ctx, "app", "1", now, by) }},
	{"disable", false, func(ctx context.Context, s *store.Store) error { return s.DisableClient(ctx, "app", now, by) }},
	{"enable", false, func(ctx context.Context, s *store.Store) error { return s.EnableClient(ctx, "app", now, by) }},
	{"everything revoked", true, func(ctx context.Context, s *store.Store) error { return s.RevokeAll(ctx, now, by) }},
	{"keys reset", true, func(ctx context.Context, s *store.Store) error { return s.ResetKeys(ctx, "", now, by) }},
	{"delete", false, func(ctx context.Context, s *store.Store) error { return s.DeleteClient(ctx, "app", now, by) }},
	{"create", false, func(ctx context.Context, s *store.Store) error {
		c := &store.Client{ID: "app", CreatedAt: now, Secrets: []store.ClientSecret{{ID: "3", Hash: "h3", CreatedAt: now}}}
		return s.CreateClient(ctx, c, by)
	}},
}

// Whatever one server changes, the others know after one Follow, and the one that
// changed it at once (RE-12).
func TestFollow(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		mine, other := openDSN(t, dsn), openDSN(t, dsn)
		client(t, mine, "app")
		for _, s := range []*store.Store{mine, other} {
			follow(t, s)
			must(t, knownError(t, s, "app"))
		}
		for _, change := range clientChanges {
			before := count(t, mine, `SELECT revision FROM client`)
			must(t, change.do(t.Context(), mine))
			sameAsStored(t, change.name+", where it was done", mine, "app")
			follow(t, other)
			sameAsStored(t, change.name+", elsewhere", other, "app")
			if after := count(t, mine, `SELECT revision FROM client`); change.ofServer != (after == before) || after < before {
				t.Errorf("%s: revision %d of the client, %d before", change.name, after, before)
			}
			follow(t, mine)
		}
	})
}

// A change to the keys or to the epoch of the server raises the revision, so that
// servers read their keys again; the traffic of a day does not.
func TestRevision(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		k := func(id string) store.Key { return key(id, 0) }
		before := follow(t, p.Store)
		for _, change := range []struct {
			name string
			do   func() error
		}{
			{"first key", func() error { return p.AddFirstKey(t.Context(), k("k0")) }},
			{"successor", func() error { return p.SucceedKey(t.Context(), "k0", k("k1"), now.Add(time.Hour), by) }},
			{"removed", func() error { return p.RemoveKey(t.Context(), "k1", k("k2"), by) }},
			{"resealed", func() error {
				keys, err := p.Keys(t.Context())
				return errors.Join(err, p.ResealKeys(t.Context(), keys, "", "check", now, by))
			}},
			{"reset", func() error { return p.ResetKeys(t.Context(), "check 2", now, by) }},
			{"everything revoked", func() error { return p.RevokeAll(t.Context(), now, by) }},
			{"client made", func() error { return p.CreateClient(t.Context(), &store.Client{ID: "zoo", CreatedAt: now}, by) }},
		} {
			must(t, change.do())
			after := follow(t, p.Store)
			if after <= before {
				t.Errorf("%s: revision %d after %d", change.name, after, before)
			}
			before = after
		}
		p.client, p.user = client2(t, p.Store, "app"), user(t, p.Store, "bob")
		must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
		g := p.createLive(t, "a")
		_, err := p.refresh(t, p.present(g, 0, 0))
		must(t, err)
		must(t, p.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "", now, by))
		must(t, p.DisableUser(t.Context(), p.user.ID, now, by))
		if after := follow(t, p.Store); after != before {
			t.Errorf("traffic raised the revision from %d to %d", before, after)
		}
	})
}

// Copies that could not be compared for five seconds decide nothing, and neither
// do any when the clock has been set back: the database is asked (RE-12).
func TestKnownClientAge(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		s, other := openDSN(t, dsn), openDSN(t, dsn)
		client(t, other, "app")
		if epoch := known(t, s, "app"); epoch != 1 { // and, before the first Follow, not kept
			t.Fatalf("epoch %d", epoch)
		}
		writeBehind(t, other, "app", 2)
		if epoch := known(t, s, "app"); epoch != 2 {
			t.Error("a copy from before the first Follow is used")
		}
		follow(t, s)
		known(t, s, "app")
		writeBehind(t, other, "app", 3)
		for _, tt := range []struct {
			name  string
			after time.Duration
			want  int64
		}{
			{"just compared", 0, 2}, {"five seconds ago", 5 * time.Second, 2},
			{"longer ago", 5*time.Second + 1, 3}, {"an hour ago", time.Hour, 3},
			{"clock set back", -1, 3}, {"clock set far back", -1000 * time.Hour, 3},
			{"what was asked meanwhile was not kept", 0, 2},
		} {
			c, err := s.KnownClient(t.Context(), "app", now.Add(tt.after))
			must(t, err)
			if c.Epoch != tt.want {
				t.Errorf("%s: epoch %d, want %d", tt.name, c.Epoch, tt.want)
			}
		}
		_, err := s.Follow(t.Context(), now.Add(-time.Hour))
		must(t, err)
		c, err := s.KnownClient(t.Context(), "app", now.Add(-time.Hour))
		must(t, err)
		if c.Epoch != 2 {
			t.Error("the copies are useless after the clock was set back")
		}
	})
}

// makeClients writes clients c1 to cN without a word to anybody, all under one
// revision.
func makeClients(t testing.TB, s *store.Store, n, revision int64) {
	t.Helper()
	write(t, s, `
		INSERT INTO client (id, metadata, grant_types, epoch, created_at, updated_at, revision)
		WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 'c' || i, '{}', '', 1, 1, 1, CAST($2 AS BIGINT) FROM n`, n, revision)
}

// When more has changed than is looked at one by one, or the database is a restored
// backup that knows nothing of what was seen, every copy is forgotten.
func TestFollowForgetsAll(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		for name, tt := range map[string]struct {
			revisions int64 // the database goes on by
			changed   int64
			want      int64 // the epoch that is known
		}{
			"a thousand changes":      {10, store.MaxChanges, 1},
			"more than a thousand":    {10, store.MaxChanges + 1, 7},
			"gone back":               {-1, 1, 7},
			"gone back, none changed": {-1, 0, 7},
		} {
			t.Run(name, func(t *testing.T) {
				s, other := openDSN(t, dsn), openDSN(t, dsn)
				write(t, other, `DELETE FROM client`)
				client(t, other, "app")
				seen := follow(t, s)
				known(t, s, "app")
				write(t, other, `UPDATE client SET revision = $1, epoch = 7`, store.FirstRevision)
				write(t, other, `UPDATE server SET revision = $1`, seen+tt.revisions)
				if tt.changed > 0 {
					makeClients(t, other, tt.changed, seen+tt.revisions)
				}
				follow(t, s)
				if epoch := known(t, s, "app"); epoch != tt.want {
					t.Errorf("epoch %d is known, want %d", epoch, tt.want)
				}
			})
		}
	})
}

// reading has callers read a client, a few times each, until wait is called.
func reading(t testing.TB, s *store.Store, id string, callers, times int) (wait func()) {
	var readers sync.WaitGroup
	for range callers {
		readers.Go(func() {
			for range times {
				if _, err := s.KnownClient(t.Context(), id, now); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	return readers.Wait
}

// However many readers are under way while a client changes, here or elsewhere,
// what they read too early is not what is known after the next Follow (RE-12).
func TestFollowRace(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		s, other := openDSN(t, dsn), openDSN(t, dsn)
		client(t, s, "app")
		for round := range 100 {
			follow(t, s)
			early := reading(t, s, "app", 4, 2)
			var changers sync.WaitGroup
			for _, changer := range []*store.Store{s, other}[round%2:] {
				changers.Go(func() {
					if err := changer.DisableClient(t.Context(), "app", now, by); err != nil {
						t.Errorf("change: %v", err)
					}
				})
			}
			late := reading(t, s, "app", 4, 2)
			changers.Wait()
			follow(t, s)
			sameAsStored(t, fmt.Sprint("round ", round), s, "app")
			early()
			late()
			sameAsStored(t, fmt.Sprint("round ", round, ", when all had read"), s, "app")
		}
	})
}

// What was read before a change and comes late is not kept, whether the change was
// made here or elsewhere (RE-12).
func TestKnownClientLate(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		s, other := openDSN(t, dsn), openDSN(t, dsn)
		client(t, s, "app")
		follow(t, s)
		for name, change := range map[string]func(){
			"here":      func() { must(t, s.DisableClient(t.Context(), "app", now, by)) },
			"elsewhere": func() { must(t, other.DisableClient(t.Context(), "app", now, by)); follow(t, s) },
			"of all":    func() { must(t, other.RevokeAll(t.Context(), now, by)); follow(t, s) },
		} {
			keep, err := s.KnownLate(t.Context(), "app", now)
			must(t, err)
			change()
			keep()
			sameAsStored(t, name, s, "app")
			must(t, s.DisableClient(t.Context(), "app", now, by)) // to read it anew
		}
	})
}

// A change that was made here is known here as soon as it is acknowledged, whoever
// reads at the same time.
func TestOwnChangeRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		client(t, s, "app")
		follow(t, s)
		for epoch := int64(2); epoch < 100; epoch++ {
			wait := reading(t, s, "app", 8, 2)
			must(t, s.DisableClient(t.Context(), "app", now, by))
			if got := known(t, s, "app"); got != epoch {
				t.Errorf("epoch %d is known after the change to %d was acknowledged", got, epoch)
			}
			wait()
			if got := known(t, s, "app"); got != epoch {
				t.Errorf("epoch %d is known after the change to %d, when all had read", got, epoch)
			}
		}
	})
}

// However many clients there are, so many copies are kept and no more; those used
// last are among them, and a change finds them all.
func TestKnownClientBound(t *testing.T) {
	t.Parallel()
	s := open(t)
	const clients = 3*store.MaxCached + 100
	name := func(i int) string { return fmt.Sprint("c", i) }
	makeClients(t, s, clients, store.FirstRevision)
	follow(t, s)
	most := 0
	for i := range clients {
		must(t, knownError(t, s, name(i+1)))
		most = max(most, s.Cached())
	}
	if most != 2*store.MaxCached {
		t.Errorf("%d copies were kept, want %d at most", most, 2*store.MaxCached)
	}
	write(t, s, `UPDATE client SET epoch = 2`)
	const early = clients - store.MaxCached + 1 // of those used last
	for i := early; i <= clients; i++ {
		if known(t, s, name(i)) != 1 {
			t.Fatalf("%s is not kept, one of the %d clients used last", name(i), store.MaxCached)
		}
	}
	if known(t, s, "c1") != 2 {
		t.Error("the copy used first is kept")
	}
	for _, id := range []string{name(early), name(clients)} {
		must(t, s.DisableClient(t.Context(), id, now, by))
		if epoch := known(t, s, id); epoch != 3 {
			t.Errorf("%s: epoch %d is known after a change, want 3", id, epoch)
		}
	}
}
