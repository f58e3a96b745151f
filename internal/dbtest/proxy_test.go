package dbtest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// proxied returns a proxy before a database that has an empty table, the database's
// address through it, and a connection beside it.
func proxied(t *testing.T) (p *dbtest.Proxy, dsn string, beside *pgx.Conn) {
	t.Helper()
	direct := dbtest.DSN(t)
	beside = connect(t, direct)
	execute(t, beside, "CREATE TABLE thing (n BIGINT)")
	p = dbtest.NewProxy(t, direct)
	return p, p.DSN(direct), beside
}

func TestProxyCarries(t *testing.T) {
	t.Parallel()
	_, dsn, beside := proxied(t)
	conn := connect(t, dsn)
	execute(t, conn, "INSERT INTO thing SELECT n FROM generate_series(1, 1000) g(n)")
	if got := ask[string](t, conn, "SELECT repeat('x', 1000000)"); len(got) != 1000000 {
		t.Errorf("%d bytes came through, want a million", len(got))
	}
	if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != 1000 {
		t.Errorf("%d rows, want 1000", got)
	}
}

// TLS is declined as the protocol has it, and the connection goes on.
func TestProxyDeclinesTLS(t *testing.T) {
	t.Parallel()
	p, dsn, _ := proxied(t)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		answer := make([]byte, 1)
		_, err = conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
		if err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		if err == nil && answer[0] != 'N' {
			err = errors.New("not declined")
		}
		return conn, err
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "SELECT 1")
	happened := p.LoseAnswer("") // it still knows where the messages are
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the answer was not lost")
	}
	<-happened
}

func TestProxyRefuseAndHeal(t *testing.T) {
	t.Parallel()
	p, dsn, _ := proxied(t)
	conn := connect(t, dsn)
	p.Refuse()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection lives on")
	}
	if _, err := pgx.Connect(t.Context(), dsn); err == nil {
		t.Error("a new connection is served")
	}
	p.Heal()
	execute(t, connect(t, dsn), "SELECT 1")
}

func TestProxyCut(t *testing.T) {
	t.Parallel()
	p, dsn, _ := proxied(t)
	conn := connect(t, dsn)
	p.Cut()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection lives on")
	}
	execute(t, connect(t, dsn), "SELECT 1")
}

func TestProxyHang(t *testing.T) {
	t.Parallel()
	p, dsn, beside := proxied(t)
	conn := connect(t, dsn)
	p.Hang()
	old, fresh := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "INSERT INTO thing VALUES (1)")
		old <- err
	}()
	go func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			err = conn.Close(context.Background())
		}
		fresh <- err
	}()
	select {
	case err := <-old:
		t.Fatalf("a statement is answered: %v", err)
	case err := <-fresh:
		t.Fatalf("a new connection is let in: %v", err)
	case <-time.After(aWhile):
	}
	if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != 0 {
		t.Errorf("%d rows, want none: the statement came through", got)
	}
	p.Heal()
	if err := errors.Join(<-old, <-fresh); err != nil {
		t.Errorf("after Heal: %v", err)
	}
	if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

// A proxy that hangs does not tell that the server behind it is dead.
func TestProxyHangBeforeNothing(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, "127.0.0.1:1") // where nobody listens
	p.Hang()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(aWhile)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want silence", err)
	}
}

func TestProxyDelay(t *testing.T) {
	t.Parallel()
	p, dsn, _ := proxied(t)
	conn := connect(t, dsn)
	const delay = 30 * time.Millisecond
	p.Delay(delay)
	begun := time.Now()
	execute(t, conn, "SELECT 1")
	if took := time.Since(begun); took < 2*delay {
		t.Errorf("a statement took %v, want at least %v there and back", took, 2*delay)
	}
	// Who waits does not wait on for a delay that is no more.
	p.Delay(time.Hour)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT 1")
		done <- err
	}()
	p.Heal()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The two ways to lose a statement look the same from here; the database knows.
func TestProxyLose(t *testing.T) {
	t.Parallel()
	const insert = "INSERT INTO\n\tthing VALUES ($1)"
	plain := func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, insert, 7)
		return err
	}
	transaction := func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insert, 7); err != nil {
			return err
		}
		return tx.Commit(ctx)
	}
	for name, tt := range map[string]struct {
		mode  string // how pgx sends statements
		match string
		again bool // the connection has run it before
		run   func(context.Context, *pgx.Conn) error
	}{
		"prepared now":         {"cache_statement", "insert into thing", false, plain},
		"prepared before":      {"cache_statement", "insert into thing", true, plain},
		"prepared, any":        {"cache_statement", "", true, plain},
		"described":            {"cache_describe", "INSERT INTO thing", false, plain},
		"in one message group": {"exec", "INSERT INTO thing", false, plain},
		"simple protocol":      {"simple_protocol", "INSERT INTO thing", false, plain},
		"commit":               {"cache_statement", "COMMIT", true, transaction},
		"commit of exec":       {"exec", "COMMIT", false, transaction},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, dsn, beside := proxied(t)
			dsn += "&default_query_exec_mode=" + tt.mode
			for _, lose := range []struct {
				set  func(string) <-chan struct{}
				rows int
			}{{p.LoseAnswer, 1}, {p.LoseStatement, 0}} {
				execute(t, beside, "TRUNCATE thing")
				conn := connect(t, dsn)
				if tt.again {
					if err := tt.run(t.Context(), conn); err != nil {
						t.Fatal(err)
					}
					execute(t, beside, "TRUNCATE thing")
				}
				happened := lose.set(tt.match)
				if err := tt.run(t.Context(), conn); err == nil {
					t.Error("the statement was answered")
				}
				<-happened
				if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != lose.rows {
					t.Errorf("%d rows, want %d", got, lose.rows)
				}
				execute(t, connect(t, dsn), "INSERT INTO thing VALUES (1)") // once and no more
			}
		})
	}
}

// The answer is lost when it is complete, not when it begins: by then the statement
// is committed.
func TestProxyLoseLongAnswer(t *testing.T) {
	t.Parallel()
	p, dsn, beside := proxied(t)
	for _, mode := range []string{"exec", "simple_protocol"} {
		conn := connect(t, dsn+"&default_query_exec_mode="+mode)
		execute(t, beside, "TRUNCATE thing")
		happened := p.LoseAnswer("INSERT")
		if _, err := conn.Exec(t.Context(), `INSERT INTO thing SELECT n FROM generate_series(1, $1) g(n)
			RETURNING repeat('x', 1000), pg_sleep(CASE n WHEN 2900 THEN 0.1 ELSE 0 END)`, 3000); err == nil {
			t.Error("the answer was not lost")
		}
		<-happened
		if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != 3000 {
			t.Errorf("%s: %d rows, want 3000", mode, got)
		}
	}
}

func TestProxyLoseNothingElse(t *testing.T) {
	t.Parallel()
	p, dsn, _ := proxied(t)
	conn := connect(t, dsn)
	happened := p.LoseAnswer("DELETE FROM thing")
	execute(t, conn, "INSERT INTO thing VALUES ($1)", 1)
	select {
	case <-happened:
		t.Error("another statement was lost")
	default:
	}
	p.Heal()
	execute(t, conn, "DELETE FROM thing WHERE n = $1", 1)
}

// What is lost is named in whole words: what begins a transaction that is "read
// committed" is no commit.
func TestProxyLoseWords(t *testing.T) {
	t.Parallel()
	p, dsn, beside := proxied(t)
	for _, match := range []string{"commit", "nto thing (n)", "(n)"} {
		happened := p.LoseAnswer(match)
		conn := connect(t, dsn)
		tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			t.Fatalf("%s: %v", match, err)
		}
		_, err = tx.Exec(t.Context(), "INSERT INTO thing (n) VALUES (1)")
		if (err != nil) != (match == "(n)") {
			t.Fatalf("%s: insert: %v", match, err)
		}
		if err := tx.Commit(t.Context()); (err == nil) != (match == "nto thing (n)") {
			t.Errorf("%s: commit: %v", match, err)
		}
		if match != "nto thing (n)" {
			<-happened
		}
		p.Heal()
	}
	if got := ask[int](t, beside, "SELECT count(*) FROM thing"); got != 2 {
		t.Errorf("%d rows, want 2", got)
	}
}

func TestProxyRetarget(t *testing.T) {
	t.Parallel()
	primary := dbtest.Start(t, dbtest.Options{})
	standby := primary.Standby(t, true)
	p := dbtest.NewProxy(t, primary.Addr())
	dsn := p.DSN(primary.DSN(dbtest.Database))
	conn := connect(t, dsn)
	execute(t, conn, "CREATE TABLE thing (n BIGINT)")
	if err := errors.Join(primary.Stop(dbtest.Kill), standby.Promote()); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(t.Context(), dsn); err == nil {
		t.Error("a server that is dead lets in")
	}
	p.Retarget(standby.Addr())
	conn = connect(t, dsn)
	execute(t, conn, "INSERT INTO thing VALUES (1)")
	p.Retarget(primary.Addr())
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection stays where the address has left")
	}
}
