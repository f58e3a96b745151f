package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// HoldJob lets one process run a job at a time: the one that holds it, until that
// has not been heard of for length. A hold that ends later than any could was taken
// before a clock was set back, and is over. A SQLite file has one server.
func (s *Store) HoldJob(ctx context.Context, name, holder string, now time.Time, length time.Duration) (held bool, err error) {
	if _, alone := s.engine.(*file); alone {
		return true, nil
	}
	err = s.writeOne(ctx, func(tx *Tx) error {
		var by string
		err := tx.row(ctx, `
			INSERT INTO job (name, holder, until) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE job.holder = excluded.holder OR job.until <= $4 OR job.until > $5
			RETURNING holder`, name, holder, now.Add(length).UnixMilli(), now.UnixMilli(), now.Add(2*length).UnixMilli()).Scan(&by)
		if errors.Is(err, sql.ErrNoRows) {
			held = false
			return nil
		}
		held = err == nil
		return err
	})
	return held, wrap("hold job", err)
}
