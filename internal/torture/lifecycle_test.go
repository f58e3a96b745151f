package torture_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// A server that is asked to stop finishes what it has accepted, also what still waits
// for its turn, is gone in time, and its exit code is 0; the others serve on (KL-12).
func TestTerminateUnderLoad(t *testing.T) {
	t.Parallel()
	f, _ := three(t, "HUFU_PASSWORD_HASH_SLOTS=1")
	f.User(t, "alice")
	c := f.Register(t, "--grant", "password", "--grant", "refresh_token", "--scope", "read")
	f.Start(t)
	by := apps(t, f, c, "read")
	for round := range 3 {
		r, a := f.Replicas[round], by[round]
		const callers = 8
		atOnce(callers, func(int) { wantStatus(t, "connect", a.Server.Get(t, "/healthz"), http.StatusOK) }) // connections that are kept
		var answers [callers]*oauthtest.Answer
		first := make(chan struct{}, callers)
		var asking sync.WaitGroup
		for i := range callers {
			asking.Go(func() {
				answers[i] = a.Server.Post(t, "/token", a.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
				first <- struct{}{}
			})
		}
		<-first // they are hashed one after another, so the others have been accepted
		began := time.Now()
		must(t, r.Terminate())
		asking.Wait()
		if took := time.Since(began); took > 15*time.Second+forgiven {
			t.Errorf("the server stopped after %v", took)
		}
		other := by[(round+1)%3]
		for _, answer := range answers {
			wantStatus(t, "accepted before the signal", answer, http.StatusOK)
			if !other.Active(t, answer.Text("access_token")) {
				t.Error("what was acknowledged is not there")
			}
			wantStatus(t, "refresh", other.Refresh(t, oauthtest.AllAddresses[0], answer.Text("refresh_token")), http.StatusOK)
		}
		start(t, r)
	}
}

// A second server on one SQLite file refuses to start and says why, and leaves the
// first alone; when that was killed, another starts at once. On PostgreSQL there may be
// as many as one likes, also in one data directory.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		folder := t.TempDir()
		var fleets []*torture.Fleet
		for range 2 {
			fleets = append(fleets, torture.New(t, torture.Options{Program: program(t), Folder: folder, Environment: []string{"HUFU_MASTER_KEY="}}))
		}
		first, second := fleets[0].Replicas[0], fleets[1].Replicas[0]
		start(t, first)
		must(t, second.Launch())
		err := second.AwaitReady()
		if err == nil || !strings.Contains(err.Error(), "running on this database") || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("the second server: %v", err)
		}
		if status, _ := first.Get(t.Context(), "/readyz"); status != http.StatusOK {
			t.Errorf("the first server: %d", status)
		}
		first.Kill()
		start(t, second)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		f, _ := three(t)
		f.Start(t)
		if !sameKeys(t, f, 2) {
			t.Error("the servers have different keys")
		}
	})
}
