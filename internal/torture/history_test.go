package torture_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// How long a history is to be, and which: `make torture` sets these.
const (
	faultsVariable = "TORTURE_FAULTS"
	seedVariable   = "TORTURE_SEED"
)

// faults and seed are what a run is told.
func faults(t *testing.T, short int) int {
	t.Helper()
	return int(number(t, faultsVariable, uint64(short)))
}

func seed(t *testing.T) uint64 {
	t.Helper()
	return number(t, seedVariable, rand.Uint64())
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// perHistory is how many faults one history has; a long run is several of them, each
// with an end at which nothing is broken and everything is looked at again.
const perHistory = 25

// torment runs a fleet under faults and judges what its clients saw.
func torment(t *testing.T, f *torture.Fleet, database *dbtest.Server, short int) {
	t.Helper()
	left, seed := faults(t, short), seed(t)
	run := newRun(t, f, 6, seed)
	f.Start(t)
	breaker := &torture.Breaker{Fleet: f, Database: database, Seed: seed}
	requests := 0
	for left > 0 && !t.Failed() {
		run.History = torture.NewHistory()
		breaker.History = run.History
		ctx, stop := context.WithCancel(t.Context())
		var working sync.WaitGroup
		working.Go(func() { run.Work(ctx) })
		breaker.Break(t, min(left, perHistory))
		stop()
		working.Wait()
		run.Finish(t.Context())
		judge(t, run)
		left -= perHistory
		requests += len(run.History.Operations)
		t.Logf("%d faults of %d kinds, %d requests, %d grants: %s", breaker.Faults(), breaker.Kinds(), requests, len(run.History.Grants), run.History.Sum())
	}
}

// newRun makes clients and people for a fleet that does not run yet.
func newRun(t *testing.T, f *torture.Fleet, people int, seed uint64) *torture.Run {
	t.Helper()
	run := &torture.Run{Fleet: f, Seed: seed, History: torture.NewHistory()}
	run.Apps = []*torture.Client{app(t, f, "app", 30*time.Second), app(t, f, "quick", 2*time.Second, "--token-format", "opaque")}
	run.Service = f.Register(t, "--id", "service", "--grant", "client_credentials", "--scope", "read")
	for i := range people {
		run.Users = append(run.Users, fmt.Sprint("user-", i))
		f.User(t, run.Users[i])
	}
	return run
}

// judge fails the test for what cannot be true in a history.
func judge(t *testing.T, run *torture.Run) {
	t.Helper()
	for i, verdict := range torture.Judge(run.History) {
		if i == 5 {
			t.Error("and more")
			break
		}
		t.Errorf("%s=%d: %s", seedVariable, run.Seed, verdict)
	}
}

// app registers a client that a browser with a session gets codes for at once.
func app(t *testing.T, f *torture.Fleet, id string, grace time.Duration, flags ...string) *torture.Client {
	t.Helper()
	c := f.Register(t, append([]string{"--id", id, "--trusted", "--scope", "read", "--redirect-uri", oauthtest.Callback, "--access-token-lifetime", "1h",
		"--grant", "authorization_code", "--grant", "refresh_token", "--refresh-token-grace", grace.String()}, flags...)...)
	c.Grace = grace
	return c
}

// Clients redeem, refresh, revoke and introspect at three servers on one PostgreSQL
// database while connections are cut, answers are lost, servers are killed and the
// database is restarted. Whatever they were told can be true (RE-01, RE-12, DB-01,
// DB-02, DB-03, KL-01, KL-12, CO-01, RT-01, RT-02, RT-07, RT-08).
func TestHistoryPostgres(t *testing.T) {
	t.Parallel()
	database := dbtest.Start(t, dbtest.Options{Durable: true})
	f := torture.New(t, torture.Options{Program: program(t), Servers: 3, DSN: database.DSN(dbtest.Database)})
	torment(t, f, database, 12)
}

// The same on the file of one server that is killed and stopped.
func TestHistorySQLite(t *testing.T) {
	t.Parallel()
	torment(t, torture.New(t, torture.Options{Program: program(t)}), nil, 12)
}
