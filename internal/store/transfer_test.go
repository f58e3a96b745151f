package store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// notMoved are the columns that exports leave out, and why.
var notMoved = map[string]string{
	"goose_db_version.id":         "tells of the schema, which the new database has already",
	"goose_db_version.version_id": "", "goose_db_version.is_applied": "", "goose_db_version.tstamp": "",
	"job.name": "tells which process runs a job at the moment", "job.holder": "", "job.until": "",
	"server.id":            "is the same everywhere",
	"server.oldest_schema": "tells of the schema",
	"server.sends_mail":    "tells what the servers do at the moment",
}

// A column of the schema.
type column struct {
	table, name, kind string
	nullable          bool
}

// schemaColumns reads what a database of this release has, without code of ours.
func schemaColumns(t *testing.T) []column {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hufu.db")
	openAt(t, path)
	rows, err := raw(t, path).QueryContext(t.Context(), `
		SELECT m.name, p.name, p.type, p."notnull" FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, p.cid`)
	must(t, err)
	defer rows.Close()
	var all []column
	for rows.Next() {
		var c column
		var notNull bool
		must(t, rows.Scan(&c.table, &c.name, &c.kind, &notNull))
		c.nullable = !notNull
		all = append(all, c)
	}
	must(t, rows.Err())
	return all
}

// A table or a column that a later migration adds cannot be forgotten: every one of
// the schema is exported, or is known to be left behind (OP-02).
func TestExportHoldsEverything(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, c := range schemaColumns(t) {
		if _, left := notMoved[c.table+"."+c.name]; !left {
			want[c.table+"."+c.name] = c.kind
		}
	}
	if diff := cmp.Diff(want, store.ExportColumns()); diff != "" {
		t.Errorf("the list of exportTables is not the schema; if the migration fills a new column with anything but its default, raise oldestExport too (-schema +list):\n%s", diff)
	}
	for name := range notMoved {
		if _, moved := store.ExportColumns()[name]; moved {
			t.Errorf("%s is moved and not moved", name)
		}
	}
}

// What the engines could disagree about.
var (
	oddTexts    = []string{"", " a ", "<b>&amp;", `"\'`, "虎符 🐯", "a\u2028b\tc\r\nd", "\u0001\u007f\ufeff", "İßé", "null", "9007199254740993"}
	oddIntegers = []int64{0, -1, 1, math.MaxInt64, math.MinInt64, 1<<53 + 1, -(1<<53 + 1), 1_800_000_000, math.MaxInt32 + 1, 42}
)

// oddRows is how many rows fill makes of each table.
const oddRows = 250

// fill puts rows into every table whose values no two engines treat alike by luck:
// texts that need care, the ends of the integers, and NULL wherever there may be one.
func fill(t *testing.T, s *store.Store) {
	t.Helper()
	tables := map[string][]column{}
	for _, c := range schemaColumns(t) {
		if _, left := notMoved[c.table+"."+c.name]; !left {
			tables[c.table] = append(tables[c.table], c)
		}
	}
	must(t, s.WriteOne(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE server SET epoch = $1, demo = TRUE, key_check = 'check "of" <it>'`, int64(math.MaxInt64))
		return err
	}))
	for name, columns := range tables {
		if name == "server" {
			continue
		}
		must(t, s.Write(t.Context(), func(tx *store.Tx) error { // one unit for all would take longer than a unit may
			for k := range oddRows {
				text, args := insertOdd(name, columns, k)
				if _, err := tx.Exec(t.Context(), text, args...); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		}))
	}
}

func insertOdd(table string, columns []column, k int) (text string, args []any) {
	var names, places []string
	for i, c := range columns {
		names, places = append(names, c.name), append(places, fmt.Sprintf("$%d", i+1))
		switch {
		case c.nullable && (k+i)%3 == 0:
			args = append(args, nil)
		case c.kind == "TEXT":
			args = append(args, fmt.Sprintf("%s %d", oddTexts[(k+i)%len(oddTexts)], k)) // unique, as ids must be
		case c.kind == "BIGINT":
			args = append(args, oddIntegers[(k+i)%len(oddIntegers)])
		default:
			args = append(args, (k+i)%2 == 0)
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(places, ", ")), args
}

// dump is everything in a database, table by table, as its driver gives it; less
// the rows that are about an import.
func dump(t *testing.T, s *store.Store) map[string][]string {
	t.Helper()
	all, columns := map[string][]string{}, map[string][]string{}
	for name := range store.ExportColumns() {
		table, column, _ := strings.Cut(name, ".")
		columns[table] = append(columns[table], column)
	}
	for table, names := range columns {
		slices.Sort(names)
		where := ""
		if table == "event" {
			where = ` WHERE kind <> '` + store.EventImported + `'`
		}
		rows, err := s.Dump(t.Context(), `SELECT `+strings.Join(names, ", ")+` FROM `+table+where)
		must(t, err)
		slices.Sort(rows)
		all[table] = rows
	}
	return all
}

// exported exports a database and opens the file.
func exported(t *testing.T, s *store.Store) *store.ExportFile {
	t.Helper()
	return openExport(t, exportedFile(t, s))
}

func exportedFile(t *testing.T, s *store.Store) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hufu.export")
	made, err := s.Export(t.Context(), path, now)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 || info.Size() != made.Bytes || made.Schema != store.SchemaVersion() || made.CreatedAt != now.Unix() {
		t.Errorf("an export of mode %v and %d bytes, told as %+v", info.Mode(), info.Size(), made)
	}
	return path
}

func openExport(t *testing.T, path string) *store.ExportFile {
	t.Helper()
	f, err := store.OpenExport(path)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// Everything arrives as it was, to the last bit, from each engine on each: times,
// booleans, integers beyond what a float holds, NULL, and text of all kinds
// (design.md Section 5). Counts and checksums do not depend on the engine.
func TestTransfer(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, from opener) {
		source := from(t)
		fill(t, source)
		was := dump(t, source)
		if n := len(was["oauth_grant"]); n != oddRows {
			t.Fatalf("%d grants were made", n)
		}
		eachEngine(t, func(t *testing.T, to opener) {
			target := to(t)
			file := exported(t, source)
			tables, err := target.Import(t.Context(), file, now, by)
			must(t, err)
			if diff := cmp.Diff(was, dump(t, target)); diff != "" {
				t.Errorf("not what it was (-was +is):\n%s", diff)
			}
			if e := lastEventOf(t, target, store.EventImported); e != 1 {
				t.Errorf("%d records of the import", e)
			}
			made, err := target.Export(t.Context(), filepath.Join(t.TempDir(), "again"), now)
			must(t, err)
			for i, before := range tables {
				if after := made.Tables[i]; before.Table != "event" && after != before {
					t.Errorf("exported %+v, exported again %+v", before, after)
				}
			}
			if _, err := target.Import(t.Context(), file, now, by); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("imported twice: %v", err)
			}
			must(t, target.RevokeToken(t.Context(), "jti", "c", "g", now, now, by)) // it can be written to
		})
	})
}

func lastEventOf(t *testing.T, s *store.Store, kind string) int64 {
	t.Helper()
	return count(t, s, `SELECT COUNT(*) FROM event WHERE kind = $1`, kind)
}

// Around the size of a batch nothing is lost and nothing comes twice, and a database
// with no rows at all can be moved too.
func TestTransferBatches(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, store.ExportBatch - 1, store.ExportBatch, store.ExportBatch + 1, 3 * store.ExportBatch} {
		source, target := open(t), open(t)
		must(t, source.Write(t.Context(), func(tx *store.Tx) error {
			for i := range n {
				if _, err := tx.Exec(t.Context(), `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, $2)`, fmt.Sprint(i), i); err != nil {
					return err
				}
			}
			return nil
		}))
		tables, err := target.Import(t.Context(), exported(t, source), now, by)
		must(t, err)
		for _, tally := range tables {
			if want := map[string]int64{"revoked_token": n, "server": 1}[tally.Table]; tally.Rows != want {
				t.Errorf("%d rows of %s told, want %d", tally.Rows, tally.Table, want)
			}
		}
		if diff := cmp.Diff(dump(t, source), dump(t, target)); diff != "" {
			t.Errorf("%d rows (-was +is):\n%s", n, diff)
		}
	}
}

// An export is of one moment, while others write (OP-02): a client comes with the
// record that tells of it, and no export holds one without the other.
func TestExportUnderLoad(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := s.CreateClient(t.Context(), &store.Client{ID: fmt.Sprintf("c%d-%d", w, i), CreatedAt: now}, by); err != nil {
						t.Errorf("create: %v", err)
						return
					}
				}
			})
		}
		end := sync.OnceFunc(func() {
			close(stop)
			writers.Wait()
		})
		defer end()
		var files []*store.ExportFile
		for n := range 4 {
			for count(t, s, `SELECT COUNT(*) FROM client`) < int64(20*n) && !t.Failed() {
				time.Sleep(time.Millisecond)
			}
			files = append(files, exported(t, s))
		}
		end()
		last := int64(-1)
		for _, file := range files {
			target := openAt(t, filepath.Join(t.TempDir(), "hufu.db"))
			_, err := target.Import(t.Context(), file, now, by)
			must(t, err)
			clients, events := count(t, target, `SELECT COUNT(*) FROM client`), lastEventOf(t, target, store.EventClientCreated)
			if clients != events || clients < last {
				t.Errorf("an export holds %d clients and %d records of their making, the one before %d clients", clients, events, last)
			}
			last = clients
		}
		if last < 60 {
			t.Errorf("%d clients in the last export", last)
		}
	})
}

// An export is written once, whole, or not at all.
func TestExportRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	taken := filepath.Join(folder, "taken")
	must(t, os.WriteFile(taken, []byte("mine"), 0o600))
	s := open(t)
	_, err := s.Export(t.Context(), taken, now)
	want(t, "over a file", err, fs.ErrExist)
	_, err = s.Export(t.Context(), filepath.Join(folder, "no", "such"), now)
	want(t, "into no folder", err, fs.ErrNotExist)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Export(cancelled, filepath.Join(folder, "cancelled"), now)
	want(t, "cancelled", err, context.Canceled)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, 1)`, "\xff")
		return err
	}))
	if _, err = s.Export(t.Context(), filepath.Join(folder, "bytes"), now); err == nil || !strings.Contains(err.Error(), "jti of revoked_token holds bytes that are no text") {
		t.Errorf("text that cannot be moved: %v", err)
	}
	newer := open(t)
	must(t, newer.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, TRUE)`, store.SchemaVersion()+1)
		return err
	}))
	file := exported(t, open(t))
	if _, err = newer.Export(t.Context(), filepath.Join(folder, "newer"), now); err == nil || !strings.Contains(err.Error(), "use the release that the database belongs to") {
		t.Errorf("a newer schema: %v", err)
	}
	if _, err = newer.Import(t.Context(), file, now, by); err == nil || !strings.Contains(err.Error(), "use the release that the database belongs to") {
		t.Errorf("into a newer schema: %v", err)
	}
	left, err := os.ReadDir(folder)
	must(t, err)
	if text, err := os.ReadFile(taken); len(left) != 1 || string(text) != "mine" {
		t.Errorf("left behind: %v; the file that was there: %q, %v", left, text, err)
	}
}

// Somebody in the database is never mixed with others, nor replaced; the keys and
// the traces of a server that was only started are.
func TestImportIntoWhat(t *testing.T) {
	t.Parallel()
	source := someone(t)
	for name, tt := range map[string]struct {
		before  func(t *testing.T, s *store.Store)
		refused bool
	}{
		"a client": {func(t *testing.T, s *store.Store) { client(t, s, "c") }, true},
		"a deleted client": {func(t *testing.T, s *store.Store) {
			client(t, s, "c")
			must(t, s.DeleteClient(t.Context(), "c", now, by))
		}, true},
		"a user": {func(t *testing.T, s *store.Store) { user(t, s, "u") }, true},
		"a grant": {func(t *testing.T, s *store.Store) {
			must(t, s.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `
					INSERT INTO oauth_grant (id, grant_type, client_id, user_id, scope, client_epoch, user_epoch, server_epoch, created_at, expires_at, keep_until)
					VALUES ('g', 'x', 'c', 'u', '', 1, 1, 1, 1, 1, 1)`)
				return err
			}))
		}, true},
		"nothing": {func(*testing.T, *store.Store) {}, false},
		"a server that was started": {func(t *testing.T, s *store.Store) {
			must(t, s.SetKeyCheck(t.Context(), "another"))
			must(t, s.AddFirstKey(t.Context(), store.Key{ID: "k", Purpose: "p", Sealed: "s", Check: "another", CreatedAt: now, ActiveAt: now}))
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: store.EventKeyRotated, By: by}))
			must(t, s.MarkDemo(t.Context()))
			_, err := s.Attempt(t.Context(), "bucket", store.Limit{Burst: 1, Interval: 1}, now)
			must(t, err)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachEngine(t, func(t *testing.T, open opener) {
				target := open(t)
				tt.before(t, target)
				was := dump(t, target)
				_, err := target.Import(t.Context(), exported(t, source), now, by)
				if !tt.refused {
					must(t, err)
					was = dump(t, source)
				} else if !errors.Is(err, store.ErrNotEmpty) {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(was, dump(t, target)); diff != "" {
					t.Errorf("(-want +is)\n%s", diff)
				}
			})
		})
	}
}

// someone is a database with a client, a user and a grant.
func someone(t *testing.T) *store.Store {
	t.Helper()
	p := newParty(t, open)
	p.createLive(t, "a")
	must(t, p.RevokeToken(t.Context(), "jti-1", "app", "", now, now, by))
	return p.Store
}

// unpacked is the text of an export.
func unpacked(t *testing.T, path string) string {
	t.Helper()
	packed, err := os.ReadFile(path)
	must(t, err)
	r, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

// importText imports lines into a database.
func importText(ctx context.Context, s *store.Store, packed []byte) error {
	f, err := store.ExportFileOf(bytes.NewReader(packed), store.SchemaVersion())
	if err == nil {
		_, err = s.Import(ctx, f, now, by)
	}
	return err
}

// A file that is no export of ours, or not as it was written, is refused, and
// nothing of it is kept (OP-02): whatever is cut off, changed, doubled or left out,
// with the checksums of the original and, where the reader has to see it himself,
// with others that fit.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	source := someone(t)
	path := exportedFile(t, source)
	packed, err := os.ReadFile(path)
	must(t, err)
	text := unpacked(t, path)
	rows := text[:strings.LastIndex(text[:len(text)-1], "\n")+1] // without the end
	if store.Ended(rows) != text {
		t.Fatal("the end of an export is not what its lines make")
	}
	replace := func(old, text string) string { return replaced(t, rows, old, text) }
	server := firstRow(t, text, "server")
	for name, tt := range map[string]struct {
		packed []byte
		why    string
	}{
		"empty":               {nil, "not made by hufu export"},
		"no gzip":             {[]byte(text), "not made by hufu export"},
		"a backup":            {[]byte("SQLite format 3\x00"), "not made by hufu export"},
		"nothing inside":      {store.Pack(""), "cut off"},
		"something else":      {store.Pack("{\"a\":1}\n"), "not made by hufu export"},
		"no JSON":             {store.Pack("hello\n"), "not made by hufu export"},
		"half of the file":    {packed[:len(packed)/2], "cut off"},
		"all but a byte":      {packed[:len(packed)-1], "cut off"},
		"a bit of the file":   {flipped(packed, len(packed)/2), ""},
		"its checksum":        {flipped(packed, len(packed)-6), "damaged"},
		"twice":               {append(slices.Clone(packed), packed...), "something follows its end"},
		"more behind it":      {append(slices.Clone(packed), "and this is no gzip"...), "damaged"},
		"no end":              {store.Pack(rows), "cut off"},
		"no end of the line":  {store.Pack(text[:len(text)-1]), "cut off"},
		"a line behind":       {store.Pack(text + "[]\n"), "something follows its end"},
		"a row less":          {store.Pack(strings.Replace(text, firstRow(t, text, "end_user"), "", 1)), "its rows are not those"},
		"a row twice":         {store.Pack(strings.Replace(text, firstRow(t, text, "event"), strings.Repeat(firstRow(t, text, "event"), 2), 1)), "rows of event"},
		"another value":       {store.Pack(strings.Replace(text, `"alice"`, `"mallory"`, 1)), "its rows are not those"},
		"another time":        {store.Pack(strings.Replace(text, `"created_at":1800000000`, `"created_at":1800000001`, 1)), "header was altered"},
		"another key":         {store.Pack(strings.Replace(text, `"key_check":""`, `"key_check":"x"`, 1)), "header was altered"},
		"columns swapped":     {store.Pack(strings.Replace(text, `["user_id","client_id",`, `["client_id","user_id",`, 1)), "its rows are not those"},
		"another format":      {store.Pack(store.Ended(replace(`"format":1`, `"format":2`))), "has format 2"},
		"a newer schema":      {store.Pack(store.Ended(replace(`"schema":`, `"schema":9`))), "start a newer hufu"},
		"an older schema":     {store.Pack(store.Ended(replace(fmt.Sprintf(`"schema":%d,`, store.SchemaVersion()), fmt.Sprintf(`"schema":%d,`, store.OldestExport-1)))), "export it again with this release"},
		"two headers":         {store.Pack(store.Ended(rows + strings.SplitAfter(rows, "\n")[0])), "not as hufu export writes it"},
		"an unknown table":    {store.Pack(store.Ended(rows + `{"table":{"name":"x","columns":["id"]}}` + "\n")), `a table "x"`},
		"of another's":        {store.Pack(store.Ended(rows + `{"table":{"name":"goose_db_version","columns":["version_id"]}}` + "\n")), `a table "goose_db_version"`},
		"a table twice":       {store.Pack(store.Ended(rows + `{"table":{"name":"revoked_token","columns":["jti","expires_at"]}}` + "\n")), "revoked_token twice"},
		"a table less":        {store.Pack(store.Ended(replace(`{"table":{"name":"revoked_token","columns":["jti","expires_at"]}}`+"\n"+`["jti-1",1800000000]`+"\n", ""))), "lacks the table revoked_token"},
		"an unknown column":   {store.Pack(store.Ended(replace(`["jti","expires_at"]`, `["jti","of_tomorrow"]`))), `a column "of_tomorrow"`},
		"SQL for a column":    {store.Pack(store.Ended(replace(`["jti","expires_at"]`, `["jti","expires_at) VALUES ('a', 1) --"]`))), "a column"},
		"a column twice":      {store.Pack(store.Ended(replace(`["jti","expires_at"]`, `["jti","jti"]`))), `a column "jti" of revoked_token twice`},
		"a column less":       {store.Pack(store.Ended(replace(`["jti","expires_at"]`, `["jti"]`))), "lacks columns of revoked_token"},
		"no column":           {store.Pack(store.Ended(replace(`["jti","expires_at"]`, `[]`))), "lacks columns of revoked_token"},
		"a row of no table":   {store.Pack(store.Ended(strings.SplitAfter(rows, "\n")[0] + "[1]\n")), "belongs to no table"},
		"two servers":         {store.Pack(store.Ended(replace(server, server+server))), "one row about the server"},
		"no server":           {store.Pack(store.Ended(replace(server, ""))), "one row about the server"},
		"a value less":        {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1"]`))), "2 columns"},
		"a value more":        {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1",1800000000,1]`))), "2 columns"},
		"text for a number":   {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1","1800000000"]`))), "no BIGINT"},
		"a fraction":          {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1",1800000000.5]`))), "no BIGINT"},
		"too large":           {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1",9223372036854775808]`))), "no BIGINT"},
		"a power":             {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1",18e8]`))), "no BIGINT"},
		"a number for a word": {store.Pack(store.Ended(replace(server, strings.Replace(server, "false", "0", 1)))), "no BOOLEAN"},
		"a list":              {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `[["jti-1"],1800000000]`))), "no TEXT"},
		"a zero byte":         {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["\u0000",1800000000]`))), "no TEXT"},
		"bytes that are none": {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, "[\"\xff\",1800000000]"))), "not as hufu export writes it"},
		"another spelling":    {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1", 1800000000]`))), "not as hufu export writes it"},
		"null for a value":    {store.Pack(store.Ended(replace(`["jti-1",1800000000]`, `["jti-1",null]`))), "rows of revoked_token"},
		"a row twice by hand": {store.Pack(store.Ended(replace(firstRow(t, text, "client"), strings.Repeat(firstRow(t, text, "client"), 2)))), "rows of client"},
		"a line without end":  {store.Pack(store.Ended(rows) + strings.Repeat("x", store.MaxExportLine+1)), ""},
		"a long line":         {store.Pack(strings.SplitAfter(rows, "\n")[0] + "[\"" + strings.Repeat("x", store.MaxExportLine) + "\"]\n"), "a line takes more than"},
		"a word":              {store.Pack(strings.SplitAfter(rows, "\n")[0] + "true\n"), "not as hufu export writes it"},
		"an empty line":       {store.Pack(strings.SplitAfter(rows, "\n")[0] + "\n"), "not as hufu export writes it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: "k", By: by})) // would be gone after the beginning of an import
			was := dump(t, s)
			err := importText(t.Context(), s, tt.packed)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want it to tell: %s", err, tt.why)
			}
			if diff := cmp.Diff(was, dump(t, s)); diff != "" {
				t.Errorf("something was kept (-was +is):\n%s", diff)
			}
			must(t, importText(t.Context(), s, packed)) // and what is right is taken in afterwards
		})
	}
}

func replaced(t *testing.T, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("no %s in the export", old)
	}
	return strings.Replace(text, old, by, 1)
}

func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// firstRow is the first row of a table in the text of an export.
func firstRow(t *testing.T, text, table string) string {
	t.Helper()
	_, after, found := strings.Cut(text, `{"table":{"name":"`+table+`",`)
	lines := strings.SplitAfter(after, "\n")
	if !found || len(lines) < 2 || !strings.HasPrefix(lines[1], "[") {
		t.Fatalf("no row of %s in the export", table)
	}
	return lines[1]
}

// A file of an older schema is taken in: what it does not have gets its default.
func TestImportOlder(t *testing.T) {
	t.Parallel()
	source := someone(t)
	text := unpacked(t, exportedFile(t, source))
	var lines []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, `{"table":{"name":"revoked_token"`), line == `["jti-1",1800000000]`+"\n", strings.HasPrefix(line, `{"end"`):
		case strings.HasPrefix(line, `{"table":{"name":"event"`):
			lines = append(lines, replaced(t, line, `,"detail"]`, `]`))
		case len(lines) > 0 && strings.Contains(strings.Join(lines, ""), `"name":"event"`):
			lines = append(lines, line[:strings.LastIndex(line, ",")]+"]\n")
		default:
			lines = append(lines, line)
		}
	}
	older := store.Pack(store.Ended(strings.Join(lines, "")))
	eachEngine(t, func(t *testing.T, open opener) {
		target := open(t)
		if err := importText(t.Context(), target, older); err == nil || !strings.Contains(err.Error(), "lacks columns of event") {
			t.Errorf("by a release of that schema: %v", err)
		}
		f, err := store.ExportFileOf(bytes.NewReader(older), store.SchemaVersion()+1)
		must(t, err)
		_, err = target.Import(t.Context(), f, now, by)
		must(t, err)
		all := count(t, target, `SELECT COUNT(*) FROM event`)
		if without := count(t, target, `SELECT COUNT(*) FROM event WHERE detail = ''`); all < 3 || without != all-1 { // the record of the import has one
			t.Errorf("%d of %d records without detail", without, all)
		}
	})
}

// What the database makes of the rows is compared with the file before it is
// committed: here a trigger alters one, and another drops one.
func TestImportCompares(t *testing.T) {
	t.Parallel()
	packed, err := os.ReadFile(exportedFile(t, someone(t)))
	must(t, err)
	for name, trigger := range map[string]string{
		"altered": `CREATE TRIGGER spoil AFTER INSERT ON revoked_token BEGIN UPDATE revoked_token SET expires_at = expires_at + 1; END`,
		"dropped": `CREATE TRIGGER spoil AFTER INSERT ON revoked_token BEGIN DELETE FROM revoked_token; END`,
		"added":   `CREATE TRIGGER spoil AFTER INSERT ON revoked_token BEGIN INSERT INTO attempt VALUES ('b', 1); END`,
	} {
		path := filepath.Join(t.TempDir(), "hufu.db")
		s := openAt(t, path)
		_, err := raw(t, path).ExecContext(t.Context(), trigger)
		must(t, err)
		was := dump(t, s)
		if err := importText(t.Context(), s, packed); err == nil || !strings.Contains(err.Error(), "the database gives back") {
			t.Errorf("%s: got %v", name, err)
		}
		if diff := cmp.Diff(was, dump(t, s)); diff != "" {
			t.Errorf("%s: something was kept (-was +is):\n%s", name, diff)
		}
	}
}

// breaking is a file that ends with an error on the way.
type breaking struct {
	*bytes.Reader
	after int64
	act   func() error
}

func (b *breaking) Read(p []byte) (int, error) {
	at, _ := b.Seek(0, io.SeekCurrent)
	if at >= b.after {
		if err := b.act(); err != nil {
			return 0, err
		}
	}
	return b.Reader.Read(p[:min(len(p), 512)])
}

// An import that is stopped on the way keeps nothing, and the database goes on
// (OP-02). TestTransfer_KilledImport does the same to a process.
func TestImportStopped(t *testing.T) {
	t.Parallel()
	source := open(t)
	fill(t, source)
	packed, err := os.ReadFile(exportedFile(t, source))
	must(t, err)
	eachEngine(t, func(t *testing.T, open opener) {
		for name, act := range map[string]func(stop func()) error{
			"the disk":     func(func()) error { return errors.New("the disk went away") },
			"the operator": func(stop func()) error { stop(); return nil },
		} {
			target := open(t)
			was := dump(t, target)
			for part := int64(1); part <= 4; part++ {
				ctx, cancel := context.WithCancel(t.Context())
				in := &breaking{Reader: bytes.NewReader(packed), after: math.MaxInt64}
				f, err := store.ExportFileOf(in, store.SchemaVersion())
				must(t, err)
				in.after, in.act = int64(len(packed))*part/5, func() error { return act(cancel) }
				if _, err := target.Import(ctx, f, now, by); err == nil {
					t.Errorf("%s, part %d: imported", name, part)
				}
				cancel()
				if diff := cmp.Diff(was, dump(t, target)); diff != "" {
					t.Errorf("%s, part %d: something was kept (-was +is):\n%s", name, part, diff)
				}
			}
			must(t, importText(t.Context(), target, packed))
		}
	})
}

// Two imports at once: one takes everything in, and the other finds somebody there.
func TestImportTwiceAtOnce(t *testing.T) {
	t.Parallel()
	source := open(t)
	fill(t, source)
	path := exportedFile(t, source)
	was := dump(t, source)
	eachEngine(t, func(t *testing.T, open opener) {
		target := open(t)
		errs := make([]error, 4)
		var imports sync.WaitGroup
		for i := range errs {
			file := openExport(t, path)
			imports.Go(func() { _, errs[i] = target.Import(t.Context(), file, now, by) })
		}
		imports.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
			} else if !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("the other: %v", err)
			}
		}
		if done != 1 {
			t.Errorf("%d imports were done", done)
		}
		if diff := cmp.Diff(was, dump(t, target)); diff != "" {
			t.Errorf("(-was +is)\n%s", diff)
		}
	})
}

// What changes after the file was looked at is not taken in.
func TestImportChanged(t *testing.T) {
	t.Parallel()
	path := exportedFile(t, open(t))
	f := openExport(t, path)
	other := open(t)
	must(t, other.SetKeyCheck(t.Context(), "another"))
	text, err := os.ReadFile(exportedFile(t, other))
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))
	s := open(t)
	if _, err := s.Import(t.Context(), f, now, by); err == nil || !strings.Contains(err.Error(), "changed since it was opened") {
		t.Errorf("got %v", err)
	}
}
