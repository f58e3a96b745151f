package dbtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	if err := os.RemoveAll(home.dir); err != nil {
		return fmt.Errorf("dbtest: clean up: %w", err)
	}
	home.dir = ""
	return home.lock.Close()
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

// The two roles of a cluster, and the database that each cluster has from the start.
const (
	superuser = "postgres"
	role      = "hufu"
	Database  = "hufu" // empty, owned by the ordinary role
)

// initdb's words. The collation is that of an ordinary operator's database: it does
// not sort by bytes, as SQLite does, and no locale of the system is needed for it.
var initdbArgs = []string{
	"--username=" + superuser, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
	"--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions",
}

// newCluster makes a cluster in dir/data, which does not exist, and returns the
// password of its roles. It is a copy of one that is made once per version of
// PostgreSQL, since initdb takes far longer than copying.
func newCluster(dir string) (password string, err error) {
	version, err := version()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(version + strings.Join(initdbArgs, " ")))
	var template string
	err = alone(func(common string) error {
		template = filepath.Join(common, "template-"+hex.EncodeToString(key[:8]))
		if _, err := os.Stat(template); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return makeTemplate(common, template)
	})
	if err != nil {
		return "", fmt.Errorf("dbtest: make a cluster: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(template, "password"))
	if err != nil {
		return "", fmt.Errorf("dbtest: make a cluster: %w", err)
	}
	if err := copyTree(filepath.Join(template, "data"), filepath.Join(dir, "data")); err != nil {
		return "", fmt.Errorf("dbtest: copy a cluster: %w", err)
	}
	return strings.TrimSpace(string(secret)), nil
}

// makeTemplate makes the cluster that others are copies of. It gets its name when
// it is whole.
func makeTemplate(common, template string) error {
	dir, err := os.MkdirTemp(common, "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	password := rand.Text()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	if err := errors.Join(give(file), give(dir)); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := run("initdb", "", append([]string{"--pgdata=" + data, "--pwfile=" + file}, initdbArgs...)...); err != nil {
		return err
	}
	err = run("postgres", "CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'\nCREATE DATABASE "+Database+" OWNER "+role+"\n",
		"--single", "-D", data, "-c", "fsync=off", "postgres")
	if err != nil {
		return err
	}
	return os.Rename(dir, template)
}

// copyTree copies the directories and files of a cluster and gives them to the
// account that servers run as. Modes are those PostgreSQL asks for.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if entry.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			err = copyFile(path, target)
		}
		return errors.Join(err, give(target))
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
