package torture_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// A route leads to one server, and later to another.
type route struct{ http.RoundTripper }

// A flow that begins at one server goes on at the next when the first dies, step by
// step, and what it brings is good at one that was not there meanwhile (RE-01).
func TestReplicasFlow(t *testing.T) {
	t.Parallel()
	f, _ := three(t)
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--grant", "authorization_code", "--grant", "refresh_token", "--scope", "read")
	f.Start(t)
	by := apps(t, f, c, "read")
	way := &route{f.Replicas[0].Via()}
	browser := f.Server(way).Browser(t)

	browser.Open(t, by[0].AuthCodeURL("state-1"))
	f.Replicas[0].Kill()
	way.RoundTripper = f.Replicas[1].Via()
	browser.SignIn(t, "alice")
	f.Replicas[1].Kill()
	way.RoundTripper = f.Replicas[2].Via()
	browser.Approve(t)
	code := browser.Location(t).Query().Get("code")
	if code == "" || browser.Location(t).Query().Get("state") != "state-1" {
		t.Fatalf("the flow ended at %s", browser.Location(t))
	}
	start(t, f.Replicas[0])
	access, refresh := redeem(t, by[0], code)
	f.Replicas[2].Kill()
	start(t, f.Replicas[1])
	if !by[1].Active(t, access) {
		t.Error("a server does not know what another has given out")
	}
	wantStatus(t, "refresh elsewhere", by[1].Refresh(t, oauthtest.AllAddresses[0], refresh), http.StatusOK)
	wantStatus(t, "the code again elsewhere", by[1].Server.Post(t, "/token", codeForm(by[1], code)), http.StatusBadRequest)
	if by[0].Active(t, access) {
		t.Error("what was used twice is still good elsewhere")
	}
}

func start(t *testing.T, r *torture.Replica) {
	t.Helper()
	if err := r.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := r.AwaitReady(); err != nil {
		t.Fatal(err)
	}
}

// keySet is the key set as a server publishes it.
func keySet(t *testing.T, r *torture.Replica) []byte {
	t.Helper()
	status, body := r.Get(t.Context(), "/jwks")
	if status != http.StatusOK {
		t.Fatalf("server %d: /jwks: %d", r.Number, status)
	}
	return body
}

// sameKeys reports whether all servers publish the same keys, so many.
func sameKeys(t *testing.T, f *torture.Fleet, keys int) bool {
	t.Helper()
	first := keySet(t, f.Replicas[0])
	for _, r := range f.Replicas[1:] {
		if !bytes.Equal(first, keySet(t, r)) {
			return false
		}
	}
	return bytes.Count(first, []byte(`"kid"`)) == keys
}

// Servers that are started together on an empty database make its schema and its keys
// once, and publish the same. A rotation by command is published by all within a
// second, and so is the removal of a key (RE-02, RE-12, KY-02).
func TestReplicasKeys(t *testing.T) {
	t.Parallel()
	f, dsn := three(t)
	f.Start(t)
	if n := dbtest.Count(t, dsn, `SELECT COUNT(*) - COUNT(DISTINCT version_id) FROM goose_db_version`); n != 0 {
		t.Errorf("%d migrations were run twice", n)
	}
	if !sameKeys(t, f, 2) {
		t.Errorf("keys after the start: %s and %s", keySet(t, f.Replicas[0]), keySet(t, f.Replicas[1]))
	}
	f.Command(t, "", "key", "rotate")
	within(t, time.Second, "the new keys are published by all", func() bool { return sameKeys(t, f, 4) })
	_, kid, _ := strings.Cut(string(keySet(t, f.Replicas[1])), `"kid":"`)
	kid, _, _ = strings.Cut(kid, `"`)
	f.Command(t, "", "key", "remove", kid)
	within(t, time.Second, "the removed key is gone everywhere", func() bool {
		return sameKeys(t, f, 4) && !bytes.Contains(keySet(t, f.Replicas[2]), []byte(kid)) // it has a successor
	})
}

// What one server has revoked is refused by all others at once: a token, a grant, and
// what ends with a session (RE-12, RT-06).
func TestReplicasRevocation(t *testing.T) {
	t.Parallel()
	f, _ := three(t)
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--grant", "authorization_code", "--grant", "refresh_token", "--scope", "openid", "--scope", "read", "--trusted")
	f.Start(t)
	for name, end := range map[string]func(t *testing.T, a *oauthtest.App, access, refresh string){
		"access token": func(t *testing.T, a *oauthtest.App, access, _ string) {
			wantStatus(t, "revoke", a.Server.Post(t, "/revoke", a.Credentials("token", access)), http.StatusOK)
		},
		"grant": func(t *testing.T, a *oauthtest.App, _, refresh string) {
			wantStatus(t, "revoke", a.Server.Post(t, "/revoke", a.Credentials("token", refresh)), http.StatusOK)
		},
		"sign-out": func(t *testing.T, a *oauthtest.App, _, _ string) {
			a.Browser.Open(t, "/end-session")
			a.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			scope := "read"
			if name == "sign-out" {
				scope = "openid" // such a grant ends with its session
			}
			by := apps(t, f, c, scope)
			for i, a := range by {
				access, refresh := redeem(t, a, a.Authorize(t, "alice", ""))
				if !by[(i+1)%3].Active(t, access) {
					t.Fatal("the token is not good before")
				}
				end(t, a, access, refresh)
				for _, other := range by {
					if other.Active(t, access) {
						t.Errorf("a token that server %d has ended is good elsewhere", i)
					}
				}
				if refresh == "" || name == "access token" {
					continue
				}
				wantStatus(t, "refresh elsewhere", by[(i+1)%3].Refresh(t, oauthtest.AllAddresses[0], refresh), http.StatusBadRequest)
			}
		})
	}
}

// What an operator does by command is in force at all servers: at once where the
// database is asked, and within a second where a copy is kept (RE-12, RT-06, CO-07,
// CA-08).
func TestReplicasCommands(t *testing.T) {
	t.Parallel()
	f, _ := three(t)
	for _, name := range []string{"alice", "bob"} {
		f.User(t, name)
	}
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--grant", "authorization_code", "--grant", "refresh_token", "--grant", "client_credentials", "--scope", "read", "--trusted")
	f.Start(t)
	by := apps(t, f, c, "read")
	clientToken := func(a *oauthtest.App) int {
		return a.Server.Post(t, "/token", a.Credentials("grant_type", "client_credentials")).StatusCode
	}
	everywhere := func(what string, status int) {
		t.Helper()
		within(t, time.Second, what, func() bool {
			return clientToken(by[0]) == status && clientToken(by[1]) == status && clientToken(by[2]) == status
		})
	}
	live := func(name string) []string { // a refresh token from each server
		var tokens []string
		for _, a := range by {
			_, refresh := redeem(t, a, a.Authorize(t, name, ""))
			tokens = append(tokens, refresh)
		}
		return tokens
	}
	refused := func(what string, tokens []string) {
		t.Helper()
		for i, token := range tokens {
			if answer := by[(i+1)%3].Refresh(t, oauthtest.AllAddresses[0], token); answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", what, answer.StatusCode, answer.Body)
			}
		}
	}
	everywhere("before", http.StatusOK)

	f.Command(t, "", "client", "update", c.ID, "--grant", "authorization_code", "--grant", "refresh_token")
	everywhere("a grant type was taken away", http.StatusBadRequest)
	f.Command(t, "", "client", "update", c.ID, "--grant", "authorization_code", "--grant", "refresh_token", "--grant", "client_credentials")
	everywhere("and given back", http.StatusOK)

	tokens, others := live("alice"), apps(t, f, c, "read")
	f.Command(t, "", "user", "disable", "alice")
	refused("a user who is disabled", tokens)
	_, spared := redeem(t, others[0], others[0].Authorize(t, "bob", ""))
	wantStatus(t, "another user", others[1].Refresh(t, oauthtest.AllAddresses[0], spared), http.StatusOK)

	by = apps(t, f, c, "read") // without alice's session
	tokens = live("bob")
	f.Command(t, "", "revoke-all")
	refused("after revoke-all", tokens)
	tokens = live("bob")

	f.Command(t, "", "client", "delete", c.ID)
	refused("a client that is deleted", tokens)
	everywhere("a client that is deleted", http.StatusUnauthorized)
}

// Limits are those of all servers together: three of them give a guesser no more
// tries than one, be it a password or the secret of a client. The right secret is
// never held up (RO-02, CA-06).
func TestReplicasLimits(t *testing.T) {
	t.Parallel()
	f, _ := three(t)
	f.User(t, "alice")
	c := f.Register(t, "--grant", "password", "--grant", "client_credentials", "--scope", "read")
	f.Start(t)
	by := apps(t, f, c, "read")
	for name, tt := range map[string]struct {
		form     func(a *oauthtest.App) []string
		judged   int // status of a guess that was looked at
		burst    int
		interval time.Duration
	}{
		"password": {func(*oauthtest.App) []string {
			return []string{"grant_type", "password", "username", "alice", "password", "a guess"}
		}, http.StatusBadRequest, 8, 30 * time.Second},
		"secret": {func(*oauthtest.App) []string {
			return []string{"grant_type", "client_credentials", "client_secret", "a guess at a secret"}
		}, http.StatusUnauthorized, 10, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var judged, refused atomic.Int64
			began := time.Now()
			atOnce(12, func(i int) {
				for n := range 3 {
					a := by[(i+n)%3]
					form := a.Credentials()
					for p := tt.form(a); len(p) > 0; p = p[2:] {
						form.Set(p[0], p[1])
					}
					switch answer := a.Server.Post(t, "/token", form); answer.StatusCode {
					case tt.judged:
						judged.Add(1)
					case http.StatusTooManyRequests:
						refused.Add(1)
					default:
						t.Errorf("%d %s", answer.StatusCode, answer.Body)
					}
				}
			})
			most := int64(tt.burst) + int64(time.Since(began)/tt.interval) + 1
			if judged.Load() > most || judged.Load() < int64(tt.burst) || refused.Load() == 0 {
				t.Errorf("%d guesses were looked at and %d refused, want %d to %d looked at", judged.Load(), refused.Load(), tt.burst, most)
			}
		})
	}
	for _, a := range by {
		wantStatus(t, "the right secret", a.Server.Post(t, "/token", a.Credentials("grant_type", "client_credentials")), http.StatusOK)
	}
}

// A server with another master key than the database's refuses to start, says why, and
// changes nothing (OP-03).
func TestReplicasMasterKey(t *testing.T) {
	t.Parallel()
	f, dsn := three(t)
	f.Start(t)
	before := dbtest.Count(t, dsn, `SELECT COUNT(*) FROM key_ring`)
	other := torture.New(t, torture.Options{Program: program(t), DSN: dsn, Plain: true})
	if err := other.Replicas[0].Launch(); err != nil {
		t.Fatal(err)
	}
	err := other.Replicas[0].AwaitReady()
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "this is not the master key the database was sealed with") {
		t.Errorf("the server with another key: %v", err)
	}
	if after := dbtest.Count(t, dsn, `SELECT COUNT(*) FROM key_ring`); after != before || !sameKeys(t, f, 2) {
		t.Errorf("%d keys afterwards, want %d", after, before)
	}
}

// What must be done by itself is done once, however many servers there are, and goes
// on when those that did it are gone: expired rows disappear, and aged keys get one
// successor each (RE-02, KY-01).
func TestReplicasJobs(t *testing.T) {
	t.Parallel()
	f, dsn := three(t, "HUFU_CODE_LIFETIME=1s")
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--grant", "authorization_code", "--scope", "read", "--trusted")
	dbtest.Exec(t, dsn, fmt.Sprintf(`UPDATE key_ring SET created_at = created_at - %d, active_at = active_at - %[1]d`, 100*24*3600))
	f.Start(t)
	by := apps(t, f, c, "read")
	grants := func() int { // without those of a sign-in, which are kept for as long as its page may come back
		return dbtest.Count(t, dsn, `SELECT COUNT(*) FROM oauth_grant WHERE request_id IS NULL`)
	}
	populate := func(a *oauthtest.App) {
		for range 50 {
			a.Authorize(t, "alice", "")
		}
	}
	populate(by[0])
	within(t, 15*time.Second, "expired grants are gone", func() bool { return grants() == 0 })
	signing := `SELECT COUNT(*) FROM key_ring WHERE purpose LIKE 'sign:%'`
	within(t, 70*time.Second, "aged keys have successors", func() bool { return dbtest.Count(t, dsn, signing) >= 4 })
	f.Replicas[0].Kill()
	f.Replicas[1].Kill()
	populate(by[2])
	within(t, 45*time.Second, "expired grants are gone, whoever is left", func() bool { return grants() == 0 })
	if n := dbtest.Count(t, dsn, signing); n != 4 {
		t.Errorf("%d signing keys, want two and a successor for each", n)
	}
	if n := dbtest.Count(t, dsn, `SELECT COUNT(*) FROM event WHERE kind = 'key.rotated'`); n != 2 {
		t.Errorf("%d rotations, want one for each key", n)
	}
}

// A server whose machine dies in the middle of a transaction, so that nobody tells the
// database, holds what it had locked for a few seconds and no longer: the others serve
// that grant again, and clients can be changed (DB-02).
func TestReplicaDiesInTransaction(t *testing.T) {
	t.Parallel()
	dsn := dbtest.DSN(t)
	f := torture.New(t, torture.Options{Program: program(t), Servers: 2, DSN: dsn})
	f.User(t, "alice")
	c := f.Register(t, "--redirect-uri", oauthtest.Callback, "--trusted", "--scope", "read", "--grant", "authorization_code", "--grant", "refresh_token")
	f.Start(t)
	by := apps(t, f, c, "read")
	_, refresh := redeem(t, by[0], by[0].Authorize(t, "alice", ""))
	proxy := f.Replicas[0].Proxy
	proxy.Delay(200 * time.Millisecond)
	var revoking sync.WaitGroup
	revoking.Go(func() { by[0].Server.Post(t, "/revoke", by[0].Credentials("token", refresh)) })
	within(t, 10*time.Second, "the row is locked", func() bool {
		return dbtest.Count(t, dsn, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xid IS NOT NULL`) > 0
	})
	proxy.Hang()
	revoking.Wait()
	f.Replicas[0].Kill() // and nothing of that reaches the database
	within(t, 10*time.Second, "others serve the grant", func() bool {
		return by[1].Refresh(t, oauthtest.AllAddresses[0], refresh).StatusCode == http.StatusOK
	})
	f.Command(t, "", "client", "update", c.ID, "--name", "still here")
}
