package dbtest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// errClosed is what is left after Run has cleaned up.
var errClosed = errors.New("dbtest: the tests are over")

// home is the directory of this test process. All test processes of an account share
// a directory above it, with the clusters that were made ready for copying.
var home struct {
	sync.Mutex
	dir  string
	lock *os.File // held as long as we live
}

// enterHome makes the directory of this process, once, and removes those of
// processes that ended without doing so.
func enterHome() (string, error) {
	home.Lock()
	defer home.Unlock()
	if home.dir != "" {
		return home.dir, nil
	}
	err := alone(func(common string) error {
		if err := sweep(common); err != nil {
			return err
		}
		dir, err := os.MkdirTemp(common, "run-")
		if err != nil {
			return err
		}
		lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_EX)
		if err != nil {
			return err
		}
		home.dir, home.lock = dir, lock
		return os.Chmod(dir, 0o711)
	})
	if err != nil {
		return "", fmt.Errorf("dbtest: make a directory: %w", err)
	}
	return home.dir, nil
}

// leaveHome removes the directory of this process.
func leaveHome() error {
	home.Lock()
	defer home.Unlock()
	if home.dir == "" {
		return nil
	}
	err := alone(func(string) error { // so that nobody sweeps here
		return errors.Join(os.RemoveAll(home.dir), home.lock.Close())
	})
	if err != nil {
		return fmt.Errorf("dbtest: clean up: %w", err)
	}
	home.dir = ""
	return nil
}

// alone calls f with the directory that all test processes of this account share,
// while no other process is in here.
func alone(f func(common string) error) error {
	common := filepath.Join(os.TempDir(), "hufu-dbtest-"+strconv.Itoa(os.Geteuid()))
	err := os.Mkdir(common, 0o700)
	switch {
	case err == nil:
		err = os.Chmod(common, 0o711) // servers run as somebody else and pass through
	case errors.Is(err, fs.ErrExist):
		err = nil
	}
	if err != nil {
		return err
	}
	// The name can be guessed, so somebody else may have been here first.
	info, err := os.Lstat(common)
	if err != nil {
		return err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; !info.IsDir() || int(owner) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory of ours alone", common)
	}
	lock, err := lockFile(filepath.Join(common, "lock"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	return f(common)
}

// lockFile opens a file and takes its lock, which goes with the file's last
// descriptor.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes the directories of processes that are no more.
func sweep(common string) error {
	dirs, err := filepath.Glob(filepath.Join(common, "run-*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue // its process lives
		}
		// What its server, ended a moment ago, still writes stays for the next.
		servers, _ := filepath.Glob(filepath.Join(dir, "server-*", "data"))
		for _, data := range servers {
			_ = freeMemory(data)
		}
		_ = os.RemoveAll(dir)
		lock.Close()
	}
	return nil
}

// ports are those that servers of this process have, whether they run or not.
var ports struct {
	sync.Mutex
	file  *os.File
	taken map[int]bool
}

// freePort finds a port of 127.0.0.1 that is ours until we end, so that a server that
// is stopped finds its port again: it is below those that the kernel gives away, and
// no other test process takes it, which would answer to the same password.
func freePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.file == nil {
		err := alone(func(common string) (err error) {
			ports.file, err = os.OpenFile(filepath.Join(common, "ports"), os.O_CREATE|os.O_RDWR, 0o600)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("dbtest: find a port: %w", err)
		}
		ports.taken = map[int]bool{}
	}
	for range 100 {
		port := 10000 + rand.IntN(20000)
		if ports.taken[port] {
			continue
		}
		// The byte of that number is locked until the process ends.
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(port), Len: 1}
		if err := syscall.FcntlFlock(ports.file.Fd(), syscall.F_SETLK, &lock); err != nil {
			continue
		}
		ports.taken[port] = true
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("dbtest: no free port from 10000 to 29999")
}
