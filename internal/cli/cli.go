// Package cli is the command line: it reads what the operator typed, does it
// through the parts below, and says what came of it.
//
// It serves no URL. Its one invariant: standard output holds results and nothing
// else, standard error everything that is said about them, and the exit code
// tells which it was: 0 done, 1 failed, 2 wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// An app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	now            func() time.Time

	// What the flags that every command takes have said.
	config []config.Flag
	path   string // of the configuration file
	json   bool

	started bool       // the command line was understood
	lines   *logWriter // of the log, when it serves
}

// operator is who the audit trail names for what a command does.
var operator = store.By{Actor: "cli"}

// Main runs one command line (without the program's name) and returns the exit
// code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, now: time.Now}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitDone
	}
	if !a.started { // the flags may not have been read yet
		a.json = a.json || slices.Contains(args, "--json")
		err = usageError{err}
	}
	return a.fail(err)
}

func (a *app) root() *cobra.Command {
	root := group("hufu", "An OAuth 2.0 authorization server",
		a.serveCommand(), a.clientCommand(), a.userCommand(), a.keyCommand(), a.grantCommand(),
		a.migrateCommand(), a.backupCommand(), a.exportCommand(), a.importCommand(), a.revokeAllCommand(),
		a.configCommand(), a.versionCommand())
	root.Version = version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
			return fmt.Errorf("%w (put -- before an argument that begins with -)", err)
		}
		return err
	})
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		a.started = true
		a.config = given(cmd, "data", "database")
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.path, "config", pathFrom(a.environ), "configuration file (default $"+config.PathVariable+", else none)")
	flags.Lookup("config").DefValue = "" // the text says it better
	flags.String("data", "", "data directory (default ./data)")
	flags.String("database", "", "database, as sqlite:PATH or postgres://… (default sqlite:DATA/hufu.db)")
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	return root
}

// given are those flags of a command that were typed and stand for a key of the
// configuration by the same name.
func given(cmd *cobra.Command, names ...string) []config.Flag {
	var flags []config.Flag
	for _, name := range names {
		if f := cmd.Flag(name); f != nil && f.Changed {
			flags = append(flags, config.Flag{Name: "--" + name, Key: name, Text: f.Value.String()})
		}
	}
	return flags
}

// pathFrom is the configuration file that the environment names.
func pathFrom(environ []string) string {
	for _, entry := range environ {
		if path, ok := strings.CutPrefix(entry, config.PathVariable+"="); ok {
			return path
		}
	}
	return ""
}

// A usageError is a command line that cannot be obeyed as it was typed.
type usageError struct{ error }

// Unwrap returns what is wrong with it.
func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// group is a command that only holds others.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs}
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return usagef("%s wants a command; %s --help lists them", cmd.CommandPath(), cmd.CommandPath())
	}
	g.AddCommand(commands...)
	return g
}

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usagef("%s has no command %q; is it %s?", cmd.CommandPath(), name, strings.Join(near, " or "))
	}
	return usagef("%s has no command %q; %s --help lists them", cmd.CommandPath(), name, cmd.CommandPath())
}

// takes wants exactly the arguments named, and says so by their names.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s: %s is missing", cmd.CommandPath(), names[len(args)])
		case len(args) > len(names):
			if cmd.Flags().Lookup("username") != nil {
				return fmt.Errorf("%s: %q is one argument too many; a user name goes behind --username", cmd.CommandPath(), args[len(names)])
			}
			return fmt.Errorf("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		for i, arg := range args {
			if arg == "" {
				return fmt.Errorf("%s: %s is empty", cmd.CommandPath(), names[i])
			}
		}
		return nil
	}
}

// load reads the configuration; flags are those of one command.
func (a *app) load(flags ...config.Flag) (*config.Config, error) {
	return config.Load(a.path, a.environ, slices.Concat(a.config, flags)...)
}

// An opened is what most commands work with.
type opened struct {
	*server.Server
	config *config.Config
}

// with makes the run function of a command that works on the opened database.
func (a *app) with(run func(ctx context.Context, o opened, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.load(given(cmd, "issuer")...)
		if err != nil {
			return err
		}
		s, err := server.OpenParts(cmd.Context(), c, a.now)
		if err != nil {
			return err
		}
		return errors.Join(run(cmd.Context(), opened{s, c}, args), s.Close())
	}
}
