package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/issuer"
)

// openRaw opens a connection beside the store for rows by the million: the store
// writes each row by itself, which would take the better part of an hour.
func (db *database) openRaw() (err error) {
	if db.cluster != nil {
		db.raw, err = sql.Open("pgx", db.cluster.AdminDSN(dbtest.Database))
	} else {
		pragmas := url.Values{"_pragma": {"busy_timeout(60000)", "synchronous(OFF)", "cache_size(-300000)", "temp_store(MEMORY)"}}
		db.raw, err = sql.Open("sqlite", "file:"+(&url.URL{Path: db.config.SQLitePath()}).EscapedPath()+"?"+pragmas.Encode())
	}
	if err != nil {
		return err
	}
	db.raw.SetMaxOpenConns(1) // temporary tables belong to a connection
	return nil
}

// batch is how many rows are written in one transaction.
const batch = 100_000

// insert adds n rows of live grants, copies of one that the store itself has made
// and redeemed, so that they are as long as real ones. Their last moments go from
// end, in Unix seconds, over so many seconds.
func (g *group) insert(ctx context.Context, first, n int, end, spread int64) error {
	template, err := g.template(ctx)
	if err != nil {
		return err
	}
	if err := g.db.exec(ctx, `DROP TABLE IF EXISTS bench_template`); err != nil {
		return err
	}
	// The id needs no quoting: the store made it of hexadecimal digits.
	if err := g.db.exec(ctx, `CREATE TEMPORARY TABLE bench_template AS SELECT * FROM oauth_grant WHERE id = '`+template+`'`); err != nil {
		return err
	}
	text, err := g.insertText(ctx, first, n, end, spread)
	if err != nil {
		return err
	}
	for at := first; at < first+n; at += batch {
		if err := g.db.exec(ctx, text, at, min(at+batch, first+n)-1); err != nil {
			return err
		}
	}
	return g.db.settle(ctx)
}

// template makes a grant as it is when somebody has seen the consent page and the
// code was redeemed.
func (g *group) template(ctx context.Context) (id string, err error) {
	row := g.db.pending(g.clients[0], g.db.visitors[0])
	row.CodeHash, row.RequestID = issuer.HashCode(issuer.NewCode()), issuer.NewCode()[:26]
	if err := g.db.Store.CreateGrant(ctx, row, nil, by); err != nil {
		return "", err
	}
	now := time.Now()
	err = g.db.Store.RedeemCode(ctx, row.ID, row.ClientID, issuer.NewCode()[:22], now, now.Add(90*24*time.Hour))
	return row.ID, err
}

// insertText is the statement that adds the grants from $1 to $2.
func (g *group) insertText(ctx context.Context, first, n int, end, spread int64) (string, error) {
	rows, err := g.db.raw.QueryContext(ctx, `SELECT * FROM bench_template`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	if !rows.Next() {
		return "", fmt.Errorf("the grant to copy is gone: %w", rows.Err())
	}
	if err := rows.Scan(values...); err != nil {
		return "", err
	}
	last := fmt.Sprintf("%d + (n.i - %d) * %d / %d", end, first, spread, n)
	expressions := make([]string, len(columns))
	for i, column := range columns {
		switch column {
		case "id":
			expressions[i] = "'" + g.prefix + "' || " + g.db.hex("n.i")
		case "client_id":
			expressions[i] = "'" + strings.TrimSuffix(clientID(g.algorithm, 0), strings.Repeat("0", 12)) + "' || " + g.db.hex(fmt.Sprintf("n.i * 7919 %% %d", len(g.clients)))
		case "user_id":
			expressions[i] = "'" + userPrefix + "' || " + g.db.hex(fmt.Sprintf("(n.i * 104729 + n.i / %d) %% %d", len(g.clients), g.db.users))
		case "expires_at", "keep_until":
			expressions[i] = last
		case "code_hash", "request_id", "sid":
			expressions[i] = g.db.random(*values[i].(*any))
		default:
			expressions[i] = "t." + column
		}
	}
	return `INSERT INTO oauth_grant (` + strings.Join(columns, ", ") + `)
		WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2)
		SELECT ` + strings.Join(expressions, ", ") + ` FROM n CROSS JOIN bench_template t`, rows.Err()
}

// hex writes a number as its twelve last hexadecimal digits.
func (db *database) hex(expression string) string {
	if db.cluster != nil {
		return "lpad(to_hex(" + expression + "), 12, '0')"
	}
	return "printf('%012x', " + expression + ")"
}

// random is another value of the same kind and length, different in each row.
func (db *database) random(like any) string {
	size, isText := 32, false
	switch like := like.(type) {
	case []byte:
		size = len(like)
	case string:
		size, isText = len(like), true
	case nil:
		return "NULL"
	}
	switch {
	case db.cluster != nil && isText:
		return fmt.Sprintf("substr(md5(random()::text) || md5(random()::text), 1, %d)", size)
	case db.cluster != nil:
		return fmt.Sprintf("substr(decode(md5(random()::text) || md5(random()::text), 'hex'), 1, %d)", size)
	case isText:
		return fmt.Sprintf("substr(lower(hex(randomblob(%d))), 1, %d)", size/2+1, size)
	}
	return fmt.Sprintf("randomblob(%d)", size)
}

func (db *database) exec(ctx context.Context, text string, args ...any) error {
	_, err := db.raw.ExecContext(ctx, text, args...)
	return err
}

// settle brings a database to rest after many rows were written: everything is on
// the disk and in the file itself, and PostgreSQL knows what is in its tables.
func (db *database) settle(ctx context.Context) error {
	texts := []string{"PRAGMA synchronous = FULL", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA synchronous = OFF"}
	if db.cluster != nil {
		texts = []string{"VACUUM ANALYZE oauth_grant", "CHECKPOINT"}
	}
	for _, text := range texts {
		if err := db.exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// expired counts the grants that only wait to be removed.
func (db *database) expired(ctx context.Context) (n int, err error) {
	err = db.raw.QueryRowContext(ctx, `SELECT count(*) FROM oauth_grant WHERE keep_until <= $1`, time.Now().Unix()).Scan(&n)
	return n, err
}

// size is how long the file of a SQLite database is when everything is in it.
func (db *database) size(ctx context.Context) (int64, error) {
	if err := db.settle(ctx); err != nil {
		return 0, err
	}
	var pages, bytes int64
	if err := db.raw.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
		return 0, err
	}
	err := db.raw.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&bytes)
	return pages * bytes, err
}

// logSize is how much of a SQLite database stands in its write-ahead log.
func (db *database) logSize() (int64, error) {
	found, err := os.Stat(filepath.Join(db.data, "hufu.db-wal"))
	if err != nil {
		return 0, err
	}
	return found.Size(), nil
}
