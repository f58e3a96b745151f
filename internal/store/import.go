package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An ExportFile is an export that was opened to be imported.
type ExportFile struct {
	Header ExportHeader
	schema int64 // that this release knows
	file   io.ReadSeeker
	close  func() error
}

// OpenExport opens an export and reads its header. It refuses what is none, and
// what this release cannot take in.
func OpenExport(path string) (*ExportFile, error) {
	opened, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	f := &ExportFile{schema: SchemaVersion(), file: opened, close: opened.Close}
	r, err := f.read()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.Header = r.header
	return f, nil
}

// Close closes the file.
func (f *ExportFile) Close() error { return f.close() }

// read begins at the start of the file.
func (f *ExportFile) read() (*exportReader, error) {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	packed, err := gzip.NewReader(bufio.NewReaderSize(f.file, 64<<10))
	if err != nil {
		return nil, refuse("it was not made by hufu export (%v)", err)
	}
	return newExportReader(packed, f.schema)
}

// An exportReader reads the lines of an export, and believes none of them.
type exportReader struct {
	schema     int64 // that this release knows
	in         *bufio.Reader
	lines      *lineMaker
	header     ExportHeader
	headerHash string
	buffer     []byte
	tables     []moved // as the file has them
	tallies    []tally
}

func newExportReader(in io.Reader, schema int64) (*exportReader, error) {
	r := &exportReader{schema: schema, in: bufio.NewReaderSize(in, 64<<10), lines: newLineMaker()}
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	var first struct {
		Header struct {
			Format int   `json:"format"`
			Schema int64 `json:"schema"`
		} `json:"hufu_export"`
	}
	if json.Unmarshal(line, &first) != nil || first.Header.Format == 0 {
		return nil, refuse("it was not made by hufu export")
	}
	switch h := first.Header; {
	case h.Format != exportFormat:
		return nil, refuse("it has format %d, and this release reads %d", h.Format, exportFormat)
	case h.Schema > schema:
		return nil, refuse("it has schema %d, and this release knows %d: start a newer hufu", h.Schema, schema)
	case h.Schema < oldestExport:
		return nil, refuse("it has schema %d, and this release takes %d at least: export it again with this release", h.Schema, oldestExport)
	}
	entry, err := r.entry(line)
	if err != nil {
		return nil, err
	}
	r.header, r.headerHash = *entry.Header, hashLine(line)
	return r, nil
}

// next reads a line with its end; it is good until the next call.
func (r *exportReader) next() ([]byte, error) {
	r.buffer = r.buffer[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.buffer)+len(part) > maxExportLine {
			return nil, refuse("a line takes more than %d MiB", maxExportLine>>20)
		}
		r.buffer = append(r.buffer, part...)
		switch {
		case err == nil:
			return r.buffer, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, unreadable(err)
		}
	}
}

// unreadable tells why nothing more can be read where there should be something.
func unreadable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse("it was cut off")
	}
	return refuse("it is damaged (%v)", err)
}

// entry reads a line that is no row, and is as we write it.
func (r *exportReader) entry(line []byte) (exportEntry, error) {
	var e exportEntry
	if json.Unmarshal(line, &e) != nil {
		return e, refuse("a line is not as hufu export writes it")
	}
	return e, r.checkLine(line, e)
}

// checkLine wants a line exactly as it would be written. Then what is read back
// from the database can be compared with it.
func (r *exportReader) checkLine(line []byte, v any) error {
	written, err := r.lines.line(v)
	if err != nil || !bytes.Equal(written, line) {
		return refuse("a line is not as hufu export writes it")
	}
	return nil
}

// rows reads everything behind the header, hands each row over, and compares what
// there was with what the end of the file says.
func (r *exportReader) rows(visit func(m moved, row []any) error) error {
	for {
		line, err := r.next()
		if err != nil {
			return err
		}
		if line[0] == '[' {
			if err := r.row(line, visit); err != nil {
				return err
			}
			continue
		}
		e, err := r.entry(line)
		switch {
		case err != nil:
			return err
		case e.Header == nil && e.Table != nil && e.End == nil:
			if err := r.begin(line, *e.Table); err != nil {
				return err
			}
		case e.Header == nil && e.Table == nil && e.End != nil:
			return r.finish(*e.End)
		default:
			return refuse("a line is not as hufu export writes it")
		}
	}
}

func (r *exportReader) begin(line []byte, t exportTable) error {
	m, err := movedTable(t, r.header.Schema == r.schema)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(r.tables, func(known moved) bool { return known.name == m.name }) {
		return refuse("it holds the table %s twice", m.name)
	}
	next := tally{name: m.name}
	next.begin(line)
	r.tables, r.tallies = append(r.tables, m), append(r.tallies, next)
	return nil
}

func (r *exportReader) row(line []byte, visit func(m moved, row []any) error) error {
	if len(r.tables) == 0 {
		return refuse("a row belongs to no table")
	}
	last := len(r.tables) - 1
	m := r.tables[last]
	values, err := m.parse(line)
	if err != nil {
		return err
	}
	if err := r.checkLine(line, values); err != nil {
		return err
	}
	r.tallies[last].add(line)
	return visit(m, values)
}

// finish compares counts and checksums, and wants nothing to follow.
func (r *exportReader) finish(end exportEnd) error {
	if end.Header != r.headerHash {
		return refuse("its header was altered")
	}
	if !slices.Equal(end.Tables, r.done()) {
		return refuse("its rows are not those that were exported")
	}
	for _, m := range exportTables {
		known := slices.ContainsFunc(r.tables, func(t moved) bool { return t.name == m.name })
		if !known && r.header.Schema == r.schema {
			return refuse("it lacks the table %s", m.name)
		}
	}
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return refuse("something follows its end")
	case !errors.Is(err, io.EOF):
		return unreadable(err)
	}
	return nil
}

func (r *exportReader) done() []Tally {
	var all []Tally
	for _, t := range r.tallies {
		all = append(all, t.done())
	}
	return all
}

// ErrNotEmpty is returned when there is somebody in the database already.
var ErrNotEmpty = errors.New("store: the database holds clients, users or grants already; import wants one that holds nobody")

// Import takes an export in, in one transaction: everything of it, or nothing. The
// database must hold no client, user or grant (ErrNotEmpty); what else is in it,
// such as the keys of a server that was only started, is replaced. The caller has
// made sure that the master key is the exporter's, and on SQLite that no server
// runs. Counts and checksums are compared twice: those of the file with its rows,
// and then with what is read back from the database.
func (s *Store) Import(ctx context.Context, f *ExportFile, now time.Time, by By) ([]Tally, error) {
	var tables []Tally
	err := s.write(unhurried(ctx), func(tx *Tx) error {
		r, err := f.read() // again from the start when this unit runs again
		if err != nil {
			return err
		}
		if r.header != f.Header {
			return refuse("it has changed since it was opened")
		}
		if err := tx.makeRoom(ctx); err != nil {
			return err
		}
		if err := tx.takeIn(ctx, r, s.atOnce()); err != nil {
			return err
		}
		if tables, err = tx.compare(ctx, r); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventImported, By: by, Detail: fmt.Sprintf("exported at %d", r.header.CreatedAt)})
	})
	if why, ok := errors.AsType[refusal](err); ok {
		return nil, why
	}
	if errors.Is(err, ErrNotEmpty) {
		return nil, ErrNotEmpty
	}
	return tables, wrap("import", err)
}

// makeRoom wants nobody in the database and takes the rest out. Imports wait for
// one another at the one row, before they look. Whoever comes after that look is
// not taken out, but found when everything is compared.
func (tx *Tx) makeRoom(ctx context.Context) error {
	if _, err := tx.exec(ctx, `UPDATE server SET epoch = epoch`); err != nil {
		return err
	}
	var somebody bool
	var schema int64
	if err := tx.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM client) OR EXISTS (SELECT 1 FROM end_user) OR EXISTS (SELECT 1 FROM oauth_grant),
			(SELECT MAX(version_id) FROM goose_db_version)`).Scan(&somebody, &schema); err != nil {
		return err
	}
	if schema != SchemaVersion() {
		return refuse("the database has schema %d and this release knows %d: use the release that the database belongs to", schema, SchemaVersion())
	}
	if somebody {
		return ErrNotEmpty
	}
	for _, m := range exportTables {
		if slices.Contains([]string{"server", "client", "end_user", "oauth_grant"}, m.name) {
			continue
		}
		if _, err := tx.exec(ctx, `DELETE FROM `+m.name); err != nil {
			return err
		}
	}
	return nil
}

// importBatch is how many rows one statement inserts on PostgreSQL.
const importBatch = 100

// atOnce is how many rows are inserted by one statement. SQLite has no round trip to
// spare, and its driver takes the square of the number of parameters to bind them.
func (s *Store) atOnce() int {
	if _, ok := s.engine.(*file); ok {
		return 1
	}
	return importBatch
}

// takeIn writes the rows, so many at once.
func (tx *Tx) takeIn(ctx context.Context, r *exportReader, rows int) error {
	b := batch{rows: rows}
	if err := r.rows(func(m moved, row []any) error {
		if b.table.name != m.name {
			if err := b.flush(ctx, tx); err != nil {
				return err
			}
			b.table = m
		}
		b.args = append(b.args, row...)
		if len(b.args) < rows*len(m.columns) {
			return nil
		}
		return b.flush(ctx, tx)
	}); err != nil {
		return err
	}
	if err := b.flush(ctx, tx); err != nil {
		return err
	}
	for _, t := range r.tallies {
		if t.name == "server" && t.rows == 1 {
			return nil
		}
	}
	return refuse("it does not have one row about the server")
}

// A batch is rows that wait to be inserted together.
type batch struct {
	rows  int // that fill it
	table moved
	args  []any
}

// flush inserts them; what does not fill a batch goes row by row, so that there are
// two texts for a table.
func (b *batch) flush(ctx context.Context, tx *Tx) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	width, rows := len(b.table.columns), 1
	if len(b.args) == b.rows*width {
		rows = b.rows
	}
	for args := range slices.Chunk(b.args, max(1, rows*width)) {
		if _, err := tx.exec(ctx, b.table.insert(rows), args...); err != nil {
			return fmt.Errorf("rows of %s: %w", b.table.name, err)
		}
	}
	b.args = b.args[:0]
	return nil
}

// insert is the statement for so many rows. The row of server is there already.
func (m moved) insert(rows int) string {
	var text strings.Builder
	if m.name == "server" {
		for i, c := range m.columns {
			fmt.Fprintf(&text, ", %s = $%d", c.name, i+1)
		}
		return `UPDATE server SET ` + text.String()[2:]
	}
	for i := range rows * len(m.columns) {
		switch {
		case i == 0:
			text.WriteString("($1")
		case i%len(m.columns) == 0:
			fmt.Fprintf(&text, "), ($%d", i+1)
		default:
			fmt.Fprintf(&text, ", $%d", i+1)
		}
	}
	return `INSERT INTO ` + m.name + ` (` + m.names() + `) VALUES ` + text.String() + `)`
}

// compare reads back what was written, as the file has it, and wants it to be the
// same.
func (tx *Tx) compare(ctx context.Context, r *exportReader) ([]Tally, error) {
	want := r.done()
	for i, m := range r.tables {
		got, err := tallyTable(ctx, tx.queries, r.lines, m, func([]byte) error { return ctx.Err() })
		if err != nil {
			return nil, err
		}
		if got != want[i] {
			return nil, refuse("the database gives back %d rows of %s with checksum %s, not the %d with %s of the file",
				got.Rows, m.name, got.SHA256, want[i].Rows, want[i].SHA256)
		}
	}
	return want, nil
}
