package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"
)

// A hand is one connection to a SQLite file, used by one goroutine at a time. What
// package database/sql and a driver of it do beyond running a statement (finding a
// connection, watching contexts, naming columns, converting them by reflection, a
// mutex around every call) costs as much as a statement that finds one row.
type hand struct {
	conn  *sqlite.Conn
	stmts map[string]*handStmt // by text; the texts are constants, so there are only so many
	pool  *hands               // it belongs to; nil for the hand that writes
}

// A handStmt is a statement that was prepared once. It is its own answer: nobody
// runs a statement again before its rows are closed.
type handStmt struct {
	hand  *hand
	stmt  *sqlite.Stmt
	order []int // for each of SQLite's parameters, which argument it is, from 0
	open  bool
	err   error // of the rows
}

// newHand opens a connection to a file that is there, and tells it what it needs to
// know.
func newHand(path string, pragmas ...string) (*hand, error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	h := &hand{conn: conn, stmts: map[string]*handStmt{}}
	for _, pragma := range slices.Concat(always, pragmas) {
		if _, err := h.exec(context.Background(), "PRAGMA "+pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("store: open database: %s: %w", pragma, err), h.close())
		}
	}
	return h, nil
}

func (h *hand) close() error { return h.conn.Close() }

func (h *hand) prepare(text string) (*handStmt, error) {
	if stmt, ok := h.stmts[text]; ok {
		return stmt, nil
	}
	prepared, err := h.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	stmt := &handStmt{hand: h, stmt: prepared}
	for i := range prepared.BindParamCount() {
		name := prepared.BindParamName(i + 1)
		n, err := strconv.Atoi(strings.TrimPrefix(name, "$"))
		if err != nil {
			return nil, fmt.Errorf("prepare: no number: %q", name)
		}
		stmt.order = append(stmt.order, n-1)
	}
	h.stmts[text] = stmt
	return stmt, nil
}

// query runs a statement to its end, whatever becomes of its caller: SQLite undoes
// the whole transaction of a write that is interrupted, and with it the neighbours'
// (see writer.commit), and a read by a key takes no time.
func (h *hand) query(_ context.Context, text string, args []any) (answer, error) {
	stmt, err := h.prepare(text)
	if err != nil {
		return nil, err
	}
	if err := stmt.bind(args); err != nil {
		return nil, err
	}
	return stmt, nil
}

func (h *hand) exec(ctx context.Context, text string, args []any) (int64, error) {
	found, err := h.query(ctx, text, args)
	if err != nil {
		return 0, err
	}
	for found.Next() {
	}
	if err := found.close(true); err != nil {
		return 0, err
	}
	return int64(h.conn.Changes()), nil
}

// bind begins an answer with its arguments.
func (s *handStmt) bind(args []any) error {
	if s.open { // left behind by a panic
		_ = s.stmt.Reset() // which says again what the answer said
	}
	s.open, s.err = true, nil
	for i, n := range s.order {
		if n < 0 || n >= len(args) {
			return fmt.Errorf("no argument for $%d", n+1)
		}
		switch v := args[n].(type) {
		case nil:
			s.stmt.BindNull(i + 1)
		case string:
			s.stmt.BindText(i+1, v)
		case int64:
			s.stmt.BindInt64(i+1, v)
		case int:
			s.stmt.BindInt64(i+1, int64(v))
		case bool:
			s.stmt.BindBool(i+1, v)
		case []byte:
			if v == nil {
				s.stmt.BindNull(i + 1)
			} else {
				s.stmt.BindBytes(i+1, v)
			}
		default:
			return fmt.Errorf("argument $%d: a %T", n+1, v)
		}
	}
	return nil
}

// Next moves to the next row; false at the end, and after a failure.
func (s *handStmt) Next() bool {
	if s.err != nil {
		return false
	}
	var found bool
	if found, s.err = s.stmt.Step(); !found && s.err == nil {
		s.err = errEnd
	}
	return found
}

// errEnd keeps a statement that is through from being run again.
var errEnd = errors.New("no more rows")

// Columns are the names of the columns.
func (s *handStmt) Columns() ([]string, error) {
	names := make([]string, s.stmt.ColumnCount())
	for i := range names {
		names[i] = s.stmt.ColumnName(i)
	}
	return names, nil
}

// Scan copies the columns of a row.
func (s *handStmt) Scan(dest ...any) error {
	if n := s.stmt.ColumnCount(); len(dest) != n {
		return fmt.Errorf("%d columns for %d places", n, len(dest))
	}
	for i, d := range dest {
		if err := s.assign(d, i); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign copies one column, whose types are few, as are our places.
func (s *handStmt) assign(dest any, column int) error {
	kind := s.stmt.ColumnType(column)
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(s.value(column))
	case *any:
		*d = s.value(column)
		return nil
	case *string:
		if kind == sqlite.TypeText {
			*d = s.stmt.ColumnText(column)
			return nil
		}
	case *int64:
		if kind == sqlite.TypeInteger {
			*d = s.stmt.ColumnInt64(column)
			return nil
		}
	case *int:
		if kind == sqlite.TypeInteger {
			*d = s.stmt.ColumnInt(column)
			return nil
		}
	case *bool:
		if kind == sqlite.TypeInteger {
			*d = s.stmt.ColumnBool(column)
			return nil
		}
	}
	return fmt.Errorf("a %s does not fit a %T", kind, dest)
}

// value is a column as package database/sql would give it.
func (s *handStmt) value(column int) any {
	switch s.stmt.ColumnType(column) {
	case sqlite.TypeInteger:
		return s.stmt.ColumnInt64(column)
	case sqlite.TypeFloat:
		return s.stmt.ColumnFloat(column)
	case sqlite.TypeText:
		return s.stmt.ColumnText(column)
	case sqlite.TypeBlob:
		b := make([]byte, s.stmt.ColumnLen(column))
		s.stmt.ColumnBytes(column, b)
		return b
	default:
		return nil
	}
}

func (s *handStmt) close(bool) error {
	err := s.err
	if err == errEnd { //nolint:errorlint // nobody wraps it
		err = nil
	}
	s.open = false
	if reset := s.stmt.Reset(); err == nil { // which says once more what had failed
		err = reset
	}
	if clear := s.stmt.ClearBindings(); err == nil {
		err = clear
	}
	if pool := s.hand.pool; pool != nil {
		pool.put(s.hand)
	}
	return err
}

// hands are the connections that read. The one that was used last is used next: it
// has the most of what is asked for at hand.
type hands struct {
	free chan struct{} // one for each that is idle
	mu   sync.Mutex
	idle []*hand // the last is the next
	all  []*hand // nil once closed
}

// newHands opens so many connections.
func newHands(n int, open func() (*hand, error)) (*hands, error) {
	p := &hands{free: make(chan struct{}, n)}
	for range n {
		h, err := open()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		h.pool = p
		p.all = append(p.all, h)
		p.put(h)
	}
	return p, nil
}

func (p *hands) put(h *hand) {
	p.mu.Lock()
	p.idle = append(p.idle, h)
	p.mu.Unlock()
	p.free <- struct{}{}
}

// take gives a hand, and waits for one if it must.
func (p *hands) take(ctx context.Context) (*hand, error) {
	select {
	case <-p.free:
	default:
		if err := p.await(ctx); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		p.free <- struct{}{} // for the next who asks
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	h := p.idle[last]
	p.idle = p.idle[:last]
	return h, nil
}

func (p *hands) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *hands) query(ctx context.Context, text string, args []any) (answer, error) {
	h, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	found, err := h.query(ctx, text, args)
	if err != nil {
		p.put(h)
	}
	return found, err
}

func (p *hands) exec(context.Context, string, []any) (int64, error) {
	return 0, errors.New("a write outside of a transaction")
}

// close closes every connection, once nobody uses it.
func (p *hands) close() error {
	if p == nil || p.all == nil {
		return nil
	}
	var errs []error
	for range p.all {
		<-p.free
	}
	for _, h := range p.all {
		errs = append(errs, h.close())
	}
	p.all, p.idle = nil, nil
	p.free <- struct{}{} // whoever asks from now on finds that there is none
	return errors.Join(errs...)
}
