package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// A Limit lets Burst attempts through at once and one more each Interval: the
// generic cell rate algorithm, of which one number is kept per bucket.
type Limit struct {
	Burst    int
	Interval time.Duration
}

// Bucket names a bucket by what it counts. Names of strangers go in as a hash:
// they are bounded that way, and the table tells nobody who was tried.
func Bucket(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Attempt counts one attempt against a bucket before it is made. The statement
// decides, so parallel attempts never exceed the limit on any number of
// replicas. When the bucket is full, wait is how long until it takes one more.
// A bucket that is fuller than it can be was filled before the clock was set
// back; it is cut to a wait of two intervals, lest it lock anybody out for long.
func (s *Store) Attempt(ctx context.Context, bucket string, limit Limit, now time.Time) (wait time.Duration, err error) {
	at, interval := now.UnixMilli(), limit.Interval.Milliseconds()
	allowance := at + int64(limit.Burst-1)*interval
	most := allowance + 2*interval
	err = s.writeOne(ctx, func(tx *Tx) error {
		var full int64
		err := tx.row(ctx, `
			INSERT INTO attempt (bucket, full_at) VALUES ($1, $2 + CAST($3 AS BIGINT))
			ON CONFLICT (bucket) DO UPDATE SET full_at = CASE
				WHEN attempt.full_at > $5 THEN $5
				WHEN attempt.full_at > $2 THEN attempt.full_at + $3
				ELSE $2 + CAST($3 AS BIGINT) END
			WHERE attempt.full_at <= $4 OR attempt.full_at > $5
			RETURNING full_at`, bucket, at, interval, allowance, most).Scan(&full)
		if err == nil && full < most {
			return nil // counted
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := tx.row(ctx, `SELECT full_at FROM attempt WHERE bucket = $1`, bucket).Scan(&full); err != nil {
			return err
		}
		wait = time.Duration(full-allowance) * time.Millisecond
		return nil
	})
	return wait, wrap("count attempt", err)
}

// Forgive takes an attempt back: a success is never counted.
func (s *Store) Forgive(ctx context.Context, bucket string, limit Limit) error {
	return wrap("forgive attempt", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE attempt SET full_at = full_at - $2 WHERE bucket = $1`, bucket, limit.Interval.Milliseconds())
		return err
	}))
}
