package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hufu-auth/hufu/internal/store"
)

// SQLite's own lock on the file stands while the store is open: a descriptor of
// the file that this process opened and closed besides would have dropped it, and
// another program would then throw the log away under the server (KL-01).
func TestOpenKeepsLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hufu.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
	must(t, err)
	defer s.Close()
	must(t, s.Ready(t.Context()))
	var stat syscall.Stat_t
	must(t, syscall.Stat(path, &stat))
	locks, err := os.ReadFile("/proc/locks")
	must(t, err)
	if !strings.Contains(string(locks), fmt.Sprintf(":%d ", stat.Ino)) {
		t.Errorf("no lock on the database in\n%s", locks)
	}
}
