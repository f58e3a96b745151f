package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// A job is one process's until nothing has been heard of that for the length of
// its hold; a hold that ends later than any could is from before a clock was set
// back.
func TestHoldJob(t *testing.T) {
	t.Parallel()
	dsn := clusterDSN(t)
	s := openDSN(t, dsn)
	const length = 30 * time.Second
	for name, holds := range map[string][]struct {
		holder string
		after  time.Duration
		want   bool
	}{
		"one at a time":        {{"a", 0, true}, {"b", 0, false}, {"b", length - time.Millisecond, false}, {"a", length - time.Millisecond, true}},
		"taken over":           {{"a", 0, true}, {"b", length, true}, {"a", length, false}, {"a", 2 * length, true}},
		"kept by renewing":     {{"a", 0, true}, {"a", 20 * time.Second, true}, {"b", 40 * time.Second, false}, {"a", 40 * time.Second, true}, {"b", 70 * time.Second, true}},
		"late to its own":      {{"a", 0, true}, {"a", time.Hour, true}, {"b", time.Hour, false}},
		"clock a little back":  {{"a", 0, true}, {"b", -length, false}, {"a", -length, true}, {"b", 0, true}},
		"clock far back":       {{"a", 0, true}, {"b", -length - time.Millisecond, true}, {"a", -length, false}},
		"clocks not the same":  {{"a", 0, true}, {"b", -10 * time.Second, false}, {"b", 10 * time.Second, false}},
		"a hold of years over": {{"a", 100_000 * time.Hour, true}, {"b", 0, true}, {"a", time.Second, false}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, hold := range holds {
				held, err := s.HoldJob(t.Context(), name, hold.holder, now.Add(hold.after), length)
				if err != nil || held != hold.want {
					t.Errorf("hold %d, by %s after %v: %t, %v", i+1, hold.holder, hold.after, held, err)
				}
			}
		})
	}
}

// Of all that race for a job that is free, one gets it, and jobs of other names are
// in nobody's way.
func TestHoldJobRace(t *testing.T) {
	t.Parallel()
	dsn := clusterDSN(t)
	stores := []*store.Store{openDSN(t, dsn), openDSN(t, dsn), openDSN(t, dsn)}
	for round := range 40 {
		at := now.Add(time.Duration(round) * time.Minute) // the hold of the last round is over
		var holders atomic.Int64
		var callers sync.WaitGroup
		for i := range 12 {
			callers.Go(func() {
				held, err := stores[i%len(stores)].HoldJob(t.Context(), "race", fmt.Sprint("holder ", i), at, 30*time.Second)
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				if held {
					holders.Add(1)
				}
			})
		}
		callers.Wait()
		if n := holders.Load(); n != 1 {
			t.Errorf("round %d: %d hold the job", round, n)
		}
		if held, err := stores[0].HoldJob(t.Context(), fmt.Sprint("other ", round), "anybody", at, time.Second); !held || err != nil {
			t.Errorf("round %d: another job: %t, %v", round, held, err)
		}
	}
}

// A SQLite file has one server, which holds every job.
func TestHoldJobAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, holder := range []string{"a", "b", "a"} {
		if held, err := s.HoldJob(t.Context(), "job", holder, now, time.Hour); !held || err != nil {
			t.Errorf("%s: %t, %v", holder, held, err)
		}
	}
}
