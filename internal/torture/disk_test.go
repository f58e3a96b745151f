package torture_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // looks at the file afterwards

	"github.com/hufu-auth/hufu/internal/torture"
)

// smallDisk is a file system that is soon full. Whoever may not mount one has no
// business here: see asRoot.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	must(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=16m,mode=0700"))
	t.Cleanup(func() { must(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	return folder
}

// asRoot runs a test in a user namespace of its own where it may mount, unless it may
// anyway. It reports whether the test is to go on here.
func asRoot(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	self, err := os.Executable()
	must(t, err)
	output, err := exec.CommandContext(t.Context(), "unshare", "--map-root-user", "--mount", self, "-test.v", "-test.run", "^"+t.Name()+"$").CombinedOutput()
	if err != nil {
		t.Errorf("in a namespace of its own: %v", err)
	}
	t.Logf("%s", output)
	return false
}

// fill takes all the space that is left on a disk, and returns how to give it back.
func fill(folder string) (empty func() error, err error) {
	name := filepath.Join(folder, "filler")
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err = file.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, errors.Join(err, file.Close())
	}
	return func() error { return os.Remove(name) }, file.Close()
}

// wantSound reads a whole SQLite file and fails when something in it is damaged.
func wantSound(t *testing.T, r *torture.Replica) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.Data(), "hufu.db")+"?_pragma=busy_timeout(5000)")
	must(t, err)
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %q, %v", verdict, err)
	}
}

// On a disk that is full nothing is acknowledged that is not stored: what must be
// stored is refused, and the server says that it is not ready. When there is space
// again it serves as before, also one that was killed meanwhile, and the database is
// sound (DB-04).
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if !asRoot(t) {
		return
	}
	disk := smallDisk(t)
	f := torture.New(t, torture.Options{Program: program(t), Folder: disk})
	run := newRun(t, f, 4, seed(t))
	f.Start(t)
	r := f.Replicas[0]
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { run.Work(ctx) })
	breaker := &torture.Breaker{Fleet: f, History: run.History}
	for _, name := range []string{"disk full", "disk full, and killed", "disk full again"} {
		time.Sleep(500 * time.Millisecond)
		var empty func() error
		b := torture.Breakage{Name: name, Replicas: f.Replicas, Length: time.Second, Stops: name == "disk full, and killed"}
		b.Hurt = func() (err error) {
			if empty, err = fill(disk); err != nil {
				return err
			}
			within(t, 20*time.Second, "not ready", func() bool {
				status, _ := r.Get(t.Context(), "/readyz")
				return status == http.StatusServiceUnavailable
			})
			return nil
		}
		b.Heal = func() error {
			if !b.Stops {
				return empty()
			}
			r.Kill()
			return errors.Join(empty(), r.Launch())
		}
		must(t, breaker.Do(b))
	}
	time.Sleep(500 * time.Millisecond)
	stop()
	working.Wait()
	run.Finish(t.Context())
	judge(t, run)
	r.Kill()
	wantSound(t, r)
	away := 0
	for _, o := range run.History.Operations {
		if o.Answer == torture.Away {
			away++
		}
		if o.Answer == torture.Away && o.Kind == torture.IntrospectAccess {
			t.Error("nothing had to be stored for an introspection, and it was refused")
		}
	}
	if away == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%d requests: %s", len(run.History.Operations), run.History.Sum())
}
