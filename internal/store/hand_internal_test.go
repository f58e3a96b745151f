package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newTestHand opens a new file.
func newTestHand(t *testing.T) *hand {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hand.db")
	if err := makeFile(path); err != nil {
		t.Fatal(err)
	}
	h, err := newHand(path, writes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hand) row(text string, args ...any) row {
	found, err := h.query(context.Background(), text, args)
	return row{found, err}
}

func (h *hand) mustExec(t *testing.T, text string, args ...any) int64 {
	t.Helper()
	n, err := h.exec(t.Context(), text, args)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

// An argument goes to every place that has its number, and to no other.
func TestHandArguments(t *testing.T) {
	t.Parallel()
	h := newTestHand(t)
	var first, second, third, fourth string
	err := h.row(`SELECT $2, $1, $2, '$3'`, "one", "two").Scan(&first, &second, &third, &fourth)
	if got := []string{first, second, third, fourth}; err != nil || !cmp.Equal(got, []string{"two", "one", "two", "$3"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := h.row(`SELECT $2`, "one").Scan(&first); err == nil {
		t.Error("an argument that is not there was found")
	}
	if err := h.row(`SELECT ?`, "one").Scan(&first); err == nil {
		t.Error("a place without a number was filled")
	}
	if err := h.row(`SELECT $1`, 1.5i).Scan(&first); err == nil {
		t.Error("a complex number was taken")
	}
}

// What goes in comes out, in the types that columns of ours have.
func TestHandValues(t *testing.T) {
	t.Parallel()
	h := newTestHand(t)
	h.mustExec(t, `CREATE TABLE t (v)`)
	for _, want := range []any{nil, "", "虎符", "a\x00b", "it's \"$1\"", int64(0), int64(math.MaxInt64), int64(math.MinInt64), []byte{0, 1, 255}, 1.5} {
		var got any
		if _, isFloat := want.(float64); isFloat {
			h.mustExec(t, `INSERT INTO t (v) VALUES (1.5)`)
		} else {
			h.mustExec(t, `INSERT INTO t (v) VALUES ($1)`, want)
		}
		if err := h.row(`SELECT v FROM t`).Scan(&got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%#v came out as %#v, %v", want, got, err)
		}
		if n := h.mustExec(t, `DELETE FROM t`); n != 1 {
			t.Errorf("deleted %d rows", n)
		}
	}
	var yes, no bool
	var n int
	if err := h.row(`SELECT $1, $2, $3`, true, false, 7).Scan(&yes, &no, &n); err != nil || !yes || no || n != 7 {
		t.Errorf("got %v %v %d, %v", yes, no, n, err)
	}
	for _, dest := range []any{new(int64), new(int), new(bool)} {
		if err := h.row(`SELECT 'text'`).Scan(dest); err == nil {
			t.Errorf("a text fitted a %T", dest)
		}
	}
	if err := h.row(`SELECT NULL`).Scan(new(string)); err == nil {
		t.Error("nothing fitted a string")
	}
	if err := h.row(`SELECT 1, 2`).Scan(new(int)); err == nil {
		t.Error("two columns fitted one place")
	}
}

// A statement that failed, or was left in the middle of its rows, works again the
// next time; a broken rule of the schema is known as one.
func TestHandAfterFailure(t *testing.T) {
	t.Parallel()
	h := newTestHand(t)
	h.mustExec(t, `CREATE TABLE t (v BIGINT NOT NULL PRIMARY KEY)`)
	for range 2 {
		h.mustExec(t, `INSERT INTO t (v) VALUES ($1), ($2)`, int64(1), int64(2))
		_, err := h.exec(t.Context(), `INSERT INTO t (v) VALUES ($1), ($2)`, []any{int64(3), int64(1)})
		if !isConstraint(err) {
			t.Errorf("a second 1: %v, want a constraint", err)
		}
		found, err := h.query(t.Context(), `SELECT v FROM t WHERE v >= $1`, []any{int64(0)})
		if err != nil || !found.Next() {
			t.Fatalf("no row: %v", err)
		}
		// The unit that read panics, say, and nobody closes its rows.
		if n := h.mustExec(t, `DELETE FROM t`); n != 2 {
			t.Errorf("deleted %d rows, want 2", n)
		}
		if err := h.row(`SELECT v FROM t WHERE v >= $1`, int64(0)).Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("got %v, want no row", err)
		}
	}
}

// The hand that was used last is used next, nobody gets one twice, and nobody gets
// one after the end.
func TestHandsTaken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hands.db")
	if err := makeFile(path); err != nil {
		t.Fatal(err)
	}
	p, err := newHands(3, func() (*hand, error) { return newHand(path, reads...) })
	if err != nil {
		t.Fatal(err)
	}
	var taken []*hand
	for range 3 {
		h, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, h)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a fourth: %v, want to wait", err)
	}
	for _, h := range taken {
		p.put(h)
	}
	for _, want := range []*hand{taken[2], taken[1], taken[0]} {
		if h, err := p.take(t.Context()); err != nil || h != want {
			t.Errorf("another hand than the last: %v", err)
		}
	}
	for _, h := range taken {
		p.put(h)
	}
	for range 2 {
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.query(t.Context(), `SELECT 1`, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after the end: %v", err)
		}
	}
}
