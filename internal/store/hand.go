package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A hand is one connection to a SQLite file, used by one goroutine at a time. It
// speaks to the driver through the interfaces of database/sql/driver: what package
// database/sql does beyond them (finding a connection, watching contexts, converting
// columns by reflection) costs as much as a statement that finds one row.
type hand struct {
	conn  driver.Conn
	stmts map[string]*handStmt // by text; the texts are constants, so there are only so many
}

// A handStmt is a statement that was prepared once.
type handStmt struct {
	driver.Stmt
	query driver.StmtQueryContext
	exec  driver.StmtExecContext
	order []int // for each place, which argument goes there, from 0
}

func newHand(d driver.Driver, dsn string) (*hand, error) {
	conn, err := d.Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	return &hand{conn, map[string]*handStmt{}}, nil
}

func (h *hand) close() error {
	var errs []error
	for _, stmt := range h.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, h.conn.Close())...)
}

func (h *hand) prepare(text string) (*handStmt, error) {
	if stmt, ok := h.stmts[text]; ok {
		return stmt, nil
	}
	plain, order := places(text)
	prepared, err := h.conn.Prepare(plain)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	stmt := &handStmt{Stmt: prepared, order: order}
	var queries, execs bool
	stmt.query, queries = prepared.(driver.StmtQueryContext)
	stmt.exec, execs = prepared.(driver.StmtExecContext)
	if !queries || !execs {
		return nil, fmt.Errorf("prepare: the driver's statement is a %T", prepared)
	}
	h.stmts[text] = stmt
	return stmt, nil
}

// places turns the numbered parameters of a text into plain ones, for which the
// driver need not search: for each of n it would compare up to n names.
func places(text string) (plain string, order []int) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), order
		}
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		n, err := strconv.Atoi(after[:digits])
		if err != nil {
			b.WriteByte('$') // not ours to read
		} else {
			b.WriteByte('?')
			order = append(order, n-1)
		}
		text = after[digits:]
	}
}

// query runs a statement to its end, whatever becomes of its caller: SQLite undoes
// the whole transaction of a write that is interrupted, and with it the neighbours'
// (see writer.commit), and a read by a key takes no time.
func (h *hand) query(_ context.Context, text string, args []any) (answer, error) {
	stmt, err := h.prepare(text)
	if err != nil {
		return nil, err
	}
	values, err := stmt.arrange(args)
	if err != nil {
		return nil, err
	}
	found, err := stmt.query.QueryContext(context.Background(), values)
	if err != nil {
		return nil, err
	}
	return &handRows{rows: found, values: make([]driver.Value, len(found.Columns()))}, nil
}

func (h *hand) exec(_ context.Context, text string, args []any) (sql.Result, error) {
	stmt, err := h.prepare(text)
	if err != nil {
		return nil, err
	}
	values, err := stmt.arrange(args)
	if err != nil {
		return nil, err
	}
	return stmt.exec.ExecContext(context.Background(), values)
}

// arrange gives arguments the form and the order of the driver.
func (s *handStmt) arrange(args []any) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(s.order))
	for i, n := range s.order {
		if n < 0 || n >= len(args) {
			return nil, fmt.Errorf("no argument for $%d", n+1)
		}
		arg := args[n]
		switch arg.(type) {
		case int64, string, bool, nil:
		default:
			var err error
			if arg, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
				return nil, fmt.Errorf("argument $%d: %w", n+1, err)
			}
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return values, nil
}

// handRows are the rows of a hand's statement.
type handRows struct {
	rows   driver.Rows
	values []driver.Value
	err    error
	after  func() // may be nil; called once, at close
}

// Next moves to the next row; false at the end, and after a failure.
func (r *handRows) Next() bool {
	if r.err != nil {
		return false
	}
	r.err = r.rows.Next(r.values)
	return r.err == nil
}

// Columns are the names of the columns.
func (r *handRows) Columns() ([]string, error) { return r.rows.Columns(), nil }

// Scan copies the columns of a row.
func (r *handRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("%d columns for %d places", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, r.values[i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign copies one value of the driver, which are few, as are our places.
func assign(dest any, v driver.Value) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(v)
	case *string:
		if s, ok := v.(string); ok {
			*d = s
			return nil
		}
	case *int64:
		if n, ok := v.(int64); ok {
			*d = n
			return nil
		}
	case *int:
		if n, ok := v.(int64); ok {
			*d = int(n)
			return nil
		}
	case *bool:
		switch b := v.(type) {
		case bool:
			*d = b
			return nil
		case int64:
			*d = b != 0
			return nil
		}
	case *any:
		*d = v
		return nil
	}
	return fmt.Errorf("a %T does not fit a %T", v, dest)
}

func (r *handRows) close(bool) error {
	err := r.rows.Close()
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		err = r.err
	}
	if r.after != nil {
		r.after()
	}
	return err
}

// hands are the connections that read.
type hands chan *hand

func (p hands) query(ctx context.Context, text string, args []any) (answer, error) {
	var h *hand
	select {
	case h = <-p:
	default:
		var err error
		if h, err = p.await(ctx); err != nil {
			return nil, err
		}
	}
	if h == nil {
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	found, err := h.query(ctx, text, args)
	if err != nil {
		p <- h
		return nil, err
	}
	found.(*handRows).after = func() { p <- h }
	return found, nil
}

// await waits for a hand that is free.
func (p hands) await(ctx context.Context) (*hand, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case h := <-p:
		return h, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close closes every connection, once nobody uses it.
func (p hands) close() error {
	if p == nil {
		return nil
	}
	var errs []error
	for range cap(p) {
		h, open := <-p
		if !open {
			return nil // closed before
		}
		errs = append(errs, h.close())
	}
	close(p)
	return errors.Join(errs...)
}

func (p hands) exec(context.Context, string, []any) (sql.Result, error) {
	return nil, errors.New("a write outside of a transaction")
}
