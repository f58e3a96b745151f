package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// An Event is what one request tells the log: one wide line, written when the
// answer is out. Handlers add what they learn. Only one goroutine serves a
// request, so the fields need no lock.
type Event struct {
	RequestID string
	Address   string // of the caller, as far as trusted proxies tell it
	UserAgent string // as the caller sent it, whatever that is; never logged
	Grant     string // grant type
	ClientID  string // once it is known to be a client's
	UserID    string
	GrantID   string
	Failure   error  // the whole reason of a refusal, both halves
	Trace     *Trace // nil when the request is part of none
	Token     Token  // the access token that was given
	SignIn    SignIn // how somebody tried to sign in
	Quiet     bool   // asked all the time by machines: worth a line only when it fails
	status    int16
	written   bool
	panicked  bool // perhaps when the answer was on its way
}

// A Token is the form of an access token that a request was answered with. There
// are so few that they can be counted apart.
type Token uint8

// Forms of an access token; zero means that none was given.
const (
	SignedToken Token = iota + 1 // a JWT
	SealedToken                  // an opaque one
)

// String is the form as clients are registered for it.
func (t Token) String() string {
	switch t {
	case SignedToken:
		return "jwt"
	case SealedToken:
		return "opaque"
	}
	return ""
}

// A SignIn is a way to show who one is.
type SignIn uint8

// Ways to sign in; zero means that nobody tried.
const (
	PasswordSignIn SignIn = iota + 1
	PasskeySignIn
)

// String is the way in one word.
func (s SignIn) String() string {
	switch s {
	case PasswordSignIn:
		return "password"
	case PasskeySignIn:
		return "passkey"
	}
	return ""
}

// An Outcome is what came of a request, told when its answer is out.
type Outcome struct {
	*Event
	Context context.Context // it was served in
	Method  string          // as the caller wrote it, whatever that is
	Route   string          // the pattern that served it, or NoRoute
	Status  int
	Code    oauth.Code // of a refusal or failure; "" when there was none
	Took    time.Duration
}

// outcome sums a request up.
func (e *Event) outcome(r *http.Request, took time.Duration) Outcome {
	o := Outcome{Event: e, Context: r.Context(), Method: r.Method, Route: routeOf(r), Status: int(e.status), Took: took}
	if e.Failure != nil {
		o.Code = classify(e.Failure).Code
	}
	return o
}

// NoRoute stands for the pattern of a request that none served.
const NoRoute = "none"

// routeOf is the pattern that serves a request.
func routeOf(r *http.Request) string {
	if r.Pattern == "" {
		return NoRoute
	}
	return r.Pattern
}

type eventKey struct{}

// EventOf returns the event of the request that ctx belongs to; a fresh one
// outside of a request, so that callers need not ask.
func EventOf(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return &Event{}
}

// log writes the event. A client's mistake is an info event; only our own
// failure is an error. The line goes straight to the handler: slog.Logger would
// look for its caller, which is always this one.
func (e *Event) log(log *slog.Logger, r *http.Request, began, ended time.Time) {
	level := slog.LevelInfo
	if e.Quiet && e.Failure == nil {
		level = slog.LevelDebug
	}
	if e.status >= http.StatusInternalServerError || e.panicked {
		level = slog.LevelError
	}
	if errors.Is(e.Failure, context.Canceled) {
		level = slog.LevelInfo // the caller has gone
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	line := slog.NewRecord(ended, level, "request", 0)
	line.AddAttrs(e.attributes(make([]slog.Attr, 0, 12), r, ended.Sub(began))...)
	_ = log.Handler().Handle(r.Context(), line) // there is nobody to tell that it cannot be written
}

// attributes appends what the line says.
func (e *Event) attributes(all []slog.Attr, r *http.Request, took time.Duration) []slog.Attr {
	all = append(all,
		slog.String("request_id", e.RequestID),
		slog.String("method", printable(r.Method)),
		slog.String("route", routeOf(r)),
		slog.Int("status", int(e.status)),
		slog.Float64("milliseconds", float64(took.Microseconds())/1000),
		slog.String("address", e.Address))
	for _, a := range [...]struct{ name, value string }{{"client", e.ClientID}, {"user", e.UserID}, {"grant_type", e.Grant}, {"grant", e.GrantID}} {
		if a.value != "" {
			all = append(all, slog.String(a.name, a.value))
		}
	}
	if t := e.Trace; t != nil {
		for _, a := range [...]struct{ name, value string }{{"trace_id", t.TraceID}, {"span_id", t.SpanID}, {"parent_id", t.ParentID}} {
			if a.value != "" {
				all = append(all, slog.String(a.name, a.value))
			}
		}
	}
	if e.Failure != nil {
		all = append(all, slog.String("error", string(classify(e.Failure).Code)), slog.String("cause", e.Failure.Error()))
	}
	return all
}

// printable bounds a word that the caller chose.
func printable(s string) string {
	if len(s) > 16 {
		return s[:16]
	}
	return s
}

// A recorder notes the status that a handler answers with.
type recorder struct {
	http.ResponseWriter
	event *Event
	head  bool // a HEAD request: the answer has no body
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if !w.event.written {
		w.event.status, w.event.written = int16(status), true //nolint:gosec // three digits; net/http takes no other
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	if !w.event.written {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
