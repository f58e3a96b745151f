package login

import (
	"context"
	"errors"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// perWarning is how often the owner of an account is told that somebody guesses at it.
var perWarning = store.Limit{Burst: 1, Interval: 12 * time.Hour}

// warn records, once in a while, that sign-ins to an account are refused because there
// were too many; the record brings a letter to its owner. name is what the account's
// limits go by, and find its user; store.ErrNotFound for a name that nobody has, of which
// as much is written: how long an answer takes does not tell who exists.
func warn(ctx context.Context, s *store.Store, now time.Time, name string, find func() (*store.User, error)) error {
	wait, err := s.Attempt(ctx, store.Bucket("login warning", name), perWarning, now)
	if err != nil || wait > 0 {
		return err
	}
	user, err := find()
	if errors.Is(err, store.ErrNotFound) {
		_, err = s.Attempt(ctx, store.Bucket("login warning to nobody", name), perWarning, now)
		return err
	}
	if err != nil {
		return err
	}
	return s.Record(ctx, store.Event{At: now, Kind: store.EventThrottled, By: By(ctx, ""), UserID: user.ID})
}
