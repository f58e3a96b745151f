package dbtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// childVariable makes a test process the child of TestNothingOutlivesTheProcess.
const childVariable = "HUFU_DBTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
	}
	os.Exit(dbtest.Run(m))
}

// A while is long enough that a database that can answer has; passing does not
// depend on it.
const aWhile = 200 * time.Millisecond

// connect opens a connection that is closed with the test.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it may be one that hangs
	})
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the one value that a query answers.
func ask[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var answer T
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// state is the SQLSTATE of an error of the server, or what else it says.
func state(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code
	}
	return fmt.Sprint(err)
}

func TestDSN(t *testing.T) {
	t.Parallel()
	one, other := connect(t, dbtest.DSN(t)), connect(t, dbtest.DSN(t))
	execute(t, one, "CREATE TABLE thing (n BIGINT)")
	if _, err := other.Exec(t.Context(), "SELECT n FROM thing"); state(err) != "42P01" {
		t.Errorf("a table of one database in the other: %v, want undefined", err)
	}
	if ask[bool](t, one, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") {
		t.Error("the role may do anything, want an ordinary one")
	}
	if got := ask[string](t, one, "SHOW fsync"); got != "off" {
		t.Errorf("fsync %s, want off", got)
	}
	// SQLite says B, a: what depends on the order must not depend on the engine.
	if got := ask[string](t, one, "SELECT string_agg(x, ' ' ORDER BY x) FROM (VALUES ('B'), ('a')) v(x)"); got != "a B" {
		t.Errorf("order %q, want that of a language", got)
	}
}

// A database goes with its test, connected or not.
func TestDSNIsDropped(t *testing.T) {
	t.Parallel()
	var dsn string
	t.Run("a test", func(t *testing.T) {
		dsn = dbtest.DSN(t)
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, conn, "SELECT 1") // and leaves it open
	})
	if _, err := pgx.Connect(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "3D000") {
		t.Errorf("connecting to the database of a test that is over: %v, want that there is none", err)
	}
}

func TestProgramMissing(t *testing.T) {
	if _, err := dbtest.Program("no-such-server"); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("got %v, want what to do", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hufu-dbtest-options-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := dbtest.Start(t, dbtest.Options{Durable: true, Dir: dir, Settings: map[string]string{"work_mem": "3MB"}})
	conn := connect(t, s.AdminDSN(dbtest.Database))
	if got := ask[string](t, conn, "SHOW fsync"); got != "on" {
		t.Errorf("fsync %s, want on", got)
	}
	if got := ask[string](t, conn, "SHOW work_mem"); got != "3MB" {
		t.Errorf("work_mem %s, want what was set", got)
	}
	if got := ask[string](t, conn, "SHOW data_directory"); !strings.HasPrefix(got, dir) {
		t.Errorf("data in %s, want below %s", got, dir)
	}
}

func TestStopAndRestart(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{})
	execute(t, connect(t, s.DSN(dbtest.Database)), "CREATE TABLE thing (n BIGINT)")
	for i, mode := range []dbtest.StopMode{dbtest.Fast, dbtest.Immediate, dbtest.Kill} {
		conn := connect(t, s.DSN(dbtest.Database))
		execute(t, conn, "INSERT INTO thing VALUES ($1)", i)
		if err := s.Stop(mode); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
			t.Errorf("mode %d: a server that is stopped answers", mode)
		}
		if _, err := pgx.Connect(t.Context(), s.DSN(dbtest.Database)); err == nil || s.PID() != 0 {
			t.Errorf("mode %d: a server that is stopped lets in, process %d", mode, s.PID())
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		conn = connect(t, s.DSN(dbtest.Database))
		if got := ask[int](t, conn, "SELECT count(*) FROM thing"); got != i+1 {
			t.Errorf("mode %d: %d rows after the restart, want %d", mode, got, i+1)
		}
	}
}

// A server that is killed and not started again leaves no shared memory behind, of
// which a machine has a few thousand pieces.
func TestKillLeavesNoMemory(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{})
	dir := ask[string](t, connect(t, s.AdminDSN(dbtest.Database)), "SHOW data_directory")
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	key, id, _ := strings.Cut(strings.TrimSpace(strings.Split(string(text), "\n")[6]), " ")
	segment := regexp.MustCompile(`(?m)^\s*` + key + `\s+` + strings.TrimSpace(id) + `\s`)
	there := func() bool {
		text, err := os.ReadFile("/proc/sysvipc/shm")
		if err != nil {
			t.Fatal(err)
		}
		return segment.Match(text)
	}
	if !there() {
		t.Error("a server that runs has no shared memory")
	}
	if err := errors.Join(s.Stop(dbtest.Kill), s.Close()); err != nil {
		t.Fatal(err)
	}
	if there() {
		t.Error("shared memory of a server that was killed and closed is left")
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{})
	conn := connect(t, s.DSN(dbtest.Database))
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	old, fresh := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT 1")
		old <- err
	}()
	go func() {
		conn, err := pgx.Connect(context.Background(), s.DSN(dbtest.Database))
		if err == nil {
			err = conn.Close(context.Background())
		}
		fresh <- err
	}()
	select {
	case err := <-old:
		t.Fatalf("a paused server answers: %v", err)
	case err := <-fresh:
		t.Fatalf("a paused server lets in: %v", err)
	case <-time.After(aWhile):
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-old, <-fresh); err != nil {
		t.Errorf("after Resume: %v", err)
	}
	// A paused server can be stopped all the same, and is not paused afterwards.
	for _, mode := range []dbtest.StopMode{dbtest.Fast, dbtest.Kill} {
		if err := errors.Join(s.Pause(), s.Stop(mode), s.Restart()); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, connect(t, s.DSN(dbtest.Database)), "SELECT 1")
}

// CPU time counts connections that are open and those that have ended.
func TestCPU(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{})
	used := func() time.Duration {
		d, err := s.CPU()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	conn, before := connect(t, s.DSN(dbtest.Database)), used()
	for used() < before+100*time.Millisecond {
		execute(t, conn, "SELECT count(*) FROM generate_series(1, 100000)")
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, s.AdminDSN(dbtest.Database))
	for ask[int](t, conn, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hufu'") > 0 {
		time.Sleep(time.Millisecond)
	}
	if got := used(); got < before+50*time.Millisecond { // each figure is rounded
		t.Errorf("%v used when the connection has ended, %v before it worked", got, before)
	}
}

func TestStandbySynchronous(t *testing.T) {
	t.Parallel()
	primary := dbtest.Start(t, dbtest.Options{})
	standby := primary.Standby(t, true)
	conn := connect(t, primary.DSN(dbtest.Database))
	execute(t, conn, "CREATE TABLE thing (n BIGINT)")

	// No commit without it.
	if err := standby.Stop(dbtest.Kill); err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "INSERT INTO thing VALUES (1)")
		committed <- err
	}()
	select {
	case err := <-committed:
		t.Fatalf("a commit that the standby does not have: %v", err)
	case <-time.After(aWhile):
	}
	if err := errors.Join(standby.Restart(), <-committed); err != nil {
		t.Fatal(err)
	}

	// The newest counts, and has what was committed when the primary dies.
	second := primary.Standby(t, true)
	execute(t, conn, "INSERT INTO thing VALUES (2)")
	if err := errors.Join(standby.Close(), primary.Stop(dbtest.Kill), second.Promote()); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, second.DSN(dbtest.Database))
	if got := ask[int](t, conn, "SELECT sum(n) FROM thing"); got != 3 {
		t.Errorf("the sum on the promoted standby is %d, want 3", got)
	}
	execute(t, conn, "INSERT INTO thing VALUES (4)") // waits for nobody

	// It can be followed in turn.
	third := second.Standby(t, true)
	execute(t, conn, "INSERT INTO thing VALUES (8)")
	if err := errors.Join(second.Stop(dbtest.Kill), third.Promote()); err != nil {
		t.Fatal(err)
	}
	if got := ask[int](t, connect(t, third.DSN(dbtest.Database)), "SELECT sum(n) FROM thing"); got != 15 {
		t.Errorf("the sum on the second promoted standby is %d, want 15", got)
	}
}

func TestStandbyAsynchronous(t *testing.T) {
	t.Parallel()
	primary := dbtest.Start(t, dbtest.Options{})
	conn := connect(t, primary.DSN(dbtest.Database))
	execute(t, conn, "CREATE TABLE thing (n BIGINT)")
	standby := primary.Standby(t, false)
	replica := connect(t, standby.DSN(dbtest.Database))
	if _, err := replica.Exec(t.Context(), "INSERT INTO thing VALUES (1)"); state(err) != "25006" {
		t.Errorf("a write on a standby: %v, want refused", err)
	}
	if err := standby.Stop(dbtest.Fast); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "INSERT INTO thing VALUES (1)") // waits for nobody
	if err := standby.Restart(); err != nil {
		t.Fatal(err)
	}
	replica = connect(t, standby.DSN(dbtest.Database))
	for ask[int](t, replica, "SELECT count(*) FROM thing") == 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestBouncer(t *testing.T) {
	t.Parallel()
	through := dbtest.Bouncer(t, dbtest.DSN(t))
	one, other := connect(t, through), connect(t, through)
	execute(t, one, "CREATE TABLE thing (n BIGINT)")
	execute(t, other, "INSERT INTO thing VALUES ($1)", 1)
	// In transaction mode two clients that take turns share a connection.
	first, second := ask[int](t, one, "SELECT pg_backend_pid()"), ask[int](t, other, "SELECT pg_backend_pid()")
	if first != second {
		t.Errorf("connections %d and %d, want one for both", first, second)
	}
	tx, err := one.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO thing VALUES ($1)", 2); err != nil {
		t.Fatal(err)
	}
	if got := ask[int](t, other, "SELECT sum(n) FROM thing"); got != 1 {
		t.Errorf("beside an open transaction the sum is %d, want 1", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// child starts two servers, pauses one of them, tells their process ids and waits to
// be killed.
func child() {
	paused, err := dbtest.Open(dbtest.Options{})
	if err == nil {
		err = paused.Pause()
	}
	running, err2 := dbtest.Open(dbtest.Options{})
	if err := errors.Join(err, err2); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(paused.PID(), running.PID())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := errors.Join(paused.Close(), running.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(0)
}

// Killed, a test process leaves no server behind, paused or not, and the next one
// removes its files.
func TestNothingOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	victim, servers := startChild(t)
	var dirs []string
	for _, pid := range servers {
		dir, err := os.Readlink(filepath.Join("/proc", pid, "cwd"))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range servers {
		for alive(pid) {
			time.Sleep(time.Millisecond)
		}
	}
	startChild(t)
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// startChild starts a test process that runs child, and returns it with the process
// ids of its servers.
func startChild(t *testing.T) (process *os.Process, servers []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe() // closed when we end, which ends it
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = cmd.Wait() // killed, perhaps
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	servers = strings.Fields(line)
	if err != nil || len(servers) != 2 {
		t.Fatalf("the child says %q: %v", line, err)
	}
	return cmd.Process, servers
}

// alive reports whether a process runs; one that has ended has no words, even
// before its parent has noticed.
func alive(pid string) bool {
	words, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	return err == nil && len(words) > 0
}
