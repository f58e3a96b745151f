// Package oauthtest starts a whole server for tests, on a real SQLite file and a
// real loopback port, and plays browser and client against it. It serves what
// package server serves. Its one invariant: it reaches the server through HTTP
// alone, as a stranger would; only what an operator does goes through the parts.
package oauthtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// Password is the password of every user that User makes.
const Password = "correct horse battery"

// A Server is a running server and the hands of its operator.
type Server struct {
	*server.Server
	URL    string // issuer
	Origin string // issuer without its path
	Log    *Log
	Clock  *Clock
	Config *config.Config
	// Via carries the requests, for a server that is not reached at its issuer's
	// address; nil means that it is.
	Via http.RoundTripper
}

// A Clock runs with the real one, as far ahead or behind as a test sets it.
type Clock struct{ offset atomic.Int64 }

// Now is the time the server sees.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Advance lets time pass; a negative step sets the clock back.
func (c *Clock) Advance(step time.Duration) { c.offset.Add(int64(step)) }

// A Log keeps what the server logs.
type Log struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(b)
}

// String is everything logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// tail is the end of the log, so many bytes at most, from the start of a line.
func (l *Log) tail(size int) string {
	text := l.String()
	if len(text) <= size {
		return text
	}
	text = text[len(text)-size:]
	return text[strings.Index(text, "\n")+1:]
}

// Start runs a server until the test ends. Each edit changes its configuration
// first.
func Start(t testing.TB, edits ...func(*config.Config)) *Server {
	t.Helper()
	data := t.TempDir()
	prepare(t, data)
	return StartIn(t, data, edits...)
}

// StartHashing is Start for a test about the hashes of passwords, which take here what
// they take in a server that people use.
func StartHashing(t testing.TB, edits ...func(*config.Config)) *Server {
	t.Helper()
	return start(t, t.TempDir(), login.NewHasher(1, 1).Memory, edits)
}

// StartIn is Start on a data directory that may hold a database already.
func StartIn(t testing.TB, data string, edits ...func(*config.Config)) *Server {
	t.Helper()
	return start(t, data, hashMemory, edits)
}

func start(t testing.TB, data string, hashMemory uint32, edits []func(*config.Config)) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Listen, c.Issuer, c.Data, c.LogLevel = listener.Addr().String(), "http://"+listener.Addr().String(), data, "debug"
	c.Database = database(t, data)
	for _, edit := range edits {
		edit(c)
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: c.Issuer, Origin: "http://" + listener.Addr().String(), Log: &Log{}, Clock: &Clock{}, Config: c}
	if strings.HasPrefix(c.Issuer, "http://localhost:") {
		s.Origin = "http://localhost:" + s.Origin[strings.LastIndex(s.Origin, ":")+1:]
	}
	log := slog.New(slog.NewJSONHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.Server, err = server.New(context.Background(), c, server.Options{Log: log, Now: s.Clock.Now}); err != nil {
		t.Fatal(err)
	}
	s.Hasher.Memory = hashMemory
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.Log.tail(4<<10))
		}
	})
	return s
}

// EngineVariable names the database that servers of tests run on: "postgres", or
// empty for SQLite. `make test` runs the tests that go through HTTP with either.
const EngineVariable = "OAUTHTEST_ENGINE"

// OnPostgres reports whether servers of tests run on PostgreSQL.
func OnPostgres() bool { return os.Getenv(EngineVariable) == "postgres" }

// DataDir is a data directory for servers that come one after another: its database
// lasts until t ends.
func DataDir(t testing.TB) string {
	t.Helper()
	data := t.TempDir()
	database(t, data)
	return data
}

// OnFile makes a server run on SQLite, for a test that looks at the file.
func OnFile(c *config.Config) { c.Database = "sqlite:" + filepath.Join(c.Data, "hufu.db") }

// databases are those that stand in for the file of a data directory.
var databases sync.Map

// database is the address of the database of a data directory.
func database(t testing.TB, data string) string {
	t.Helper()
	if !OnPostgres() {
		return "sqlite:" + filepath.Join(data, "hufu.db")
	}
	if known, ok := databases.Load(data); ok {
		return known.(string)
	}
	dsn := dbtest.DSN(t)
	databases.Store(data, dsn)
	return dsn
}

// operator is who makes what tests need.
var operator = store.By{Actor: "test"}

// hashMemory is what a hash takes here, in KiB. What a server uses is slow on purpose:
// most of the tests would wait for nothing else. Those of package login use that.
const hashMemory = 64

// hashed is the hash of Password.
var hashed = sync.OnceValues(func() (string, error) {
	h := login.NewHasher(1, 1)
	h.Memory = hashMemory
	return h.Hash(context.Background(), Password)
})

// User makes a user with Password.
func (s *Server) User(t testing.TB, name string) *store.User {
	t.Helper()
	hash, err := hashed()
	if err != nil {
		t.Fatal(err)
	}
	key, err := login.CheckUsername(name)
	if err != nil {
		t.Fatal(err)
	}
	u := &store.User{ID: uuid.NewString(), Username: name, UsernameKey: key, Password: hash, CreatedAt: s.Clock.Now(), Epoch: 1}
	if err := s.Store.CreateUser(t.Context(), u, operator); err != nil {
		t.Fatal(err)
	}
	return u
}

// Register makes a client and returns its id and secret.
func (s *Server) Register(t testing.TB, id string, m oauth.ClientMetadata) (clientID, secret string) {
	t.Helper()
	c, secret, err := s.Clients.Register(t.Context(), id, m, "", operator)
	if err != nil {
		t.Fatal(err)
	}
	return c.ID, secret
}

// An Answer is what the server said.
type Answer struct {
	*http.Response
	Body []byte
}

// JSON returns a member of a JSON answer; nil when there is none.
func (a *Answer) JSON(member string) any {
	var members map[string]any
	if json.Unmarshal(a.Body, &members) != nil {
		return nil
	}
	return members[member]
}

// Text is a member of a JSON answer that is a string.
func (a *Answer) Text(member string) string {
	s, _ := a.JSON(member).(string)
	return s
}

// client makes a client that follows no redirect.
func (s *Server) client(jar http.CookieJar) *http.Client {
	return &http.Client{
		Transport: s.Via, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Do sends a request, without cookies, and reads the answer.
func (s *Server) Do(t testing.TB, r *http.Request) *Answer {
	t.Helper()
	return do(t, s.client(nil), r)
}

func do(t testing.TB, c *http.Client, r *http.Request) *Answer {
	t.Helper()
	response, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return &Answer{response, body}
}

// Request makes a request to an address below the issuer; a body makes it a form.
func (s *Server) Request(t testing.TB, method, path, body string) *http.Request {
	t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = s.URL + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// Post sends a form to an address below the issuer.
func (s *Server) Post(t testing.TB, path string, form url.Values) *Answer {
	t.Helper()
	r := s.Request(t, http.MethodPost, path, form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.Do(t, r)
}

// Get fetches an address below the issuer, or a whole URL.
func (s *Server) Get(t testing.TB, path string) *Answer {
	t.Helper()
	return s.Do(t, s.Request(t, http.MethodGet, path, ""))
}
