package torture_test

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// However often two callers race for one code, at one server or at two of three, one
// of them gets tokens, and those are dead when the other has his refusal: 10,000 races
// at one, 1,000 over three (CO-01, CO-06, RE-01).
func TestDoubleRedemption(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		servers, races int
		dsn            func(testing.TB) string
	}{
		"one server":    {1, 10_000, func(testing.TB) string { return "" }},
		"three servers": {3, 1_000, dbtest.DSN},
	} {
		t.Run(name, func(t *testing.T) {
			f := torture.New(t, torture.Options{Program: program(t), Servers: tt.servers, DSN: tt.dsn(t), Plain: true})
			f.User(t, "alice")
			c := app(t, f, "app", 0)
			f.Start(t)
			r := newRacers(t, f, c)
			var racing sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(tt.races))
			for range 6 {
				racing.Go(func() {
					for left.Add(-1) >= 0 {
						r.race(t)
					}
				})
			}
			racing.Wait()
			if n := r.races.Load(); n != int64(tt.races) {
				t.Errorf("%d races, want %d", n, tt.races)
			}
		})
	}
}

// racers are two callers at servers of a fleet.
type racers struct {
	by      []*oauthtest.App
	cookies []*http.Cookie
	races   atomic.Int64
}

func newRacers(t *testing.T, f *torture.Fleet, c *torture.Client) *racers {
	t.Helper()
	r := &racers{by: apps(t, f, c, "read")}
	r.by[0].Authorize(t, "alice", "")
	r.cookies = r.by[0].Browser.Cookies(t)
	return r
}

// race gets a code and presents it twice at the same moment.
func (r *racers) race(t *testing.T) {
	n := int(r.races.Add(1))
	a := r.by[n%len(r.by)]
	request := a.Server.Request(t, http.MethodGet, a.AuthCodeURL("state"), "")
	for _, c := range r.cookies {
		request.AddCookie(c)
	}
	location, err := url.Parse(a.Server.Do(t, request).Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		t.Errorf("no code in %s, %v", location, err)
		return
	}
	form := codeForm(a, location.Query().Get("code"))
	var answers [2]*oauthtest.Answer
	atOnce(2, func(i int) { answers[i] = r.by[(n+i)%len(r.by)].Server.Post(t, "/token", form) })
	won, lost := answers[0], answers[1]
	if won.StatusCode != http.StatusOK {
		won, lost = lost, won
	}
	if won.StatusCode != http.StatusOK || lost.StatusCode != http.StatusBadRequest || lost.Text("error") != "invalid_grant" {
		t.Errorf("race %d: %d %s and %d %s", n, won.StatusCode, won.Body, lost.StatusCode, lost.Body)
		return
	}
	if n%20 == 0 && r.by[(n+2)%len(r.by)].Active(t, won.Text("access_token")) {
		t.Errorf("race %d: the tokens of a code that was used twice are good", n)
	}
}
