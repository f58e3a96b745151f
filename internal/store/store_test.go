package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// open opens a new database until the test ends.
func open(t testing.TB) *store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hufu.db")
	file, err := emptyFile()
	must(t, err)
	must(t, os.WriteFile(path, file, 0o600))
	return openAt(t, path)
}

// emptyFile is a SQLite file with the tables and nothing in them: to copy it takes far
// less time than to make them. So does emptyCluster with a database of PostgreSQL.
var emptyFile = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "hufu-store-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "hufu.db")
	if err := makeTables("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

var emptyCluster dbtest.Template

func makeTables(dsn string) error {
	s, err := store.Open(context.Background(), dsn, store.Options{})
	if err != nil {
		return err
	}
	return s.Close()
}

func openAt(t testing.TB, path string) *store.Store {
	t.Helper()
	return openDSN(t, "sqlite:"+path)
}

func openDSN(t testing.TB, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), dsn, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// An opener opens a new database of one engine until the test ends.
type opener func(t testing.TB) *store.Store

// eachEngine runs a test on both engines, and behind a pooler that hands connections
// out by the transaction.
func eachEngine(t *testing.T, test func(t *testing.T, open opener)) {
	t.Helper()
	for name, open := range map[string]opener{"SQLite": open, "PostgreSQL": openPostgres, "pgbouncer": openPooled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// eachDatabase runs a test on a new database of both engines, which it may open as
// often as it likes, as several servers do.
func eachDatabase(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	for name, make := range map[string]func(t testing.TB) string{"SQLite": fileDSN, "PostgreSQL": dbtest.DSN} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// fileDSN names a file that is not there yet.
func fileDSN(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "hufu.db")
}

func openPostgres(t testing.TB) *store.Store {
	t.Helper()
	return openDSN(t, clusterDSN(t))
}

// clusterDSN names a database of PostgreSQL with the tables and nothing in them.
func clusterDSN(t testing.TB) string {
	t.Helper()
	return emptyCluster.Copy(t, makeTables)
}

// openPooled opens a database behind a pgbouncer.
func openPooled(t testing.TB) *store.Store {
	t.Helper()
	return openDSN(t, dbtest.Pooled(t, clusterDSN(t)))
}

// now is the time at which everything happens in these tests.
var now = time.Unix(1_800_000_000, 0).UTC()

var by = store.By{Actor: "test", Address: "192.0.2.1", RequestID: "req-1"}

// client makes a client that is in force.
func client(t testing.TB, s *store.Store, id string) *store.Client {
	t.Helper()
	c := &store.Client{ID: id, Metadata: oauth.ClientMetadata{ClientName: id, GrantTypes: []string{oauth.GrantAuthorizationCode}}, CreatedAt: now}
	must(t, s.CreateClient(t.Context(), c, by))
	c, err := s.Client(t.Context(), id)
	must(t, err)
	return c
}

// user makes a user who is in force.
func user(t testing.TB, s *store.Store, name string) *store.User {
	t.Helper()
	u := &store.User{ID: store.NewUserID(), Username: name, UsernameKey: strings.ToLower(name), Password: "hash", CreatedAt: now}
	must(t, s.CreateUser(t.Context(), u, by))
	u, err := s.User(t.Context(), u.ID)
	must(t, err)
	return u
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless err is the verdict; nil means none.
func want(t testing.TB, what string, err, verdict error) {
	t.Helper()
	if !errors.Is(err, verdict) {
		t.Errorf("%s: got %v, want %v", what, err, verdict)
	}
}

// lastEvent is the newest record of the audit trail.
func lastEvent(t testing.TB, s *store.Store) store.Event {
	t.Helper()
	events, err := s.Events(t.Context(), "", 1)
	must(t, err)
	if len(events) == 0 {
		return store.Event{}
	}
	return events[0]
}

func count(t testing.TB, s *store.Store, text string, args ...any) int64 {
	t.Helper()
	n, err := s.Count(t.Context(), text, args...)
	must(t, err)
	return n
}

// The folder is 0700, the file and what lies beside it 0600, and the database is
// in the mode that makes an acknowledged write durable (KY-03).
func TestOpen(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	s := openAt(t, filepath.Join(folder, "hufu.db"))
	must(t, s.Ready(t.Context()))
	client(t, s, "app")
	for name, mode := range map[string]fs.FileMode{"": 0o700 | fs.ModeDir, "hufu.db": 0o600, "hufu.db-wal": 0o600, "hufu.db-shm": 0o600, "hufu.db.migrate.lock": 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	for pragma, value := range map[string]int64{"synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000, "journal_size_limit": 64 << 20} {
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Count(t.Context(), "PRAGMA "+pragma)
			if got != value {
				t.Errorf("%s = %d on the writer, want %d", pragma, got, value)
			}
			return err
		}))
	}
	if _, err := s.Count(t.Context(), `UPDATE server SET epoch = 7 RETURNING epoch`); err == nil {
		t.Error("a reader can write")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.db")
	must(t, os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 100)), 0o600))
	for name, dsn := range map[string]string{
		"no scheme": filepath.Join(folder, "hufu.db"), "no path": "sqlite:", "another engine": "mysql://localhost/hufu", "empty": "",
		"a folder": "sqlite:" + folder, "below a file": "sqlite:" + filepath.Join(garbage, "hufu.db"), "no database": "sqlite:" + garbage,
	} {
		if s, err := store.Open(t.Context(), dsn, store.Options{}); err == nil {
			t.Errorf("%s: opened %s", name, dsn)
			s.Close()
		}
	}
	if text, err := os.ReadFile(garbage); err != nil || !strings.HasPrefix(string(text), "this is no database") {
		t.Errorf("a file that is no database was changed: %.40q, %v", text, err)
	}
}

// A path may hold what a URL gives a meaning.
func TestOpenOddPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%41&mode=memory", "虎符.db")
	s := openAt(t, path)
	client(t, s, "app")
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// One server at a time works on a database; commands open it beside the server
// (design.md Section 5).
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	first, second := openAt(t, path), openAt(t, path)
	release, err := first.Lock()
	must(t, err)
	_, err = second.Lock()
	want(t, "second lock", err, store.ErrLocked)
	_, err = first.Lock()
	want(t, "second lock of one store", err, store.ErrLocked)
	client(t, second, "app") // works all the same
	if _, err := first.Client(t.Context(), "app"); err != nil {
		t.Errorf("the other store does not see it: %v", err)
	}
	must(t, release())
	release, err = second.Lock()
	want(t, "lock after release", err, nil)
	must(t, release())
}

// After Close nothing is written any more, and the caller learns that it may try
// again elsewhere. Closing twice does no harm.
func TestClose(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), store.Options{})
	must(t, err)
	must(t, s.Close())
	err = s.CreateClient(t.Context(), &store.Client{ID: "late", CreatedAt: now}, by)
	want(t, "write after close", err, store.ErrUnavailable)
	var marked interface{ Unavailable() bool }
	if !errors.As(err, &marked) || !marked.Unavailable() {
		t.Errorf("%v does not tell the edge that it may pass", err)
	}
	want(t, "read after close", s.Ready(t.Context()), store.ErrUnavailable)
	must(t, s.Close())
}

// What callers branch on keeps its identity; a cancelled caller is not the
// database's fault.
func TestErrors(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		_, err := s.Client(t.Context(), "nobody")
		want(t, "no such client", err, store.ErrNotFound)
		if errors.Is(err, store.ErrUnavailable) {
			t.Error("a missing row counts as a failure")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Grant(gone, "x")
		if !errors.Is(err, context.Canceled) && !errors.Is(err, store.ErrNotFound) { // SQLite is quicker than its callers
			t.Errorf("cancelled read: %v", err)
		}
		if errors.Is(err, store.ErrUnavailable) {
			t.Error("a cancelled read counts as a failure of the database")
		}
	})
}
