package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

func sessionOf(p *party, sid string) *store.Session {
	return &store.Session{
		SID: sid, UserID: p.user.ID, UserEpoch: p.user.Epoch, AuthTime: now, ACR: "acr", AMR: "pwd", Address: "192.0.2.1", UserAgent: "Browser/1",
		CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
	}
}

// A session is found by the hash of its cookie, as it was made, as long as it is
// used often enough and not too old, and its user is in force (SE-03, SE-06).
func TestSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		find := func(t *testing.T, p *party, after, idle time.Duration) (*store.Session, error) {
			return p.Session(t.Context(), "id", now.Add(after), idle)
		}
		t.Run("as it was made", func(t *testing.T) {
			t.Parallel()
			p := newParty(t, open)
			made := sessionOf(p, "sid")
			must(t, p.CreateSession(t.Context(), made, "id", "", by))
			got, err := find(t, p, time.Minute, time.Hour)
			must(t, err)
			want := &store.Session{SID: "sid", UserID: p.user.ID, Username: "alice", UserEpoch: 1, AuthTime: now, ACR: "acr", AMR: "pwd", SeenAt: now}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("session (-want +got):\n%s", diff)
			}
			e := lastEvent(t, p.Store)
			if e.Kind != store.EventSignIn || e.UserID != p.user.ID || e.Detail != "pwd" || e.By != by {
				t.Errorf("event %+v", e)
			}
			if _, err = p.Session(t.Context(), "sid", now, time.Hour); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("by its public name: %v", err)
			}
			if n := count(t, p.Store, `SELECT COUNT(*) FROM browser_session WHERE address = '192.0.2.1' AND user_agent = 'Browser/1' AND created_at = $1 AND expires_at = $2`, now.Unix(), now.Add(24*time.Hour).Unix()); n != 1 {
				t.Error("what is known of the browser was not written")
			}
		})
		type test struct {
			before      func(t testing.TB, p *party)
			after, idle time.Duration
			want        error
		}
		nothing := func(testing.TB, *party) {}
		tests := map[string]test{
			"in its last idle second": {nothing, time.Hour - time.Second, time.Hour, nil},
			"idle too long":           {nothing, time.Hour, time.Hour, store.ErrNotFound},
			"touched meanwhile":       {func(t testing.TB, p *party) { must(t, p.TouchSession(t.Context(), "id", now.Add(30*time.Minute))) }, time.Hour, time.Hour, nil},
			"in its last second":      {nothing, 24*time.Hour - time.Second, 48 * time.Hour, nil},
			"too old":                 {nothing, 24 * time.Hour, 48 * time.Hour, store.ErrNotFound},
			"signed out":              {func(t testing.TB, p *party) { must(t, second(p.EndSession(t.Context(), "id", now, by))) }, 0, time.Hour, store.ErrNotFound},
			"everything over":         {func(t testing.TB, p *party) { must(t, p.RevokeAll(t.Context(), now, by)) }, 0, time.Hour, store.ErrNotFound},
		}
		for name, end := range ends {
			verdict := store.ErrNotFound
			if name == "client disabled" || name == "client deleted" || name == "client disabled, enabled" || name == "client made anew" {
				verdict = nil
			}
			tests[name] = test{end, 0, time.Hour, verdict}
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
				tt.before(t, p)
				_, err := find(t, p, tt.after, tt.idle)
				want(t, name, err, tt.want)
			})
		}
	})
}

// A touch is written once a minute at most.
func TestTouchSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
		for _, touch := range []struct{ after, seen time.Duration }{{59 * time.Second, 0}, {time.Minute, time.Minute}, {90 * time.Second, time.Minute}} {
			must(t, p.TouchSession(t.Context(), "id", now.Add(touch.after)))
			if got, err := p.Session(t.Context(), "id", now, time.Hour); err != nil || got.SeenAt != now.Add(touch.seen) {
				t.Errorf("touched after %v: %+v, %v; want seen after %v", touch.after, got, err, touch.seen)
			}
		}
		must(t, p.TouchSession(t.Context(), "unknown", now))
	})
}

// Whoever signs in again in one browser gets a new session in place of the old
// one. What is bound to the session goes on for the same person and ends for
// another (SE-01, LO-03).
func TestCreateSessionReplaces(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			other bool
			want  string
		}{"the same person": {false, "sid"}, "another person": {true, "sid2"}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
				bound := p.pending("a")
				bound.SessionID = "sid"
				must(t, p.CreateGrant(t.Context(), bound, nil, by))
				free := p.createPending(t, "b")
				if tt.other {
					p.user = user(t, p.Store, "bob")
				}
				must(t, p.CreateSession(t.Context(), sessionOf(p, "sid2"), "id2", "id", by))
				_, err := p.Session(t.Context(), "id", now, time.Hour)
				want(t, "the old cookie", err, store.ErrNotFound)
				got, err := p.Session(t.Context(), "id2", now, time.Hour)
				must(t, err)
				if got.SID != tt.want || got.UserID != p.user.ID {
					t.Errorf("new session %+v, want sid %s", got, tt.want)
				}
				for g, revoked := range map[*store.Grant]bool{bound: tt.other, free: false} {
					row, err := p.Grant(t.Context(), g.ID)
					must(t, err)
					if !row.RevokedAt.IsZero() != revoked {
						t.Errorf("grant bound to %q: revoked at %v", g.SessionID, row.RevokedAt)
					}
				}
			})
		}
	})
}

// Nobody is signed in who was changed since the password was checked; the session
// the browser had stays (LG-01).
func TestCreateSessionNotLive(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for _, name := range []string{"user disabled", "user deleted", "password changed", "user disabled, enabled"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				stale := sessionOf(p, "sid2")
				ends[name](t, p)
				bob := user(t, p.Store, "bob")
				must(t, p.CreateSession(t.Context(), sessionOf(&party{p.Store, p.client, bob}, "sid"), "id", "", by))
				want(t, name, p.CreateSession(t.Context(), stale, "id2", "id", by), store.ErrNotLive)
				if _, err := p.Session(t.Context(), "id", now, time.Hour); err != nil {
					t.Errorf("the session of the browser ended: %v", err)
				}
			})
		}
	})
}

// Signing out ends the grants bound to the session, those of the others not, and
// is recorded once (LO-03).
func TestEndSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
		grants := map[string]*store.Grant{"sid": p.pending("a"), "": p.pending("b"), "other": p.pending("c")}
		for session, g := range grants {
			g.SessionID = session
			must(t, p.CreateGrant(t.Context(), g, nil, by))
		}
		must(t, second(p.EndSession(t.Context(), "id", now, by)))
		for session, g := range grants {
			row, err := p.Grant(t.Context(), g.ID)
			must(t, err)
			if (row.RevokeReason == "signed out") != (session == "sid") || row.RevokedAt.IsZero() != (session != "sid") {
				t.Errorf("grant bound to %q: revoked at %v because %q", session, row.RevokedAt, row.RevokeReason)
			}
		}
		e := lastEvent(t, p.Store)
		if e.Kind != store.EventSignOut || e.UserID != p.user.ID {
			t.Errorf("event %+v", e)
		}
		must(t, second(p.EndSession(t.Context(), "id", now, by)))
		must(t, second(p.EndSession(t.Context(), "", now, by)))
		if again := lastEvent(t, p.Store); again.ID != e.ID {
			t.Errorf("nobody signed out, and %+v was recorded", again)
		}
	})
}
