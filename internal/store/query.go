package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// queries holds what reads, inside and outside of a transaction.
type queries struct {
	run runner
}

// A runner runs the texts of one engine, on a pool or in a transaction. Rows that
// were interrupted end with the error of that: they may not be all.
type runner interface {
	query(ctx context.Context, text string, args []any) (*rows, error)
	exec(ctx context.Context, text string, args []any) (sql.Result, error)
}

// rows are the answer of a statement, until close.
type rows struct {
	*sql.Rows
	ctx  context.Context    //nolint:containedctx // that of the statement: its end may look like the end of the rows
	done context.CancelFunc // may be nil
}

// close ends the statement. all says that its rows were to be read to their end,
// which an interruption can only seem to be.
func (r *rows) close(all bool) error {
	err := r.Rows.Close()
	if err == nil {
		err = r.Rows.Err()
	}
	if err == nil && all {
		err = r.ctx.Err()
	}
	if r.done != nil {
		r.done()
	}
	return err
}

// A Tx is a transaction: every query works on it, and what it writes is
// committed as one.
type Tx struct {
	*queries
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := tx.run.exec(ctx, text, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// A row is the answer of a statement that gives one; its error waits for Scan.
type row struct {
	rows *rows
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
func (q *queries) each(ctx context.Context, scan func(r *sql.Rows) error, text string, args ...any) error {
	found, err := q.run.query(ctx, text, args)
	if err != nil {
		return err
	}
	for found.Next() {
		if err := scan(found.Rows); err != nil {
			return errors.Join(err, found.close(false))
		}
	}
	return found.close(true)
}

// prepared runs statements that are prepared once: their texts are constants, so
// there are only so many.
type prepared struct {
	db    preparer
	whole bool // statements run to their end, whatever becomes of their caller
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

// preparer is a connection or a pool of them.
type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

func newPrepared(db preparer, whole bool) *prepared {
	return &prepared{db: db, whole: whole, stmts: map[string]*sql.Stmt{}}
}

// context is what a statement runs under. In a transaction that is not the
// caller's: SQLite undoes the whole transaction of a write that is interrupted,
// and with it the neighbours' (see writer.commit).
func (p *prepared) context(ctx context.Context) context.Context {
	if p.whole {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (p *prepared) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt, ok := p.stmts[text]
	p.mu.RUnlock()
	if ok {
		return stmt, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stmt, ok := p.stmts[text]; ok {
		return stmt, nil
	}
	stmt, err := p.db.PrepareContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	p.stmts[text] = stmt
	return stmt, nil
}

func (p *prepared) query(ctx context.Context, text string, args []any) (*rows, error) {
	stmt, err := p.stmt(ctx, text)
	if err != nil {
		return nil, err
	}
	ctx = p.context(ctx)
	found, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return &rows{Rows: found, ctx: ctx}, nil
}

func (p *prepared) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	stmt, err := p.stmt(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(p.context(ctx), args...)
}
