// Command bench measures the real server: the program that operators run, in a
// process of its own, on a real database with the defaults it is shipped with, at
// least a thousand clients and a hundred thousand grants, all picked at random.
// Each figure stands beside a floor that was measured in the same moments.
//
// It serves nothing but that floor. Its one invariant: it measures and never
// judges. No timing makes it fail; requests that were not answered as they should
// be do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// Options are what the flags say.
type options struct {
	Seconds     float64  `json:"seconds"`
	Connections []int    `json:"connections"`
	Sections    []string `json:"sections"`
	Kinds       []string `json:"kinds,omitempty"`
	Clients     int      `json:"clients"`
	Grants      int      `json:"grants"`
	Many        int      `json:"many"`
	Folder      string   `json:"-"`
	JSON        string   `json:"-"`
	Markdown    string   `json:"-"`
	Profile     string   `json:"-"`

	floor          string // address to serve the floor on; "" in the process that measures
	floorAlgorithm string
	floorSize      int
}

// A bench is one run.
type bench struct {
	options
	folder  string
	program string // the plain build
	floors  map[string]*floor
	report  *report

	standard, small, big *database // made when a section first wants them
}

// sections are the parts of a run in their order, and whether they run when
// nobody says otherwise.
var sections = []struct {
	name  string
	usual bool
	run   func(b *bench, ctx context.Context) error
}{
	{"table", true, (*bench).tableSection},
	{"memory", true, (*bench).memorySection},
	{"password", true, (*bench).passwordSection},
	{"sync", true, (*bench).syncSection},
	{"start", true, (*bench).startSection},
	{"growth", true, (*bench).growthSection},
	{"expiry", false, (*bench).expirySection},
	{"postgres", false, (*bench).postgresSection},
}

func main() {
	o, err := parseFlags(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err == nil && o.floor != "":
		err = serveFloor(o.floor, o.floorAlgorithm, o.floorSize)
	case err == nil:
		debug.SetGCPercent(400) // the cores are for what is measured
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	o := options{}
	var usual, all []string
	for _, s := range sections {
		if all = append(all, s.name); s.usual {
			usual = append(usual, s.name)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Float64Var(&o.Seconds, "seconds", 3, "how long each figure is measured")
	connections := flags.String("connections", "1,8,64", "how many connections are driven, one table each")
	chosen := flags.String("sections", strings.Join(usual, ","), "what is measured: all, or some of "+strings.Join(all, ","))
	kinds := flags.String("kinds", "", "show only lines of the table whose name holds one of these words, comma-separated")
	flags.IntVar(&o.Clients, "clients", 1000, "clients in a database that get JWTs; users are ten times as many")
	flags.IntVar(&o.Grants, "grants", 100_000, "live grants in the database of the table")
	flags.IntVar(&o.Many, "many", 1_000_000, "live grants in the large database (start, growth), and expired ones (expiry)")
	flags.StringVar(&o.Folder, "folder", os.TempDir(), "where databases are made, in a folder of its own that is removed at the end")
	flags.StringVar(&o.JSON, "json", "bench.json", "file that everything is written to")
	flags.StringVar(&o.Markdown, "markdown", "", "file that the tables are written to as docs/benchmarks.md shows them")
	flags.StringVar(&o.Profile, "profile", "", "folder for profiles of the server, one for each line of the table")
	flags.StringVar(&o.floor, "floor", "", "serve the floor on this address (for the bench itself)")
	flags.StringVar(&o.floorAlgorithm, "floor-algorithm", es256, "what the floor signs with (for the bench itself)")
	flags.IntVar(&o.floorSize, "floor-size", 0, "bytes of an answer of the floor (for the bench itself)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for word := range strings.SplitSeq(*connections, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return o, fmt.Errorf("-connections: %q is no number of connections", word)
		}
		o.Connections = append(o.Connections, n)
	}
	if *kinds != "" {
		o.Kinds = strings.Split(*kinds, ",")
	}
	return o, o.choose(*chosen, all)
}

func (o *options) choose(chosen string, all []string) error {
	if o.Sections = all; chosen != "all" {
		o.Sections = strings.Split(chosen, ",")
	}
	for _, name := range o.Sections {
		if !slices.Contains(all, name) {
			return fmt.Errorf("-sections: %q is none of %s", name, strings.Join(all, ", "))
		}
	}
	if o.Clients < 10 || o.Grants < 1000 || o.Many < 1000 || o.Seconds <= 0 {
		return errors.New("want 10 clients, 1000 grants and a moment of time at least")
	}
	return nil
}

// run builds the program and measures every section that was asked for.
func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, floors: map[string]*floor{}}
	if b.folder, err = os.MkdirTemp(o.Folder, "hufu-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if b.report, err = newReport(o, b.folder); err != nil {
		return err
	}
	var tags []string
	if o.Profile != "" {
		if err := os.MkdirAll(o.Profile, 0o750); err != nil {
			return err
		}
		tags = []string{"profile"}
	}
	if b.program, err = oauthtest.Build(ctx, b.folder, tags...); err != nil {
		return err
	}
	fmt.Println(b.report.Machine)
	for _, s := range sections {
		if !slices.Contains(o.Sections, s.name) {
			continue
		}
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := b.report.write(o.JSON); err != nil {
			return err
		}
	}
	if o.Markdown != "" {
		if err := b.report.markdown(o.Markdown); err != nil {
			return err
		}
	}
	fmt.Printf("\nEverything is in %s.\n", o.JSON)
	return b.report.failed()
}

// close ends what still runs, and removes every database.
func (b *bench) close() error {
	for _, f := range b.floors {
		f.stop()
	}
	var err error
	for _, db := range []*database{b.standard, b.small, b.big} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return errors.Join(err, os.RemoveAll(b.folder))
}

// database seeds one of the databases when it is first wanted, with so many live
// grants.
func (b *bench) database(ctx context.Context, at **database, name string, grants int) (*database, error) {
	if *at != nil {
		return *at, nil
	}
	began := time.Now()
	db, err := b.seed(ctx, name, nil)
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	*at = db
	if err := db.fill(ctx, grants); err != nil {
		return nil, err
	}
	db.tell(name, began)
	return db, nil
}

// tell says what was seeded.
func (db *database) tell(name string, began time.Time) {
	fmt.Printf("\n%s: %d clients, %d users and %d live grants, seeded in %.1f s\n", name, len(db.jwt.clients), db.users, len(db.jwt.generations), time.Since(began).Seconds())
}

// wants reports whether a line was asked for.
func (o *options) wants(name string) bool {
	return o.Kinds == nil || slices.ContainsFunc(o.Kinds, func(word string) bool { return strings.Contains(name, word) })
}
