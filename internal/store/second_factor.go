package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A SecondFactor is something beside the password by which a user proves who they are.
type SecondFactor struct {
	ID        string
	Kind      FactorKind
	CreatedAt time.Time
	UsedAt    time.Time // at a sign-in, the last time; zero when it never was
	// StandsInAfter is when the user signed browsers out: none that was to stand in for the
	// factor before that does so any more. Zero when that never happened.
	StandsInAfter time.Time
}

// A FactorKind is the kind of a second factor.
type FactorKind string

// AuthenticatorAppFactor is an app that makes one-time codes, RFC 6238.
const AuthenticatorAppFactor FactorKind = "authenticator_app"

// An AuthenticatorApp is the one app that makes a user's one-time codes, RFC 6238.
type AuthenticatorApp struct {
	ID        string
	UserID    string
	Sealed    string // its secret
	LastStep  int64  // the time step of the last code that was taken
	CreatedAt time.Time
	UsedAt    time.Time // zero when it was never used at a sign-in
}

// hasSecondFactor is a column that tells whether the end_user of a row has one.
const hasSecondFactor = `EXISTS (SELECT 1 FROM authenticator_app a WHERE a.user_id = end_user.id)`

// secondFactors finds those of the user $1.
const secondFactors = `SELECT id, 'authenticator_app', created_at, used_at, stands_in_after FROM authenticator_app WHERE user_id = $1`

// SecondFactors lists those of a user, the oldest first. Recovery codes are none: they
// stand in for one.
func (q *queries) SecondFactors(ctx context.Context, userID string) ([]SecondFactor, error) {
	var all []SecondFactor
	err := q.each(ctx, func(r fields) error {
		var f SecondFactor
		err := r.Scan(&f.ID, (*string)(&f.Kind), seconds{&f.CreatedAt}, nullTime{&f.UsedAt}, nullTime{&f.StandsInAfter})
		all = append(all, f)
		return err
	}, secondFactors+` ORDER BY 3, 1`, userID)
	return all, wrap("list second factors", err)
}

// AuthenticatorApp reads the app of a user; ErrNotFound when there is none.
func (q *queries) AuthenticatorApp(ctx context.Context, userID string) (*AuthenticatorApp, error) {
	a := AuthenticatorApp{UserID: userID}
	err := q.row(ctx, `SELECT id, sealed, last_step, created_at, used_at FROM authenticator_app WHERE user_id = $1`, userID).
		Scan(&a.ID, &a.Sealed, &a.LastStep, seconds{&a.CreatedAt}, nullTime{&a.UsedAt})
	return &a, wrap("read authenticator app", err)
}

// AddAuthenticatorApp gives a user in force, under an epoch, the app that has just shown
// a code. It is ErrConflict when they have one, and ErrNotLive when the user has moved on.
// recovery are the hashes of recovery codes for somebody who has none yet; made tells
// whether they were kept.
func (s *Store) AddAuthenticatorApp(ctx context.Context, a *AuthenticatorApp, epoch int64, recovery []string, by By) (made bool, err error) {
	err = s.write(ctx, func(tx *Tx) error {
		made = false
		if err := tx.holdUser(ctx, a.UserID, epoch); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			INSERT INTO authenticator_app (user_id, id, sealed, last_step, created_at)
			SELECT u.id, $2, $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM end_user u
			WHERE u.id = $1 AND u.epoch = $6 AND u.disabled_at IS NULL AND u.deleted_at IS NULL
			ON CONFLICT DO NOTHING`, a.UserID, a.ID, a.Sealed, a.LastStep, a.CreatedAt.Unix(), epoch)
		if err != nil {
			return err
		}
		if n == 0 {
			return tx.whyNoApp(ctx, a.UserID)
		}
		if err := tx.record(ctx, Event{At: a.CreatedAt, Kind: EventSecondFactorAdded, By: by, UserID: a.UserID, Detail: string(AuthenticatorAppFactor)}); err != nil {
			return err
		}
		left, err := tx.RecoveryCodesLeft(ctx, a.UserID)
		if err != nil || left > 0 || len(recovery) == 0 {
			return err
		}
		made = true
		return tx.makeRecoveryCodes(ctx, a.UserID, recovery, a.CreatedAt, by)
	})
	return made, wrap("add authenticator app", err)
}

// whyNoApp tells why a user was given no app.
func (tx *Tx) whyNoApp(ctx context.Context, userID string) error {
	_, err := tx.AuthenticatorApp(ctx, userID)
	switch {
	case err == nil:
		return ErrConflict
	case errors.Is(err, ErrNotFound):
		return ErrNotLive
	}
	return err
}

// holdUser keeps whatever else would change a user or their second factors waiting until
// the commit: what one statement here relies on the next one finds as well. A user who is
// not under the epoch any more is ErrNotLive: whoever asked was let in before another
// password was set. Whether their browser was signed out meanwhile is not looked at.
func (tx *Tx) holdUser(ctx context.Context, userID string, epoch int64) error {
	var id string
	err := tx.row(ctx, `SELECT id FROM end_user WHERE id = $1 AND epoch = $2`+tx.own, userID, epoch).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotLive
	}
	return err
}

// UseAuthenticatorApp takes the code of a time step: the UPDATE is the gate of RFC 6238
// Section 5.2, by which each is taken once. ErrReplayed is for a step that was used, or
// lies before one that was, and for an app that the user no longer has.
func (s *Store) UseAuthenticatorApp(ctx context.Context, userID, id string, step int64, now time.Time) error {
	return wrap("use authenticator app", s.writeOne(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE authenticator_app SET last_step = $3, used_at = $4 WHERE user_id = $1 AND id = $2 AND last_step < $3`,
			userID, id, step, now.Unix())
		if err == nil && n == 0 {
			return ErrReplayed
		}
		return err
	}))
}

// standInNoMore has no browser stand in any more for the second factor of a user. By the
// clock of another server it may have happened already.
func (tx *Tx) standInNoMore(ctx context.Context, userID string, now time.Time) error {
	_, err := tx.exec(ctx, `
		UPDATE authenticator_app SET stands_in_after = $2
		WHERE user_id = $1 AND (stands_in_after IS NULL OR stands_in_after < $2)`, userID, now.Unix())
	return err
}

// RemoveAuthenticatorApp takes the app of an id from a user who is under an epoch;
// ErrNotFound when it is not theirs, ErrNotLive when the user has moved on. Recovery codes
// go with the last second factor.
func (s *Store) RemoveAuthenticatorApp(ctx context.Context, userID string, epoch int64, id string, now time.Time, by By) error {
	return wrap("remove authenticator app", s.write(ctx, func(tx *Tx) error {
		if err := tx.holdUser(ctx, userID, epoch); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `DELETE FROM authenticator_app WHERE user_id = $1 AND id = $2`, userID, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if err := tx.record(ctx, Event{At: now, Kind: EventSecondFactorRemoved, By: by, UserID: userID, Detail: string(AuthenticatorAppFactor)}); err != nil {
			return err
		}
		return tx.dropRecoveryCodes(ctx, userID)
	}))
}

// dropRecoveryCodes forgets those of a user who has no second factor left.
func (tx *Tx) dropRecoveryCodes(ctx context.Context, userID string) error {
	_, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE user_id = $1 AND NOT EXISTS (`+secondFactors+`)`, userID)
	return err
}

// RecoveryCodesLeft is how many recovery codes a user has.
func (q *queries) RecoveryCodesLeft(ctx context.Context, userID string) (left int, err error) {
	err = q.row(ctx, `SELECT COUNT(*) FROM recovery_code WHERE user_id = $1`, userID).Scan(&left)
	return left, wrap("count recovery codes", err)
}

// UseRecoveryCode takes a code by its hash: the DELETE is the gate, so each is taken
// once. ErrNotFound is for one that is not theirs, or was used.
func (s *Store) UseRecoveryCode(ctx context.Context, userID, hash string, now time.Time, by By) error {
	return wrap("use recovery code", s.write(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE user_id = $1 AND hash = $2`, userID, hash)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		left, err := tx.RecoveryCodesLeft(ctx, userID)
		if err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventRecoveryCodeUsed, By: by, UserID: userID, Detail: fmt.Sprintf("%d left", left)})
	}))
}

// RenewRecoveryCodes puts new codes in the place of the old ones, for a user who has a
// second factor and is under an epoch: ErrNotFound for who has none, ErrNotLive for who has
// moved on.
func (s *Store) RenewRecoveryCodes(ctx context.Context, userID string, epoch int64, hashes []string, now time.Time, by By) error {
	return wrap("renew recovery codes", s.write(ctx, func(tx *Tx) error {
		if err := tx.holdUser(ctx, userID, epoch); err != nil {
			return err
		}
		if factors, err := tx.SecondFactors(ctx, userID); err != nil {
			return err
		} else if len(factors) == 0 {
			return ErrNotFound
		}
		if _, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE user_id = $1`, userID); err != nil {
			return err
		}
		return tx.makeRecoveryCodes(ctx, userID, hashes, now, by)
	}))
}

// makeRecoveryCodes keeps the hashes of new codes.
func (tx *Tx) makeRecoveryCodes(ctx context.Context, userID string, hashes []string, now time.Time, by By) error {
	for _, hash := range hashes {
		if _, err := tx.exec(ctx, `INSERT INTO recovery_code (user_id, hash, created_at) VALUES ($1, $2, $3)`, userID, hash, now.Unix()); err != nil {
			return err
		}
	}
	return tx.record(ctx, Event{At: now, Kind: EventRecoveryCodesMade, By: by, UserID: userID, Detail: fmt.Sprint(len(hashes))})
}
