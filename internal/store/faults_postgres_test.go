package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A lostCase is an act of which one statement, or its answer, is lost.
type lostCase struct {
	prepare    func(t testing.TB, p *party)
	act        func(ctx context.Context, p *party) error
	statements []string
	check      func(t testing.TB, s *store.Store) // that it was done, and once
}

// wantCount fails unless a statement counts so many.
func wantCount(t testing.TB, s *store.Store, what string, n int64, text string, args ...any) {
	t.Helper()
	if got := count(t, s, text, args...); got != n {
		t.Errorf("%s: %d, want %d", what, got, n)
	}
}

func wantEvents(t testing.TB, s *store.Store, kind string, n int64) {
	t.Helper()
	wantCount(t, s, "events "+kind, n, `SELECT COUNT(*) FROM event WHERE kind = $1`, kind)
}

// doneAnyway are the acts that nobody notices a lost answer of: to do them twice is
// to do them once.
func doneAnyway() map[string]lostCase {
	var g *store.Grant
	pending := func(_ testing.TB, p *party) { g = p.pending("a") }
	live := func(t testing.TB, p *party) { g = p.createLive(t, "a") }
	inSession := func(t testing.TB, p *party) {
		must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
		g = p.pending("a")
		g.SID, g.SessionID = "sid", "sid"
		must(t, p.CreateGrant(t.Context(), g, nil, by))
	}
	oneGrant := func(t testing.TB, s *store.Store) {
		wantCount(t, s, "grants", 1, `SELECT COUNT(*) FROM oauth_grant WHERE request_id = 'request of a'`)
	}
	revoked := func(t testing.TB, s *store.Store) {
		wantCount(t, s, "revoked grants", 1, `SELECT COUNT(*) FROM oauth_grant WHERE revoked_at IS NOT NULL`)
	}
	return map[string]lostCase{
		"a grant": {
			pending, func(ctx context.Context, p *party) error { return p.CreateGrant(ctx, g, nil, by) },
			[]string{"INSERT INTO oauth_grant"}, oneGrant,
		},
		"a grant with consent": {
			pending, func(ctx context.Context, p *party) error {
				return p.CreateGrant(ctx, g, &store.Consent{Scope: g.Scope, Remember: true}, by)
			},
			[]string{"begin", "INSERT INTO oauth_grant", "FROM consent", "INSERT INTO consent", "INSERT INTO event", "commit"},
			func(t testing.TB, s *store.Store) {
				oneGrant(t, s)
				wantEvents(t, s, store.EventConsent, 1)
				wantCount(t, s, "consents", 1, `SELECT COUNT(*) FROM consent WHERE scope = 'read write'`)
			},
		},
		"a grant revoked": {
			live, func(ctx context.Context, p *party) error {
				return p.RevokeGrant(ctx, g.ID, store.EventGrantRevoked, "because", now, by)
			},
			[]string{"begin", "UPDATE oauth_grant SET revoked_at", "INSERT INTO event", "commit"},
			func(t testing.TB, s *store.Store) { revoked(t, s); wantEvents(t, s, store.EventGrantRevoked, 1) },
		},
		"a token revoked": {
			live, func(ctx context.Context, p *party) error {
				return p.RevokeToken(ctx, "jti", p.client.ID, g.ID, now, now.Add(time.Hour), by)
			},
			[]string{"begin", "INSERT INTO revoked_token", "INSERT INTO event", "commit"},
			func(t testing.TB, s *store.Store) {
				wantCount(t, s, "revoked tokens", 1, `SELECT COUNT(*) FROM revoked_token WHERE jti = 'jti'`)
				wantEvents(t, s, store.EventTokenRevoked, 1)
			},
		},
		"a session ended": {
			inSession, func(ctx context.Context, p *party) error { return second(p.EndSession(ctx, "id", now, by)) },
			[]string{"begin", "DELETE FROM browser_session", "UPDATE oauth_grant SET revoked_at", "UPDATE session_client SET ended_at", "INSERT INTO event", "commit"},
			func(t testing.TB, s *store.Store) {
				wantCount(t, s, "sessions", 0, `SELECT COUNT(*) FROM browser_session`)
				revoked(t, s)
				wantEvents(t, s, store.EventSignOut, 1)
			},
		},
		"a record": {
			pending, func(ctx context.Context, p *party) error { return p.Record(ctx, store.Event{At: now, Kind: "kind"}) },
			[]string{"INSERT INTO event"}, func(t testing.TB, s *store.Store) { wantEvents(t, s, "kind", 1) },
		},
		"a job held": {
			pending, func(ctx context.Context, p *party) error {
				held, err := p.HoldJob(ctx, "job", "me", now, time.Minute)
				if err == nil && !held {
					err = errors.New("not held")
				}
				return err
			},
			[]string{"INSERT INTO job"}, func(t testing.TB, s *store.Store) {
				wantCount(t, s, "jobs", 1, `SELECT COUNT(*) FROM job WHERE holder = 'me'`)
			},
		},
	}
}

// A connection that breaks at any statement, before or after the server has heard
// it, leaves no trace on what to do twice is to do once: it succeeds, and was done
// once (DB-03).
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	for name := range doneAnyway() {
		for side, lose := range lostAnywhere {
			t.Run(name+", "+side, func(t *testing.T) {
				t.Parallel()
				for _, statement := range doneAnyway()[name].statements {
					tt, r := doneAnyway()[name], newRemote(t)
					tt.prepare(t, r.party)
					lost := lose(r.proxy, statement)
					if err := tt.act(t.Context(), r.party); err != nil {
						t.Errorf("%q: %v", statement, err)
					}
					happened(t, lost)
					tt.check(t, r.beside)
				}
			})
		}
	}
}

// A refresh whose answer was lost gives the same successor in the same call, with
// rotation or without. A client that allows no grace for lost answers gets an error,
// but is not taken for a thief (DB-03, RT-02).
func TestNextGenerationAnswerLost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit      func(r *store.Refresh)
		statement string
		want      int64
		done      map[string]int64 // the generation of the row by side, when it fails
	}{
		"rotation":         {func(*store.Refresh) {}, "UPDATE oauth_grant SET generation", 1, nil},
		"no rotation":      {func(r *store.Refresh) { r.Rotate = false }, "UPDATE oauth_grant SET generation", 0, nil},
		"neither, grace 0": {func(r *store.Refresh) { r.Rotate, r.Grace = false, 0 }, "UPDATE oauth_grant SET generation", 0, nil},
		"grace 0": {
			func(r *store.Refresh) { r.Grace = 0 }, "commit", 0, map[string]int64{"answer lost": 1, "statement lost": 0},
		},
		"grace 0, in the middle": {func(r *store.Refresh) { r.Grace = 0 }, "UPDATE oauth_grant SET generation", 1, nil}, // undone with its connection
	} {
		for side, lose := range lostAnywhere {
			t.Run(name+", "+side, func(t *testing.T) {
				t.Parallel()
				r := newRemote(t)
				g := r.createLive(t, "a")
				lost := lose(r.proxy, tt.statement)
				got, err := r.refresh(t, r.present(g, 0, time.Minute, tt.edit))
				happened(t, lost)
				row, readErr := r.beside.Grant(t.Context(), g.ID)
				must(t, readErr)
				if !row.RevokedAt.IsZero() {
					t.Error("the grant was revoked")
				}
				if tt.done != nil {
					want(t, "no grace", err, store.ErrUnavailable)
					if row.Generation != tt.done[side] {
						t.Errorf("the row is at generation %d, want %d", row.Generation, tt.done[side])
					}
					return
				}
				if err != nil || got != tt.want || row.Generation != tt.want || row.RotatedAt != now.Add(time.Minute) {
					t.Errorf("generation %d, %v; the row is at %d, used %v", got, err, row.Generation, row.RotatedAt)
				}
			})
		}
	}
}

// A change that cannot be done twice fails when the answer to its end is lost, and is
// there as a whole or not at all; what this server knows is the truth in either case.
// What is lost before that was undone, and is simply done again (DB-03).
func TestAnswerLostOfAChange(t *testing.T) {
	t.Parallel()
	for side, lose := range lostAnywhere {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			follow(t, r.Store)
			for _, statement := range []string{"begin", "UPDATE server SET revision", "UPDATE client", "INSERT INTO event"} {
				before := known(t, r.Store, "app")
				lost := lose(r.proxy, statement)
				want(t, statement, r.DisableClient(t.Context(), "app", now, by), nil)
				happened(t, lost)
				if done := known(t, r.Store, "app") - before; done != 1 {
					t.Errorf("%s: the epoch was raised by %d", statement, done)
				}
			}
			for i := range 4 {
				before := known(t, r.Store, "app")
				lost := lose(r.proxy, "commit")
				want(t, "disable", r.DisableClient(t.Context(), "app", now, by), store.ErrUnavailable)
				happened(t, lost)
				sameAsStored(t, side, r.Store, "app")
				done := known(t, r.Store, "app") - before
				if (done == 1) != (side == "answer lost") || done > 1 {
					t.Errorf("round %d: the epoch was raised by %d", i, done)
				}
				wantEvents(t, r.beside, "client.disabled", known(t, r.Store, "app")-1)
			}
		})
	}
}

// busy opens so many connections to the database and leaves them to the pool.
func busy(t testing.TB, s *store.Store, connections int) {
	t.Helper()
	var held, ended sync.WaitGroup
	held.Add(connections)
	for range connections {
		ended.Go(func() {
			if err := s.Write(t.Context(), func(*store.Tx) error { held.Done(); held.Wait(); return nil }); err != nil {
				t.Errorf("connect: %v", err)
			}
		})
	}
	ended.Wait()
}

// Connections that died with the server are nobody's misfortune: when it is back,
// the first call of each kind succeeds, as do many at once, however it went down
// (DB-01).
func TestAfterRestart(t *testing.T) {
	t.Parallel()
	server := dbtest.Start(t, dbtest.Options{})
	const connections = 12
	s, err := store.Open(t.Context(), server.DSN(dbtest.Database), store.Options{Connections: connections})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	p := newParty(t, func(testing.TB) *store.Store { return s })
	for name, mode := range map[string]dbtest.StopMode{"in order": dbtest.Fast, "at once": dbtest.Immediate, "killed": dbtest.Kill} {
		for kind, do := range map[string]func() error{
			"a read":          func() error { return second(p.Client(t.Context(), "app")) },
			"a gated write":   func() error { return p.Forgive(t.Context(), "bucket", store.Limit{}) },
			"a unit":          func() error { return p.DisableClient(t.Context(), "app", now, by) },
			"ready":           func() error { return p.Ready(t.Context()) },
			"a unit, a token": func() error { return p.RevokeToken(t.Context(), name, "app", "", now, now, by) },
		} {
			busy(t, s, connections)
			must(t, server.Stop(mode))
			must(t, server.Restart())
			var callers sync.WaitGroup
			first := do()
			for range 2 * connections {
				callers.Go(func() {
					if err := do(); err != nil {
						t.Errorf("%s, %s, many at once: %v", name, kind, err)
					}
				})
			}
			callers.Wait()
			if first != nil {
				t.Errorf("%s, %s: %v", name, kind, first)
			}
		}
	}
}

// Whatever is asked of a database that is away or hangs is refused in time. When it
// is back nothing is left of that: no connection in use, nobody who still waits; and
// everything works without reopening (DB-01, DB-02).
func TestOutage(t *testing.T) { //nolint:paralleltest // it counts goroutines
	for name, fault := range map[string]struct{ begin, end func(p *dbtest.Proxy) }{
		"hangs":   {(*dbtest.Proxy).Hang, (*dbtest.Proxy).Heal},
		"refuses": {(*dbtest.Proxy).Refuse, (*dbtest.Proxy).Heal},
	} {
		t.Run(name, func(t *testing.T) {
			const connections = 4
			r := remoteTo(t, clusterDSN(t), store.Options{Connections: connections})
			busy(t, r.Store, connections)
			before := runtime.NumGoroutine()
			fault.begin(r.proxy)
			var callers sync.WaitGroup
			for range 4 {
				for _, call := range everyCall(r.party) {
					if call.method == "TakeBack" { // has nothing to do
						continue
					}
					callers.Go(func() {
						refusedInTime(t, call.method, func() error { return call.do(context.Background()) })
					})
				}
			}
			callers.Wait()
			refusedInTime(t, "Ready", func() error { return r.Ready(t.Context()) })
			fault.end(r.proxy)
			eventually(t, "ready again", func() bool { return r.Ready(t.Context()) == nil })
			idle := func() bool { // nothing is under way, and no connection that was begun before
				stats, _ := r.Connections()
				return stats.InUse == 0 && stats.OpenConnections <= connections
			}
			eventually(t, "no connection is in use", idle)
			for _, call := range everyCall(r.party) {
				if err := call.do(t.Context()); err != nil {
					t.Errorf("%s after the outage: %v", call.method, err)
				}
			}
			eventually(t, "the goroutines have gone", func() bool {
				return runtime.NumGoroutine() <= before+4*connections // the proxy's and the server's ways to say so
			})
			eventually(t, "no connection is in use any more", idle) // what was changed is announced beside
			eventually(t, "the server has seen its connections end", func() bool {
				return count(t, r.beside, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'remote'`) <= connections+1
			})
		})
	}
}

// One connection is enough for everything but listening: nothing takes a second one
// while it holds the first.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"direct": clusterDSN(t), "pooled": dbtest.Bouncer(t, clusterDSN(t))} {
		s, err := store.Open(t.Context(), dsn, store.Options{Connections: 1})
		must(t, err)
		for _, call := range everyCall(newParty(t, func(testing.TB) *store.Store { return s })) {
			if err := call.do(t.Context()); err != nil {
				t.Errorf("%s, %s: %v", name, call.method, err)
			}
		}
		if stats, _ := s.Connections(); stats.OpenConnections > 1 {
			t.Errorf("%s: %+v", name, stats)
		}
		must(t, s.Close())
	}
}

// The database may be there and take no writes: a standby, or a disk that is full.
// Then the server is not ready, as soon as a write has failed, and is again when one
// would be taken (DB-01, DB-04).
func TestReadyToWrite(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	direct := raw(t, r.dsn)
	must(t, r.Ready(t.Context()))
	revision := follow(t, r.Store)
	for _, mode := range []string{"on", "off"} {
		execute(t, direct, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+mode+`', current_database()); END $$`)
		r.proxy.Cut()
		if mode == "off" {
			eventually(t, "ready again", func() bool { return r.Ready(t.Context()) == nil })
			must(t, r.Record(t.Context(), store.Event{At: now, Kind: "kind"}))
			continue
		}
		want(t, "a write", r.Record(t.Context(), store.Event{At: now, Kind: "kind"}), store.ErrUnavailable)
		want(t, "ready", r.Ready(t.Context()), store.ErrUnavailable)
		must(t, second(r.Client(t.Context(), "app")))
		want(t, "ready after a read", r.Ready(t.Context()), store.ErrUnavailable)
	}
	must(t, r.Ready(t.Context()))
	if now := follow(t, r.Store); now != revision {
		t.Errorf("to look whether writes are taken changed the revision from %d to %d", revision, now)
	}
}

func execute(t testing.TB, db *sql.DB, text string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), text)
	must(t, err)
}

// refuse makes the database refuse the first so many units that write to a table,
// as one does that knows serializable transactions only: at the statement, or at the
// commit.
func refuse(t testing.TB, db *sql.DB, table, state string, times int, atCommit bool) {
	t.Helper()
	execute(t, db, `DROP SEQUENCE IF EXISTS refused CASCADE`)
	execute(t, db, `CREATE SEQUENCE refused`)
	execute(t, db, fmt.Sprintf(`
		CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS $$ BEGIN
			IF nextval('refused') <= %d THEN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '%s'; END IF;
			RETURN NEW;
		END $$ LANGUAGE plpgsql`, times, state))
	execute(t, db, `DROP TRIGGER IF EXISTS refuse ON `+table)
	if atCommit {
		execute(t, db, `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON `+table+` DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
		return
	}
	execute(t, db, `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON `+table+` FOR EACH ROW EXECUTE FUNCTION refuse()`)
}

// A unit that lost to a neighbour is run again, and nobody sees it; one that always
// loses is the database's fault and ends in time (DB-05).
func TestSerialization(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"40001", "40P01"} {
		for name, tt := range map[string]struct {
			table string
			act   func(t *testing.T, p *party, g *store.Grant) error
		}{
			"one gated statement": {"oauth_grant", func(t *testing.T, p *party, _ *store.Grant) error { return p.redeem(t, "a", now) }},
			"a unit done once": {"client", func(t *testing.T, p *party, _ *store.Grant) error {
				return p.DisableClient(t.Context(), "app", now, by)
			}},
			"a unit done as often": {"event", func(t *testing.T, p *party, g *store.Grant) error {
				return p.RevokeGrant(t.Context(), g.ID, "kind", "", now, by)
			}},
			"a grant": {"consent", func(t *testing.T, p *party, _ *store.Grant) error {
				return p.CreateGrant(t.Context(), p.pending("b"), &store.Consent{Scope: "read write", Remember: true}, by)
			}},
			"a refresh": {"oauth_grant", func(t *testing.T, p *party, g *store.Grant) error {
				return errors.Join(p.redeem(t, "a", now), second(p.refresh(t, p.present(g, 0, 0))))
			}},
			"a refresh without grace": {"oauth_grant", func(t *testing.T, p *party, g *store.Grant) error {
				return errors.Join(p.redeem(t, "a", now), second(p.refresh(t, p.present(g, 0, 0, func(r *store.Refresh) { r.Grace = 0 }))))
			}},
			"somebody who signs in": {"browser_session", func(t *testing.T, p *party, _ *store.Grant) error {
				return p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by)
			}},
		} {
			for where, atCommit := range map[string]bool{"at the statement": false, "at the commit": true} {
				t.Run(state+", "+name+", "+where, func(t *testing.T) {
					t.Parallel()
					dsn := clusterDSN(t)
					p, direct := newParty(t, func(t testing.TB) *store.Store { return openDSN(t, dsn) }), raw(t, dsn)
					g := p.createPending(t, "a")
					refuse(t, direct, tt.table, state, 3, atCommit)
					must(t, tt.act(t, p, g))
					var tries int64
					must(t, direct.QueryRowContext(t.Context(), `SELECT last_value FROM refused`).Scan(&tries))
					if tries < 4 {
						t.Errorf("the unit ran %d times", tries)
					}
				})
			}
		}
	}
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		dsn := clusterDSN(t)
		p, direct := newParty(t, func(t testing.TB) *store.Store { return openDSN(t, dsn) }), raw(t, dsn)
		p.createPending(t, "a")
		refuse(t, direct, "oauth_grant", "40001", 1<<30, false)
		refusedInTime(t, "one gated statement", func() error { return p.redeem(t, "a", now) })
		var tries int64
		must(t, direct.QueryRowContext(t.Context(), `SELECT last_value FROM refused`).Scan(&tries))
		if tries != store.MaxTries {
			t.Errorf("the unit ran %d times, want %d", tries, store.MaxTries)
		}
		refuse(t, direct, "client", "40001", 1<<30, true)
		refusedInTime(t, "a unit", func() error { return p.DisableClient(t.Context(), "app", now, by) })
		if c := client2(t, p.Store, "app"); c.Epoch != 1 {
			t.Errorf("what failed is there: %+v", c)
		}
	})
}

// A real deadlock: two units take two rows each, in the other's order. Both are done.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	server := dbtest.Start(t, dbtest.Options{Settings: map[string]string{"deadlock_timeout": "20ms"}})
	s, err := store.Open(t.Context(), server.DSN(dbtest.Database), store.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	client(t, s, "a")
	client(t, s, "b")
	var met, units sync.WaitGroup
	met.Add(2)
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		tries := 0
		units.Go(func() {
			if err := s.Write(t.Context(), func(tx *store.Tx) error {
				tries++
				for i, id := range order {
					if _, err := tx.Exec(t.Context(), `UPDATE client SET epoch = epoch + 1 WHERE id = $1`, id); err != nil {
						return err
					}
					if i == 0 && tries == 1 {
						met.Done()
						met.Wait()
					}
				}
				return nil
			}); err != nil {
				t.Errorf("%v: %v", order, err)
			}
		})
	}
	units.Wait()
	wantCount(t, s, "clients changed twice", 2, `SELECT COUNT(*) FROM client WHERE epoch = 3`)
}
