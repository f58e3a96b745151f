package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is what servers on one PostgreSQL database announce changes on.
const channel = "hufu_changed"

// listenAgain is how long after a lost connection the next one is tried. Meanwhile
// changes are found by looking, as they would be without listening at all.
const listenAgain = 5 * time.Second

// isDirect reports whether connections reach PostgreSQL itself. Behind a pooler that
// hands them out by the transaction, for which the address switches prepared
// statements off, nobody can listen.
func (c *cluster) isDirect() bool {
	mode := c.config.DefaultQueryExecMode
	return mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol
}

// listen hears of changes on a connection of its own until ctx ends.
func (c *cluster) listen(ctx context.Context, heard func()) {
	for {
		c.listenOnce(ctx, heard)
		timer := time.NewTimer(listenAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (c *cluster) listenOnce(ctx context.Context, heard func()) {
	conn, err := pgx.ConnectConfig(ctx, c.config.Copy())
	if err != nil {
		return // those who need the database tell the operator
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	heard() // of whatever was changed before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
		heard()
	}
}

// announce is in nobody's way: it runs beside, and what is lost is found by looking.
func (c *cluster) announce() {
	c.beside.Go(func() {
		ctx, cancel := bound(context.Background())
		defer cancel()
		_, _ = c.pool.ExecContext(ctx, "NOTIFY "+channel)
	})
}
