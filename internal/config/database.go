package config

import (
	"net/url"
	"slices"
	"strings"
)

const sqlitePrefix = "sqlite:"

// checkDatabase wants an address of one of the two engines. Its messages never
// quote the address, which may hold a password.
func (c *Config) checkDatabase() error {
	switch {
	case c.DatabaseFile != "" && c.Database != "":
		return c.mistake("database", "set this or database_file, not both")
	case c.DatabaseConnections < 0 || c.DatabaseConnections > 10_000:
		return c.mistake("database_connections", "want 0 to 10000")
	case c.DatabaseFile != "":
		return nil
	}
	return c.check("database", databaseFault(c.Database) == "", databaseFault(c.Database))
}

func databaseFault(address string) string {
	path, isSQLite := strings.CutPrefix(address, sqlitePrefix)
	switch {
	case isPostgres(address):
		if _, err := url.Parse(address); err != nil || strings.Contains(address, "#") { // it has no fragment, but passwords have such
			return "the address of PostgreSQL is malformed; percent-encode what is special in a password"
		}
	case !isSQLite, path == "", strings.ContainsRune(path, 0):
		return "want sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
	case strings.Contains(path, ":memory:"):
		return "want a file; a database in memory forgets every grant"
	}
	return ""
}

func isPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// ReadDatabase returns the address of the database. It may hold a password:
// DatabaseName is for eyes.
func (c *Config) ReadDatabase() (string, error) {
	if c.DatabaseFile == "" {
		return c.Database, nil
	}
	text, err := readSmall(c.DatabaseFile, maxSecretFile)
	if err != nil {
		return "", c.mistake("database_file", err.Error())
	}
	address := strings.TrimSpace(string(text))
	if fault := databaseFault(address); fault != "" {
		return "", c.mistake("database_file", "in the file, "+fault)
	}
	return address, nil
}

// DatabaseName is the address of the database without its secrets, for logs and
// messages.
func (c *Config) DatabaseName() string {
	if c.DatabaseFile != "" {
		return "named in " + c.DatabaseFile
	}
	if !isPostgres(c.Database) {
		return c.Database
	}
	u, err := url.Parse(c.Database)
	if err != nil {
		return redacted
	}
	return "postgres://" + u.Host + u.Path
}

// SQLitePath is the path of the database file; empty when the database is none.
func (c *Config) SQLitePath() string {
	if path, ok := strings.CutPrefix(c.Database, sqlitePrefix); ok {
		return path
	}
	return ""
}

// databaseProtected reports whether nobody stands between this server and its
// database, or TLS keeps them out.
func (c *Config) databaseProtected() bool {
	u, err := url.Parse(c.Database)
	if !isPostgres(c.Database) || err != nil {
		return true
	}
	host := u.Hostname()
	if host == "" {
		host = u.Query().Get("host")
	}
	return host == "" || strings.HasPrefix(host, "/") || isLoopback(host) ||
		slices.Contains([]string{"verify-ca", "verify-full"}, u.Query().Get("sslmode"))
}
