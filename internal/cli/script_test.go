package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hufu-auth/hufu/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"hufu": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())) },
		"http": func() { os.Exit(request(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs every script in testdata: one file per topic.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Or every command would wait a second at its end, for races that others report.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"freeport": freePort,
			"ready":    ready,
			"signal":   sendSignal,
			"member":   member,
			"gone":     gone,
			"mode":     mode,
		},
	})
}

// request is the program http of the scripts: http [-within TIME] STATUS METHOD
// URL [name=value ...]. It prints the body of the answer that has the status, and
// repeats the request until then, or the time is over.
func request(args []string, stdout, stderr io.Writer) int {
	var within time.Duration
	if args[0] == "-within" {
		d, err := time.ParseDuration(args[1])
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
		within, args = d, args[2:]
	}
	status, method, address := args[0], args[1], args[2]
	form := url.Values{}
	for _, pair := range args[3:] {
		name, value, _ := strings.Cut(pair, "=")
		form.Add(name, value)
	}
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		got, body, err := send(client, method, address, form)
		if err == nil && strconv.Itoa(got) == status {
			fmt.Fprint(stdout, body)
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintf(stderr, "want status %s, got %d %s, error %v\n", status, got, body, err)
			return 1
		}
	}
}

func send(client *http.Client, method, address string, form url.Values) (status int, body string, err error) {
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// gone URL TEXT waits until an answer no longer holds a text: a server follows what a
// command changes, and not at the same moment.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	client := &http.Client{Timeout: 10 * time.Second}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, body, err := send(client, http.MethodGet, args[0], nil)
		if err == nil && status == http.StatusOK && !strings.Contains(body, args[1]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %d, %v, still with %s:\n%s", args[0], status, err, args[1], body)
		}
	}
}

// exits CODE PROGRAM ARGS... wants exactly this exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// freeport NAME... sets variables to addresses that nobody listens on.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
}

// ready ADDRESS waits until a server answers there.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get("http://" + args[0] + "/readyz")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			ts.Fatalf("no server on %s: %v", args[0], err)
		}
	}
}

// signal NAME sends a signal to every program in the background.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt}[args[0]]))
	}
}

// member NAME PATH sets a variable to a member of the JSON on standard output;
// the path is joined with dots, and a number counts into a list.
func member(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for step := range strings.SplitSeq(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i < 0 || i >= len(at) {
				ts.Fatalf("%s: there are %d", args[1], len(at))
			}
			v = at[i]
		}
	}
	if v == nil {
		ts.Fatalf("no member %s in %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// mode OCTAL FILE... checks permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		found, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", found.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}
