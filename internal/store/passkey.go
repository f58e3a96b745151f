package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// A Passkey is a public key with which a person signs in: the credential record of
// WebAuthn Section 4.
type Passkey struct {
	ID         string // credential id, base64url
	UserID     string
	PublicKey  string // COSE_Key, base64url
	SignCount  int64  // the highest that was seen; 0 for an authenticator that does not count
	Flags      int64  // of the authenticator data, all of them, as they were last
	Attachment string // platform, cross-platform, or ""
	Transports string // space-separated
	AAGUID     string // the make of the authenticator, as a UUID
	Name       string // what the person calls it
	CreatedAt  time.Time
	LastUsedAt time.Time // zero until its first use
}

// MaxPasskeys is how many passkeys one person may have.
const MaxPasskeys = 20

const passkeyColumns = `p.id, p.user_id, p.public_key, p.sign_count, p.flags, p.attachment, p.transports, p.aaguid, p.name, p.created_at, p.last_used_at`

func (p *Passkey) columns() []any {
	return []any{&p.ID, &p.UserID, &p.PublicKey, &p.SignCount, &p.Flags, &p.Attachment, &p.Transports, &p.AAGUID, &p.Name, seconds{&p.CreatedAt}, nullTime{&p.LastUsedAt}}
}

// Passkeys lists those of a user, the oldest first.
func (q *queries) Passkeys(ctx context.Context, userID string) ([]Passkey, error) {
	var all []Passkey
	err := q.each(ctx, func(r fields) error {
		var p Passkey
		err := r.Scan(p.columns()...)
		all = append(all, p)
		return err
	}, `SELECT `+passkeyColumns+` FROM passkey p WHERE p.user_id = $1 ORDER BY p.created_at, p.id LIMIT $2`, userID, MaxPasskeys)
	return all, wrap("list passkeys", err)
}

// Passkey reads a passkey whose user is in force: neither disabled nor deleted.
func (q *queries) Passkey(ctx context.Context, id string) (*Passkey, error) {
	var p Passkey
	err := q.row(ctx, `
		SELECT `+passkeyColumns+` FROM passkey p
		JOIN end_user u ON u.id = p.user_id AND u.disabled_at IS NULL AND u.deleted_at IS NULL
		WHERE p.id = $1`, id).Scan(p.columns()...)
	return &p, wrap("read passkey", err)
}

// A Challenge is what an authenticator has signed, of which no second answer is taken.
type Challenge struct {
	Text      string
	ExpiresAt time.Time // when nobody would take an answer to it any more
	// UserEpoch is the epoch of the user that whoever answers to add a passkey is signed in
	// under; 0 asks for none.
	UserEpoch int64
}

// use uses a challenge up: of all that answer it, on whatever servers, one does.
func (tx *Tx) use(ctx context.Context, c Challenge) error {
	sum := sha256.Sum256([]byte(c.Text))
	n, err := tx.exec(ctx, `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		"challenge "+base64.RawURLEncoding.EncodeToString(sum[:]), c.ExpiresAt.Unix())
	if err == nil && n == 0 {
		return ErrReplayed
	}
	return err
}

// AddPasskey keeps a new passkey of a user and uses up the challenge that it answers:
// ErrReplayed when that was answered before, ErrConflict when somebody has this passkey
// already, ErrTooMany when the user has as many as may be, ErrNotFound when the user is
// not in force, or has moved on from the epoch of the challenge: whoever was signed out by
// a new password leaves no passkey behind.
func (s *Store) AddPasskey(ctx context.Context, p *Passkey, c Challenge, by By) error {
	return wrap("add passkey", s.write(ctx, func(tx *Tx) error {
		var live string // and held, so that what is counted stays as it was counted
		if err := tx.row(ctx, `
			SELECT id FROM end_user
			WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL AND (epoch = $2 OR $2 = 0)`+tx.own, p.UserID, c.UserEpoch).Scan(&live); err != nil {
			return err
		}
		if err := tx.use(ctx, c); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			INSERT INTO passkey (id, user_id, public_key, sign_count, flags, attachment, transports, aaguid, name, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
			p.ID, p.UserID, p.PublicKey, p.SignCount, p.Flags, p.Attachment, p.Transports, p.AAGUID, p.Name, p.CreatedAt.Unix())
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		var count int
		if err := tx.row(ctx, `SELECT COUNT(*) FROM passkey WHERE user_id = $1`, p.UserID).Scan(&count); err != nil {
			return err
		}
		if count > MaxPasskeys {
			return ErrTooMany // and what was inserted goes
		}
		return tx.record(ctx, Event{At: p.CreatedAt, Kind: EventPasskeyAdded, By: by, UserID: p.UserID, Detail: p.Name})
	}))
}

// A PasskeyUse is an assertion whose signature was right.
type PasskeyUse struct {
	ID        string // of the passkey
	UserID    string
	Challenge Challenge
	SignCount int64
	Flags     int64 // of the passkey from now on
	Tolerate  bool  // a sign count that has gone back is only told of
	Now       time.Time
}

// UsePasskey notes that a passkey was used and uses up the challenge: ErrReplayed when
// that was answered before, ErrNotFound when the passkey is gone. The UPDATE decides
// whether the sign count has gone forward, WebAuthn Section 7.2 step 22. When it has not,
// wentBack is set, the audit trail tells, and unless the use tolerates it the caller must
// refuse.
func (s *Store) UsePasskey(ctx context.Context, u PasskeyUse, by By) (wentBack bool, err error) {
	err = s.write(ctx, func(tx *Tx) error {
		wentBack = false
		if err := tx.use(ctx, u.Challenge); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			UPDATE passkey SET sign_count = $3, flags = $4, last_used_at = $5
			WHERE id = $1 AND user_id = $2 AND (sign_count < $3 OR sign_count = 0 AND $3 = 0)`,
			u.ID, u.UserID, u.SignCount, u.Flags, u.Now.Unix())
		if err != nil || n > 0 {
			return err
		}
		wentBack = true
		return tx.countBack(ctx, u, by)
	})
	return wentBack, wrap("use passkey", err)
}

// countBack tells of a sign count that has not gone forward. The highest one stays, so
// that every use of a copy that is behind is told of.
func (tx *Tx) countBack(ctx context.Context, u PasskeyUse, by By) error {
	var name string
	if err := tx.row(ctx, `SELECT name FROM passkey WHERE id = $1 AND user_id = $2`, u.ID, u.UserID).Scan(&name); err != nil {
		return err
	}
	if u.Tolerate {
		if _, err := tx.exec(ctx, `UPDATE passkey SET flags = $3, last_used_at = $4 WHERE id = $1 AND user_id = $2`,
			u.ID, u.UserID, u.Flags, u.Now.Unix()); err != nil {
			return err
		}
	}
	return tx.record(ctx, Event{At: u.Now, Kind: EventPasskeyCount, By: by, UserID: u.UserID, Detail: name})
}

// RenamePasskey gives a passkey of a user another name; ErrNotFound when they have none
// of that id.
func (s *Store) RenamePasskey(ctx context.Context, userID, id, name string) error {
	return wrap("rename passkey", s.writeOne(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE passkey SET name = $3 WHERE id = $1 AND user_id = $2`, id, userID, name)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	}))
}

// RemovePasskey takes a passkey from a user who is under an epoch. Nothing else ends with
// it. ErrNotFound when they have none of that id, ErrNotLive when the user has moved on,
// ErrLast when they could not sign in without it: the user has no password, and no other
// passkey.
func (s *Store) RemovePasskey(ctx context.Context, userID string, epoch int64, id string, now time.Time, by By) error {
	return wrap("remove passkey", s.write(ctx, func(tx *Tx) error {
		if err := tx.holdUser(ctx, userID, epoch); err != nil {
			return err
		}
		var name string
		if err := tx.row(ctx, `DELETE FROM passkey WHERE id = $1 AND user_id = $2 RETURNING name`, id, userID).Scan(&name); err != nil {
			return err
		}
		var left int
		if err := tx.row(ctx, `SELECT COUNT(*) FROM end_user u WHERE u.id = $1 AND (u.password <> '' OR EXISTS (SELECT 1 FROM passkey p WHERE p.user_id = u.id))`, userID).Scan(&left); err != nil {
			return err
		}
		if left == 0 {
			return ErrLast // and what was deleted comes back
		}
		return tx.record(ctx, Event{At: now, Kind: EventPasskeyRemoved, By: by, UserID: userID, Detail: name})
	}))
}
