package spec_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// documented are the commands of a section of docs/operations.md, block by block.
func documented(t *testing.T, section string) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no section %s", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var blocks []string
	for i, part := range strings.Split(text, "```") {
		if commands, isShell := strings.CutPrefix(part, "sh\n"); i%2 == 1 && isShell {
			blocks = append(blocks, commands)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("the section %s has no commands", section)
	}
	return blocks
}

// follow runs commands as an operator would paste them, in the directory that holds
// data, with more variables set.
func (m *machine) follow(t *testing.T, commands string, variables ...string) {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "sh", "-eu", "-c", commands)
	shell.Dir = filepath.Dir(m.data)
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(m.program)+":"+os.Getenv("PATH"))
	shell.Env = append(shell.Env, variables...)
	if output, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", commands, err, output)
	}
}

// stop ends the server as a service manager does.
func (m *machine) stop(t *testing.T) {
	t.Helper()
	if code, err := m.server.Terminate(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("stop: exit code %d, %v", code, err)
	}
}

// password gets tokens for alice; nil when that is refused.
func (c *caller) password(t *testing.T, password string) *reply {
	t.Helper()
	answer := c.post("/token", "grant_type", "password", "username", "alice", "password", password)
	if answer == nil {
		t.Fatal("no answer")
	}
	if answer.status != http.StatusOK {
		return nil
	}
	return answer
}

func (c *caller) works(t *testing.T, refreshToken string) bool {
	t.Helper()
	answer := c.refresh(refreshToken)
	if answer == nil || answer.status != http.StatusOK && answer.members["error"] != "invalid_grant" {
		t.Fatalf("refresh: %+v", answer)
	}
	return answer.status == http.StatusOK
}

// The restore drill, command by command as docs/operations.md has it, and what the
// page says that a restore brings back (OP-02). Without the last command, what was
// revoked since would be in force again; the second run shows that it would, so that
// the first shows that the command is what ends it.
func TestRestoreAsDocumented(t *testing.T) {
	t.Parallel()
	const newer = "another battery staple"
	for name, last := range map[string]bool{"as documented": true, "without the last command": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			c := m.caller()
			kept, revoked, moved := c.password(t, oauthtest.Password), c.password(t, oauthtest.Password), c.password(t, oauthtest.Password)
			for _, block := range documented(t, "Backup") {
				m.follow(t, block)
			}

			// What happens since.
			if answer := c.post("/revoke", "token", revoked.text("refresh_token")); answer == nil || answer.status != http.StatusOK {
				t.Fatalf("revoke: %+v", answer)
			}
			ahead := moved.text("refresh_token")
			for range 3 {
				answer := c.refresh(ahead)
				if answer == nil || answer.status != http.StatusOK {
					t.Fatalf("refresh: %+v", answer)
				}
				ahead = answer.text("refresh_token")
			}
			later := c.password(t, oauthtest.Password)
			m.command(t, newer, "user", "password", "alice", "--password-stdin")
			m.command(t, "", "client", "create", "--id", "later", "--grant", "client_credentials")
			m.stop(t)

			blocks := documented(t, "Restore")
			if blocks[len(blocks)-1] != "hufu revoke-all\n" {
				t.Fatalf("a restore ends with %q", blocks[len(blocks)-1])
			}
			if !last {
				blocks = blocks[:len(blocks)-1]
			}
			for _, block := range blocks {
				m.follow(t, block)
			}
			m.start(t)

			want := map[string]bool{
				"kept": !last, "revoked since": !last, "moved on since": !last, "made since": false,
				"the old password": true, "the new password": false, "its session": !last, "the client's secret": true,
			}
			got := map[string]bool{
				"kept": c.works(t, kept.text("refresh_token")), "revoked since": c.works(t, revoked.text("refresh_token")),
				"moved on since": c.works(t, ahead), "made since": c.works(t, later.text("refresh_token")),
				"the old password": c.password(t, oauthtest.Password) != nil, "the new password": c.password(t, newer) != nil,
				"its session": c.isSignedIn(t),
			}
			answer := c.post("/token", "grant_type", "client_credentials")
			got["the client's secret"] = answer != nil && answer.status == http.StatusOK
			if !maps.Equal(got, want) {
				t.Errorf("after the restore there work %v, want %v", got, want)
			}
			if clients := string(m.command(t, "", "client", "list")); strings.Contains(clients, "later") {
				t.Errorf("made since, and still there: %s", clients)
			}
			if aside, _ := filepath.Glob(filepath.Join(m.data, "before-restore", "hufu.db*")); len(aside) == 0 {
				t.Error("the old database is gone")
			}
		})
	}
}

// isSignedIn reports whether alice's browser gets a code by one request.
func (c *caller) isSignedIn(t *testing.T) bool {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.authorizeURL(), http.NoBody)
	answer := c.do(r, err)
	if answer == nil {
		t.Fatal("no answer")
	}
	return answer.location != nil && answer.location.Query().Get("code") != ""
}

// The command copies the database of a running server, under load, from another
// process (OP-02): the copy is sound, and holds every refresh that was acknowledged
// before the command began, while none fails meanwhile.
func TestBackupOfARunningServer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	type line struct {
		token string
		count atomic.Int64 // acknowledged refreshes
	}
	lines := make([]line, 8)
	stop, callers := make(chan struct{}), sync.WaitGroup{}
	for i := range lines {
		l, c := &lines[i], m.caller()
		l.token = c.password(t, oauthtest.Password).text("refresh_token")
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				answer := c.refresh(l.token)
				if answer == nil || answer.status != http.StatusOK {
					t.Errorf("refresh while a copy is made: %+v", answer)
					return
				}
				l.token = answer.text("refresh_token")
				l.count.Add(1)
			}
		})
	}
	end := sync.OnceFunc(func() {
		close(stop)
		callers.Wait()
	})
	defer end()
	for n := range 3 {
		for lines[0].count.Load() < int64(30*(n+1)) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		var least int64
		for i := range lines {
			least += lines[i].count.Load()
		}
		path := filepath.Join(filepath.Dir(m.data), fmt.Sprint("copy", n))
		var told struct{ File, Bytes, Schema json.RawMessage }
		if err := json.Unmarshal(m.command(t, "", "backup", path, "--json"), &told); err != nil || slices.Contains([]string{string(told.File), string(told.Bytes), string(told.Schema)}, "") {
			t.Errorf("told %+v, %v", told, err)
		}
		verdict, refreshes := inspectCopy(t, path)
		if verdict != "ok" || refreshes < least {
			t.Errorf("copy %d: %s; %d refreshes in it, %d were acknowledged before", n, verdict, refreshes, least)
		}
	}
	end()
	m.stop(t)
}

// inspectCopy opens a copy without any code of ours.
func inspectCopy(t *testing.T, path string) (verdict string, refreshes int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(context.Background(), `PRAGMA integrity_check`).Scan(&verdict); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(context.Background(), `SELECT SUM(generation) FROM oauth_grant`).Scan(&refreshes); err != nil {
		t.Fatal(err)
	}
	return verdict, refreshes
}
