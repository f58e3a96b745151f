package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// An Event is what one request tells the log: one wide line, written when the
// answer is out. Handlers add what they learn. Only one goroutine serves a
// request, so the fields need no lock.
type Event struct {
	RequestID string
	Address   string // of the caller, as far as trusted proxies tell it
	Grant     string // grant type
	ClientID  string // once it is known to be a client's
	UserID    string
	GrantID   string
	Failure   error // the whole reason of a refusal, both halves
	status    int
	written   bool
	panicked  bool // perhaps when the answer was on its way
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
	route := r.Pattern
	if route == "" {
		route = "none"
	}
	all = append(all,
		slog.String("request_id", e.RequestID),
		slog.String("method", printable(r.Method)),
		slog.String("route", route),
		slog.Int("status", e.status),
		slog.Float64("milliseconds", float64(took.Microseconds())/1000),
		slog.String("address", e.Address))
	for _, a := range [...]struct{ name, value string }{{"client", e.ClientID}, {"user", e.UserID}, {"grant_type", e.Grant}, {"grant", e.GrantID}} {
		if a.value != "" {
			all = append(all, slog.String(a.name, a.value))
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
		w.event.status, w.event.written = status, true
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
