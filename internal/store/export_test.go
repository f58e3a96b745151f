package store

import (
	"context"
	"time"
)

// Write runs a unit as every method that writes does.
func (s *Store) Write(ctx context.Context, unit func(tx *Tx) error) error { return s.write(ctx, unit) }

// Exec runs a statement of a unit.
func (tx *Tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return tx.exec(ctx, text, args...)
}

// Count reads one number.
func (q *queries) Count(ctx context.Context, text string, args ...any) (n int64, err error) {
	err = q.row(ctx, text, args...).Scan(&n)
	return n, err
}

// MaxGroup is how many units share a commit at most.
const MaxGroup = maxGroup

// ExpireBatch is how many rows of a table go at once.
const ExpireBatch = expireBatch

// Waiting is how many units stand in line.
func (s *Store) Waiting() int { return len(s.engine.(*file).writer.units) }

// WriteOne runs a unit that writes by one statement.
func (s *Store) WriteOne(ctx context.Context, unit func(tx *Tx) error) error {
	return s.writeOne(ctx, unit)
}

// MaxCached is how many copies of clients a generation holds, of which there are two.
const MaxCached = maxCached

// MaxChanges is how many changed clients are looked at one by one.
const MaxChanges = maxChanges

// MaxTries is how often a unit runs that keeps losing.
const MaxTries = maxTries

// FirstRevision is that of a database in which nothing has been changed yet.
const FirstRevision = 1

// Cached is how many copies of clients are kept.
func (s *Store) Cached() int {
	s.cache.mu.RLock()
	defer s.cache.mu.RUnlock()
	return len(s.cache.young) + len(s.cache.old)
}

// KnownLate is KnownClient for a caller who is held up between reading a client and
// keeping it.
func (s *Store) KnownLate(ctx context.Context, id string, now time.Time) (keep func(), err error) {
	_, version := s.cache.get(id, now)
	c, err := s.Client(ctx, id)
	return func() { s.cache.put(c, version) }, err
}

// Fail lets the store believe that a write has failed, and Failing tells whether it does.
func (s *Store) Fail()         { s.failing.Store(true) }
func (s *Store) Failing() bool { return s.failing.Load() }

// OnlyInTests are the methods that this file and its neighbours add.
var OnlyInTests = map[string]bool{"Fail": true, "Failing": true, "Write": true, "WriteOne": true, "Count": true, "Waiting": true, "Cached": true, "KnownLate": true, "Dump": true}

// StatementName is what a watch is told of a statement.
var StatementName = nameOf
