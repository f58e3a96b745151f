package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// interruptible makes the run function of a command that takes a file and long,
// and that cleans up when it is told to stop.
func interruptible(run func(ctx context.Context, file string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" {
			return usagef("%s: FILE is the name of a file; - is none", cmd.CommandPath())
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second signal ends the process at once
		err := run(ctx, args[0])
		if err != nil && ctx.Err() != nil {
			return errors.New("stopped; nothing was kept")
		}
		return err
	}
}

// A backupAnswer tells what was saved.
type backupAnswer struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Schema int64  `json:"schema"`
}

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy the SQLite database into a new file, while a server runs on it", Args: takes("FILE"),
		Long: "Copy the SQLite database, as it is at one moment, into a new file that only you can\nread. A server may run on it meanwhile, and the schema may be of any release. The\nmaster key is not in the copy: keep one of that elsewhere, for each is worthless\nwithout the other. docs/operations.md tells how to restore.",
	}
	cmd.RunE = interruptible(func(ctx context.Context, file string) error {
		c, err := a.load()
		if err != nil {
			return err
		}
		address, err := c.ReadDatabase()
		if err != nil {
			return err
		}
		made, err := store.Backup(ctx, address, file)
		if err != nil {
			return err
		}
		if err := a.show(backupAnswer{File: file, Bytes: made.Bytes, Schema: made.Schema}); err != nil {
			return err
		}
		a.noteMaster(c, "the copy")
		return nil
	})
	return cmd
}

// noteMaster tells that the key is elsewhere, and where.
func (a *app) noteMaster(c *config.Config, what string) {
	place := "the one that the configuration names"
	if !configured(c) {
		place = server.MasterKeyPath(c)
	}
	a.note("the master key (%s) is not in %s; keep a copy of it elsewhere, for neither is worth anything without the other", place, what)
}

// A transferAnswer tells what was moved.
type transferAnswer struct {
	Database string        `json:"database"`
	File     string        `json:"file"`
	Bytes    int64         `json:"bytes,omitempty"`
	Schema   int64         `json:"schema"`
	Tables   []store.Tally `json:"tables"`
}

// showTransfer prints the counts of an export or an import.
func (a *app) showTransfer(answer transferAnswer) error {
	if a.json {
		return a.show(answer)
	}
	t := newTable(a.stdout)
	t.row("TABLE", "ROWS", "SHA256")
	for _, tally := range answer.Tables {
		t.row(tally.Table, strconv.FormatInt(tally.Rows, 10), tally.SHA256)
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.note("database: %s", answer.Database)
	return nil
}

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write everything in the database into a new file that either engine can take in", Args: takes("FILE"),
		Long: "Write everything in the database, as it is at one moment, into a new file that only\nyou can read, for hufu import on SQLite or PostgreSQL. Servers may run meanwhile;\nwhat they write later is not in it. Keys and secrets stay sealed, and the master key\nis not in the file: import wants the same one.",
	}
	cmd.RunE = interruptible(func(ctx context.Context, file string) (err error) {
		if err := a.wantDatabase(); err != nil {
			return err
		}
		c, err := a.load()
		if err != nil {
			return err
		}
		db, err := server.OpenStore(ctx, c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		made, err := db.Export(ctx, file, a.now())
		if err != nil {
			return err
		}
		if err := a.showTransfer(transferAnswer{Database: c.DatabaseName(), File: file, Bytes: made.Bytes, Schema: made.Schema, Tables: made.Tables}); err != nil {
			return err
		}
		a.noteMaster(c, "the file")
		return nil
	})
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take what hufu export wrote into a database that holds nobody yet", Args: takes("FILE"),
		Long: "Take what hufu export wrote into a database that holds no client, user or grant yet:\nall of it, or nothing. No server should run on that database meanwhile. The master key must be that\nof the server the file is from: put its master.key into the data directory, or name it\nin the configuration, before.",
	}
	cmd.RunE = interruptible(func(ctx context.Context, file string) (err error) {
		c, err := a.load()
		if err != nil {
			return err
		}
		export, err := store.OpenExport(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, export.Close()) }()
		if err := checkExportMaster(c, export.Header.KeyCheck); err != nil {
			return err
		}
		tables, err := a.importInto(ctx, c, export)
		if err != nil {
			return err
		}
		return a.showTransfer(transferAnswer{Database: c.DatabaseName(), File: file, Schema: store.SchemaVersion(), Tables: tables})
	})
	return cmd
}

// importInto opens the database, makes sure that no server runs on it, and imports.
// It opens no keys: those that are there belong to nobody and will be replaced.
func (a *app) importInto(ctx context.Context, c *config.Config, export *store.ExportFile) (tables []store.Tally, err error) {
	db, err := server.OpenStore(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	release, err := db.Lock()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return db.Import(ctx, export, a.now(), operator)
}

// checkExportMaster wants the master key of the server that an export is from. It
// makes none, and looks before anything is touched.
func checkExportMaster(c *config.Config, check string) error {
	if check == "" { // exported before the first key was made: nothing is sealed
		return nil
	}
	path := server.MasterKeyPath(c)
	remedy := fmt.Sprintf("put the master.key of the server it is from at %s, or set master_key or master_key_file", path)
	master, err := configuredMaster(c, path)
	if errors.Is(err, issuer.ErrNoMasterKey) {
		return fmt.Errorf("what this file holds is sealed with a master key that is not here: %s", remedy)
	}
	if err != nil {
		return err
	}
	if !master.Fits(check) {
		return fmt.Errorf("this is not the master key that the file is sealed with; nothing was changed: %s", remedy)
	}
	return nil
}

// configuredMaster is the key of the configuration, else the one at path.
func configuredMaster(c *config.Config, path string) (*issuer.Master, error) {
	key, err := c.ReadMasterKey()
	if err != nil {
		return nil, err
	}
	if key != nil {
		return issuer.NewMaster(key)
	}
	return issuer.LoadMasterFile(path, true)
}
