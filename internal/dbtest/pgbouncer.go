package dbtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Bouncer starts a pgbouncer in transaction mode in front of the server that dsn
// names (or of a proxy before it) and returns the same database's address through
// it. One transaction may be served by another connection than the last, so nothing
// that belongs to a connection lasts: the address asks pgx not to keep prepared
// statements, default_query_exec_mode=exec. The pgbouncer ends with the test.
func Bouncer(t testing.TB, dsn string) string {
	t.Helper()
	address, end, err := openBouncer(parseDSN(dsn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return address.String()
}

// Pooled is the address of a database of the shared server, as DSN or Copy made it,
// through a pgbouncer that is begun with the first and that all tests of this process
// share.
func Pooled(t testing.TB, dsn string) string {
	t.Helper()
	through, err := sharedBouncer(dsn)
	if err != nil {
		t.Fatal(err)
	}
	through.Path = parseDSN(dsn).Path
	return through.String()
}

// sharedBouncer begins the shared pgbouncer once, in front of the shared server.
func sharedBouncer(dsn string) (through url.URL, err error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.bouncer == nil && shared.err == nil {
		shared.bouncer, shared.endBouncer, shared.err = openBouncer(parseDSN(dsn))
	}
	if shared.err != nil {
		return through, shared.err
	}
	return *shared.bouncer, nil
}

// openBouncer starts a pgbouncer and returns where it leads to the database that direct
// names, and how it is ended.
func openBouncer(direct *url.URL) (through *url.URL, end func() error, err error) {
	for range 10 {
		if through, end, err = bounce(direct); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			break // otherwise somebody took the port just now
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("dbtest: pgbouncer: %w", err)
	}
	return through, end, nil
}

func bounce(direct *url.URL) (through *url.URL, end func() error, err error) {
	dir, err := bouncerDir()
	if err != nil {
		return nil, nil, err
	}
	clean := func() error { return os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			err = errors.Join(err, clean())
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	if err := writeBouncer(dir, *direct, port); err != nil {
		return nil, nil, err
	}
	p, err := launch("pgbouncer", dir, syscall.SIGKILL, filepath.Join(dir, "pgbouncer.ini"))
	if err != nil {
		return nil, nil, err
	}
	clean = func() error {
		if !p.ended() {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		return os.RemoveAll(dir)
	}
	address := *direct
	address.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	query := address.Query()
	query.Set("default_query_exec_mode", "exec")
	address.RawQuery = query.Encode()
	if err := awaitAnswer(p, address.String()); err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, logTail(dir))
	}
	return &address, clean, nil
}

// bouncerDir makes a directory for a pgbouncer.
func bouncerDir() (string, error) {
	home, err := enterHome()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(home, "pgbouncer-")
	if err != nil {
		return "", err
	}
	return dir, give(dir)
}

// writeBouncer writes what a pgbouncer in front of server reads.
func writeBouncer(dir string, server url.URL, port int) error {
	password, _ := server.User.Password()
	settings, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = md5
auth_file = %s
pool_mode = transaction
max_client_conn = 500
; seconds; by default it tries again 15 s after the server did not let it in
server_login_retry = 1
`, server.Hostname(), server.Port(), port, users)
	return errors.Join(
		os.WriteFile(settings, []byte(text), 0o600), give(settings),
		os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", server.User.Username(), password), 0o600), give(users))
}
