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
	"syscall"

	"modernc.org/sqlite" // also the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// isConstraint reports whether a statement broke a rule of the schema.
func isConstraint(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
}

// open makes the two pools on the file: one connection that writes, and some
// that cannot.
func (s *Store) open(ctx context.Context) (err error) {
	if err := makeFile(s.path); err != nil {
		return err
	}
	if s.writers, err = openSQLite(s.path, 1, "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)"); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if s.readers, err = openSQLite(s.path, max(4, 2*runtime.GOMAXPROCS(0)), "query_only(1)"); err != nil {
		return err
	}
	s.queries = newQueries(s.readers)
	s.writer, err = newWriter(ctx, s.writers)
	return err
}

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

// openSQLite opens a pool. The busy timeout stands first: the other pragmas may
// already have to wait for another process.
func openSQLite(path string, connections int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "foreign_keys(1)"}, pragmas...)}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// ErrLocked is returned when another server works on the same database.
var ErrLocked = errors.New("another server is running on this database")

// Lock makes this process the one server of the database until release is
// called or the process ends. The lock is the kernel's, on a file of its own:
// closing a descriptor of the database itself would drop SQLite's locks.
func (s *Store) Lock() (release func() error, err error) {
	return lockFile(s.path+".lock", syscall.LOCK_EX|syscall.LOCK_NB)
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
