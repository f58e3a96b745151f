package web_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/web"
)

// outside is an https server of somebody else, on loopback, and a pool that trusts it.
func outside(t *testing.T, h http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, pool
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// What is fetched, and what of an answer is not taken; whatever it was, the caller
// learns the same (SS-01, SS-03).
func TestFetch(t *testing.T) {
	t.Parallel()
	reached := 0
	s, pool := outside(t, func(w http.ResponseWriter, r *http.Request) {
		reached++
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		switch r.URL.Path {
		case "/html":
			w.Header().Set("Content-Type", "text/html")
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusFound)
			return
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat(" ", 64<<10)))
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 128<<10))
		}
		_, _ = w.Write([]byte(r.URL.Path + r.URL.RawQuery + r.Header.Get("Accept")))
	})
	f := web.NewFetcher(pool, loopback)
	if got, err := f.Get(t.Context(), s.URL+"/ok?a=b#fragment", "application/jwk-set+json", "application/json"); err != nil || string(got) != "/oka=bapplication/jwk-set+json, application/json" {
		t.Errorf("got %q, %v", got, err)
	}
	for name, address := range map[string]string{
		"type": s.URL + "/html", "status": s.URL + "/missing", "redirect": s.URL + "/redirect", "length": s.URL + "/long", "headers": s.URL + "/headers",
		"http": strings.Replace(s.URL, "https", "http", 1) + "/ok", "user": strings.Replace(s.URL, "https://", "https://u:p@", 1) + "/ok",
		"file": "file:///etc/passwd", "no host": "https:///ok", "nonsense": "https://[::1", "empty": "",
	} {
		if body, err := f.Get(t.Context(), address, "application/json"); !errors.Is(err, web.ErrFetch) || body != nil {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	if _, err := web.NewFetcher(nil, loopback).Get(t.Context(), s.URL+"/ok", "application/json"); !errors.Is(err, web.ErrFetch) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	before := reached
	if _, err := web.NewFetcher(pool, nil).Get(t.Context(), s.URL+"/ok", "application/json"); !errors.Is(err, web.ErrFetch) || reached != before {
		t.Errorf("loopback: %v, reached %d times", err, reached-before)
	}
}

// A form is sent where a document would be fetched from, and nowhere else; only the
// status of the answer is told (SS-01, SS-03, LO-02).
func TestFetchPost(t *testing.T) {
	t.Parallel()
	var arrived []string
	s, pool := outside(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		arrived = append(arrived, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+r.PostForm.Encode())
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
		case "/refused":
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(strings.Repeat(" ", 1<<20)))
	})
	f, form := web.NewFetcher(pool, loopback), url.Values{"a": {"b&c"}}
	for path, want := range map[string]int{"/ok?q=1#fragment": 200, "/refused": 400} {
		if status, err := f.Post(t.Context(), s.URL+path, form); err != nil || status != want {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	slices.Sort(arrived)
	if want := []string{"POST /ok?q=1 application/x-www-form-urlencoded a=b%26c", "POST /refused application/x-www-form-urlencoded a=b%26c"}; !slices.Equal(arrived, want) {
		t.Errorf("arrived %q", arrived)
	}
	arrived = nil
	for name, address := range map[string]string{
		"redirect": s.URL + "/redirect", "http": strings.Replace(s.URL, "https", "http", 1) + "/ok", "user": strings.Replace(s.URL, "https://", "https://u:p@", 1) + "/ok",
		"no host": "https:///ok", "nonsense": "https://[::1", "empty": "",
	} {
		if status, err := f.Post(t.Context(), address, form); !errors.Is(err, web.ErrFetch) || status != 0 {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	if _, err := web.NewFetcher(pool, nil).Post(t.Context(), s.URL+"/ok", form); !errors.Is(err, web.ErrFetch) {
		t.Errorf("loopback: %v", err)
	}
	if len(arrived) != 1 {
		t.Errorf("reached with %q", arrived)
	}
}

// A server that does not answer holds nobody up for longer than five seconds (SS-01).
func TestFetchSlow(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	s, pool := outside(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("["))
		w.(http.Flusher).Flush()
		<-ended
	})
	defer close(ended)
	began := time.Now()
	if _, err := web.NewFetcher(pool, loopback).Get(t.Context(), s.URL, "application/json"); !errors.Is(err, web.ErrFetch) || time.Since(began) > 7*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// So many documents of one host are on their way at once and no more: whoever has this
// server fetch does not make a weapon of it. Another host is fetched from meanwhile.
func TestFetchMany(t *testing.T) {
	t.Parallel()
	arrived, ended := make(chan struct{}, 100), make(chan struct{})
	slow, pool := outside(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-ended
		w.Header().Set("Content-Type", "application/json")
	})
	f := web.NewFetcher(pool, loopback)
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			if _, err := f.Get(t.Context(), slow.URL, "application/json"); err != nil {
				t.Errorf("one of those that may: %v", err)
			}
		})
		<-arrived
	}
	for range 20 {
		if _, err := f.Get(t.Context(), slow.URL, "application/json"); !errors.Is(err, web.ErrFetch) {
			t.Errorf("one too many: %v", err)
		}
	}
	if _, err := f.Get(t.Context(), strings.Replace(slow.URL, "127.0.0.1", "localhost", 1), "application/json"); err == nil || strings.Contains(err.Error(), "on their way") {
		t.Errorf("another host, with a certificate that is not its own: %v", err)
	}
	close(ended)
	waiting.Wait()
	if _, err := f.Get(t.Context(), slow.URL, "application/json"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if len(arrived) != 1 {
		t.Errorf("%d more have arrived", len(arrived))
	}
}

// Addresses that are not public are not dialled, in whatever form they are written; a
// name that resolves to one is found out as well (SS-01).
func TestFetchPublicOnly(t *testing.T) {
	t.Parallel()
	f := web.NewFetcher(nil, nil)
	for _, host := range []string{
		"localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "100.64.0.1", "198.18.0.1", "224.0.0.1",
		"255.255.255.255", "240.0.0.1", "192.0.2.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:db8::1]", "[ff02::1]",
		"[fec0::1]", "[::ffff:0:7f00:1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[2001::1]", "[4000::1]",
	} {
		began := time.Now()
		_, err := f.Get(t.Context(), "https://"+host+":1/", "application/json")
		if !errors.Is(err, web.ErrFetch) || time.Since(began) > time.Second {
			t.Errorf("%s: after %v: %v", host, time.Since(began), err)
		}
		var refused *url.Error
		if errors.As(err, &refused) && strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s was dialled: %v", host, err)
		}
	}
}
