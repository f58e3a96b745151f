package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// setUpLink is the link that a server prints at its start.
func setUpLink(t *testing.T, s *oauthtest.Server) string {
	t.Helper()
	link, err := s.Links.FirstAdmin(t.Context())
	if err != nil || link == nil {
		t.Fatalf("no link: %v", err)
	}
	return link.URL
}

// Whoever has the link makes the first administrator, who then signs in. Then it is
// closed: this link and any other opens nothing, and a new one is not made. There is no
// default password (PW-08).
func TestSetUp_FirstAdministrator(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	s.User(t, "taken")
	first, second := setUpLink(t, s), setUpLink(t, s) // of two starts, or of two servers
	for _, guess := range []string{"/login/first-administrator", "/login/first-administrator?ticket=", "/login/first-administrator?ticket=guessed", strings.Replace(first[len(s.URL):], "/first-administrator", "/password", 1)} {
		if answer := s.Get(t, guess); answer.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", guess, answer.StatusCode)
		}
	}
	b := s.Browser(t)
	b.Open(t, first)
	good := url.Values{"username": {"Root"}, "email": {"root@example.com"}, "password": {anotherPassword}}
	for name, tt := range map[string]struct {
		field, value string
		problem      string
	}{
		"no name":       {"username", " ", "username-problem"},
		"odd name":      {"username", "аlice", "username-problem"},
		"long name":     {"username", strings.Repeat("x", 200), "username-problem"},
		"taken name":    {"username", "TAKEN", "username-problem"},
		"no address":    {"email", "", "email-problem"},
		"odd address":   {"email", "root@", "email-problem"},
		"short":         {"password", "short", "password-problem"},
		"the own name":  {"password", "root@example.com", "password-problem"},
		"a common one":  {"password", "Password123!", "password-problem"},
		"no password":   {"password", "", "password-problem"},
		"much too long": {"password", strings.Repeat("long ", 300), "password-problem"},
	} {
		form := url.Values{}
		for field, values := range good {
			form[field] = values
		}
		form.Set(tt.field, tt.value)
		if b.Submit(t, "first-admin-form", form); b.Page.StatusCode != http.StatusUnprocessableEntity || !b.On(tt.problem) || !b.On("first-admin-error") {
			t.Errorf("%s: %d\n%s", name, b.Page.StatusCode, b.Page.Body)
		}
		if strings.Contains(html.UnescapeString(string(b.Page.Body)), anotherPassword) {
			t.Errorf("%s: the password is on the page", name)
		}
	}
	other := s.Browser(t)
	other.Open(t, second)
	if b.Submit(t, "first-admin-form", good); !b.On("set-up-done") || b.Page.Request.URL.Path != "/login/first-administrator/done" {
		t.Fatalf("%d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	if !b.On("set-up-mailed") {
		t.Error("nobody says that there is mail")
	}
	if other := s.Browser(t); strings.Contains(string(other.Open(t, "/login/password/done?mailed").Body), "set-up-mailed") {
		t.Error("another page says so too")
	}
	u := theUser(t, s, "root")
	if !u.Admin || u.Username != "Root" || u.Email != "root@example.com" || u.EmailVerified {
		t.Errorf("the administrator is %+v", u)
	}
	// A tab that was open still has its page, and nothing to do with it.
	other.Submit(t, "first-admin-form", url.Values{"username": {"mallory"}, "email": {"m@example.com"}, "password": {anotherPassword}})
	if other.Page.StatusCode != http.StatusGone || !other.On("link-dead") {
		t.Errorf("the other tab: %d", other.Page.StatusCode)
	}
	for _, link := range []string{first, second} {
		if answer := s.Get(t, link); answer.StatusCode != http.StatusGone {
			t.Errorf("afterwards: %d", answer.StatusCode)
		}
	}
	if link, err := s.Links.FirstAdmin(t.Context()); link != nil || err != nil {
		t.Errorf("another link: %v, %v", link, err)
	}
	if !signsIn(t, s, "root", anotherPassword) {
		t.Error("the administrator cannot sign in")
	}
	// The address is to be confirmed.
	letter := inbox.Wait(t, 1)[0].Read(t)
	b.Open(t, letter.Link())
	b.Submit(t, "email-form", nil)
	if u = theUser(t, s, "root"); !b.On("email-confirmed") || !u.EmailVerified {
		t.Errorf("the address: %+v\n%s", u, b.Page.Body)
	}
	log := s.Log.String()
	for _, link := range []string{first, second} {
		if _, token, _ := strings.Cut(link, "ticket="); strings.Contains(log, token) {
			t.Error("the log has a link")
		}
	}
}

// The link is good for a day (PW-08).
func TestSetUp_LinkExpires(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	link := setUpLink(t, s)
	s.Clock.Advance(24*time.Hour - time.Minute)
	b := s.Browser(t)
	if b.Open(t, link); !b.On("first-admin-form") {
		t.Errorf("within the day: %d", b.Page.StatusCode)
	}
	s.Clock.Advance(2 * time.Minute)
	if b.Submit(t, "first-admin-form", url.Values{"username": {"root"}, "email": {"r@example.com"}, "password": {anotherPassword}}); b.Page.StatusCode != http.StatusGone {
		t.Errorf("behind it: %d", b.Page.StatusCode)
	}
	if b.Open(t, setUpLink(t, s)); !b.On("first-admin-form") {
		t.Error("the next start makes no other link")
	}
}

// Of many who send the form at once, with the links of several servers, one makes an
// administrator (PW-08).
func TestSetUp_Race(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.PasswordHashSlots, c.PasswordHashQueue = 2, 200 })
	const callers = 40
	var requests []*http.Request
	b := s.Browser(t)
	for i := range callers {
		if i%10 == 0 {
			b.Open(t, setUpLink(t, s))
		}
		requests = append(requests, formRequest(t, b, s, "first-admin-form", url.Values{"username": {fmt.Sprint("root", i)}, "email": {"r@example.com"}, "password": {anotherPassword}}))
	}
	var mu sync.Mutex
	got := map[int]int{}
	var all sync.WaitGroup
	for _, r := range requests {
		all.Go(func() {
			answer := s.Do(t, r)
			mu.Lock()
			defer mu.Unlock()
			got[answer.StatusCode]++
		})
	}
	all.Wait()
	users, err := s.Store.Users(t.Context(), "", 100)
	if err != nil || len(users) != 1 || got[http.StatusSeeOther] != 1 || got[http.StatusGone] != callers-1 {
		t.Errorf("answers %v, %d users, %v", got, len(users), err)
	}
}
