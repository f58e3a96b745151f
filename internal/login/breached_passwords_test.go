package login_test

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/web"
)

// breachedList writes a list of the passwords made of the numbers below n, and opens it.
func breachedList(t testing.TB, n int, end string) *login.BreachedPasswords {
	t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%X:%d%s", sha1.Sum([]byte(breachedPassword(i))), i%1000*i+1, end)
	}
	slices.Sort(lines)
	return openBreached(t, strings.Join(lines, ""))
}

func breachedPassword(i int) string { return fmt.Sprintf("violet otter %d", i) }

func openBreached(t testing.TB, text string) *login.BreachedPasswords {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := login.OpenBreachedPasswords(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	})
	return list
}

// The operator's list refuses what is in it, first and last, and nothing else (PW-04).
func TestBreachedPasswords(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 70, 100, 5000} {
			list := breachedList(t, n, end)
			if err := list.Verify(); err != nil {
				t.Errorf("%d lines: %v", n, err)
			}
			policy := login.PasswordPolicy{Breached: list}
			for i := range 2 * n {
				err := policy.Check(breachedPassword(i), "alice")
				refused, ok := errors.AsType[*login.PasswordError](err)
				if (ok && refused.Problem == web.PasswordBreached) != (i < n) || !ok && err != nil {
					t.Errorf("%d of %d: %v", i, n, err)
				}
			}
		}
	}
	list := openBreached(t, strings.ToLower(fmt.Sprintf("%x", sha1.Sum([]byte("violet \u00e9tude 1"))))+":7") // no end of line, small letters
	for _, password := range []string{"violet \u00e9tude 1", "violet e\u0301tude 1"} {
		if known, err := list.Holds(password); !known || err != nil {
			t.Errorf("%q: %t, %v", password, known, err)
		}
	}
}

// What is no list in order is told when a server starts, also when only a part of it is
// not; what breaks later is an error and never an acceptance.
func TestBreachedPasswordsRefused(t *testing.T) {
	t.Parallel()
	hash := func(i int) string { return fmt.Sprintf("%040X", i) }
	var ordered, byCount, late strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&ordered, "%s:%d\r\n", hash(i), i)
		fmt.Fprintf(&byCount, "%X:%d\r\n", sha1.Sum([]byte{byte(i), byte(i >> 8)}), 1_000_000-i)
	}
	late.WriteString(ordered.String())
	late.WriteString(ordered.String()[:1<<20])
	for name, tt := range map[string]struct{ text, want string }{
		"empty":          {"", "empty"},
		"no hashes":      {"password\nletmein\n", "at byte 0 stands no SHA-1"},
		"no counts":      {hash(1) + "\n" + hash(2) + "\n", "no SHA-1"},
		"NTLM":           {hash(1)[:32] + ":1\n", "no SHA-1"},
		"not hex":        {strings.Repeat("G", 40) + ":1\n", "no SHA-1"},
		"count in words": {hash(1) + ":many\n", "no SHA-1"},
		"two swapped":    {hash(1) + ":1\n" + hash(3) + ":1\n" + hash(2) + ":1\n", "not ordered by hash"},
		"twice":          {hash(1) + ":1\n" + hash(1) + ":1\n", "not ordered by hash"},
		"by count":       {byCount.String(), "not ordered by hash"},
		"begins anew":    {late.String(), "not ordered by hash"},
		"binary":         {strings.Repeat("\x00\x01\xff", 5000), "no SHA-1"},
		"one long line":  {hash(1) + ":" + strings.Repeat("1", 9000), ""},
	} {
		err := openBreached(t, tt.text).Verify()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := openBreached(t, ordered.String()).Verify(); err != nil {
		t.Errorf("in order: %v", err)
	}
	if _, err := login.OpenBreachedPasswords(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}
	damaged := openBreached(t, strings.Repeat("x", 10_000))
	if known, err := damaged.Holds("violet otter 1"); known || err == nil {
		t.Error("a damaged list answers")
	}
	policy := login.PasswordPolicy{Breached: damaged}
	if err := policy.Check("violet otter 1"); err == nil || errors.As(err, new(*login.PasswordError)) {
		t.Errorf("with a damaged list: %v", err)
	}
}

// FuzzBreachedPasswords: a list that passes for one finds each of its lines.
func FuzzBreachedPasswords(f *testing.F) {
	f.Add(fmt.Sprintf("%X:1\n", sha1.Sum([]byte("a"))), "a")
	f.Add("0:1\n", "")
	f.Fuzz(func(t *testing.T, text, password string) {
		list := openBreached(t, text)
		if list.Verify() != nil {
			_, _ = list.Holds(password)
			return
		}
		known, err := list.Holds(password)
		if want := strings.Contains(strings.ToUpper(text), fmt.Sprintf("%X:", sha1.Sum([]byte(password)))); isASCII(password) && (known != want || err != nil) {
			t.Errorf("%q: %t, %v, want %t", password, known, err, want)
		}
	})
}

// BenchmarkBreachedPasswords looks passwords up in a list of a million, some 46 MB.
func BenchmarkBreachedPasswords(b *testing.B) {
	list := breachedList(b, 1_000_000, "\r\n")
	for i := 0; b.Loop(); i++ {
		if known, err := list.Holds(breachedPassword(i % 2_000_000)); err != nil || known != (i%2_000_000 < 1_000_000) {
			b.Fatal(i, known, err)
		}
	}
}
