// Package dbtest gives tests real PostgreSQL servers and ways to break them: an
// empty database in milliseconds (DSN), servers of one's own that can be stopped,
// killed, paused and promoted (Start), Debian's pgbouncer in front of them
// (Bouncer), and a TCP proxy that loses what it should carry (NewProxy).
//
// It runs on Linux. Its invariant: nothing it starts outlives the test process,
// however that ends.
// docs/decisions/0010 says why it is built this way.
package dbtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
)

// shared is the server of this test process that DSN makes databases on, and the
// pgbouncer before it.
var shared struct {
	sync.Mutex
	server     *Server
	bouncer    *url.URL
	endBouncer func() error
	err        error
}

// DSN makes an empty database of the test's own and returns its address,
// postgres://…, for the ordinary role that owns it. All databases of a test process
// are on one server, which is begun with the first and does not wait for the disk.
// The database is dropped when the test ends, whoever is still connected.
func DSN(t testing.TB) string {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	return s.Create(t)
}

// A Template is a database that others are copies of.
type Template struct {
	name string
	once sync.Once
	err  error
}

// Copy is DSN for a database that holds what fill has put into the template, which
// is filled with the first copy. fill leaves no connection to it open.
func (p *Template) Copy(t testing.TB, fill func(dsn string) error) string {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	p.once.Do(func() {
		p.name = databaseName("template")
		if p.err = s.exec("CREATE DATABASE " + p.name + " OWNER " + role); p.err == nil {
			p.err = fill(s.DSN(p.name))
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return s.create(t, " TEMPLATE "+p.name)
}

// sharedServer begins the shared server once; a second try would fail as the first.
func sharedServer() (*Server, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Open(Options{})
	}
	return shared.server, shared.err
}

// Run runs the tests and then takes away what the package began for all of them. A
// package that uses DSN has
//
//	func TestMain(m *testing.M) { os.Exit(dbtest.Run(m)) }
//
// One that has not leaves a directory behind, which the next test process removes;
// the server ends with the process in any case.
func Run(m *testing.M) int {
	code := m.Run()
	if err := cleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// cleanUp stops the shared server and removes the directory of this process.
func cleanUp() error {
	shared.Lock()
	defer shared.Unlock()
	var err error
	if shared.bouncer != nil {
		err = shared.endBouncer()
	}
	if shared.server != nil {
		err = errors.Join(err, shared.server.Close())
	}
	if err != nil {
		return err
	}
	shared.server, shared.bouncer, shared.err = nil, nil, errClosed
	return leaveHome()
}
