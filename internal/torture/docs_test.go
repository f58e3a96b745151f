package torture_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// blocks are the texts of a kind in a section of docs/operations.md.
func blocks(t *testing.T, section, kind string) (found []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	must(t, err)
	_, text, _ := strings.Cut(string(page), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for i, part := range strings.Split(text, "```") {
		if block, ok := strings.CutPrefix(part, kind+"\n"); i%2 == 1 && ok {
			found = append(found, block)
		}
	}
	if len(found) == 0 {
		t.Fatalf("docs/operations.md has no %s under %s", kind, section)
	}
	return found
}

// What the guide says to write is taken as it stands there: the configuration of a
// server behind a balancer, with which it also starts, and the addresses of databases.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	key := make([]byte, 32)
	rand.Read(key)
	must(t, os.WriteFile(filepath.Join(secrets, "hufu-database"), []byte(dbtest.DSN(t)+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(secrets, "hufu-master-key"), []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600))
	configuration := filepath.Join(t.TempDir(), "hufu.yaml")
	text := strings.ReplaceAll(blocks(t, "Behind a balancer", "yaml")[0], "/run/secrets", secrets)
	must(t, os.WriteFile(configuration, []byte(text), 0o600))
	run := func(words ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), program(t), words...)
		command.Dir = t.TempDir()
		var said bytes.Buffer
		command.Stdout, command.Stderr = &said, &said
		if err := command.Run(); err != nil {
			t.Errorf("hufu %s: %v: %s", words, err, said.String())
		}
	}
	run("config", "check", "--config", configuration)
	run("key", "list", "--config", configuration)
	for _, address := range blocks(t, "Failover", "text") {
		run("config", "check", "--database", strings.TrimSpace(address))
	}
}
