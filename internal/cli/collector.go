package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"time"
)

// The garbage collector runs when the heap has doubled, and this server's heap is
// so small that under load it would run dozens of times a second. While it does,
// the heap may grow by room before the next; a quiet server needs none and has none.
const (
	usual      = 100      // per cent by which the heap grows between two collections
	room       = 16 << 20 // bytes
	watchEvery = time.Second
	busyAt     = 4  // collections between two looks
	quietFor   = 10 // looks without a collection
)

// A collector decides by how many per cent the heap grows between collections.
type collector struct {
	percent int
	busy    bool
	quiet   int // looks in a row that saw no collection
}

// look takes in how many collections there were since the last look, and how many
// bytes the last one found in use. It reports whether percent has changed.
func (c *collector) look(collections, live uint64) bool {
	if c.quiet++; collections > 0 {
		c.quiet = 0
	}
	c.busy = collections >= busyAt || c.busy && c.quiet < quietFor
	next := usual
	if c.busy {
		next = max(usual, int(100*room/max(live, 1<<20))) //nolint:gosec // 1600 at most
	}
	if near := c.percent / 5; next > c.percent-near && next < c.percent+near {
		return false // a change stops everything for a moment
	}
	c.percent = next
	return true
}

// watchCollector eases the garbage collector until ctx ends, unless the operator
// has set it himself.
func watchCollector(ctx context.Context, environ []string) {
	if slices.ContainsFunc(environ, func(e string) bool { return strings.HasPrefix(e, "GOGC=") || strings.HasPrefix(e, "GOMEMLIMIT=") }) {
		return
	}
	// The growth is counted from the heap in use and the other memory that is looked
	// through for pointers.
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	c, last := collector{percent: usual}, uint64(0)
	for tick := time.Tick(watchEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		metrics.Read(samples)
		total := samples[0].Value.Uint64()
		base := samples[1].Value.Uint64() + samples[2].Value.Uint64() + samples[3].Value.Uint64()
		if c.look(total-last, base) {
			debug.SetGCPercent(c.percent)
		}
		last = total
	}
}
