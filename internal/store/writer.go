package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxGroup bounds how many units share one commit, so that none waits long for
// its neighbours.
const maxGroup = 64

// maxYields is how often the writer lets others run before it closes a group.
const maxYields = 3

// A writer is the one hand that writes to a SQLite file. Units that wait for
// the disk at the same moment share one commit; each stands in a savepoint of
// its own, so one that fails takes nothing from its neighbours, and each is
// answered after the commit.
type writer struct {
	conn  *hand
	tx    *Tx
	units chan *unit
	group []*unit // of the transaction that is open

	committed func(units int) // told of every group
	patience  atomic.Int64    // how long a unit may wait in line, as a time.Duration

	mu     sync.RWMutex // held for reading while a unit is handed over
	closed bool
	done   chan struct{}
}

type unit struct {
	run   func(tx *Tx) error
	one   bool         // writes by one statement only, which undoes itself when it fails
	state atomic.Int32 // waiting, then taken or given up: whoever is first
	err   error
	done  chan struct{}
}

const (
	waiting = iota
	taken
	givenUp
)

func newWriter(h *hand, over watch, committed func(units int)) *writer {
	if committed == nil {
		committed = func(int) {}
	}
	w := &writer{conn: h, committed: committed, group: make([]*unit, maxGroup), tx: &Tx{queries: &queries{over.over(h)}}, units: make(chan *unit, 4*maxGroup), done: make(chan struct{})}
	w.patience.Store(int64(busy))
	go w.loop()
	return w
}

// do hands a unit over and waits for its commit. A caller whose context ends, or
// whose patience does, while the unit still waits in line takes it back; once it
// has been taken, its outcome is told however long that takes, because a commit
// cannot be unsaid.
func (w *writer) do(ctx context.Context, one bool, run func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err // whoever was gone before has nothing written
	}
	u := &unit{run: run, one: one, done: make(chan struct{})}
	impatience := time.NewTimer(time.Duration(w.patience.Load()))
	defer impatience.Stop()
	if err := w.hand(ctx, u, impatience.C); err != nil {
		return err
	}
	select {
	case <-u.done:
		return u.err
	case <-impatience.C:
		if u.state.CompareAndSwap(waiting, givenUp) {
			return errSlow
		}
	case <-ctx.Done():
		if u.state.CompareAndSwap(waiting, givenUp) {
			return ctx.Err()
		}
	}
	<-u.done
	return u.err
}

var errSlow = fmt.Errorf("%w: the disk is too slow, or another process writes for too long", ErrUnavailable)

// hand puts a unit into the line, which is full when nothing has been written for a
// while: those who gave up stand in it still.
func (w *writer) hand(ctx context.Context, u *unit, impatience <-chan time.Time) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	select {
	case w.units <- u:
		return nil
	case <-impatience:
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close finishes what was handed over and ends the loop.
func (w *writer) close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.units)
	w.mu.Unlock()
	<-w.done
	return w.conn.close()
}

func (w *writer) loop() {
	defer close(w.done)
	for first := range w.units {
		w.commit(first)
	}
}

// next returns a unit that can still join a group of so many; nil when none waits.
// The yields let callers that were just answered hand over their next unit; waiting
// any longer only costs.
func (w *writer) next(joined int) *unit {
	for yields := 0; joined < maxGroup; yields++ {
		select {
		case u := <-w.units: // nil once the channel is closed
			return u
		default:
		}
		if yields == maxYields {
			break
		}
		runtime.Gosched()
	}
	return nil
}

// commit runs a unit, and what comes along meanwhile, in one transaction. The
// statements run without the callers' contexts: an interrupted statement would undo
// the whole group.
//
// A unit that failed waits for the commit like the others: what it failed for may
// be what a neighbour has written, which nobody else can see before.
func (w *writer) commit(first *unit) {
	ctx := context.Background()
	if err := w.begin(ctx); err != nil {
		finish([]*unit{first}, fmt.Errorf("%w: begin: %w", ErrUnavailable, err))
		return
	}
	group := w.group[:0]
	defer func() { clear(w.group[:len(group)]) }()
	for u := first; u != nil; u = w.next(len(group)) {
		if !u.state.CompareAndSwap(waiting, taken) {
			continue
		}
		group = append(group, u)
		var broken error
		if u.err, broken = w.run(ctx, u); broken != nil {
			w.abandon(ctx, group, broken)
			return
		}
	}
	beforeCommit()
	if _, err := w.tx.exec(ctx, "COMMIT"); err != nil {
		w.abandon(ctx, group, fmt.Errorf("commit: %w", err))
		return
	}
	w.committed(len(group))
	for _, u := range group {
		close(u.done)
	}
}

// begin opens a transaction. When one stands open still, because its end failed,
// that is ended first.
func (w *writer) begin(ctx context.Context) error {
	_, err := w.tx.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		return nil
	}
	if _, undo := w.tx.exec(ctx, "ROLLBACK"); undo != nil {
		return err // no transaction stood open: the reason is another
	}
	_, err = w.tx.exec(ctx, "BEGIN IMMEDIATE")
	return err
}

// abandon ends a transaction that cannot be committed. SQLite may have ended it
// already, as it does when the disk is full; whatever would run now would stand
// outside of it.
func (w *writer) abandon(ctx context.Context, group []*unit, why error) {
	_, undo := w.tx.exec(ctx, "ROLLBACK")
	// The reason is told and not wrapped: it is one unit's, and to the others it must
	// not look like a verdict about them.
	finish(group, fmt.Errorf("%w: %v", ErrUnavailable, errors.Join(why, undo))) //nolint:errorlint // see above
}

// run gives a unit a savepoint, and takes it back when the unit fails. broken
// tells that the transaction around it cannot go on.
func (w *writer) run(ctx context.Context, u *unit) (err, broken error) {
	if u.one {
		// A verdict is reached without having written, and so is finding nothing; after
		// any other failure nobody could tell.
		if err = guard(u.run, w.tx); err != nil && !isVerdict(err) && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		return err, nil
	}
	if _, err := w.tx.exec(ctx, "SAVEPOINT unit"); err != nil {
		return nil, fmt.Errorf("savepoint: %w", err)
	}
	if err = guard(u.run, w.tx); err != nil {
		if _, undo := w.tx.exec(ctx, "ROLLBACK TO unit"); undo != nil {
			return nil, fmt.Errorf("undo: %w: %v", undo, err) //nolint:errorlint // of this unit alone
		}
	}
	if _, release := w.tx.exec(ctx, "RELEASE unit"); release != nil {
		return nil, fmt.Errorf("release: %w", release)
	}
	return err, nil
}

// finish gives every unit of a group the same bad news.
func finish(group []*unit, err error) {
	for _, u := range group {
		u.err = err
		close(u.done)
	}
}
