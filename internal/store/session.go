package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A Session is one browser in which somebody has signed in.
type Session struct {
	SID       string // public name, stays when the cookie changes
	UserID    string
	Username  string
	UserEpoch int64
	AuthTime  time.Time
	ACR       string
	AMR       string // space-separated
	Address   string
	UserAgent string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // absolute
	NewDevice bool      // the user has not signed in with this browser before
	// Continues says that it goes on with the sign-in of the session that it replaces, and
	// is nothing without that.
	Continues bool
}

// Session finds the live session of a cookie by its hash, and reads who that is and
// since when; what else is known of the browser is left out. A session that has
// idled too long, or whose user or server has moved on, is ErrNotFound.
func (q *queries) Session(ctx context.Context, idHash string, now time.Time, idle time.Duration) (*Session, error) {
	var s Session
	err := q.row(ctx, `
		SELECT b.sid, b.user_id, u.username, b.user_epoch, b.auth_time, b.acr, b.amr, b.seen_at
		FROM browser_session b
		JOIN end_user u ON u.id = b.user_id AND u.epoch = b.user_epoch AND u.disabled_at IS NULL AND u.deleted_at IS NULL
		JOIN server s ON s.epoch = b.server_epoch
		WHERE b.id_hash = $1 AND b.expires_at > $2 AND b.seen_at > $3`,
		idHash, now.Unix(), now.Add(-idle).Unix()).
		Scan(&s.SID, &s.UserID, &s.Username, &s.UserEpoch, seconds{&s.AuthTime}, &s.ACR, &s.AMR, seconds{&s.SeenAt})
	return &s, wrap("read session", err)
}

// CreateSession makes a session for somebody who has just proved who they are,
// in place of the one the browser had. When that was the same person's, the new
// session keeps its name, so what is bound to it goes on; otherwise what was
// bound to it ends. ErrNotLive says that the user was disabled, deleted or changed
// meanwhile, or that the session has ended that this one was to go on with.
func (s *Store) CreateSession(ctx context.Context, n *Session, idHash, replaced string, by By) error {
	fresh := n.SID
	err := s.write(ctx, func(tx *Tx) error {
		old, current, err := tx.endSession(ctx, replaced)
		if err != nil {
			return err
		}
		if n.Continues && (!current || old.UserID != n.UserID) {
			return ErrNotLive // and what was deleted comes back
		}
		if n.SID = fresh; current && old.goesOnAs(n) {
			n.SID = old.SID
			err = tx.prolongClients(ctx, n)
		} else {
			err = tx.replaced(ctx, old, n, by)
		}
		if err != nil {
			return err
		}
		rows, err := tx.exec(ctx, `
			INSERT INTO browser_session (id_hash, sid, user_id, user_epoch, server_epoch, auth_time, acr, amr, address, user_agent, created_at, seen_at, expires_at)
			SELECT $1, $2, u.id, u.epoch, s.epoch, CAST($5 AS BIGINT), $6, $7, $8, $9, CAST($11 AS BIGINT), CAST($11 AS BIGINT), CAST($10 AS BIGINT)
			FROM end_user u, server s
			WHERE u.id = $3 AND u.epoch = $4 AND u.disabled_at IS NULL AND u.deleted_at IS NULL`,
			idHash, n.SID, n.UserID, n.UserEpoch, n.AuthTime.Unix(), n.ACR, n.AMR, n.Address, n.UserAgent, n.ExpiresAt.Unix(), n.CreatedAt.Unix())
		if err != nil {
			return err
		}
		if rows == 0 {
			return ErrNotLive
		}
		if n.NewDevice { // before the sign-in, which would not be the first any more
			if err := tx.record(ctx, Event{At: n.CreatedAt, Kind: EventNewDevice, By: by, UserID: n.UserID}); err != nil {
				return err
			}
		}
		return tx.record(ctx, Event{At: n.CreatedAt, Kind: EventSignIn, By: by, UserID: n.UserID, Detail: n.AMR})
	})
	if err == nil && replaced != "" {
		s.signedOut()
	}
	return wrap("create session", err)
}

// goesOnAs reports whether a session keeps its name in the one that replaces it: it is
// the same person's, and the password is the same still. Clients have been told that one
// is over that was ended by other means.
func (s *Session) goesOnAs(n *Session) bool {
	return s.UserID == n.UserID && s.UserEpoch == n.UserEpoch
}

// replaced ends the session that the browser had before.
func (tx *Tx) replaced(ctx context.Context, old Session, n *Session, by By) error {
	const reason = "signed in as somebody else"
	if old.SID == "" {
		return nil
	}
	if _, err := tx.revokeOfSession(ctx, old.SID, n.CreatedAt, reason); err != nil || old.UserID == n.UserID {
		return err
	}
	return tx.record(ctx, Event{At: n.CreatedAt, Kind: EventSignOut, By: by, UserID: old.UserID, Detail: reason})
}

// endSession deletes a session and returns what it was, and whether under the epoch that
// the server has now; the zero Session when there was none.
func (tx *Tx) endSession(ctx context.Context, idHash string) (s Session, current bool, err error) {
	if idHash == "" {
		return s, false, nil
	}
	err = wrap("end session", tx.row(ctx, `DELETE FROM browser_session WHERE id_hash = $1 
		RETURNING sid, user_id, user_epoch, server_epoch = (SELECT v.epoch FROM server v)`, idHash).Scan(&s.SID, &s.UserID, &s.UserEpoch, &nullBool{&current}))
	if err == ErrNotFound {
		return Session{}, false, nil
	}
	return s, current, err
}

// revokeOfSession ends what ends with a session: the grants bound to it, and the sign-in
// at the clients that took part, which are returned.
func (tx *Tx) revokeOfSession(ctx context.Context, sid string, now time.Time, reason string) (clients []string, err error) {
	if sid == "" {
		return nil, nil
	}
	if _, err := tx.exec(ctx, `
		UPDATE oauth_grant SET revoked_at = $2, revoke_reason = $3
		WHERE session_id = $1 AND session_id <> '' AND revoked_at IS NULL`, sid, now.Unix(), reason); err != nil {
		return nil, err
	}
	return tx.sessionEnded(ctx, sid, now)
}

// EndSession signs a browser out, ends the grants bound to its session, and has the
// clients be told that took part in it.
func (s *Store) EndSession(ctx context.Context, idHash string, now time.Time, by By) (ended EndedSession, err error) {
	err = s.writeAgain(ctx, func(tx *Tx) error {
		ended = EndedSession{}
		old, _, err := tx.endSession(ctx, idHash)
		if err != nil || old.SID == "" {
			return err
		}
		ended.SID = old.SID
		if ended.Clients, err = tx.revokeOfSession(ctx, old.SID, now, "signed out"); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventSignOut, By: by, UserID: old.UserID})
	})
	if err == nil {
		s.signedOut()
	}
	return ended, wrap("end session", err)
}

// TouchSession notes that a session is in use. Callers do it once a minute at
// most, which the statement makes sure of.
func (s *Store) TouchSession(ctx context.Context, idHash string, now time.Time) error {
	return wrap("touch session", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE browser_session SET seen_at = $2 WHERE id_hash = $1 AND seen_at <= $3`,
			idHash, now.Unix(), now.Add(-time.Minute).Unix())
		return err
	}))
}

// Consent returns the scope a user has allowed a client for good, and whether
// there is such a consent: that of a client without scope is an empty text. What
// was allowed before the client was disabled or deleted does not count.
func (q *queries) Consent(ctx context.Context, userID string, c *Client) (scope string, found bool, err error) {
	return q.consent(ctx, userID, c.ID, c.Epoch, "")
}

func (q *queries) consent(ctx context.Context, userID, clientID string, clientEpoch int64, hold string) (scope string, found bool, err error) {
	err = wrap("read consent", q.row(ctx, `SELECT scope FROM consent WHERE user_id = $1 AND client_id = $2 AND client_epoch = $3`+hold,
		userID, clientID, clientEpoch).Scan(&scope))
	if err == ErrNotFound {
		return "", false, nil
	}
	return scope, err == nil, err
}

// remember stores the scope that was allowed with a grant; what was allowed earlier
// stays so.
func (tx *Tx) remember(ctx context.Context, g *Grant, scope string) error {
	// The row is made first, so that there is one to hold: another tab may remember too.
	if _, err := tx.exec(ctx, `
		INSERT INTO consent (user_id, client_id, client_epoch, scope, created_at, updated_at) VALUES ($1, $2, $3, '', $4, $4)
		ON CONFLICT DO NOTHING`, g.UserID, g.ClientID, g.ClientEpoch, g.CreatedAt.Unix()); err != nil {
		return err
	}
	before, _, err := tx.consent(ctx, g.UserID, g.ClientID, g.ClientEpoch, tx.own)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE consent SET client_epoch = $3, scope = $4, updated_at = $5 WHERE user_id = $1 AND client_id = $2`,
		g.UserID, g.ClientID, g.ClientEpoch, unite(before, scope), g.CreatedAt.Unix())
	return err
}

// unite adds a scope that was just allowed to what was allowed before, of which as much
// stays as both together are still a scope: a client that was registered for others
// again and again would make the text longer and longer.
func unite(before, allowed string) string {
	var all []string
	added, size := strings.Fields(allowed), len(allowed)
	for _, value := range strings.Fields(before) {
		if !slices.Contains(added, value) {
			if size+1+len(value) > oauth.MaxScope {
				continue
			}
			size += 1 + len(value)
		}
		all = append(all, value)
	}
	for _, value := range added {
		if !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	return strings.Join(all, " ")
}

// WithdrawConsent forgets a consent and revokes every grant of that user and
// client.
func (s *Store) WithdrawConsent(ctx context.Context, userID, clientID string, now time.Time, by By) error {
	return wrap("withdraw consent", s.write(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM consent WHERE user_id = $1 AND client_id = $2`, userID, clientID); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `
			UPDATE oauth_grant SET revoked_at = $3, revoke_reason = 'consent withdrawn'
			WHERE user_id = $1 AND client_id = $2 AND revoked_at IS NULL`, userID, clientID, now.Unix()); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventConsentEnded, By: by, UserID: userID, ClientID: clientID})
	}))
}
