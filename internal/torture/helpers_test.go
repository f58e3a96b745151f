package torture_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// three are three servers on one empty PostgreSQL database, not started yet.
func three(t *testing.T, environment ...string) (f *torture.Fleet, dsn string) {
	t.Helper()
	dsn = dbtest.DSN(t)
	return torture.New(t, torture.Options{Program: program(t), Servers: 3, DSN: dsn, Plain: true, Environment: environment}), dsn
}

// apps are one client with one browser, once at each server.
func apps(t *testing.T, f *torture.Fleet, c *torture.Client, scopes ...string) []*oauthtest.App {
	t.Helper()
	var all []*oauthtest.App
	for _, r := range f.Replicas {
		s := f.Server(r.Via())
		a := &oauthtest.App{Server: s, Browser: s.Browser(t), Config: oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: oauthtest.Callback, Scopes: scopes}}
		all = append(all, a.At(oauthtest.AllAddresses[0]))
	}
	return all
}

// redeem exchanges a code and wants tokens for it.
func redeem(t *testing.T, a *oauthtest.App, code string) (access, refresh string) {
	t.Helper()
	answer := a.Server.Post(t, "/token", codeForm(a, code))
	wantStatus(t, "redeem", answer, http.StatusOK)
	return answer.Text("access_token"), answer.Text("refresh_token")
}

func codeForm(a *oauthtest.App, code string) url.Values {
	return a.Credentials("grant_type", "authorization_code", "code", code, "redirect_uri", oauthtest.Callback)
}

func wantStatus(t *testing.T, what string, answer *oauthtest.Answer, status int) {
	t.Helper()
	if answer.StatusCode != status {
		t.Errorf("%s: %d %s, want %d", what, answer.StatusCode, answer.Body, status)
	}
}

// forgiven is what a machine that does other things too may take beyond a promise.
const forgiven = 2 * time.Second

// within wants something to become so in the time that is promised. How late our own
// sleep ends tells what the machine did meanwhile, which is forgiven.
func within(t *testing.T, promised time.Duration, what string, so func() bool) {
	t.Helper()
	nap := min(max(promised/100, 10*time.Millisecond), 200*time.Millisecond)
	began, stolen := time.Now(), forgiven
	for !so() {
		if time.Since(began) > promised+stolen {
			t.Fatalf("%s: not so after %v, promised within %v", what, time.Since(began), promised)
		}
		asleep := time.Now()
		time.Sleep(nap)
		stolen += time.Since(asleep) - nap
	}
}

// at once calls f so many times at the same moment.
func atOnce(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			f(i)
		})
	}
	done.Wait()
}
