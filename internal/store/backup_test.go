package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// whole fails unless a copy is sound, of its owner alone, and without a file beside it.
func whole(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the copy has mode %v", info.Mode())
	}
	if beside, _ := filepath.Glob(path + "?*"); len(beside) != 0 {
		t.Errorf("left beside the copy: %q", beside)
	}
	var verdict string
	db := raw(t, path)
	must(t, db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict))
	if verdict != "ok" {
		t.Errorf("the copy is damaged: %s", verdict)
	}
	must(t, db.Close())
}

// A copy made while others write is sound, of one moment, and holds everything that
// was acknowledged before it began (OP-02).
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := openAt(t, filepath.Join(folder, "hufu.db"))
	var acknowledged [4]atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range acknowledged {
		writers.Go(func() {
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.CreateClient(t.Context(), &store.Client{ID: fmt.Sprintf("c%d-%d", w, i), CreatedAt: now}, by); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				acknowledged[w].Store(i + 1)
			}
		})
	}
	defer func() {
		close(stop)
		writers.Wait()
	}()
	for n := range 5 {
		for acknowledged[0].Load() < int64(20*n) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		var before [len(acknowledged)]int64
		for w := range before {
			before[w] = acknowledged[w].Load()
		}
		path := filepath.Join(folder, fmt.Sprint("copy", n))
		made, err := store.Backup(t.Context(), "sqlite:"+filepath.Join(folder, "hufu.db"), path)
		must(t, err)
		whole(t, path)
		if info, err := os.Stat(path); err != nil || info.Size() != made.Bytes || made.Schema != store.SchemaVersion() {
			t.Errorf("told %+v of %v, %v", made, info, err)
		}
		back := openAt(t, path)
		for w, least := range before {
			if got := count(t, back, `SELECT COUNT(*) FROM client WHERE id LIKE $1`, fmt.Sprintf("c%d-%%", w)); got < least {
				t.Errorf("%d clients of writer %d in the copy; %d were acknowledged before", got, w, least)
			}
		}
		if clients, events := count(t, back, `SELECT COUNT(*) FROM client`), lastEventOf(t, back, store.EventClientCreated); clients != events {
			t.Errorf("the copy holds %d clients and %d records of their making", clients, events)
		}
	}
}

// A copy holds what the database holds, and the database goes on: what was there
// stays, and a lock that a server has does not matter.
func TestBackup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%41", "虎符.db")
	s := openAt(t, path)
	fill(t, s)
	release, err := s.Lock()
	must(t, err)
	target := filepath.Join(t.TempDir(), "a b?c#d%41&mode=memory")
	_, err = store.Backup(t.Context(), "sqlite:"+path, target)
	must(t, err)
	whole(t, target)
	must(t, release())
	if diff := cmp.Diff(dump(t, s), dump(t, openAt(t, target))); diff != "" {
		t.Errorf("(-original +copy)\n%s", diff)
	}
	client(t, s, "later")
}

// Backup does not migrate: a schema of any release is saved as it is, be it one that
// this release could not use.
func TestBackupOfAnySchema(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change string
		schema int64
	}{
		"older": {`DELETE FROM goose_db_version WHERE version_id > 1`, 1},
		"newer": {fmt.Sprintf(`UPDATE server SET oldest_schema = %[1]d; INSERT INTO goose_db_version (version_id, is_applied) VALUES (%[1]d, 1)`, store.SchemaVersion()+7), store.SchemaVersion() + 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hufu.db")
			openAt(t, path)
			db := raw(t, path)
			_, err := db.ExecContext(t.Context(), tt.change)
			must(t, err)
			target := filepath.Join(t.TempDir(), "copy")
			made, err := store.Backup(t.Context(), "sqlite:"+path, target)
			must(t, err)
			whole(t, target)
			if made.Schema != tt.schema {
				t.Errorf("schema %d told, want %d", made.Schema, tt.schema)
			}
			for _, of := range []string{path, target} {
				var version int64
				must(t, raw(t, of).QueryRowContext(t.Context(), `SELECT MAX(version_id) FROM goose_db_version`).Scan(&version))
				if version != tt.schema {
					t.Errorf("schema %d in %s, want %d", version, filepath.Base(of), tt.schema)
				}
			}
		})
	}
}

// Of many that make a copy by one name at once, one does.
func TestBackupRace(t *testing.T) {
	t.Parallel()
	path, target := filepath.Join(t.TempDir(), "hufu.db"), filepath.Join(t.TempDir(), "copy")
	openAt(t, path)
	var done atomic.Int64
	var copies sync.WaitGroup
	for range 8 {
		copies.Go(func() {
			_, err := store.Backup(t.Context(), "sqlite:"+path, target)
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("the others: %v", err)
			}
		})
	}
	copies.Wait()
	if done.Load() != 1 {
		t.Errorf("%d copies were made", done.Load())
	}
	whole(t, target)
}

// What is no database of ours is not copied, what is there is not written over, and
// nothing is left of a copy that did not come to be.
func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	folder, targets := t.TempDir(), t.TempDir()
	path := filepath.Join(folder, "hufu.db")
	fill(t, openAt(t, path))
	file := func(name, text string) string {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
		return filepath.Join(folder, name)
	}
	other := filepath.Join(folder, "other.db")
	_, err := raw(t, other).ExecContext(t.Context(), `CREATE TABLE a (b TEXT)`)
	must(t, err)
	taken := filepath.Join(targets, "taken")
	must(t, os.WriteFile(taken, []byte("mine"), 0o600))
	must(t, os.Symlink(filepath.Join(folder, "elsewhere"), filepath.Join(targets, "link")))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx         context.Context
		dsn, target string
		why         string
	}{
		"over a file":    {t.Context(), "sqlite:" + path, "taken", fs.ErrExist.Error()},
		"over a link":    {t.Context(), "sqlite:" + path, "link", fs.ErrExist.Error()},
		"into no folder": {t.Context(), "sqlite:" + path, "no/such", filepath.Join(targets, "no") + ": no such file"},
		"no database":    {t.Context(), "sqlite:" + filepath.Join(folder, "none.db"), "a", "no such file"},
		"an empty file":  {t.Context(), "sqlite:" + file("empty.db", ""), "a", "no database of hufu"},
		"another's":      {t.Context(), "sqlite:" + other, "a", "no database of hufu"},
		"no SQLite":      {t.Context(), "sqlite:" + file("garbage.db", strings.Repeat("this is no database ", 100)), "a", "not a database"},
		"PostgreSQL":     {t.Context(), "postgres://hufu@localhost/hufu", "a", "pg_dump, or hufu export"},
		"cancelled":      {cancelled, "sqlite:" + path, "a", "canceled"},
	} {
		if _, err := store.Backup(tt.ctx, tt.dsn, filepath.Join(targets, tt.target)); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	left, err := os.ReadDir(targets)
	must(t, err)
	if text, err := os.ReadFile(taken); len(left) != 2 || string(text) != "mine" {
		t.Errorf("left behind: %v; the file that was there: %q, %v", left, text, err)
	}
	for _, name := range []string{"none.db", "elsewhere"} {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}
