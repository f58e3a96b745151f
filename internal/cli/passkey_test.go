package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/cli"
	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// An operator sees which passkeys a user has, and removes one that was lost; that is
// audited, and the last means to sign in stays (MF-04).
func TestUserPasskey(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Data = t.TempDir()
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	s, err := server.OpenParts(t.Context(), c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := cli.Main(append([]string{"--data", c.Data}, args...), strings.NewReader(""), &out, &out, nil); code != want {
			t.Fatalf("%q: %d\n%s", args, code, &out)
		}
		return out.String()
	}
	run(0, "user", "create", "--username", "alice")
	u, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second", "-third"} {
		p := &store.Passkey{ID: id, UserID: u.ID, PublicKey: "key", Name: "My " + id, CreatedAt: time.Now()}
		if err := s.Store.AddPasskey(t.Context(), p, store.Challenge{Text: id}, store.By{Actor: u.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if out := run(0, "user", "show", "alice", "--json"); !strings.Contains(out, `"id": "first"`) || !strings.Contains(out, `"name": "My second"`) {
		t.Errorf("shown: %s", out)
	}
	if out := run(1, "user", "passkey", "remove", "alice", "fourth"); !strings.Contains(out, `user "alice" has no passkey "fourth"`) {
		t.Errorf("removing none: %s", out)
	}
	run(0, "user", "passkey", "remove", "alice", "--", "-third")
	run(0, "user", "passkey", "remove", "Alice", "first")
	events, err := s.Store.Events(t.Context(), "", 1)
	if err != nil || len(events) != 1 || events[0].Kind != store.EventPasskeyRemoved || events[0].By.Actor != "cli" || events[0].UserID != u.ID {
		t.Errorf("event %+v, %v", events, err)
	}
	if out := run(1, "user", "passkey", "remove", "alice", "second"); !strings.Contains(out, "set a password first") {
		t.Errorf("removing the last: %s", out)
	}
	run(1, "user", "passkey", "remove", "nobody", "first")
	run(2, "user", "passkey", "remove", "alice")
}
