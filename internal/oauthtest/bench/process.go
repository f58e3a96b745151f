package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A running server, and how soon it was ready.
type running struct {
	*oauthtest.Process
	*target
	ready time.Duration
}

// launch starts a program on a database as an operator does, its log in a file,
// and waits until it is ready.
func (b *bench) launch(ctx context.Context, program string, db *database) (*running, error) {
	log, err := os.OpenFile(filepath.Join(db.data, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p, err := oauthtest.Launch(program, db.data, db.listen, func(c *exec.Cmd) {
		c.Stdout, c.Stderr = log, log
		c.Env = append(c.Env, db.environment...)
		if b.Profile != "" {
			c.Env = append(c.Env, profileVariable+"="+b.Profile)
		}
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ready, err := p.Ready(ctx)
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w (its log is %s)", err, log.Name())
	}
	return &running{p, &target{address: db.listen, pid: p.PID(), beside: db.beside}, ready}, nil
}

// stop ends the server as an operator does, and kills it when it does not end.
func (r *running) stop() { _, _ = r.Terminate(20 * time.Second) }

// Lines of /proc/PID/status.
const (
	residentNow = "VmRSS:"
	residentMax = "VmHWM:" // the most it has ever held
)

// memory is what a process holds or has held, in MB.
func memory(pid int, line string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), line)
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("/proc/%d/status tells no %s", pid, line)
	}
	kilobytes, err := strconv.ParseFloat(fields[0], 64)
	return kilobytes * 1024 / 1e6, err
}

// processTime is how long a process has computed, in user and system mode. It
// asks the clock of that process (clock_getcpuclockid(3)), which counts
// nanoseconds; /proc counts hundredths of a second, too coarse for short slices.
func processTime(pid int) (time.Duration, error) {
	var t syscall.Timespec
	clock := uintptr(^pid<<3 | 2)                                                                  //nolint:gosec // negative by design
	_, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0) //nolint:gosec // as the call wants it
	if err != 0 {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
