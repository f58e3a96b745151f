package store

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An export is gzip over lines of JSON: a header; for each table a line that names
// it and its columns, and a line for each row, an array in that order; and an end
// that tells how much there was. A value is text, an integer, true, false or null,
// written in one way only, so that the same row is the same line on either engine.

// exportFormat is the number of this format.
const exportFormat = 1

// oldestExport is the oldest schema whose rows fit this release's. A migration that
// fills a new column with anything but its default has to raise it to its number.
const oldestExport = 4

// maxExportLine bounds a line, so that no file can ask for more memory.
const maxExportLine = 16 << 20

// An ExportHeader is the first line of an export.
type ExportHeader struct {
	Format    int    `json:"format"`
	Schema    int64  `json:"schema"`
	CreatedAt int64  `json:"created_at"` // Unix seconds
	KeyCheck  string `json:"key_check"`  // of the master key that seals the keys in it; "" when there are none
}

// A Tally tells how much of a table was moved. SHA256 is the sum, modulo 2^256, of
// the SHA-256 of its lines: the two engines do not sort alike.
type Tally struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// An exportEntry is a line that is no row: one of the three.
type exportEntry struct {
	Header *ExportHeader `json:"hufu_export,omitempty"`
	Table  *exportTable  `json:"table,omitempty"`
	End    *exportEnd    `json:"end,omitempty"`
}

type exportTable struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

type exportEnd struct {
	Header string  `json:"header_sha256"`
	Tables []Tally `json:"tables"`
}

// A moved is a table that exports hold.
type moved struct {
	name    string
	columns []movedColumn
}

type movedColumn struct {
	name string
	kind columnType
}

// A columnType is a type of the schema, as a migration writes it.
type columnType string

// There are three.
const (
	textColumn    columnType = "TEXT"
	integerColumn columnType = "BIGINT"
	booleanColumn columnType = "BOOLEAN"
)

// exportTables is everything there is; a test compares it with the schema. Not
// moved are the list of migrations, what server holds about the schema alone, and
// which process runs a job at the moment.
var exportTables = []moved{
	table("server", "epoch BIGINT, demo BOOLEAN, key_check TEXT, revision BIGINT, set_up_at BIGINT"),
	table("key_ring", "id TEXT, purpose TEXT, sealed TEXT, created_at BIGINT, active_at BIGINT, retired_at BIGINT, expires_at BIGINT"),
	table("client", `id TEXT, metadata TEXT, grant_types TEXT, epoch BIGINT, created_at BIGINT, updated_at BIGINT,
		disabled_at BIGINT, deleted_at BIGINT, revision BIGINT, registration_token TEXT, unused_until BIGINT`),
	table("client_secret", "id TEXT, client_id TEXT, hash TEXT, sealed TEXT, created_at BIGINT, expires_at BIGINT"),
	table("end_user", `id TEXT, username TEXT, username_key TEXT, email TEXT, email_verified BOOLEAN, password TEXT, claims TEXT,
		epoch BIGINT, created_at BIGINT, updated_at BIGINT, disabled_at BIGINT, deleted_at BIGINT, locale TEXT, admin BOOLEAN,
		forget BOOLEAN`),
	table("browser_session", `id_hash TEXT, sid TEXT, user_id TEXT, user_epoch BIGINT, server_epoch BIGINT, auth_time BIGINT, acr TEXT,
		amr TEXT, address TEXT, user_agent TEXT, created_at BIGINT, seen_at BIGINT, expires_at BIGINT`),
	table("passkey", `id TEXT, user_id TEXT, public_key TEXT, sign_count BIGINT, flags BIGINT, attachment TEXT, transports TEXT, aaguid TEXT,
		name TEXT, created_at BIGINT, last_used_at BIGINT`),
	table("session_client", "sid TEXT, client_id TEXT, user_id TEXT, expires_at BIGINT, ended_at BIGINT, due_at BIGINT, attempts BIGINT"),
	table("consent", "user_id TEXT, client_id TEXT, client_epoch BIGINT, scope TEXT, created_at BIGINT, updated_at BIGINT"),
	table("oauth_grant", `id TEXT, grant_type TEXT, client_id TEXT, user_id TEXT, session_id TEXT, scope TEXT, resource TEXT,
		request_id TEXT, code_hash TEXT, code_expires_at BIGINT, challenge TEXT, wrong_verifiers BIGINT, redirect_uri TEXT,
		redirect_uri_sent BOOLEAN, nonce TEXT, claims TEXT, auth_time BIGINT, acr TEXT, amr TEXT, sid TEXT, client_epoch BIGINT,
		user_epoch BIGINT, server_epoch BIGINT, redeemed_at BIGINT, redeemed_by TEXT, generation BIGINT, rotated_at BIGINT,
		revoked_at BIGINT, revoke_reason TEXT, created_at BIGINT, expires_at BIGINT, keep_until BIGINT`),
	table("ticket", "hash TEXT, purpose TEXT, user_id TEXT, user_epoch BIGINT, user_email TEXT, new_email TEXT, created_at BIGINT, expires_at BIGINT"),
	table("mail", `id TEXT, kind TEXT, user_id TEXT, recipient TEXT, username TEXT, language TEXT, sealed TEXT, at BIGINT, address TEXT,
		user_agent TEXT, due_at BIGINT, attempts BIGINT, expires_at BIGINT`),
	table("revoked_token", "jti TEXT, expires_at BIGINT"),
	table("attempt", "bucket TEXT, full_at BIGINT"),
	table("authenticator_app", "user_id TEXT, id TEXT, sealed TEXT, last_step BIGINT, created_at BIGINT, used_at BIGINT, stands_in_after BIGINT"),
	table("recovery_code", "user_id TEXT, hash TEXT, created_at BIGINT"),
	table("event", `id TEXT, at BIGINT, kind TEXT, actor TEXT, user_id TEXT, client_id TEXT, grant_id TEXT, address TEXT,
		request_id TEXT, detail TEXT`),
}

// table reads a table in the words of a migration.
func table(name, columns string) moved {
	m := moved{name: name}
	for column := range strings.SplitSeq(columns, ",") {
		words := strings.Fields(column)
		m.columns = append(m.columns, movedColumn{words[0], columnType(words[1])})
	}
	return m
}

// head is the line before the rows.
func (m moved) head() exportEntry {
	t := &exportTable{Name: m.name}
	for _, c := range m.columns {
		t.Columns = append(t.Columns, c.name)
	}
	return exportEntry{Table: t}
}

// names are the columns as a statement lists them.
func (m moved) names() string { return strings.Join(m.head().Table.Columns, ", ") }

// movedTable finds a table with the columns that a file has of it, in its order.
// When all is set, none may be missing.
func movedTable(t exportTable, all bool) (moved, error) {
	i := slices.IndexFunc(exportTables, func(m moved) bool { return m.name == t.Name })
	if i < 0 {
		return moved{}, refuse("it holds a table %q, which this release does not know", t.Name)
	}
	known, found := exportTables[i], moved{name: t.Name}
	for _, name := range t.Columns {
		j := slices.IndexFunc(known.columns, func(c movedColumn) bool { return c.name == name })
		if j < 0 || slices.Contains(found.columns, known.columns[j]) {
			return moved{}, refuse("it holds a column %q of %s twice, or this release does not know it", name, t.Name)
		}
		found.columns = append(found.columns, known.columns[j])
	}
	if len(found.columns) == 0 || all && len(found.columns) < len(known.columns) {
		return moved{}, refuse("it lacks columns of %s", t.Name)
	}
	return found, nil
}

// dest is where a row of the table is scanned to.
func (m moved) dest() []any {
	var dest []any
	for _, c := range m.columns {
		switch c.kind {
		case textColumn:
			dest = append(dest, new(sql.NullString))
		case integerColumn:
			dest = append(dest, new(sql.NullInt64))
		case booleanColumn:
			dest = append(dest, new(sql.NullBool))
		}
	}
	return dest
}

// row takes the values out of what dest made. Text that only SQLite would hold is
// refused, for it could not be moved as it is.
func (m moved) row(dest []any) ([]any, error) {
	values := make([]any, len(dest))
	for i, d := range dest {
		switch v := d.(type) {
		case *sql.NullString:
			if v.Valid {
				values[i] = v.String
			}
			if !plainText(v.String) {
				return nil, fmt.Errorf("store: %s of %s holds bytes that are no text", m.columns[i].name, m.name)
			}
		case *sql.NullInt64:
			if v.Valid {
				values[i] = v.Int64
			}
		case *sql.NullBool:
			if v.Valid {
				values[i] = v.Bool
			}
		}
	}
	return values, nil
}

// plainText reports whether both engines hold s as it is.
func plainText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// parse reads a row from its line.
func (m moved) parse(line []byte) ([]any, error) {
	var cells []json.RawMessage
	if err := json.Unmarshal(line, &cells); err != nil || len(cells) != len(m.columns) {
		return nil, refuse("a row of %s does not have its %d columns", m.name, len(m.columns))
	}
	values := make([]any, len(cells))
	for i, cell := range cells {
		var ok bool
		if values[i], ok = m.columns[i].parse(cell); !ok {
			return nil, refuse("%s of a row of %s is no %s", m.columns[i].name, m.name, m.columns[i].kind)
		}
	}
	return values, nil
}

func (c movedColumn) parse(cell []byte) (v any, ok bool) {
	if string(cell) == "null" {
		return nil, true
	}
	switch c.kind {
	case textColumn:
		var text string
		err := json.Unmarshal(cell, &text)
		return text, err == nil && plainText(text)
	case integerColumn:
		n, err := strconv.ParseInt(string(cell), 10, 64) // never by way of a float
		return n, err == nil
	case booleanColumn:
		return string(cell) == "true", string(cell) == "true" || string(cell) == "false"
	}
	return nil, false
}

// A lineMaker writes lines, the same value always in the same way.
type lineMaker struct {
	buffer  bytes.Buffer
	encoder *json.Encoder
}

func newLineMaker() *lineMaker {
	l := &lineMaker{}
	l.encoder = json.NewEncoder(&l.buffer)
	l.encoder.SetEscapeHTML(false)
	return l
}

// line is v with the line's end; it is good until the next call.
func (l *lineMaker) line(v any) ([]byte, error) {
	l.buffer.Reset()
	if err := l.encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("store: write a line: %w", err)
	}
	if l.buffer.Len() > maxExportLine {
		return nil, fmt.Errorf("store: a row takes more than %d MiB", maxExportLine>>20)
	}
	return l.buffer.Bytes(), nil
}

// A tally counts the lines of a table.
type tally struct {
	name string
	rows int64
	sum  [4]uint64
}

// begin counts the line that names the table and its columns: the checksum is of
// the values under their names.
func (t *tally) begin(head []byte) { t.mix(head) }

func (t *tally) add(row []byte) {
	t.rows++
	t.mix(row)
}

func (t *tally) mix(line []byte) {
	h := sha256.Sum256(line)
	var carry uint64
	for i := range t.sum {
		t.sum[i], carry = bits.Add64(t.sum[i], binary.LittleEndian.Uint64(h[8*i:]), carry)
	}
}

func (t *tally) done() Tally {
	var sum [sha256.Size]byte
	for i, word := range t.sum {
		binary.LittleEndian.PutUint64(sum[8*i:], word)
	}
	return Tally{Table: t.name, Rows: t.rows, SHA256: hex.EncodeToString(sum[:])}
}

// A refusal tells why a file is not taken in; nothing of it was kept.
type refusal string

// Error says so.
func (r refusal) Error() string { return "store: this file cannot be imported: " + string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
