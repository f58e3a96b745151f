package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/server"
)

func (a *app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the schema of the database up to this release", Args: takes(),
		Long: "Bring the schema of the database up to this release. Every server and every command\ndoes so by itself; this one does nothing else, and tells. A copy of the database as\nit was is kept beside it.",
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := a.load()
		if err != nil {
			return err
		}
		db, err := server.OpenStore(cmd.Context(), c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		version, err := db.Schema(cmd.Context())
		if err != nil {
			return err
		}
		before := db.SchemaBefore()
		if a.json {
			return a.show(struct {
				Before int64 `json:"schema_before"`
				After  int64 `json:"schema"`
			}{before, version})
		}
		if before == version {
			_, err = fmt.Fprintf(a.stdout, "schema %d, nothing to do\n", version)
		} else {
			_, err = fmt.Fprintf(a.stdout, "schema %d -> %d\n", before, version)
		}
		return err
	}
	return cmd
}

func (a *app) revokeAllCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke-all", Short: "End every token and every session, as after restoring a backup", Args: takes(),
	}
	revoke := a.with(func(ctx context.Context, o opened, _ []string) error {
		if err := o.Store.RevokeAll(ctx, a.now(), operator); err != nil {
			return err
		}
		name := o.config.DatabaseName()
		if a.json {
			return a.show(struct {
				Revoked  bool   `json:"revoked"`
				Database string `json:"database"`
			}{true, name})
		}
		_, err := fmt.Fprintf(a.stdout, "every token and every session has ended in %s\n", name)
		return err
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.wantDatabase(); err != nil {
			return err
		}
		return revoke(cmd, args)
	}
	return cmd
}

// wantDatabase refuses to make a database for a command that only makes sense on one
// that is there: in the wrong directory it would have nothing to do and say that it
// had done it.
func (a *app) wantDatabase() error {
	c, err := a.load()
	if err != nil {
		return err
	}
	path := c.SQLitePath()
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no database: %w", err)
	}
	return nil
}

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Short: "Report every mistake of the configuration", Args: takes(),
		RunE: func(*cobra.Command, []string) error { return a.checkConfig() },
	}
	return group("config", "Look at the configuration", check)
}

// A checkAnswer is what hufu config check prints about a good configuration.
type checkAnswer struct {
	OK       bool     `json:"ok"`
	Warnings []string `json:"warnings,omitempty"`
}

// A mistakeAnswer is one mistake of a bad one.
type mistakeAnswer struct {
	Name   string `json:"name"`
	Place  string `json:"place,omitempty"`
	Reason string `json:"reason"`
}

// checkConfig reads the configuration and the files it names, and touches
// nothing.
func (a *app) checkConfig() error {
	c, err := a.load()
	if err == nil {
		err = c.CheckFiles()
	}
	if err != nil {
		return a.badConfig(config.Mistakes(err))
	}
	warnings := append(c.Warnings(), fileWarnings(c)...)
	if a.json {
		return a.show(checkAnswer{OK: true, Warnings: warnings})
	}
	for _, text := range warnings {
		a.note("warning: %s", text)
	}
	_, err = fmt.Fprintln(a.stdout, "ok")
	return err
}

// errReported is a failure that has been told already.
var errReported = errors.New("reported")

// badConfig prints what hufu config check was asked to find.
func (a *app) badConfig(mistakes []*config.Mistake) error {
	if !a.json {
		for _, m := range mistakes {
			a.note("%s", m)
		}
		return errReported
	}
	answer := struct {
		failure
		Mistakes []mistakeAnswer `json:"mistakes"`
	}{failure: failure{Error: "failed", Description: "the configuration has mistakes"}}
	for _, m := range mistakes {
		answer.Mistakes = append(answer.Mistakes, mistakeAnswer{Name: m.Name, Place: m.Place, Reason: m.Reason})
	}
	text, err := toJSON(answer, "")
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, text)
	return errReported
}
