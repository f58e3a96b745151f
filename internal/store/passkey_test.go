package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// challenge is one that can still be answered.
func challenge(text string) store.Challenge {
	return store.Challenge{Text: text, ExpiresAt: now.Add(5 * time.Minute)}
}

// passkey adds a passkey to a user.
func passkey(t *testing.T, s *store.Store, u *store.User, id string) *store.Passkey {
	t.Helper()
	p := &store.Passkey{ID: id, UserID: u.ID, PublicKey: "key", SignCount: 7, Flags: 0x5d, Attachment: "platform", Transports: "internal hybrid",
		AAGUID: "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", Name: "Phone " + id, CreatedAt: now}
	must(t, s.AddPasskey(t.Context(), p, challenge("to add "+id), by))
	return p
}

// A passkey is read as it was added, all of its flags and the highest count among them,
// and the audit trail tells of adding and removing.
func TestPasskey(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := user(t, s, "alice")
		made := &store.Passkey{ID: "credential", UserID: u.ID, PublicKey: "key", SignCount: 1<<32 - 1, Flags: 0xff, Attachment: "cross-platform",
			Transports: "usb nfc", AAGUID: "00000000-0000-0000-0000-000000000000", Name: "钥匙", CreatedAt: now}
		must(t, s.AddPasskey(t.Context(), made, challenge("a"), by))
		if e := lastEvent(t, s); e.Kind != store.EventPasskeyAdded || e.UserID != u.ID || e.Detail != "钥匙" {
			t.Errorf("event %+v", e)
		}
		read, err := s.Passkey(t.Context(), "credential")
		must(t, err)
		if diff := cmp.Diff(made, read); diff != "" {
			t.Errorf("(-made +read):\n%s", diff)
		}
		must(t, s.RenamePasskey(t.Context(), u.ID, "credential", "Key"))
		all, err := s.Passkeys(t.Context(), u.ID)
		must(t, err)
		if made.Name = "Key"; len(all) != 1 || !cmp.Equal(all[0], *made) {
			t.Errorf("list %+v", all)
		}
		other := user(t, s, "mallory")
		want(t, "another's, renamed", s.RenamePasskey(t.Context(), other.ID, "credential", "mine"), store.ErrNotFound)
		want(t, "another's, removed", s.RemovePasskey(t.Context(), other.ID, other.Epoch, "credential", now, by), store.ErrNotFound)
		want(t, "added by somebody else", s.AddPasskey(t.Context(), &store.Passkey{ID: "credential", UserID: other.ID, CreatedAt: now}, challenge("b"), by), store.ErrConflict)
		must(t, s.SetPassword(t.Context(), u.ID, "$argon2id$", now, by))
		want(t, "removed by who was let in before the user changed", s.RemovePasskey(t.Context(), u.ID, u.Epoch, "credential", now, by), store.ErrNotLive)
		must(t, s.RemovePasskey(t.Context(), u.ID, u.Epoch+1, "credential", now, by))
		if e := lastEvent(t, s); e.Kind != store.EventPasskeyRemoved || e.UserID != u.ID || e.Detail != "Key" {
			t.Errorf("event %+v", e)
		}
		_, err = s.Passkey(t.Context(), "credential")
		want(t, "removed", err, store.ErrNotFound)
		want(t, "added once more by the answer that added it", s.AddPasskey(t.Context(), made, challenge("a"), by), store.ErrReplayed)
	})
}

// The passkey of somebody who is disabled is not found to sign in with, and one of
// somebody deleted is gone.
func TestPasskeyOfUserNotInForce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := user(t, s, "alice")
		passkey(t, s, u, "a")
		must(t, s.DisableUser(t.Context(), u.ID, now, by))
		_, err := s.Passkey(t.Context(), "a")
		want(t, "disabled", err, store.ErrNotFound)
		want(t, "added to somebody disabled", s.AddPasskey(t.Context(), &store.Passkey{ID: "b", UserID: u.ID, CreatedAt: now}, challenge("b"), by), store.ErrNotFound)
		must(t, s.EnableUser(t.Context(), u.ID, now, by))
		if _, err := s.Passkey(t.Context(), "a"); err != nil {
			t.Errorf("enabled again: %v", err)
		}
		must(t, s.DeleteUser(t.Context(), u.ID, now, by))
		_, err = s.Passkey(t.Context(), "a")
		want(t, "deleted", err, store.ErrNotFound)
		for more := true; more; {
			more, err = s.DeleteExpired(t.Context(), now)
			must(t, err)
		}
		if n := count(t, s, `SELECT COUNT(*) FROM passkey`) + count(t, s, `SELECT COUNT(*) FROM event WHERE detail LIKE 'Phone%'`); n != 0 {
			t.Errorf("%d traces of the passkeys of nobody", n)
		}
	})
}

// The count goes forward or the use is told of; it never goes back (WA-03).
func TestUsePasskeyCount(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		was, now int64
		tolerate bool
		back     bool
		want     int64
	}{
		"forward":                 {7, 8, false, false, 8},
		"far forward":             {7, 1<<32 - 1, false, false, 1<<32 - 1},
		"does not count":          {0, 0, false, false, 0},
		"begins to count":         {0, 1, false, false, 1},
		"the same":                {7, 7, false, true, 7},
		"back":                    {7, 6, false, true, 7},
		"stops to count":          {7, 0, false, true, 7},
		"back, tolerated":         {7, 6, true, true, 7},
		"the same, tolerated":     {7, 7, true, true, 7},
		"forward, with tolerance": {7, 9, true, false, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachEngine(t, func(t *testing.T, open opener) {
				s := open(t)
				u := user(t, s, "alice")
				must(t, s.AddPasskey(t.Context(), &store.Passkey{ID: "a", UserID: u.ID, SignCount: tt.was, Flags: 0x05, Name: "n", CreatedAt: now}, challenge("a"), by))
				use := store.PasskeyUse{ID: "a", UserID: u.ID, Challenge: challenge("1"), SignCount: tt.now, Flags: 0x1d, Tolerate: tt.tolerate, Now: now.Add(time.Hour)}
				back, err := s.UsePasskey(t.Context(), use, by)
				must(t, err)
				p, err := s.Passkey(t.Context(), "a")
				must(t, err)
				taken := !tt.back || tt.tolerate
				if back != tt.back || p.SignCount != tt.want || p.LastUsedAt.IsZero() == taken || (p.Flags == 0x1d) != taken {
					t.Errorf("went back %t, passkey %+v", back, p)
				}
				if e := lastEvent(t, s); (e.Kind == store.EventPasskeyCount) != tt.back || tt.back && (e.UserID != u.ID || e.Detail != "n") {
					t.Errorf("event %+v", e)
				}
				_, err = s.UsePasskey(t.Context(), use, by)
				want(t, "the challenge once more", err, store.ErrReplayed)
			})
		})
	}
}

// Who uses a passkey that is another's or that is gone is refused.
func TestUsePasskeyOfAnother(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		passkey(t, s, user(t, s, "alice"), "a")
		mallory := user(t, s, "mallory")
		for i, use := range []store.PasskeyUse{{ID: "a", UserID: mallory.ID}, {ID: "b", UserID: mallory.ID}} {
			use.Challenge, use.SignCount, use.Now = challenge(fmt.Sprint(i)), 100, now
			_, err := s.UsePasskey(t.Context(), use, by)
			want(t, use.ID, err, store.ErrNotFound)
		}
	})
}

// Of all that answer one challenge, one does, and what is remembered of it goes when
// nobody would take an answer any more (WA-01).
func TestUsePasskeyRace(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		stores := []*store.Store{openDSN(t, dsn), openDSN(t, dsn), openDSN(t, dsn)}
		u := user(t, stores[0], "alice")
		passkey(t, stores[0], u, "a")
		for round := range int64(8) {
			errs := make([]error, 16)
			var callers sync.WaitGroup
			for i := range errs {
				callers.Go(func() {
					_, errs[i] = stores[i%3].UsePasskey(t.Context(), store.PasskeyUse{ID: "a", UserID: u.ID, Challenge: challenge(fmt.Sprint(round)),
						SignCount: 100*round + int64(i) + 10, Flags: 1, Now: now}, by)
				})
			}
			callers.Wait()
			won := 0
			for _, err := range errs {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, store.ErrReplayed):
					t.Errorf("round %d: %v", round, err)
				}
			}
			if won != 1 {
				t.Errorf("round %d: %d won", round, won)
			}
		}
		for more := true; more; {
			var err error
			more, err = stores[0].DeleteExpired(t.Context(), now.Add(48*time.Hour))
			must(t, err)
		}
		if n := count(t, stores[0], `SELECT COUNT(*) FROM revoked_token`); n != 0 {
			t.Errorf("%d challenges are remembered for ever", n)
		}
	})
}

// However many are added at once, on however many servers, a user has no more than the
// bound, and loses none by trying (WA-04).
func TestAddPasskeyBound(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		stores := []*store.Store{openDSN(t, dsn), openDSN(t, dsn), openDSN(t, dsn)}
		u := user(t, stores[0], "alice")
		for i := range store.MaxPasskeys - 3 {
			passkey(t, stores[0], u, fmt.Sprint(i))
		}
		errs := make([]error, 16)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				id := fmt.Sprint("more ", i)
				errs[i] = stores[i%3].AddPasskey(t.Context(), &store.Passkey{ID: id, UserID: u.ID, Name: "n", CreatedAt: now}, challenge(id), by)
			})
		}
		callers.Wait()
		full := 0
		for _, err := range errs {
			if errors.Is(err, store.ErrTooMany) {
				full++
			} else {
				must(t, err)
			}
		}
		all, err := stores[0].Passkeys(t.Context(), u.ID)
		must(t, err)
		if n := count(t, stores[0], `SELECT COUNT(*) FROM passkey`); full != 13 || n != store.MaxPasskeys || len(all) != store.MaxPasskeys {
			t.Errorf("%d refused, %d kept, %d listed", full, n, len(all))
		}
	})
}

// Who has no password keeps one passkey, whoever removes which at once.
func TestRemoveLastPasskey(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		stores := []*store.Store{openDSN(t, dsn), openDSN(t, dsn)}
		for round := range 8 {
			u := &store.User{ID: store.NewUserID(), Username: fmt.Sprint("u", round), UsernameKey: fmt.Sprint("u", round), CreatedAt: now}
			must(t, stores[0].CreateUser(t.Context(), u, by))
			errs := make([]error, 4)
			for i := range errs {
				passkey(t, stores[0], u, fmt.Sprintf("%d of %d", i, round))
			}
			var callers sync.WaitGroup
			for i := range errs {
				callers.Go(func() {
					errs[i] = stores[i%2].RemovePasskey(t.Context(), u.ID, 1, fmt.Sprintf("%d of %d", i, round), now, by)
				})
			}
			callers.Wait()
			refused := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
			left, err := stores[0].Passkeys(t.Context(), u.ID)
			must(t, err)
			if len(refused) != 1 || !errors.Is(refused[0], store.ErrLast) || len(left) != 1 {
				t.Fatalf("round %d: refused %v, left %v", round, refused, left)
			}
			must(t, stores[0].SetPassword(t.Context(), u.ID, "$argon2id$", now, by))
			must(t, stores[0].RemovePasskey(t.Context(), u.ID, 2, left[0].ID, now, by))
		}
	})
}

// A password that is changed or reset while a passkey is on its way ends that too: whoever
// was signed out adds none behind it (SE-05, MF-04).
func TestAddPasskeyBehindAnotherPassword(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := user(t, s, "alice")
		c := challenge("a")
		c.UserEpoch = u.Epoch
		must(t, s.SetPassword(t.Context(), u.ID, "$argon2id$", now, by))
		p := &store.Passkey{ID: "credential", UserID: u.ID, CreatedAt: now}
		want(t, "under the epoch before", s.AddPasskey(t.Context(), p, c, by), store.ErrNotFound)
		c.UserEpoch++
		must(t, s.AddPasskey(t.Context(), p, c, by))
	})
}
