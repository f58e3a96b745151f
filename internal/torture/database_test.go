package torture_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// An outage is one way for a database not to answer.
type outage struct{ begin, end func() error }

// outages are all of them.
func outages(server *dbtest.Server, proxy *dbtest.Proxy) map[string]outage {
	done := func(f func()) func() error { return func() error { f(); return nil } }
	return map[string]outage{
		"down":    {func() error { return server.Stop(dbtest.Kill) }, server.Restart},
		"frozen":  {server.Pause, server.Resume},
		"refuses": {done(proxy.Refuse), done(proxy.Heal)},
		"hangs":   {done(proxy.Hang), done(proxy.Heal)},
		"slow":    {done(func() { proxy.Delay(5 * time.Second) }), done(proxy.Heal)},
	}
}

// A visitor asks everything there is, with what it got when all was well.
type visitor struct {
	*oauthtest.App
	code, access, refresh string
}

func newVisitor(t *testing.T, f *torture.Fleet, c *torture.Client) *visitor {
	t.Helper()
	v := &visitor{App: apps(t, f, c, "read")[0]}
	v.access, v.refresh = redeem(t, v.App, v.Authorize(t, "alice", ""))
	v.code = v.Authorize(t, "alice", "")
	return v
}

// stateful are the requests that cannot be answered without the database.
func (v *visitor) stateful(t *testing.T) map[string]func() *oauthtest.Answer {
	post := func(path string, pairs ...string) func() *oauthtest.Answer {
		form := v.Credentials()
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return func() *oauthtest.Answer { return v.Server.Post(t, path, form) }
	}
	page := func(path string) func() *oauthtest.Answer {
		return func() *oauthtest.Answer {
			r := v.Server.Request(t, http.MethodGet, path, "")
			for _, c := range v.Browser.Cookies(t) {
				r.AddCookie(c)
			}
			return v.Server.Do(t, r)
		}
	}
	return map[string]func() *oauthtest.Answer{
		"redeem":             post("/token", "grant_type", "authorization_code", "code", v.code, "redirect_uri", oauthtest.Callback),
		"redeem at an alias": post("/oauth2/authorize", "grant_type", "authorization_code", "code", v.code, "redirect_uri", oauthtest.Callback),
		"refresh":            post("/token", "grant_type", "refresh_token", "refresh_token", v.refresh),
		"password":           post("/token", "grant_type", "password", "username", "alice", "password", oauthtest.Password),
		"introspect":         post("/introspect", "token", v.access),
		"introspect refresh": post("/introspect", "token", v.refresh),
		"revoke":             post("/revoke", "token", v.access),
		"revoke grant":       post("/revoke", "token", v.refresh),
		"wrong secret":       post("/token", "grant_type", "client_credentials", "client_secret", "wrong"),
		"unknown client":     post("/token", "grant_type", "client_credentials", "client_id", "nobody"),
		"authorize":          page("/authorize?" + url.Values{"response_type": {"code"}, "client_id": {v.ClientID}, "redirect_uri": {oauthtest.Callback}}.Encode()),
		"home":               page("/"),
		"sign-out":           page("/end-session"),
		"sign-in":            v.signIn(t),
	}
}

// signIn sends the form of a sign-in page that was opened when all was well.
func (v *visitor) signIn(t *testing.T) func() *oauthtest.Answer {
	b := v.Server.Browser(t)
	b.Open(t, "/login")
	action, fields := b.Form(t, "login-form")
	fields.Set("username", "alice")
	fields.Set("password", oauthtest.Password)
	cookies := b.Cookies(t)
	return func() *oauthtest.Answer {
		r := v.Server.Request(t, http.MethodPost, action, fields.Encode())
		r.Header.Set("Origin", v.Server.Origin)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return v.Server.Do(t, r)
	}
}

// stateless are those that are answered all the time.
func (v *visitor) stateless(t *testing.T) map[string]func() *oauthtest.Answer {
	requests := map[string]func() *oauthtest.Answer{}
	for _, path := range []string{"/jwks", "/.well-known/oauth-authorization-server", "/healthz", "/login"} {
		requests[path] = func() *oauthtest.Answer { return v.Server.Get(t, path) }
	}
	return requests
}

// lag measures how slow the machine is with a server, until it is stopped.
func lag(t *testing.T, r *torture.Replica) (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var longest time.Duration
	var probing sync.WaitGroup
	probing.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if status, _ := r.Get(context.WithoutCancel(ctx), "/healthz"); status != http.StatusOK {
				t.Errorf("/healthz: %d", status)
			}
			longest = max(longest, time.Since(began))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() time.Duration {
		cancel()
		probing.Wait()
		return longest
	}
}

// allAtOnce sends requests at the same moment, each so many times, and wants their
// answers in time.
func allAtOnce(t *testing.T, r *torture.Replica, requests map[string]func() *oauthtest.Answer, times int, promised time.Duration, check func(name string, a *oauthtest.Answer)) {
	t.Helper()
	stop := lag(t, r)
	took := map[string]time.Duration{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for name, ask := range requests {
		for range times {
			asking.Go(func() {
				began := time.Now()
				answer := ask()
				mu.Lock()
				defer mu.Unlock()
				took[name] = max(took[name], time.Since(began))
				check(name, answer)
			})
		}
	}
	asking.Wait()
	slow := stop()
	for name, d := range took {
		if d > promised+slow {
			t.Errorf("%s took %v, promised within %v; the machine itself took %v", name, d, promised, slow)
		}
	}
}

// promptly is when requests that cannot be served are refused: three seconds are
// promised, and a machine that does other things too may add one.
const promptly = 4 * time.Second

// wantAway wants the refusal of a server that cannot serve right now.
func wantAway(t *testing.T) func(name string, a *oauthtest.Answer) {
	return func(name string, a *oauthtest.Answer) {
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q: %s", name, a.StatusCode, a.Header.Get("Retry-After"), a.Body)
		}
	}
}

// A burden is what a process and its database carry.
type burden struct{ threads, descriptors, connections int }

func measure(t *testing.T, r *torture.Replica, dsn string) burden {
	t.Helper()
	r.Via().(*http.Transport).CloseIdleConnections() // ours would count
	process := filepath.Join("/proc", strconv.Itoa(r.Process().PID()))
	descriptors, err := os.ReadDir(filepath.Join(process, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir(filepath.Join(process, "task"))
	if err != nil {
		t.Fatal(err)
	}
	return burden{len(threads), len(descriptors), dbtest.Clients(t, dsn)}
}

// Whatever keeps the database from answering: what needs it is refused in time, what
// does not is served on, the server says that it lives and is not ready, and all is
// well soon after the database is, without a restart and with nothing left behind. A
// code that could not be redeemed is redeemed then (DB-01, DB-02).
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	database := dbtest.Start(t, dbtest.Options{})
	dsn := database.DSN(dbtest.Database)
	f := torture.New(t, torture.Options{Program: program(t), DSN: dsn})
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--trusted", "--scope", "read", "--grant", "authorization_code",
		"--grant", "refresh_token", "--grant", "password", "--grant", "client_credentials")
	f.Start(t)
	r := f.Replicas[0]
	pid := r.Process().PID()
	for name, outage := range outages(database, r.Proxy) {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, f, c)
			stateful := v.stateful(t)
			atOnce(16, func(int) { v.Introspect(t, v.access) }) // the pool is full, as on any working day
			before := measure(t, r, dsn)

			must(t, outage.begin())
			broken := time.Now()
			allAtOnce(t, r, stateful, 4, promptly, wantAway(t))
			allAtOnce(t, r, v.stateless(t), 4, time.Second, func(name string, a *oauthtest.Answer) { wantStatus(t, name, a, http.StatusOK) })
			ready := map[string]func() *oauthtest.Answer{"/readyz": func() *oauthtest.Answer { return v.Server.Get(t, "/readyz") }}
			allAtOnce(t, r, ready, 1, promptly, func(name string, a *oauthtest.Answer) { wantStatus(t, name, a, http.StatusServiceUnavailable) })
			// A copy of a client that could not be compared for so long decides nothing.
			time.Sleep(time.Until(broken.Add(6 * time.Second)))
			stateful["client credentials"] = func() *oauthtest.Answer {
				return v.Server.Post(t, "/token", v.Credentials("grant_type", "client_credentials"))
			}
			allAtOnce(t, r, stateful, 2, promptly, wantAway(t))

			must(t, outage.end())
			within(t, 5*time.Second, "ready again", func() bool { status, _ := r.Get(t.Context(), "/readyz"); return status == http.StatusOK })
			v.wantAllWell(t)
			within(t, 15*time.Second, "nothing is left behind", func() bool {
				now := measure(t, r, dsn)
				return now.threads <= before.threads+8 && now.descriptors <= before.descriptors+4 && now.connections <= before.connections+2
			})
			t.Logf("before %+v, after %+v", before, measure(t, r, dsn))
		})
	}
	if r.Process().PID() != pid {
		t.Error("the process is another one")
	}
	if log := r.Process().Log.String(); strings.Contains(log, "panic") {
		t.Error("there was a panic")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantAllWell wants everything that a visitor was refused to be done now.
func (v *visitor) wantAllWell(t *testing.T) {
	t.Helper()
	within(t, 5*time.Second, "service is back", func() bool { return v.Active(t, v.access) })
	access, refresh := redeem(t, v.App, v.code)
	if !v.Active(t, access) {
		t.Error("what was redeemed is not active")
	}
	for _, token := range []string{v.refresh, refresh} {
		wantStatus(t, "refresh", v.Refresh(t, oauthtest.AllAddresses[1], token), http.StatusOK)
	}
	for name, want := range map[string]int{"password": 200, "authorize": 303, "home": 200, "sign-out": 200, "sign-in": 303, "wrong secret": 401, "unknown client": 401} {
		wantStatus(t, name+" afterwards", v.stateful(t)[name](), want)
	}
}

// A server redeems a code, hears nothing of it any more, and has to say 503. Whoever
// comes back with that code as he was told, to whichever server, gets his tokens, once
// (DB-03, CO-01).
func TestRedemptionUnknown(t *testing.T) {
	t.Parallel()
	f := torture.New(t, torture.Options{Program: program(t), Servers: 2, DSN: dbtest.DSN(t)})
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--trusted", "--scope", "read", "--grant", "authorization_code", "--grant", "refresh_token")
	f.Start(t)
	by := apps(t, f, c, "read")
	proxy := f.Replicas[0].Proxy
	for name, tt := range map[string]struct {
		lose func(string) <-chan struct{}
		stop bool // the server that has said 503
	}{
		"answer lost":                     {proxy.LoseAnswer, false},
		"statement lost":                  {proxy.LoseStatement, false},
		"answer lost, the server stopped": {proxy.LoseAnswer, true},
	} {
		t.Run(name, func(t *testing.T) {
			code := by[0].Authorize(t, "alice", "")
			tt.lose("SET redeemed_at = $3")
			proxy.RefuseFromThen() // or the server would ask what came of it, and answer
			answer := by[0].Server.Post(t, "/token", codeForm(by[0], code))
			wantAway(t)("redeem", answer)
			proxy.Heal()
			if tt.stop {
				must(t, f.Replicas[0].Terminate())
				start(t, f.Replicas[0])
			}
			wait, err := time.ParseDuration(answer.Header.Get("Retry-After") + "s")
			must(t, err)
			within(t, 5*time.Second, "ready again", func() bool {
				status, _ := f.Replicas[0].Get(t.Context(), "/readyz")
				return status == http.StatusOK
			})
			time.Sleep(wait)
			access, refresh := redeem(t, by[1], code)
			if !by[0].Active(t, access) || refresh == "" {
				t.Error("what was redeemed is not active")
			}
			wantStatus(t, "the code again", by[0].Server.Post(t, "/token", codeForm(by[0], code)), http.StatusBadRequest)
		})
	}
}

// Behind a pgbouncer in transaction mode, with the settings of docs/operations.md, a
// whole server works: all grants of the seed, a change by command within a second, and
// a database that goes away and comes back.
func TestBouncer(t *testing.T) {
	t.Parallel()
	database := dbtest.Start(t, dbtest.Options{})
	f := torture.New(t, torture.Options{Program: program(t), Servers: 2, DSN: dbtest.Bouncer(t, database.DSN(dbtest.Database)), Plain: true})
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--trusted", "--scope", "read", "--grant", "authorization_code",
		"--grant", "refresh_token", "--grant", "password", "--grant", "client_credentials", "--grant", "implicit")
	f.Start(t)
	by := apps(t, f, c, "read")
	walkSeed(t, by[0])
	walkSeed(t, by[1])
	f.Command(t, "", "client", "update", c.ID, "--scope", "read", "--scope", "write")
	for _, a := range by {
		within(t, time.Second, "the new scope is known", func() bool {
			return a.Server.Post(t, "/token", a.Credentials("grant_type", "client_credentials", "scope", "write")).StatusCode == http.StatusOK
		})
	}
	for _, mode := range []dbtest.StopMode{dbtest.Fast, dbtest.Kill} {
		access, _ := redeem(t, by[0], by[0].Authorize(t, "alice", ""))
		must(t, database.Stop(mode))
		wantAway(t)(fmt.Sprint("introspect, stop ", mode), by[0].Introspect(t, access))
		must(t, database.Restart())
		for _, r := range f.Replicas {
			within(t, 5*time.Second, "ready again", func() bool { status, _ := r.Get(t.Context(), "/readyz"); return status == http.StatusOK })
		}
		walkSeed(t, by[1])
	}
}

// walkSeed uses each grant of the seed at its own address.
func walkSeed(t *testing.T, a *oauthtest.App) {
	t.Helper()
	a = a.At(oauthtest.AllAddresses[1])
	post := func(path string, pairs ...string) *oauthtest.Answer {
		t.Helper()
		answer := a.Server.Post(t, path, a.Credentials(pairs...))
		wantStatus(t, path, answer, http.StatusOK)
		if !a.Active(t, answer.Text("access_token")) {
			t.Errorf("%s: the token is not active", path)
		}
		return answer
	}
	tokens := post("/oauth2/authorize", "grant_type", "authorization_code", "redirect_uri", oauthtest.Callback, "code", a.Authorize(t, "alice", ""))
	post("/oauth2/refresh-token", "grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token"))
	post("/oauth2/password", "grant_type", "password", "username", "alice", "password", oauthtest.Password)
	post("/oauth2/client-credentials", "grant_type", "client_credentials")
	location := a.Browser.Walk(t, a.Server.URL+"/open/implicit?"+url.Values{"response_type": {"token"}, "client_id": {a.ClientID}, "redirect_uri": {oauthtest.Callback}}.Encode(), "alice")
	fragment, err := url.ParseQuery(location.Fragment)
	if err != nil || !a.Active(t, fragment.Get("access_token")) {
		t.Errorf("implicit: %s, %v", location, err)
	}
}
