package spec_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/web"
)

// openDemo runs a server as --demo does, at a path of its host, with a clock that
// a test can move.
func openDemo(t *testing.T, path string) *oauthtest.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	origin := "http://" + l.Addr().String()
	c.Listen, c.Issuer, c.Data = l.Addr().String(), origin+path, t.TempDir()
	c.Database = "sqlite:" + filepath.Join(c.Data, "hufu.db")
	for _, s := range demo.ScopeTexts() {
		c.Scopes = append(c.Scopes, config.Scope{Name: s.Name, TextEN: s.English, TextZH: s.Chinese, Optional: s.Optional})
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	s := &oauthtest.Server{URL: c.Issuer, Origin: origin, Log: &oauthtest.Log{}, Clock: &oauthtest.Clock{}, Config: c}
	s.Server, err = server.New(context.Background(), c, server.Options{
		Log: slog.New(slog.NewJSONHandler(s.Log, nil)), Now: s.Clock.Now, Demo: true,
		Extra: func(s *server.Server, pages *web.Pages, base string) map[string]web.Handler {
			p := &demo.Playground{Pages: pages, Browsers: s.Browsers(), Issuer: c.Issuer, Base: base, Handler: s.Handler}
			return p.Handlers()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Provision(t.Context(), demo.Parts{Store: s.Store, Clients: s.Clients, Hasher: s.Hasher, Now: s.Clock.Now, Issuer: c.Issuer}); err != nil {
		t.Fatal(err)
	}
	serveDemo(t, s, l)
	return s
}

func serveDemo(t *testing.T, s *oauthtest.Server, l net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("server log:\n%s", s.Log)
		}
	})
}

// A walker is a browser without scripts on its way through the playground.
type walker struct {
	*oauthtest.Browser
	t *testing.T
	s *oauthtest.Server
}

func walk(t *testing.T, s *oauthtest.Server) *walker { return &walker{s.Browser(t), t, s} }

func (w *walker) open(address string) *walker {
	w.t.Helper()
	w.Open(w.t, address)
	return w
}

// visit goes to an authorization address as one of the demo's people, agrees to
// everything, and opens the page it leads back to. It returns the whole address
// of that page.
func (w *walker) visit(address string) string {
	w.t.Helper()
	w.open(address)
	if w.On("login-form") {
		w.Submit(w.t, "login-form", url.Values{"username": {demo.Alice}, "password": {demo.AlicePassword}, "action": {"login"}})
	}
	if w.On("consent-form") {
		w.Approve(w.t)
	}
	location := w.Location(w.t)
	if location == nil {
		w.t.Fatalf("%s leads nowhere:\n%s", address, w.Page.Body)
	}
	whole := location.String()
	location.Fragment, location.RawFragment = "", ""
	if w.open(location.String()); w.Page.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %d", whole, w.Page.StatusCode)
	}
	return whole
}

// text is that of an element of the open page, as it would be copied; "" when
// there is no such element.
func (w *walker) text(tag, id string) string {
	found := regexp.MustCompile(`(?s)<` + tag + `\b[^>]* id="` + id + `"[^>]*>(.*?)</` + tag + `>`).FindSubmatch(w.Page.Body)
	if found == nil {
		return ""
	}
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(found[1]), ""))
}

// A shell understands as much of one as the printed commands use.
type shell struct{ *testing.T }

// shells run a printed command: our own, so that it is tried on any machine, and
// a real one where there is a real curl.
func shells() map[string]func(*testing.T, string) string {
	all := map[string]func(*testing.T, string) string{"replayed": func(t *testing.T, command string) string { return shell{t}.run(command) }}
	if _, err := exec.LookPath("curl"); err == nil {
		all["sh"] = func(t *testing.T, command string) string {
			t.Helper()
			sh := exec.CommandContext(t.Context(), "sh", "-c", command)
			sh.Env = append(os.Environ(), "NO_PROXY=*")
			var complaint strings.Builder
			sh.Stderr = &complaint
			output, err := sh.Output()
			if err != nil {
				t.Fatalf("%s\n%v\n%s", command, err, &complaint)
			}
			return string(output)
		}
	}
	return all
}

func answered(t *testing.T, answer, name string) any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(answer), &members); err != nil {
		t.Fatalf("%q: %v", answer, err)
	}
	return members[name]
}

// Every printed command gives tokens when it is pasted.
func TestDemo_PrintedCommands(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "")
	commands := regexp.MustCompile(`(?m)^  curl (?:.*\\\n)*.*$`).FindAllString(demo.Tutorial(s.URL), -1)
	if len(commands) != 3 {
		t.Fatalf("%d commands: %q", len(commands), commands)
	}
	for name, run := range shells() {
		for i, path := range []string{"/oauth2/password", "/oauth2/client-credentials", "/oauth2/refresh-token"} {
			t.Run(name+path, func(t *testing.T) {
				if !strings.Contains(commands[i], s.URL+path) {
					t.Errorf("not a command for %s: %s", path, commands[i])
				}
				if answer := run(t, commands[i]); answered(t, answer, "access_token") == nil {
					t.Errorf("no token: %s", answer)
				}
			})
		}
	}
}

// Every printed address leads to a page that shows the command which finishes the
// flow.
func TestDemo_PrintedAddresses(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "/auth")
	addresses := regexp.MustCompile(`(?m)^  (http\S+/open/\S+)$`).FindAllStringSubmatch(demo.Tutorial(s.URL), -1)
	if len(addresses) != 3 {
		t.Fatalf("%d addresses: %q", len(addresses), addresses)
	}
	for name, run := range shells() {
		for i, step := range []string{"exchange", "verify", "introspect"} {
			t.Run(name+"/"+step, func(t *testing.T) {
				w := walk(t, s)
				arrived := w.visit(addresses[i][1])
				command := w.text("pre", "command-"+step)
				if step == "introspect" { // a script does this
					_, fragment, _ := strings.Cut(arrived, "#")
					values, err := url.ParseQuery(fragment)
					if err != nil {
						t.Fatal(err)
					}
					command = strings.Replace(command, "ACCESS_TOKEN", values.Get("access_token"), 1)
				}
				answer := run(t, command)
				if answered(t, answer, "access_token") == nil && answered(t, answer, "active") != true {
					t.Errorf("%s\ngave %s", command, answer)
				}
			})
		}
	}
}

// run sends what curl would.
func (t shell) run(command string) string {
	t.Helper()
	first, filter, filtered := t.cut(command, '|')
	words := t.split(first)
	if len(words) < 2 || words[0] != "curl" {
		t.Fatalf("not a curl command: %q", words)
	}
	var address string
	var pairs []string
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-s":
		case "-d":
			i++
			pairs = append(pairs, words[i])
		case "--data-urlencode":
			i++
			name, value, _ := strings.Cut(words[i], "=")
			pairs = append(pairs, name+"="+url.QueryEscape(value))
		default:
			address += words[i]
		}
	}
	answer := t.post(address, strings.Join(pairs, "&"))
	if filtered {
		return t.sed(t.split(filter), answer)
	}
	return answer
}

func (t shell) post(address, body string) string {
	t.Helper()
	s := &oauthtest.Server{}
	return string(s.Do(t.T, s.Request(t.T, http.MethodPost, address, body)).Body)
}

// sed runs one s command of sed, in the notation of basic regular expressions.
func (t shell) sed(words []string, text string) string {
	t.Helper()
	parts := strings.Split(words[len(words)-1], "/")
	if len(words) != 2 || words[0] != "sed" || len(parts) != 4 || parts[0] != "s" {
		t.Fatalf("not a sed command: %q", words)
	}
	pattern := regexp.MustCompile(strings.NewReplacer(`\(`, `(`, `\)`, `)`).Replace(parts[1]))
	return pattern.ReplaceAllString(text, strings.ReplaceAll(parts[2], `\1`, `${1}`))
}

// cut splits a command at a character that is in no quotes.
func (t shell) cut(command string, at byte) (before, after string, found bool) {
	for i := 0; i < len(command); i++ {
		switch command[i] {
		case '\'':
			i += 1 + strings.IndexByte(command[i+1:], '\'')
		case '"':
			i += 1 + strings.LastIndexByte(command[i+1:], '"') // ours stands at the end
		case at:
			return command[:i], command[i+1:], true
		}
	}
	return command, "", false
}

// split makes words of a command: quotes, continued lines, and $(…) in double
// quotes.
func (t shell) split(command string) []string {
	t.Helper()
	var words []string
	word, open := "", false
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case c == '\'':
			end := i + 1 + strings.IndexByte(command[i+1:], '\'')
			word, open, i = word+command[i+1:end], true, end
		case c == '"':
			end := strings.LastIndexByte(command, '"')
			inner, opened := strings.CutPrefix(command[i+1:end], "$(")
			inner, closed := strings.CutSuffix(inner, ")")
			if !opened || !closed {
				t.Fatalf("no command in %q", command[i:end])
			}
			word, open, i = word+strings.TrimRight(t.run(inner), "\n"), true, end
		case c == '\\' && strings.HasPrefix(command[i+1:], "\n"):
			i++
		case c == ' ' || c == '\n':
			if open {
				words = append(words, word)
			}
			word, open = "", false
		default:
			word, open = word+string(c), true
		}
	}
	if open {
		words = append(words, word)
	}
	return words
}

// Nothing of the demo is there without --demo.
func TestDemo_OffUnlessSaid(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, path := range []string{"/playground", "/playground/callback", "/playground/run/exchange"} {
		if got := s.Get(t, path).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
	for _, id := range []string{demo.WebID, demo.AppID, demo.ServiceID, demo.LegacyID} {
		if c, err := s.Store.Client(t.Context(), id); err == nil {
			t.Errorf("there is a client %s", fmt.Sprint(c.ID))
		}
	}
}
