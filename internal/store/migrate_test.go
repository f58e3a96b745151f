package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// openVariable is set for processes that TestOpenByManyProcesses starts: they open the
// database it names, leave a trace, and end.
const openVariable = "HUFU_TEST_OPEN"

func TestMain(m *testing.M) {
	path, id, ok := strings.Cut(os.Getenv(openVariable), "|")
	if !ok {
		os.Exit(dbtest.Run(m))
	}
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{})
	if err == nil {
		err = errors.Join(s.CreateClient(context.Background(), &store.Client{ID: id, CreatedAt: now}, by), s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// wantMigrated fails unless the schema is this release's, made once.
func wantMigrated(t *testing.T, s *store.Store) {
	t.Helper()
	version, err := s.Schema(t.Context())
	must(t, err)
	if version != store.SchemaVersion() {
		t.Errorf("schema %d, want %d", version, store.SchemaVersion())
	}
	if n := count(t, s, `SELECT COUNT(*) FROM goose_db_version WHERE version_id > 0`); n != store.SchemaVersion() {
		t.Errorf("%d migrations were run, want %d", n, store.SchemaVersion())
	}
}

func TestMigrateFresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	wantMigrated(t, openAt(t, path))
	if copies, _ := filepath.Glob(path + ".schema-*"); len(copies) != 0 {
		t.Errorf("an empty database was copied aside: %q", copies)
	}
	again := openAt(t, path)
	wantMigrated(t, again)
	if n := count(t, again, `SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'`); n != 1 {
		t.Error("the integrity check finds something")
	}
}

// Several that open one new database at once: one migrates it, and all can use it
// (RE-02).
func TestOpenByManyGoroutines(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		path := filepath.Join(t.TempDir(), "hufu.db")
		var openers sync.WaitGroup
		stores := make([]*store.Store, 12)
		for i := range stores {
			openers.Go(func() {
				s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
				if err != nil {
					t.Errorf("round %d, opener %d: %v", round, i, err)
					return
				}
				stores[i] = s
				if err := s.CreateClient(t.Context(), &store.Client{ID: fmt.Sprint("c", i), CreatedAt: now}, by); err != nil {
					t.Errorf("round %d, opener %d: %v", round, i, err)
				}
			})
		}
		openers.Wait()
		s := openAt(t, path)
		wantMigrated(t, s)
		if clients, err := s.Clients(t.Context(), "", 100); err != nil || len(clients) != len(stores) {
			t.Errorf("round %d: %d clients, %v", round, len(clients), err)
		}
		for _, s := range stores {
			if s != nil {
				must(t, s.Close())
			}
		}
	}
}

// The same with processes, which share no lock but the kernel's.
func TestOpenByManyProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	self, err := os.Executable()
	must(t, err)
	const processes = 6
	var openers sync.WaitGroup
	for i := range processes {
		openers.Go(func() {
			command := exec.CommandContext(t.Context(), self)
			command.Env = append(os.Environ(), fmt.Sprintf("%s=%s|p%d", openVariable, path, i))
			if output, err := command.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, output)
			}
		})
	}
	openers.Wait()
	s := openAt(t, path)
	wantMigrated(t, s)
	if clients, err := s.Clients(t.Context(), "", 100); err != nil || len(clients) != processes {
		t.Errorf("%d clients, %v", len(clients), err)
	}
}

// Commands come and go beside one another, and each that opens the database while
// another closes it can use it at once.
func TestOpenWhileOthersClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	var commands sync.WaitGroup
	for i := range 4 {
		commands.Go(func() {
			for n := range 40 {
				s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
				if err == nil {
					err = errors.Join(s.Record(t.Context(), store.Event{At: now, Kind: "k"}), s.Ready(t.Context()), s.Close())
				}
				if err != nil {
					t.Errorf("command %d of line %d: %v", n, i, err)
				}
			}
		})
	}
	commands.Wait()
	if n := count(t, openAt(t, path), `SELECT COUNT(*) FROM event`); n != 4*40 {
		t.Errorf("%d events of %d commands", n, 4*40)
	}
}

// raw opens a database, an address or the path of a file, without any code of ours.
func raw(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	driver, source := "sqlite", "file:"+strings.TrimPrefix(dsn, "sqlite:")
	if store.IsPostgres(dsn) {
		driver, source = "pgx", dsn
	}
	db, err := sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// From every older schema the way leads to this release's, a copy of what was
// there is kept aside, readable by its owner alone, and nothing is lost.
func TestMigrateFromOlder(t *testing.T) {
	t.Parallel()
	for version := int64(1); version < store.SchemaVersion(); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hufu.db")
			db := raw(t, path)
			provider, err := goose.NewProvider(database.DialectSQLite3, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
			must(t, err)
			if _, err := provider.UpTo(t.Context(), version); err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), `UPDATE server SET epoch = 42`); err != nil {
				t.Fatal(err)
			}
			must(t, db.Close())
			aside := fmt.Sprintf("%s.schema-%d", path, version)
			must(t, os.WriteFile(aside, []byte("of an attempt that was cut off"), 0o600))

			s := openAt(t, path)
			wantMigrated(t, s)
			server, err := s.Server(t.Context())
			must(t, err)
			if server.Epoch != 42 {
				t.Errorf("epoch %d after the migration, want 42", server.Epoch)
			}
			info, err := os.Stat(aside)
			must(t, err)
			if info.Mode() != fs.FileMode(0o600) {
				t.Errorf("the copy has mode %v", info.Mode())
			}
			var epoch, was int64
			copied := raw(t, aside)
			must(t, copied.QueryRowContext(t.Context(), `SELECT epoch FROM server`).Scan(&epoch))
			must(t, copied.QueryRowContext(t.Context(), `SELECT MAX(version_id) FROM goose_db_version`).Scan(&was))
			if epoch != 42 || was != version {
				t.Errorf("the copy has epoch %d and schema %d, want 42 and %d", epoch, was, version)
			}
		})
	}
}

// A schema of a later release is used as long as it says that this release may,
// and otherwise left alone (OP-01).
func TestMigrateFromNewer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		oldest   int64
		accepted bool
	}{
		"may use it":     {store.SchemaVersion(), true},
		"may not use it": {store.SchemaVersion() + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hufu.db")
			client(t, openAt(t, path), "app")
			db := raw(t, path)
			newer := store.SchemaVersion() + 7
			for _, text := range []string{
				fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, newer),
				fmt.Sprintf(`UPDATE server SET oldest_schema = %d`, tt.oldest),
				`CREATE TABLE of_tomorrow (id TEXT)`,
			} {
				if _, err := db.ExecContext(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
			if tt.accepted {
				must(t, err)
				if _, err := s.Client(t.Context(), "app"); err != nil {
					t.Error(err)
				}
				must(t, s.Close())
			} else if err == nil || !strings.Contains(err.Error(), "start a newer hufu") {
				t.Errorf("got %v", err)
			}
			var version int64
			must(t, db.QueryRowContext(t.Context(), `SELECT MAX(version_id) FROM goose_db_version`).Scan(&version))
			if version != newer {
				t.Errorf("schema %d afterwards, want %d untouched", version, newer)
			}
		})
	}
}
