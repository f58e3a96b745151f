package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A report is the JSON file: everything that was measured, on what and how.
type report struct {
	Date    time.Time `json:"date"`
	Machine machine   `json:"machine"`
	Options options   `json:"options"`

	Tables   []*table        `json:"tables,omitempty"`
	Memory   *memoryResult   `json:"memory,omitempty"`
	Password *passwordResult `json:"password,omitempty"`
	Sync     *syncResult     `json:"sync,omitempty"`
	Start    *startResult    `json:"start,omitempty"`
	Growth   *growthResult   `json:"growth,omitempty"`
	Expiry   *expiryResult   `json:"expiry,omitempty"`

	FailedRequests int      `json:"failed_requests"`
	Failures       []string `json:"failures,omitempty"` // the first of each cell
}

// A machine is what it was measured on.
type machine struct {
	Cores     int     `json:"cores"`
	Processor string  `json:"processor"`
	MemoryMB  float64 `json:"memory_mb"`
	System    string  `json:"system"`
	Go        string  `json:"go"`
	SyncMS    float64 `json:"sync_ms"` // of 4 KiB that were appended to a file beside the databases, median
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s), %.0f MB, %s %s, %s; a sync takes %.2f ms", m.Cores, m.Processor, m.MemoryMB, runtime.GOOS, m.System, m.Go, m.SyncMS)
}

func newReport(o options, folder string) (*report, error) {
	sync, err := syncTime(folder)
	if err != nil {
		return nil, err
	}
	m := machine{Cores: runtime.NumCPU(), Processor: lineOf("/proc/cpuinfo", "model name"), System: lineOf("/proc/sys/kernel/osrelease", ""), Go: runtime.Version(), SyncMS: sync}
	var kilobytes float64
	if _, err := fmt.Sscanf(lineOf("/proc/meminfo", "MemTotal"), "%f kB", &kilobytes); err != nil {
		return nil, fmt.Errorf("memory of the machine: %w", err)
	}
	m.MemoryMB = kilobytes * 1024 / 1e6
	return &report{Date: time.Now().UTC().Truncate(time.Second), Machine: m, Options: o}, nil
}

// lineOf is what stands behind a name and a colon in a file of the kernel; its
// first line for the name "". "" when there is none.
func lineOf(path, name string) string {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name == "" {
			return strings.TrimSpace(line)
		}
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// syncTime is how long the disk takes, in milliseconds: without it, nobody can
// compare durable figures of two machines.
func syncTime(folder string) (float64, error) {
	file, err := os.CreateTemp(folder, "sync")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var h histogram
	for range 50 {
		began := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		h.add(time.Since(began))
	}
	return h.quantile(0.5), nil
}

// count notes requests that failed.
func (r *report) count(what string, s *slice) {
	if s.errors == 0 {
		return
	}
	r.FailedRequests += s.errors
	r.Failures = append(r.Failures, fmt.Sprintf("%s: %d of %d requests: %s", what, s.errors, s.requests, s.failure))
	fmt.Printf("  FAILED: %s\n", r.Failures[len(r.Failures)-1])
}

// failed is the one thing that makes the bench fail.
func (r *report) failed() error {
	if r.FailedRequests == 0 {
		return nil
	}
	return fmt.Errorf("%d requests were not answered as they should be:\n%s", r.FailedRequests, strings.Join(r.Failures, "\n"))
}

// write replaces the file, so that an interrupted run leaves what it has.
func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(path), append(text, '\n'), 0o600)
}
