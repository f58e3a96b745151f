package issuer_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-auth/hufu/internal/issuer"
)

func readKey(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	must(t, err)
	return key
}

// The file is made once, whoever races for it, for its owner alone, and everybody
// ends up with the key that is in it (KY-03).
func TestMasterFileMadeOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		folder := filepath.Join(t.TempDir(), "data")
		path := filepath.Join(folder, "master.key")
		masters := make([]*issuer.Master, 16)
		var callers sync.WaitGroup
		for i := range masters {
			callers.Go(func() {
				m, err := issuer.LoadMasterFile(path, false)
				if err != nil {
					t.Error(err)
				}
				masters[i] = m
			})
		}
		callers.Wait()
		stored, err := issuer.NewMaster(readKey(t, path))
		must(t, err)
		for i, m := range masters {
			if m == nil || m.Check() != stored.Check() {
				t.Fatalf("caller %d has another key than the file", i)
			}
		}
		for name, mode := range map[string]fs.FileMode{folder: 0o700 | fs.ModeDir, path: 0o600} {
			info, err := os.Stat(name)
			must(t, err)
			if info.Mode() != mode {
				t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
			}
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	}
}

// A database that was sealed needs its key: none is made in its place, and a file
// that holds none is neither used nor replaced.
func TestMasterFileRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := issuer.LoadMasterFile(path, true); !errors.Is(err, issuer.ErrNoMasterKey) {
		t.Errorf("missing: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made for a sealed database: %v", err)
	}
	for name, content := range map[string]string{
		"empty": "", "garbage": "not base64 !!", "short": base64.StdEncoding.EncodeToString(make([]byte, 31)), "long": base64.StdEncoding.EncodeToString(make([]byte, 33)),
	} {
		must(t, os.WriteFile(path, []byte(content), 0o600))
		for _, sealed := range []bool{true, false} {
			if _, err := issuer.LoadMasterFile(path, sealed); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: the file holds %q now, %v", name, got, err)
		}
	}
	must(t, os.WriteFile(path, []byte("  "+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\r\n"), 0o600))
	if _, err := issuer.LoadMasterFile(path, true); err != nil {
		t.Errorf("a key somebody typed: %v", err)
	}
	for _, size := range []int{0, 16, 31, 33, 64} {
		if _, err := issuer.NewMaster(make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes was taken", size)
		}
	}
}

// A new key takes the place of the old one whole; one that waits for the database
// to be sealed with it does so when it has been, and not before.
func TestReplaceMasterFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	must(t, issuer.ReplaceMasterFile(path, first))
	must(t, issuer.FinishReplacement(path, master(t, 1).Check())) // nothing waits
	must(t, issuer.ReplaceMasterFile(path+issuer.NextMaster, second))
	must(t, issuer.FinishReplacement(path, master(t, 1).Check()))
	if !bytes.Equal(readKey(t, path), first) {
		t.Error("the waiting key took its place before its time")
	}
	must(t, issuer.FinishReplacement(path, master(t, 2).Check()))
	if !bytes.Equal(readKey(t, path), second) {
		t.Error("the waiting key did not take its place")
	}
	if _, err := os.Stat(path + issuer.NextMaster); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it still waits: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
