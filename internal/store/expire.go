package store

import (
	"context"
	"time"
)

// expireBatch is how many rows of a table go in one transaction. More of them
// would show in how long a refresh takes.
const expireBatch = 20

// afterwards is how long what keeps something dead is remembered beyond its end,
// lest a clock that went ahead and came back revive it.
const afterwards = 24 * time.Hour

// keptKeys is how long a key is kept that is no longer good for anything but to tell
// that an old ID token is ours: clients show one as a hint for as long as a session may
// last.
const keptKeys = 31 * 24 * time.Hour

// DeleteExpired removes one small batch of rows that can no longer be used, and
// reports whether there may be more. It writes only where there is something to
// remove. What deleted people have left behind goes with them.
func (s *Store) DeleteExpired(ctx context.Context, now time.Time) (more bool, err error) {
	for _, t := range []struct {
		table, key, column string
		at                 int64
	}{
		{"oauth_grant", "id", "keep_until", now.Unix()},
		{"browser_session", "id_hash", "expires_at", now.Unix()},
		{"session_client", "sid, client_id", "expires_at", now.Unix()},
		{"revoked_token", "jti", "expires_at", now.Add(-afterwards).Unix()},
		{"attempt", "bucket", "full_at", now.UnixMilli()},
		{"key_ring", "id", "expires_at", now.Add(-keptKeys).Unix()},
		{"client_secret", "id", "expires_at", now.Unix()},
		{"ticket", "hash", "expires_at", now.Unix()},
		{"mail", "id", "expires_at", now.Unix()},
	} {
		find := `SELECT ` + t.key + ` FROM ` + t.table + ` WHERE ` + t.column + ` <= $1 ORDER BY ` + t.column + ` LIMIT $2`
		var expired bool
		if err := s.row(ctx, `SELECT EXISTS (`+find+`)`, t.at, 1).Scan(&expired); err != nil {
			return false, wrap("look for expired", err)
		}
		if !expired {
			continue
		}
		var n int64
		if err := s.writeOne(ctx, func(tx *Tx) (err error) {
			// The condition stands twice: a neighbour may have prolonged a row since.
			n, err = tx.exec(ctx, `DELETE FROM `+t.table+` WHERE (`+t.key+`) IN (`+find+`) AND `+t.column+` <= $1`, t.at, expireBatch)
			return err
		}); err != nil {
			return false, wrap("delete expired", err)
		}
		more = more || n == expireBatch
	}
	unused, err := s.deleteUnused(ctx, now)
	if err != nil {
		return false, wrap("delete unused clients", err)
	}
	left, err := s.forget(ctx)
	return more || unused || left, wrap("forget deleted users", err)
}
