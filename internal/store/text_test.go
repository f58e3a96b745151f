package store_test

import (
	"slices"
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

// Numbered parameters become plain ones, each with the argument it stands for.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		plain string
		order []int
	}{
		"SELECT 1":                         {"SELECT 1", nil},
		"a = $1 AND b = $12":               {"a = ? AND b = ?", []int{0, 11}},
		"CAST($2 AS BIGINT), $1, $2":       {"CAST(? AS BIGINT), ?, ?", []int{1, 0, 1}},
		"$1$2":                             {"??", []int{0, 1}},
		"a LIKE '$' OR b = $1 OR c = '$x'": {"a LIKE '$' OR b = ? OR c = '$x'", []int{0}},
	} {
		if plain, order := store.Places(text); plain != want.plain || !slices.Equal(order, want.order) {
			t.Errorf("%q: %q %v, want %q %v", text, plain, order, want.plain, want.order)
		}
	}
}
