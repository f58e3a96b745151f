package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

var limit = store.Limit{Burst: 3, Interval: 10 * time.Second}

// The generic cell rate algorithm: a burst at once, one more each interval, and
// when it is full, how long until there is room (LG-02).
func TestAttempt(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		type try struct {
			after, wait time.Duration
		}
		for name, tries := range map[string][]try{
			"a burst":         {{0, 0}, {0, 0}, {0, 0}, {0, 10 * time.Second}, {0, 10 * time.Second}},
			"room again":      {{0, 0}, {0, 0}, {0, 0}, {9 * time.Second, time.Second}, {10 * time.Second, 0}, {10 * time.Second, 10 * time.Second}},
			"steady":          {{0, 0}, {10 * time.Second, 0}, {20 * time.Second, 0}, {30 * time.Second, 0}, {40 * time.Second, 0}},
			"full again":      {{0, 0}, {0, 0}, {0, 0}, {time.Minute, 0}, {time.Minute, 0}, {time.Minute, 0}, {time.Minute, 10 * time.Second}},
			"to a thousandth": {{0, 0}, {0, 0}, {0, 0}, {9999 * time.Millisecond, time.Millisecond}, {10 * time.Second, 0}},
			"a clock back":    {{time.Hour, 0}, {0, 20 * time.Second}, {10 * time.Second, 10 * time.Second}, {20 * time.Second, 0}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				for i, try := range tries {
					at := now.Add(try.after)
					wait, err := s.Attempt(t.Context(), "b", limit, at)
					must(t, err)
					if wait != try.wait {
						t.Errorf("try %d, after %v: wait %v, want %v", i+1, try.after, wait, try.wait)
					}
				}
			})
		}
	})
}

// A refused attempt counts nothing: whoever keeps knocking is not locked out for
// longer (LG-04).
func TestAttemptRefusedCountsNothing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for range 50 {
			_, err := s.Attempt(t.Context(), "b", limit, now)
			must(t, err)
		}
		if wait, err := s.Attempt(t.Context(), "b", limit, now.Add(limit.Interval)); wait != 0 || err != nil {
			t.Errorf("after an interval: wait %v, %v", wait, err)
		}
		if wait, err := s.Attempt(t.Context(), "other", limit, now); wait != 0 || err != nil {
			t.Errorf("another bucket: wait %v, %v", wait, err)
		}
	})
}

// A success is taken back, and never gives more than the burst.
func TestForgive(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for i := range 20 {
			wait, err := s.Attempt(t.Context(), "b", limit, now)
			must(t, err)
			if wait != 0 {
				t.Errorf("success %d waits %v", i, wait)
			}
			must(t, s.Forgive(t.Context(), "b", limit))
		}
		for range 10 {
			must(t, s.Forgive(t.Context(), "b", limit))
		}
		must(t, s.Forgive(t.Context(), "unknown", limit))
		let := 0
		for range 10 {
			wait, err := s.Attempt(t.Context(), "b", limit, now)
			must(t, err)
			if wait == 0 {
				let++
			}
		}
		if let != limit.Burst {
			t.Errorf("%d attempts after being forgiven too often, want %d", let, limit.Burst)
		}
	})
}

// Parallel attempts never exceed the limit (LG-07).
func TestAttemptRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for round := range 10 {
			var let atomic.Int64
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					wait, err := s.Attempt(t.Context(), fmt.Sprint(round), limit, now)
					if err != nil {
						t.Error(err)
					}
					if wait == 0 {
						let.Add(1)
					}
				})
			}
			callers.Wait()
			if let.Load() != int64(limit.Burst) {
				t.Errorf("round %d: %d attempts, want %d", round, let.Load(), limit.Burst)
			}
		}
	})
}

// A bucket's name is bounded, tells nothing, and differs with every part and with
// where the parts meet.
func TestBucket(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, parts := range [][]string{{}, {"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"b", "a"}, {"ab"}, {"a", "b", ""}} {
		name := store.Bucket(parts...)
		if before, ok := seen[name]; ok && !(len(parts) == 0 || len(before) == 0) {
			t.Errorf("%q and %q share a bucket", parts, before)
		}
		if len(name) != 43 {
			t.Errorf("%q gives %q", parts, name)
		}
		seen[name] = parts
	}
}
