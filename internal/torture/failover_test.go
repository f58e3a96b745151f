package torture_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/torture"
)

// The primary dies, or its machine hangs, and the synchronous standby is promoted: the
// servers find it by themselves, by an address that names both or by one that moves.
// Nothing that was acknowledged is lost, and nothing is honoured twice (DB-03).
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		named bool // in the address
		die   func(primary *dbtest.Server) error
	}{
		"killed, both are named":       {true, func(s *dbtest.Server) error { return s.Stop(dbtest.Kill) }},
		"hangs for good, both named":   {true, (*dbtest.Server).Pause},
		"killed, the address moves":    {false, func(s *dbtest.Server) error { return s.Stop(dbtest.Kill) }},
		"hangs, and the address moves": {false, (*dbtest.Server).Pause},
	} {
		t.Run(name, func(t *testing.T) {
			primary := dbtest.Start(t, dbtest.Options{})
			standby := primary.Standby(t, true)
			dsn, err := url.Parse(primary.DSN(dbtest.Database))
			must(t, err)
			if tt.named {
				dsn.Host += "," + standby.Addr()
				dsn.RawQuery += "&target_session_attrs=read-write"
			}
			f := torture.New(t, torture.Options{Program: program(t), Servers: 3, DSN: dsn.String(), Plain: tt.named})
			run := newRun(t, f, 4, seed(t))
			f.Start(t)
			ctx, stop := context.WithCancel(t.Context())
			var working sync.WaitGroup
			working.Go(func() { run.Work(ctx) })
			time.Sleep(2 * time.Second)
			breaker := &torture.Breaker{Fleet: f, History: run.History}
			must(t, breaker.Do(torture.Breakage{
				Name: "failover", Replicas: f.Replicas, Length: time.Second,
				Hurt: func() error { return tt.die(primary) },
				Heal: func() error {
					if err := standby.Promote(); err != nil {
						return err
					}
					for _, r := range f.Replicas {
						if r.Proxy != nil {
							r.Proxy.Retarget(standby.DSN(dbtest.Database))
						}
					}
					return nil
				},
			}))
			time.Sleep(2 * time.Second)
			stop()
			working.Wait()
			run.Finish(t.Context())
			judge(t, run)
			t.Logf("%d requests: %s", len(run.History.Operations), run.History.Sum())
		})
	}
}
