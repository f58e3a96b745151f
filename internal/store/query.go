package store

import (
	"context"
	"database/sql"
	"errors"
)

// queries holds what reads, inside and outside of a transaction.
type queries struct {
	run runner
}

// A runner runs the texts of one engine, on a pool or in a transaction.
type runner interface {
	query(ctx context.Context, text string, args []any) (answer, error)
	// exec returns how many rows the statement changed.
	exec(ctx context.Context, text string, args []any) (int64, error)
}

// An answer is the rows of a statement, until close.
type answer interface {
	Next() bool
	fields
	// close ends the statement. all says that its rows were to be read to their end,
	// which an interruption can only seem to be.
	close(all bool) error
}

// fields are the columns of a row.
type fields interface {
	Columns() ([]string, error)
	Scan(dest ...any) error
}

// A Tx is a transaction: every query works on it, and what it writes is
// committed as one.
type Tx struct {
	*queries
	// Behind a SELECT these keep the rows it found as they are until the commit, from
	// being changed (share) or from being relied on as well (own). On SQLite, where
	// nobody else writes, they are empty.
	share, own string
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	return tx.run.exec(ctx, text, args)
}

// A row is the answer of a statement that gives one; its error waits for Scan.
type row struct {
	rows answer
	err  error
}

// Scan copies the columns out; sql.ErrNoRows when there was no row. A statement
// that was interrupted may look as if it had found none: that is no answer. The
// rows are read to their end, as SQLite wants of a statement that writes.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	found := r.rows.Next()
	var err error
	if found {
		err = r.rows.Scan(dest...)
		for err == nil && r.rows.Next() {
		}
	}
	if closed := r.rows.close(!found); err == nil {
		err = closed
	}
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

func (q *queries) row(ctx context.Context, text string, args ...any) row {
	found, err := q.run.query(ctx, text, args)
	return row{found, err}
}

// each calls scan for every row of an answer.
func (q *queries) each(ctx context.Context, scan func(r fields) error, text string, args ...any) error {
	found, err := q.run.query(ctx, text, args)
	if err != nil {
		return err
	}
	for found.Next() {
		if err := scan(found); err != nil {
			return errors.Join(err, found.close(false))
		}
	}
	return found.close(true)
}
