package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/server"
)

// open opens a server with metrics at an address.
func open(t *testing.T, metrics string) (*server.Server, error) {
	t.Helper()
	c := config.Default()
	c.Data, c.MetricsListen = t.TempDir(), metrics
	c.Database = "sqlite:" + filepath.Join(c.Data, "hufu.db")
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return server.New(t.Context(), c, server.Options{Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Now: time.Now, Version: "v1.2.3"})
}

// A server that cannot serve its metrics does not start, and says which key is to
// blame.
func TestMetricsListen_Taken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := open(t, l.Addr().String())
	if err == nil {
		t.Fatalf("started beside another listener: %v", s.Close())
	}
	if !strings.Contains(err.Error(), "metrics_listen") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error = %v", err)
	}
}

// Metrics are served from the start until the server closes, also while it finishes
// what it has accepted, and then no more.
func TestMetricsListen_Lifetime(t *testing.T) {
	t.Parallel()
	s, err := open(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	get := func() (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.MetricsAddress()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return string(body), err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Serve(ctx, l); err != nil {
		t.Fatal(err)
	}
	body, err := get()
	if err != nil || !strings.Contains(body, `version="v1.2.3"`) {
		t.Errorf("after the public listener has stopped: %v\n%s", err, body)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(); err == nil {
		t.Error("still served after the server has closed")
	}
}
