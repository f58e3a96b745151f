package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver "sqlite" of package database/sql
	"zombiezen.com/go/sqlite"
)

// A file is a SQLite database: one connection that writes, and some that cannot.
type file struct {
	path    string
	writers *sql.DB // for migrations
	writer  *writer
	readers *sql.DB // for exports
	hands   *hands
	watch   watch
	group   func(units int)
}

// openFile opens a database, or makes it.
func openFile(path string, o Options) (engine, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	f := &file{path: path, watch: o.Watch, group: o.Group}
	var err error
	if f.writers, err = openSQLite(address(path, writes...), 1); err != nil {
		return nil, err
	}
	f.readers, err = openSQLite(address(path, reads...), 1)
	return f, err
}

// busy is how long a command waits for another process to let it write.
const busy = 10 * time.Second

// What every connection is told, what those that write, and what those that read. The
// busy timeout, in milliseconds, stands first: the others may already have to wait
// for another process.
var (
	always = []string{fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "foreign_keys(1)"}
	writes = []string{"journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)"}
	reads  = []string{"query_only(1)"}
)

func (f *file) admin() (*sql.DB, database.Dialect) { return f.writers, database.DialectSQLite3 }

func (f *file) begin(context.Context, func()) (*queries, error) {
	if err := f.writers.Close(); err != nil { // of the migrations: there is one that writes
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	h, err := newHand(f.path, writes...)
	if err != nil {
		return nil, err
	}
	f.writer = newWriter(h, f.watch, f.group)
	f.hands, err = newHands(max(4, 2*runtime.GOMAXPROCS(0)), func() (*hand, error) { return newHand(f.path, reads...) })
	if err != nil {
		return nil, err
	}
	return &queries{f.watch.over(f.hands)}, nil
}

func (f *file) write(ctx context.Context, k kind, unit func(tx *Tx) error) error {
	return f.writer.do(ctx, k == single, unit)
}

func (f *file) close() error {
	var errs []error
	if f.writer != nil {
		errs = append(errs, f.writer.close())
	}
	return errors.Join(append(errs, f.hands.close(), f.readers.Close(), f.writers.Close())...)
}

// lockSchema takes a kernel lock. It also covers the first connection to a new
// file: one that turns it into a WAL file would find it locked by another that
// does.
func (f *file) lockSchema(context.Context) (release func() error, err error) {
	return lockFile(f.path+".migrate.lock", syscall.LOCK_EX)
}

// copyAside uses VACUUM INTO, which makes a whole copy; copying the file would
// miss what is still in the WAL.
func (f *file) copyAside(ctx context.Context, version int64) error {
	target := fmt.Sprintf("%s.schema-%d", f.path, version)
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: copy before migration: %w", err)
	}
	if err := makeFile(target); err != nil { // VACUUM would make one that others can read
		return err
	}
	if _, err := f.writers.ExecContext(ctx, `VACUUM INTO $1`, target); err != nil {
		return fmt.Errorf("store: copy before migration: %w", err)
	}
	return nil
}

func (f *file) settle(context.Context) error { return nil }

// lock is the kernel's, on a file of its own: closing a descriptor of the database
// itself would drop SQLite's locks. From then on nobody waits for another process
// longer than the callers of a server would; a command has the time.
func (f *file) lock() (release func() error, err error) {
	if release, err = lockFile(f.path+".lock", syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, err
	}
	err = f.writer.do(context.Background(), true, func(tx *Tx) error {
		return tx.row(context.Background(), fmt.Sprintf("PRAGMA busy_timeout(%d)", patience.Milliseconds())).Scan(new(int))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock: %w", err), release())
	}
	f.writer.patience.Store(int64(patience))
	return release, nil
}

// announce does nothing: there is one server, and it looks twice a second for what
// commands have done.
func (f *file) announce() {}

// makeFile makes the database file when it is not there, so that nobody but its
// owner reads it. A file that exists is not opened: closing it again would drop
// every lock that SQLite holds on it in this process.
func makeFile(path string) error {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return fmt.Errorf("store: make database: %w", err)
	}
	return nil
}

// address names a file to the driver of package database/sql.
func address(path string, pragmas ...string) string {
	query := url.Values{"_pragma": slices.Concat(always, pragmas)}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

func openSQLite(address string, connections int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", address)
	if err != nil {
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func lockFile(path string, how int) (release func() error, err error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: lock: %w", err)
	}
	err = flock(file, how)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock %s: %w", path, err), file.Close())
	}
	return file.Close, nil
}

func flock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// isConstraint reports whether a statement broke a rule of the schema.
func isConstraint(err error) bool {
	return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultConstraint
}
