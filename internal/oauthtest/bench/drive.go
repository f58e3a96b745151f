package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// A target is a process that answers.
type target struct {
	address string
	pid     int
	// beside is the CPU time of another process that works for it; nil: there is none.
	beside func() (time.Duration, error)
}

// patience is how long the last request of a slice may take. One that takes
// longer hangs, which is an error.
const patience = 15 * time.Second

// A fleet is a number of connections to one target, each of which sends the next
// request when it has the answer to the last.
type fleet struct {
	to      *target
	workers []*worker
}

func newFleet(ctx context.Context, to *target, connections int) (*fleet, error) {
	f := &fleet{to: to}
	for i := range connections {
		c, err := dial(ctx, to.address)
		if err != nil {
			f.close()
			return nil, err
		}
		f.workers = append(f.workers, &worker{conn: c, which: i, of: connections})
	}
	return f, nil
}

func (f *fleet) close() {
	for _, w := range f.workers {
		w.conn.Close()
	}
}

// A slice is what was seen while requests were driven for a while.
type slice struct {
	requests  int
	errors    int
	failure   string // the first error
	took      time.Duration
	cpu       time.Duration // of the target
	beside    time.Duration // of what works for the target
	latencies histogram
}

// add puts two slices of the same thing together.
func (s *slice) add(other *slice) {
	s.requests, s.errors, s.took = s.requests+other.requests, s.errors+other.errors, s.took+other.took
	s.cpu, s.beside = s.cpu+other.cpu, s.beside+other.beside
	s.latencies.merge(&other.latencies)
	if s.failure == "" {
		s.failure = other.failure
	}
}

func (s *slice) rate() float64 {
	if s.took <= 0 {
		return 0
	}
	return float64(s.requests) / s.took.Seconds()
}

// each is a time divided by the requests, in microseconds.
func (s *slice) each(all time.Duration) float64 {
	if s.requests == 0 {
		return 0
	}
	return float64(all.Nanoseconds()) / 1e3 / float64(s.requests)
}

// drive sends requests of a kind for so long, and measures.
func (f *fleet) drive(ctx context.Context, k *kind, length time.Duration) (*slice, error) {
	cpu, beside, err := f.to.computed()
	if err != nil {
		return nil, err
	}
	var workers sync.WaitGroup
	began := time.Now()
	for _, w := range f.workers {
		workers.Go(func() { w.run(ctx, k, f.to.address, began.Add(length)) })
	}
	workers.Wait()
	sum := &slice{}
	for _, w := range f.workers {
		sum.add(&w.seen)
	}
	sum.took = time.Since(began)
	after, besideAfter, err := f.to.computed()
	sum.cpu, sum.beside = after-cpu, besideAfter-beside
	if err == nil {
		err = ctx.Err()
	}
	return sum, err
}

// computed is the CPU time of the target so far, and of what works for it.
func (t *target) computed() (own, beside time.Duration, err error) {
	if own, err = processTime(t.pid); err != nil || t.beside == nil {
		return own, 0, err
	}
	beside, err = t.beside()
	return own, beside, err
}

// A worker drives one connection.
type worker struct {
	conn      *conn
	which, of int
	out       []byte // the request
	picked    int    // what it is about, between write and answered
	turn      int    // for kinds that go round
	seen      slice
}

func (w *worker) run(ctx context.Context, k *kind, address string, end time.Time) {
	w.seen = slice{}
	if err := w.conn.SetDeadline(end.Add(patience)); err != nil {
		w.fail(err.Error())
		return
	}
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
		if w.out = w.out[:0]; !k.write(w) {
			return // nothing is left to ask for
		}
		began := time.Now()
		a, err := w.conn.roundTrip(w.out)
		now = time.Now()
		w.seen.requests++
		w.seen.latencies.add(now.Sub(began))
		if err != nil {
			w.fail(err.Error())
			if !w.redial(ctx, address, end) {
				return
			}
			continue
		}
		if problem := k.judge(&a); problem != "" {
			w.fail(problem)
		} else if k.answered != nil {
			k.answered(w)
		}
	}
}

func (w *worker) fail(why string) {
	if w.seen.errors++; w.seen.failure == "" {
		w.seen.failure = why
	}
}

// redial replaces a connection that broke.
func (w *worker) redial(ctx context.Context, address string, end time.Time) bool {
	w.conn.Close()
	c, err := dial(ctx, address)
	if err != nil {
		return false // the broken one stays, and fails again
	}
	w.conn = c
	return c.SetDeadline(end.Add(patience)) == nil
}

// judge says what is wrong with an answer; "" when it is the one that is wanted.
func (k *kind) judge(a *answer) string {
	switch {
	case a.status != k.status:
		return fmt.Sprintf("status %s, want %s: %.300s%.300s", a.status, k.status, a.location, a.body)
	case a.location != nil && !bytes.HasPrefix(a.location, k.has):
		return fmt.Sprintf("redirect to %.300s", a.location)
	case a.location == nil && !bytes.Contains(a.body, k.has):
		return fmt.Sprintf("an answer without %s: %.300s", k.has, a.body)
	}
	return ""
}
