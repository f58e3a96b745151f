package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// startResult is how soon a server is ready, in milliseconds.
type startResult struct {
	Grants int       `json:"grants"`
	Each   []float64 `json:"each_ms"`
	Median float64   `json:"median_ms"`
	Goal   float64   `json:"goal_ms"`
	Idle   float64   `json:"idle_mb"`
	Killed float64   `json:"after_kill_ms"`  // after kill -9 while refreshes were driven
	Logged int64     `json:"log_bytes_then"` // of write-ahead log to read back first
}

// String is what is said about it.
func (r *startResult) String() string {
	return fmt.Sprintf("Start: ready in %.0f ms on %d live grants (%.0f to %.0f; ≤ %.0f) with %.0f MB, and in %.0f ms after kill -9 under load with %.1f MB of log to read back.",
		r.Median, r.Grants, slices.Min(r.Each), slices.Max(r.Each), r.Goal, r.Idle, r.Killed, float64(r.Logged)/1e6)
}

// startSection starts servers on the large database.
func (b *bench) startSection(ctx context.Context) error {
	db, err := b.database(ctx, &b.big, "big", b.Many)
	if err != nil {
		return err
	}
	// As long as anybody has a SQLite file open, nobody who opens it has to read its
	// log back: the bench lets go of it.
	if err := db.Close(); err != nil {
		return err
	}
	r := &startResult{Grants: len(db.jwt.generations), Goal: 150}
	err = errors.Join(b.starts(ctx, db, r), db.open(ctx))
	if err != nil {
		return err
	}
	b.report.Start = r
	fmt.Printf("\n%s\n", r)
	return nil
}

func (b *bench) starts(ctx context.Context, db *database, r *startResult) error {
	for range 5 {
		server, err := b.launch(ctx, b.program, db)
		if err != nil {
			return err
		}
		r.Each = append(r.Each, server.ready.Seconds()*1e3)
		r.Idle, err = memory(server.pid, residentNow)
		server.stop()
		if err != nil {
			return err
		}
	}
	r.Median = slices.Sorted(slices.Values(r.Each))[len(r.Each)/2]

	server, err := b.launch(ctx, b.program, db)
	if err != nil {
		return err
	}
	s, err := b.simply(ctx, named(db.kinds(), "refresh"), server.target, goalConnections)
	server.Kill()
	if err != nil {
		return err
	}
	b.report.count("refresh before kill -9", s)
	if r.Logged, err = db.logSize(); err != nil {
		return err
	}
	if server, err = b.launch(ctx, b.program, db); err != nil {
		return err
	}
	r.Killed = server.ready.Seconds() * 1e3
	server.stop()
	return nil
}

// simply drives one kind without a floor.
func (b *bench) simply(ctx context.Context, k *kind, to *target, connections int) (*slice, error) {
	f, err := newFleet(ctx, to, connections)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if _, err := b.warm(ctx, f, k); err != nil {
		return nil, err
	}
	return f.drive(ctx, k, time.Duration(b.Seconds*float64(time.Second)))
}
