package login

import (
	"context"
	"errors"
	"sync"

	"github.com/hufu-auth/hufu/internal/store"
)

// laneWidth is how many attempts on one bucket this process judges at once when
// nothing is wrong, and laneUsers how many may be in a lane or wait for it.
const (
	laneWidth = 2
	laneUsers = 64
)

var (
	errLaneFull   = errors.New("too many attempts wait for the same lane")
	errLaneClosed = errors.New("the database did not answer those in front")
)

// lanes let attempts on one bucket through a few at a time. They decide nothing,
// the count in the database does; but many sign-ins of one user at once are no
// guessing, and each is taken back when it was right, before the next is counted.
type lanes struct {
	mu       sync.Mutex
	byBucket map[string]*lane
}

type lane struct {
	slots  chan struct{}
	closed chan struct{} // when there is nothing to wait for
	users  int           // those inside and those who wait
}

// enter waits for a place in the lane of a bucket. leave gives it back, and
// says whether the database was away: those who wait would find that out one after
// another, each as slowly as the last, so all are told.
func (l *lanes) enter(ctx context.Context, bucket string, width int) (leave func(away bool), err error) {
	l.mu.Lock()
	if l.byBucket == nil {
		l.byBucket = map[string]*lane{}
	}
	own := l.byBucket[bucket]
	if own == nil {
		own = &lane{slots: make(chan struct{}, width), closed: make(chan struct{})}
		l.byBucket[bucket] = own
	}
	if own.users >= laneUsers {
		l.mu.Unlock()
		return nil, errLaneFull
	}
	own.users++
	l.mu.Unlock()

	select {
	case own.slots <- struct{}{}:
	case <-own.closed:
		l.done(bucket, own, false)
		return nil, errLaneClosed
	case <-ctx.Done():
		l.done(bucket, own, false)
		return nil, ctx.Err()
	}
	leave = func(away bool) { l.done(bucket, own, away); <-own.slots }
	select {
	case <-own.closed: // before the place was given back that is ours now
		leave(false)
		return nil, errLaneClosed
	default:
		return leave, nil
	}
}

// done counts somebody out. A lane that is closed is no longer found; the next
// attempt begins another.
func (l *lanes) done(bucket string, own *lane, away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own.users--
	if l.byBucket[bucket] != own {
		return
	}
	if away {
		close(own.closed)
	}
	if own.users == 0 || away {
		delete(l.byBucket, bucket)
	}
}

// isAway reports whether the database did not answer a caller who still waits.
func isAway(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded))
}
