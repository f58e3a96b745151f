package store_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// schema describes a database in words that both engines share: one line for each
// column, each index and each rule of uniqueness.
func schema(t *testing.T, db *sql.DB, columns, indexes string) []string {
	t.Helper()
	var lines []string
	rows, err := db.QueryContext(t.Context(), columns)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var table, name, kind string
		var required, preset bool
		var key int64
		must(t, rows.Scan(&table, &name, &kind, &required, &preset, &key))
		lines = append(lines, fmt.Sprintf("%s.%s %s, required %t, preset %t, in the key %d", table, name, strings.ToUpper(kind), required, preset, key))
	}
	must(t, rows.Err())
	rows, err = db.QueryContext(t.Context(), indexes)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var table, name, of string
		var unique, partial bool
		must(t, rows.Scan(&table, &name, &unique, &partial, &of))
		lines = append(lines, fmt.Sprintf("%s: index %q (%s), unique %t, partial %t", table, name, of, unique, partial))
	}
	must(t, rows.Err())
	slices.Sort(lines)
	return lines
}

// What SQLite and PostgreSQL say about themselves. An index that stands for PRIMARY
// KEY or UNIQUE has a name of each engine's own, which is left out, as is what goose
// keeps.
const (
	sqliteColumns = `
		SELECT m.name, p.name, p.type, p."notnull", p.dflt_value IS NOT NULL, p.pk
		FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`
	sqliteIndexes = `
		SELECT m.name, CASE i.origin WHEN 'c' THEN i.name ELSE '' END, i."unique", i.partial,
			(SELECT group_concat(COALESCE(c.name, '(expression)'), ' ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c)
		FROM sqlite_master m, pragma_index_list(m.name) i
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`
	postgresColumns = `
		SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO', c.column_default IS NOT NULL, COALESCE((
			SELECT k.ordinal_position FROM information_schema.table_constraints r
			JOIN information_schema.key_column_usage k ON k.constraint_name = r.constraint_name AND k.table_schema = r.table_schema
			WHERE r.table_schema = c.table_schema AND r.table_name = c.table_name AND r.constraint_type = 'PRIMARY KEY' AND k.column_name = c.column_name), 0)
		FROM information_schema.columns c WHERE c.table_schema = current_schema() AND c.table_name NOT LIKE 'goose_%'`
	postgresIndexes = `
		SELECT t.relname, CASE WHEN r.oid IS NULL THEN i.relname ELSE '' END, x.indisunique, x.indpred IS NOT NULL,
			(SELECT string_agg(COALESCE(a.attname, '(expression)'), ' ' ORDER BY k.place) FROM unnest(x.indkey) WITH ORDINALITY k (number, place)
			 LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number)
		FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
		LEFT JOIN pg_constraint r ON r.conindid = x.indexrelid
		WHERE t.relnamespace = current_schema()::regnamespace AND t.relname NOT LIKE 'goose_%'`
)

// Both engines have the same tables, columns and indexes, also when they came here
// from an older schema.
func TestSchemaParity(t *testing.T) {
	t.Parallel()
	file, cluster := fileDSN(t), dbtest.DSN(t)
	openDSN(t, file)
	openDSN(t, cluster)
	want := schema(t, raw(t, file), sqliteColumns, sqliteIndexes)
	got := schema(t, raw(t, cluster), postgresColumns, postgresIndexes)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-SQLite +PostgreSQL):\n%s", diff)
	}
	if len(want) < 100 {
		t.Errorf("only %d lines: it does not look where it should\n%s", len(want), strings.Join(want, "\n"))
	}
	for _, kind := range want {
		if _, column, ok := strings.Cut(kind, "."); ok && !slices.Contains([]string{"BIGINT,", "TEXT,", "BOOLEAN,"}, strings.Fields(column)[1]) {
			t.Errorf("%s is of a type that the store does not read", kind)
		}
	}
	older := dbtest.DSN(t)
	makeOlder(t, older, store.SchemaVersion()-1)
	openDSN(t, older)
	if diff := cmp.Diff(got, schema(t, raw(t, older), postgresColumns, postgresIndexes)); diff != "" {
		t.Errorf("schema (-new +from an older one):\n%s", diff)
	}
}

// The default of a column is the same value on both engines, for every column that a
// statement may leave out.
func TestSchemaDefaults(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		s := openDSN(t, dsn)
		db := raw(t, dsn)
		for v := int64(1); v < store.SchemaVersion(); v++ {
			execute(t, db, ofSchema[v]) // they name no more than they must
		}
		execute(t, db, `INSERT INTO event (id, at, kind, actor) VALUES ('event', 1, 'kind', 'actor')`)
		for what, text := range map[string]string{
			"client": `SELECT COUNT(*) FROM client WHERE revision = 1 AND disabled_at IS NULL AND deleted_at IS NULL AND registration_token = '' AND unused_until IS NULL`,
			"secret": `SELECT COUNT(*) FROM client_secret WHERE sealed = '' AND expires_at IS NULL`,
			"user":   `SELECT COUNT(*) FROM end_user WHERE email = '' AND NOT email_verified AND password = '' AND claims = '{}' AND disabled_at IS NULL AND locale = '' AND NOT admin AND NOT forget`,
			"grant": `SELECT COUNT(*) FROM oauth_grant WHERE session_id = '' AND resource = '' AND request_id IS NULL AND code_hash IS NULL AND code_expires_at = 0
				AND challenge = '' AND wrong_verifiers = 0 AND redirect_uri = '' AND NOT redirect_uri_sent AND nonce = '' AND claims = '' AND auth_time = 0
				AND acr = '' AND amr = '' AND sid = '' AND redeemed_by = '' AND revoked_at IS NULL AND revoke_reason = ''`,
			"event":  `SELECT COUNT(*) FROM event WHERE id = 'event' AND user_id = '' AND client_id = '' AND grant_id = '' AND address = '' AND request_id = '' AND detail = ''`,
			"server": `SELECT COUNT(*) FROM server WHERE revision = 1 AND NOT demo AND NOT sends_mail AND set_up_at IS NULL`,
		} {
			wantCount(t, s, what, 1, text)
		}
	})
}
