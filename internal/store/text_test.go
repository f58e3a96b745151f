package store_test

import (
	"testing"

	"github.com/hufu-auth/hufu/internal/store"
)

// A statement is named by its verb and its table, whatever it asks in passing.
func TestStatementName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT a FROM client WHERE id = $1":                                                "select client",
		"\n\t\tSELECT EXISTS (SELECT 1 FROM revoked_token r), s.epoch\n\t\tFROM server s":   "select server",
		"UPDATE oauth_grant SET a = (SELECT b FROM client c) WHERE id = $1 RETURNING a":     "update oauth_grant",
		"INSERT INTO attempt (bucket) VALUES ($1) ON CONFLICT (bucket) DO UPDATE SET a = 1": "insert attempt",
		"DELETE FROM job WHERE name IN (SELECT name FROM job)":                              "delete job",
		"BEGIN IMMEDIATE":         "begin",
		"PRAGMA busy_timeout(10)": "pragma",
		"":                        "",
	} {
		if got := store.StatementName(text); got != want {
			t.Errorf("%q is named %q, want %q", text, got, want)
		}
	}
}
