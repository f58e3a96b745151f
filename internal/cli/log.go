package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
)

// newLog writes log lines as the configuration wants them. The last lines are
// written when the writer is closed.
func newLog(to io.Writer, c *config.Config) (*slog.Logger, *logWriter) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	w := newLogWriter(to, gatherFor)
	options := &slog.HandlerOptions{Level: level}
	var log *slog.Logger
	if c.LogFormat == "text" {
		log = slog.New(&logHandler{slog.NewTextHandler(w, options), w, false})
	} else {
		log = slog.New(&logHandler{slog.NewJSONHandler(w, options), w, true})
	}
	go w.run(func(lost int) { log.Warn("lines of this log are missing; they were not taken in time", "lines", lost) })
	return log, w
}

// A logHandler writes the lines that nearly all are in half of the time, and does
// not let an error wait.
type logHandler struct {
	slog.Handler
	w    *logWriter
	json bool // and nothing was added to every line
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		defer nudge(h.w.hurry)
	}
	if !h.json {
		return h.Handler.Handle(ctx, r)
	}
	buffer := lineBuffers.Get().(*[]byte)
	defer lineBuffers.Put(buffer)
	line, ok := appendLine((*buffer)[:0], &r)
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	*buffer = line
	_, err := h.w.Write(line)
	return err
}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &logHandler{h.Handler.WithAttrs(attributes), h.w, false}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name), h.w, false}
}

// appendLine appends a record of strings and numbers as slog's handler for JSON
// writes it; false when there is something else in it.
func appendLine(to []byte, r *slog.Record) (line []byte, ok bool) {
	o := oauth.NewObject(to)
	o.Time(slog.TimeKey, r.Time)
	o.String(slog.LevelKey, r.Level.String())
	o.String(slog.MessageKey, r.Message)
	ok = !r.Time.IsZero()
	r.Attrs(func(a slog.Attr) bool {
		switch a.Value.Kind() {
		case slog.KindString:
			o.String(a.Key, a.Value.String())
		case slog.KindInt64:
			o.Int(a.Key, a.Value.Int64())
		case slog.KindFloat64:
			f := a.Value.Float64()
			o.Float(a.Key, f)
			ok = ok && !math.IsNaN(f) && !math.IsInf(f, 0)
		default:
			ok = false
		}
		return ok
	})
	return append(o.End(), '\n'), ok
}

// How lines are gathered.
const (
	gatherFor = 50 * time.Millisecond
	gatherMax = 64 << 10 // bytes that wait no longer
	keepMax   = 4 << 20  // bytes kept for one who does not take them
	closeFor  = 2 * time.Second
)

// A logWriter gathers lines and writes them from a goroutine of its own: a system
// call for each costs more than its making, and no request must wait for whoever
// reads the log. The first line after a pause is written at once, and those that
// come soon after it together. What is not taken for too long is counted and left
// out.
type logWriter struct {
	to      io.Writer
	pause   time.Duration
	writing sync.Mutex // lines are on their way, in their order

	mu      sync.Mutex
	lines   []byte // waiting
	spare   []byte // to gather in while lines are on their way
	lost    int
	failing bool // the last lines could not be written

	wake    chan struct{} // there are lines
	hurry   chan struct{} // and they cannot wait
	closing chan struct{}
	ended   chan struct{}
}

func newLogWriter(to io.Writer, pause time.Duration) *logWriter {
	return &logWriter{
		to: to, pause: pause, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
}

// nudge sends unless something was sent already.
func nudge(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// Write takes one line. It never blocks and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := len(w.lines), len(w.lines)+len(line)
	if after > keepMax {
		w.lost++
		return len(line), nil
	}
	w.lines = append(w.lines, line...)
	if before == 0 {
		nudge(w.wake)
	}
	if before < gatherMax && after >= gatherMax {
		nudge(w.hurry)
	}
	return len(line), nil
}

// run writes what was gathered until the writer is closed, and tells how many
// lines were lost.
func (w *logWriter) run(tell func(lost int)) {
	defer close(w.ended)
	for closing := false; !closing; {
		select {
		case <-w.wake:
		case <-w.closing:
			closing = true
		}
		w.flush()
		if lost := w.missing(); lost > 0 {
			w.flush() // to make room
			tell(lost)
			w.flush()
		}
		select {
		case <-time.After(w.pause):
		case <-w.hurry:
		case <-w.closing:
		}
	}
}

// flush writes what waits.
func (w *logWriter) flush() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	lines := w.lines
	w.lines, w.spare = w.spare[:0], nil
	w.mu.Unlock()
	n, err := len(lines), error(nil)
	if n > 0 {
		n, err = w.to.Write(lines)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost += bytes.Count(lines[n:], []byte("\n"))
	w.failing = err != nil
	if cap(lines) <= 2*gatherMax {
		w.spare = lines
	}
}

// missing returns how many lines were lost, when it can be told.
func (w *logWriter) missing() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing {
		return 0
	}
	lost := w.lost
	w.lost = 0
	return lost
}

// close writes what is left. It does not wait for ever for one who takes nothing.
func (w *logWriter) close() {
	close(w.closing)
	select {
	case <-w.ended:
	case <-time.After(closeFor):
	}
}
