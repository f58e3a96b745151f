package server_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// BenchmarkRequests measures what a request costs from the edge inwards: without
// connection and HTTP parser, which `make bench` measures with it.
func BenchmarkRequests(b *testing.B) { benchmarkRequests(b, config.Default()) }

// BenchmarkRequestsCounted is BenchmarkRequests with metrics.
func BenchmarkRequestsCounted(b *testing.B) {
	c := config.Default()
	c.MetricsListen = "127.0.0.1:0"
	benchmarkRequests(b, c)
}

func benchmarkRequests(b *testing.B, c *config.Config) {
	c.Data = b.TempDir()
	c.Database = "sqlite:" + filepath.Join(c.Data, "hufu.db")
	if err := c.Finish(); err != nil {
		b.Fatal(err)
	}
	s, err := server.New(b.Context(), c, server.Options{Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	signed, sealed := credentials(b, s, oauth.TokenFormatJWT), credentials(b, s, oauth.TokenFormatOpaque)
	for _, tt := range []struct{ name, method, path, form string }{
		{"client credentials, JWT", http.MethodPost, "/token", "grant_type=client_credentials&scope=read&" + signed},
		{"client credentials, opaque", http.MethodPost, "/token", "grant_type=client_credentials&scope=read&" + sealed},
		{"introspection, JWT", http.MethodPost, "/introspect", "token=" + token(b, s, signed) + "&" + signed},
		{"introspection, opaque", http.MethodPost, "/introspect", "token=" + token(b, s, sealed) + "&" + sealed},
		{"metadata", http.MethodGet, "/.well-known/oauth-authorization-server", ""},
		{"keys", http.MethodGet, "/jwks", ""},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := serve(s, tt.method, tt.path, tt.form); w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

// credentials registers a client and returns what it proves itself with, as a form.
func credentials(b *testing.B, s *server.Server, format string) string {
	b.Helper()
	m := oauth.ClientMetadata{Scope: "read write", TokenFormat: format, GrantTypes: []string{oauth.GrantClientCredentials}}
	c, secret, err := s.Clients.Register(b.Context(), "", m, "", store.By{Actor: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return url.Values{"client_id": {c.ID}, "client_secret": {secret}}.Encode()
}

// token asks for an access token.
func token(b *testing.B, s *server.Server, credentials string) string {
	b.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, request(http.MethodPost, "/token", "grant_type=client_credentials&"+credentials))
	var answer oauth.TokenResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		b.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return answer.AccessToken
}

func request(method, path, form string) *http.Request {
	r := &http.Request{
		Method: method, URL: &url.URL{Path: path}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: http.NoBody, Host: "bench", RemoteAddr: "127.0.0.1:12345", RequestURI: path,
	}
	if form != "" {
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	}
	return r
}

// serve answers one request and drops the answer.
func serve(s *server.Server, method, path, form string) *dropped {
	w := &dropped{header: http.Header{}}
	s.Handler().ServeHTTP(w, request(method, path, form))
	return w
}

// A dropped answer leaves its status and its headers.
type dropped struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *dropped) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *dropped) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *dropped) Write(b []byte) (int, error) { return len(b), nil }
