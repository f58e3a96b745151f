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
	"strings"
)

// The two roles of a cluster, and the database that each cluster has from the start.
const (
	superuser = "postgres"
	role      = "hufu"
	Database  = "hufu" // empty, owned by the ordinary role
)

// initdb's words. Passwords are compared by MD5: SCRAM has both sides hash each of them
// thousands of times over, and tests open a great many connections. The collation is that
// of an ordinary operator's database: it does not sort by bytes, as SQLite does, and no
// locale of the system is needed for it.
var initdbArgs = []string{
	"--username=" + superuser, "--auth=md5", "--encoding=UTF8", "--locale=C.UTF-8",
	"--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions",
}

// newCluster makes a cluster in dir/data, which does not exist, and returns the
// password of its roles. It is a copy of one that is made once per version of
// PostgreSQL, since initdb takes far longer than copying.
func newCluster(dir string) (password string, err error) {
	installed, err := version()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(installed + strings.Join(initdbArgs, " ")))
	var template string
	err = alone(func(common string) error {
		template = filepath.Join(common, "template-"+hex.EncodeToString(key[:8]))
		if _, err := os.Stat(template); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return makeTemplate(filepath.Join(common, "making"), template)
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

// makeTemplate makes the cluster that others are copies of. It is made in dir, and
// gets its name when it is whole.
func makeTemplate(dir, template string) error {
	if err := os.RemoveAll(dir); err != nil { // of one who was killed at it
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
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
	err := run("postgres", "CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'\nCREATE DATABASE "+Database+" OWNER "+role+"\n",
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
