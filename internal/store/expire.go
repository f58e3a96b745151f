package store

import (
	"context"
	"time"
)

// expireBatch is how many rows of a table go in one transaction. More of them
// would show in how long a refresh takes.
const expireBatch = 20

// DeleteExpired removes one small batch of rows that can no longer be used, and
// reports whether there may be more.
func (s *Store) DeleteExpired(ctx context.Context, now time.Time) (more bool, err error) {
	for _, table := range []struct {
		text string
		at   int64
	}{
		{`DELETE FROM oauth_grant WHERE id IN (SELECT id FROM oauth_grant WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, now.Unix()},
		{`DELETE FROM browser_session WHERE id_hash IN (SELECT id_hash FROM browser_session WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, now.Unix()},
		{`DELETE FROM revoked_token WHERE jti IN (SELECT jti FROM revoked_token WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, now.Unix()},
		{`DELETE FROM attempt WHERE bucket IN (SELECT bucket FROM attempt WHERE full_at <= $1 ORDER BY full_at LIMIT $2)`, now.UnixMilli()},
		{`DELETE FROM key_ring WHERE id IN (SELECT id FROM key_ring WHERE expires_at <= $1 LIMIT $2)`, now.Unix()},
		{`DELETE FROM client_secret WHERE id IN (SELECT id FROM client_secret WHERE expires_at <= $1 LIMIT $2)`, now.Unix()},
	} {
		var n int64
		if err := s.write(ctx, func(tx *Tx) (err error) {
			n, err = tx.exec(ctx, table.text, table.at, expireBatch)
			return err
		}); err != nil {
			return false, wrap("delete expired", err)
		}
		more = more || n == expireBatch
	}
	return more, nil
}
