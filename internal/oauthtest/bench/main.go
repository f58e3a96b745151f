// Command bench measures the real server: the program that operators run, in a
// process of its own, on a real SQLite file with the defaults it is shipped with,
// a thousand clients and a hundred thousand grants, all picked at random. Each
// figure stands beside a floor that was measured in the same run.
//
// It serves nothing but that floor. Its one invariant: it measures and never
// judges; no timing makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// Options are what the flags say.
type options struct {
	seconds     float64
	connections []int
	kinds       string
	clients     int
	grants      int
	folder      string
	floor       string // address to serve the floor on; "" in the process that measures
	size        int
}

func main() {
	o, err := parseFlags(os.Args[1:])
	if err == nil && o.floor != "" {
		err = serveFloor(o.floor, o.size)
	} else if err == nil {
		err = run(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Float64Var(&o.seconds, "seconds", 3, "how long each cell is measured")
	connections := flags.String("connections", "1,8,64", "how many connections are driven, one table each")
	flags.StringVar(&o.kinds, "kinds", "", "measure only kinds whose name holds one of these words, comma-separated")
	flags.IntVar(&o.clients, "clients", 1000, "clients in the database")
	flags.IntVar(&o.grants, "grants", 100_000, "live grants in the database")
	flags.StringVar(&o.folder, "folder", os.TempDir(), "where the database is made, in a folder of its own that is removed at the end")
	flags.StringVar(&o.floor, "floor", "", "serve the floor on this address (for the bench itself)")
	flags.IntVar(&o.size, "size", 0, "bytes of an answer of the floor (for the bench itself)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for word := range strings.SplitSeq(*connections, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return o, fmt.Errorf("-connections: %q is no number of connections", word)
		}
		o.connections = append(o.connections, n)
	}
	return o, nil
}

// run seeds a database, starts the server and the floor, and measures every cell.
func run(ctx context.Context, o options) (err error) {
	folder, err := os.MkdirTemp(o.folder, "hufu-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	listen, err := oauthtest.FreeAddress()
	if err != nil {
		return err
	}
	program, err := oauthtest.Build(ctx, folder)
	if err != nil {
		return err
	}
	data := filepath.Join(folder, "data")
	began := time.Now()
	db, err := seed(ctx, data, "http://"+listen, o.clients, o.grants)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fmt.Printf("%d clients and %d grants in %.1f s; %s, %d cores\n", len(db.clients), len(db.grants), time.Since(began).Seconds(), runtime.Version(), runtime.NumCPU())

	server, err := launch(ctx, program, data, listen, folder)
	if err != nil {
		return err
	}
	defer server.Kill()
	target := &target{address: listen, pid: server.PID()}
	floor, err := launchFloor(ctx, target, db)
	if err != nil {
		return err
	}
	defer floor.stop()
	return measure(ctx, o, db, target, floor.target)
}

// launch starts the server as an operator does, its log in a file, and tells how
// soon it is ready and how much memory it holds then.
func launch(ctx context.Context, program, data, listen, folder string) (*oauthtest.Process, error) {
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	server, err := oauthtest.Launch(program, data, listen, func(c *exec.Cmd) { c.Stdout, c.Stderr = log, log })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	took, err := server.Ready(ctx)
	if err != nil {
		server.Kill()
		return nil, err
	}
	idle, err := residentMemory(server.PID())
	if err != nil {
		server.Kill()
		return nil, err
	}
	fmt.Printf("ready in %d ms, %.0f MB then\n\n", took.Milliseconds(), idle)
	return server, nil
}

// measure prints the table, a block for each number of connections. The floor is
// measured before and after the rest of a block, and ratios are to the mean, since
// other work on the machine comes and goes.
func measure(ctx context.Context, o options, db *database, server, floor *target) error {
	fmt.Fprintln(os.Stdout, "CPU: processor time of the measured process for one request. To floor: its ratio to that of the floor.")
	for _, connections := range o.connections {
		fmt.Printf("\n%d connections\n", connections)
		block := []kind{floorKind(db)}
		for _, k := range kinds(db) {
			if o.wants(k.name) {
				block = append(block, k)
			}
		}
		block = append(block, floorKind(db))
		results := make([]result, len(block))
		base, table := 0.0, tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		for i, k := range block {
			to := server
			if k.floor {
				to = floor
			}
			r, err := cell(ctx, o, k, to, connections)
			if err != nil {
				return fmt.Errorf("%s, %d connections: %w", k.name, connections, err)
			}
			if results[i] = r; k.floor {
				base += r.cpu / 2
			}
		}
		fmt.Fprintln(table, "request\trequests/s\tp50 ms\tp99 ms\tCPU µs\tto floor\tmemory MB\t")
		for i, r := range results {
			fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.2f\t%.0f\t%.2f\t%.0f\t\n", block[i].name, r.rate, r.p50, r.p99, r.cpu, r.cpu/base, r.memory)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether a kind was asked for.
func (o *options) wants(name string) bool {
	return o.kinds == "" || slices.ContainsFunc(strings.Split(o.kinds, ","), func(word string) bool { return strings.Contains(name, word) })
}
