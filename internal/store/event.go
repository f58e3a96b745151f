package store

import (
	"context"
	"time"
)

// By says who caused a change, for the audit trail.
type By struct {
	Actor     string // user id, client id, "cli" or "server"
	Address   string // where the request came from, "" for a command
	RequestID string
	UserAgent string // of the browser, for mail that tells of it; the trail does not keep it
}

// An Event is one record of the audit trail. It never holds a secret.
type Event struct {
	ID       string
	At       time.Time
	Kind     string
	By       By
	UserID   string
	ClientID string
	GrantID  string
	Detail   string
}

// Kinds of audit events.
const (
	EventSignIn       = "user.sign_in"
	EventSignInFailed = "user.sign_in_refused"
	EventSignOut      = "user.sign_out"
	EventConsent      = "consent.given"
	EventGrantRevoked = "grant.revoked"
	EventReplay       = "grant.replay"
	EventTokenRevoked = "token.revoked"
	EventConsentEnded = "consent.withdrawn"
	EventUserCreated  = "user.created"
	EventUserChanged  = "user.changed"
	EventUserPassword = "user.password_changed"
	EventUserDisabled = "user.disabled"
	EventUserEnabled  = "user.enabled"
	EventUserDeleted  = "user.deleted"
	EventNewDevice    = "user.new_device" // a sign-in with a browser that was not seen before

	EventUserInvited    = "user.invited"
	EventInvitationUsed = "user.invitation_used"
	EventResetRequested = "user.reset_requested"
	EventEmailRequested = "user.email_requested"
	EventEmailVerified  = "user.email_verified"
	EventEmailChanged   = "user.email_changed"

	EventSecondFactorAdded   = "user.second_factor_added"
	EventSecondFactorRemoved = "user.second_factor_removed"
	EventRecoveryCodesMade   = "user.recovery_codes_made"
	EventRecoveryCodeUsed    = "user.recovery_code_used"
	EventPasskeyAdded        = "user.passkey_added"
	EventPasskeyRemoved      = "user.passkey_removed"
	EventPasskeyCount        = "user.passkey_count_back" // of uses: there may be a copy of it

	EventClientCreated = "client.created"
	EventClientChanged = "client.changed"
	EventClientDeleted = "client.deleted"
	EventSecretAdded   = "client.secret_added"
	EventSecretRetired = "client.secrets_retired"
	EventSecretRemoved = "client.secret_removed"
	EventKeyRotated    = "key.rotated"
	EventKeyRemoved    = "key.removed"
	EventKeysResealed  = "key.resealed"
	EventKeysReset     = "key.reset"
	EventRevokeAll     = "server.revoke_all"
	EventImported      = "server.imported"
)

// record writes an event, and the mail that tells the user of one that is noticed; it is
// always part of the transaction it tells of.
func (tx *Tx) record(ctx context.Context, e Event) error {
	if e.ID == "" {
		e.ID = newID()
	}
	_, err := tx.exec(ctx, `
		INSERT INTO event (id, at, kind, actor, user_id, client_id, grant_id, address, request_id, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		e.ID, e.At.Unix(), e.Kind, e.By.Actor, e.UserID, e.ClientID, e.GrantID, e.By.Address, e.By.RequestID, e.Detail)
	if err == nil && noticed[e.Kind] {
		err = tx.notice(ctx, e)
	}
	return err
}

// Record writes an event that stands alone.
func (s *Store) Record(ctx context.Context, e Event) error {
	e.ID = newID() // here, so that it is one record however often it is written
	write := s.writeOne
	if noticed[e.Kind] {
		write = s.writeAgain
	}
	return wrap("record event", write(ctx, func(tx *Tx) error { return tx.record(ctx, e) }))
}

// Events lists the audit trail from the newest event on, limit at most; before
// is the id to go on from, "" for the start.
func (q *queries) Events(ctx context.Context, before string, limit int) ([]Event, error) {
	return q.events(ctx, "", before, limit)
}

// events lists those of which which is true, whose arguments begin at $3.
func (q *queries) events(ctx context.Context, which, before string, limit int, args ...any) ([]Event, error) {
	if before == "" {
		before = lastID
	}
	var events []Event
	err := q.each(ctx, func(r fields) error {
		var e Event
		var at int64
		err := r.Scan(&e.ID, &at, &e.Kind, &e.By.Actor, &e.UserID, &e.ClientID, &e.GrantID, &e.By.Address, &e.By.RequestID, &e.Detail)
		e.At = time.Unix(at, 0).UTC()
		events = append(events, e)
		return err
	}, `SELECT id, at, kind, actor, user_id, client_id, grant_id, address, request_id, detail
		FROM event WHERE `+which+`id < $1 ORDER BY id DESC LIMIT $2`, append([]any{before, limit}, args...)...)
	return events, wrap("list events", err)
}
