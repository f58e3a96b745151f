package torture

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A Fleet is one or more servers on one database, as an operator has them behind a
// balancer (docs/operations.md): one issuer, one master key, nothing else in common.
type Fleet struct {
	Issuer   string
	Replicas []*Replica

	program     string
	database    string // past the proxies; "" for SQLite
	environment []string
}

// Options say how a fleet is to be.
type Options struct {
	Program     string // as oauthtest.Build made it
	Servers     int    // 0 is one
	DSN         string // of PostgreSQL; "" is a SQLite file, for one server
	Plain       bool   // without a proxy between each server and the database
	Folder      string // for the data directories; "" is one that goes with the test
	Environment []string
}

// New makes a fleet; its servers do not run yet. They are stopped when the test ends.
func New(t testing.TB, o Options) *Fleet {
	t.Helper()
	address, err := oauthtest.FreeAddress() // where nobody listens: the balancer is us
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{Issuer: "http://" + address, program: o.Program, database: o.DSN}
	key := make([]byte, 32)
	rand.Read(key)
	f.environment = append(outside(), "HUFU_MASTER_KEY="+base64.StdEncoding.EncodeToString(key), "HUFU_ISSUER="+f.Issuer, "HUFU_LOG_LEVEL=warn")
	f.environment = append(f.environment, o.Environment...)
	for i := range max(1, o.Servers) {
		f.Replicas = append(f.Replicas, f.newReplica(t, i, o))
	}
	t.Cleanup(func() {
		for _, r := range f.Replicas {
			r.Kill()
			if t.Failed() {
				t.Logf("end of the log of server %d:\n%s", r.Number, r.log())
			}
		}
	})
	return f
}

// outside is our own environment without what would configure a server.
func outside() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "HUFU_") })
}

func (f *Fleet) newReplica(t testing.TB, number int, o Options) *Replica {
	t.Helper()
	listen, err := oauthtest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	folder := o.Folder
	if folder == "" {
		folder = t.TempDir()
	}
	r := &Replica{Number: number, Program: f.program, fleet: f, listen: listen, data: filepath.Join(folder, fmt.Sprint("data-", number)), database: o.DSN}
	r.via = &http.Transport{
		MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listen)
		},
	}
	if o.DSN != "" && !o.Plain {
		r.Proxy = dbtest.NewProxy(t, o.DSN)
		r.database = r.Proxy.DSN(o.DSN)
	}
	return r
}

// Start launches every server at once and waits until all are ready.
func (f *Fleet) Start(t testing.TB) {
	t.Helper()
	for _, r := range f.Replicas {
		if err := r.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range f.Replicas {
		if err := r.AwaitReady(); err != nil {
			t.Fatal(err)
		}
	}
}

// Command runs one of the program's commands on the fleet's database and returns its
// result.
func (f *Fleet) Command(t testing.TB, input string, words ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), f.program, append(words, "--data", f.Replicas[0].data)...)
	command.Env, command.Stdin = f.environment, strings.NewReader(input)
	if f.database != "" {
		command.Env = append(slices.Clip(command.Env), "HUFU_DATABASE="+f.database)
	}
	var said bytes.Buffer
	command.Stderr = &said
	output, err := command.Output()
	if err != nil {
		t.Fatalf("hufu %s: %v: %s", strings.Join(words, " "), err, said.String())
	}
	return output
}

// User makes a user with oauthtest.Password.
func (f *Fleet) User(t testing.TB, name string) {
	t.Helper()
	f.Command(t, oauthtest.Password, "user", "create", "--username", name, "--password-stdin")
}

// A Client is a registered client.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`

	Grace time.Duration `json:"-"` // of its refresh tokens, as it was registered
}

// Register makes a client with the flags of `hufu client create`.
func (f *Fleet) Register(t testing.TB, flags ...string) *Client {
	t.Helper()
	var c Client
	made := f.Command(t, "", append([]string{"client", "create", "--json"}, flags...)...)
	if err := json.Unmarshal(made, &c); err != nil {
		t.Fatalf("%s: %v", made, err)
	}
	return &c
}

// Server is the fleet for those who talk to it: at its issuer's address, each request
// carried by via.
func (f *Fleet) Server(via http.RoundTripper) *oauthtest.Server {
	return &oauthtest.Server{URL: f.Issuer, Origin: f.Issuer, Via: via}
}

// A Replica is one server of a fleet.
type Replica struct {
	Number  int
	Program string        // what runs when it is launched next
	Proxy   *dbtest.Proxy // between it and the database; nil for none

	fleet                  *Fleet
	listen, data, database string
	via                    *http.Transport

	mu      sync.Mutex
	process *oauthtest.Process
}

// Via carries requests to this server.
func (r *Replica) Via() http.RoundTripper { return r.via }

// Data is its data directory.
func (r *Replica) Data() string { return r.data }

// Launch starts the server unless it runs, and does not wait until it is ready. Two
// faults at once may both want it: one that stopped it, and one of everything, after
// which each server that is down is launched.
func (r *Replica) Launch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && !r.process.Ended() {
		return nil
	}
	process, err := oauthtest.Launch(r.Program, r.data, r.listen, func(c *exec.Cmd) {
		c.Env = r.fleet.environment
		if r.database != "" {
			c.Env = append(slices.Clip(c.Env), "HUFU_DATABASE="+r.database)
		}
	})
	if err != nil {
		return err
	}
	r.process = process
	return nil
}

// Process is the one that was launched last; nil when none was.
func (r *Replica) Process() *oauthtest.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// readyPatience bounds the wait for a server, on a machine however slow.
const readyPatience = time.Minute

// AwaitReady waits until the server says that it can serve.
func (r *Replica) AwaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyPatience)
	defer cancel()
	if _, err := r.Process().Ready(ctx); err != nil {
		return fmt.Errorf("server %d: %w", r.Number, err)
	}
	return nil
}

// Kill ends the server as kill -9 does.
func (r *Replica) Kill() {
	if p := r.Process(); p != nil {
		p.Kill()
	}
	r.via.CloseIdleConnections()
}

// Terminate asks the server to stop and wants it to do so in order and in time.
func (r *Replica) Terminate() error {
	code, err := r.Process().Terminate(20 * time.Second)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return fmt.Errorf("server %d: %w", r.Number, err)
	}
	r.via.CloseIdleConnections()
	return nil
}

// Get asks for an address without a session, and returns the status and the body; 0
// when no answer came.
func (r *Replica) Get(ctx context.Context, path string) (status int, body []byte) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.fleet.Issuer+path, http.NoBody)
	if err != nil {
		return 0, nil
	}
	answer, err := r.via.RoundTrip(request)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		return 0, nil
	}
	return answer.StatusCode, body
}

// log is the end of what the server has logged.
func (r *Replica) log() string {
	const most = 16 << 10
	p := r.Process()
	if p == nil {
		return ""
	}
	text := p.Log.String()
	return text[max(0, len(text)-most):]
}
