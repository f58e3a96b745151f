package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// What tests of exports look at that nobody else can.

// ExportBatch is how many rows one statement inserts.
const ExportBatch = importBatch

// MaxExportLine bounds a line of an export.
const MaxExportLine = maxExportLine

// OldestExport is the oldest schema that is taken in.
const OldestExport = oldestExport

// ExportColumns are the types of all columns that exports hold, by TABLE.COLUMN.
func ExportColumns() map[string]string {
	columns := map[string]string{}
	for _, m := range exportTables {
		for _, c := range m.columns {
			columns[m.name+"."+c.name] = string(c.kind)
		}
	}
	return columns
}

// Dump reads every row of a statement, each value as the driver gives it.
func (q *queries) Dump(ctx context.Context, text string, args ...any) (all []string, err error) {
	err = q.each(ctx, func(r fields) error {
		names, err := r.Columns()
		if err != nil {
			return err
		}
		values, dest := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := r.Scan(dest...); err != nil {
			return err
		}
		for i, v := range values {
			if truth, ok := v.(bool); ok { // SQLite has numbers for it
				values[i] = map[bool]int64{true: 1}[truth]
			}
		}
		all = append(all, fmt.Sprintf("%#v", values))
		return nil
	}, text, args...)
	return all, err
}

// ExportFileOf is an export that lies in memory, as a release finds it that knows a
// schema.
func ExportFileOf(in io.ReadSeeker, schema int64) (*ExportFile, error) {
	f := &ExportFile{schema: schema, file: in, close: func() error { return nil }}
	r, err := f.read()
	if err != nil {
		return nil, err
	}
	f.Header = r.header
	return f, nil
}

// Pack makes a file of lines.
func Pack(lines string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, lines)
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Ended puts the right end behind lines: counts and checksums that are theirs.
func Ended(lines string) string {
	maker := newLineMaker()
	var end exportEnd
	var last *tally
	for line := range strings.Lines(lines) {
		if _, isTable := strings.CutPrefix(line, `{"table":{"name":"`); isTable {
			name, _, _ := strings.Cut(line[len(`{"table":{"name":"`):], `"`)
			if last != nil {
				end.Tables = append(end.Tables, last.done())
			}
			last = &tally{name: name}
			last.begin([]byte(line))
			continue
		}
		if end.Header == "" {
			end.Header = hashLine([]byte(line))
			continue
		}
		if last != nil {
			last.add([]byte(line))
		}
	}
	if last != nil {
		end.Tables = append(end.Tables, last.done())
	}
	line, err := maker.line(exportEntry{End: &end})
	if err != nil {
		panic(err)
	}
	return lines + string(line)
}

// FuzzExport feeds foreign bytes to the reader of exports, behind an end that fits
// them, so that checksums do not hide the rest (OP-02). What is accepted is written
// again, from the values that were read, and must come out as it went in: nothing
// is read as anything else than what it says. And what is accepted is refused when
// a bit of it changes, or its end is missing.
func FuzzExport(f *testing.F) {
	header := fmt.Sprintf(`{"hufu_export":{"format":1,"schema":%d,"created_at":1,"key_check":"k"}}`, SchemaVersion()) + "\n"
	older := strings.Replace(header, fmt.Sprint(SchemaVersion()), fmt.Sprint(oldestExport), 1)
	f.Add(header, 0)
	f.Add(older+`{"table":{"name":"revoked_token","columns":["jti","expires_at"]}}`+"\n"+`["a<\u2028\"",9223372036854775807]`+"\n"+`["b",-1]`+"\n", 90)
	f.Add(older+`{"table":{"name":"server","columns":["demo","epoch","key_check"]}}`+"\n"+`[true,1,"k"]`+"\n"+`{"table":{"name":"attempt","columns":["full_at"]}}`+"\n"+"[null]\n", 200)
	f.Add(older+`{"table":{"name":"revoked_token","columns":["expires_at"]}}`+"\n[1e3]\n[1.0]\n[-0]\n[ 1]\n[\"1\"]\n[01]\n", 120)
	f.Fuzz(func(t *testing.T, lines string, at int) {
		whole := Ended(lines)
		written, err := rewrite(whole)
		if err != nil {
			return
		}
		if written != whole {
			t.Errorf("read\n%s\nand wrote\n%s", whole, written)
		}
		at = int(uint(at) % uint(len(whole)))
		if _, err := rewrite(whole[:at]); err == nil {
			t.Errorf("accepted, cut off after %d bytes:\n%s", at, whole)
		}
		bent := []byte(whole)
		bent[at] ^= 1
		if _, err := rewrite(string(bent)); err == nil {
			t.Errorf("accepted with a bit changed at %d:\n%s", at, bent)
		}
	})
}

// rewrite reads an export, as a release that knows one schema more, and writes what
// it has read.
func rewrite(lines string) (string, error) {
	r, err := newExportReader(strings.NewReader(lines), SchemaVersion()+1)
	if err != nil {
		return "", err
	}
	rows := map[string]*strings.Builder{}
	maker := newLineMaker()
	write := func(b *strings.Builder, v any) {
		line, err := maker.line(v)
		if err != nil {
			panic(err)
		}
		b.Write(line)
	}
	if err := r.rows(func(m moved, row []any) error {
		if rows[m.name] == nil {
			rows[m.name] = &strings.Builder{}
		}
		write(rows[m.name], row)
		return nil
	}); err != nil {
		return "", err
	}
	var all strings.Builder
	write(&all, exportEntry{Header: &r.header})
	for _, m := range r.tables {
		write(&all, m.head())
		if b := rows[m.name]; b != nil {
			all.WriteString(b.String())
		}
	}
	return Ended(all.String()), nil
}
