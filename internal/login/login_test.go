package login_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

func phcOf(salt, key []byte) string {
	return "$argon2id$v=19$m=8,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key)
}

// A bench is an authenticator whose time stands still until it is moved, and that
// notes how long it would have slept.
type bench struct {
	*login.Authenticator
	now   time.Time
	slept atomic.Int64
}

var by = store.By{Actor: "test"}

func newBench(t testing.TB) *bench {
	t.Helper()
	s, err := store.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{now: time.Unix(1_800_000_000, 0)}
	b.Authenticator = &login.Authenticator{
		Store: s, Hasher: login.NewHasher(2, 200), Now: func() time.Time { return b.now },
		Sleep: func(_ context.Context, wait time.Duration) error {
			b.slept.Add(int64(wait))
			return nil
		},
	}
	return b
}

// user makes a user whose password is "right"; its hash is a cheap one.
func (b *bench) user(t testing.TB, name, hash string) *store.User {
	t.Helper()
	u := &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: hash, CreatedAt: b.now}
	if err := b.Store.CreateUser(t.Context(), u, by); err != nil {
		t.Fatal(err)
	}
	return u
}

// from is the context of a request from an address.
func from(t testing.TB, address string) (ctx context.Context) {
	t.Helper()
	edge := &web.Edge{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.RemoteAddr = address + ":1"
	edge.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })).ServeHTTP(httptest.NewRecorder(), r)
	return ctx
}

// statusOf is 200 for a success, 401 for a wrong password, and else the status of
// the refusal.
func statusOf(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return http.StatusOK
	}
	if errors.Is(err, login.ErrWrong) {
		return http.StatusUnauthorized
	}
	if e, ok := errors.AsType[*web.StatusError](err); ok {
		return e.Status
	}
	t.Fatalf("neither right nor wrong: %v", err)
	return 0
}

func (b *bench) try(t testing.TB, address, username, password string) int {
	t.Helper()
	_, err := b.Check(from(t, address), login.Attempt{Username: username, Password: password})
	return statusOf(t, err)
}

// Who gets in, and that every refusal is the same (LG-01, RO-04, RO-06).
func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hash := cheapHash("right")
	b.user(t, "alice", hash)
	disabled := b.user(t, "disabled", hash)
	deleted := b.user(t, "deleted", hash)
	b.user(t, "passkey", "")
	for _, err := range []error{b.Store.DisableUser(t.Context(), disabled.ID, b.now, by), b.Store.DeleteUser(t.Context(), deleted.ID, b.now, by)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		username, password string
		want               int
	}{
		"right":                 {"alice", "right", 200},
		"another spelling":      {" ＡLICE ", "right", 200},
		"wrong":                 {"alice", "wrong", 401},
		"other case":            {"alice", "Right", 401},
		"empty":                 {"alice", "", 401},
		"longer than the bound": {"alice", "right" + string(make([]byte, login.MaxPassword)), 401},
		"unknown":               {"nobody", "right", 401},
		"no possible name":      {"a b", "right", 401},
		"empty name":            {"", "right", 401},
		"disabled":              {"disabled", "right", 401},
		"deleted":               {"deleted", "right", 401},
		"without a password":    {"passkey", "", 401},
		"without, guessed":      {"passkey", "right", 401},
	} {
		if got := b.try(t, "192.0.2.1", tt.username, tt.password); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	user, err := b.Store.UserByName(t.Context(), "alice")
	if err != nil || user.Password == hash || user.Epoch != 1 {
		t.Errorf("the cheap hash was not replaced at the first success: %+v, %v (PW-01)", user, err)
	}
}

// Guessing at one account is refused after a few failures, from that network, for
// all spellings of the name and whether it exists or not; it opens again step by
// step, and stays open elsewhere (LG-02, LG-04, LG-05).
func TestGuessingOneAccount(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alice", "nobody"} {
		b := newBench(t)
		b.user(t, "alice", cheapHash("right"))
		for i := range 8 {
			spelling := []string{name, " " + name, name + "\t"}[i%3]
			if got := b.try(t, fmt.Sprint("192.0.2.", i), spelling, "wrong"); got != 401 {
				t.Fatalf("%s, guess %d: %d", name, i+1, got)
			}
		}
		_, err := b.Check(from(t, "192.0.2.99"), login.Attempt{Username: name, Password: "right"})
		refused, ok := errors.AsType[*web.StatusError](err)
		if !ok || refused.Status != http.StatusTooManyRequests || refused.RetryAfter <= 0 || refused.RetryAfter > 30*time.Second {
			t.Errorf("%s, guess 9: %v", name, err)
		}
		right := map[string]int{"alice": 200, "nobody": 401}[name]
		if got := b.try(t, "198.51.100.1", name, "right"); got != right {
			t.Errorf("%s from elsewhere: %d, want %d", name, got, right)
		}
		b.now = b.now.Add(30 * time.Second)
		if got := b.try(t, "192.0.2.1", name, "wrong"); got != 401 {
			t.Errorf("%s after half a minute: %d", name, got)
		}
		if got := b.try(t, "192.0.2.1", name, "wrong"); got != 429 {
			t.Errorf("%s, twice after half a minute: %d", name, got)
		}
		b.now = b.now.Add(4 * time.Minute)
		if got := b.try(t, "192.0.2.1", name, "right"); got != right {
			t.Errorf("%s after minutes: %d, want %d", name, got, right)
		}
		if b.slept.Load() != 0 {
			t.Errorf("%s: somebody was delayed by %v", name, time.Duration(b.slept.Load()))
		}
	}
}

// Successes are never counted, however many there are, nor do they give more
// guesses than there were (LG-02).
func TestSuccessesAreNotCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t, "alice", cheapHash("right"))
	for i := range 7 {
		if got := b.try(t, "192.0.2.1", "alice", "wrong"); got != 401 {
			t.Fatalf("guess %d: %d", i+1, got)
		}
	}
	for i := range 12 {
		if got := b.try(t, "192.0.2.1", "alice", "right"); got != 200 {
			t.Fatalf("success %d: %d", i+1, got)
		}
	}
	if got := b.try(t, "192.0.2.1", "alice", "wrong"); got != 401 {
		t.Errorf("guess 8: %d", got)
	}
	if got := b.try(t, "192.0.2.1", "alice", "wrong"); got != 429 {
		t.Errorf("guess 9: %d", got)
	}
}

// A browser this user has signed in with has a budget of its own, which no
// stranger can use up and which is bounded all the same (LG-04).
func TestKnownDevice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t, "alice", cheapHash("right"))
	for range 20 {
		b.try(t, "192.0.2.1", "alice", "wrong")
	}
	device := func(device, password string) int {
		_, err := b.Check(from(t, "192.0.2.1"), login.Attempt{Username: "alice", Password: password, Device: device})
		return statusOf(t, err)
	}
	if got := device("known", "right"); got != 200 {
		t.Errorf("the owner on her device: %d", got)
	}
	for i := range 10 {
		if got := device("known", "wrong"); got != 401 {
			t.Errorf("guess %d on the device: %d", i+1, got)
		}
	}
	if got := device("known", "right"); got != 429 {
		t.Errorf("guess 11 on the device: %d", got)
	}
	if got := device("another", "right"); got != 200 {
		t.Errorf("on another device: %d", got)
	}
}

// A guess that is spread over many networks is delayed and never refused, and so
// is an address that has failed a hundred times; nobody else feels it (LG-03,
// LG-04).
func TestGuessingDelays(t *testing.T) {
	t.Parallel()
	guess := func(t *testing.T, b *bench, from, username func(i int) string) {
		t.Helper()
		for i := range 100 {
			if got := b.try(t, from(i), username(i), "wrong"); got != 401 {
				t.Fatalf("guess %d: %d", i+1, got)
			}
		}
		if b.slept.Load() != 0 {
			t.Errorf("the first hundred were delayed by %v", time.Duration(b.slept.Load()))
		}
	}
	networks := func(i int) string { return fmt.Sprintf("10.0.%d.1", i) }
	for name, tt := range map[string]struct {
		from, username func(i int) string
		// who is delayed, and who is not
		delayed, free [2]string
	}{
		"one account, many networks": {networks, func(int) string { return "alice" }, [2]string{"203.0.113.1", "alice"}, [2]string{"10.0.1.1", "bob"}},
		"many accounts, one address": {func(int) string { return "203.0.113.1" }, func(i int) string { return fmt.Sprint("user", i) }, [2]string{"203.0.113.1", "alice"}, [2]string{"203.0.113.2", "alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.user(t, "alice", cheapHash("right"))
			b.user(t, "bob", cheapHash("right"))
			for i := range 100 {
				b.user(t, fmt.Sprint("user", i), cheapHash("right"))
			}
			guess(t, b, tt.from, tt.username)
			if got := b.try(t, tt.free[0], tt.free[1], "right"); got != 200 || b.slept.Load() != 0 {
				t.Errorf("%s: %d, delayed by %v", tt.free, got, time.Duration(b.slept.Load()))
			}
			if got := b.try(t, tt.delayed[0], tt.delayed[1], "right"); got != 200 || b.slept.Load() == 0 {
				t.Errorf("%s: %d, delayed by %v", tt.delayed, got, time.Duration(b.slept.Load()))
			}
		})
	}
}

// Attempts are counted before the password is checked: of a hundred at once no
// more are judged than the limit allows (LG-07).
func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t, "alice", cheapHash("right"))
	var judged atomic.Int64
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			_, err := b.Check(from(t, "192.0.2.1"), login.Attempt{Username: "alice", Password: fmt.Sprint("guess ", i)})
			if errors.Is(err, login.ErrWrong) {
				judged.Add(1)
			}
		})
	}
	callers.Wait()
	if judged.Load() != 8 {
		t.Errorf("%d guesses were judged, want 8", judged.Load())
	}
}

// Many sign-ins of one user at once are no guessing: those that get an answer in
// time get in.
func TestParallelSuccesses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t, "alice", cheapHash("right"))
	var callers sync.WaitGroup
	for range 40 {
		callers.Go(func() {
			if _, err := b.Check(from(t, "192.0.2.1"), login.Attempt{Username: "alice", Password: "right"}); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
}

// A caller who does not wait for the answer is not counted when the password was
// right.
func TestSuccessOfOneWhoLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t, "alice", cheapHash("right"))
	b.Hasher = login.NewHasher(0, 1) // nobody is ever judged
	for range 20 {
		ctx, cancel := context.WithTimeout(from(t, "192.0.2.1"), 5*time.Millisecond)
		if _, err := b.Check(ctx, login.Attempt{Username: "alice", Password: "right"}); err == nil || errors.Is(err, login.ErrWrong) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	b.Hasher = login.NewHasher(1, 1)
	if got := b.try(t, "192.0.2.1", "alice", "right"); got != 200 {
		t.Errorf("later: %d", got)
	}
}

// A verified address stands for the name of its user: it signs in, shares the bucket and
// the devices of that account, and one that stands for nobody is a name that nobody has
// (LG-05, LG-02).
func TestSignInByAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hash := cheapHash("right")
	add := func(name, email string, verified bool) {
		t.Helper()
		u := &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: hash, Email: email, EmailVerified: verified, CreatedAt: b.now}
		if err := b.Store.CreateUser(t.Context(), u, by); err != nil {
			t.Fatal(err)
		}
	}
	add("alice", "alice@example.com", true)
	add("typed", "typed@example.com", false)
	add("one", "shared@example.com", true)
	add("two", "shared@example.com", true)
	for name, want := range map[string]int{
		"alice@example.com": 200, " Alice@EXAMPLE.com ": 200, "typed@example.com": 401, "shared@example.com": 401, "nobody@example.com": 401, "alice@": 401,
	} {
		if got := b.try(t, "192.0.2.1", name, "right"); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
	var asked []string
	_, err := b.Check(from(t, "192.0.2.1"), login.Attempt{Username: "ALICE@example.com", Password: "right", DeviceOf: func(key string) string {
		asked = append(asked, key)
		return ""
	}})
	if err != nil || len(asked) != 1 || asked[0] != "alice" {
		t.Errorf("devices of %q, %v", asked, err)
	}
	for i := range 8 {
		b.try(t, "192.0.2.9", []string{"alice", "alice@example.com"}[i%2], "wrong")
	}
	for _, name := range []string{"alice", "alice@example.com", "ALICE"} {
		if got := b.try(t, "192.0.2.9", name, "right"); got != 429 {
			t.Errorf("%q behind eight guesses: %d", name, got)
		}
	}
}
