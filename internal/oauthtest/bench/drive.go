package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A target is a process that answers.
type target struct {
	address string
	pid     int
}

// A result is what one cell of the table says.
type result struct {
	rate     float64 // requests a second
	p50, p99 float64 // milliseconds
	cpu      float64 // microseconds of the target's CPU time a request
	memory   float64 // resident, MB
}

// warmUp is how long a cell runs before it is measured.
const warmUp = 300 * time.Millisecond

// cell drives one kind of request over so many connections, each of which sends
// the next request when it has the answer to the last.
func cell(ctx context.Context, o options, k kind, to *target, connections int) (result, error) {
	if k.prepare != nil {
		if err := k.prepare(ctx, o.seconds, connections); err != nil {
			return result{}, err
		}
	}
	if _, err := drive(ctx, k, to, connections, warmUp); err != nil {
		return result{}, err
	}
	cpu, err := cpuTime(to.pid)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	latencies, err := drive(ctx, k, to, connections, time.Duration(o.seconds*float64(time.Second)))
	took := time.Since(began)
	if err != nil {
		return result{}, err
	}
	after, err := cpuTime(to.pid)
	if err != nil {
		return result{}, err
	}
	memory, err := residentMemory(to.pid)
	if err != nil {
		return result{}, err
	}
	n := float64(len(latencies))
	if n == 0 {
		return result{}, fmt.Errorf("no request was answered")
	}
	slices.Sort(latencies)
	at := func(share float64) float64 {
		return float64(latencies[int(math.Min(n-1, share*n))].Microseconds()) / 1000
	}
	return result{rate: n / took.Seconds(), p50: at(0.50), p99: at(0.99), cpu: float64((after - cpu).Microseconds()) / n, memory: memory}, nil
}

func drive(ctx context.Context, k kind, to *target, connections int, length time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var drivers sync.WaitGroup
	end := time.Now().Add(length)
	for i := range connections {
		drivers.Go(func() {
			latencies, err := driveOne(ctx, k, to, i, connections, end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, latencies...)
			if failed == nil {
				failed = err
			}
		})
	}
	drivers.Wait()
	return all, failed
}

func driveOne(ctx context.Context, k kind, to *target, which, of int, end time.Time) (latencies []time.Duration, err error) {
	c, err := dial(ctx, to.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for time.Now().Before(end) {
		r := k.next(which, of)
		if r.bytes == nil {
			break // nothing is left to ask for
		}
		began := time.Now()
		if _, err := c.roundTrip(r); err != nil {
			return latencies, err
		}
		latencies = append(latencies, time.Since(began))
		if r.done != nil {
			r.done()
		}
	}
	return latencies, nil
}

// A request is ready to be sent. done is called when it was answered.
type request struct {
	bytes []byte
	done  func()
}

// A conn is one connection that is kept. It is simpler than net/http's client, so
// that the bench leaves the cores to what it measures.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c)}, nil
}

// roundTrip sends a request and returns how long the body of the answer is, which
// must be a success.
func (c *conn) roundTrip(r request) (size int, err error) {
	if _, err := c.Write(r.bytes); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return 0, fmt.Errorf("%s: %s", answer.Status, text)
	}
	n, err := io.Copy(io.Discard, answer.Body)
	return int(n), err
}

// post is a form on its way.
func post(path, form string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(form)) + "\r\n\r\n" + form)
}

// ticksPerSecond is the unit of /proc, which Linux fixes for programs.
const ticksPerSecond = 100

// cpuTime is how long a process has computed, in user and system mode.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// residentMemory is what a process holds, in MB.
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("/proc/%d/status tells no VmRSS", pid)
	}
	kilobytes, err := strconv.ParseFloat(fields[0], 64)
	return kilobytes * 1024 / 1e6, err
}
