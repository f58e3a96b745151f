package main

import (
	"context"
	"fmt"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// syncResult is refreshes on a disk that takes its time.
type syncResult struct {
	DelayMS int     `json:"delay_ms"`
	One     load    `json:"one_connection"`
	Many    load    `json:"many_connections"`
	Of      int     `json:"connections"`
	Times   float64 `json:"times"` // the rate of many to that of one
	Goal    float64 `json:"goal"`  // at least
}

// String is what is said about it.
func (r *syncResult) String() string {
	return fmt.Sprintf("A slow disk: when each sync takes %d ms more, one connection refreshes %.0f times a second (p50 %.1f ms), and %d do %.0f times (p50 %.1f ms): %.1f times as often (≥ %g).",
		r.DelayMS, r.One.Rate, r.One.P50, r.Of, r.Many.Rate, r.Many.P50, r.Times, r.Goal)
}

// How the disk is slowed; the delay is that of the tag (internal/store/commit_delay.go).
const (
	syncTag         = "commitdelay"
	syncDelayMS     = 5
	syncConnections = 32
)

// syncSection measures a build whose every commit takes longer.
func (b *bench) syncSection(ctx context.Context) error {
	db, err := b.database(ctx, &b.standard, "standard", b.Grants)
	if err != nil {
		return err
	}
	program, err := oauthtest.Build(ctx, b.folder, syncTag)
	if err != nil {
		return err
	}
	server, err := b.launch(ctx, program, db)
	if err != nil {
		return err
	}
	defer server.stop()
	refresh, r := named(db.kinds(), "refresh"), &syncResult{DelayMS: syncDelayMS, Of: syncConnections, Goal: 8}
	for _, of := range []struct {
		connections int
		load        *load
	}{{1, &r.One}, {syncConnections, &r.Many}} {
		s, err := b.simply(ctx, refresh, server.target, of.connections)
		if err != nil {
			return err
		}
		b.report.count(fmt.Sprintf("refresh with slow commits, %d connections", of.connections), s)
		*of.load = s.load()
	}
	r.Times = times(r.Many.Rate, r.One.Rate)
	b.report.Sync = r
	fmt.Printf("\n%s\n", r)
	return nil
}
