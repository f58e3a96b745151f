package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// patience bounds every wait for a server. A start takes a fraction of a second; a
// machine under the race detector and other tests takes its time.
const patience = time.Minute

// Options say how a server is to be. The zero value is fast and forgets at a power
// cut, but not at kill -9 of its processes.
type Options struct {
	Durable  bool              // fsync, as an operator has it
	Dir      string            // where to keep the data, e.g. on a small tmpfs; default: the temporary directory
	Settings map[string]string // more of postgresql.conf
}

// A Server is a PostgreSQL server of the test's own, on a port of 127.0.0.1 that
// stays the same when it is stopped and started. Its methods may be called from any
// goroutine.
type Server struct {
	dir      string // data, log
	port     int
	password string
	options  Options

	mu      sync.Mutex
	process *process // nil: stopped

	superuser func() (*sql.DB, error) // connections that are kept
}

// Start starts a server that is stopped and removed when the test ends. If the test
// has failed by then, the end of the server's log is shown.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	s, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	s.closeAfter(t)
	return s
}

func (s *Server) closeAfter(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server on port %d:\n%s", s.port, logTail(s.dir))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Open is Start for a program that has no test, such as a benchmark. The caller
// closes the server.
func Open(options Options) (*Server, error) {
	s, err := newServer(options)
	if err != nil {
		return nil, err
	}
	if s.password, err = newCluster(s.dir); err == nil {
		err = s.begin()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// newServer makes the directory of a server, without data.
func newServer(options Options) (*Server, error) {
	parent := options.Dir
	if parent == "" {
		var err error
		if parent, err = enterHome(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(parent, "server-")
	if err != nil {
		return nil, fmt.Errorf("dbtest: %w", err)
	}
	if err := give(dir); err != nil {
		return nil, fmt.Errorf("dbtest: %w", err)
	}
	s := &Server{dir: dir, options: options}
	s.superuser = sync.OnceValues(func() (*sql.DB, error) {
		config, err := pgx.ParseConfig(s.AdminDSN("postgres"))
		if err != nil {
			return nil, err
		}
		return stdlib.OpenDB(*config), nil
	})
	return s, nil
}

// Close stops the server and removes its data.
func (s *Server) Close() error {
	if db, err := s.superuser(); err == nil {
		_ = db.Close()
	}
	if err := s.Stop(Immediate); err != nil {
		return err
	}
	if err := errors.Join(freeMemory(filepath.Join(s.dir, "data")), os.RemoveAll(s.dir)); err != nil {
		return fmt.Errorf("dbtest: clean up: %w", err)
	}
	return nil
}

// begin starts the server on a port that nobody has, for the first time.
func (s *Server) begin() (err error) {
	for range 10 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.Restart(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err // otherwise somebody took the port just now
		}
	}
	return err
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// DSN is the address of a database for the ordinary role; Database is there from the
// start, others by Create.
func (s *Server) DSN(database string) string { return s.address(role, database) }

// AdminDSN is the address of a database for the superuser.
func (s *Server) AdminDSN(database string) string { return s.address(superuser, database) }

func (s *Server) address(user, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, s.password), Host: s.Addr(),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Create makes an empty database on the server and returns its address. It is
// dropped when the test ends, if the server still runs.
func (s *Server) Create(t testing.TB) string {
	t.Helper()
	return s.create(t, "")
}

// create is Create with more to say of how the database is made.
func (s *Server) create(t testing.TB, how string) string {
	t.Helper()
	name := databaseName(t.Name())
	// To copy files takes half of the time that it takes to log them, when they are small.
	if err := s.exec("CREATE DATABASE " + name + " OWNER " + role + how + " STRATEGY file_copy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.running() {
			return
		}
		if err := s.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.DSN(name)
}

// databaseName makes a name that tells of the test and is nobody else's; the log of
// the server shows it. PostgreSQL keeps 63 bytes of a name.
func databaseName(test string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return "t_" + plain[:min(len(plain), 40)] + "_" + strings.ToLower(rand.Text()[:12])
}

// exec runs a statement as superuser.
func (s *Server) exec(statement string) error {
	return s.admin(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
}

// admin calls f with the connections of the superuser.
func (s *Server) admin(f func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := s.superuser()
	if err == nil {
		err = f(ctx, db)
	}
	if err != nil {
		return fmt.Errorf("dbtest: %w", err)
	}
	return nil
}

// Restart starts the server, after stopping it (Fast) if it runs, and returns when
// it answers.
func (s *Server) Restart() error {
	if err := s.Stop(Fast); err != nil {
		return err
	}
	p, err := launch("postgres", s.dir, syscall.SIGQUIT, append([]string{"-D", filepath.Join(s.dir, "data")}, s.settings()...)...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	if err := awaitAnswer(p, s.AdminDSN("postgres")); err != nil {
		err = fmt.Errorf("dbtest: PostgreSQL: %w\n%s", err, logTail(s.dir))
		return errors.Join(err, s.Stop(Kill))
	}
	return nil
}

// settings are the server's options on its command line, where neither a base
// backup nor ALTER SYSTEM changes them.
func (s *Server) settings() []string {
	values := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(s.port),
		"unix_socket_directories": "", "max_connections": "200",
		"wal_retrieve_retry_interval": "100ms", // a standby that lost its server tries again; 5 s by default
	}
	if !s.options.Durable {
		values["fsync"] = "off"
	}
	var args []string
	for _, more := range []map[string]string{values, s.options.Settings} {
		for name, value := range more {
			args = append(args, "-c", name+"="+value)
		}
	}
	return args
}

// awaitAnswer returns when the database answers at dsn, or p has ended instead.
func awaitAnswer(p *process, dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.done:
			return errors.New("it did not start")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
