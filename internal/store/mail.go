package store

import (
	"context"
	"slices"
	"strings"
	"time"
)

// A Mail is what somebody is to be told by mail.
type Mail struct {
	ID        string
	Kind      string
	UserID    string
	Recipient string // address
	Username  string
	Language  string // "" means the server's own
	Sealed    string // what stands in a one-time link, sealed; "" for a notice
	At        time.Time
	Address   string // where it was done from, as far as that is known
	UserAgent string
	Attempts  int64 // to send it, this one included
	ExpiresAt time.Time
}

// How long a notice is tried to be sent, and how long one attempt may take before
// another server may make the next: it may have been killed.
const (
	noticeLife  = 3 * 24 * time.Hour
	sendingTime = 2 * time.Minute
)

// noticed are the events that the user is told of, at the address that is the user's and
// verified when the event is recorded. Whoever records one need not do anything else. What
// the letter says stands in package mail, under the name without "user.".
var noticed = map[string]bool{
	EventNewDevice: true, EventUserPassword: true, EventEmailChanged: true, EventSecondFactorAdded: true, EventSecondFactorRemoved: true,
	EventRecoveryCodesMade: true, EventRecoveryCodeUsed: true, EventPasskeyAdded: true, EventPasskeyRemoved: true,
}

// NoticeKinds are the kinds of mail that events write.
func NoticeKinds() []string {
	var kinds []string
	for event := range noticed {
		kinds = append(kinds, noticeKind(event))
	}
	slices.Sort(kinds)
	return kinds
}

func noticeKind(event string) string { return strings.TrimPrefix(event, "user.") }

// notice writes the mail that tells of an event, if the servers send any. The first
// sign-in of all is with a new browser always, and tells nobody anything.
func (tx *Tx) notice(ctx context.Context, e Event) error {
	_, err := tx.exec(ctx, `
		INSERT INTO mail (id, kind, user_id, recipient, username, language, at, address, user_agent, due_at, expires_at)
		SELECT $1, $2, u.id, u.email, u.username, u.locale, CAST($4 AS BIGINT), $5, $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT)
		FROM end_user u, server s
		WHERE u.id = $3 AND u.email_verified AND u.email <> '' AND u.deleted_at IS NULL AND s.sends_mail
		  AND ($9 <> $10 OR EXISTS (SELECT 1 FROM event v WHERE v.user_id = $3 AND v.kind = $11))
		ON CONFLICT (id) DO NOTHING`,
		e.ID, noticeKind(e.Kind), e.UserID, e.At.Unix(), e.By.Address, e.By.UserAgent, e.At.UnixMilli(), e.At.Add(noticeLife).Unix(),
		e.Kind, EventNewDevice, EventSignIn)
	return err
}

// write adds a mail with a one-time link, in the language of the user where that is
// known. The id is that of the event.
func (m *Mail) write(ctx context.Context, tx *Tx, id string, t *Ticket) error {
	_, err := tx.exec(ctx, `
		INSERT INTO mail (id, kind, user_id, recipient, username, language, sealed, at, address, user_agent, due_at, expires_at)
		SELECT $1, $2, u.id, $4, u.username, CASE WHEN u.locale <> '' THEN u.locale ELSE $5 END, $6, CAST($7 AS BIGINT), $8, $9, CAST($10 AS BIGINT), CAST($11 AS BIGINT)
		FROM end_user u WHERE u.id = $3`,
		id, m.Kind, t.UserID, t.NewEmail, m.Language, m.Sealed, t.CreatedAt.Unix(), m.Address, m.UserAgent, t.CreatedAt.UnixMilli(), min(t.ExpiresAt.Unix(), t.CreatedAt.Add(noticeLife).Unix()))
	return err
}

// forgetMail takes name and address of somebody who is gone out of what waits.
func (tx *Tx) forgetMail(ctx context.Context, userID string) error {
	if err := tx.dropTickets(ctx, userID); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM mail WHERE user_id = $1`, userID)
	return err
}

// Mails is a channel that holds something when there is reason to call ClaimMails at
// once: this process has written one that somebody waits for.
func (s *Store) Mails() <-chan struct{} { return s.mails }

// mailed asks for ClaimMails.
func (s *Store) mailed() {
	select {
	case s.mails <- struct{}{}:
	default: // it has been asked for already
	}
}

// SetSendsMail says whether the servers of this database send mail. While they do not,
// nothing is written that nobody would send.
func (s *Store) SetSendsMail(ctx context.Context, sends bool) error {
	return wrap("set whether mail is sent", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE server SET sends_mail = $1 WHERE sends_mail <> $1`, sends)
		return err
	}))
}

// ClaimMails returns mails that are due, so many at most, the longest due first. They are
// the caller's alone for two minutes: the UPDATE moves them on, so of all servers that ask
// one gets each. It writes only when there are any.
func (s *Store) ClaimMails(ctx context.Context, now time.Time, limit int) (mails []Mail, err error) {
	const due = ` due_at <= $1 AND expires_at > $2`
	var any bool
	if err := s.row(ctx, `SELECT EXISTS (SELECT 1 FROM mail WHERE`+due+`)`, now.UnixMilli(), now.Unix()).Scan(&any); err != nil || !any {
		return nil, wrap("look for mail", err)
	}
	err = s.writeOne(ctx, func(tx *Tx) error {
		mails = nil
		return tx.each(ctx, func(r fields) error {
			var m Mail
			err := r.Scan(&m.ID, &m.Kind, &m.UserID, &m.Recipient, &m.Username, &m.Language, &m.Sealed, seconds{&m.At}, &m.Address, &m.UserAgent, &m.Attempts, seconds{&m.ExpiresAt})
			mails = append(mails, m)
			return err
		}, `UPDATE mail SET due_at = $3, attempts = attempts + 1
			WHERE id IN (SELECT id FROM mail WHERE`+due+` ORDER BY due_at LIMIT $4) AND`+due+`
			RETURNING id, kind, user_id, recipient, username, language, sealed, at, address, user_agent, attempts, expires_at`,
			now.UnixMilli(), now.Unix(), now.Add(sendingTime).UnixMilli(), limit)
	})
	return mails, wrap("claim mail", err)
}

// SettleMail forgets a mail: it was taken, or it will not be.
func (s *Store) SettleMail(ctx context.Context, m *Mail) error {
	return wrap("settle mail", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `DELETE FROM mail WHERE id = $1`, m.ID)
		return err
	}))
}

// PostponeMail has a mail be sent at a later time, unless another server has taken it
// over meanwhile.
func (s *Store) PostponeMail(ctx context.Context, m *Mail, due time.Time) error {
	return wrap("postpone mail", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE mail SET due_at = $3 WHERE id = $1 AND attempts = $2`, m.ID, m.Attempts, due.UnixMilli())
		return err
	}))
}
