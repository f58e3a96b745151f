package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

func key(id string, active time.Duration) store.Key {
	return store.Key{ID: id, Purpose: "sign", Sealed: "sealed " + id, CreatedAt: now, ActiveAt: now.Add(active)}
}

// ring is the ring as ids, each with when it is active and when it is retired, in
// hours from now.
func ring(t testing.TB, s *store.Store) string {
	t.Helper()
	keys, err := s.Keys(t.Context())
	must(t, err)
	text := ""
	for _, k := range keys {
		text += fmt.Sprintf("%s:%v", k.ID, k.ActiveAt.Sub(now).Hours())
		if !k.RetiredAt.IsZero() {
			text += fmt.Sprintf("-%v", k.RetiredAt.Sub(now).Hours())
		}
		text += " "
	}
	return text
}

// One key of a purpose is the newest: of several processes that make the first
// one, or a successor, one does, and the others learn it (KY-01).
func TestKeysRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		race := func(what string, act func(i int) error) {
			t.Helper()
			errs := make([]error, 12)
			var callers sync.WaitGroup
			for i := range errs {
				callers.Go(func() { errs[i] = act(i) })
			}
			callers.Wait()
			winners := 0
			for _, err := range errs {
				if err == nil {
					winners++
					continue
				}
				want(t, what, err, store.ErrConflict)
			}
			if winners != 1 {
				t.Errorf("%s: %d winners", what, winners)
			}
		}
		race("first key", func(i int) error { return s.AddFirstKey(t.Context(), key(fmt.Sprint("first", i), 0)) })
		keys, err := s.Keys(t.Context())
		must(t, err)
		race("successor", func(i int) error {
			return s.SucceedKey(t.Context(), keys[0].ID, key(fmt.Sprint("second", i), time.Hour), now.Add(2*time.Hour), by)
		})
		race("check value", func(i int) error { return s.SetKeyCheck(t.Context(), fmt.Sprint("check", i)) })
		keys, err = s.Keys(t.Context())
		must(t, err)
		if len(keys) != 2 || keys[0].RetiredAt != now.Add(time.Hour) || keys[0].ExpiresAt != now.Add(2*time.Hour) || !keys[1].RetiredAt.IsZero() {
			t.Errorf("ring %+v", keys)
		}
		if e := lastEvent(t, s); e.Kind != store.EventKeyRotated || e.Detail != "sign "+keys[1].ID {
			t.Errorf("event %+v", e)
		}
		server, err := s.Server(t.Context())
		must(t, err)
		must(t, s.AddFirstKey(t.Context(), store.Key{ID: "other", Purpose: "seal", CreatedAt: now, ActiveAt: now, Check: server.KeyCheck}))
	})
}

// A key that was sealed while somebody else changed the master key is not taken
// in: nobody could open it.
func TestKeysUnderAnotherMaster(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		must(t, s.SetKeyCheck(t.Context(), "check"))
		under := func(id, check string) store.Key {
			k := key(id, 0)
			k.Check = check
			return k
		}
		want(t, "first", s.AddFirstKey(t.Context(), under("k0", "other")), store.ErrConflict)
		must(t, s.AddFirstKey(t.Context(), under("k0", "check")))
		want(t, "successor", s.SucceedKey(t.Context(), "k0", under("k1", "other"), now, by), store.ErrConflict)
		if got := ring(t, s); got != "k0:0 " {
			t.Errorf("ring %q", got)
		}
	})
}

// A key that is removed leaves a ring that can go on at once (KY-02).
func TestRemoveKey(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			successors int // each active an hour after the last
			remove     string
			want       string
		}{
			"the only one":                 {0, "k0", "new:0 "},
			"the one in use, successor by": {1, "k0", "k1:0 "},
			"the successor":                {1, "k1", "k0:0-1 new:0 "},
			"one that is history":          {2, "k0", "k1:1-2 k2:2 "},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				must(t, s.AddFirstKey(t.Context(), key("k0", 0)))
				for i := range tt.successors {
					next := key(fmt.Sprint("k", i+1), time.Duration(i+1)*time.Hour)
					must(t, s.SucceedKey(t.Context(), fmt.Sprint("k", i), next, now.Add(9*time.Hour), by))
				}
				at := now
				if tt.successors == 2 {
					at = now.Add(90 * time.Minute) // k1 is in use
				}
				next := key("new", 0)
				next.CreatedAt, next.ActiveAt = at, at
				must(t, s.RemoveKey(t.Context(), tt.remove, next, by))
				if got := ring(t, s); got != tt.want {
					t.Errorf("ring %q, want %q", got, tt.want)
				}
				if e := lastEvent(t, s); e.Kind != store.EventKeyRemoved || e.Detail != "sign "+tt.remove {
					t.Errorf("event %+v", e)
				}
				want(t, "twice", s.RemoveKey(t.Context(), tt.remove, next, by), store.ErrNotFound)
				other := next
				other.Purpose = "seal"
				want(t, "of another purpose", s.RemoveKey(t.Context(), "k0", other, by), store.ErrNotFound)
			})
		}
	})
}

// Resealing replaces every key and the check value, or nothing at all.
func TestResealKeys(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			edit func(keys []store.Key) ([]store.Key, string)
			want error
		}{
			"all":               {func(k []store.Key) ([]store.Key, string) { return k, "check" }, nil},
			"another check":     {func(k []store.Key) ([]store.Key, string) { return k, "other" }, store.ErrConflict},
			"one key missing":   {func(k []store.Key) ([]store.Key, string) { return k[:1], "check" }, store.ErrConflict},
			"one key exchanged": {func(k []store.Key) ([]store.Key, string) { k[1].ID = "gone"; return k, "check" }, store.ErrConflict},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				must(t, s.SetKeyCheck(t.Context(), "check"))
				for i, k := range []store.Key{key("k0", 0), key("k1", time.Hour)} {
					k.Check = "check"
					if i == 0 {
						must(t, s.AddFirstKey(t.Context(), k))
						continue
					}
					must(t, s.SucceedKey(t.Context(), "k0", k, now.Add(time.Hour), by))
				}
				was, err := s.Keys(t.Context())
				must(t, err)
				next, err := s.Keys(t.Context())
				must(t, err)
				for i := range next {
					next[i].Sealed = "again " + next[i].ID
				}
				next, check := tt.edit(next)
				want(t, name, s.ResealKeys(t.Context(), next, check, "new check", now, by), tt.want)
				is, err := s.Keys(t.Context())
				must(t, err)
				server, err := s.Server(t.Context())
				must(t, err)
				wanted, wantedCheck := was, "check"
				if tt.want == nil {
					wanted, wantedCheck = next, "new check"
				}
				if diff := cmp.Diff(wanted, is); diff != "" || server.KeyCheck != wantedCheck {
					t.Errorf("check %q, ring (-want +got):\n%s", server.KeyCheck, diff)
				}
			})
		}
	})
}

// After a reset nothing that was sealed or hashed with the old keys is left, and
// nothing made before is honoured.
func TestResetKeys(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		must(t, p.AddFirstKey(t.Context(), key("k0", 0)))
		must(t, p.AddSecret(t.Context(), "app", store.ClientSecret{ID: "1", Hash: "h", CreatedAt: now}, by))
		g := p.createLive(t, "a")
		_, err := p.AddAuthenticatorApp(t.Context(), app(p.user, "app"), p.user.Epoch, []string{"a"}, by)
		must(t, err)
		must(t, p.ResetKeys(t.Context(), "new check", now, by))
		for _, table := range []string{"authenticator_app", "recovery_code"} { // or nobody could pass them
			wantCount(t, p.Store, table, 0, `SELECT COUNT(*) FROM `+table)
		}
		if got := ring(t, p.Store); got != "" {
			t.Errorf("ring %q", got)
		}
		if c := client2(t, p.Store, "app"); len(c.Secrets) != 0 {
			t.Errorf("secrets %+v", c.Secrets)
		}
		server, err := p.Server(t.Context())
		must(t, err)
		if server.KeyCheck != "new check" || server.Epoch != 2 {
			t.Errorf("server %+v", server)
		}
		_, err = p.refresh(t, p.present(g, 0, 0))
		want(t, "a grant from before", err, store.ErrNotLive)
		if e := lastEvent(t, p.Store); e.Kind != store.EventKeysReset {
			t.Errorf("event %+v", e)
		}
	})
}

// A database is marked for the demo while it is empty, and never afterwards.
func TestMarkDemo(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			before func(s *store.Store)
			want   error
		}{
			"empty":       {func(*store.Store) {}, nil},
			"marked":      {func(s *store.Store) { must(t, s.MarkDemo(t.Context())); user(t, s, "alice"); client(t, s, "app") }, nil},
			"with user":   {func(s *store.Store) { user(t, s, "alice") }, store.ErrConflict},
			"with client": {func(s *store.Store) { client(t, s, "app") }, store.ErrConflict},
		} {
			s := open(t)
			tt.before(s)
			want(t, name, s.MarkDemo(t.Context()), tt.want)
			server, err := s.Server(t.Context())
			must(t, err)
			if server.Demo != (tt.want == nil) {
				t.Errorf("%s: marked %t", name, server.Demo)
			}
		}
	})
}
