package main

import (
	"context"
	"fmt"
	"time"
)

// Goals of issue 3.
const (
	goalIdleMB = 40
	goalBusyMB = 96
)

// memoryResult is what the server holds, in MB.
type memoryResult struct {
	Idle     float64 `json:"idle_mb"`
	GoalIdle float64 `json:"idle_goal_mb"`
	Busy     float64 `json:"busy_mb"` // the most it held while every kind was driven
	GoalBusy float64 `json:"busy_goal_mb"`
}

// String is what is said about it.
func (m *memoryResult) String() string {
	return fmt.Sprintf("Memory: %.0f MB idle (≤ %.0f), %.0f MB at most under %d connections (≤ %.0f).", m.Idle, m.GoalIdle, m.Busy, busyConnections, m.GoalBusy)
}

// busyConnections drive the server while its memory is watched.
const busyConnections = 64

// memorySection starts a fresh server, looks at it when it has come to rest, and
// again after every kind of request, one after the other.
func (b *bench) memorySection(ctx context.Context) error {
	db, err := b.database(ctx, &b.standard, "standard", b.Grants)
	if err != nil {
		return err
	}
	server, err := b.launch(ctx, b.program, db)
	if err != nil {
		return err
	}
	defer server.stop()
	time.Sleep(2 * time.Second)
	m := &memoryResult{GoalIdle: goalIdleMB, GoalBusy: goalBusyMB}
	if m.Idle, err = memory(server.pid, residentNow); err != nil {
		return err
	}
	f, err := newFleet(ctx, server.target, busyConnections)
	if err != nil {
		return err
	}
	defer f.close()
	seconds := max(0.5, b.Seconds/3) // for each of many kinds
	for _, k := range db.kinds() {
		if k.stock != nil {
			if err := k.stock(ctx, int(8000*seconds)); err != nil {
				return err
			}
		}
		s, err := f.drive(ctx, k, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		b.report.count("memory, "+k.name, s)
	}
	if m.Busy, err = memory(server.pid, residentMax); err != nil {
		return err
	}
	b.report.Memory = m
	fmt.Printf("\n%s\n", m)
	return nil
}
