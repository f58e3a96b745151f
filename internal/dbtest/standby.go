package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Standby starts a server that follows this one by streaming replication, may be
// read from, and is closed when the test ends. With a synchronous one, commits on s
// wait until the standby has them, for as long as it takes; the newest synchronous
// standby of a server is the one that counts.
func (s *Server) Standby(t testing.TB, synchronous bool) *Server {
	t.Helper()
	standby, err := s.OpenStandby(synchronous)
	if err != nil {
		t.Fatal(err)
	}
	standby.closeAfter(t)
	return standby
}

// OpenStandby is Standby for a program that has no test. The caller closes the
// server.
func (s *Server) OpenStandby(synchronous bool) (*Server, error) {
	options := s.options
	options.Dir = ""
	standby, err := newServer(options)
	if err != nil {
		return nil, err
	}
	standby.password = s.password
	name := "standby_" + strings.ToLower(rand.Text()[:12])
	err = s.copyTo(standby, name)
	if err == nil {
		err = standby.begin()
	}
	if err == nil && synchronous {
		err = s.waitFor(name)
	}
	if err == nil {
		err = s.awaitStreaming(name, synchronous)
	}
	if err != nil {
		_ = standby.Close()
		return nil, err
	}
	return standby, nil
}

// copyTo fills a standby with a base backup that goes on as a stream under name.
func (s *Server) copyTo(standby *Server, name string) error {
	secret := filepath.Join(standby.dir, "pgpass")
	if err := os.WriteFile(secret, []byte("*:*:*:*:"+s.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("dbtest: base backup: %w", err)
	}
	source := fmt.Sprintf("host=127.0.0.1 port=%d user=%s passfile=%s application_name=%s", s.port, superuser, secret, name)
	data := filepath.Join(standby.dir, "data")
	err := errors.Join(give(secret),
		run("pg_basebackup", "", "--pgdata="+data, "--dbname="+source, "--write-recovery-conf",
			"--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-password"))
	if err != nil {
		return fmt.Errorf("dbtest: base backup: %w", err)
	}
	// Once promoted, it waits for no standby that the server before it had.
	settings, err := os.OpenFile(filepath.Join(data, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = settings.WriteString("synchronous_standby_names = ''\n")
		err = errors.Join(err, settings.Close())
	}
	if err != nil {
		return fmt.Errorf("dbtest: base backup: %w", err)
	}
	return nil
}

// waitFor makes commits wait for a standby.
func (s *Server) waitFor(standby string) error {
	if err := s.exec("ALTER SYSTEM SET synchronous_standby_names = '" + standby + "'"); err != nil {
		return err
	}
	return s.exec("SELECT pg_reload_conf()")
}

// awaitStreaming returns when a standby follows as it should.
func (s *Server) awaitStreaming(standby string, synchronous bool) error {
	return s.admin(func(ctx context.Context, db *sql.DB) (err error) {
		late := await(standby+" does not follow", func() (follows bool) {
			err = db.QueryRowContext(ctx, `
				SELECT EXISTS (SELECT 1 FROM pg_stat_replication
				WHERE application_name = $1 AND state = 'streaming' AND (sync_state = 'sync') = $2)`,
				standby, synchronous).Scan(&follows)
			return follows || err != nil
		})
		return errors.Join(err, late)
	})
}

// Promote makes a standby a server of its own and returns when it takes writes. What
// it followed is not touched: stop that first, or there are two.
func (s *Server) Promote() error {
	return s.admin(func(ctx context.Context, db *sql.DB) error {
		var promoted bool
		if err := db.QueryRowContext(ctx, "SELECT pg_promote()").Scan(&promoted); err != nil {
			return err
		}
		if !promoted {
			return errors.New("the standby is not promoted")
		}
		return nil
	})
}
