package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A table is all kinds of requests on one engine over so many connections.
type table struct {
	Engine      string `json:"engine"`
	Connections int    `json:"connections"`
	Grants      int    `json:"grants"`
	Rows        []*row `json:"rows"`
}

// A row is one kind. Times of the processor are for one request, and of the
// server process unless they say otherwise.
type row struct {
	Request   string  `json:"request"`
	Note      string  `json:"note,omitempty"`
	Requests  int     `json:"requests"`
	Errors    int     `json:"errors"`
	Rate      float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	CPU       float64 `json:"cpu_us"`
	Database  float64 `json:"database_cpu_us,omitempty"` // PostgreSQL's
	Floor     string  `json:"floor"`                     // what it signs with
	FloorCPU  float64 `json:"floor_cpu_us"`              // measured between the slices of this row
	FloorRate float64 `json:"floor_requests_per_second"`
	Ratio     float64 `json:"to_floor"`
	Both      float64 `json:"both_to_floor,omitempty"` // server and PostgreSQL together
	Goal      float64 `json:"goal,omitempty"`          // of to_floor, or of both_to_floor on PostgreSQL
	Memory    float64 `json:"resident_mb"`
}

// How a cell is divided. The machine's speed drifts, so the floor is measured
// before and after each slice, and the slice is compared with the mean of the two.
const (
	warmUp      = 300 * time.Millisecond
	sliceLength = 500 * time.Millisecond
)

// divide says how many slices so many seconds are, and how long each is.
func divide(seconds float64) (n int, length time.Duration) {
	all := time.Duration(seconds * float64(time.Second))
	n = max(2, int(math.Round(float64(all)/float64(sliceLength))))
	return n, all / time.Duration(n)
}

// tableSection measures the table on SQLite.
func (b *bench) tableSection(ctx context.Context) error {
	db, err := b.database(ctx, &b.standard, "standard", b.Grants)
	if err != nil {
		return err
	}
	return b.tables(ctx, "sqlite", db)
}

// tables starts a server on a database, and measures one table for each number of
// connections.
func (b *bench) tables(ctx context.Context, engine string, db *database) error {
	server, err := b.launch(ctx, b.program, db)
	if err != nil {
		return err
	}
	defer server.stop()
	if err := b.launchFloors(ctx, server.target, db); err != nil {
		return err
	}
	for _, connections := range b.Connections {
		t := &table{Engine: engine, Connections: connections, Grants: len(db.jwt.generations)}
		b.report.Tables = append(b.report.Tables, t)
		t.printHead()
		for _, k := range db.kinds() {
			if !b.wants(k.name) {
				continue
			}
			r, err := b.measure(ctx, k, t, server.target)
			if err != nil {
				return fmt.Errorf("%s, %d connections: %w", k.name, connections, err)
			}
			t.Rows = append(t.Rows, r)
			r.print()
		}
	}
	return nil
}

// launchFloors starts a floor for each algorithm, unless they run.
func (b *bench) launchFloors(ctx context.Context, server *target, db *database) error {
	for _, g := range []*group{db.jwt, db.rsa} {
		if b.floors[g.algorithm] != nil {
			continue
		}
		f, err := launchFloor(ctx, server, g)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		b.floors[g.algorithm] = f
	}
	return nil
}

// measure is one cell: slices of the server between slices of the floor.
func (b *bench) measure(ctx context.Context, k *kind, t *table, server *target) (*row, error) {
	floor := b.floors[k.algorithm]
	floorFleet, err := newFleet(ctx, floor.target, t.Connections)
	if err != nil {
		return nil, err
	}
	defer floorFleet.close()
	f, err := newFleet(ctx, server, t.Connections)
	if err != nil {
		return nil, err
	}
	defer f.close()
	rate, err := b.warm(ctx, f, k)
	if err != nil {
		return nil, err
	}
	if _, err := floorFleet.drive(ctx, floor.kind, warmUp/2); err != nil {
		return nil, err
	}
	stop, err := b.profile(server.pid, fmt.Sprintf("%s-%s-%d", t.Engine, k.name, t.Connections))
	if err != nil {
		return nil, err
	}
	own, below, expected, err := b.interleave(ctx, k, f, floor.kind, floorFleet, rate)
	if err := stop(err); err != nil {
		return nil, err
	}
	b.report.count(fmt.Sprintf("%s, %s, %d connections", t.Engine, k.name, t.Connections), own)
	b.report.count(fmt.Sprintf("floor %s, %d connections", k.algorithm, t.Connections), below)
	r := newRow(k, own, below, expected)
	if server.beside == nil {
		r.Both, r.Goal = 0, k.goal
	}
	if t.Connections != goalConnections {
		r.Goal = 0
	}
	r.Memory, err = memory(server.pid, residentNow)
	return r, err
}

// newRow puts the figures of a cell together.
func newRow(k *kind, own, below *slice, expected float64) *row {
	return &row{
		Request: k.name, Note: k.note, Requests: own.requests, Errors: own.errors,
		Rate: own.rate(), P50: own.latencies.quantile(0.50), P99: own.latencies.quantile(0.99),
		CPU: own.each(own.cpu), Database: own.each(own.beside),
		Floor: k.algorithm, FloorCPU: below.each(below.cpu), FloorRate: below.rate(),
		Ratio: times(float64(own.cpu), expected), Both: times(float64(own.cpu+own.beside), expected), Goal: k.both,
	}
}

// times says how often one figure holds another; 0 when there is nothing to
// compare with.
func times(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// warm drives a kind until caches and connections are as they will be, and
// returns how many requests a second to stock up for.
func (b *bench) warm(ctx context.Context, f *fleet, k *kind) (rate float64, err error) {
	if k.stock != nil {
		if err := k.stock(ctx, 4000); err != nil {
			return 0, err
		}
	}
	s, err := f.drive(ctx, k, warmUp)
	if err != nil {
		return 0, err
	}
	b.report.count(k.name+", before it was measured", s)
	return s.rate(), nil
}

// interleave drives the floor, the server and the floor again, slice by slice.
// expected is the CPU time, in nanoseconds, that the floor would have taken for
// what the server was asked.
func (b *bench) interleave(ctx context.Context, k *kind, f *fleet, floorKind *kind, floor *fleet, rate float64) (own, below *slice, expected float64, err error) {
	own, below = &slice{}, &slice{}
	n, length := divide(b.Seconds)
	for range n {
		if k.stock != nil {
			if err := k.stock(ctx, 100+int(1.5*rate*length.Seconds())); err != nil {
				return nil, nil, 0, err
			}
		}
		before, err := floor.drive(ctx, floorKind, length/3)
		if err != nil {
			return nil, nil, 0, err
		}
		s, err := f.drive(ctx, k, length)
		if err != nil {
			return nil, nil, 0, err
		}
		after, err := floor.drive(ctx, floorKind, length/3)
		if err != nil {
			return nil, nil, 0, err
		}
		own.add(s)
		before.add(after)
		expected += before.each(before.cpu) * 1e3 * float64(s.requests)
		below.add(before)
	}
	return own, below, expected, nil
}
