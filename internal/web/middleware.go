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

// Values of headers that never differ, as net/http keeps them: answers share
// them, and nobody changes them.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	hsts       = []string{"max-age=63072000"}
	noStore    = []string{"no-store"}
	jsonType   = []string{"application/json"}
	anyOrigin  = []string{"*"}
	exposed    = []string{"WWW-Authenticate, X-Request-Id, Retry-After"}
)

// An Edge is what every request passes on its way in and out.
type Edge struct {
	Pages          *Pages
	Log            *slog.Logger
	Now            func() time.Time
	TrustedProxies []netip.Prefix // only their X-Forwarded-For is believed
	Secure         bool           // the issuer is https: send HSTS
	Timeout        time.Duration  // after which a request's context ends; 0 means never

	// Begin, when set, sees every request first, and returns the context to serve it in.
	Begin func(ctx context.Context, e *Event, r *http.Request) context.Context
	// Observe, when set, is told what came of every request.
	Observe func(o Outcome)
}

// Wrap puts the edge around everything that is served: request id, address,
// body limit, common headers, the answer to a panic, and the log line.
func (e *Edge) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := e.enter(w, r)
		defer e.leave(p)
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			// The mux would redirect to the clean path, by 307: a posted password must
			// not travel on.
			e.Page(NotFound).ServeHTTP(&p.recorder, p.request)
			return
		}
		next.ServeHTTP(&p.recorder, p.request)
	})
}

// A passage is one request on its way in and out. It is one piece of memory,
// since every request needs all of it.
type passage struct {
	event    Event
	context  requestContext
	recorder recorder
	request  *http.Request
	id       [1]string // the value of X-Request-Id
}

// enter makes the event of a request and sets what every answer carries.
func (e *Edge) enter(w http.ResponseWriter, r *http.Request) *passage {
	id := rand.Text()[:20]
	p := &passage{event: Event{RequestID: id, Address: e.address(r), UserAgent: r.UserAgent(), status: http.StatusOK}, id: [1]string{id}}
	p.recorder = recorder{ResponseWriter: w, event: &p.event, head: r.Method == http.MethodHead}
	if sent := r.Header["Traceparent"]; len(sent) == 1 {
		if t, ok := ParseTraceparent(sent[0]); ok {
			p.event.Trace = &t
		}
	}
	parent := r.Context()
	if e.Begin != nil {
		parent = e.Begin(parent, &p.event, r)
	}
	p.context = requestContext{parent: parent, event: &p.event, timeout: e.Timeout, began: e.Now(), now: e.Now}
	p.request = r.WithContext(&p.context)
	if r.Body != http.NoBody {
		p.request.Body = http.MaxBytesReader(w, r.Body, MaxBody) // the bare writer: it closes the connection
	}
	h := w.Header()
	h["X-Request-Id"] = p.id[:]
	h["X-Content-Type-Options"] = noSniff
	h["Referrer-Policy"] = noReferrer
	if e.Secure {
		h["Strict-Transport-Security"] = hsts
	}
	return p
}

// leave answers a panic and writes the log line.
func (e *Edge) leave(p *passage) {
	defer p.context.finish()
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler {
			panic(cause)
		}
		p.event.Failure, p.event.panicked = fmt.Errorf("panic: %v\n%s", cause, debug.Stack()), true
		if !p.event.written {
			writeError(&p.recorder, classify(p.event.Failure))
		}
	}
	ended := e.Now()
	p.event.log(e.Log, p.request, p.context.began, ended)
	if e.Observe != nil {
		e.Observe(p.event.outcome(p.request, ended.Sub(p.context.began)))
	}
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
	if !e.trusts(address) {
		if address == peer.Addr() && address.Is4() {
			return r.RemoteAddr[:strings.LastIndexByte(r.RemoteAddr, ':')]
		}
		return address.WithZone("").String()
	}
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
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
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
