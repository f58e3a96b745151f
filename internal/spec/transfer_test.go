package spec_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/cli"
	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// engines make the address of an empty database of each engine.
var engines = map[string]func(t *testing.T, data string) string{
	"SQLite":     func(_ *testing.T, data string) string { return "sqlite:" + filepath.Join(data, "hufu.db") },
	"PostgreSQL": func(t *testing.T, _ string) string { return dbtest.DSN(t) },
}

// run runs a command as main does and wants it to be done.
func run(t *testing.T, data, database string, words ...string) string {
	t.Helper()
	var output, said bytes.Buffer
	words = append(words, "--data", data, "--database", database)
	if code := cli.Main(words, strings.NewReader(""), &output, &said, nil); code != 0 {
		t.Fatalf("hufu %s: exit code %d: %s", words[0], code, said.String())
	}
	return output.String()
}

// copyKey brings the master key of one data directory into another.
func copyKey(t *testing.T, from, to string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(from, "master.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "master.key"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// move exports what a server has, imports it into another database under another
// data directory that has the same master key, and starts a server there that
// answers for the same issuer.
func move(t *testing.T, from *oauthtest.Server, data, database string) *oauthtest.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hufu.export")
	copyKey(t, from.Config.Data, data)
	exported := run(t, from.Config.Data, from.Config.Database, "export", file)
	if imported := run(t, data, database, "import", file); imported != exported {
		t.Errorf("exported\n%s\nimported\n%s", exported, imported)
	}
	to := oauthtest.StartIn(t, data, func(c *config.Config) { c.Issuer, c.Database = from.URL, database })
	to.URL = to.Origin // the issuer is the old one still, and requests go to the new server
	return to
}

// at is an app that talks to another server of the same issuer, with the same
// browser.
func at(t *testing.T, app *oauthtest.App, s *oauthtest.Server) *oauthtest.App {
	t.Helper()
	moved := *app
	moved.Server, moved.Browser = s, s.Browser(t)
	return moved.At(oauthtest.AllAddresses[0])
}

// Whoever has a token, a code, a secret or a password notices nothing of a move
// between the engines, in any direction, and what was revoked stays revoked (OP-02,
// RT-08).
func TestTransferKeepsEverythingAlive(t *testing.T) {
	t.Parallel()
	for source, from := range engines {
		for target, to := range engines {
			t.Run(source+" to "+target, func(t *testing.T) {
				t.Parallel()
				data := t.TempDir()
				old := oauthtest.StartIn(t, data, func(c *config.Config) { c.Database = from(t, data) })
				app, public, opaque := old.App(t), old.PublicApp(t), old.App(t, oauthtest.Opaque)
				kept, keptPublic, keptOpaque := app.SignInAndExchange(t), public.SignInAndExchange(t), opaque.SignInAndExchange(t)
				revoked, revokedOpaque := app.SignInAndExchange(t), opaque.SignInAndExchange(t)
				rotated := app.SignInAndExchange(t)
				next := app.Refresh(t, oauthtest.AllAddresses[0], rotated.RefreshToken).Text("refresh_token")
				if answer := old.Post(t, "/revoke", app.Credentials("token", revoked.RefreshToken)); answer.StatusCode != http.StatusOK {
					t.Fatalf("revoke: %s", answer.Body)
				}
				if answer := old.Post(t, "/revoke", opaque.Credentials("token", revokedOpaque.AccessToken)); answer.StatusCode != http.StatusOK {
					t.Fatalf("revoke: %s", answer.Body)
				}
				own, err := app.ClientToken(t, oauthtest.AllAddresses[0])
				if err != nil {
					t.Fatal(err)
				}
				verifier := oauth2.GenerateVerifier()
				code := app.Authorize(t, "alice", verifier)

				data = t.TempDir()
				s := move(t, old, data, to(t, data))
				app, public, opaque = at(t, app, s), at(t, public, s), at(t, opaque, s)
				for name, tt := range map[string]struct {
					app    *oauthtest.App
					token  string
					active bool
				}{
					"access token":                  {app, kept.AccessToken, true},
					"access token of the client":    {app, own.AccessToken, true},
					"access token, sealed":          {opaque, keptOpaque.AccessToken, true},
					"access token, revoked alone":   {opaque, revokedOpaque.AccessToken, false},
					"access token, of what is over": {app, revoked.AccessToken, false},
				} {
					if tt.app.Active(t, tt.token) != tt.active {
						t.Errorf("%s: active is not %v", name, tt.active)
					}
				}
				for name, tt := range map[string]struct {
					app    *oauthtest.App
					token  string
					status int
				}{
					"refresh token":                               {app, kept.RefreshToken, http.StatusOK},
					"refresh token of the public":                 {public, keptPublic.RefreshToken, http.StatusOK},
					"refresh token, newest":                       {app, next, http.StatusOK},
					"refresh token, of a grant with a token less": {opaque, revokedOpaque.RefreshToken, http.StatusOK},
					"refresh token, revoked":                      {app, revoked.RefreshToken, http.StatusBadRequest},
				} {
					if answer := tt.app.Refresh(t, oauthtest.AllAddresses[0], tt.token); answer.StatusCode != tt.status {
						t.Errorf("%s: %d %s, want %d", name, answer.StatusCode, answer.Body, tt.status)
					}
				}
				if _, err := app.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err != nil {
					t.Errorf("a code that was out: %v", err)
				}
				if _, err := app.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err == nil {
					t.Error("a code was redeemed twice")
				}
				app.SignInAndExchange(t) // the password, and new grants
				// What came before the newest refresh token is a replay there too.
				s.Clock.Advance(time.Minute)
				if answer := app.Refresh(t, oauthtest.AllAddresses[0], rotated.RefreshToken); answer.StatusCode != http.StatusBadRequest {
					t.Errorf("a replay after the move: %d %s", answer.StatusCode, answer.Body)
				}
			})
		}
	}
}

// What travels opens nothing by itself (RT-09): neither an export nor a backup holds
// the master key, a token, a code, a secret or a password.
func TestTransferHoldsNoSecret(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	database := engines["SQLite"](t, data)
	s := oauthtest.StartIn(t, data, func(c *config.Config) { c.Database = database })
	app := s.App(t)
	token := app.SignInAndExchange(t)
	verifier := oauth2.GenerateVerifier()
	code := app.Authorize(t, "alice", verifier)
	written, err := os.ReadFile(filepath.Join(data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(written)))
	if err != nil || len(key) != 32 {
		t.Fatalf("master key: %v", err)
	}
	secrets := map[string]string{
		"master key, raw": string(key), "master key": strings.TrimRight(strings.TrimSpace(string(written)), "="),
		"master key, hex": hex.EncodeToString(key), "master key for URLs": base64.RawURLEncoding.EncodeToString(key),
		"access token": token.AccessToken, "refresh token": token.RefreshToken, "code": code, "client secret": app.ClientSecret,
		"password": oauthtest.Password, "verifier": verifier,
	}
	for _, cookie := range app.Browser.Cookies(t) {
		secrets["cookie "+cookie.Name] = cookie.Value
	}
	folder := t.TempDir()
	export, backup := filepath.Join(folder, "export"), filepath.Join(folder, "backup")
	run(t, data, database, "export", export)
	run(t, data, database, "backup", backup)
	for path, content := range map[string]string{"export": unpacked(t, export), "backup": read(t, backup)} {
		if !strings.Contains(content, app.ClientID) {
			t.Fatalf("the %s does not hold what it should", path)
		}
		for name, secret := range secrets {
			if secret == "" || strings.Contains(content, secret) {
				t.Errorf("the %s holds the %s", path, name)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func unpacked(t *testing.T, path string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The move, command by command as docs/operations.md has it, on each engine: the
// data directory stays, and only the address of the database changes (OP-02).
func TestMoveAsDocumented(t *testing.T) {
	t.Parallel()
	for name, database := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			token := m.caller().password(t, oauthtest.Password)
			m.stop(t)
			blocks := documented(t, "Moving from SQLite to PostgreSQL")
			if len(blocks) != 2 {
				t.Fatalf("%d blocks of commands, want the export and the import", len(blocks))
			}
			address := "HUFU_DATABASE=" + database(t, t.TempDir())
			m.follow(t, blocks[0])
			m.follow(t, blocks[1], address)
			if err := os.RemoveAll(filepath.Join(m.data, "hufu.db")); err != nil { // nobody needs it any more
				t.Fatal(err)
			}
			server, err := oauthtest.Launch(m.program, m.data, m.listen, func(c *exec.Cmd) { c.Env = append(c.Env, address) })
			if err != nil {
				t.Fatal(err)
			}
			m.server = server
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := m.server.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			c := m.caller()
			if !c.works(t, token.text("refresh_token")) || !c.isSignedIn(t) || c.password(t, oauthtest.Password) == nil {
				t.Error("a token, a session or a password does not work after the move")
			}
			m.stop(t)
		})
	}
}

// An import whose process is killed on the way leaves nothing, or, when it had just
// been done, everything; and it can be done again (OP-02).
func TestTransferKilledImport(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.stop(t)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(m.data, "hufu.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
		INSERT INTO revoked_token (jti, expires_at) SELECT 'jti-' || i, i FROM n`); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hufu.export")
	exported := string(m.command(t, "", "export", file))
	for _, size := range []int64{1 << 20, 3 << 20} {
		target := *m
		target.data = t.TempDir()
		copyKey(t, m.data, target.data)
		killed := exec.CommandContext(t.Context(), m.program, "import", file, "--data", target.data)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = killed.Wait() // it is killed
			close(ended)
		}()
		awaitSize(filepath.Join(target.data, "hufu.db-wal"), size, ended)
		_ = killed.Process.Kill() // it may have ended
		<-ended
		if clients := string(target.command(t, "", "client", "list", "--json")); clients == "[]\n" {
			target.command(t, "", "import", file)
		}
		got := withoutEvents(string(target.command(t, "", "export", filepath.Join(target.data, "again"))))
		if got != withoutEvents(exported) {
			t.Errorf("killed when the log had %d bytes: there is\n%s\nof\n%s", size, got, exported)
		}
	}
}

// withoutEvents leaves the audit trail out of the counts of an export: an import
// adds to it.
func withoutEvents(counts string) string {
	return regexp.MustCompile(`(?m)^event .*$`).ReplaceAllString(counts, "")
}

// awaitSize returns when a file has grown so large, or a process has ended.
func awaitSize(path string, size int64, ended <-chan struct{}) {
	for {
		if found, err := os.Stat(path); err == nil && found.Size() >= size {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
