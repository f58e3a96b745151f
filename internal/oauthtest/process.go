package oauthtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build builds the program into a folder and returns where it is. Without tags it
// is the plain build that operators get, whatever the tests are built with.
func Build(ctx context.Context, folder string, tags ...string) (program string, err error) {
	program = filepath.Join(folder, strings.Join(append([]string{"hufu"}, tags...), "-"))
	output, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", strings.Join(tags, ","), "-o", program, "github.com/hufu-auth/hufu/cmd/hufu").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, output)
	}
	return program, nil
}

// FreeAddress is a loopback address that nobody listens on. It stays free for a server
// that is stopped and started: connections of other programs go out from 127.0.0.1, and
// it is another one.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// A Process is a server as operators run it: the real program in a process of its
// own, which can be killed.
type Process struct {
	Log   *Log
	url   string
	cmd   *exec.Cmd
	began time.Time
	ended chan struct{} // closed when it has ended
}

// Launch starts `hufu serve` on a data directory, with the defaults it is shipped
// with. Each edit changes the command first. It does not wait: see Ready.
func Launch(program, data, listen string, edits ...func(*exec.Cmd)) (*Process, error) {
	p := &Process{Log: &Log{}, url: "http://" + listen, cmd: exec.Command(program, "serve", "--data", data, "--listen", listen), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = p.Log, p.Log, os.Environ()
	for _, edit := range edits {
		edit(p.cmd)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // the state tells how it ended
		close(p.ended)
	}()
	return p, nil
}

// URL is the issuer.
func (p *Process) URL() string { return p.url }

// PID names the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended tells whether the process is gone.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Ready waits until the server can serve, and tells how long that took since it
// was launched.
func (p *Process) Ready(ctx context.Context) (took time.Duration, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
		if err != nil {
			return 0, err
		}
		if answer, err := client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return time.Since(p.began), nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the server did not get ready: %w:\n%s", ctx.Err(), p.Log)
		case <-p.ended:
			return 0, fmt.Errorf("the server ended with %v:\n%s", p.cmd.ProcessState, p.Log)
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Terminate asks the process to stop and returns its exit code.
func (p *Process) Terminate(patience time.Duration) (code int, err error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("stop the server: %w", err)
	}
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		p.Kill()
		return 0, errors.New("the server did not stop in time")
	}
}
