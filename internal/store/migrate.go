package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to this release. Several processes may start at
// once: one runs, under the engine's lock, and the version is read after the lock
// is had.
func (s *Store) migrate(ctx context.Context) error {
	release, err := s.engine.lockSchema(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.migrateLocked(ctx), release())
}

func (s *Store) migrateLocked(ctx context.Context) error {
	db, dialect := s.engine.admin()
	if current, err := s.schemaIsCurrent(ctx, db, dialect); err != nil || current {
		return err
	}
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, folder, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	if s.before > 0 {
		if err := s.engine.copyAside(ctx, s.before); err != nil {
			return err
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate from version %d: %w", s.before, err)
	}
	return s.engine.settle(ctx)
}

// catalogs hold the names of the tables that are there.
var catalogs = map[database.Dialect]string{
	database.DialectSQLite3:  `SELECT COUNT(*) FROM sqlite_master WHERE name IN ('goose_db_version', 'server')`,
	database.DialectPostgres: `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name IN ('goose_db_version', 'server')`,
}

// schemaIsCurrent reads the version without touching anything. A schema of a
// later release is accepted as long as it says that this one may use it.
func (s *Store) schemaIsCurrent(ctx context.Context, db *sql.DB, dialect database.Dialect) (bool, error) {
	var tables int
	if err := db.QueryRowContext(ctx, catalogs[dialect]).Scan(&tables); err != nil {
		return false, fmt.Errorf("store: read schema: %w", err)
	}
	if tables < 2 {
		return false, nil
	}
	var version sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&version); err != nil {
		return false, fmt.Errorf("store: schema version: %w", err)
	}
	s.before = version.Int64
	if version.Int64 <= SchemaVersion() {
		return version.Int64 == SchemaVersion(), nil
	}
	var oldest int64
	if err := db.QueryRowContext(ctx, `SELECT oldest_schema FROM server`).Scan(&oldest); err != nil {
		return false, fmt.Errorf("store: oldest release of the schema: %w", err)
	}
	if oldest > SchemaVersion() {
		return false, fmt.Errorf("store: the database has schema %d, which asks for a release that knows schema %d; this one knows %d: start a newer hufu", version.Int64, oldest, SchemaVersion())
	}
	return true, nil
}

// SchemaVersion is the newest schema that this release knows.
func SchemaVersion() int64 {
	entries, err := migrations.ReadDir("migrations")
	if err != nil || len(entries) == 0 {
		panic("store: no migrations embedded")
	}
	var version int64
	name := entries[len(entries)-1].Name()
	if _, err := fmt.Sscanf(strings.SplitN(name, "_", 2)[0], "%d", &version); err != nil {
		panic("store: migration without a number: " + name)
	}
	return version
}

// SchemaBefore is the version the database had when it was opened; 0 for an
// empty one.
func (s *Store) SchemaBefore() int64 { return s.before }

// Schema is the version the open database has.
func (s *Store) Schema(ctx context.Context) (int64, error) {
	var version int64
	err := s.row(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&version)
	return version, wrap("schema version", err)
}
