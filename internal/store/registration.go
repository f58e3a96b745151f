package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ReplaceRegistration puts the metadata of c in the place of what a client was
// registered with, for whoever holds its registration token (RFC 7592 Section 2.2), and
// gives it a secret where secret is not nil. ErrConflict when the client was changed,
// disabled or deleted since it was read, or has another token.
func (s *Store) ReplaceRegistration(ctx context.Context, c *Client, secret *ClientSecret, now time.Time, by By) error {
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return fmt.Errorf("store: replace registration: %w", err)
	}
	return wrap("replace registration", s.writeClient(ctx, c.ID, func(tx *Tx, revision int64) error {
		if err := tx.changeClient(ctx, c.ID, now, revision, by, EventClientChanged, ErrConflict, `
			UPDATE client SET metadata = $4, grant_types = $6, updated_at = $2, revision = $3
			WHERE id = $1 AND deleted_at IS NULL AND disabled_at IS NULL AND metadata = $5 AND registration_token = $7 AND registration_token <> ''`,
			string(metadata), c.stored, grantTypes(c.Metadata), c.RegistrationToken); err != nil {
			return err
		}
		if !c.Metadata.HasSecret() || secret != nil {
			if _, err := tx.exec(ctx, `DELETE FROM client_secret WHERE client_id = $1`, c.ID); err != nil {
				return err
			}
		}
		if secret == nil {
			return nil
		}
		return tx.addSecret(ctx, c.ID, *secret)
	}))
}

// DeleteRegistration removes a client for whoever holds its registration token, RFC 7592
// Section 2.3. ErrNotFound when it is not there, is disabled, or has another token.
func (s *Store) DeleteRegistration(ctx context.Context, id, token string, now time.Time, by By) error {
	return wrap("delete registration", s.writeClient(ctx, id, func(tx *Tx, revision int64) error {
		return tx.deleteClient(ctx, id, now, revision, by, ` AND disabled_at IS NULL AND registration_token = $5 AND registration_token <> ''`, token)
	}))
}

// UseClient notes that a client that registered itself is used, so that it does not go
// by itself. Nobody else is told: a server with an older copy notes it once more. ErrNotFound when it has gone.
func (s *Store) UseClient(ctx context.Context, id string) error {
	err := s.writeOne(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE client SET unused_until = NULL WHERE id = $1 AND deleted_at IS NULL`, id)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
	s.cache.drop([]string{id})
	return wrap("use client", err)
}

// unusedBatch is how many clients go in one transaction; each takes several statements.
const unusedBatch = 5

// deleteUnused removes a few clients that registered themselves and were never used, and
// later the rows that they leave: nothing was issued under their epochs, and by then no
// server has a copy of them. It reports whether there may be more.
func (s *Store) deleteUnused(ctx context.Context, now time.Time) (more bool, err error) {
	deleted := map[string]bool{}
	var ids []string
	err = s.each(ctx, func(r fields) error {
		var id string
		var gone bool
		err := r.Scan(&id, &gone)
		ids, deleted[id] = append(ids, id), gone
		return err
	}, `SELECT id, deleted_at IS NOT NULL FROM client WHERE unused_until <= $1 ORDER BY unused_until LIMIT $2`, now.Unix(), unusedBatch)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	return len(ids) == unusedBatch, s.writeRevision(ctx, ids, func(tx *Tx, revision int64) error {
		for _, id := range ids {
			// The condition stands twice: a client may have been used since.
			var err error
			if deleted[id] {
				_, err = tx.exec(ctx, `DELETE FROM client WHERE id = $1 AND deleted_at IS NOT NULL AND unused_until <= $2`, id, now.Unix())
			} else {
				err = tx.deleteClient(ctx, id, now, revision, By{Actor: "server"}, ` AND unused_until <= $5`, now.Unix())
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	})
}
