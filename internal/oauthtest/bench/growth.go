package main

import (
	"context"
	"fmt"
	"time"
)

// growthResult compares a small database with a large one.
type growthResult struct {
	Small         int          `json:"small_grants"`
	Large         int          `json:"large_grants"`
	Rows          []*growthRow `json:"rows"`
	BytesPerGrant float64      `json:"bytes_per_grant"` // what the large file has more, divided by the grants it has more
	GoalBytes     float64      `json:"bytes_per_grant_goal"`
}

// expiryResult compares a database at rest with one from which a great many rows
// are being removed.
type expiryResult struct {
	Small   int          `json:"small_grants"`
	Large   int          `json:"large_grants"`
	Expired int          `json:"expired_grants"`
	Removed int          `json:"removed_meanwhile"`
	Seconds float64      `json:"seconds"`
	Rows    []*growthRow `json:"rows"`
}

// A growthRow is one kind on both.
type growthRow struct {
	Request  string  `json:"request"`
	Small    load    `json:"small"`
	Large    load    `json:"large"`
	CPU      float64 `json:"cpu_times"`  // large to small; within 15 % is wanted
	RateKept float64 `json:"rate_times"` // the same
	P99      float64 `json:"p99_times"`  // within 50 %
}

// String is what is said about it.
func (r *growthResult) String() string {
	return fmt.Sprintf("Growth: from %d to %d live grants, over %d connections; each grant takes %.0f bytes of database (≤ %.0f).", r.Small, r.Large, goalConnections, r.BytesPerGrant, r.GoalBytes)
}

// String is what is said about it.
func (r *expiryResult) String() string {
	return fmt.Sprintf("Expiry: the same while expired grants are removed from the large database, over %d connections; %d of %d went in these %.0f s.", goalConnections, r.Removed, r.Expired, r.Seconds)
}

// smallGrants is how many live grants the small database has.
const smallGrants = 1000

// growthSection measures what asks the database at 1,000 and at a million live
// grants.
func (b *bench) growthSection(ctx context.Context) error {
	small, big, err := b.smallAndBig(ctx)
	if err != nil {
		return err
	}
	r := &growthResult{Small: len(small.jwt.generations), Large: len(big.jwt.generations), GoalBytes: 700}
	from, err := small.size(ctx)
	if err != nil {
		return err
	}
	to, err := big.size(ctx)
	if err != nil {
		return err
	}
	r.BytesPerGrant = float64(to-from) / float64(r.Large+len(big.rsa.generations)-r.Small-len(small.rsa.generations))
	fmt.Printf("\n%s\n", r)
	if r.Rows, err = b.compare(ctx, small, big, b.Seconds); err != nil {
		return err
	}
	b.report.Growth = r
	return nil
}

// expirySection does the same while a million expired grants are being removed
// from the large database.
func (b *bench) expirySection(ctx context.Context) error {
	small, big, err := b.smallAndBig(ctx)
	if err != nil {
		return err
	}
	if err := big.makeExpired(ctx, b.Many); err != nil {
		return err
	}
	r := &expiryResult{Small: len(small.jwt.generations), Large: len(big.jwt.generations)}
	if r.Expired, err = big.expired(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%d live grants, and %d beside which %d expired ones are removed\n", r.Small, r.Large, r.Expired)
	began := time.Now()
	// Rows go for a while every ten seconds, so it takes some of those to see it.
	if r.Rows, err = b.compare(ctx, small, big, max(b.Seconds, 10)); err != nil {
		return err
	}
	left, err := big.expired(ctx)
	if err != nil {
		return err
	}
	r.Removed, r.Seconds = r.Expired-left, time.Since(began).Seconds()
	b.report.Expiry = r
	fmt.Println(r)
	return nil
}

func (b *bench) smallAndBig(ctx context.Context) (small, big *database, err error) {
	if small, err = b.database(ctx, &b.small, "small", smallGrants); err != nil {
		return nil, nil, err
	}
	big, err = b.database(ctx, &b.big, "big", b.Many)
	return small, big, err
}

// compare runs a server on each database, and drives them in turn.
func (b *bench) compare(ctx context.Context, small, big *database, seconds float64) ([]*growthRow, error) {
	var servers [2]*running
	for i, db := range []*database{small, big} {
		server, err := b.launch(ctx, b.program, db)
		if err != nil {
			return nil, err
		}
		defer server.stop()
		servers[i] = server
	}
	printGrowthHead()
	var rows []*growthRow
	ofBig := big.hot()
	for i, k := range small.hot() {
		both, err := b.inTurn(ctx, [2]*kind{k, ofBig[i]}, servers, seconds)
		if err != nil {
			return nil, err
		}
		b.report.count(k.name+", small", both[0])
		b.report.count(k.name+", large", both[1])
		r := &growthRow{Request: k.name, Small: both[0].load(), Large: both[1].load()}
		r.CPU, r.RateKept, r.P99 = times(r.Large.CPU, r.Small.CPU), times(r.Large.Rate, r.Small.Rate), times(r.Large.P99, r.Small.P99)
		rows = append(rows, r)
		r.print()
	}
	return rows, nil
}

// inTurn drives one kind on two servers, slice by slice.
func (b *bench) inTurn(ctx context.Context, kinds [2]*kind, servers [2]*running, seconds float64) (sums [2]*slice, err error) {
	var fleets [2]*fleet
	var rates [2]float64
	for i, server := range servers {
		if fleets[i], err = newFleet(ctx, server.target, goalConnections); err != nil {
			return sums, err
		}
		defer fleets[i].close()
		if rates[i], err = b.warm(ctx, fleets[i], kinds[i]); err != nil {
			return sums, err
		}
		sums[i] = &slice{}
	}
	n, length := divide(seconds)
	for range n {
		for i, k := range kinds {
			if k.stock != nil {
				if err := k.stock(ctx, 100+int(1.5*rates[i]*length.Seconds())); err != nil {
					return sums, err
				}
			}
		}
		for i, k := range kinds {
			s, err := fleets[i].drive(ctx, k, length)
			if err != nil {
				return sums, err
			}
			sums[i].add(s)
		}
	}
	return sums, nil
}
