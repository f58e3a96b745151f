package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// registered is a client that registered itself, with a secret.
func registered(t *testing.T, s *store.Store, id string, unused time.Time) *store.Client {
	t.Helper()
	must(t, s.CreateClient(t.Context(), &store.Client{
		ID: id, CreatedAt: now, RegistrationToken: "hash of " + id, UnusedUntil: unused, Metadata: oauth.ClientMetadata{ClientName: id},
		Secrets: []store.ClientSecret{{ID: "secret of " + id, Hash: "h", CreatedAt: now}},
	}, by))
	return client2(t, s, id)
}

// A registration is replaced by whoever holds its token, as long as it is as it was read
// (RFC 7592 Section 2.2); no token opens a client that has none (DC-03).
func TestReplaceRegistration(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		c := registered(t, s, "app", now.Add(time.Hour))
		if c.RegistrationToken != "hash of app" || !c.UnusedUntil.Equal(now.Add(time.Hour)) {
			t.Errorf("read back %+v", c)
		}
		stranger, stale, operators := *c, *c, client(t, s, "operators")
		stranger.RegistrationToken = "another hash"
		want(t, "another token", s.ReplaceRegistration(t.Context(), &stranger, nil, now, by), store.ErrConflict)
		want(t, "no token", s.ReplaceRegistration(t.Context(), operators, nil, now, by), store.ErrConflict)
		c.Metadata.ClientName = "next"
		must(t, s.ReplaceRegistration(t.Context(), c, &store.ClientSecret{ID: "next", Hash: "h2", CreatedAt: now}, now.Add(time.Minute), by))
		if e := lastEvent(t, s); e.Kind != store.EventClientChanged || e.ClientID != "app" || e.By != by {
			t.Errorf("event %+v", e)
		}
		got := client2(t, s, "app")
		if got.Metadata.ClientName != "next" || len(got.Secrets) != 1 || got.Secrets[0].ID != "next" || got.UnusedUntil.IsZero() {
			t.Errorf("replaced: %+v", got)
		}
		want(t, "changed meanwhile", s.ReplaceRegistration(t.Context(), &stale, nil, now, by), store.ErrConflict)
		got.Metadata.TokenEndpointAuthMethod = oauth.AuthMethodPrivateKey
		must(t, s.ReplaceRegistration(t.Context(), got, nil, now, by))
		if got = client2(t, s, "app"); len(got.Secrets) != 0 {
			t.Errorf("a client with keys keeps its secret: %+v", got.Secrets)
		}
		must(t, s.DisableClient(t.Context(), "app", now, by))
		want(t, "disabled", s.ReplaceRegistration(t.Context(), client2(t, s, "app"), nil, now, by), store.ErrConflict)
		want(t, "disabled", s.DeleteRegistration(t.Context(), "app", "hash of app", now, by), store.ErrNotFound)
	})
}

// Of those who race with one registration token, each answer is true: one deletes, and
// nothing is replaced after that (RFC 7592 Section 2.3).
func TestDeleteRegistration(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		client(t, s, "operators")
		want(t, "no token", s.DeleteRegistration(t.Context(), "operators", "", now, by), store.ErrNotFound)
		c := registered(t, s, "app", now.Add(time.Hour))
		want(t, "another token", s.DeleteRegistration(t.Context(), "app", "x", now, by), store.ErrNotFound)
		var deleted, replaced atomic.Int64
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				if i%2 == 0 {
					if err := s.DeleteRegistration(t.Context(), "app", "hash of app", now, by); err == nil {
						deleted.Add(1)
					} else if !errors.Is(err, store.ErrNotFound) {
						t.Errorf("delete: %v", err)
					}
					return
				}
				next := *c
				next.Metadata.ClientName = fmt.Sprint(i)
				if err := s.ReplaceRegistration(t.Context(), &next, nil, now, by); err == nil {
					replaced.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Errorf("replace: %v", err)
				}
			})
		}
		callers.Wait()
		if deleted.Load() != 1 || replaced.Load() > 1 {
			t.Errorf("deleted %d times, replaced %d times", deleted.Load(), replaced.Load())
		}
		_, err := s.Client(t.Context(), "app")
		want(t, "deleted", err, store.ErrNotFound)
		again := client(t, s, "app")
		if again.RegistrationToken != "" || !again.UnusedUntil.IsZero() {
			t.Errorf("came back as %+v", again)
		}
		want(t, "the old token", s.DeleteRegistration(t.Context(), "app", "hash of app", now, by), store.ErrNotFound)
	})
}

// A client that registered itself and was not used goes when its time has come, and a day
// later its row; one that was used, or changed by an operator, stays (DC-04).
func TestDeleteUnused(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		client(t, s, "operators")
		const many = 12
		for i := range many {
			registered(t, s, fmt.Sprint("unused ", i), now.Add(time.Hour))
		}
		registered(t, s, "used", now.Add(time.Hour))
		registered(t, s, "kept", now.Add(time.Hour))
		registered(t, s, "later", now.Add(2*time.Hour))
		registered(t, s, "deleted", now.Add(time.Hour))
		must(t, s.UseClient(t.Context(), "used"))
		kept := client2(t, s, "kept")
		must(t, s.UpdateClient(t.Context(), kept, now, by))
		must(t, s.DeleteRegistration(t.Context(), "deleted", "hash of deleted", now, by))
		for _, id := range []string{"used", "kept"} {
			if c := client2(t, s, id); !c.UnusedUntil.IsZero() || c.RegistrationToken == "" {
				t.Errorf("%s: %+v", id, c)
			}
		}
		want(t, "one that has gone", s.UseClient(t.Context(), "deleted"), store.ErrNotFound)
		expire := func(at time.Time) {
			t.Helper()
			for tries := 0; ; tries++ {
				more, err := s.DeleteExpired(t.Context(), at)
				must(t, err)
				if !more {
					return
				}
				if tries > many {
					t.Fatal("there is always more")
				}
			}
		}
		expire(now.Add(time.Hour - time.Second))
		wantCount(t, s, "before the time", many+4, `SELECT COUNT(*) FROM client WHERE deleted_at IS NULL`)
		expire(now.Add(time.Hour))
		wantCount(t, s, "clients", 4, `SELECT COUNT(*) FROM client WHERE deleted_at IS NULL`)
		wantCount(t, s, "secrets", 3, `SELECT COUNT(*) FROM client_secret`)
		wantCount(t, s, "events", many, `SELECT COUNT(*) FROM event WHERE kind = 'client.deleted' AND actor = 'server'`)
		wantCount(t, s, "rows", many+5, `SELECT COUNT(*) FROM client`)
		expire(now.Add(26 * time.Hour))
		wantCount(t, s, "a day later", 4, `SELECT COUNT(*) FROM client`) // later has gone, its row has not
		expire(now.Add(51 * time.Hour))
		for _, id := range []string{"operators", "used", "kept"} {
			client2(t, s, id)
		}
		wantCount(t, s, "in the end", 3, `SELECT COUNT(*) FROM client`)
	})
}

// Whoever uses a client at the moment in which it would go either keeps it or finds it
// gone: it never goes after its use was acknowledged.
func TestUseClientRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for i := range 20 {
			id := fmt.Sprint("app ", i)
			registered(t, s, id, now)
			var used atomic.Bool
			var callers sync.WaitGroup
			for range 3 {
				callers.Go(func() {
					if err := s.UseClient(t.Context(), id); err == nil {
						used.Store(true)
					} else if !errors.Is(err, store.ErrNotFound) {
						t.Errorf("use: %v", err)
					}
				})
				callers.Go(func() {
					if _, err := s.DeleteExpired(t.Context(), now); err != nil {
						t.Errorf("expire: %v", err)
					}
				})
			}
			callers.Wait()
			if _, err := s.Client(t.Context(), id); (err == nil) != used.Load() {
				t.Fatalf("used %t, then %v", used.Load(), err)
			}
		}
	})
}
