package store

import (
	"context"
	"errors"
)

// A leftover is what may remain of a deleted user in one table.
type leftover struct {
	table, key string
	which      string // condition of the rows beside their user_id; "" for all
	change     string // what becomes of them; "" deletes
}

// leftovers is everything that is about a person and not needed without them. Grants are
// not in it: they are dead by the epoch and go when they would have expired. The audit
// trail keeps what was done, and no longer from where.
var leftovers = []leftover{
	{table: "consent", key: "user_id, client_id"},
	{table: "browser_session", key: "id_hash"},
	{table: "ticket", key: "hash"},
	{table: "mail", key: "id"},
	{table: "passkey", key: "id"},
	{table: "authenticator_app", key: "user_id"},
	{table: "recovery_code", key: "user_id, hash"},
	{table: "event", key: "id", which: ` AND address <> ''`, change: `address = ''`},
	{table: "event", key: "id", which: ` AND kind LIKE 'user.passkey_%' AND detail <> ''`, change: `detail = ''`}, // what they called it
}

// forget removes one small batch of what deleted users have left behind, and reports
// whether there may be more.
func (s *Store) forget(ctx context.Context) (more bool, err error) {
	var id string
	err = wrap("look", s.row(ctx, `SELECT id FROM end_user WHERE forget ORDER BY id LIMIT 1`).Scan(&id))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = s.writeAgain(ctx, func(tx *Tx) error {
		for _, l := range leftovers {
			find := ` WHERE (` + l.key + `) IN (SELECT ` + l.key + ` FROM ` + l.table + ` WHERE user_id = $1` + l.which + ` LIMIT $2)`
			text := `DELETE FROM ` + l.table + find
			if l.change != "" {
				text = `UPDATE ` + l.table + ` SET ` + l.change + find
			}
			if n, err := tx.exec(ctx, text, id, expireBatch); err != nil || n > 0 {
				return err
			}
		}
		_, err := tx.exec(ctx, `UPDATE end_user SET forget = FALSE WHERE id = $1`, id)
		return err
	})
	return err == nil, err
}
