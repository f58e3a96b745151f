package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// put is a unit that leaves a trace.
func put(ctx context.Context, id string) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, 1)`, id)
		return err
	}
}

func has(t testing.TB, s *store.Store, id string) bool {
	t.Helper()
	return count(t, s, `SELECT COUNT(*) FROM revoked_token WHERE jti = $1`, id) == 1
}

// hold keeps the writer busy until release is called, so that what comes next is
// committed as one group, with the unit that held it.
func hold(t testing.TB, s *store.Store) (release func()) {
	t.Helper()
	held, let := make(chan struct{}), make(chan struct{})
	go s.Write(context.Background(), func(*store.Tx) error {
		close(held)
		<-let
		return nil
	})
	<-held
	return sync.OnceFunc(func() { close(let) })
}

// together hands units over while the writer is held, so that they share a
// commit in this order, and returns what became of each.
func together(t testing.TB, s *store.Store, units ...func() error) []error {
	t.Helper()
	release := hold(t, s)
	results, ended := make([]error, len(units)), sync.WaitGroup{}
	for i, unit := range units {
		ended.Go(func() { results[i] = unit() })
		for s.Waiting() <= i {
			time.Sleep(time.Millisecond) // until it stands in line
		}
	}
	release()
	ended.Wait()
	return results
}

// Of the units that share a commit, a bad one fails alone, whatever is wrong with
// it, and the others are there (design.md Section 5).
func TestGroupFailsAlone(t *testing.T) {
	t.Parallel()
	sentinel := errors.New("no")
	for name, bad := range map[string]func(ctx context.Context, s *store.Store, tx *store.Tx) error{
		"returns an error":      func(context.Context, *store.Store, *store.Tx) error { return sentinel },
		"panics":                func(context.Context, *store.Store, *store.Tx) error { panic("boom") },
		"violates a constraint": func(ctx context.Context, _ *store.Store, tx *store.Tx) error { return put(ctx, "before")(tx) },
		"is no SQL": func(ctx context.Context, _ *store.Store, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO nowhere VALUES (1)`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx := open(t), t.Context()
			must(t, s.Write(ctx, put(ctx, "before")))
			results := together(t, s,
				func() error { return s.Write(ctx, put(ctx, "first")) },
				func() error {
					return s.Write(ctx, func(tx *store.Tx) error {
						if err := put(ctx, "half done")(tx); err != nil {
							return err
						}
						return bad(ctx, s, tx)
					})
				},
				func() error { return s.Write(ctx, put(ctx, "last")) },
			)
			if results[0] != nil || results[2] != nil {
				t.Errorf("the neighbours: %v, %v", results[0], results[2])
			}
			if results[1] == nil {
				t.Error("the bad unit was acknowledged")
			}
			if !has(t, s, "first") || !has(t, s, "last") || has(t, s, "half done") {
				t.Errorf("first %t, last %t, half done %t", has(t, s, "first"), has(t, s, "last"), has(t, s, "half done"))
			}
		})
	}
}

// queue hands a unit over behind those that wait already.
func queue(t testing.TB, s *store.Store, unit func(tx *store.Tx) error) <-chan error {
	t.Helper()
	place := s.Waiting() + 1
	ended := make(chan error, 1)
	go func() { ended <- s.Write(context.Background(), unit) }()
	for s.Waiting() < place {
		time.Sleep(time.Millisecond) // until it stands in line
	}
	return ended
}

// Units that wait at one moment share a commit, and each is acknowledged after
// it: while the last of a group still runs, the first has no answer, and nobody
// sees what it wrote. A group is bounded: what stands behind it waits for its own
// commit, and does not hold up the answers of those before.
func TestAcknowledgedAfterCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	s, other := openAt(t, path), openAt(t, path)
	ctx := t.Context()
	running, finish := make(chan string), make(chan struct{})
	blocking := func(id string) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			running <- id
			<-finish
			return put(ctx, id)(tx)
		}
	}
	release := hold(t, s)
	first := queue(t, s, put(ctx, "first"))
	for i := range store.MaxGroup - 3 {
		queue(t, s, put(ctx, fmt.Sprint(i)))
	}
	last := queue(t, s, blocking("last of the group"))
	behind := queue(t, s, blocking("behind"))
	release()

	<-running
	select {
	case err := <-first:
		t.Errorf("the first was answered before the commit: %v", err)
	default:
	}
	if has(t, other, "first") {
		t.Error("another connection sees what is not committed")
	}
	finish <- struct{}{}
	want(t, "first", <-first, nil)
	want(t, "last of the group", <-last, nil)
	if got := <-running; got != "behind" {
		t.Errorf("%q runs", got)
	}
	if !has(t, other, "first") || !has(t, other, "last of the group") || has(t, other, "behind") {
		t.Error("the group was acknowledged and is not there, or more than the group is")
	}
	finish <- struct{}{}
	want(t, "behind", <-behind, nil)
}

// A refusal is told after the commit, too: whoever learns that another was first
// finds what that one wrote. And when the commit fails, nobody was first.
func TestRefusedAfterCommit(t *testing.T) {
	t.Parallel()
	s := open(t)
	lose := func(tx *store.Tx) error {
		if n, err := tx.Count(t.Context(), `SELECT COUNT(*) FROM revoked_token WHERE jti = 'winner'`); n == 0 || err != nil {
			return errors.Join(errors.New("there is no winner yet"), err)
		}
		return store.ErrConflict
	}
	for _, write := range []func(context.Context, func(*store.Tx) error) error{s.Write, s.WriteOne} {
		release := hold(t, s)
		queue(t, s, put(t.Context(), "winner"))
		lost := make(chan error, 1)
		go func() { lost <- write(t.Context(), lose) }()
		for s.Waiting() < 2 {
			time.Sleep(time.Millisecond)
		}
		running, finish := make(chan struct{}), make(chan struct{})
		last := queue(t, s, func(*store.Tx) error { close(running); <-finish; return nil })
		release()
		<-running
		select {
		case err := <-lost:
			t.Errorf("%v was told before the commit", err)
		default:
		}
		close(finish)
		want(t, "loser", <-lost, store.ErrConflict)
		if !has(t, s, "winner") {
			t.Error("the loser does not see the winner")
		}
		want(t, "last", <-last, nil)
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM revoked_token`)
			return err
		}))
	}
	results := together(t, s,
		func() error { return s.Write(t.Context(), put(t.Context(), "winner")) },
		func() error { return s.Write(t.Context(), lose) },
		func() error {
			return s.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), "ROLLBACK")
				return err
			})
		},
	)
	for i, err := range results {
		want(t, fmt.Sprintf("unit %d of a group that was not committed", i), err, store.ErrUnavailable)
	}
}

// A caller who gives up while waiting in line has written nothing; one who gives
// up too late learns the true outcome; and neither harms a neighbour.
func TestCancelledWaiting(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	release := hold(t, s)
	given, kept := make(chan error, 1), make(chan error, 1)
	go func() { given <- s.Write(ctx, put(ctx, "given up")) }()
	for s.Waiting() < 1 {
		time.Sleep(time.Millisecond)
	}
	go func() { kept <- s.Write(t.Context(), put(t.Context(), "kept")) }()
	cancel()
	want(t, "given up", <-given, context.Canceled)
	release()
	must(t, <-kept)
	if has(t, s, "given up") || !has(t, s, "kept") {
		t.Errorf("given up %t, kept %t", has(t, s, "given up"), has(t, s, "kept"))
	}
	if err := s.Write(ctx, put(ctx, "dead before")); !errors.Is(err, context.Canceled) || has(t, s, "dead before") {
		t.Errorf("a caller who was gone before: %v", err)
	}
}

// A unit that was taken runs to its end although its caller has gone: statements
// do not follow the caller's context, because SQLite would answer an interrupted
// one by undoing the whole group.
func TestCancelledRunning(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := together(t, s,
		func() error { return s.Write(t.Context(), put(t.Context(), "first")) },
		func() error {
			return s.Write(ctx, func(tx *store.Tx) error {
				cancel()
				if _, err := tx.Grant(ctx, "x"); !errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("read in a unit whose caller has gone: %w", err)
				}
				return put(ctx, "second")(tx)
			})
		},
		func() error { return s.Write(t.Context(), put(t.Context(), "third")) },
	)
	for i, id := range []string{"first", "second", "third"} {
		if results[i] != nil || !has(t, s, id) {
			t.Errorf("%s: %v, there %t", id, results[i], has(t, s, id))
		}
	}
}

// Callers who come and go at any moment: whoever got a yes finds his row, whoever
// was told that he was too early finds none, and nobody else is disturbed.
func TestCancelledAtRandom(t *testing.T) {
	t.Parallel()
	s := open(t)
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for n := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i*40+n)*7%900)*time.Microsecond)
				id := fmt.Sprintf("hasty %d %d", i, n)
				err := s.Write(ctx, func(tx *store.Tx) error {
					// A long statement gives an interrupt a chance to hit.
					if _, err := tx.Exec(ctx, `INSERT INTO revoked_token SELECT $1 || '-' || x, 1 FROM (WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 50) SELECT x FROM c)`, id); err != nil {
						return err
					}
					return put(ctx, id)(tx)
				})
				cancel()
				if (err == nil) != has(t, s, id) || err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v, there %t", id, err, has(t, s, id))
				}
				id = fmt.Sprintf("patient %d %d", i, n)
				if err := s.Write(t.Context(), put(t.Context(), id)); err != nil || !has(t, s, id) {
					t.Errorf("%s: %v, there %t", id, err, has(t, s, id))
				}
			}
		})
	}
	callers.Wait()
}

// Close under load loses nothing that was acknowledged, leaves nobody waiting,
// and tells everybody else to come back.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
	must(t, err)
	var mu sync.Mutex
	var acknowledged []string
	var total atomic.Int64
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d %d", i, n)
				err := s.Write(context.Background(), put(context.Background(), id))
				if err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("%s: %v, want ErrUnavailable", id, err)
					}
					return
				}
				total.Add(1)
				mu.Lock()
				acknowledged = append(acknowledged, id)
				mu.Unlock()
			}
		})
	}
	for total.Load() < 500 {
		time.Sleep(time.Millisecond)
	}
	must(t, s.Close())
	callers.Wait()
	again := openAt(t, path)
	for _, id := range acknowledged {
		if !has(t, again, id) {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	if n := count(t, again, `SELECT COUNT(*) FROM revoked_token`); n != int64(len(acknowledged)) {
		t.Errorf("%d rows for %d acknowledgements", n, len(acknowledged))
	}
}

// Another process that holds the file is waited for; one that holds it longer
// than the busy timeout costs an answer that says so, and no more.
func TestBusyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	s, command := openAt(t, path), openAt(t, path)
	release := hold(t, command)
	answered := make(chan error, 1)
	go func() { answered <- s.Write(t.Context(), put(t.Context(), "waited")) }()
	time.Sleep(50 * time.Millisecond)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("a reader waits for a writer: %v", err)
	}
	time.Sleep(3 * time.Second) // longer than the callers of a server wait: a command has the time
	release()
	want(t, "write behind another process", <-answered, nil)
	if !has(t, s, "waited") {
		t.Error("acknowledged and not there")
	}
}

// Of those who wait while a server can write nothing, each is told so within three
// seconds, also who finds the line full of others that have given up (DB-02).
func TestFullLine(t *testing.T) {
	t.Parallel()
	s := open(t)
	unlock, err := s.Lock()
	must(t, err)
	t.Cleanup(func() { must(t, unlock()) })
	release := hold(t, s)
	for range 2 {
		lateness := measureLateness(t)
		var took [300]time.Duration
		var waiting sync.WaitGroup
		for i := range took {
			waiting.Go(func() {
				began := time.Now()
				want(t, "a write", s.Write(context.Background(), func(*store.Tx) error { return nil }), store.ErrUnavailable)
				took[i] = time.Since(began)
			})
		}
		waiting.Wait()
		if longest, late := slices.Max(took[:]), lateness(); longest > 3*time.Second+late {
			t.Errorf("told after %v, on a machine that is up to %v late", longest, late)
		}
	}
	release()
	must(t, s.Write(t.Context(), put(t.Context(), "after")))
}

// measureLateness begins to measure how much later than asked for this machine wakes
// whoever sleeps, summed up, and returns how to end that and read it: a busy machine keeps no promise
// about time.
func measureLateness(t testing.TB) (read func() time.Duration) {
	t.Helper()
	const nap = 10 * time.Millisecond
	var late atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			asleep := time.Now()
			time.Sleep(nap)
			late.Add(int64(time.Since(asleep) - nap))
		}
	}()
	return func() time.Duration { stop(); return time.Duration(late.Load()) }
}

// A refresh token whose row is gone is refused alone, whoever shares its commit.
func TestGroupWithUnknownGrant(t *testing.T) {
	t.Parallel()
	p := newParty(t, open)
	live := p.createLive(t, "live")
	results := together(t, p.Store,
		func() error { return p.Write(t.Context(), put(t.Context(), "first")) },
		func() error {
			_, err := p.NextGeneration(t.Context(), store.Refresh{GrantID: store.NewGrantID(), ClientID: p.client.ID, Rotate: true, Grace: time.Minute, Idle: time.Hour, Now: now})
			return err
		},
		func() error {
			_, err := p.NextGeneration(t.Context(), store.Refresh{GrantID: live.ID, ClientID: p.client.ID, Rotate: true, Grace: time.Minute, Idle: time.Hour, Now: now})
			return err
		},
	)
	for i, verdict := range []error{nil, store.ErrNotFound, nil} {
		want(t, fmt.Sprint("unit ", i), results[i], verdict)
	}
	if !has(t, p.Store, "first") {
		t.Error("a neighbour was acknowledged and is not there")
	}
}

// Once a write has failed, a server is ready again when one has gone through, and not
// when one found nothing to change (DB-04).
func TestReadyAfterNothing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		p.Fail()
		want(t, "a revocation of nothing", p.RevokeGrant(t.Context(), store.NewGrantID(), "kind", "reason", now, by), store.ErrNotFound)
		must(t, second(p.EndSession(t.Context(), "nobody", now, by)))
		if !p.Failing() {
			t.Error("a write that changed nothing counts as one that went through")
		}
		must(t, p.Ready(t.Context()))
		if p.Failing() {
			t.Error("still failing after a write went through")
		}
	})
}

// As long as writes fail, a server is not ready, although the small one that is tried for
// that would go through: on a full disk there is room for one page and not for ten
// (DB-04).
func TestNotReadyWhileWritesFail(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		large := errors.New("no room for this one")
		want(t, "a write", s.Write(t.Context(), func(*store.Tx) error { return large }), large)
		want(t, "ready at once", s.Ready(t.Context()), store.ErrUnavailable)
		want(t, "ready still", s.Ready(t.Context()), store.ErrUnavailable)
		eventually(t, "ready when none has failed for a while", func() bool { return s.Ready(t.Context()) == nil })
	})
}

// When SQLite has ended the transaction under a group, as it does when the disk
// is full, nobody of the group is acknowledged and nothing of it is kept: whoever
// was told to come back finds nothing half done. Who had not joined it yet is in the
// next one (DB-04).
func TestBrokenTransaction(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, ending := range map[string]error{"and says so": errors.New("disk full"), "and hides it": nil} {
		results := together(t, s,
			func() error { return s.Write(t.Context(), put(t.Context(), name+" first")) },
			func() error {
				return s.Write(t.Context(), func(tx *store.Tx) error {
					if _, err := tx.Exec(t.Context(), "ROLLBACK"); err != nil {
						t.Errorf("rollback: %v", err)
					}
					return ending
				})
			},
			func() error { return s.Write(t.Context(), put(t.Context(), name+" last")) },
		)
		for i, verdict := range []error{store.ErrUnavailable, store.ErrUnavailable, nil} {
			want(t, name, results[i], verdict)
		}
		if has(t, s, name+" first") || !has(t, s, name+" last") {
			t.Errorf("%s: first %t, last %t", name, has(t, s, name+" first"), has(t, s, name+" last"))
		}
		must(t, s.Write(t.Context(), put(t.Context(), name+" after")))
	}
}

// A unit of one statement has no savepoint. A verdict of it is its own, for it
// comes without a write; any other failure ends the group, for nobody could tell
// what is left of it. Who had not joined it yet is in the next one.
func TestOneStatement(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, tt := range map[string]struct {
		unit  func(tx *store.Tx) error
		want  error // of the unit
		group error // of who ran before it
	}{
		"writes":  {put(t.Context(), "writes"), nil, nil},
		"verdict": {func(*store.Tx) error { return store.ErrReplayed }, store.ErrReplayed, nil},
		"nothing": {func(*store.Tx) error { return sql.ErrNoRows }, sql.ErrNoRows, nil},
		"fails": {func(tx *store.Tx) error {
			if err := put(t.Context(), "fails")(tx); err != nil {
				return err
			}
			return errors.New("behind the write")
		}, store.ErrUnavailable, store.ErrUnavailable},
		"panics": {func(tx *store.Tx) error {
			if err := put(t.Context(), "panics")(tx); err != nil {
				return err
			}
			panic("behind the write")
		}, store.ErrUnavailable, store.ErrUnavailable},
	} {
		results := together(t, s,
			func() error { return s.Write(t.Context(), put(t.Context(), name+" first")) },
			func() error { return s.WriteOne(t.Context(), tt.unit) },
			func() error { return s.Write(t.Context(), put(t.Context(), name+" last")) },
		)
		want(t, name, results[1], tt.want)
		for i, group := range map[int]error{0: tt.group, 2: nil} {
			id := name + map[int]string{0: " first", 2: " last"}[i]
			want(t, id, results[i], group)
			if has(t, s, id) != (group == nil) {
				t.Errorf("%s: there %t", id, has(t, s, id))
			}
		}
		if has(t, s, name) != (name == "writes") {
			t.Errorf("%s: there %t", name, has(t, s, name))
		}
	}
}

// A panic is an error of its unit, with its stack for the operator, and the
// writer goes on.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := open(t)
	err := s.Write(t.Context(), func(*store.Tx) error { panic("the tiger is loose") })
	if err == nil || !strings.Contains(err.Error(), "the tiger is loose") || !strings.Contains(err.Error(), "writer_test.go") {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, store.ErrUnavailable) {
		t.Error("a panic counts as a database that may come back")
	}
	must(t, s.Write(t.Context(), put(t.Context(), "after")))
}
