package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// An Exported tells what an export holds.
type Exported struct {
	ExportHeader
	Bytes  int64
	Tables []Tally
}

// Export writes everything in the database, as it was at one moment, to a new file
// that only its owner reads, while servers and commands go on. Keys stay sealed,
// and the master key is not in it. A file that exists is not touched (fs.ErrExist),
// and a file by that name is always whole.
func (s *Store) Export(ctx context.Context, path string, now time.Time) (*Exported, error) {
	var e Exported
	var err error
	e.Bytes, err = newFile(path, func(temporary string) error {
		file, err := os.OpenFile(temporary, os.O_WRONLY, 0o600) //nolint:gosec // made by newFile
		if err != nil {
			return err
		}
		e.ExportHeader, e.Tables, err = s.exportTo(ctx, file, now)
		return errors.Join(err, file.Close())
	})
	if err != nil {
		return nil, fmt.Errorf("store: export: %w", err)
	}
	return &e, nil
}

func (s *Store) exportTo(ctx context.Context, w io.Writer, now time.Time) (header ExportHeader, tables []Tally, err error) {
	reads, end, err := s.snapshot(ctx)
	if err != nil {
		return header, nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if header, err = reads.exportHeader(ctx, now); err != nil {
		return header, nil, err
	}
	packed, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return header, nil, err
	}
	x := exporter{reads: reads, lines: newLineMaker(), out: bufio.NewWriterSize(packed, 64<<10)}
	if tables, err = x.all(ctx, header); err != nil {
		return header, nil, err
	}
	return header, tables, errors.Join(x.out.Flush(), packed.Close())
}

// snapshot reads the database as it is at one moment, for as long as that takes.
func (s *Store) snapshot(ctx context.Context) (reads *queries, end func() error, err error) {
	options := &sql.TxOptions{ReadOnly: true}
	var pool *sql.DB
	switch e := s.engine.(type) {
	case *file:
		pool = e.readers // a transaction that reads sees one moment
	case *cluster:
		pool, options.Isolation = e.pool, sql.LevelRepeatableRead
	}
	tx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	if _, isFile := s.engine.(*file); !isFile {
		if _, err := tx.ExecContext(ctx, takeTime); err != nil {
			return nil, nil, errors.Join(err, tx.Rollback())
		}
	}
	return &queries{direct{tx, ctx}}, tx.Rollback, nil
}

// exportHeader describes the database. A schema of a later release holds what this
// one does not know, and would leave behind.
func (q *queries) exportHeader(ctx context.Context, now time.Time) (ExportHeader, error) {
	h := ExportHeader{Format: exportFormat, CreatedAt: now.Unix()}
	if err := q.row(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&h.Schema); err != nil {
		return h, err
	}
	if h.Schema != SchemaVersion() {
		return h, fmt.Errorf("the database has schema %d and this release knows %d: use the release that the database belongs to", h.Schema, SchemaVersion())
	}
	server, err := q.Server(ctx)
	h.KeyCheck = server.KeyCheck
	return h, err
}

// An exporter writes one export.
type exporter struct {
	reads *queries
	lines *lineMaker
	out   *bufio.Writer
}

func (x *exporter) all(ctx context.Context, header ExportHeader) ([]Tally, error) {
	line, err := x.write(exportEntry{Header: &header})
	if err != nil {
		return nil, err
	}
	end := exportEnd{Header: hashLine(line)}
	for _, m := range exportTables {
		t, err := tallyTable(ctx, x.reads, x.lines, m, func(line []byte) error {
			_, err := x.out.Write(line)
			return err
		})
		if err != nil {
			return nil, err
		}
		end.Tables = append(end.Tables, t)
	}
	_, err = x.write(exportEntry{End: &end})
	return end.Tables, err
}

func (x *exporter) write(e exportEntry) ([]byte, error) {
	line, err := x.lines.line(e)
	if err == nil {
		_, err = x.out.Write(line)
	}
	return line, err
}

func hashLine(line []byte) string {
	h := sha256.Sum256(line)
	return hex.EncodeToString(h[:])
}

// tallyTable makes the lines of a table from the database, hands each over, and
// counts them.
func tallyTable(ctx context.Context, reads *queries, lines *lineMaker, m moved, write func(line []byte) error) (Tally, error) {
	t := tally{name: m.name}
	head, err := lines.line(m.head())
	if err != nil {
		return Tally{}, err
	}
	t.begin(head)
	if err := write(head); err != nil {
		return Tally{}, err
	}
	dest := m.dest()
	err = reads.each(ctx, func(r fields) error {
		if err := r.Scan(dest...); err != nil {
			return err
		}
		values, err := m.row(dest)
		if err != nil {
			return err
		}
		line, err := lines.line(values)
		if err != nil {
			return err
		}
		t.add(line)
		return write(line)
	}, `SELECT `+m.names()+` FROM `+m.name)
	return t.done(), err
}
