// Command bench measures the real binary on a real SQLite file against a floor
// that is measured in the same run: a bare net/http handler which parses the same
// form, checks one SHA-256, signs once with ES256 and answers with as many bytes.
//
// It serves nothing but that floor, in a process of its own. Its one invariant:
// it only prints. No figure fails anything; what is compared is the CPU time of a
// server process per request, as a ratio, because that holds on a noisy machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	seconds float64
	clients int
	grants  int
	codes   int
	floor   string
}

func main() {
	var o options
	flag.Float64Var(&o.seconds, "seconds", 3, "how long each cell is measured")
	flag.IntVar(&o.clients, "clients", 1000, "clients in the database")
	flag.IntVar(&o.grants, "grants", 100_000, "live grants in the database")
	flag.IntVar(&o.codes, "codes", 40_000, "codes that wait to be exchanged")
	flag.StringVar(&o.floor, "floor", "", "serve the floor on this address (the program starts itself this way)")
	flag.Parse()
	run := measure
	if o.floor != "" {
		run = serveFloor
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure builds the binary, fills a database, and prints a line a cell.
func measure(o options) error {
	directory, err := os.MkdirTemp("", "hufu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	binary := filepath.Join(directory, "hufu")
	if output, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/hufu").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, output)
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	began := time.Now()
	data, err := seed(context.Background(), filepath.Join(directory, "data"), address, o)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	fmt.Printf("%d clients, %d grants, %d codes, made in %v\n", o.clients, o.grants, o.codes, time.Since(began).Round(time.Second))

	floor, err := startFloor()
	if err != nil {
		return err
	}
	defer floor.stop()
	hufu, ready, err := startHufu(binary, filepath.Join(directory, "data"), address)
	if err != nil {
		return err
	}
	defer hufu.stop()
	fmt.Printf("ready after %v, %s resident\n\n", ready.Round(time.Millisecond), hufu.resident())
	return table(o, data, floor, hufu)
}

// table prints every kind of request at every number of connections.
func table(o options, data *data, floor, hufu *process) error {
	fmt.Printf("%-28s %5s %9s %9s %9s %9s %7s\n", "request", "conns", "req/s", "p50", "p99", "CPU µs", "ratio")
	perRequest := map[int]float64{} // CPU of the floor by connections
	for _, kind := range kinds(data, "http://"+floor.address, "http://"+hufu.address) {
		server := hufu
		if kind.floor {
			server = floor
		}
		for _, connections := range []int{1, 8, 64} {
			r, err := drive(kind, connections, time.Duration(o.seconds*float64(time.Second)), server)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			if kind.floor {
				perRequest[connections] = r.cpu
			}
			fmt.Printf("%-28s %5d %9.0f %9v %9v %9.1f %7.2f\n", kind.name, connections, r.rate, r.p50.Round(time.Microsecond), r.p99.Round(time.Microsecond), r.cpu, r.cpu/perRequest[connections])
		}
	}
	fmt.Printf("\n%s resident at the end\n", hufu.resident())
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// A process is a server under measurement.
type process struct {
	command *exec.Cmd
	address string
}

func startFloor() (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{command: exec.Command(self, "-floor", address), address: address}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	return p, p.wait()
}

// startHufu starts the binary and tells how long it took until it was ready.
func startHufu(binary, data, address string) (*process, time.Duration, error) {
	began := time.Now()
	p := &process{command: exec.Command(binary, "serve", "--data", data, "--listen", address), address: address}
	p.command.Env = append(os.Environ(), "HUFU_LOG_LEVEL=info")
	if err := p.command.Start(); err != nil {
		return nil, 0, err
	}
	err := p.wait()
	return p, time.Since(began), err
}

// wait returns when the process accepts connections.
func (p *process) wait() error {
	for range 2000 {
		if c, err := net.Dial("tcp", p.address); err == nil {
			return c.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s never listened", p.address)
}

func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	_ = p.command.Wait()
}

// tick is the unit of times in /proc, 100 a second on every Linux.
const tick = 10 * time.Millisecond

// cpu is the CPU time the process has used, of all its threads.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat has %d fields", len(fields))
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * tick, nil
}

// resident is the memory of the process.
func (p *process) resident() string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	var kilobytes int64
	if _, err := fmt.Sscan(strings.TrimSpace(line), &kilobytes); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f MB", float64(kilobytes)/1024)
}
