package web

import (
	"context"
	"sync"
	"time"
)

// A requestContext is the context of one request. It carries the event, and it
// ends with its parent or when the request has taken too long. Most requests
// wait for nothing: the timer starts when somebody first asks for the end.
type requestContext struct {
	parent  context.Context
	event   *Event
	timeout time.Duration // since began; 0 means never
	began   time.Time
	now     func() time.Time

	mu     sync.Mutex
	timed  context.Context // nil until somebody asked
	cancel context.CancelFunc
	over   bool
}

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.waiting().Deadline() }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return c.waiting().Done() }

// Err implements context.Context.
func (c *requestContext) Err() error { return c.waiting().Err() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if key == (eventKey{}) {
		return c.event
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil {
		return c.timed.Value(key)
	}
	return c.parent.Value(key)
}

// waiting is the context that ends in time.
func (c *requestContext) waiting() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = c.parent, func() {}
		if c.timeout > 0 {
			c.timed, c.cancel = context.WithTimeout(c.parent, c.timeout-c.now().Sub(c.began))
		}
		if c.over {
			c.cancel()
		}
	}
	return c.timed
}

// finish ends the context with its request, whoever still holds it.
func (c *requestContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over = true; c.timed != nil {
		c.cancel()
	}
}
