package main

import (
	"context"
	"fmt"
	"time"
)

// passwordResult is refresh traffic alone and beside people who sign in.
type passwordResult struct {
	Connections int     `json:"connections"`
	Parallel    int     `json:"parallel_sign_ins"`
	Alone       load    `json:"alone"`
	Beside      load    `json:"beside_sign_ins"`
	SignIns     load    `json:"sign_ins"`
	RateKept    float64 `json:"rate_kept"` // share of the rate alone
	GoalRate    float64 `json:"rate_kept_goal"`
	P99Times    float64 `json:"p99_times"` // that of alone
	GoalP99     float64 `json:"p99_times_goal"`
	Memory      float64 `json:"resident_max_mb"`
}

// String is what is said about it.
func (r *passwordResult) String() string {
	return fmt.Sprintf("Passwords: %d connections refresh %.0f times a second alone and %.0f times beside %d people who sign in, which keeps %.2f of the rate (≥ %g); "+
		"p99 goes from %.2f to %.2f ms, %.1f times (≤ %g). Then %.1f people sign in each second (p50 %.0f ms), with %.0f MB at most.",
		r.Connections, r.Alone.Rate, r.Beside.Rate, r.Parallel, r.RateKept, r.GoalRate, r.Alone.P99, r.Beside.P99, r.P99Times, r.GoalP99, r.SignIns.Rate, r.SignIns.P50, r.Memory)
}

// load is what some traffic got.
type load struct {
	Rate float64 `json:"requests_per_second"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	CPU  float64 `json:"cpu_us,omitempty"` // of the server, for one request
}

// load sums a slice up. CPU times mean something only when nothing else ran.
func (s *slice) load() load {
	return load{Rate: s.rate(), P50: s.latencies.quantile(0.50), P99: s.latencies.quantile(0.99), CPU: s.each(s.cpu)}
}

// passwordSection drives refreshes alone and beside sign-ins in turn.
func (b *bench) passwordSection(ctx context.Context) error {
	db, err := b.database(ctx, &b.standard, "standard", b.Grants)
	if err != nil {
		return err
	}
	server, err := b.launch(ctx, b.program, db)
	if err != nil {
		return err
	}
	defer server.stop()
	f, err := newFleet(ctx, server.target, goalConnections)
	if err != nil {
		return err
	}
	defer f.close()
	people, err := newFleet(ctx, server.target, parallelSignIns)
	if err != nil {
		return err
	}
	defer people.close()

	refresh := named(db.kinds(), "refresh")
	if _, err := b.warm(ctx, f, refresh); err != nil {
		return err
	}
	const rounds = 3
	length := time.Duration(b.Seconds * float64(time.Second) / rounds)
	alone, beside, signIns := &slice{}, &slice{}, &slice{}
	for range rounds {
		s, err := f.drive(ctx, refresh, length)
		if err != nil {
			return err
		}
		alone.add(s)
		s, in, err := besideSignIns(ctx, f, refresh, people, db.signIn(), length)
		if err != nil {
			return err
		}
		beside.add(s)
		signIns.add(in)
	}
	b.report.count("refresh alone", alone)
	b.report.count("refresh beside sign-ins", beside)
	b.report.count("sign-ins", signIns)
	b.report.Password, err = newPasswordResult(alone, beside, signIns, server.pid)
	if err == nil {
		fmt.Printf("\n%s\n", b.report.Password)
	}
	return err
}

func newPasswordResult(alone, beside, signIns *slice, pid int) (r *passwordResult, err error) {
	r = &passwordResult{Connections: goalConnections, Parallel: parallelSignIns, Alone: alone.load(), Beside: beside.load(), SignIns: signIns.load(), GoalRate: 0.5, GoalP99: 3}
	r.Beside.CPU, r.SignIns.CPU = 0, 0 // the one process served both
	r.RateKept, r.P99Times = times(r.Beside.Rate, r.Alone.Rate), times(r.Beside.P99, r.Alone.P99)
	r.Memory, err = memory(pid, residentMax)
	return r, err
}

// besideSignIns measures refreshes while people sign in, from a moment after they
// have begun until before they end.
func besideSignIns(ctx context.Context, f *fleet, refresh *kind, people *fleet, signIn *kind, length time.Duration) (s, signIns *slice, err error) {
	const margin = 300 * time.Millisecond
	ended := make(chan error, 1)
	go func() {
		var err error
		signIns, err = people.drive(ctx, signIn, length+2*margin)
		ended <- err
	}()
	time.Sleep(margin)
	s, err = f.drive(ctx, refresh, length)
	if failed := <-ended; err == nil {
		err = failed
	}
	return s, signIns, err
}
