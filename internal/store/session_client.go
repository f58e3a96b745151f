package store

import (
	"context"
	"time"
)

// An EndedSession is a session that somebody was signed out of, with the clients that
// took part in it and want to be told.
type EndedSession struct {
	SID     string
	Clients []string
}

// A LogoutNotice is what a client is to be told: that a session has ended, OpenID
// Connect Back-Channel Logout 1.0 Section 2.
type LogoutNotice struct {
	SID      string
	ClientID string
	UserID   string
	Attempts int64 // to tell it, this one included
	EndedAt  time.Time
}

// How long a client is tried to be told, and how long one attempt may take before
// another server may make the next: it may have been killed.
const (
	tellFor     = 24 * time.Hour
	attemptTime = time.Minute
)

// joinSession remembers that the client of a grant takes part in its session. It holds
// what the session lives by until the commit: whoever ends it afterwards finds the
// client, and whoever has ended it before is found here.
func (tx *Tx) joinSession(ctx context.Context, g *Grant) error {
	n, err := tx.exec(ctx, `
		INSERT INTO session_client (sid, client_id, user_id, expires_at)
		SELECT b.sid, $2, b.user_id, b.expires_at
		FROM browser_session b, end_user u, server s
		WHERE b.sid = $1 AND u.id = b.user_id AND u.epoch = b.user_epoch AND s.epoch = b.server_epoch`+tx.share+`
		ON CONFLICT (sid, client_id) DO UPDATE SET expires_at = excluded.expires_at`, g.SID, g.ClientID)
	if err == nil && n == 0 {
		return ErrNotLive
	}
	return err
}

// prolongClients keeps the clients of a session that goes on under a new cookie.
func (tx *Tx) prolongClients(ctx context.Context, n *Session) error {
	_, err := tx.exec(ctx, `UPDATE session_client SET expires_at = $2 WHERE sid = $1 AND ended_at IS NULL`, n.SID, n.ExpiresAt.Unix())
	return err
}

// endedNow has the clients of sessions be told that have ended. It is part of every
// transaction that ends one.
const endedNow = `UPDATE session_client SET ended_at = $2, due_at = $3, expires_at = $4 WHERE ended_at IS NULL AND `

func endedAt(which string, now time.Time) []any {
	return []any{which, now.Unix(), now.UnixMilli(), now.Add(tellFor).Unix()}
}

// sessionEnded does it for one session, and returns the clients.
func (tx *Tx) sessionEnded(ctx context.Context, sid string, now time.Time) (clients []string, err error) {
	err = tx.each(ctx, func(r fields) error {
		var id string
		err := r.Scan(&id)
		clients = append(clients, id)
		return err
	}, endedNow+`sid = $1 RETURNING client_id`, endedAt(sid, now)...)
	return clients, err
}

// userEnded does it for every session of a user.
func (tx *Tx) userEnded(ctx context.Context, userID string, now time.Time) error {
	_, err := tx.exec(ctx, endedNow+`user_id = $1`, endedAt(userID, now)...)
	return err
}

// allEnded does it for every session there is.
func (tx *Tx) allEnded(ctx context.Context, now time.Time) error {
	_, err := tx.exec(ctx, endedNow+`sid <> $1`, endedAt("", now)...)
	return err
}

// SignOuts is a channel that holds something when there is reason to call
// ClaimLogoutNotices at once: this process has ended a session.
func (s *Store) SignOuts() <-chan struct{} { return s.signOuts }

// signedOut asks for ClaimLogoutNotices.
func (s *Store) signedOut() {
	select {
	case s.signOuts <- struct{}{}:
	default: // it has been asked for already
	}
}

// ClaimLogoutNotices returns notices that are due, so many at most, the longest due
// first. They are the caller's alone for a minute: the UPDATE moves them on, so of all
// servers that ask one gets each. It writes only when there are any.
func (s *Store) ClaimLogoutNotices(ctx context.Context, now time.Time, limit int) (notices []LogoutNotice, err error) {
	const due = ` ended_at IS NOT NULL AND due_at <= $1`
	var any bool
	if err := s.row(ctx, `SELECT EXISTS (SELECT 1 FROM session_client WHERE`+due+`)`, now.UnixMilli()).Scan(&any); err != nil || !any {
		return nil, wrap("look for logout notices", err)
	}
	err = s.writeOne(ctx, func(tx *Tx) error {
		notices = nil
		return tx.each(ctx, func(r fields) error {
			var n LogoutNotice
			err := r.Scan(&n.SID, &n.ClientID, &n.UserID, &n.Attempts, seconds{&n.EndedAt})
			notices = append(notices, n)
			return err
		}, `UPDATE session_client SET due_at = $2, attempts = attempts + 1
			WHERE (sid, client_id) IN (SELECT sid, client_id FROM session_client WHERE`+due+` ORDER BY due_at LIMIT $3) AND`+due+`
			RETURNING sid, client_id, user_id, attempts, ended_at`,
			now.UnixMilli(), now.Add(attemptTime).UnixMilli(), limit)
	})
	return notices, wrap("claim logout notices", err)
}

// SettleLogoutNotice forgets a notice: the client was told, or it will not be.
func (s *Store) SettleLogoutNotice(ctx context.Context, n LogoutNotice) error {
	return wrap("settle logout notice", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `DELETE FROM session_client WHERE sid = $1 AND client_id = $2 AND ended_at IS NOT NULL`, n.SID, n.ClientID)
		return err
	}))
}

// PostponeLogoutNotice has a notice be told at a later time, unless another server has
// taken it over meanwhile.
func (s *Store) PostponeLogoutNotice(ctx context.Context, n LogoutNotice, due time.Time) error {
	return wrap("postpone logout notice", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE session_client SET due_at = $4 WHERE sid = $1 AND client_id = $2 AND ended_at IS NOT NULL AND attempts = $3`,
			n.SID, n.ClientID, n.Attempts, due.UnixMilli())
		return err
	}))
}
