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
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// openVariable is set for processes that TestOpenByManyProcesses starts: they open the
// database it names, leave a trace, and end.
const openVariable = "HUFU_TEST_OPEN"

func TestMain(m *testing.M) {
	id, dsn, ok := strings.Cut(os.Getenv(openVariable), "|")
	if !ok {
		os.Exit(dbtest.Run(m))
	}
	s, err := store.Open(context.Background(), dsn, store.Options{})
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
	if n, all := count(t, s, `SELECT COUNT(*) FROM goose_db_version WHERE version_id > 0`), int64(len(schemas(t))); n != all {
		t.Errorf("%d migrations were run, want %d", n, all)
	}
}

// schemas are the numbers of all migrations.
func schemas(t testing.TB) (numbers []int64) {
	t.Helper()
	names, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	for _, name := range names {
		digits, _, _ := strings.Cut(filepath.Base(name), "_")
		n, err := strconv.ParseInt(digits, 10, 64)
		must(t, err)
		numbers = append(numbers, n)
	}
	return numbers
}

// olderSchemas are all but the newest.
func olderSchemas(t testing.TB) []int64 {
	t.Helper()
	all := schemas(t)
	return all[:len(all)-1]
}

func TestMigrateFresh(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		wantMigrated(t, openDSN(t, dsn))
		again := openDSN(t, dsn)
		wantMigrated(t, again)
		path, isFile := strings.CutPrefix(dsn, "sqlite:")
		if !isFile {
			return
		}
		if copies, _ := filepath.Glob(path + ".schema-*"); len(copies) != 0 {
			t.Errorf("an empty database was copied aside: %q", copies)
		}
		if n := count(t, again, `SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'`); n != 1 {
			t.Error("the integrity check finds something")
		}
	})
}

// Several that open one new database at once: one migrates it, and all can use it
// (RE-02).
func TestOpenByManyGoroutines(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, dsn string) { openByMany(t, dsn, 12) })
		})
	}
}

// Behind a pooler more may start than it has connections for: those who wait for one
// that migrates are not in its way.
func TestOpenByManyBehindPooler(t *testing.T) {
	t.Parallel()
	openByMany(t, dbtest.Bouncer(t, dbtest.DSN(t)), 30) // pgbouncer's default is 20
}

func openByMany(t *testing.T, dsn string, many int) {
	t.Helper()
	stores := make([]*store.Store, many)
	for i, err := range atOnce(many, func(n int) (err error) {
		if stores[n], err = store.Open(t.Context(), dsn, store.Options{}); err != nil {
			return err
		}
		return stores[n].CreateClient(t.Context(), &store.Client{ID: fmt.Sprint("c", n), CreatedAt: now}, by)
	}) {
		if err != nil {
			t.Errorf("opener %d: %v", i, err)
		}
	}
	s := openDSN(t, dsn)
	wantMigrated(t, s)
	if clients, err := s.Clients(t.Context(), "", 100); err != nil || len(clients) != many {
		t.Errorf("%d clients, %v", len(clients), err)
	}
	for _, s := range stores {
		if s != nil {
			must(t, s.Close())
		}
	}
}

// The same with processes, which share no lock but the kernel's or the database's.
func TestOpenByManyProcesses(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		self, err := os.Executable()
		must(t, err)
		const processes = 6
		for i, err := range atOnce(processes, func(n int) error {
			command := exec.CommandContext(t.Context(), self)
			command.Env = append(os.Environ(), fmt.Sprintf("%s=p%d|%s", openVariable, n, dsn))
			output, err := command.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		}) {
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		}
		s := openDSN(t, dsn)
		wantMigrated(t, s)
		if clients, err := s.Clients(t.Context(), "", 100); err != nil || len(clients) != processes {
			t.Errorf("%d clients, %v", len(clients), err)
		}
	})
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

// ofSchema is what a database has from a schema on, written as its release would have.
var ofSchema = map[int64]string{
	1: `UPDATE server SET epoch = 42, key_check = 'check'`,
	2: `INSERT INTO client (id, metadata, grant_types, epoch, created_at, updated_at) VALUES ('app', '{"client_name":"虎"}', ' authorization_code ', 3, 1800000000, 1800000000)`,
	3: `INSERT INTO end_user (id, username, username_key, epoch, created_at, updated_at) VALUES ('subject', 'Alice', 'alice', 4, 1800000000, 1800000000)`,
	4: `INSERT INTO oauth_grant (id, grant_type, client_id, user_id, scope, client_epoch, user_epoch, server_epoch, redeemed_at, generation, rotated_at, created_at, expires_at, keep_until)
		VALUES ('grant', 'authorization_code', 'app', 'subject', 'read', 3, 4, 42, 1800000000, 5, 1800000000, 1800000000, 1800086400, 1800086400)`,
	5: `INSERT INTO job (name, holder, until) VALUES ('job', 'holder', 1)`,
	6: `INSERT INTO session_client (sid, client_id, user_id, expires_at) VALUES ('sid', 'app', 'subject', 1800086400)`,
	7: `INSERT INTO client_secret (id, client_id, hash, created_at) VALUES ('secret', 'app', 'hash', 1800000000)`,
	8: `INSERT INTO client_secret (id, client_id, hash, sealed, created_at) VALUES ('first', 'app', 'hash', 'sealed', 1800000000)`,
	9: `INSERT INTO end_user (id, username, username_key, epoch, created_at, updated_at, locale, admin)
		VALUES ('second', 'bob', 'bob', 1, 1800000000, 1800000000, 'zh', TRUE)`,
	10: `INSERT INTO authenticator_app (user_id, id, sealed, last_step, created_at) VALUES ('subject', 'app', 'sealed', 1, 1800000000)`,
	11: `INSERT INTO passkey (id, user_id, public_key, sign_count, flags, name, created_at) VALUES ('credential', 'subject', 'key', 7, 29, 'phone', 1800000000)`,
	12: `INSERT INTO ticket (hash, purpose, user_id, user_epoch, user_email, new_email, created_at, expires_at) VALUES ('hash', 'reset', 'subject', 4, '', '', 1800000000, 1800086400)`,
}

// makeOlder makes a database of an older schema, with something in it.
func makeOlder(t *testing.T, dsn string, version int64) {
	t.Helper()
	db, dialect := raw(t, dsn), database.DialectSQLite3
	if store.IsPostgres(dsn) {
		dialect = database.DialectPostgres
	}
	provider, err := goose.NewProvider(dialect, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
	must(t, err)
	_, err = provider.UpTo(t.Context(), version)
	must(t, err)
	for v := int64(1); v <= version; v++ {
		execute(t, db, ofSchema[v])
	}
	must(t, db.Close())
}

// From every older schema the way leads to this release's, and nothing is lost
// (RE-02).
func TestMigrateFromOlder(t *testing.T) {
	t.Parallel()
	for _, version := range olderSchemas(t) {
		if ofSchema[version] == "" {
			t.Errorf("ofSchema says nothing about schema %d", version)
		}
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, dsn string) {
				makeOlder(t, dsn, version)
				s := openDSN(t, dsn)
				wantMigrated(t, s)
				if s.SchemaBefore() != version {
					t.Errorf("it says that the schema was %d", s.SchemaBefore())
				}
				server, err := s.Server(t.Context())
				must(t, err)
				if server.Epoch != 42 || server.KeyCheck != "check" {
					t.Errorf("server %+v", server)
				}
				if version >= 2 {
					c := client2(t, s, "app")
					if c.Metadata.ClientName != "虎" || c.Epoch != 3 || c.CreatedAt != now {
						t.Errorf("client %+v", c)
					}
					secrets := map[int64]int{7: 1, 8: 2}[min(version, 8)]
					if len(c.Secrets) != secrets || secrets > 0 && (c.Secrets[secrets-1].Hash != "hash" || c.Secrets[secrets-1].Sealed != "") {
						t.Errorf("secrets %+v", c.Secrets)
					}
					c.Metadata.ClientName = "changed"
					must(t, s.UpdateClient(t.Context(), c, now, by))
				}
				if version >= 3 {
					if u, err := s.UserByName(t.Context(), "alice"); err != nil || u.ID != "subject" || u.Epoch != 4 {
						t.Errorf("user %+v, %v", u, err)
					}
				}
				if version >= 4 {
					g, err := s.NextGeneration(t.Context(), store.Refresh{GrantID: "grant", ClientID: "app", Generation: 5, Rotate: true, Idle: time.Hour, Now: now.Add(time.Minute)})
					if err != nil || g.Generation != 6 || g.Scope != "read" {
						t.Errorf("refresh %+v, %v", g, err)
					}
				}
			})
		})
	}
}

// Before a SQLite file is migrated a copy of what was there is kept aside, readable by
// its owner alone.
func TestMigrateCopiesAside(t *testing.T) {
	t.Parallel()
	for _, version := range olderSchemas(t) {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hufu.db")
			makeOlder(t, path, version)
			aside := fmt.Sprintf("%s.schema-%d", path, version)
			must(t, os.WriteFile(aside, []byte("of an attempt that was cut off"), 0o600))
			openAt(t, path)
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
			eachDatabase(t, func(t *testing.T, dsn string) {
				client(t, openDSN(t, dsn), "app")
				db := raw(t, dsn)
				newer := store.SchemaVersion() + 7
				execute(t, db, fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, TRUE)`, newer))
				execute(t, db, fmt.Sprintf(`UPDATE server SET oldest_schema = %d`, tt.oldest))
				execute(t, db, `CREATE TABLE of_tomorrow (id TEXT)`)
				s, err := store.Open(t.Context(), dsn, store.Options{})
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
		})
	}
}

// breakable are the beginnings of all statements of all migrations, and of those that
// stand around them.
func breakable(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	begin := regexp.MustCompile(`(?m)^(CREATE [A-Z ]+\w+|INSERT INTO \w+|ALTER TABLE \w+ ADD COLUMN \w+|UPDATE \w+ SET \w+ = \w+)`)
	statements := []string{"BEGIN", "COMMIT", "CREATE TABLE goose_db_version", "INSERT INTO goose_db_version"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		found := begin.FindAllString(string(text), -1)
		if ends := strings.Count(string(text), ";\n"); len(found) != ends {
			t.Fatalf("%s: %d statements, of which %d were found: %q", file, ends, len(found), found)
		}
		statements = append(statements, found...)
	}
	return statements
}

// postgresDefinitions are the columns, constraints and indexes of all tables, word for word,
// and what migrations have written.
const postgresDefinitions = `
	SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default, identity_generation) line
		FROM information_schema.columns WHERE table_schema = current_schema()
		UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
		UNION ALL SELECT to_jsonb(server)::text FROM server) definitions`

// A migration that is cut off at any statement, before the server has heard it or
// after, is finished by whoever opens the database next: it has all that one has which was
// migrated at once (OP-01).
func TestMigrateCutOff(t *testing.T) {
	t.Parallel()
	migrated := func(t *testing.T, dsn string) (all string) {
		wantMigrated(t, openDSN(t, dsn))
		must(t, raw(t, dsn).QueryRowContext(t.Context(), postgresDefinitions).Scan(&all))
		return all
	}
	whole := migrated(t, dbtest.DSN(t))
	for side, lose := range lostAnywhere {
		for _, statement := range breakable(t) {
			t.Run(side+", "+statement, func(t *testing.T) {
				t.Parallel()
				dsn := dbtest.DSN(t)
				proxy := dbtest.NewProxy(t, dsn)
				lost := lose(proxy, statement)
				if s, err := store.Open(t.Context(), proxy.DSN(dsn), store.Options{}); err == nil {
					t.Error("opened as if nothing had happened")
					must(t, s.Close())
				}
				happened(t, lost)
				if diff := cmp.Diff(whole, migrated(t, dsn)); diff != "" {
					t.Errorf("migrated at once, and cut off:\n%s", diff)
				}
			})
		}
	}
}
