package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// joined signs alice in under a name and has clients take part in her session. Those
// whose name begins with "deaf" do not want to hear of its end.
func joined(t testing.TB, p *party, sid string, clients ...string) {
	t.Helper()
	must(t, p.CreateSession(t.Context(), sessionOf(p, sid), "id of "+sid, "", by))
	join(t, p, sid, clients...)
}

func join(t testing.TB, p *party, sid string, clients ...string) {
	t.Helper()
	for _, id := range clients {
		g := p.pending(id + " in " + sid + store.NewGrantID())
		g.ClientID, g.ClientEpoch, g.SID, g.HearsOfLogout = id, 1, sid, id[:4] != "deaf"
		must(t, p.CreateGrant(t.Context(), g, nil, by))
	}
}

// told claims everything that is due at a time, and names it.
func told(t testing.TB, p *party, at time.Time) []string {
	t.Helper()
	notices, err := p.ClaimLogoutNotices(t.Context(), at, 100)
	must(t, err)
	names := []string{}
	for _, n := range notices {
		if n.UserID != p.user.ID || n.EndedAt.Before(now) || n.EndedAt.After(at) {
			t.Errorf("notice %+v", n)
		}
		names = append(names, n.ClientID+" of "+n.SID)
	}
	slices.Sort(names)
	return names
}

// Whatever ends a session has the clients be told that took part in it and asked for
// that, each once; what leaves it alone tells nobody (LO-02, conformance 74).
func TestTellClients(t *testing.T) {
	t.Parallel()
	ofOne, ofBoth := []string{"loud of sid", "mute of sid"}, []string{"loud of sid", "loud of sid2", "mute of sid"}
	for name, tt := range map[string]struct {
		end  func(t testing.TB, p *party)
		want []string
	}{
		"signed out": {func(t testing.TB, p *party) {
			ended, err := p.EndSession(t.Context(), "id of sid", now, by)
			must(t, err)
			slices.Sort(ended.Clients)
			if diff := cmp.Diff(store.EndedSession{SID: "sid", Clients: []string{"loud", "mute"}}, ended); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
		}, ofOne},
		"somebody else in that browser": {func(t testing.TB, p *party) {
			bob := *p
			bob.user = user(t, p.Store, "bob")
			must(t, p.CreateSession(t.Context(), sessionOf(&bob, "sid3"), "id3", "id of sid", by))
		}, ofOne},
		"the same person again": {func(t testing.TB, p *party) {
			must(t, p.CreateSession(t.Context(), sessionOf(p, "sid3"), "id3", "id of sid", by))
		}, nil},
		"password changed": {func(t testing.TB, p *party) { must(t, p.SetPassword(t.Context(), p.user.ID, "new", now, by)) }, ofBoth},
		"user disabled":    {func(t testing.TB, p *party) { must(t, p.DisableUser(t.Context(), p.user.ID, now, by)) }, ofBoth},
		"user deleted":     {func(t testing.TB, p *party) { must(t, p.DeleteUser(t.Context(), p.user.ID, now, by)) }, ofBoth},
		"everything over":  {func(t testing.TB, p *party) { must(t, p.RevokeAll(t.Context(), now, by)) }, ofBoth},
		"keys reset":       {func(t testing.TB, p *party) { must(t, p.ResetKeys(t.Context(), "check", now, by)) }, ofBoth},
		"user changed": {func(t testing.TB, p *party) {
			next := *p.user
			next.Email = "alice@b.example"
			must(t, p.UpdateUser(t.Context(), p.user, &next, now, by))
			must(t, p.EnableUser(t.Context(), p.user.ID, now, by))
			must(t, p.Rehash(t.Context(), p.user.ID, p.user.Password, "better"))
		}, nil},
		"consent withdrawn": {func(t testing.TB, p *party) {
			must(t, p.WithdrawConsent(t.Context(), p.user.ID, "loud", now, by))
		}, nil},
		"expired": {func(t testing.TB, p *party) {
			for range 3 {
				must(t, second(p.DeleteExpired(t.Context(), now.Add(24*time.Hour))))
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachEngine(t, func(t *testing.T, open opener) {
				p := newParty(t, open)
				for _, id := range []string{"loud", "mute", "deaf"} {
					client(t, p.Store, id)
				}
				joined(t, p, "sid", "loud", "mute", "deaf", "loud")
				joined(t, p, "sid2", "loud", "deaf")
				tt.end(t, p)
				if diff := cmp.Diff(append([]string{}, tt.want...), told(t, p, now)); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if again := told(t, p, now); len(again) > 0 {
					t.Errorf("told again: %q", again)
				}
			})
		})
	}
}

// A session that goes on under a new cookie keeps its clients for as long as it lasts
// now, and one that was ended by other means does not come back under its name.
func TestTellClientsOfSuccessor(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		client(t, p.Store, "loud")
		joined(t, p, "sid", "loud")
		next := sessionOf(p, "sid2")
		next.ExpiresAt = now.Add(48 * time.Hour)
		must(t, p.CreateSession(t.Context(), next, "id2", "id of sid", by))
		must(t, second(p.DeleteExpired(t.Context(), now.Add(25*time.Hour))))
		must(t, second(p.EndSession(t.Context(), "id2", now.Add(25*time.Hour), by)))
		if got := told(t, p, now.Add(25*time.Hour)); !slices.Equal(got, []string{"loud of sid"}) {
			t.Errorf("told %q", got)
		}

		for name, end := range map[string]func(p *party) error{
			"password":   func(p *party) error { return p.SetPassword(t.Context(), p.user.ID, "new", now, by) },
			"everything": func(p *party) error { return p.RevokeAll(t.Context(), now, by) },
		} {
			p := newParty(t, open)
			client(t, p.Store, "loud")
			joined(t, p, name, "loud")
			must(t, end(p))
			var err error
			p.user, err = p.User(t.Context(), p.user.ID)
			must(t, err)
			n := sessionOf(p, name+" 2")
			must(t, p.CreateSession(t.Context(), n, "id of "+name+" 2", "id of "+name, by))
			if n.SID != name+" 2" || lastEvent(t, p.Store).Kind != store.EventSignIn {
				t.Errorf("%s: goes on as %s", name, n.SID)
			}
			join(t, p, n.SID, "loud")
			if got := told(t, p, now); !slices.Equal(got, []string{"loud of " + name}) {
				t.Errorf("%s: told %q", name, got)
			}
		}
	})
}

// What was not told is told again when it is due, and what was is forgotten; nobody
// moves a notice that another server has taken over (LO-02).
func TestLogoutNotices(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		for i := range 5 {
			client(t, p.Store, fmt.Sprint("loud", i))
			joined(t, p, fmt.Sprint("sid", i), fmt.Sprint("loud", i))
			must(t, second(p.EndSession(t.Context(), fmt.Sprint("id of sid", i), now.Add(time.Duration(i)*time.Second), by)))
		}
		first, err := p.ClaimLogoutNotices(t.Context(), now.Add(3*time.Second), 2)
		must(t, err)
		slices.SortFunc(first, func(a, b store.LogoutNotice) int { return a.EndedAt.Compare(b.EndedAt) })
		want := []store.LogoutNotice{{"sid0", "loud0", p.user.ID, 1, now}, {"sid1", "loud1", p.user.ID, 1, now.Add(time.Second)}}
		if diff := cmp.Diff(want, first); diff != "" {
			t.Fatalf("claimed (-want +got):\n%s", diff)
		}
		must(t, p.SettleLogoutNotice(t.Context(), first[0]))
		must(t, p.PostponeLogoutNotice(t.Context(), first[1], now.Add(10*time.Second)))
		if got := told(t, p, now.Add(9*time.Second)); !slices.Equal(got, []string{"loud2 of sid2", "loud3 of sid3", "loud4 of sid4"}) {
			t.Errorf("told %q", got)
		}
		second, err := p.ClaimLogoutNotices(t.Context(), now.Add(10*time.Second), 10)
		must(t, err)
		if len(second) != 1 || second[0].Attempts != 2 || second[0].ClientID != "loud1" {
			t.Errorf("claimed %+v", second)
		}
		must(t, p.PostponeLogoutNotice(t.Context(), first[1], now)) // too late
		if got := told(t, p, now.Add(11*time.Second)); len(got) > 0 {
			t.Errorf("told %q", got)
		}
		if got := told(t, p, now.Add(70*time.Second)); len(got) != 4 { // whoever took them has not been heard of
			t.Errorf("told %q", got)
		}
		for range 3 {
			_, err := p.DeleteExpired(t.Context(), now.Add(24*time.Hour+10*time.Second))
			must(t, err)
		}
		wantCount(t, p.Store, "what is left", 0, `SELECT COUNT(*) FROM session_client`)
	})
}

// Live sessions are not settled, whatever a late caller thinks.
func TestSettleLiveSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		client(t, p.Store, "loud")
		joined(t, p, "sid", "loud")
		notice := store.LogoutNotice{SID: "sid", ClientID: "loud", Attempts: 0}
		must(t, p.SettleLogoutNotice(t.Context(), notice))
		must(t, p.PostponeLogoutNotice(t.Context(), notice, now))
		if got := told(t, p, now); len(got) > 0 {
			t.Errorf("told %q", got)
		}
		must(t, second(p.EndSession(t.Context(), "id of sid", now, by)))
		if got := told(t, p, now); len(got) != 1 {
			t.Errorf("told %q", got)
		}
	})
}

// However many servers ask at once, each notice is one server's (LO-02).
func TestClaimLogoutNoticesRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		const clients = 20
		for i := range clients {
			must(t, f.CreateClient(t.Context(), &store.Client{ID: fmt.Sprint("loud", i), CreatedAt: now}, by))
		}
		for round := range 20 {
			sid := fmt.Sprint("sid", round)
			joined(t, f.party, sid)
			for i := range clients {
				join(t, f.party, sid, fmt.Sprint("loud", i))
			}
			must(t, second(f.EndSession(t.Context(), "id of "+sid, now, by)))
			var mu sync.Mutex
			seen := map[string]int{}
			for _, err := range atOnce(9, func(n int) error {
				for {
					notices, err := f.server(n).ClaimLogoutNotices(t.Context(), now, 3)
					if err != nil || len(notices) == 0 {
						return err
					}
					mu.Lock()
					for _, notice := range notices {
						seen[notice.ClientID]++
					}
					mu.Unlock()
				}
			}) {
				must(t, err)
			}
			for i := range clients {
				if id := fmt.Sprint("loud", i); seen[id] != 1 {
					t.Errorf("round %d: %s was claimed %d times", round, id, seen[id])
				}
			}
		}
	})
}

// However a session ends while clients join it: a client that has joined is told, and
// one that was refused is not; none takes part in a session that is over (LO-02).
func TestJoinSessionRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		for i := range 9 {
			must(t, f.CreateClient(t.Context(), &store.Client{ID: fmt.Sprint("loud", i), Metadata: oauth.ClientMetadata{}, CreatedAt: now}, by))
		}
		ways := map[string]func(s *store.Store, sid string) error{
			"sign-out": func(s *store.Store, sid string) error {
				return second(s.EndSession(t.Context(), "id of "+sid, now, by))
			},
			"password": func(s *store.Store, _ string) error { return s.SetPassword(t.Context(), f.user.ID, "new", now, by) },
			"all":      func(s *store.Store, _ string) error { return s.RevokeAll(t.Context(), now, by) },
		}
		for name, end := range ways {
			for round := range 15 {
				sid := fmt.Sprint(name, " ", round)
				var err error
				f.user, err = f.User(t.Context(), f.user.ID)
				must(t, err)
				joined(t, f.party, sid)
				made := make([]bool, 9)
				for n, err := range atOnce(9, func(n int) error {
					if n == 4 {
						return end(f.server(n), sid)
					}
					id := fmt.Sprint("loud", n)
					g := f.pending(id + sid)
					g.ClientID, g.ClientEpoch, g.SID, g.HearsOfLogout = id, 1, sid, true
					return f.server(n).CreateGrant(t.Context(), g, nil, by)
				}) {
					if made[n] = err == nil; n == 4 {
						must(t, err)
					}
					wantOneOf(t, sid, err, nil, store.ErrNotLive)
				}
				heard := told(t, f.party, now)
				for n, ok := range made {
					id := fmt.Sprintf("loud%d of %s", n, sid)
					if n != 4 && ok != slices.Contains(heard, id) {
						t.Errorf("%s: grant made: %t, told: %t", id, ok, !ok)
					}
				}
				wantCount(t, f.Store, sid+": still in the session", 0, `SELECT COUNT(*) FROM session_client WHERE sid = $1 AND ended_at IS NULL`, sid)
			}
		}
	})
}
