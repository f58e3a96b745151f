package store

import (
	"context"
	"errors"
	"time"
)

// What a one-time link is for.
const (
	TicketReset      = "reset"      // another password
	TicketInvitation = "invitation" // the first password
	TicketEmail      = "email"      // another address, or whether the one that is known is right
	TicketSetUp      = "set_up"     // the first administrator
)

// A Ticket is what is known of a one-time link.
type Ticket struct {
	Hash      string // SHA-256 of what stands in the link
	Purpose   string
	UserID    string
	UserEmail string // the user's address when the link was made
	// UserEpoch is the epoch that the user who asks for the link is signed in under; 0 for
	// a link that takes nobody to be signed in.
	UserEpoch int64
	// NewEmail is the address that the link is sent to: using it shows that it is the
	// user's, and makes it so. It is "" for a link that is handed over otherwise.
	NewEmail    string
	Username    string
	UsernameKey string
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// requested are the events that tell of a link.
var requested = map[string]string{TicketReset: EventResetRequested, TicketInvitation: EventUserInvited, TicketEmail: EventEmailRequested}

// MakeTicket makes a one-time link for a user, in place of one of the same purpose, and
// writes the mail that brings it; nil for none. ErrNotLive: the user is disabled or gone,
// was signed out since, has another address than the link goes to, or one that nobody has
// verified. A new
// password goes to a verified address alone, or whoever has an address that somebody
// mistyped would have the account.
func (s *Store) MakeTicket(ctx context.Context, t *Ticket, m *Mail, by By) error {
	id := newID()
	err := s.writeAgain(ctx, func(tx *Tx) error { return tx.makeTicket(ctx, id, t, m, by) })
	if err == nil && m != nil {
		s.mailed()
	}
	return wrap("make link", err)
}

func (tx *Tx) makeTicket(ctx context.Context, id string, t *Ticket, m *Mail, by By) error {
	n, err := tx.exec(ctx, `
		INSERT INTO ticket (hash, purpose, user_id, user_epoch, user_email, new_email, created_at, expires_at)
		SELECT $1, $2, u.id, u.epoch, u.email, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT)
		FROM end_user u
		WHERE u.id = $3 AND u.disabled_at IS NULL AND u.deleted_at IS NULL AND (u.epoch = $9 OR $9 = 0)
		  AND ($4 = '' OR $2 = $7 OR u.email = $4 AND (u.email_verified OR $2 = $8))
		ON CONFLICT (user_id, purpose) WHERE user_id <> '' DO UPDATE SET hash = excluded.hash, user_epoch = excluded.user_epoch,
			user_email = excluded.user_email, new_email = excluded.new_email, created_at = excluded.created_at, expires_at = excluded.expires_at`,
		t.Hash, t.Purpose, t.UserID, t.NewEmail, t.CreatedAt.Unix(), t.ExpiresAt.Unix(), TicketEmail, TicketInvitation, t.UserEpoch)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotLive
	}
	if m != nil {
		if err := m.write(ctx, tx, id, t); err != nil {
			return err
		}
	}
	return tx.record(ctx, Event{ID: id, At: t.CreatedAt, Kind: requested[t.Purpose], By: by, UserID: t.UserID})
}

// Invite makes a user and the link by which the user chooses the first password, and
// writes the mail that brings it; nil for none. ErrConflict: the name is taken.
func (s *Store) Invite(ctx context.Context, u *User, t *Ticket, m *Mail, by By) error {
	t.UserID = u.ID
	err := s.write(ctx, func(tx *Tx) error {
		if err := tx.createUser(ctx, u, by); err != nil {
			return err
		}
		return tx.makeTicket(ctx, newID(), t, m, by)
	})
	if err == nil && m != nil {
		s.mailed()
	}
	return wrap("invite user", err)
}

// Ticket finds a link that can still be used; it decides nothing. ErrNotFound: it was
// never made, was used, or another one took its place. ErrExpired and ErrNotLive: it, or
// the user, is not any more what it was.
func (q *queries) Ticket(ctx context.Context, hash string, now time.Time) (*Ticket, error) {
	t := Ticket{Hash: hash}
	var live bool
	err := q.row(ctx, `
		SELECT t.purpose, t.user_id, t.user_email, t.new_email, t.created_at, t.expires_at, COALESCE(u.username, ''), COALESCE(u.username_key, ''),
			COALESCE(u.epoch = t.user_epoch AND u.email = t.user_email AND u.disabled_at IS NULL AND u.deleted_at IS NULL, s.set_up_at IS NULL)
		FROM ticket t JOIN server s ON TRUE LEFT JOIN end_user u ON u.id = t.user_id
		WHERE t.hash = $1`, hash).
		Scan(&t.Purpose, &t.UserID, &t.UserEmail, &t.NewEmail, seconds{&t.CreatedAt}, seconds{&t.ExpiresAt}, &t.Username, &t.UsernameKey, &nullBool{&live})
	switch {
	case err != nil:
		return nil, wrap("read link", err)
	case !t.ExpiresAt.After(now):
		return nil, ErrExpired
	case !live:
		return nil, ErrNotLive
	}
	return &t, nil
}

// usable is what a link and its user must be when it is used.
const usable = `t.hash = $1 AND t.purpose = $2 AND t.expires_at > $3 AND u.id = t.user_id AND u.epoch = t.user_epoch
	AND u.email = t.user_email AND u.disabled_at IS NULL AND u.deleted_at IS NULL`

// UsePasswordTicket sets the password by a link for one. The UPDATE is the gate: it raises
// the epoch that the link was made under, so of all who use it at once one finds the user
// as the link wants it, and sessions and tokens made under the old password end. The
// others get ErrNotFound.
func (s *Store) UsePasswordTicket(ctx context.Context, t *Ticket, hash string, now time.Time, by By) error {
	if t.Purpose != TicketReset && t.Purpose != TicketInvitation {
		return ErrNotFound
	}
	err := s.write(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `
			UPDATE end_user AS u SET password = $4, epoch = u.epoch + 1, updated_at = $3,
				email_verified = u.email_verified OR t.new_email <> ''
			FROM ticket AS t WHERE `+usable, t.Hash, t.Purpose, now.Unix(), hash)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if err := tx.userEnded(ctx, t.UserID, now); err != nil {
			return err
		}
		if err := tx.dropTickets(ctx, t.UserID); err != nil {
			return err
		}
		kind := EventUserPassword
		if t.Purpose == TicketInvitation {
			kind = EventInvitationUsed // there was no password that could have been changed
		}
		return tx.record(ctx, Event{At: now, Kind: kind, By: by, UserID: t.UserID, Detail: t.Purpose})
	})
	if err == nil {
		s.signedOut()
	}
	return wrap("set password by link", err)
}

// UseEmailTicket makes the address of a link the user's, and verified. The user is told
// at the old one, if that was verified. Of all who use a link at once one does; the
// others get ErrNotFound, and so does who uses it for an address that is somebody else's:
// it would name neither of them any more, and who owns it may have been led to the link.
func (s *Store) UseEmailTicket(ctx context.Context, t *Ticket, now time.Time, by By) error {
	kind := EventEmailVerified
	if t.NewEmail != t.UserEmail {
		kind = EventEmailChanged
	}
	err := s.write(ctx, func(tx *Tx) error {
		// Before the address changes, so that the old one is told.
		if err := tx.record(ctx, Event{At: now, Kind: kind, By: by, UserID: t.UserID}); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			UPDATE end_user AS u SET email = t.new_email, email_verified = TRUE, updated_at = $3
			FROM ticket AS t WHERE `+usable+` AND (u.email <> t.new_email OR NOT u.email_verified)
			AND NOT EXISTS (SELECT 1 FROM end_user o WHERE o.id <> u.id AND o.email_verified AND lower(o.email) = lower(t.new_email)
				AND o.disabled_at IS NULL AND o.deleted_at IS NULL)`, t.Hash, TicketEmail, now.Unix())
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return tx.dropTickets(ctx, t.UserID)
	})
	return wrap("set address by link", err)
}

// dropTickets forgets the links of a user, none of which can be used any more.
func (tx *Tx) dropTickets(ctx context.Context, userID string) error {
	_, err := tx.exec(ctx, `DELETE FROM ticket WHERE user_id = $1 AND user_id <> ''`, userID)
	return err
}

// OpenSetUp makes a link by which the first administrator is made. open is false when
// there is one, or ever was: then there is nothing to set up, for good. Each server makes
// one at its start; all of them are good until one is used.
func (s *Store) OpenSetUp(ctx context.Context, t *Ticket, now time.Time) (open bool, err error) {
	err = s.writeAgain(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, `
			UPDATE server SET set_up_at = $1
			WHERE set_up_at IS NULL AND EXISTS (SELECT 1 FROM end_user u WHERE u.admin)`, now.Unix()); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			INSERT INTO ticket (hash, purpose, user_id, user_epoch, user_email, new_email, created_at, expires_at)
			SELECT $1, $2, '', 0, '', '', CAST($3 AS BIGINT), CAST($4 AS BIGINT) FROM server s WHERE s.set_up_at IS NULL
			ON CONFLICT (hash) DO NOTHING`, t.Hash, TicketSetUp, t.CreatedAt.Unix(), t.ExpiresAt.Unix())
		open = n > 0
		return err
	})
	return open, wrap("open set-up", err)
}

// closeSetUp notes that there is an administrator, whatever becomes of them. It is part of
// every transaction that makes one.
func (tx *Tx) closeSetUp(ctx context.Context, now time.Time) error {
	_, err := tx.exec(ctx, `UPDATE server SET set_up_at = $1 WHERE set_up_at IS NULL`, now.Unix())
	return err
}

// SetUp makes the first administrator by a link. The UPDATE of the one row about the
// server is the gate: of all who use any link at once one finds it open. The others get
// ErrNotFound; ErrConflict means that the name is taken, and leaves it open.
func (s *Store) SetUp(ctx context.Context, hash string, u *User, now time.Time, by By) error {
	return wrap("set up", s.write(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `
			UPDATE server SET set_up_at = $1
			WHERE set_up_at IS NULL AND NOT EXISTS (SELECT 1 FROM end_user u WHERE u.admin)
			  AND EXISTS (SELECT 1 FROM ticket t WHERE t.hash = $2 AND t.purpose = $3 AND t.expires_at > $1)`, now.Unix(), hash, TicketSetUp)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if err := tx.createUser(ctx, u, by); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `DELETE FROM ticket WHERE purpose = $1`, TicketSetUp)
		return err
	}))
}

// UserBySignIn reads the user that a name to sign in with is of: the one who is called so,
// else the one user in force whose verified address it is. Where several have the same
// address it is nobody's.
func (q *queries) UserBySignIn(ctx context.Context, usernameKey, email string) (*User, error) {
	u, err := q.UserByName(ctx, usernameKey)
	if !errors.Is(err, ErrNotFound) || email == "" {
		return u, err
	}
	const theirs = ` lower(email) = lower($1) AND email_verified AND disabled_at IS NULL AND deleted_at IS NULL`
	u, err = scanUser(q.row(ctx, `SELECT `+userColumns+` FROM end_user
		WHERE`+theirs+` AND (SELECT COUNT(*) FROM end_user WHERE`+theirs+`) = 1`, email).Scan)
	return u, wrap("read user by address", err)
}
