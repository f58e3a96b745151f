// Package store keeps every record of the server and decides everything that
// must be decided once: all SQL, the migrations and the transactions.
//
// It serves no URL. Its one invariant: a decision is a condition in the
// statement that writes, so that however many callers race, one wins; and
// what a method has acknowledged is on the disk.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// What callers branch on.
var (
	ErrNotFound  = errors.New("store: not found")
	ErrConflict  = errors.New("store: already exists")
	ErrExpired   = errors.New("store: expired")
	ErrRevoked   = errors.New("store: revoked")
	ErrReplayed  = errors.New("store: used before")
	ErrNotLive   = errors.New("store: client or user no longer in force")
	ErrExhausted = errors.New("store: too many wrong tries")
	// ErrUnavailable is the cause of every failure that lies with the database
	// and not with the question; the edge answers it with 503.
	ErrUnavailable error = unavailable{}
)

// unavailable lets the edge, which does not know this package, tell a failure
// that may pass from one that stays.
type unavailable struct{}

func (unavailable) Error() string { return "database unavailable" }

// Unavailable marks the error for the edge.
func (unavailable) Unavailable() bool { return true }

// A Store is one open database. It is safe for concurrent use.
type Store struct {
	*queries // on the readers
	readers  *sql.DB
	writers  *sql.DB
	writer   *writer
	path     string
	before   int64 // schema version when it was opened
}

// Open opens the database that dsn names (sqlite:PATH), makes it when it is not
// there, and brings its schema up to this release. The folder of a SQLite file
// is made with mode 0700.
func Open(ctx context.Context, dsn string) (*Store, error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok || path == "" {
		return nil, fmt.Errorf("store: database %q: want sqlite:PATH", dsn)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	s := &Store{path: path}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close waits for writes under way and closes the database.
func (s *Store) Close() error {
	var errs []error
	if s.writer != nil {
		s.writer.close()
	}
	for _, db := range []*sql.DB{s.readers, s.writers} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return wrap("ping", s.row(ctx, `SELECT 1 FROM server`).Scan(&one))
}

// write runs unit in a transaction and returns when its commit is durable. An
// error of unit undoes what it wrote, and nothing else.
func (s *Store) write(ctx context.Context, unit func(tx *Tx) error) error {
	return s.writer.do(ctx, false, unit)
}

// writeOne is write for a unit that writes by one gated statement, and by that
// only when it returns nil: it needs no savepoint.
func (s *Store) writeOne(ctx context.Context, unit func(tx *Tx) error) error {
	return s.writer.do(ctx, true, unit)
}

// A Tx is a transaction: every query works on it, and what it writes is
// committed as one.
type Tx struct {
	*queries
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt, err := tx.stmt(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(tx.context(ctx), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// preparer is a connection or a pool of them.
type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

// queries holds what reads, inside and outside of a transaction. Statements are
// prepared once: their texts are constants, so there are only so many.
type queries struct {
	db    preparer
	whole bool // statements run to their end, whatever becomes of their caller
	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func newQueries(db preparer) *queries {
	return &queries{db: db, stmts: map[string]*sql.Stmt{}}
}

// context is what a statement runs under. In a transaction that is not the
// caller's: SQLite undoes the whole transaction of a write that is interrupted,
// and with it the neighbours' (see writer.commit).
func (q *queries) context(ctx context.Context) context.Context {
	if q.whole {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (q *queries) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if stmt, ok := q.stmts[text]; ok {
		return stmt, nil
	}
	stmt, err := q.db.PrepareContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	q.stmts[text] = stmt
	return stmt, nil
}

// A row is the answer of a statement that gives one; its error waits for Scan.
type row struct {
	*sql.Row
	err error
	ctx context.Context //nolint:containedctx // that of the statement, until Scan
}

// Scan copies the columns out; sql.ErrNoRows when there was no row. A statement
// that was interrupted may look as if it had found none: that is no answer.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	err := r.Row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	return err
}

func (q *queries) row(ctx context.Context, text string, args ...any) row {
	stmt, err := q.stmt(ctx, text)
	if err != nil {
		return row{err: err}
	}
	ctx = q.context(ctx)
	return row{Row: stmt.QueryRowContext(ctx, args...), ctx: ctx}
}

// each calls scan for every row of an answer.
func (q *queries) each(ctx context.Context, scan func(r *sql.Rows) error, text string, args ...any) error {
	stmt, err := q.stmt(ctx, text)
	if err != nil {
		return err
	}
	ctx = q.context(ctx)
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return ctx.Err() // the rows of an interrupted statement may not be all
}

// wrap says which act failed; nil stays nil, no row becomes ErrNotFound, what
// callers branch on stays as it is, and the rest lies with the database.
func wrap(act string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case isVerdict(err):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("store: %s: %w", act, err)
	case isConstraint(err): // our own mistake, which trying again does not mend
		return fmt.Errorf("store: %s: %w", act, err)
	}
	return fmt.Errorf("store: %s: %w: %w", act, ErrUnavailable, err)
}

func isVerdict(err error) bool {
	for _, verdict := range []error{ErrNotFound, ErrConflict, ErrExpired, ErrRevoked, ErrReplayed, ErrNotLive, ErrExhausted, ErrUnavailable} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// newID makes an id for a row: a UUIDv7, which sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// nullTime reads a time that may be missing.
type nullTime struct{ to *time.Time }

func (n nullTime) Scan(v any) error {
	*n.to = time.Time{}
	if v == nil {
		return nil
	}
	seconds, ok := v.(int64)
	if !ok {
		return fmt.Errorf("store: a time is a %T", v)
	}
	*n.to = time.Unix(seconds, 0).UTC()
	return nil
}

// unixOrNull writes a time that may be missing.
func unixOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// textOrNull writes a text that is unique unless it is missing.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
