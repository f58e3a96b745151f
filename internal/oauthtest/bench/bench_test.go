package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// TestMain removes what the servers of the tests have left.
func TestMain(m *testing.M) { os.Exit(dbtest.Run(m)) }

// TestHistogram: no bucket is wider than a sixty-fourth of what it counts.
func TestHistogram(t *testing.T) {
	var h, half histogram
	for i := range 1_000_000 {
		half.add(time.Duration(i) * time.Microsecond)
	}
	h.merge(&half)
	h.merge(&half)
	if h.count != 2_000_000 {
		t.Errorf("count = %d, want 2000000", h.count)
	}
	for share, want := range map[float64]float64{0: 0, 0.5: 500, 0.99: 990, 0.001: 1} {
		if got := h.quantile(share); got < want*63/64 || got > want*65/64+0.001 {
			t.Errorf("quantile(%g) = %g ms, want %g within a sixty-fourth", share, got, want)
		}
	}
}

// TestRoundTrip reads every shape of answer over one connection that is kept.
func TestRoundTrip(t *testing.T) {
	long := strings.Repeat("a long text ", 4000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			w.Header().Set("Location", callback+"?code=x")
			w.WriteHeader(http.StatusSeeOther)
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		case "/chunks":
			for part := range strings.SplitAfterSeq(long, " ") {
				_, _ = io.WriteString(w, part)
			}
		}
	}))
	defer server.Close()
	c, err := dial(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range []struct {
		request                []byte
		status, location, body string
	}{
		{get("/redirect", ""), "303", callback + "?code=x", ""},
		{post(nil, "/echo", "", "a=b&", "c=d"), "200", "", "a=b&c=d"},
		{get("/chunks", ""), "200", "", ""},
		{post(nil, "/echo", "", "again"), "200", "", "again"},
	} {
		a, err := c.roundTrip(tt.request)
		if err != nil {
			t.Fatalf("%.40s: %v", tt.request, err)
		}
		if string(a.location) != tt.location || a.status != tt.status || tt.body != "" && string(a.body) != tt.body {
			t.Errorf("%.40s: status %s, location %s, body %.80s", tt.request, a.status, a.location, a.body)
		}
		if tt.status == "200" && tt.body == "" && len(a.body) < len(long) {
			t.Errorf("%.40s: %d bytes, want %d and the marks of chunks", tt.request, len(a.body), len(long))
		}
	}
}

// TestRoundTripBroken: what is no whole answer is an error, at once.
func TestRoundTripBroken(t *testing.T) {
	for name, text := range map[string]string{
		"not HTTP":  "no\r\n\r\n",
		"no length": "HTTP/1.1 200 OK\r\n\r\n",
		"cut short": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
		"nothing":   "",
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				_, _ = far.Read(make([]byte, 1024))
				_, _ = io.WriteString(far, text)
				far.Close()
			}()
			c := &conn{near, make([]byte, 16)}
			if a, err := c.roundTrip(get("/", "")); err == nil {
				t.Errorf("took %q for an answer", a.body)
			}
		})
	}
}

// TestDrive: what is not answered as it should be is counted and told, and neither
// that nor a connection that breaks stops the rest.
func TestDrive(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) % 4 {
		case 0:
			http.Error(w, "never", http.StatusInternalServerError)
		case 1:
			panic(http.ErrAbortHandler) // closes the connection
		case 2:
			_, _ = io.WriteString(w, "wrong")
		default:
			_, _ = io.WriteString(w, "right")
		}
	}))
	defer server.Close()
	f, err := newFleet(t.Context(), &target{address: server.Listener.Addr().String(), pid: os.Getpid()}, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	s, err := f.drive(t.Context(), document("text", "/", "right"), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.requests - int(asked.Load())/4; s.requests != int(asked.Load()) || s.errors < want-1 || s.errors > want+1 || s.failure == "" {
		t.Errorf("%d requests with %d errors (%s), want %d with %d", s.requests, s.errors, s.failure, asked.Load(), want)
	}
	r := &report{}
	r.count("text", s)
	if err := r.failed(); err == nil || !strings.Contains(err.Error(), s.failure) {
		t.Errorf("failed() = %v, want the first failure in it", err)
	}
}

// TestSeed: a row that was made in bulk is between the client and the user that the
// bench takes it for, and can be refreshed.
func TestSeed(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testSeed(t, nil) })
	t.Run("postgres", func(t *testing.T) { testSeed(t, dbtest.Start(t, dbtest.Options{})) })
}

func testSeed(t *testing.T, cluster *dbtest.Server) {
	b := &bench{options: options{Clients: 20}, folder: t.TempDir()}
	db, err := b.seed(t.Context(), "seed", cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.fill(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if err := db.jwt.make(t.Context(), 1000); err != nil { // more of them
		t.Fatal(err)
	}
	if err := db.makeExpired(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*group{db.jwt, db.rsa} {
		for i := range g.generations {
			row, err := db.Store.Grant(context.Background(), g.id(i))
			if err != nil {
				t.Fatalf("grant %d: %v", i, err)
			}
			if row.ClientID != g.clientOf(i).ID || row.UserID != g.userOf(i) || row.RedeemedAt.IsZero() || !row.ExpiresAt.After(time.Now()) {
				t.Fatalf("grant %d is between %s and %s until %v, want %s and %s", i, row.ClientID, row.UserID, row.ExpiresAt, g.clientOf(i).ID, g.userOf(i))
			}
		}
	}
	if n, err := db.expired(t.Context()); err != nil || n != 1000+len(db.visitors) {
		t.Errorf("%d expired grants (%v), want 1000 and one for each of %d visitors", n, err, len(db.visitors))
	}
}
