package login_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/web"
)

// A hasher tells how many are in its slots and how many wait, and when each of them
// had its turn.
func TestHasherLoad(t *testing.T) {
	t.Parallel()
	h := login.NewHasher(1, 2)
	begun, turn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}, 3)
	h.Watch = func() func() {
		begun <- struct{}{}
		<-turn
		return func() { ended <- struct{}{} }
	}
	want := func(waiting, running int) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			w, r := h.Load()
			if w == waiting && r == running {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("waiting %d, running %d, want %d and %d", w, r, waiting, running)
			}
		}
	}
	want(0, 0)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, err := h.Hash(t.Context(), "correct horse battery"); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := 2; waiting >= 0; waiting-- {
		<-begun
		want(waiting, 1)
		turn <- struct{}{}
	}
	all.Wait()
	want(0, 0)
	if len(ended) != 3 {
		t.Errorf("%d of 3 were seen to end", len(ended))
	}
}

// A password matches its own hash and no other text does; salts differ, and
// nothing is cut off (PW-01, PW-02).
func TestHasher(t *testing.T) {
	t.Parallel()
	h := login.NewHasher(2, 10)
	long := strings.Repeat("a", login.MaxPassword)
	for _, password := range []string{"correct horse battery", "密码密码密码密码密码", "with\x00NUL", long} {
		hash, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(hash) {
			t.Errorf("stored as %s", hash)
		}
		if again, err := h.Hash(t.Context(), password); err != nil || again == hash {
			t.Errorf("hashed again: %s, %v", again, err)
		}
		for _, tt := range []struct {
			try  string
			want bool
		}{{password, true}, {password + "a", false}, {password[:len(password)-1], false}, {strings.ToUpper(password) + "!", false}, {"", false}} {
			if match, stale, err := h.Check(t.Context(), hash, tt.try); match != tt.want || stale || err != nil {
				t.Errorf("%.20q against the hash of %.20q: %t, stale %t, %v", tt.try, password, match, stale, err)
			}
		}
	}
}

// Hashes of other makers are read at their own cost, and told to be made anew
// (PW-01). The first is from the test vectors of the Argon2 reference code.
func TestHasherForeign(t *testing.T) {
	t.Parallel()
	h := login.NewHasher(1, 1)
	for name, tt := range map[string]struct {
		hash, password string
		match          bool
	}{
		"reference":        {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", true},
		"wrong":            {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "Password", false},
		"of nothing":       {cheapHash(""), "", false}, // an empty password never matches (RO-04)
		"nobody":           {"", "", false},
		"nobody, anything": {"", "anything", false},
		"cheap":            {cheapHash("password"), "password", true},
	} {
		match, stale, err := h.Check(t.Context(), tt.hash, tt.password)
		if match != tt.match || stale != (tt.hash != "") || err != nil {
			t.Errorf("%s: %t, stale %t, %v; want %t", name, match, stale, err, tt.match)
		}
	}
	if _, _, err := h.Check(t.Context(), "$2a$10$abcdefghijklmnopqrstuv", "password"); err == nil {
		t.Error("a hash of another kind was read")
	}
}

// cheapHash is a hash at the lowest cost, for tests that are not about cost.
func cheapHash(password string) string {
	salt := []byte("0123456789abcdef")
	return phcOf(salt, argon2.IDKey([]byte(password), salt, 1, 8, 1, 32))
}

// At most so many hash at once and so many wait; the next is told to come back,
// and one that stops waiting makes room (PW-03).
func TestHasherQueue(t *testing.T) {
	t.Parallel()
	h := login.NewHasher(0, 2) // no slot ever comes free
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := h.Hash(ctx, "password")
			ended <- err
		}()
	}
	refused := func() error {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := h.Check(gone, "", "password")
		return err
	}
	for !strings.Contains(refused().Error(), "full") {
		time.Sleep(time.Millisecond) // until both wait
	}
	busy, ok := errors.AsType[*web.StatusError](refused())
	if !ok || busy.Status != http.StatusServiceUnavailable || busy.RetryAfter < time.Second {
		t.Errorf("the third: %v", refused())
	}
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("one that stopped waiting: %v", err)
		}
	}
	if err := refused(); !errors.Is(err, context.Canceled) {
		t.Errorf("after both have gone: %v", err)
	}
}

// Slots are given back, whatever came of the check.
func TestHasherSlots(t *testing.T) {
	t.Parallel()
	h := login.NewHasher(2, 100)
	cheap := cheapHash("password")
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() {
			hash, password := cheap, "password"
			if i%2 == 0 {
				hash = "damaged"
			}
			match, _, err := h.Check(t.Context(), hash, password)
			if (err == nil) != (i%2 == 1) || match != (i%2 == 1) {
				t.Errorf("%d: %t, %v", i, match, err)
			}
		})
	}
	callers.Wait()
}

// What is stored reads as it was written; nothing else does, and no hash asks for
// more than a server can bear.
func FuzzParsePHC(f *testing.F) {
	for _, seed := range []string{
		login.Nobody, cheapHash("x"), "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$$", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19x$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=08,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=8,t=1,p=1 and more$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=4294967295,t=4294967295,p=255$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"", "$$$$$", "$2b$12$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		again, memory, passes, threads, err := login.ParsePHC(text)
		if err != nil {
			return
		}
		if again != text || memory > 1<<20 || passes < 1 || passes > 100 || threads < 1 {
			t.Errorf("%q reads as %q, %d KiB, %d passes, %d threads", text, again, memory, passes, threads)
		}
	})
}
