package spec_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// tryFrom sends the sign-in form of a browser from an address, "" for its own,
// and keeps nothing of the answer in the browser.
func tryFrom(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser, address, username, password string) *oauthtest.Answer {
	t.Helper()
	r := formRequest(t, b, s, "login-form", url.Values{"username": {username}, "password": {password}, "action": {"login"}})
	if address != "" {
		r.Header.Set("X-Forwarded-For", address)
	}
	return s.Do(t, r)
}

// stranger is a fresh browser with the sign-in page open.
func stranger(t *testing.T, s *oauthtest.Server) *oauthtest.Browser {
	t.Helper()
	b := s.Browser(t)
	b.Open(t, s.URL+"/login")
	return b
}

var errorPattern = regexp.MustCompile(`(?s)<div[^>]* id="login-error"[^>]*>.*?</div>`)

// loginError is the message on the sign-in page.
func loginError(answer *oauthtest.Answer) string {
	return html.UnescapeString(tagPattern.ReplaceAllString(errorPattern.FindString(string(answer.Body)), ""))
}

var tagPattern = regexp.MustCompile(`<[^>]*>`)

// makeUser makes a user with a hash of any kind, as an import does.
func makeUser(t *testing.T, s *oauthtest.Server, name, hash string) *store.User {
	t.Helper()
	u := &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: hash, CreatedAt: s.Clock.Now(), Epoch: 1}
	if err := s.Store.CreateUser(t.Context(), u, theOperator); err != nil {
		t.Fatal(err)
	}
	return u
}

// Whatever is wrong with a name and a password, the page says the same with the
// same status (LG-01, RO-04).
func TestLogin_OneRefusalForAll(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	s.User(t, "disabled")
	if err := s.Store.DisableUser(t.Context(), theUser(t, s, "disabled").ID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	makeUser(t, s, "keyless", "")
	variable := regexp.MustCompile(`(name="(?:request|form_token)" value|id="username" name="username" type="text" value|href)="[^"]*"`)
	var want string
	for name, try := range map[string][2]string{
		"wrong password": {"alice", "wrong horse"}, "unknown user": {"nobody", oauthtest.Password}, "disabled": {"disabled", oauthtest.Password},
		"no password set": {"keyless", oauthtest.Password}, "not a name": {"a b\tc", oauthtest.Password}, "longer than any name": {strings.Repeat("x", 500), oauthtest.Password},
		"longer than any password": {"alice", strings.Repeat("x", 1025)}, "other case": {"alice", strings.ToUpper(oauthtest.Password)}, "a space behind": {"alice", oauthtest.Password + " "},
		"hostile": {"' OR '1'='1' --", "<script>"},
	} {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, "/authorize"))
		b.Submit(t, "login-form", url.Values{"username": {try[0]}, "password": {try[1]}, "action": {"login"}})
		if b.Page.StatusCode != http.StatusUnprocessableEntity || !b.On("login-error") || !b.On("client-name") {
			t.Fatalf("%s: %d\n%s", name, b.Page.StatusCode, b.Page.Body)
		}
		page := variable.ReplaceAllString(string(b.Page.Body), "$1")
		page = strings.ReplaceAll(page, " autofocus", "")
		if want == "" {
			want = page
		}
		if page != want {
			t.Errorf("%s: the page differs:\n%s\nwant\n%s", name, page, want)
		}
		if strings.Contains(string(b.Page.Body), "horse") {
			t.Errorf("%s: the password is on the page", name)
		}
		for _, c := range b.Cookies(t) {
			if strings.Contains(c.Name, "session") || strings.Contains(c.Name, "device") {
				t.Errorf("%s: a refused sign-in set %s", name, c.Name)
			}
		}
	}
	// An empty half is told as such and checks nothing, not even for a user without
	// a password.
	for _, try := range [][2]string{{"alice", ""}, {"", oauthtest.Password}, {"", ""}, {"keyless", ""}} {
		b := stranger(t, s)
		answer := tryFrom(t, s, b, "", try[0], try[1])
		if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(loginError(answer), "enter your username and your password") {
			t.Errorf("%q: %d %s", try, answer.StatusCode, loginError(answer))
		}
	}
}

// A name that nobody has costs what a wrong password costs: both wait for a slot
// to compute a hash in, and are sent away when there is none, which counts against
// nobody (LG-01, LG-02).
func TestLogin_UnknownUserIsHashedToo(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.PasswordHashSlots, c.PasswordHashQueue = 1, 0 })
	s.User(t, "alice")
	makeUser(t, s, "keyless", "")
	b := stranger(t, s)
	var stop atomic.Bool
	var wait sync.WaitGroup
	wait.Go(func() { // somebody whose hash is slow holds the only slot
		slow := "$argon2id$v=19$m=32768,t=10,p=1$c29tZSBzYWx0c29tZQ$" + b64(make([]byte, 32))
		for !stop.Load() {
			_, _, _ = s.Hasher.Check(context.Background(), slow, "x") // or it was busy, and tries again
		}
	})
	defer wait.Wait()
	defer stop.Store(true)
	for _, name := range []string{"alice", "nobody", "keyless", "not a name", strings.Repeat("x", 500)} {
		busy := false
		for tries := 0; tries < 5 && !busy; tries++ {
			busy = tryFrom(t, s, b, "", name, "wrong horse").StatusCode == http.StatusServiceUnavailable
		}
		if !busy {
			t.Errorf("%.20s is refused without a hash", name)
		}
	}
	// Who was sent away was never judged, and so not counted.
	for range 12 {
		tryFrom(t, s, b, "", "alice", oauthtest.Password)
	}
	stop.Store(true)
	wait.Wait()
	if answer := tryFrom(t, s, b, "", "alice", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("the right password, once there is a slot: %d", answer.StatusCode)
	}
}

// Guesses at one account are counted together, whatever the entrance; behind a few
// the next is refused for a while, with 429 and Retry-After, right or wrong. A
// success is never counted (LG-02, RO-02, LG-04).
func TestLogin_GuessingOneAccount(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	b := stranger(t, s)
	page := func(password string) *oauthtest.Answer { return tryFrom(t, s, b, "", "alice", password) }
	grant := func(path string) func(password string) *oauthtest.Answer {
		return func(password string) *oauthtest.Answer {
			return s.Post(t, path, app.Credentials("grant_type", "password", "username", "alice", "password", password))
		}
	}
	entrances := []func(string) *oauthtest.Answer{page, grant("/token"), grant("/oauth2/password")}
	for range 12 { // more than would be let through if they counted
		for _, enter := range entrances {
			if answer := enter(oauthtest.Password); answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusSeeOther {
				t.Fatalf("a right password: %d", answer.StatusCode)
			}
		}
	}
	for i := range 8 {
		answer := entrances[i%3]("wrong horse")
		if answer.StatusCode != http.StatusUnprocessableEntity && answer.Text("error") != "invalid_grant" {
			t.Fatalf("guess %d: %d %s", i+1, answer.StatusCode, answer.Body)
		}
	}
	refusedEverywhere := func(password string) {
		t.Helper()
		for i, enter := range entrances {
			answer := enter(password)
			wait, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if answer.StatusCode != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 60 {
				t.Errorf("entrance %d: %d, Retry-After %q", i, answer.StatusCode, answer.Header.Get("Retry-After"))
			}
			if i == 0 && !strings.Contains(loginError(answer), "Too many attempts") {
				t.Errorf("the page says %q", loginError(answer))
			}
		}
	}
	refusedEverywhere("wrong horse")
	refusedEverywhere(oauthtest.Password)
	// The wait is short, being refused does not make it longer, and the owner gets in.
	s.Clock.Advance(31 * time.Second)
	if answer := page(oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("half a minute later: %d", answer.StatusCode)
	}
	entrances[2]("wrong horse")
	refusedEverywhere("wrong horse")
	s.Clock.Advance(5 * time.Minute)
	for range 8 {
		if answer := page("wrong horse"); answer.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("five minutes later: %d", answer.StatusCode)
		}
	}
}

// A guesser cannot lock the owner out: a browser that has signed in before and
// any other network still get in, and the guesser's page tells nothing of it
// (LG-04).
func TestLogin_OwnerIsNotLockedOut(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, behindProxy)
	s.User(t, "alice")
	s.User(t, "bob")
	owner, shared := stranger(t, s), stranger(t, s)
	owner.SignIn(t, "alice")
	shared.SignIn(t, "bob")
	attacker := stranger(t, s)
	for range 8 {
		tryFrom(t, s, attacker, "", "alice", "wrong horse")
	}
	owner.Open(t, s.URL+"/login")
	shared.Open(t, s.URL+"/login")
	forged := stranger(t, s)
	for name, tt := range map[string]struct {
		browser *oauthtest.Browser
		address string
		want    int
	}{
		"the attacker":                      {attacker, "", 429},
		"a neighbour of the attacker":       {attacker, "127.0.0.99", 429},
		"a new browser there":               {stranger(t, s), "", 429},
		"the owner's own browser":           {owner, "", 303},
		"a browser known for somebody else": {shared, "", 429},
		"another network":                   {forged, "203.0.113.7", 303},
		"another network, IPv6":             {forged, "2001:db8::1", 303},
	} {
		if answer := tryFrom(t, s, tt.browser, tt.address, "alice", oauthtest.Password); answer.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, tt.want)
		}
	}
	// Other accounts are not touched.
	if answer := tryFrom(t, s, attacker, "", "bob", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("another account from there: %d", answer.StatusCode)
	}
	// The known browser has a budget of its own, which is one too.
	last := 0
	for range 11 {
		last = tryFrom(t, s, owner, "", "alice", "wrong horse").StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("eleven wrong guesses in a known browser: %d", last)
	}
	if answer := tryFrom(t, s, stranger(t, s), "203.0.113.7", "alice", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("another network, after the known browser used its budget up: %d", answer.StatusCode)
	}
	// A cookie that is not ours makes nothing known.
	for _, value := range []string{"x", cookieNamed(t, owner, "hufu_device") + "A", cookieNamed(t, owner, "hufu_session"), strings.Repeat("A", 4000)} {
		r := formRequest(t, attacker, s, "login-form", url.Values{"username": {"alice"}, "password": {oauthtest.Password}, "action": {"login"}})
		r.AddCookie(&http.Cookie{Name: "hufu_device", Value: value})
		if answer := s.Do(t, r); answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("a forged device cookie: %d", answer.StatusCode)
		}
	}
}

// An address that is not a proxy's cannot choose which one it comes from, and
// behind proxies the right-most address that is not theirs counts (HP-02, LG-02).
func TestLogin_ForwardedForIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit    func(*config.Config)
		address func(i int) string
		want    int
		logged  string
	}{
		"no proxy is trusted":       {func(*config.Config) {}, func(i int) string { return fmt.Sprintf("203.0.%d.7", i) }, 429, "127.0.0.1"},
		"another proxy is trusted":  {func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, func(i int) string { return fmt.Sprintf("203.0.%d.7", i) }, 429, "127.0.0.1"},
		"what stands left of it":    {behindProxy, func(i int) string { return fmt.Sprintf("203.0.%d.7, 198.51.100.1", i) }, 429, "198.51.100.1"},
		"through two proxies":       {behindProxy, func(i int) string { return fmt.Sprintf("203.0.%d.7, 198.51.100.1, 127.0.0.9", i) }, 429, "198.51.100.1"},
		"garbage in front":          {behindProxy, func(i int) string { return fmt.Sprintf("203.0.%d.7, <script>", i) }, 429, "127.0.0.1"},
		"the right-most is changed": {behindProxy, func(i int) string { return fmt.Sprintf("203.0.%d.7", i) }, 422, "203.0.8.7"},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.Start(t, tt.edit)
			s.User(t, "alice")
			b := stranger(t, s)
			last := 0
			for i := range 9 {
				last = tryFrom(t, s, b, tt.address(i), "alice", "wrong horse").StatusCode
			}
			if last != tt.want {
				t.Errorf("the ninth guess: %d, want %d", last, tt.want)
			}
			if !strings.Contains(s.Log.String(), `"address":"`+tt.logged+`"`) || strings.Contains(s.Log.String(), "<script>") {
				t.Errorf("the log does not name %s", tt.logged)
			}
		})
	}
}

// All spellings of a name are one account and one bucket (LG-05).
func TestLogin_SpellingsOfOneName(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	s.User(t, "Zoë")
	for _, name := range []string{"alice", "Alice", "ALICE", " alice", "alice ", "\talice\n", "ａｌｉｃｅ", "ＡＬＩＣＥ", "\u2003alice\u00a0"} {
		if answer := tryFrom(t, s, stranger(t, s), "", name, oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%q: %d", name, answer.StatusCode)
		}
	}
	for _, name := range []string{"zoë", "ZOË", "zoe\u0308", "ZOE\u0308"} {
		if answer := tryFrom(t, s, stranger(t, s), "", name, oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%q: %d", name, answer.StatusCode)
		}
	}
	for _, name := range []string{"аlice", "alicе", "al1ce", "al ice", "alice\u200b", "\u202ealice", "alıce"} {
		if answer := tryFrom(t, s, stranger(t, s), "", name, oauthtest.Password); answer.StatusCode == http.StatusSeeOther {
			t.Errorf("%q is alice", name)
		}
	}
	s.Clock.Advance(time.Hour)
	b, spellings := stranger(t, s), []string{"alice", "ALICE", " alice ", "ａｌｉｃｅ", "Alice", "aLICE", "alice\t", "ＡＬＩＣＥ", "alicE"}
	for i, name := range spellings {
		want := http.StatusUnprocessableEntity
		if i == 8 {
			want = http.StatusTooManyRequests
		}
		if answer := tryFrom(t, s, b, "", name, "wrong horse"); answer.StatusCode != want {
			t.Errorf("guess %d as %q: %d, want %d", i+1, name, answer.StatusCode, want)
		}
	}
	for _, name := range []string{"pаypal", "alіce", "Ωmega", "bοb", "ａlісe", "a b", "", " ", "\u202ealice", "alice\x00", strings.Repeat("x", 129)} {
		if key, err := login.CheckUsername(name); err == nil && name != "Ωmega" {
			t.Errorf("a user %q could be made, as %q", name, key)
		}
	}
	for _, name := range []string{"虎符", "алиса", "ali-ce_1.x", "李雷a"} {
		if _, err := login.CheckUsername(name); err != nil {
			t.Errorf("a user %q cannot be made: %v", name, err)
		}
	}
}

// Attempts are counted before the password is looked at: a hundred at once get no
// more guesses than one after the other (LG-07).
func TestLogin_ParallelGuesses(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	b := stranger(t, s)
	statuses := make([]int, 100)
	var wait sync.WaitGroup
	for i := range statuses {
		r := formRequest(t, b, s, "login-form", url.Values{"username": {"alice"}, "password": {fmt.Sprint("guess number ", i)}, "action": {"login"}})
		if i%3 > 0 {
			path := []string{"/token", "/oauth2/password"}[i%3-1]
			r = s.Request(t, http.MethodPost, path, app.Credentials("grant_type", "password", "username", "alice", "password", fmt.Sprint("guess number ", i)).Encode())
		}
		wait.Go(func() { statuses[i] = s.Do(t, r).StatusCode })
	}
	wait.Wait()
	judged := 0
	for i, status := range statuses {
		switch status {
		case http.StatusUnprocessableEntity, http.StatusBadRequest:
			judged++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("guess %d: %d", i, status)
		}
	}
	if judged != 8 {
		t.Errorf("%d guesses were judged, want 8", judged)
	}
}

// An address with a hundred failures is slowed down for browsers it does not
// know, and refused nothing; other addresses feel nothing. An account that is
// guessed at from everywhere is slowed down, too, and never locked (LG-03,
// LG-04).
func TestLogin_StuffingFromOneAddress(t *testing.T) {
	t.Parallel()
	for name, guess := range map[string]func(i int) (address, username string){
		"many accounts from one address": func(i int) (string, string) { return "203.0.113.7", fmt.Sprint("nobody", i) },
		"one account from everywhere":    func(i int) (string, string) { return fmt.Sprintf("203.%d.%d.7", i/200, i%200), "alice" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, behindProxy)
			s.User(t, "alice")
			s.User(t, "bob")
			b, known := stranger(t, s), stranger(t, s)
			known.SignIn(t, "alice")
			known.Open(t, s.URL+"/login")
			// Times are told apart by the delay alone: the quickest of some right
			// sign-ins, and the slowest of some wrong ones.
			quickest := func(browser *oauthtest.Browser, address, username string) time.Duration {
				t.Helper()
				least := time.Hour
				for range 3 {
					began := time.Now()
					if answer := tryFrom(t, s, browser, address, username, oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
						t.Errorf("%s from %s: %d", username, address, answer.StatusCode)
					}
					least = min(least, time.Since(began))
				}
				return least
			}
			began := time.Now()
			var wait sync.WaitGroup
			next := atomic.Int64{}
			for range 4 {
				wait.Go(func() {
					for i := next.Add(1); i <= 100; i = next.Add(1) {
						address, username := guess(int(i))
						if answer := tryFrom(t, s, b, address, username, "wrong horse"); answer.StatusCode != http.StatusUnprocessableEntity {
							t.Errorf("guess %d: %d", i, answer.StatusCode)
						}
					}
				})
			}
			wait.Wait()
			const delay = 2 * time.Second
			// The next is slowed down; or one soon after, for time passes for the
			// server, too, and forgives a failure each six seconds.
			slowest := time.Duration(0)
			for i := 101; slowest < delay && i < 105+int(time.Since(began)/(6*time.Second)); i++ {
				address, username := guess(i)
				sent := time.Now()
				if answer := tryFrom(t, s, b, address, username, "wrong horse"); answer.StatusCode != http.StatusUnprocessableEntity {
					t.Errorf("%s from %s: %d", username, address, answer.StatusCode)
				}
				slowest = max(slowest, time.Since(sent))
			}
			if slowest < delay {
				t.Errorf("behind a hundred failures the next are answered in %v", slowest)
			}
			// Slowed down, but let in with the right password; nobody else is.
			attacked, account := "203.0.113.7", "bob"
			if name == "one account from everywhere" {
				attacked, account = "198.51.100.9", "alice"
			}
			if answer := tryFrom(t, s, b, attacked, account, oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
				t.Errorf("the right password: %d", answer.StatusCode)
			}
			if d := quickest(known, attacked, "alice"); d >= delay {
				t.Errorf("a known browser is answered in %v", d)
			}
			if d := quickest(b, "198.51.100.1", "bob"); d >= delay {
				t.Errorf("another address and account are answered in %v", d)
			}
			s.Clock.Advance(101 * time.Minute)
			if d := quickest(b, attacked, account); d >= delay {
				t.Errorf("when it is over, still %v", d)
			}
		})
	}
}

// Passwords are hashed by Argon2id at the cost that OWASP wants, each with a salt
// of its own; one hashed at another cost is hashed again when it comes (PW-01).
func TestLogin_PasswordHashing(t *testing.T) {
	t.Parallel()
	s := oauthtest.StartHashing(t)
	first, err := s.Hasher.Hash(t.Context(), oauthtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Hasher.Hash(t.Context(), oauthtest.Password)
	if err != nil || first == second {
		t.Errorf("two hashes of one password are equal: %v", err)
	}
	want := regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`)
	if !want.MatchString(first) {
		t.Errorf("hash = %s", first)
	}
	salt := []byte("some salt")
	old := fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$c29tZSBzYWx0$%s", b64(argon2.IDKey([]byte(oauthtest.Password), salt, 1, 64, 1, 32)))
	u := makeUser(t, s, "imported", old)
	app := s.App(t)
	b := s.Browser(t)
	location := b.Walk(t, authorizationURL(app, "/authorize"), "imported")
	after := theUser(t, s, "imported")
	if !want.MatchString(after.Password) || after.Epoch != u.Epoch {
		t.Errorf("after a sign-in: %s, epoch %d", after.Password, after.Epoch)
	}
	if answer := redeemWith(t, app, "/token", location.Query().Get("code"), ""); answer.StatusCode != http.StatusOK {
		t.Errorf("what was begun before the new hash ended: %s", answer.Body)
	}
	b = stranger(t, s)
	if answer := tryFrom(t, s, b, "", "imported", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("with the new hash: %d", answer.StatusCode)
	}
	if answer := tryFrom(t, s, b, "", "imported", "wrong horse"); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a wrong password with the new hash: %d", answer.StatusCode)
	}
}

// A password may be long, and every byte of it counts; one that is too long to be
// checked is refused and never cut (PW-02). What may be set is decided in one place (PW-04).
func TestLogin_LongPasswords(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	long := func(n int) string { return strings.Repeat("who never ends to speak ", n/24+1)[:n] }
	for name, password := range map[string]string{
		"sixty-four": long(64), "over-bcrypt": long(73), "the-most": long(1024), "unicode": strings.Repeat("一虎二兔三龙四蛇五马六羊", 28),
		"odd": "  spaces, \"quotes\" & <tags> 100% +\t\u00e9 ", "controls": "ten\ncharacters\r\nand more",
	} {
		hash, err := s.Passwords.HashNew(t.Context(), s.Hasher, password, name)
		if err != nil {
			t.Fatalf("%s cannot be set: %v", name, err)
		}
		makeUser(t, s, name, hash)
		b := stranger(t, s)
		if answer := tryFrom(t, s, b, "", name, password); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
		for _, wrong := range []string{password[:len(password)-1], password + "x", password[:len(password)-1] + "x"} {
			if answer := tryFrom(t, s, b, "", name, wrong); answer.StatusCode == http.StatusSeeOther {
				t.Errorf("%s: %d bytes were enough", name, len(wrong))
			}
		}
	}
	for password, want := range map[string]web.PasswordProblem{
		"": web.PasswordShort, "too short": web.PasswordShort, long(1025): web.PasswordLong, "a-user-name": web.PasswordOwn, "Password2024!": web.PasswordCommon,
	} {
		_, err := s.Passwords.HashNew(t.Context(), s.Hasher, password, "a-user-name")
		if refused, ok := errors.AsType[*login.PasswordError](err); !ok || refused.Problem != want {
			t.Errorf("a password of %d bytes: %v, want %s", len(password), err, want)
		}
	}
	if answer := tryFrom(t, s, stranger(t, s), "", "the-most", long(60_000)); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("60 kB: %d", answer.StatusCode)
	}
	if answer := tryFrom(t, s, stranger(t, s), "", "the-most", long(70_000)); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("70 kB: %d", answer.StatusCode)
	}
}

// Two hundred sign-ins at once: so many are hashed at a time, so many wait, and
// the rest are told to come back; tokens and keys are served meanwhile (PW-03).
func TestLogin_FloodOfSignIns(t *testing.T) {
	t.Parallel()
	s := oauthtest.StartHashing(t, behindProxy, func(c *config.Config) { c.PasswordHashSlots, c.PasswordHashQueue = 1, 20 })
	app := s.App(t)
	token := app.SignInAndExchange(t)
	b := stranger(t, s)
	var pending atomic.Int64
	answers := make([]*oauthtest.Answer, 200)
	var wait sync.WaitGroup
	for i := range answers {
		r := formRequest(t, b, s, "login-form", url.Values{"username": {fmt.Sprint("nobody", i)}, "password": {"wrong horse"}, "action": {"login"}})
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.%d.7", i))
		pending.Add(1)
		wait.Go(func() {
			defer pending.Add(-1)
			answers[i] = s.Do(t, r)
		})
	}
	served := 0
	for pending.Load() > 0 {
		refreshed := app.Refresh(t, oauthtest.AllAddresses[served%2], token.RefreshToken)
		if refreshed.StatusCode != http.StatusOK || s.Get(t, "/jwks").StatusCode != http.StatusOK {
			t.Fatalf("during the flood: %d %s", refreshed.StatusCode, refreshed.Body)
		}
		token.RefreshToken = refreshed.Text("refresh_token")
		served++
	}
	wait.Wait()
	judged, busy := 0, 0
	for i, answer := range answers {
		switch answer.StatusCode {
		case http.StatusUnprocessableEntity:
			judged++
		case http.StatusServiceUnavailable:
			busy++
			if answer.Header.Get("Retry-After") == "" || !strings.Contains(loginError(answer), "try again") {
				t.Errorf("sign-in %d: Retry-After %q, %q", i, answer.Header.Get("Retry-After"), loginError(answer))
			}
		default:
			t.Errorf("sign-in %d: %d", i, answer.StatusCode)
		}
	}
	if judged < 20 || busy < 1 || served < 3 {
		t.Errorf("%d were judged, %d were sent away, %d tokens were served meanwhile", judged, busy, served)
	}
	// Nobody who was sent away was counted, and the queue is empty again.
	if answer := tryFrom(t, s, b, "", "alice", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("after the flood: %d", answer.StatusCode)
	}
	if _, err := s.Hasher.Hash(context.Background(), oauthtest.Password); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func b64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }
