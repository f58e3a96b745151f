package login

import (
	"context"
	"errors"
	"sync"
)

// laneWidth is how many attempts on one bucket this process judges at once when
// nothing is wrong, and laneUsers how many may be in a lane or wait for it.
const (
	laneWidth = 2
	laneUsers = 64
)

var errLaneFull = errors.New("too many attempts wait for the same lane")

// lanes let attempts on one bucket through a few at a time. They decide nothing,
// the count in the database does; but many sign-ins of one user at once are no
// guessing, and each is taken back when it was right, before the next is counted.
type lanes struct {
	mu       sync.Mutex
	byBucket map[string]*lane
}

type lane struct {
	slots chan struct{}
	users int // those inside and those who wait
}

// enter waits for a place in the lane of a bucket; leave gives it back.
func (l *lanes) enter(ctx context.Context, bucket string, width int) (leave func(), err error) {
	l.mu.Lock()
	if l.byBucket == nil {
		l.byBucket = map[string]*lane{}
	}
	own := l.byBucket[bucket]
	if own == nil {
		own = &lane{slots: make(chan struct{}, width)}
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
		return func() { <-own.slots; l.done(bucket) }, nil
	case <-ctx.Done():
		l.done(bucket)
		return nil, ctx.Err()
	}
}

func (l *lanes) done(bucket string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byBucket[bucket].users--; l.byBucket[bucket].users == 0 {
		delete(l.byBucket, bucket)
	}
}
