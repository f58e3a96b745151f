package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// unknown are redemptions of codes whose outcome was never learned: the database
// went away under them, and their requests have been refused. No token left the
// house, so they are taken back, and the client that tries again is served rather
// than taken for a thief.
type unknown struct {
	mu   sync.Mutex
	acts map[redemption]schedule
}

// A redemption is one request's attempt to redeem one code.
type redemption struct{ grantID, requestID string }

// A schedule says when a redemption is taken back next, and when it is forgotten:
// where several requests brought one code, the mark of the last one is in the row,
// and a statement of another that hangs in a connection may still come into force,
// for as long as its code lives.
type schedule struct{ next, end time.Time }

const (
	longestCode    = time.Minute     // no code lives longer
	longestRequest = 24 * time.Hour  // no sealed request lives longer, and with it the row that remembers it
	takeBackAgain  = 5 * time.Second // when it has been taken back once
	maxUnknown     = 100_000         // of an outage; more than that are not remembered
)

func (u *unknown) add(r redemption, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.acts == nil {
		u.acts = map[redemption]schedule{}
	}
	if len(u.acts) < maxUnknown {
		u.acts[r] = schedule{now, now.Add(longestCode)}
	}
}

// due returns what is to be taken back now, the oldest first, and forgets what is over:
// what was under way when the database went is what may have come into force.
func (u *unknown) due(now time.Time) (due []redemption) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for r, s := range u.acts {
		switch {
		case !s.next.After(now):
			due = append(due, r)
		case !s.end.After(now):
			delete(u.acts, r)
		}
	}
	slices.SortFunc(due, func(a, b redemption) int { return u.acts[a].end.Compare(u.acts[b].end) })
	return due
}

func (u *unknown) done(r redemption, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.acts[r]
	if !s.end.After(now) {
		delete(u.acts, r)
		return
	}
	u.acts[r] = schedule{now.Add(takeBackAgain), s.end}
}

// TakeBack undoes redemptions that were refused without knowing their outcome, and
// leaves a mark by which a statement that arrives only now finds that it is too late.
// It asks nothing of the database when there are none, and is called many times a
// second: the client may come again as soon as the database is back.
func (s *Store) TakeBack(ctx context.Context, now time.Time) error {
	for _, r := range s.unknown.due(now) {
		if err := s.writeOne(ctx, func(tx *Tx) error {
			_, err := tx.exec(ctx, `
				UPDATE oauth_grant SET redeemed_at = NULL, redeemed_by = '-' || $2,
					keep_until = CASE WHEN redeemed_at IS NULL OR keep_until < created_at + $3 THEN keep_until ELSE created_at + $3 END
				WHERE id = $1 AND (redeemed_by = $2 OR redeemed_at IS NULL AND redeemed_by <> '-' || $2)
				  AND generation = 0 AND revoked_at IS NULL`, r.grantID, r.requestID, int64(longestRequest/time.Second))
			return err
		}); err != nil {
			return wrap("take back", err)
		}
		s.unknown.done(r, now)
	}
	return nil
}
