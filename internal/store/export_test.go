package store

import "context"

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
