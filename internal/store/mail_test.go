package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// An event that the user is told of writes the mail in its own transaction, to a verified
// address, when the servers send mail at all; no other event does (SE-05).
func TestNotices(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		known, typed := withAddress(t, s, "known", "known@example.com", true), withAddress(t, s, "typed", "typed@example.com", false)
		from := store.By{Actor: known.ID, Address: "192.0.2.1", UserAgent: "Firefox/140.0"}
		record := func(kind, userID string) {
			t.Helper()
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: kind, By: from, UserID: userID}))
		}
		record(store.EventPasskeyAdded, known.ID)
		must(t, s.SetSendsMail(t.Context(), true))
		for _, u := range []*store.User{known, typed} {
			must(t, s.SetPassword(t.Context(), u.ID, "hash", now, by))
			for _, kind := range []string{
				store.EventSecondFactorAdded, store.EventSecondFactorRemoved, store.EventRecoveryCodesMade, store.EventRecoveryCodeUsed, store.EventPasskeyAdded, store.EventPasskeyRemoved,
				store.EventSignIn, store.EventUserChanged, store.EventSignOut, store.EventConsent, "user.something_else",
			} {
				record(kind, u.ID)
			}
		}
		record(store.EventUserPassword, "nobody")
		got := mailsOf(t, s)
		wanted := []string{"passkey_added", "passkey_removed", "password_changed", "recovery_code_used", "recovery_codes_made", "second_factor_added", "second_factor_removed"}
		for i, kind := range wanted {
			wanted[i] = kind + " to known@example.com"
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		record(store.EventPasskeyAdded, known.ID)
		mails, err := s.ClaimMails(t.Context(), now, 10)
		must(t, err)
		event := lastEvent(t, s)
		if diff := cmp.Diff([]store.Mail{{
			ID: event.ID, Kind: "passkey_added", UserID: known.ID, Recipient: "known@example.com", Username: "known", Language: "zh", At: now,
			Address: "192.0.2.1", UserAgent: "Firefox/140.0", Attempts: 1, ExpiresAt: now.Add(72 * time.Hour),
		}}, mails); diff != "" {
			t.Errorf("a mail (-want +got):\n%s", diff)
		}
		must(t, s.DeleteUser(t.Context(), known.ID, now, by))
		wantCount(t, s, "what waits for somebody who is gone", 0, `SELECT COUNT(*) FROM mail`)
	})
}

// A sign-in with a new browser is told, but the very first of a user is not.
func TestNewDevice(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		must(t, s.SetSendsMail(t.Context(), true))
		u := withAddress(t, s, "alice", address, true)
		for i, tt := range []struct {
			fresh bool
			told  []string
		}{{true, nil}, {false, nil}, {true, []string{"new_device to " + address}}, {false, nil}} {
			session := &store.Session{SID: fmt.Sprint("sid", i), UserID: u.ID, UserEpoch: u.Epoch, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour), NewDevice: tt.fresh}
			must(t, s.CreateSession(t.Context(), session, fmt.Sprint("id", i), "", by))
			if told := mailsOf(t, s); !slices.Equal(told, tt.told) {
				t.Errorf("sign-in %d: told %q, want %q", i, told, tt.told)
			}
			if e := lastEvent(t, s); e.Kind != store.EventSignIn {
				t.Errorf("sign-in %d: recorded %+v last", i, e)
			}
		}
		wantCount(t, s, "recorded", 2, `SELECT COUNT(*) FROM event WHERE kind = $1`, store.EventNewDevice)
	})
}

// The operator's change of an address is told to the old one too (AC-02).
func TestUpdateUserTellsOldAddress(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		must(t, s.SetSendsMail(t.Context(), true))
		was := withAddress(t, s, "alice", address, true)
		next := *was
		next.Claims = []byte(`{"name":"Alice"}`)
		must(t, s.UpdateUser(t.Context(), was, &next, now, by))
		if told := mailsOf(t, s); len(told) > 0 {
			t.Errorf("another claim told %q", told)
		}
		was, err := s.User(t.Context(), was.ID)
		must(t, err)
		next = *was
		next.Email = "new@example.com"
		must(t, s.UpdateUser(t.Context(), was, &next, now, by))
		if told := mailsOf(t, s); !slices.Equal(told, []string{"email_changed to " + address}) {
			t.Errorf("another address told %q", told)
		}
		want(t, "a change that comes too late", s.UpdateUser(t.Context(), was, &next, now, by), store.ErrConflict)
		if told := mailsOf(t, s); len(told) > 0 {
			t.Errorf("a change that was refused told %q", told)
		}
	})
}

// Mail that was not taken is sent again when it is due, mail that was is forgotten, and
// nobody moves one that another server has taken over.
func TestMails(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		must(t, s.SetSendsMail(t.Context(), true))
		u := withAddress(t, s, "alice", address, true)
		for i := range 5 {
			must(t, s.Record(t.Context(), store.Event{At: now.Add(time.Duration(i) * time.Second), Kind: store.EventPasskeyAdded, UserID: u.ID}))
		}
		kinds := func(at time.Time, limit int) []store.Mail {
			t.Helper()
			mails, err := s.ClaimMails(t.Context(), at, limit)
			must(t, err)
			slices.SortFunc(mails, func(a, b store.Mail) int { return a.At.Compare(b.At) })
			return mails
		}
		first := kinds(now.Add(3*time.Second), 2)
		if len(first) != 2 || !first[0].At.Equal(now) || !first[1].At.Equal(now.Add(time.Second)) {
			t.Fatalf("claimed %+v", first)
		}
		must(t, s.SettleMail(t.Context(), &first[0]))
		must(t, s.PostponeMail(t.Context(), &first[1], now.Add(10*time.Second)))
		if others := kinds(now.Add(9*time.Second), 10); len(others) != 3 {
			t.Errorf("claimed %+v", others)
		}
		again := kinds(now.Add(10*time.Second), 10)
		if len(again) != 1 || again[0].ID != first[1].ID || again[0].Attempts != 2 {
			t.Errorf("claimed %+v", again)
		}
		must(t, s.PostponeMail(t.Context(), &first[1], now)) // too late
		if left := kinds(now.Add(11*time.Second), 10); len(left) > 0 {
			t.Errorf("claimed %+v", left)
		}
		if lost := kinds(now.Add(3*time.Minute), 10); len(lost) != 4 { // whoever took them has not been heard of
			t.Errorf("claimed %+v", lost)
		}
		late := now.Add(72*time.Hour + 10*time.Second)
		if dead := kinds(late, 10); len(dead) > 0 {
			t.Errorf("claimed when it was too late: %+v", dead)
		}
		must(t, second(s.DeleteExpired(t.Context(), late)))
		wantCount(t, s, "what is left", 0, `SELECT COUNT(*) FROM mail`)
	})
}

// However many servers ask at once, each mail is one server's.
func TestClaimMailsRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		must(t, f.SetSendsMail(t.Context(), true))
		u := withAddress(t, f.Store, "zoe", address, true)
		const mails = 60
		for range mails {
			must(t, f.Record(t.Context(), store.Event{At: now, Kind: store.EventPasskeyAdded, UserID: u.ID}))
		}
		var mu sync.Mutex
		seen := map[string]int{}
		for _, err := range atOnce(9, func(n int) error {
			for {
				claimed, err := f.server(n).ClaimMails(t.Context(), now, 3)
				if err != nil || len(claimed) == 0 {
					return err
				}
				mu.Lock()
				for _, m := range claimed {
					seen[m.ID]++
				}
				mu.Unlock()
			}
		}) {
			must(t, err)
		}
		if len(seen) != mails {
			t.Errorf("%d of %d were claimed", len(seen), mails)
		}
		for id, times := range seen {
			if times != 1 {
				t.Errorf("%s was claimed %d times", id, times)
			}
		}
	})
}
