package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
)

// A reader is who reads a log, at his own pace.
type reader struct {
	mu    sync.Mutex
	text  bytes.Buffer
	gate  chan struct{} // when it is not nil, each write waits for one
	fails int           // writes that take nothing
}

// Write implements io.Writer.
func (r *reader) Write(b []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails > 0 {
		r.fails--
		return 0, errors.New("no")
	}
	return r.text.Write(b)
}

// lines are the JSON lines that arrived.
func (r *reader) lines(t *testing.T) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []map[string]any
	for line := range strings.Lines(r.text.String()) {
		all = append(all, decoded(t, line))
	}
	return all
}

func decoded(t *testing.T, line string) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(line), &members); err != nil || !strings.HasSuffix(line, "\n") {
		t.Fatalf("a line is no object: %v\n%q", err, line)
	}
	return members
}

// await waits until the log holds a text.
func (r *reader) await(t *testing.T, text string) {
	t.Helper()
	for range 10_000 {
		r.mu.Lock()
		found := strings.Contains(r.text.String(), text)
		r.mu.Unlock()
		if found {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("the log does not hold %s", text)
}

// slowLog is a log that gathers lines until something but time makes it write.
func slowLog(to *reader) (*slog.Logger, *logWriter) {
	w := newLogWriter(to, time.Hour)
	log := slog.New(&logHandler{slog.NewJSONHandler(w, nil), w, true})
	go w.run(func(lost int) { log.Warn("lost", "lines", lost) })
	return log, w
}

// Every line arrives, whole and once, and the lines of one caller in their order,
// however many write at once; those that are left when the log is closed as well.
func TestLogLosesNothing(t *testing.T) {
	t.Parallel()
	to := &reader{}
	log, w := newLog(to, config.Default())
	var callers sync.WaitGroup
	const each = 2000
	for caller := range 8 {
		callers.Go(func() {
			for n := range each {
				log.Info("request", "caller", caller, "n", n)
			}
		})
	}
	callers.Wait()
	w.close()
	next := map[float64]float64{}
	for _, line := range to.lines(t) {
		caller, n := line["caller"].(float64), line["n"].(float64)
		if n != next[caller] {
			t.Fatalf("line %v of caller %v, want %v", n, caller, next[caller])
		}
		next[caller]++
	}
	for caller, n := range next {
		if n != each {
			t.Errorf("%v lines of caller %v", n, caller)
		}
	}
}

// What happens now and then is written at once; what happens all the time waits for
// company, but an error does not, nor does a buffer that is full.
func TestLogGathers(t *testing.T) {
	t.Parallel()
	to := &reader{}
	log, w := slowLog(to)
	defer w.close()
	log.Info("first")
	to.await(t, "first")
	log.Info("second")
	log.Error("third")
	to.await(t, "third")
	if lines := to.lines(t); len(lines) != 3 || lines[1]["msg"] != "second" {
		t.Errorf("lines %v", lines)
	}
	for range gatherMax / 50 {
		log.Info("more", "and", "more")
	}
	to.await(t, "more")
	log.Info("last")
	w.flush()
	to.await(t, "last")
}

// Nobody waits for one who does not read the log; what he misses is told, and
// nothing else is missing.
func TestLogReaderStuck(t *testing.T) {
	t.Parallel()
	to := &reader{gate: make(chan struct{})}
	log, w := slowLog(to)
	const all = 2 * keepMax / 100
	for n := range all {
		log.Info("request", "n", n, "text", strings.Repeat("x", 64))
	}
	close(to.gate)
	w.close()
	lost, got := 0, 0
	for _, line := range to.lines(t) {
		if n, ok := line["lines"].(float64); ok && line["msg"] == "lost" {
			lost += int(n)
		} else {
			got++
		}
	}
	if lost == 0 || lost+got != all {
		t.Errorf("%d lines and %d told to be lost, want %d together", got, lost, all)
	}
}

// A log that cannot be written for a time tells it afterwards.
func TestLogReaderFails(t *testing.T) {
	t.Parallel()
	to := &reader{fails: 2}
	log, w := slowLog(to)
	log.Info("one")
	log.Error("two") // may be written with the first or after it
	for range 2 {
		log.Error("three")
		w.flush()
	}
	log.Error("four")
	w.close()
	told := 0.0
	for _, line := range to.lines(t) {
		if line["msg"] == "lost" {
			told += line["lines"].(float64)
		} else {
			told++
		}
	}
	if told != 5 {
		t.Errorf("%v lines were written or told to be lost, want 5:\n%v", told, to.lines(t))
	}
}

// A line is what slog's handler for JSON makes of it, whatever is in it.
func TestLogLine(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 1, 2, 3, 4005, time.UTC)
	for name, attributes := range map[string][]slog.Attr{
		"nothing":       nil,
		"a request":     {slog.String("route", "/token"), slog.Int("status", 200), slog.Float64("milliseconds", 0.125)},
		"hostile":       {slog.String("client", "x\r\n{\"level\":\"ERROR\"}\x1b[31m\"\\<&>\u2028\xff虎"), slog.String("a\"b\n", "")},
		"numbers":       {slog.Int64("least", math.MinInt64), slog.Float64("large", 1e300), slog.Float64("small", -1e-7)},
		"no numbers":    {slog.Float64("inf", math.Inf(1)), slog.Float64("nan", math.NaN())},
		"other kinds":   {slog.Bool("b", true), slog.Duration("d", time.Second), slog.Time("t", at), slog.Uint64("u", math.MaxUint64)},
		"an error":      {slog.String("job", "x"), slog.Any("cause", errors.New("no"))},
		"a group":       {slog.Group("g", slog.Int("n", 1)), slog.Group("", slog.Int("m", 2))},
		"nothing in it": {slog.Any("nil", nil), {}},
		"more than one record holds without help": {slog.Int("1", 1), slog.Int("2", 2), slog.Int("3", 3), slog.Int("4", 4), slog.Int("5", 5), slog.Int("6", 6), slog.String("7", "7")},
	} {
		for _, record := range []slog.Record{slog.NewRecord(at, slog.LevelInfo, "request", 0), slog.NewRecord(time.Time{}, slog.LevelError+1, "a \"b\"\n", 0)} {
			record.AddAttrs(attributes...)
			for added, add := range map[string]func(h slog.Handler) slog.Handler{
				"":                  func(h slog.Handler) slog.Handler { return h },
				", with attributes": func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.String("before", "x")}) },
				", in a group":      func(h slog.Handler) slog.Handler { return h.WithGroup("group") },
			} {
				var want bytes.Buffer
				got := &reader{}
				w := newLogWriter(got, 0)
				for _, h := range []slog.Handler{slog.NewJSONHandler(&want, nil), &logHandler{slog.NewJSONHandler(w, nil), w, true}} {
					if err := add(h).Handle(context.Background(), record); err != nil {
						t.Fatal(err)
					}
				}
				w.flush()
				if diff := cmp.Diff(decoded(t, want.String()), decoded(t, got.text.String())); diff != "" {
					t.Errorf("%s%s (-slog +ours):\n%s", name, added, diff)
				}
			}
		}
	}
}

// The configuration decides about form and level.
func TestLogAsConfigured(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"json": `"level":"WARN"`, "text": "level=WARN"} {
		c := config.Default()
		c.LogFormat, c.LogLevel = format, "warn"
		to := &reader{}
		log, w := newLog(to, c)
		log.Info("not told")
		log.Warn("told")
		w.close()
		if got := to.text.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// While there is traffic the collector gets room of a fixed size, and none when it
// is over; it is not told of every small change.
func TestCollector(t *testing.T) {
	t.Parallel()
	c := collector{percent: usual}
	for i, step := range []struct {
		collections, live uint64
		looks             int
		want              int
		changed           bool
	}{
		{0, 4 << 20, 20, usual, false}, // nothing to do
		{busyAt - 1, 4 << 20, 5, usual, false},
		{busyAt, 4 << 20, 1, 400, true},
		{busyAt, 4<<20 + 1000, 5, 400, false},  // hardly different
		{1, 8 << 20, 1, 200, true},             // now collected less, and still busy
		{0, 8 << 20, quietFor - 1, 200, false}, // a pause
		{1, 8 << 20, 1, 200, false},
		{0, 8 << 20, quietFor - 1, 200, false},
		{0, 8 << 20, 1, usual, true},
		{busyAt, 400 << 20, 1, usual, false}, // so much that it is room enough
		{busyAt, 0, 1, 1600, true},
	} {
		for range step.looks {
			changed := c.look(step.collections, step.live)
			if c.percent != step.want || changed != step.changed {
				t.Fatalf("step %d: %d per cent, changed %t; want %d, %t", i+1, c.percent, changed, step.want, step.changed)
			}
		}
	}
}

// The collector that an operator has set himself is left alone.
func TestCollectorOfTheOperator(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"GOGC=100", "GOMEMLIMIT=1GiB"} {
		watchCollector(context.Background(), []string{"A=1", variable}) // or it would go on for ever
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	watchCollector(ctx, nil)
}
