package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// Limits on what is read of a request.
const (
	MaxBody   = 64 << 10 // bytes
	MaxHeader = 32 << 10 // bytes
)

// An Edge is what every request passes on its way in and out.
type Edge struct {
	Pages          *Pages
	Log            *slog.Logger
	Now            func() time.Time
	TrustedProxies []netip.Prefix // only their X-Forwarded-For is believed
	Secure         bool           // the issuer is https: send HSTS
	Timeout        time.Duration  // after which a request's context ends; 0 means never
}

// Wrap puts the edge around everything that is served: request id, address,
// body limit, common headers, the answer to a panic, and the log line.
func (e *Edge) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := e.Now()
		event := &Event{RequestID: rand.Text()[:20], Address: e.address(r), status: http.StatusOK}
		ctx := context.WithValue(r.Context(), eventKey{}, event)
		if e.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, e.Timeout)
			defer cancel()
		}
		r = r.WithContext(ctx)
		rec := &recorder{ResponseWriter: w, event: event}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody) // the bare writer: it closes the connection

		h := rec.Header()
		h.Set("X-Request-Id", event.RequestID)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if e.Secure {
			h.Set("Strict-Transport-Security", "max-age=63072000")
		}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				event.Failure, event.panicked = fmt.Errorf("panic: %v\n%s", p, debug.Stack()), true
				if !event.written {
					writeError(rec, classify(event.Failure))
				}
			}
			event.log(e.Log, r, e.Now().Sub(began))
		}()
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			// The mux would redirect to the clean path, by 307: a posted password must
			// not travel on.
			e.Page(NotFound).ServeHTTP(rec, r)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// address tells who calls. Behind trusted proxies it is the right-most address
// of X-Forwarded-For that is not itself one of theirs; a header from anybody
// else is ignored.
func (e *Edge) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := peer.Addr().Unmap()
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && e.trusts(address); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		address = next.Unmap()
	}
	return address.WithZone("").String()
}

func (e *Edge) trusts(address netip.Addr) bool {
	for _, p := range e.TrustedProxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// Network is the part of an address that one household or office shares: /24 of
// IPv4, /64 of IPv6. Limits that an attacker could dodge by taking the next
// address of his own network count by it.
func Network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	bits := 24
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}

// CORS lets any origin read an answer, without credentials, RFC 9700 Section
// 2.6. methods are those of the endpoint.
func CORS(methods string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, X-Request-Id, Retry-After")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
