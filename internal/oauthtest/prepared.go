package oauthtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/server"
)

// A prepared is a data directory as a server leaves it that has started once: with the
// tables, and with keys, which take longer to make than most tests take.
type prepared struct {
	once     sync.Once
	err      error
	key      []byte // the master key, as it stands in its file
	file     []byte // the database; none on PostgreSQL
	template dbtest.Template
}

// preparations are those of this process, and started counts the servers that each test
// has begun: those of one test have different keys.
var preparations struct {
	sync.Mutex
	made    []*prepared
	started map[string]int
}

// next returns the prepared directory that the next server of a test begins with.
func next(t testing.TB) *prepared {
	p := &preparations
	p.Lock()
	defer p.Unlock()
	if p.started == nil {
		p.started = map[string]int{}
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	n := p.started[test]
	p.started[test]++
	if n == len(p.made) {
		p.made = append(p.made, &prepared{})
	}
	return p.made[n]
}

// prepare fills an empty data directory.
func prepare(t testing.TB, data string) {
	t.Helper()
	p := next(t)
	if OnPostgres() {
		databases.Store(data, p.template.Copy(t, p.make))
	} else if p.once.Do(func() { p.err = p.make("") }); p.err != nil {
		t.Fatal(p.err)
	}
	err := os.WriteFile(filepath.Join(data, "master.key"), p.key, 0o600)
	if err == nil && p.file != nil {
		err = os.WriteFile(filepath.Join(data, "hufu.db"), p.file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// make starts a server in a new data directory, without serving, and reads what it has
// left there. An empty dsn is the file of that directory.
func (p *prepared) make(dsn string) (err error) {
	folder, err := os.MkdirTemp("", "hufu-prepared-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "hufu.db")
	c := config.Default()
	c.Data, c.Database = folder, dsn
	if dsn == "" {
		c.Database = "sqlite:" + file
	}
	if err := c.Finish(); err != nil {
		return err
	}
	s, err := server.OpenParts(context.Background(), c, time.Now)
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		p.key, err = os.ReadFile(server.MasterKeyPath(c))
	}
	if err == nil && dsn == "" {
		p.file, err = os.ReadFile(file)
	}
	return err
}
