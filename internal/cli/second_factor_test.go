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

// An operator sees which second factors a user has, never their secrets, and takes them
// away from somebody who has lost everything; that is audited (MF-04).
func TestUserSecondFactor(t *testing.T) {
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
		if code := cli.Main(append(args, "--data", c.Data), strings.NewReader(""), &out, &out, nil); code != want {
			t.Fatalf("%q: %d\n%s", args, code, &out)
		}
		return out.String()
	}
	run(0, "user", "create", "--username", "alice")
	u, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(0, "user", "show", "alice", "--json"); !strings.Contains(out, `"second_factor": false`) || strings.Contains(out, "second_factors") {
		t.Errorf("without one: %s", out)
	}
	if out := run(1, "user", "second-factor", "remove", "alice"); !strings.Contains(out, `user "alice" has no second factor`) {
		t.Errorf("removing none: %s", out)
	}
	app := &store.AuthenticatorApp{ID: "app-1", UserID: u.ID, Sealed: "the-sealed-secret", CreatedAt: time.Now()}
	if _, err := s.Store.AddAuthenticatorApp(t.Context(), app, u.Epoch, []string{"hash-1", "hash-2"}, store.By{Actor: u.ID}); err != nil {
		t.Fatal(err)
	}
	out := run(0, "user", "show", "alice", "--json")
	for _, text := range []string{`"second_factor": true`, `"kind": "authenticator_app"`, `"recovery_codes": 2`} {
		if !strings.Contains(out, text) {
			t.Errorf("no %s in %s", text, out)
		}
	}
	if out += run(0, "user", "show", "alice"); strings.Contains(out, "the-sealed-secret") || strings.Contains(out, "hash-1") {
		t.Errorf("it shows secrets: %s", out)
	}
	if out := run(0, "user", "second-factor", "remove", "Alice", "--json"); !strings.Contains(out, `"second_factor": false`) {
		t.Errorf("removed: %s", out)
	}
	events, err := s.Store.Events(t.Context(), "", 1)
	if err != nil || len(events) != 1 || events[0].Kind != store.EventSecondFactorRemoved || events[0].By.Actor != "cli" || events[0].UserID != u.ID {
		t.Errorf("event %+v, %v", events, err)
	}
	run(1, "user", "second-factor", "remove", "nobody")
	run(2, "user", "second-factor", "remove")
}
