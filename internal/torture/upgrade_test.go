package torture_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// migrations is where this release has its own.
const migrations = "../store/migrations"

// newest is the number of the last migration of this release.
func newest(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(migrations, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	var number int
	if _, err := fmt.Sscanf(filepath.Base(files[len(files)-1]), "%d_", &number); err != nil {
		t.Fatal(err)
	}
	return number
}

// nextRelease builds the release after this one: the same program with migrations
// that this one does not know, one file for each text.
func nextRelease(t *testing.T, texts ...string) string {
	t.Helper()
	folder := t.TempDir()
	inTree, err := filepath.Abs(migrations)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for i, text := range texts {
		name := fmt.Sprintf("%04d_next.sql", newest(t)+1+i)
		replace[filepath.Join(inTree, name)] = filepath.Join(folder, name)
		if err := os.WriteFile(filepath.Join(folder, name), []byte("-- +goose Up\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list, program := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "hufu")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-overlay", list, "-o", program, "github.com/hufu-auth/hufu/cmd/hufu")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, output)
	}
	return program
}

// schema is the version that a database has.
func schema(t *testing.T, dsn string) int {
	t.Helper()
	return dbtest.Count(t, dsn, `SELECT MAX(version_id) FROM goose_db_version`)
}

// One server after another is stopped and started as the next release, which changes
// the schema, and one goes back again. Clients notice nothing but a closed port, for
// which the balancer goes elsewhere: nobody is told to come back later, let alone that
// something failed (RE-02, OP-01).
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next, release := nextRelease(t, "ALTER TABLE oauth_grant ADD COLUMN of_tomorrow TEXT;\n"), newest(t)
	f, dsn := three(t)
	run := newRun(t, f, 4, seed(t))
	f.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { run.Work(ctx) })
	breaker := &torture.Breaker{Fleet: f, History: run.History}
	roll := func(r *torture.Replica, program string) {
		time.Sleep(time.Second) // of work with both releases
		must(t, breaker.Do(torture.Breakage{Name: "rolled", Replicas: []*torture.Replica{r}, Stops: true, Hurt: r.Terminate, Heal: func() error {
			r.Program = program
			return r.Launch()
		}}))
	}
	for _, r := range f.Replicas {
		roll(r, next)
	}
	roll(f.Replicas[1], program(t)) // which knows less than the schema
	time.Sleep(time.Second)
	stop()
	working.Wait()
	run.Finish(t.Context())
	judge(t, run)
	for _, o := range run.History.Operations {
		if o.Answer == torture.Away {
			t.Errorf("during the roll: 503 for %s of server %d at %v", o.Kind, o.Replica, o.Began)
		}
	}
	if got := schema(t, dsn); got != release+1 {
		t.Errorf("schema %d, want %d", got, release+1)
	}
	t.Logf("%d requests: %s", len(run.History.Operations), run.History.Sum())

	dbtest.Exec(t, dsn, fmt.Sprintf(`UPDATE server SET oldest_schema = %d`, release+1))
	f.Replicas[1].Kill()
	if err := f.Replicas[1].Launch(); err != nil {
		t.Fatal(err)
	}
	if err := f.Replicas[1].AwaitReady(); err == nil || !strings.Contains(err.Error(), "start a newer hufu") {
		t.Errorf("on a schema that is too new: %v", err)
	}
	if got := schema(t, dsn); got != release+1 {
		t.Errorf("schema %d afterwards", got)
	}
}

// A first start, and the start of a new release, that are killed at any moment leave
// nothing that the next start cannot finish, on either engine (OP-01).
func TestMigrationKilled(t *testing.T) {
	t.Parallel()
	next := nextRelease(t,
		"CREATE TABLE tomorrow (id TEXT NOT NULL PRIMARY KEY);\nCREATE TABLE after_tomorrow (id TEXT NOT NULL PRIMARY KEY);\nINSERT INTO tomorrow (id) VALUES ('a');\n",
		"INSERT INTO tomorrow (id) VALUES ('b');\nALTER TABLE oauth_grant ADD COLUMN of_tomorrow TEXT;\nCREATE INDEX tomorrow_idx ON oauth_grant (of_tomorrow);\n",
		"ALTER TABLE client ADD COLUMN of_tomorrow TEXT;\nINSERT INTO after_tomorrow (id) VALUES ('c');\n")
	for name, dsn := range map[string]func(testing.TB) string{"SQLite": func(testing.TB) string { return "" }, "PostgreSQL": dbtest.DSN} {
		t.Run(name, func(t *testing.T) {
			const enough = 12
			killed, rounds := 0, 0
			for ; rounds < 4 || killed < enough && rounds < 40; rounds++ {
				f := torture.New(t, torture.Options{Program: program(t), DSN: dsn(t), Plain: true})
				r := f.Replicas[0]
				for _, r.Program = range []string{program(t), next} {
					for range 4 {
						killed += killStart(t, r)
					}
					start(t, r)
					r.Kill()
				}
				r.Program = program(t) // knows less than the schema
				start(t, r)
				f.User(t, "alice")
				wantSchema(t, f, newest(t)+3)
			}
			if killed < enough {
				t.Errorf("%d starts were killed before they were done: too few to say anything", killed)
			}
			t.Logf("%d starts of %d were killed before they were done", killed, rounds*8)
		})
	}
}

// killStart kills a server while it starts, and counts 1 if it was not ready by then.
func killStart(t *testing.T, r *torture.Replica) (killed int) {
	t.Helper()
	if err := r.Launch(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	if status, _ := r.Get(t.Context(), "/readyz"); status == 0 {
		killed = 1
	}
	r.Kill()
	return killed
}

// wantSchema asks the program which schema its database has.
func wantSchema(t *testing.T, f *torture.Fleet, want int) {
	t.Helper()
	var said struct {
		Before int `json:"schema_before"`
	}
	if err := json.Unmarshal(f.Command(t, "", "migrate", "--json"), &said); err != nil || said.Before != want {
		t.Errorf("schema %d, %v, want %d", said.Before, err, want)
	}
}
