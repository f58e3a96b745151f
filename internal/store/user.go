package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// A User is a person who can sign in.
type User struct {
	ID            string // the subject: random, never reused
	Username      string
	UsernameKey   string // what all spellings of the name share
	Email         string
	EmailVerified bool
	Password      string // Argon2id in PHC form; "" means none
	Claims        json.RawMessage
	Locale        string // language of mail, "en" or "zh"; "" until known
	Admin         bool   // may use the administration
	SecondFactor  bool   // has one at least; read only
	Epoch         int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
	DisabledAt    time.Time // zero while enabled
}

// NewUserID makes a subject: a random UUID, which tells nothing about the user,
// not even since when there has been one.
func NewUserID() string { return uuid.NewString() }

const userColumns = `id, username, username_key, email, email_verified, password, claims, locale, admin, epoch, created_at, updated_at, disabled_at, ` + hasSecondFactor

func scanUser(scan func(dest ...any) error) (*User, error) {
	var u User
	var claims string
	var created, updated int64
	err := scan(&u.ID, &u.Username, &u.UsernameKey, &u.Email, &u.EmailVerified, &u.Password, &claims, &u.Locale, &u.Admin, &u.Epoch, &created, &updated, nullTime{&u.DisabledAt}, &u.SecondFactor)
	u.Claims, u.CreatedAt, u.UpdatedAt = json.RawMessage(claims), time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
	return &u, err
}

// UserByName reads a user by the key of the name.
func (q *queries) UserByName(ctx context.Context, usernameKey string) (*User, error) {
	u, err := scanUser(q.row(ctx, `SELECT `+userColumns+` FROM end_user WHERE username_key = $1 AND deleted_at IS NULL`, usernameKey).Scan)
	return u, wrap("read user", err)
}

// User reads a user by subject.
func (q *queries) User(ctx context.Context, id string) (*User, error) {
	u, err := scanUser(q.row(ctx, `SELECT `+userColumns+` FROM end_user WHERE id = $1 AND deleted_at IS NULL`, id).Scan)
	return u, wrap("read user", err)
}

// Users lists users in the order of their name keys, limit at most, behind after.
func (q *queries) Users(ctx context.Context, after string, limit int) ([]User, error) {
	var users []User
	err := q.each(ctx, func(r fields) error {
		u, err := scanUser(r.Scan)
		users = append(users, *u)
		return err
	}, `SELECT `+userColumns+` FROM end_user WHERE username_key > $1 AND deleted_at IS NULL ORDER BY username_key LIMIT $2`, after, limit)
	return users, wrap("list users", err)
}

// CreateUser adds a user; ErrConflict when the name is taken.
func (s *Store) CreateUser(ctx context.Context, u *User, by By) error {
	return wrap("create user", s.write(ctx, func(tx *Tx) error { return tx.createUser(ctx, u, by) }))
}

func (tx *Tx) createUser(ctx context.Context, u *User, by By) error {
	n, err := tx.exec(ctx, `
		INSERT INTO end_user (id, username, username_key, email, email_verified, password, claims, epoch, created_at, updated_at, locale, admin)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8, $9, $10) ON CONFLICT DO NOTHING`,
		u.ID, u.Username, u.UsernameKey, u.Email, u.EmailVerified, u.Password, claimsText(u.Claims), u.CreatedAt.Unix(), u.Locale, u.Admin)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrConflict
	}
	if u.Admin {
		if err := tx.closeSetUp(ctx, u.CreatedAt); err != nil {
			return err
		}
	}
	return tx.record(ctx, Event{At: u.CreatedAt, Kind: EventUserCreated, By: by, UserID: u.ID})
}

func claimsText(claims json.RawMessage) string {
	if len(claims) == 0 {
		return "{}"
	}
	return string(claims)
}

// UpdateUser writes e-mail, claims and language of a user that has not changed since
// it was read; ErrConflict when it has.
func (s *Store) UpdateUser(ctx context.Context, was, u *User, now time.Time, by By) error {
	return wrap("update user", s.write(ctx, func(tx *Tx) error {
		if was.Email != u.Email {
			// Before the address changes, so that the old one is told.
			if err := tx.record(ctx, Event{At: now, Kind: EventEmailChanged, By: by, UserID: u.ID}); err != nil {
				return err
			}
		}
		return tx.changeUser(ctx, u.ID, now, by, EventUserChanged, ErrConflict, `
			UPDATE end_user SET email = $3, email_verified = $4, claims = $5, locale = $9, updated_at = $2
			WHERE id = $1 AND deleted_at IS NULL AND email = $6 AND email_verified = $7 AND claims = $8 AND locale = $10`,
			u.Email, u.EmailVerified, claimsText(u.Claims), was.Email, was.EmailVerified, claimsText(was.Claims), u.Locale, was.Locale)
	}))
}

// changeUser runs one gated UPDATE of a user whose $1 is the id and $2 the
// time, and records it. none is what no row means.
func (s *Store) changeUser(ctx context.Context, act, id string, now time.Time, by By, kind string, none error, update string, args ...any) error {
	err := s.write(ctx, func(tx *Tx) error { return tx.changeUser(ctx, id, now, by, kind, none, update, args...) })
	if err == nil && endsSessions[kind] {
		s.signedOut()
	}
	return wrap(act, err)
}

func (tx *Tx) changeUser(ctx context.Context, id string, now time.Time, by By, kind string, none error, update string, args ...any) error {
	n, err := tx.exec(ctx, update, append([]any{id, now.Unix()}, args...)...)
	if err != nil {
		return err
	}
	if n == 0 {
		return none
	}
	if endsSessions[kind] {
		if err := tx.userEnded(ctx, id, now); err != nil {
			return err
		}
	}
	if kind == EventUserDeleted {
		if err := tx.forgetMail(ctx, id); err != nil {
			return err
		}
	}
	return tx.record(ctx, Event{At: now, Kind: kind, By: by, UserID: id})
}

// endsSessions are the changes that raise the epoch of a user.
var endsSessions = map[string]bool{EventUserPassword: true, EventUserDisabled: true, EventUserDeleted: true}

// SetPassword gives a user another password; sessions and tokens made under the
// old one end with it.
func (s *Store) SetPassword(ctx context.Context, id, hash string, now time.Time, by By) error {
	return s.changeUser(ctx, "set password", id, now, by, EventUserPassword, ErrNotFound, `
		UPDATE end_user SET password = $3, epoch = epoch + 1, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL`, hash)
}

// Rehash replaces the hash of an unchanged password, when the cost of hashing
// has changed. Nothing ends with it.
func (s *Store) Rehash(ctx context.Context, id, was, hash string) error {
	return wrap("rehash password", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE end_user SET password = $3 WHERE id = $1 AND password = $2`, id, was, hash)
		return err
	}))
}

// DisableUser takes a user out of force for good: enabling revives nothing.
func (s *Store) DisableUser(ctx context.Context, id string, now time.Time, by By) error {
	return s.changeUser(ctx, "disable user", id, now, by, EventUserDisabled, ErrNotFound, `
		UPDATE end_user SET epoch = epoch + 1, disabled_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL`)
}

// EnableUser lets a disabled user sign in again.
func (s *Store) EnableUser(ctx context.Context, id string, now time.Time, by By) error {
	return s.changeUser(ctx, "enable user", id, now, by, EventUserEnabled, ErrNotFound, `
		UPDATE end_user SET disabled_at = NULL, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL`)
}

// DeleteUser removes a person: name, address and password go, the subject
// stays taken for ever. What is left in other tables goes by itself.
func (s *Store) DeleteUser(ctx context.Context, id string, now time.Time, by By) error {
	err := s.write(ctx, func(tx *Tx) error { return tx.deleteUser(ctx, id, now, by, ErrNotFound, "") })
	if err == nil {
		s.signedOut()
	}
	return wrap("delete user", err)
}

// deleteUser does it where a further condition holds, whose arguments begin at $3; none
// is what no row means.
func (tx *Tx) deleteUser(ctx context.Context, id string, now time.Time, by By, none error, condition string, args ...any) error {
	return tx.changeUser(ctx, id, now, by, EventUserDeleted, none, `
		UPDATE end_user SET username = '', username_key = NULL, email = '', email_verified = FALSE, password = '', claims = '{}',
			locale = '', admin = FALSE, epoch = epoch + 1, deleted_at = $2, updated_at = $2, forget = TRUE
		WHERE id = $1 AND deleted_at IS NULL`+condition, args...)
}
