package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// ErrLastAdmin refuses what would leave the server without anybody to look after it.
var ErrLastAdmin = errors.New("store: the last administrator")

// liveSession is the condition of a session b that has not ended, with its user u and the
// server v; $1 is the user, $2 the time and $3 since when it must have been used.
const liveSession = `b.user_id = $1 AND b.expires_at > $2 AND b.seen_at > $3 AND u.id = b.user_id AND u.epoch = b.user_epoch AND v.epoch = b.server_epoch`

// Sessions lists where a user is signed in, from the last used on, limit at most. A
// session that has idled too long is left out.
func (q *queries) Sessions(ctx context.Context, userID string, now time.Time, idle time.Duration, limit int) ([]Session, error) {
	var sessions []Session
	err := q.each(ctx, func(r fields) error {
		var s Session
		err := r.Scan(&s.SID, &s.UserID, &s.Username, &s.UserEpoch, seconds{&s.AuthTime}, &s.ACR, &s.AMR, &s.Address, &s.UserAgent,
			seconds{&s.CreatedAt}, seconds{&s.SeenAt}, seconds{&s.ExpiresAt})
		sessions = append(sessions, s)
		return err
	}, `SELECT b.sid, b.user_id, u.username, b.user_epoch, b.auth_time, b.acr, b.amr, b.address, b.user_agent, b.created_at, b.seen_at, b.expires_at
		FROM browser_session b, end_user u, server v WHERE `+liveSession+` ORDER BY b.seen_at DESC, b.sid LIMIT $4`,
		userID, now.Unix(), now.Add(-idle).Unix(), limit)
	return sessions, wrap("list sessions", err)
}

// EndUserSession signs one browser of a user out, by the public name of its session.
// Somebody else's is ErrNotFound, as is one that has ended. As it is not known which
// browser that was, none stands in for a second factor any more.
func (s *Store) EndUserSession(ctx context.Context, userID, sid string, now time.Time, by By) error {
	return s.endUserSessions(ctx, userID, now, by, ErrNotFound, "signed out from another browser", `user_id = $1 AND sid = $2`, sid)
}

// EndOtherSessions signs a user out everywhere but in one browser, and has no browser stand
// in for a second factor any more, also when none is signed in: it may have been once.
func (s *Store) EndOtherSessions(ctx context.Context, userID, keep string, now time.Time, by By) error {
	return s.endUserSessions(ctx, userID, now, by, nil, "signed out everywhere else", `user_id = $1 AND sid <> $2`, keep)
}

func (s *Store) endUserSessions(ctx context.Context, userID string, now time.Time, by By, none error, why, which, sid string) error {
	err := s.write(ctx, func(tx *Tx) error {
		var ended []string
		err := tx.each(ctx, func(r fields) error {
			var sid string
			err := r.Scan(&sid)
			ended = append(ended, sid)
			return err
		}, `DELETE FROM browser_session WHERE `+which+` RETURNING sid`, userID, sid)
		if err == nil {
			err = tx.standInNoMore(ctx, userID, now)
		}
		if err != nil || len(ended) == 0 {
			return errors.Join(err, none)
		}
		for _, sid := range ended {
			if _, err := tx.revokeOfSession(ctx, sid, now, "signed out"); err != nil {
				return err
			}
		}
		return tx.record(ctx, Event{At: now, Kind: EventSignOut, By: by, UserID: userID, Detail: why})
	})
	if err == nil {
		s.signedOut()
	}
	return wrap("end sessions", err)
}

// An Access is what a client may do in the name of a user.
type Access struct {
	ClientID string
	Scope    []string  // all of it: what was remembered and what grants in force carry
	Since    time.Time // the first of it
	UsedAt   time.Time // when a token was last asked for; zero when there is none in force
	Grants   int64     // in force
}

// scopesListed bounds how many different scopes of one client's grants are read for a
// list, the longest first: one that asks for each selection of what it may have must not
// crowd others out.
const scopesListed = 64

// Accesses lists the clients that may do something in the name of a user, by id, limit
// of them at most. Clients that were disabled or deleted are left out: they may do nothing.
func (q *queries) Accesses(ctx context.Context, userID string, now time.Time, limit int) ([]Access, error) {
	var all []Access
	err := q.each(ctx, func(r fields) error {
		var next Access
		var scope string
		if err := r.Scan(&next.ClientID, &scope, seconds{&next.Since}, nullTime{&next.UsedAt}, &next.Grants); err != nil {
			return err
		}
		if n := len(all); n == 0 || all[n-1].ClientID != next.ClientID {
			all = append(all, next)
		} else {
			all[n-1].join(next)
		}
		last := &all[len(all)-1]
		for value := range strings.FieldsSeq(scope) {
			if !slices.Contains(last.Scope, value) {
				last.Scope = append(last.Scope, value)
			}
		}
		return nil
	}, `SELECT client_id, scope, since, used_at, grants FROM (
		SELECT a.client_id, a.scope, a.since, a.used_at, a.grants, DENSE_RANK() OVER (ORDER BY a.client_id) AS place,
			ROW_NUMBER() OVER (PARTITION BY a.client_id ORDER BY LENGTH(a.scope) DESC, a.since, a.scope) AS number FROM (
			SELECT g.client_id, g.client_epoch, g.scope, MIN(g.created_at) AS since,
				MAX(CASE WHEN g.rotated_at > g.created_at THEN g.rotated_at ELSE g.created_at END) AS used_at, COUNT(*) AS grants
			FROM oauth_grant g, end_user u, server v
			WHERE g.user_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2 AND u.id = g.user_id AND u.epoch = g.user_epoch AND v.epoch = g.server_epoch
			GROUP BY g.client_id, g.client_epoch, g.scope
			UNION ALL
			SELECT n.client_id, n.client_epoch, n.scope, n.created_at, NULL, 0 FROM consent n WHERE n.user_id = $1
		) a JOIN client c ON c.id = a.client_id AND c.epoch = a.client_epoch AND c.disabled_at IS NULL AND c.deleted_at IS NULL
		) b WHERE place <= $3 AND number <= $4 ORDER BY client_id, since`, userID, now.Unix(), limit, scopesListed)
	return all, wrap("list clients of a user", err)
}

func (a *Access) join(next Access) {
	if next.Since.Before(a.Since) {
		a.Since = next.Since
	}
	if next.UsedAt.After(a.UsedAt) {
		a.UsedAt = next.UsedAt
	}
	a.Grants += next.Grants
}

// UserEvents lists what the audit trail knows of a user, from the newest on, limit at
// most; before is the id to go on from, "" for the start.
func (q *queries) UserEvents(ctx context.Context, userID, before string, limit int) ([]Event, error) {
	return q.events(ctx, `user_id = $3 AND user_id <> '' AND `, before, limit, userID)
}

// ChangePassword gives a user another password who has proved to be that user: epoch is
// the one they were signed in under. It returns the epoch that follows. All that was made
// under the old one has ended, the session it was changed in as well: begin another.
// ErrNotLive says that the user was disabled, deleted or changed meanwhile.
func (s *Store) ChangePassword(ctx context.Context, id string, epoch int64, hash string, now time.Time, by By) (next int64, err error) {
	err = s.changeUser(ctx, "change password", id, now, by, EventUserPassword, ErrNotLive, `
		UPDATE end_user SET password = $3, epoch = epoch + 1, updated_at = $2
		WHERE id = $1 AND epoch = $4 AND deleted_at IS NULL AND disabled_at IS NULL`, hash, epoch)
	return epoch + 1, err
}

// Leave deletes the account of a user who has asked for it, under the epoch they were
// signed in under. ErrLastAdmin keeps the last administrator; ErrNotLive says that the
// user was disabled, deleted or changed meanwhile.
func (s *Store) Leave(ctx context.Context, id string, epoch int64, now time.Time, by By) error {
	err := s.write(ctx, func(tx *Tx) error {
		// All administrators are held: two of them may leave at once.
		others, admin := 0, false
		err := tx.each(ctx, func(r fields) error {
			var other string
			err := r.Scan(&other)
			if other == id {
				admin = true
			} else {
				others++
			}
			return err
		}, `SELECT id FROM end_user WHERE admin AND deleted_at IS NULL AND disabled_at IS NULL ORDER BY id`+tx.own)
		if err != nil {
			return err
		}
		if admin && others == 0 {
			return ErrLastAdmin
		}
		return tx.deleteUser(ctx, id, now, by, ErrNotLive, ` AND epoch = $3 AND disabled_at IS NULL`, epoch)
	})
	if err == nil {
		s.signedOut()
	}
	return wrap("leave", err)
}
