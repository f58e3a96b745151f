package web_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/web"
)

// contextOf passes a request through an edge of that timeout and hands its context
// to a handler; it returns the context after the request.
func contextOf(t *testing.T, parent context.Context, timeout time.Duration, inside func(ctx context.Context)) context.Context {
	t.Helper()
	e, _ := edge(t)
	e.Timeout = timeout
	var kept context.Context
	serve(e, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		inside(kept)
	}), get("/").WithContext(parent))
	return kept
}

// ended waits for the end of a context.
func ended(t *testing.T, ctx context.Context) error {
	t.Helper()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("the context goes on")
		return nil
	}
}

// A request's context ends when its time is over, and with its parent, and so does
// every context that was made from it, whichever asked first.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	for name, derive := range map[string]func(ctx context.Context) (context.Context, context.CancelFunc){
		"itself":      func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		"cancellable": context.WithCancel,
		"with a value": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithValue(ctx, t, t), func() {}
		},
		"longer": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Hour)
		},
	} {
		contextOf(t, t.Context(), 5*time.Millisecond, func(ctx context.Context) {
			derived, cancel := derive(ctx)
			defer cancel()
			if err := ended(t, derived); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(derived), context.DeadlineExceeded) {
				t.Errorf("%s: time over: %v, because of %v", name, err, context.Cause(derived))
			}
		})
		for _, timeout := range []time.Duration{0, time.Hour} {
			parent, leave := context.WithCancel(t.Context())
			contextOf(t, parent, timeout, func(ctx context.Context) {
				derived, cancel := derive(ctx)
				defer cancel()
				if err := derived.Err(); err != nil {
					t.Errorf("%s: it has ended before: %v", name, err)
				}
				leave()
				if err := ended(t, derived); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: the caller has gone: %v", name, err)
				}
			})
		}
	}
}

// The time of a request runs from its beginning, not from when somebody asks.
func TestContextDeadline(t *testing.T) {
	t.Parallel()
	began := time.Now()
	contextOf(t, t.Context(), time.Hour, func(ctx context.Context) {
		time.Sleep(20 * time.Millisecond)
		asked := time.Now()
		deadline, ok := ctx.Deadline()
		if !ok || deadline.Before(began.Add(time.Hour)) || !deadline.Before(asked.Add(time.Hour-10*time.Millisecond)) {
			t.Errorf("begun at %s and asked at %s, it ends at %s, %t", began, asked, deadline, ok)
		}
	})
	contextOf(t, context.Background(), 0, func(ctx context.Context) {
		if deadline, ok := ctx.Deadline(); ok || ctx.Done() != nil {
			t.Errorf("without a timeout it ends at %s", deadline)
		}
	})
}

// Nobody who kept the context of a request can wait by it when the request is over.
func TestContextAfterwards(t *testing.T) {
	t.Parallel()
	for name, inside := range map[string]func(ctx context.Context){
		"never asked":  func(context.Context) {},
		"asked before": func(ctx context.Context) { ctx.Done() },
	} {
		if err := ended(t, contextOf(t, t.Context(), time.Hour, inside)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a context carries is there whether or not somebody has asked for its end:
// the event, and what its parent carries.
func TestContextValues(t *testing.T) {
	t.Parallel()
	type key struct{}
	contextOf(t, context.WithValue(t.Context(), key{}, "kept"), time.Hour, func(ctx context.Context) {
		event := web.EventOf(ctx)
		for range 2 {
			if web.EventOf(ctx) != event || event.RequestID == "" || ctx.Value(key{}) != "kept" || ctx.Value("none") != nil {
				t.Errorf("event %+v, value %v", event, ctx.Value(key{}))
			}
			ctx.Done()
		}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		if web.EventOf(inner) != event {
			t.Error("a context made from it has another event")
		}
	})
	if event := web.EventOf(context.Background()); event == nil || event.RequestID != "" {
		t.Errorf("outside of a request: %+v", event)
	}
}
