package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// A fleet is the servers of one database, of which the party uses the first.
type fleet struct {
	*party
	servers []*store.Store
}

// server is the one that the n-th caller reaches.
func (f *fleet) server(n int) *store.Store { return f.servers[n%len(f.servers)] }

// eachFleet runs a test on the one server of a SQLite file, and on three that share
// a PostgreSQL database.
func eachFleet(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	for name, open := range map[string]func(t testing.TB) []*store.Store{
		"SQLite": func(t testing.TB) []*store.Store { return []*store.Store{open(t)} },
		"PostgreSQL": func(t testing.TB) []*store.Store {
			dsn := clusterDSN(t)
			return []*store.Store{openDSN(t, dsn), openDSN(t, dsn), openDSN(t, dsn)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := open(t)
			test(t, &fleet{newParty(t, func(testing.TB) *store.Store { return servers[0] }), servers})
		})
	}
}

// atOnce has callers do something at the same moment and returns what became of it.
func atOnce(callers int, do func(n int) error) []error {
	errs := make([]error, callers)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() {
			<-begin
			errs[n] = do(n)
		})
	}
	close(begin)
	all.Wait()
	return errs
}

// wantOneWinner fails unless one caller won and all others got the verdict.
func wantOneWinner(t testing.TB, what string, errs []error, verdict error) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, verdict):
			t.Errorf("%s: a loser got %v, want %v", what, err, verdict)
		}
	}
	if winners != 1 {
		t.Errorf("%s: %d winners", what, winners)
	}
}

// wantOneOf fails unless an error is one of the verdicts; nil may be one.
func wantOneOf(t testing.TB, what string, err error, verdicts ...error) {
	t.Helper()
	for _, verdict := range verdicts {
		if errors.Is(err, verdict) {
			return
		}
	}
	t.Errorf("%s: got %v", what, err)
}

// However signing out and allowing fall together, no grant that is bound to a session
// is live when both are over (LO-03).
func TestSignOutRacesGrant(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		bob := user(t, f.Store, "bob")
		for name, end := range map[string]func(s *store.Store, id string) error{
			"sign-out": func(s *store.Store, id string) error { return second(s.EndSession(t.Context(), id, now, by)) },
			"somebody else signs in": func(s *store.Store, id string) error {
				session := sessionOf(&party{user: bob}, "sid of bob "+id)
				return s.CreateSession(t.Context(), session, "next "+id, id, by)
			},
		} {
			for round := range 60 {
				id := fmt.Sprint(name, " ", round)
				must(t, f.CreateSession(t.Context(), sessionOf(f.party, "sid of "+id), id, "", by))
				errs := atOnce(5, func(n int) error {
					if n == 2 {
						return end(f.server(n), id)
					}
					g := f.pending(fmt.Sprint(id, " ", n))
					g.SID, g.SessionID = "sid of "+id, "sid of "+id
					if n%2 == 0 {
						return f.server(n).CreateGrant(t.Context(), g, nil, by)
					}
					return f.server(n).CreateGrant(t.Context(), g, &store.Consent{Scope: g.Scope, Remember: true}, by)
				})
				must(t, errs[2])
				for _, err := range errs {
					wantOneOf(t, id, err, nil, store.ErrNotLive)
				}
				wantCount(t, f.Store, id+": live grants", 0,
					`SELECT COUNT(*) FROM oauth_grant WHERE session_id = $1 AND revoked_at IS NULL`, "sid of "+id)
			}
		}
	})
}

// Of several who change one client as they read it, one does, and the others learn
// that it has changed.
func TestUpdateClientRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		for round := range 40 {
			read := client2(t, f.Store, "app")
			name := func(n int) string { return fmt.Sprint("round ", round, ", by ", n) }
			errs := atOnce(8, func(n int) error {
				mine := *read
				mine.Metadata.ClientName = name(n)
				return f.server(n).UpdateClient(t.Context(), &mine, now, by)
			})
			wantOneWinner(t, fmt.Sprint("round ", round), errs, store.ErrConflict)
			for n, err := range errs {
				if got := client2(t, f.Store, "app").Metadata.ClientName; err == nil && got != name(n) {
					t.Errorf("%q won, and the name is %q", name(n), got)
				}
			}
		}
	})
}

// So many registrations at once are all served: each takes its turn at the row of the
// server, and none gives up (DB-05). There are as few as a busy machine serves within
// the patience of a call.
func TestCreateClientMany(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		const clients = 48
		begun := time.Now()
		errs := atOnce(clients, func(n int) error {
			c := &store.Client{ID: fmt.Sprint("c", n), CreatedAt: now, Secrets: []store.ClientSecret{{ID: fmt.Sprint(n), Hash: "h", CreatedAt: now}}}
			return f.server(n).CreateClient(t.Context(), c, by)
		})
		t.Logf("%d registrations in %v", clients, time.Since(begun))
		for n, err := range errs {
			if err != nil {
				t.Errorf("registration %d: %v", n, err)
			}
		}
		wantCount(t, f.Store, "clients", clients+1, `SELECT COUNT(*) FROM client`)
		wantCount(t, f.Store, "revisions", clients+1, `SELECT COUNT(DISTINCT revision) FROM client`)
	})
}

// Two secrets of a client are live at most, whoever adds them where (CA-08).
func TestAddSecretRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		for round := range 40 {
			errs := atOnce(8, func(n int) error {
				secret := store.ClientSecret{ID: fmt.Sprint(round, " ", n), Hash: "h", CreatedAt: now}
				return f.server(n).AddSecret(t.Context(), "app", secret, by)
			})
			added := 0
			for _, err := range errs {
				wantOneOf(t, fmt.Sprint("round ", round), err, nil, store.ErrConflict)
				if err == nil {
					added++
				}
			}
			secrets := client2(t, f.Store, "app").Secrets
			if len(secrets) != 2 || added != 2-round%2 && round > 0 {
				t.Fatalf("round %d: %d secrets were added, %d are live", round, added, len(secrets))
			}
			for _, secret := range secrets[:1+round%2] { // so that one or two can be added in the next
				must(t, f.RemoveSecret(t.Context(), "app", secret.ID, now, by))
			}
		}
	})
}

// Whoever makes keys while the master key is exchanged: no key is left that was sealed
// under the old one.
func TestResealRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		under := func(id, purpose, check string) store.Key {
			return store.Key{ID: id, Purpose: purpose, Sealed: "under " + check, Check: check, CreatedAt: now, ActiveAt: now}
		}
		must(t, f.SetKeyCheck(t.Context(), "check"))
		must(t, f.AddFirstKey(t.Context(), under("k", "sign", "check")))
		newest, resealed := "k", 0
		for round := range 60 {
			server, err := f.Server(t.Context())
			must(t, err)
			was, is, next := server.KeyCheck, fmt.Sprint("check ", round), fmt.Sprint("k", round)
			keys, err := f.Keys(t.Context())
			must(t, err)
			for i := range keys {
				keys[i].Sealed = "under " + is
			}
			errs := atOnce(4, func(n int) error {
				s := f.server(n)
				switch n = (n + round) % 4; n { // whoever comes first, it is another one each time
				case 0:
					return s.ResealKeys(t.Context(), keys, was, is, now, by)
				case 1:
					return s.SucceedKey(t.Context(), newest, under(next, "sign", was), now.Add(time.Hour), by)
				case 2:
					return s.AddFirstKey(t.Context(), under("first "+next, next, was))
				}
				return s.RemoveKey(t.Context(), fmt.Sprint("first k", round-1), under("anew "+next, fmt.Sprint("k", round-1), was), by)
			})
			for n, err := range errs {
				wantOneOf(t, fmt.Sprint("round ", round, ", ", n), err, nil, store.ErrConflict, store.ErrNotFound)
			}
			if errs[(4-round%4)%4] == nil {
				resealed++
			}
			if errs[(5-round%4)%4] == nil {
				newest = next
			}
			server, err = f.Server(t.Context())
			must(t, err)
			wantCount(t, f.Store, fmt.Sprint("round ", round, ": keys that nobody can open"), 0,
				`SELECT COUNT(*) FROM key_ring WHERE sealed <> $1`, "under "+server.KeyCheck)
		}
		if resealed == 0 || newest == "k" {
			t.Errorf("%d times resealed, newest key %s: nothing raced", resealed, newest)
		}
	})
}

// A scope that was withdrawn does not come back with what is remembered at the same
// moment, and whatever was granted before the withdrawal is revoked.
func TestWithdrawRacesConsent(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		for round := range 60 {
			before := f.pending(fmt.Sprint("before ", round))
			must(t, f.CreateGrant(t.Context(), before, &store.Consent{Scope: before.Scope, Remember: true}, by))
			errs := atOnce(4, func(n int) error {
				if n == 1 {
					return f.server(n).WithdrawConsent(t.Context(), f.user.ID, "app", now, by)
				}
				g := f.pending(fmt.Sprint(round, " ", n))
				g.Scope = []string{"read", "", "read", "offline_access read"}[n]
				return f.server(n).CreateGrant(t.Context(), g, &store.Consent{Scope: g.Scope, Remember: true}, by)
			})
			for _, err := range errs {
				must(t, err)
			}
			scope, _, err := f.Consent(t.Context(), f.user.ID, f.client)
			must(t, err)
			if strings.Contains(scope, "write") {
				t.Errorf("round %d: %q is allowed after it was withdrawn", round, scope)
			}
			row, err := f.Grant(t.Context(), before.ID)
			must(t, err)
			if row.RevokedAt.IsZero() {
				t.Errorf("round %d: a grant from before the withdrawal is live", round)
			}
			must(t, f.WithdrawConsent(t.Context(), f.user.ID, "app", now, by))
			wantCount(t, f.Store, "live grants", 0, `SELECT COUNT(*) FROM oauth_grant WHERE revoked_at IS NULL`)
		}
	})
}

// A secret that is added while its client is deleted is not there for the next client
// of that name.
func TestDeleteRacesAddSecret(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		for round := range 60 {
			errs := atOnce(3, func(n int) error {
				if n == round%3 {
					return f.server(n).DeleteClient(t.Context(), "app", now, by)
				}
				secret := store.ClientSecret{ID: fmt.Sprint(round, " ", n), Hash: "h", CreatedAt: now}
				return f.server(n).AddSecret(t.Context(), "app", secret, by)
			})
			for n, err := range errs {
				if n == round%3 {
					must(t, err)
				}
				wantOneOf(t, fmt.Sprint("round ", round), err, nil, store.ErrConflict)
			}
			if again := client(t, f.Store, "app"); len(again.Secrets) != 0 {
				t.Fatalf("round %d: the next client has %+v", round, again.Secrets)
			}
		}
	})
}

// races runs so many races, several at a time.
func races(total int, race func(round int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for round := next.Add(1); round <= int64(total); round = next.Add(1) {
				race(int(round))
			}
		})
	}
	workers.Wait()
}

// How many races are run: 10,000 on one server, 1,000 over three.
func (f *fleet) races() int {
	if len(f.servers) == 1 {
		return 10_000
	}
	return 1_000
}

// Over any number of servers a code is redeemed once (CO-01, RE-01).
func TestRedeemCodeFleet(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		races(f.races(), func(round int) {
			g := f.pending(fmt.Sprint(round))
			if err := f.server(round).CreateGrant(t.Context(), g, nil, by); err != nil {
				t.Errorf("round %d: %v", round, err)
				return
			}
			wantOneWinner(t, fmt.Sprint("round ", round), atOnce(3, func(n int) error {
				return f.server(n).RedeemCode(t.Context(), g.ID, g.ClientID, fmt.Sprint(round, " ", n), now, now.Add(time.Hour))
			}), store.ErrReplayed)
		})
		wantCount(t, f.Store, "redeemed codes", int64(f.races()), `SELECT COUNT(*) FROM oauth_grant WHERE redeemed_at IS NOT NULL`)
	})
}

// Over any number of servers a refresh token has one successor: within the grace all
// who present it get the same, without one of them gets it (RT-01, RT-07).
func TestNextGenerationFleet(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		const families = 8
		grants := make([]*store.Grant, families)
		for i := range grants {
			grants[i] = f.createLive(t, fmt.Sprint(i))
		}
		var all sync.WaitGroup
		for i, g := range grants {
			all.Go(func() {
				for generation := range int64(f.races() / families / 4) {
					strict := i%2 == 0
					got := make([]int64, 3)
					errs := atOnce(3, func(n int) (err error) {
						got[n], err = (&party{f.server(n), f.client, f.user}).refresh(t, f.present(g, generation, 0, func(r *store.Refresh) {
							if strict {
								r.Grace = 0
							}
						}))
						return err
					})
					what := fmt.Sprintf("grant %d, generation %d", i, generation)
					if strict {
						wantOneWinner(t, what, errs, store.ErrReplayed)
						continue
					}
					for n, err := range errs {
						if err != nil || got[n] != generation+1 {
							t.Errorf("%s: successor %d, %v", what, got[n], err)
						}
					}
				}
			})
		}
		all.Wait()
		wantCount(t, f.Store, "grants that moved on as often as they were refreshed", families,
			`SELECT COUNT(*) FROM oauth_grant WHERE generation = $1`, f.races()/families/4)
	})
}
