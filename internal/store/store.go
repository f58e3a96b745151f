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
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3/database"
)

// What callers branch on.
var (
	ErrNotFound  = errors.New("store: not found")
	ErrConflict  = errors.New("store: already exists")
	ErrExpired   = errors.New("store: expired")
	ErrRevoked   = errors.New("store: revoked")
	ErrReplayed  = errors.New("store: replayed: used before")
	ErrNotLive   = errors.New("store: client or user no longer in force")
	ErrExhausted = errors.New("store: too many wrong tries")
	ErrTooMany   = errors.New("store: as many as there may be")
	ErrLast      = errors.New("store: the last means to sign in")
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
	// OnChange, when set, is called after a change of this process to a client, a key
	// or the epoch of the server. It is set before the store is used by others.
	OnChange func()

	*queries // on what reads
	engine   engine
	unknown  unknown
	cache    cache
	changes  chan struct{}
	signOuts chan struct{}
	mails    chan struct{}
	failing  atomic.Bool // a write has failed for a reason that lies with the database
	hurt     atomic.Bool // and that was less than recovery ago
	healing  *time.Timer // sets hurt back
	before   int64       // schema version when it was opened
}

// An engine is what the two databases do not share. Everything else is one text.
type engine interface {
	// write runs a unit and returns when what it wrote is durable.
	write(ctx context.Context, k kind, unit func(tx *Tx) error) error
	// lockSchema lets one process at a time look at the schema and change it, until
	// release is called.
	lockSchema(ctx context.Context) (release func() error, err error)
	// admin is the pool that migrations run on, and the dialect of goose.
	admin() (*sql.DB, database.Dialect)
	// begin opens what serves, once the schema is there. heard is called when
	// another server has announced a change.
	begin(ctx context.Context, heard func()) (*queries, error)
	// copyAside keeps the database as it was before a migration, where that is a
	// thing of one statement.
	copyAside(ctx context.Context, version int64) error
	// settle prepares what migrations have made for the way it is used, where an engine
	// needs to be told.
	settle(ctx context.Context) error
	// lock keeps other servers away, where there can be only one.
	lock() (release func() error, err error)
	// announce tells other servers that something has changed that they keep copies
	// of, where they can be told; they would find out by themselves a little later.
	announce()
	close() error
}

// Options are what Open is told beside the address of the database.
type Options struct {
	// Connections to a PostgreSQL server at most; 0 means a number that fits the
	// processors of this machine.
	Connections int
	// Watch, when set, is called when a statement begins, with its verb and its table,
	// and what it returns when the statement has ended. It sees what a transaction is
	// made of as well: begin, commit and the like.
	Watch func(ctx context.Context, statement string) (ended func(err error))
	// Group, when set, is called with the number of units that shared a commit.
	Group func(units int)
}

// Open opens the database that dsn names (sqlite:PATH, or postgres://… as libpq
// reads it), makes a SQLite file when it is not there, with its folder in mode
// 0700, and brings the schema up to this release.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s := &Store{changes: make(chan struct{}, 1), signOuts: make(chan struct{}, 1), mails: make(chan struct{}, 1)}
	s.healing = time.AfterFunc(recovery, func() { s.hurt.Store(false) })
	if err := s.open(ctx, dsn, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, dsn string, o Options) (err error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	switch {
	case ok && path != "":
		s.engine, err = openFile(path, o)
	case IsPostgres(dsn):
		s.engine, err = openCluster(dsn, o)
	default:
		return errors.New("store: database: want sqlite:PATH or postgres://…") // the text may hold a password
	}
	if err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.queries, err = s.engine.begin(ctx, s.hurry)
	return err
}

// Close waits for writes under way and closes the database.
func (s *Store) Close() error {
	s.healing.Stop()
	if s.engine == nil {
		return nil
	}
	return s.engine.close()
}

// Lock makes this process the one server of a SQLite file until release is
// called or the process ends; on PostgreSQL there may be many.
func (s *Store) Lock() (release func() error, err error) { return s.engine.lock() }

// ErrLocked is returned when another server works on the same file.
var ErrLocked = errors.New("another server is running on this database")

// Ready reports whether the database can be read and written. As long as no write has
// failed it can be; once one has, only one that is tried here tells that it can again:
// a write that found nothing to change proves nothing. Nor does a small one prove much
// while others fail: on a full disk it may find room where a larger one does not.
func (s *Store) Ready(ctx context.Context) error {
	var one int
	if err := s.row(ctx, `SELECT 1 FROM server`).Scan(&one); err != nil {
		return wrap("read", err)
	}
	if !s.failing.Load() {
		return nil
	}
	if s.hurt.Load() {
		return fmt.Errorf("store: write: %w: one has failed a moment ago", ErrUnavailable)
	}
	err := s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE server SET revision = revision`)
		return err
	})
	if err == nil {
		s.failing.Store(false)
	}
	return wrap("write", err)
}

// recovery is how long nothing may have failed before a write is tried to tell that the
// database can be written again.
const recovery = time.Second

// patience is how long a call of a server waits for its turn or for an answer. A
// request that needs the database is refused within three seconds; only what SQLite has
// begun to write is waited for, since it can no longer be called off.
const patience = 2500 * time.Millisecond

// A kind of unit says what it needs around it.
type kind int

const (
	whole      kind = iota // all of it or nothing
	repeatable             // whole, and to do it twice is to do it once
	single                 // writes by one gated statement, and only when it returns nil; may be done again too
)

// write runs unit in a transaction and returns when its commit is durable. An
// error of unit undoes what it wrote, and nothing else. A unit that lost to a
// neighbour is undone and run again, so it must not rely on what it did before.
func (s *Store) write(ctx context.Context, unit func(tx *Tx) error) error {
	return s.do(ctx, whole, unit)
}

// writeAgain is write for a unit that may be run once more after a connection was
// lost, when nobody knows whether it was committed.
func (s *Store) writeAgain(ctx context.Context, unit func(tx *Tx) error) error {
	return s.do(ctx, repeatable, unit)
}

// writeOne is writeAgain for a unit that writes by one gated statement, and by
// that only when it returns nil: it needs no transaction around it.
func (s *Store) writeOne(ctx context.Context, unit func(tx *Tx) error) error {
	return s.do(ctx, single, unit)
}

func (s *Store) do(ctx context.Context, k kind, unit func(tx *Tx) error) error {
	err := s.engine.write(ctx, k, unit)
	if isFailure(err) {
		s.healing.Reset(recovery)
		s.hurt.Store(true)
		s.failing.Store(true)
	}
	return err
}

// isFailure reports whether an error lies with the database, not with the question
// or the caller.
func isFailure(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		err != nil && !isVerdict(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrNoRows) && !isConstraint(err) && !isRefused(err)
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
	case isConstraint(err), isRefused(err): // our own mistake, which trying again does not mend
		return fmt.Errorf("store: %s: %w", act, err)
	}
	return fmt.Errorf("store: %s: %w: %w", act, ErrUnavailable, err)
}

func isVerdict(err error) bool {
	for _, verdict := range []error{ErrNotFound, ErrConflict, ErrExpired, ErrRevoked, ErrReplayed, ErrNotLive, ErrExhausted, ErrTooMany, ErrLast, ErrUnavailable} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// lastID sorts behind every id, in whatever order a database has for text.
const lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

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
