package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Exec runs a statement on the database at dsn, as its owner: what no request and no
// command can do, such as making something old.
func Exec(t testing.TB, dsn, statement string) {
	t.Helper()
	if err := ask(dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// Count runs a query that gives one number on the database at dsn.
func Count(t testing.TB, dsn, query string) (n int) {
	t.Helper()
	if err := ask(dsn, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, query).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Clients counts the connections to the database at dsn, without the one it asks on.
func Clients(t testing.TB, dsn string) int {
	t.Helper()
	return Count(t, dsn, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
}

func ask(dsn string, question func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("dbtest: %w", err)
	}
	defer conn.Close(ctx)
	if err := question(ctx, conn); err != nil {
		return fmt.Errorf("dbtest: %w", err)
	}
	return nil
}
