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
	address := parseDSN(dsn)
	var err error
	for range 10 {
		if err = bounce(t, address); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			break // otherwise somebody took the port just now
		}
	}
	if err != nil {
		t.Fatalf("dbtest: pgbouncer: %v", err)
	}
	return address.String()
}

// bounce starts a pgbouncer and makes address lead there.
func bounce(t testing.TB, address *url.URL) error {
	dir, err := bouncerDir(t)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	if err := writeBouncer(dir, *address, port); err != nil {
		return err
	}
	p, err := launch("pgbouncer", dir, syscall.SIGKILL, filepath.Join(dir, "pgbouncer.ini"))
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if !p.ended() {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	})
	through := *address
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	query := through.Query()
	query.Set("default_query_exec_mode", "exec")
	through.RawQuery = query.Encode()
	if err := awaitAnswer(p, through.String()); err != nil {
		return fmt.Errorf("%w\n%s", err, logTail(dir))
	}
	*address = through
	return nil
}

// bouncerDir makes a directory for a pgbouncer, which goes with the test.
func bouncerDir(t testing.TB) (string, error) {
	home, err := enterHome()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(home, "pgbouncer-")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
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
auth_type = scram-sha-256
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
