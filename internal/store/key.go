package store

import (
	"cmp"
	"context"
	"time"
)

// A Key is one key of the ring, sealed with the master key.
type Key struct {
	ID        string
	Purpose   string
	Sealed    string
	Check     string // of the master key a new key is sealed with; not read back
	CreatedAt time.Time
	ActiveAt  time.Time // not used before
	RetiredAt time.Time // zero while it is the newest of its purpose
	ExpiresAt time.Time // zero while it is the newest: kept until then to verify
}

// Keys reads the whole ring, oldest first.
func (q *queries) Keys(ctx context.Context) ([]Key, error) {
	var keys []Key
	err := q.each(ctx, func(r fields) error {
		var k Key
		err := r.Scan(&k.ID, &k.Purpose, &k.Sealed, seconds{&k.CreatedAt}, seconds{&k.ActiveAt}, nullTime{&k.RetiredAt}, nullTime{&k.ExpiresAt})
		keys = append(keys, k)
		return err
	}, `SELECT id, purpose, sealed, created_at, active_at, retired_at, expires_at FROM key_ring ORDER BY created_at, active_at, id`)
	return keys, wrap("read keys", err)
}

// writeRevision is write for a unit that changes what servers keep copies of: the
// clients named, or all of them and the keys. It takes the next number first, which
// locks the row of the server until the commit, so that numbers come into force in
// their order.
func (s *Store) writeRevision(ctx context.Context, clients []string, unit func(tx *Tx, revision int64) error) error {
	err := s.write(ctx, func(tx *Tx) error {
		var revision int64
		if err := tx.row(ctx, `UPDATE server SET revision = revision + 1 RETURNING revision`).Scan(&revision); err != nil {
			return err
		}
		return unit(tx, revision)
	})
	s.changed(clients) // whatever came of it
	return err
}

// AddFirstKey adds the first key of a purpose; ErrConflict when another process
// was quicker.
func (s *Store) AddFirstKey(ctx context.Context, k Key) error {
	return wrap("add key", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		n, err := tx.insertKey(ctx, k)
		if err == nil && n == 0 {
			return ErrConflict
		}
		return err
	}))
}

// insertKey adds a key unless there is a newest one of its purpose, or the
// database has meanwhile been sealed with another master key, which would not
// open it.
func (tx *Tx) insertKey(ctx context.Context, k Key) (int64, error) {
	return tx.exec(ctx, `
		INSERT INTO key_ring (id, purpose, sealed, created_at, active_at)
		SELECT $1, $2, $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM server WHERE key_check = $6
		ON CONFLICT DO NOTHING`, k.ID, k.Purpose, k.Sealed, k.CreatedAt.Unix(), k.ActiveAt.Unix(), k.Check)
}

// SucceedKey puts next in the place of the newest key of its purpose. The old
// key stays in use until next becomes active, and is kept until expires.
// ErrConflict when the old one is no longer the newest.
func (s *Store) SucceedKey(ctx context.Context, oldID string, next Key, expires time.Time, by By) error {
	return wrap("rotate key", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		n, err := tx.exec(ctx, `UPDATE key_ring SET retired_at = $2, expires_at = $3 WHERE id = $1 AND retired_at IS NULL`,
			oldID, next.ActiveAt.Unix(), expires.Unix())
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		if n, err = tx.insertKey(ctx, next); err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		return tx.record(ctx, Event{At: next.CreatedAt, Kind: EventKeyRotated, By: by, Detail: next.Purpose + " " + next.ID})
	}))
}

// RemoveKey takes a key out of the ring at once. When it was the newest of its
// purpose, next takes its place in the same transaction, active at once; when a
// successor already stands by, it becomes active at once.
func (s *Store) RemoveKey(ctx context.Context, id string, next Key, by By) error {
	return wrap("remove key", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		var purpose string
		if err := tx.row(ctx, `
			DELETE FROM key_ring WHERE id = $1 AND purpose = $2 AND EXISTS (SELECT 1 FROM server WHERE key_check = $3)
			RETURNING purpose`, id, next.Purpose, next.Check).Scan(&purpose); err != nil {
			return err
		}
		if _, err := tx.insertKey(ctx, next); err != nil { // does nothing when a newest one is there
			return err
		}
		if _, err := tx.exec(ctx, `
			UPDATE key_ring SET active_at = $2 WHERE purpose = $1 AND retired_at IS NULL AND active_at > $2
			  AND NOT EXISTS (SELECT 1 FROM key_ring o WHERE o.purpose = $1 AND o.active_at <= $2 AND o.retired_at > $2)`,
			purpose, next.ActiveAt.Unix()); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: next.CreatedAt, Kind: EventKeyRemoved, By: by, Detail: purpose + " " + id})
	}))
}

// ResealKeys replaces the sealed form of every key and the check value in one
// transaction; ErrConflict when the ring has changed since it was read.
func (s *Store) ResealKeys(ctx context.Context, keys []Key, wasCheck, check string, now time.Time, by By) error {
	return wrap("reseal keys", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		n, err := tx.exec(ctx, `UPDATE server SET key_check = $2 WHERE key_check = $1 AND (SELECT COUNT(*) FROM key_ring) = $3`, wasCheck, check, len(keys))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		for _, k := range keys {
			if n, err := tx.exec(ctx, `UPDATE key_ring SET sealed = $2 WHERE id = $1`, k.ID, k.Sealed); err != nil || n == 0 {
				return cmp.Or(err, ErrConflict)
			}
		}
		return tx.record(ctx, Event{At: now, Kind: EventKeysResealed, By: by})
	}))
}

// ResetKeys throws the ring away, with everything that only it could open:
// client secrets cannot be checked any more, nor codes of second factors, and no token
// verifies. The epoch rises, so nothing made before is honoured.
func (s *Store) ResetKeys(ctx context.Context, check string, now time.Time, by By) error {
	return wrap("reset keys", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		for _, text := range []string{`DELETE FROM key_ring`, `DELETE FROM client_secret`, `DELETE FROM authenticator_app`, `DELETE FROM recovery_code`} {
			if _, err := tx.exec(ctx, text); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, `UPDATE server SET key_check = $1, epoch = epoch + 1`, check); err != nil {
			return err
		}
		if err := tx.allEnded(ctx, now); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventKeysReset, By: by})
	}))
}

// Server is what the database knows about the server as a whole.
type Server struct {
	Epoch    int64
	Demo     bool
	KeyCheck string // "" until a master key was made
}

// Server reads it.
func (q *queries) Server(ctx context.Context) (*Server, error) {
	var v Server
	err := q.row(ctx, `SELECT epoch, demo, key_check FROM server`).Scan(&v.Epoch, &v.Demo, &v.KeyCheck)
	return &v, wrap("read server", err)
}

// SetKeyCheck stores the check value of the first master key; ErrConflict when
// another process was quicker.
func (s *Store) SetKeyCheck(ctx context.Context, check string) error {
	return wrap("set key check", s.writeOne(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE server SET key_check = $1 WHERE key_check = ''`, check)
		if err == nil && n == 0 {
			return ErrConflict
		}
		return err
	}))
}

// MarkDemo marks a database that holds nobody yet as one with well-known
// passwords; ErrConflict when it holds somebody and has no mark.
func (s *Store) MarkDemo(ctx context.Context) error {
	return wrap("mark demo", s.write(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `
			UPDATE server SET demo = TRUE WHERE demo OR NOT EXISTS (SELECT 1 FROM end_user) AND NOT EXISTS (SELECT 1 FROM client)`)
		if err == nil && n == 0 {
			return ErrConflict
		}
		return err
	}))
}

// RevokeAll ends every token, every session and every one-time link, and has no browser
// stand in for a second factor: nothing made under the old epoch is honoured.
func (s *Store) RevokeAll(ctx context.Context, now time.Time, by By) error {
	return wrap("revoke all", s.writeRevision(ctx, nil, func(tx *Tx, _ int64) error {
		if _, err := tx.exec(ctx, `UPDATE server SET epoch = epoch + 1`); err != nil {
			return err
		}
		if err := tx.allEnded(ctx, now); err != nil {
			return err
		}
		// A backup that was restored brings back links that were used since.
		if _, err := tx.exec(ctx, `DELETE FROM ticket WHERE user_id <> ''`); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE authenticator_app SET stands_in_after = $1`, now.Unix()); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventRevokeAll, By: by})
	}))
}
