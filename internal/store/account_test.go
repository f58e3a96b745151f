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

// signIn makes a session of a user.
func signIn(t testing.TB, s *store.Store, u *store.User, sid string, at time.Time) {
	t.Helper()
	must(t, s.CreateSession(t.Context(), &store.Session{SID: sid, UserID: u.ID, UserEpoch: u.Epoch, AuthTime: at, ACR: "a", AMR: "pwd",
		Address: "192.0.2.1", UserAgent: "browser of " + sid, CreatedAt: at, ExpiresAt: at.Add(30 * 24 * time.Hour)}, "hash of "+sid, "", by))
}

func sidsOf(t testing.TB, s *store.Store, userID string, at time.Time) (sids []string) {
	t.Helper()
	sessions, err := s.Sessions(t.Context(), userID, at, 12*time.Hour, 10)
	must(t, err)
	for _, session := range sessions {
		sids = append(sids, session.SID)
	}
	return sids
}

// A person sees where they are signed in, and no session that has ended in any way
// (SE-04).
func TestSessions(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		alice, bob := user(t, s, "alice"), user(t, s, "bob")
		for i, sid := range []string{"first", "second", "third"} {
			signIn(t, s, alice, sid, now.Add(time.Duration(i)*time.Hour))
		}
		signIn(t, s, bob, "bob's", now)
		must(t, s.TouchSession(t.Context(), "hash of first", now.Add(3*time.Hour)))
		if got := sidsOf(t, s, alice.ID, now.Add(4*time.Hour)); !slices.Equal(got, []string{"first", "third", "second"}) {
			t.Errorf("sessions %q, want the last used first", got)
		}
		if got := sidsOf(t, s, alice.ID, now.Add(14*time.Hour)); !slices.Equal(got, []string{"first"}) {
			t.Errorf("after some have idled: %q", got)
		}
		all, err := s.Sessions(t.Context(), bob.ID, now, time.Hour, 10)
		must(t, err)
		want := []store.Session{{SID: "bob's", UserID: bob.ID, Username: "bob", UserEpoch: 1, AuthTime: now, ACR: "a", AMR: "pwd", Address: "192.0.2.1",
			UserAgent: "browser of bob's", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour)}}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("sessions (-want +got):\n%s", diff)
		}
		must(t, s.SetPassword(t.Context(), alice.ID, "another", now, by))
		if got := sidsOf(t, s, alice.ID, now); len(got) > 0 {
			t.Errorf("after another password: %q", got)
		}
		must(t, s.RevokeAll(t.Context(), now, by))
		if got := sidsOf(t, s, bob.ID, now); len(got) > 0 {
			t.Errorf("after revoke-all: %q", got)
		}
	})
}

// A session is ended by its own user alone, with what is bound to it and nothing else
// (SE-04, AC-01).
func TestEndUserSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		other := user(t, p.Store, "other")
		for _, sid := range []string{"a", "b", "c"} {
			signIn(t, p.Store, p.user, sid, now)
			g := p.pending(sid)
			g.SID, g.SessionID = sid, sid
			must(t, p.CreateGrant(t.Context(), g, nil, by))
		}
		signIn(t, p.Store, other, "other's", now)
		want(t, "of somebody else", p.EndUserSession(t.Context(), p.user.ID, "other's", now, by), store.ErrNotFound)
		want(t, "of nobody", p.EndUserSession(t.Context(), p.user.ID, "nothing", now, by), store.ErrNotFound)
		must(t, p.EndUserSession(t.Context(), p.user.ID, "a", now, by))
		want(t, "once more", p.EndUserSession(t.Context(), p.user.ID, "a", now, by), store.ErrNotFound)
		if got := sidsOf(t, p.Store, p.user.ID, now); !slices.Equal(got, []string{"b", "c"}) {
			t.Errorf("left %q", got)
		}
		if got := revokedOf(t, p); !slices.Equal(got, []string{"a"}) {
			t.Errorf("grants revoked with the session: %q", got)
		}
		if e := lastEvent(t, p.Store); e.Kind != store.EventSignOut || e.UserID != p.user.ID || e.By != by {
			t.Errorf("event %+v", e)
		}
		must(t, p.EndOtherSessions(t.Context(), p.user.ID, "c", now, by))
		must(t, p.EndOtherSessions(t.Context(), p.user.ID, "c", now, by)) // there are none left
		if got := sidsOf(t, p.Store, p.user.ID, now); !slices.Equal(got, []string{"c"}) {
			t.Errorf("left %q, want the one that was kept", got)
		}
		if got := revokedOf(t, p); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("grants revoked with the sessions: %q", got)
		}
		if got := sidsOf(t, p.Store, other.ID, now); len(got) != 1 {
			t.Errorf("somebody else has %q", got)
		}
	})
}

// revokedOf names the sessions whose grants are revoked.
func revokedOf(t testing.TB, p *party) (sids []string) {
	t.Helper()
	grants, err := p.Grants(t.Context(), p.user.ID, "", 100)
	must(t, err)
	for _, g := range grants {
		if !g.RevokedAt.IsZero() {
			sids = append(sids, g.SID)
		}
	}
	slices.Sort(sids)
	return sids
}

// A person sees what clients may do in their name: what was remembered and what is in
// force, and nothing that is dead.
func TestAccesses(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		list := func(t testing.TB, p *party, at time.Time) []store.Access {
			t.Helper()
			all, err := p.Accesses(t.Context(), p.user.ID, at, 100)
			must(t, err)
			return all
		}
		give := func(t testing.TB, p *party, name, scope string, at time.Time, consent *store.Consent) {
			t.Helper()
			g := p.pending(name)
			g.Scope, g.CreatedAt = scope, at
			must(t, p.CreateGrant(t.Context(), g, consent, by))
		}
		over := map[string]func(t testing.TB, p *party){
			"withdrawn":        func(t testing.TB, p *party) { must(t, p.WithdrawConsent(t.Context(), p.user.ID, p.client.ID, now, by)) },
			"client disabled":  func(t testing.TB, p *party) { must(t, p.DisableClient(t.Context(), p.client.ID, now, by)) },
			"client deleted":   func(t testing.TB, p *party) { must(t, p.DeleteClient(t.Context(), p.client.ID, now, by)) },
			"client once more": disabledAndEnabled,
			"password changed": ends["password changed"], // what was remembered stays
		}
		for name, end := range over {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				give(t, p, "a", "read", now, &store.Consent{Scope: "read write", Remember: true})
				give(t, p, "b", "mail", now.Add(time.Hour), nil)
				want := []store.Access{{ClientID: p.client.ID, Scope: []string{"read", "write", "mail"}, Since: now, UsedAt: now.Add(time.Hour), Grants: 2}}
				got := list(t, p, now)
				slices.Sort(want[0].Scope)
				if len(got) == 1 {
					slices.Sort(got[0].Scope)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				end(t, p)
				if got := list(t, p, now); name == "password changed" {
					if len(got) != 1 || got[0].Grants != 0 || !got[0].UsedAt.IsZero() {
						t.Errorf("after %s: %+v", name, got)
					}
				} else if len(got) > 0 {
					t.Errorf("after %s: %+v", name, got)
				}
			})
		}
		t.Run("everything expired", func(t *testing.T) {
			t.Parallel()
			p := newParty(t, open)
			give(t, p, "a", "read", now, nil)
			if got := list(t, p, now.Add(365*24*time.Hour)); len(got) > 0 {
				t.Errorf("%+v", got)
			}
		})
	})
}

// What the audit trail knows of one person, in pages, and of nobody else.
func TestUserEvents(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		alice, bob := user(t, s, "alice"), user(t, s, "bob")
		for i := range 5 {
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: fmt.Sprint("kind ", i), By: by, UserID: alice.ID}))
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: "other", By: by, UserID: bob.ID}))
		}
		var kinds []string
		for before := ""; ; {
			page, err := s.UserEvents(t.Context(), alice.ID, before, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				kinds = append(kinds, e.Kind)
			}
			before = page[len(page)-1].ID
		}
		if want := []string{"kind 4", "kind 3", "kind 2", "kind 1", "kind 0", store.EventUserCreated}; !slices.Equal(kinds, want) {
			t.Errorf("events %q, want %q", kinds, want)
		}
		if page, err := s.UserEvents(t.Context(), "", "", 10); err != nil || len(page) > 0 {
			t.Errorf("of nobody: %v, %v", page, err)
		}
	})
}

// A password is changed by whoever is signed in under the epoch of now: of many who try
// at once one does, and the others are told to sign in again (SE-05).
func TestChangePassword(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		alice := user(t, s, "alice")
		signIn(t, s, alice, "sid", now)
		errs := make([]error, 16)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				next, err := s.ChangePassword(t.Context(), alice.ID, 1, fmt.Sprint("hash ", i), now, by)
				if errs[i] = err; err == nil && next != 2 {
					t.Errorf("epoch %d, want 2", next)
				}
			})
		}
		callers.Wait()
		winners := 0
		for i, err := range errs {
			if err == nil {
				winners++
				if u, _ := s.User(t.Context(), alice.ID); u.Password != fmt.Sprint("hash ", i) || u.Epoch != 2 {
					t.Errorf("user %+v, want what %d wrote", u, i)
				}
			} else if !errors.Is(err, store.ErrNotLive) {
				t.Error(err)
			}
		}
		if winners != 1 {
			t.Errorf("%d changed it", winners)
		}
		if got := sidsOf(t, s, alice.ID, now); len(got) > 0 {
			t.Errorf("sessions under the old password: %q", got)
		}
		must(t, s.DisableUser(t.Context(), alice.ID, now, by))
		_, err := s.ChangePassword(t.Context(), alice.ID, 3, "hash", now, by)
		want(t, "while disabled", err, store.ErrNotLive)
	})
}

// Who leaves is gone under the epoch they signed in with; the last administrator stays,
// however many leave at once (AD-06).
func TestLeave(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		alice := user(t, s, "alice")
		want(t, "under another epoch", s.Leave(t.Context(), alice.ID, 2, now, by), store.ErrNotLive)
		must(t, s.Leave(t.Context(), alice.ID, 1, now, by))
		want(t, "once more", s.Leave(t.Context(), alice.ID, 1, now, by), store.ErrNotLive)
		if _, err := s.User(t.Context(), alice.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("who has left is %v", err)
		}
		admins := make([]*store.User, 8)
		for i := range admins {
			name := fmt.Sprint("admin", i)
			admins[i] = &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Admin: true, CreatedAt: now}
			must(t, s.CreateUser(t.Context(), admins[i], by))
		}
		must(t, s.DisableUser(t.Context(), admins[0].ID, now, by)) // does not count
		errs := make([]error, len(admins))
		var callers sync.WaitGroup
		for i, admin := range admins[1:] {
			callers.Go(func() { errs[i+1] = s.Leave(t.Context(), admin.ID, 1, now, by) })
		}
		callers.Wait()
		stayed := 0
		for _, err := range errs[1:] {
			if errors.Is(err, store.ErrLastAdmin) {
				stayed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if stayed != 1 {
			t.Errorf("%d administrators were kept, want 1", stayed)
		}
	})
}

// What a deleted person leaves in other tables goes by itself: name, address and
// sessions; the trail of what was done stays, under the subject (AC-03).
func TestForgetDeleted(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		other := user(t, p.Store, "other")
		from := store.By{Actor: p.user.ID, Address: "192.0.2.7", RequestID: "r"}
		for i := range 45 { // more than two batches
			must(t, p.Record(t.Context(), store.Event{At: now, Kind: fmt.Sprint(i), By: from, UserID: p.user.ID}))
			signIn(t, p.Store, p.user, fmt.Sprint("sid ", i), now)
		}
		must(t, p.Record(t.Context(), store.Event{At: now, Kind: "other", By: from, UserID: other.ID}))
		signIn(t, p.Store, other, "other's", now)
		must(t, p.CreateGrant(t.Context(), p.pending("a"), &store.Consent{Scope: "read", Remember: true}, by))
		events := count(t, p.Store, `SELECT COUNT(*) FROM event WHERE user_id = $1`, p.user.ID)
		others := count(t, p.Store, `SELECT COUNT(*) FROM event WHERE user_id = $1 AND address <> ''`, other.ID)
		must(t, p.DeleteUser(t.Context(), p.user.ID, now, by))
		for n := 0; ; n++ {
			more, err := p.DeleteExpired(t.Context(), now)
			must(t, err)
			if !more {
				break
			}
			if n > 50 {
				t.Fatal("it goes on and on")
			}
		}
		for what, text := range map[string]string{
			"sessions":  `SELECT COUNT(*) FROM browser_session WHERE user_id = $1`,
			"consent":   `SELECT COUNT(*) FROM consent WHERE user_id = $1`,
			"addresses": `SELECT COUNT(*) FROM event WHERE user_id = $1 AND address <> ''`,
			"to forget": `SELECT COUNT(*) FROM end_user WHERE forget AND id = $1`,
		} {
			if n := count(t, p.Store, text, p.user.ID); n != 0 {
				t.Errorf("%s: %d are left", what, n)
			}
		}
		if n := count(t, p.Store, `SELECT COUNT(*) FROM event WHERE user_id = $1`, p.user.ID); n != events+1 {
			t.Errorf("%d events, want %d and the deletion", n, events)
		}
		if n := count(t, p.Store, `SELECT COUNT(*) FROM event WHERE user_id = $1 AND address <> ''`, other.ID); n != others || n == 0 {
			t.Errorf("%d events of somebody else with an address, there were %d", n, others)
		}
		if got := sidsOf(t, p.Store, other.ID, now); len(got) != 1 {
			t.Errorf("somebody else has sessions %q", got)
		}
	})
}

// A session that was ended, whoever did so, does not go on in another (SE-01, SE-04): a
// second factor that is on its way at that moment makes none.
func TestSessionContinuesOnlyWhatLives(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u, other := user(t, s, "alice"), user(t, s, "bob")
		next := func(u *store.User, id, replaced string) error {
			return s.CreateSession(t.Context(), &store.Session{SID: "next " + id, UserID: u.ID, UserEpoch: u.Epoch, AuthTime: now, ACR: "a", AMR: "pwd otp mfa",
				CreatedAt: now, ExpiresAt: now.Add(time.Hour), Continues: true}, id, replaced, by)
		}
		for name, end := range map[string]func() error{
			"signed out":                      func() error { return second(s.EndSession(t.Context(), "first", now, by)) },
			"signed out from another browser": func() error { return s.EndUserSession(t.Context(), u.ID, "first", now, by) },
			"signed out everywhere":           func() error { return s.EndOtherSessions(t.Context(), u.ID, "", now, by) },
		} {
			must(t, s.CreateSession(t.Context(), &store.Session{SID: "first", UserID: u.ID, UserEpoch: u.Epoch, AuthTime: now, ACR: "a", AMR: "pwd",
				CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, "first", "", by))
			want(t, name+": another's", next(other, "second", "first"), store.ErrNotLive)
			must(t, end())
			want(t, name, next(u, "second", "first"), store.ErrNotLive)
		}
		must(t, s.CreateSession(t.Context(), &store.Session{SID: "first", UserID: u.ID, UserEpoch: u.Epoch, AuthTime: now, ACR: "a", AMR: "pwd",
			CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, "first", "", by))
		must(t, next(u, "second", "first"))
	})
}

// A client that asks for a different selection of its scope each time crowds no other out
// of the list that people throw clients out by (AC-01, SE-04).
func TestAccessesCrowdNobodyOut(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		quiet := client(t, p.Store, "zzz")
		g := p.pending("quiet")
		g.ClientID, g.ClientEpoch = quiet.ID, quiet.Epoch
		must(t, p.CreateGrant(t.Context(), g, nil, by))
		for i := range 150 {
			g := p.pending(fmt.Sprint("loud ", i))
			g.Scope = fmt.Sprintf("read s%03d", i)
			must(t, p.CreateGrant(t.Context(), g, nil, by))
		}
		all, err := p.Accesses(t.Context(), p.user.ID, now, 100)
		must(t, err)
		var ids []string
		for _, a := range all {
			ids = append(ids, a.ClientID)
		}
		if !slices.Equal(ids, []string{p.client.ID, quiet.ID}) {
			t.Errorf("clients %q", ids)
		}
		if all, err = p.Accesses(t.Context(), p.user.ID, now, 1); err != nil || len(all) != 1 {
			t.Errorf("the first of them: %+v, %v", all, err)
		}
	})
}
