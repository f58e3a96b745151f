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
	"strings"
	"syscall"
)

// A Copy is a backup that was made.
type Copy struct {
	Bytes  int64
	Schema int64 // version of the schema in it
}

// ErrNoBackup is returned for a database that is not a file of ours to copy.
var ErrNoBackup = errors.New("store: only a SQLite database is copied; take PostgreSQL's own pg_dump, or hufu export")

// Backup writes a copy of a SQLite database, as it was at one moment, to a new
// file that only its owner reads. Servers and commands go on meanwhile. It neither
// opens a Store nor migrates, so that a schema of any release can be saved; it
// holds everything but the master key. A file that exists is not touched
// (fs.ErrExist), and a file by that name is always whole.
func Backup(ctx context.Context, dsn, path string) (Copy, error) {
	source, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return Copy{}, ErrNoBackup
	}
	if _, err := os.Stat(source); err != nil { // SQLite would make one
		return Copy{}, fmt.Errorf("store: backup: %w", err)
	}
	db, err := openSQLite(address(source), 1)
	if err != nil {
		return Copy{}, err
	}
	var c Copy
	c.Bytes, err = newFile(path, func(temporary string) error {
		defer os.Remove(temporary + "-journal") // which SQLite leaves when the disk is full
		_, err := db.ExecContext(ctx, `VACUUM INTO $1`, temporary)
		if err == nil {
			c.Schema, err = inspectCopy(ctx, temporary)
		}
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return Copy{}, fmt.Errorf("store: backup: %w", err)
	}
	return c, nil
}

// inspectCopy reads a copy before it gets its name: it must be one, and be of us.
// Nobody else has it open, so it needs no lock, and no file is left beside it.
func inspectCopy(ctx context.Context, path string) (schema int64, err error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&immutable=1")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return 0, err
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("the database is damaged: %s", verdict)
	}
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name IN ('goose_db_version', 'server')`).Scan(&tables); err != nil {
		return 0, err
	}
	if tables < 2 {
		return 0, errors.New("this is no database of hufu")
	}
	err = db.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&schema)
	return schema, err
}

// newFile makes a durable file by a name that nothing has yet: whole, or not at
// all. fill writes it under another name beside its place, with mode 0600.
func newFile(path string, fill func(temporary string) error) (size int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return 0, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return 0, err
	}
	defer func() {
		if removed := os.Remove(temporary.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	if err := temporary.Close(); err != nil {
		return 0, err
	}
	if err := fill(temporary.Name()); err != nil {
		return 0, err
	}
	if size, err = syncFile(temporary.Name()); err != nil {
		return 0, err
	}
	if err := nameFile(temporary.Name(), path); err != nil {
		return 0, err
	}
	_, err = syncFile(filepath.Dir(path))
	return size, err
}

// nameFile gives a finished file its name, unless something has it. Where there
// are no hard links, as on a network drive, the look before was all there is.
func nameFile(temporary, path string) error {
	err := os.Link(temporary, path)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		return os.Rename(temporary, path)
	}
	return err
}

// syncFile brings a file or a directory to the disk.
func syncFile(path string) (size int64, err error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	found, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return found.Size(), file.Sync()
}
