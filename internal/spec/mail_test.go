package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// mailing configures a server to hand its mail to another.
func mailing(to *mailtest.Server) func(c *config.Config) {
	return func(c *config.Config) {
		c.MailHost, c.MailPort, c.MailFrom, c.OutboundCAFile = mailtest.Name, to.Port, "Hufu <no-reply@id.example>", to.CAFile
	}
}

// withAddress gives a user, who is made unless there is one, an address.
func withAddress(t *testing.T, s *oauthtest.Server, name, email string, verified bool) *store.User {
	t.Helper()
	if _, err := s.Store.UserByName(t.Context(), name); err != nil {
		s.User(t, name)
	}
	was := theUser(t, s, name)
	next := *was
	next.Email, next.EmailVerified = email, verified
	if err := s.Store.UpdateUser(t.Context(), was, &next, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	return theUser(t, s, name)
}

// forget asks for a new password on the page, in a browser of its own.
func forget(t *testing.T, s *oauthtest.Server, name string) *oauthtest.Browser {
	t.Helper()
	b := s.Browser(t)
	b.Open(t, s.URL+"/login/forgot")
	b.Submit(t, "forgot-form", url.Values{"username": {name}})
	return b
}

// useLink opens a link in a browser of its own and sends a password.
func useLink(t *testing.T, s *oauthtest.Server, link, password string) *oauthtest.Browser {
	t.Helper()
	b := s.Browser(t)
	b.Open(t, link)
	if b.On("password-form") {
		b.Submit(t, "password-form", url.Values{"password": {password}})
	}
	return b
}

// signsIn reports whether name and password are right.
func signsIn(t *testing.T, s *oauthtest.Server, name, password string) bool {
	t.Helper()
	return tryFrom(t, s, stranger(t, s), "", name, password).StatusCode == http.StatusSeeOther
}

const anotherPassword = "staple the other battery"

// Somebody who has forgotten the password asks for a link on the page, gets it by mail,
// chooses another one, and signs in with it: nobody else is signed in any more, and the
// user is told (PW-05, SE-05, LG-06). The link itself signs nobody in.
func TestMail_ForgottenPassword(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{Username: "hufu", Password: "mail secret"})
	s := oauthtest.Start(t, mailing(inbox), func(c *config.Config) { c.MailUsername, c.MailPassword = "hufu", "mail secret" })
	app := s.App(t)
	withAddress(t, s, "alice", "alice@example.com", true)
	elsewhere := stranger(t, s)
	elsewhere.SignIn(t, "alice")
	tokens := s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))

	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	if !b.On("login-forgot") {
		t.Fatalf("the sign-in page does not offer it:\n%s", b.Page.Body)
	}
	_, fields := b.Form(t, "login-form")
	b.Open(t, s.URL+"/login/forgot?request="+url.QueryEscape(fields.Get("request")))
	b.Submit(t, "forgot-form", url.Values{"username": {" ALICE@example.com"}})
	if !b.On("mail-sent") || b.Page.Request.URL.Path != "/login/forgot/sent" || !strings.Contains(string(b.Page.Body), url.QueryEscape(fields.Get("request"))) {
		t.Fatalf("%s:\n%s", b.Page.Request.URL, b.Page.Body)
	}
	got := inbox.Wait(t, 1)[0]
	if !slices.Equal(got.To, []string{"alice@example.com"}) || got.SignedIn != "hufu" {
		t.Errorf("envelope %+v", got)
	}
	letter := got.Read(t)
	link := letter.Link()
	if letter.Subject != "Choose a new password" || !strings.HasPrefix(link, s.URL+"/login/password?ticket=") || !strings.Contains(letter.HTML, html.EscapeString(link)) {
		t.Fatalf("%s:\n%s", letter.Subject, letter.Text)
	}
	if id := letter.Header.Get("Message-Id"); !strings.HasSuffix(id, "@127.0.0.1>") {
		t.Errorf("Message-ID %s", id)
	}

	// A scanner that opens every link uses none.
	for range 3 {
		if answer := s.Get(t, link); answer.StatusCode != http.StatusOK {
			t.Fatalf("opened: %d", answer.StatusCode)
		}
	}
	if !signsIn(t, s, "alice", oauthtest.Password) {
		t.Error("the old password does not work before the link is used")
	}
	reset := s.Browser(t)
	reset.Open(t, link)
	for password, problem := range map[string]string{"short": "fewer than 10 characters", "alice-alice": "Your own names", strings.Repeat("x", 1025): "password is too long", "": "fewer than 10 characters"} {
		reset.Submit(t, "password-form", url.Values{"password": {password}})
		if reset.Page.StatusCode != http.StatusUnprocessableEntity || !reset.On("password-problem") || !strings.Contains(html.UnescapeString(string(reset.Page.Body)), problem) {
			t.Errorf("%.20q: %d\n%s", password, reset.Page.StatusCode, reset.Page.Body)
		}
		if password != "" && strings.Contains(string(reset.Page.Body), password+`"`) {
			t.Errorf("the password is on the page")
		}
	}
	reset.Submit(t, "password-form", url.Values{"password": {anotherPassword}})
	if !reset.On("password-set") {
		t.Fatalf("%d\n%s", reset.Page.StatusCode, reset.Page.Body)
	}
	for _, c := range reset.Cookies(t) {
		if strings.Contains(c.Name, "session") {
			t.Errorf("the link signed somebody in: %s", c.Name)
		}
	}
	if signsIn(t, s, "alice", oauthtest.Password) || !signsIn(t, s, "alice", anotherPassword) {
		t.Error("the old password works, or the new one does not")
	}
	if elsewhere.Open(t, s.URL+"/"); strings.Contains(string(elsewhere.Page.Body), "alice") {
		t.Error("another browser is still signed in")
	}
	if again := s.Post(t, "/token", app.Credentials("grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token"))); again.Text("error") != "invalid_grant" {
		t.Errorf("the refresh token lives: %s", again.Body)
	}
	for _, page := range []*oauthtest.Browser{useLink(t, s, link, "yet another password"), useLink(t, s, s.URL+"/login/password?ticket=guessed", "x")} {
		if page.Page.StatusCode != http.StatusGone || !page.On("link-dead") || !strings.Contains(string(page.Page.Body), "/login/forgot") {
			t.Errorf("a dead link: %d\n%s", page.Page.StatusCode, page.Page.Body)
		}
	}
	told := inbox.Wait(t, 4)[1:] // two sign-ins of these tests, too
	var subjects []string
	for _, m := range told {
		subjects = append(subjects, m.Read(t).Subject)
	}
	slices.Sort(subjects)
	if !slices.Contains(subjects, "Your password was changed") || !slices.Contains(subjects, "A sign-in from a new browser") {
		t.Errorf("told %q", subjects)
	}
	log := s.Log.String()
	token := strings.TrimPrefix(link, s.URL+"/login/password?ticket=")
	for _, secret := range []string{token, "alice@example.com", "mail secret", anotherPassword} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if !strings.Contains(log, "the link cannot be used any more") {
		t.Error("the log does not say why a link was refused")
	}
}

// Who guesses at an account does not keep its owner out of it by that: the browser in which
// a password was chosen by a link is known for this user from then on, and for nobody else
// (LG-04).
func TestMail_ForgottenWhileGuessedAt(t *testing.T) {
	t.Parallel()
	s, inbox := mailingServer(t)
	withAddress(t, s, "alice", "alice@example.com", true)
	s.User(t, "bob")
	forget(t, s, "alice")
	guesser := stranger(t, s)
	for range 8 {
		for _, name := range []string{"alice", "bob"} {
			tryFrom(t, s, guesser, "", name, "wrong horse")
		}
	}
	owner := useLink(t, s, inbox.Wait(t, 1)[0].Read(t).Link(), anotherPassword)
	if !owner.On("password-set") {
		t.Fatalf("%d\n%s", owner.Page.StatusCode, owner.Page.Body)
	}
	owner.Open(t, s.URL+"/login")
	for _, try := range []struct {
		browser        *oauthtest.Browser
		name, password string
		want           int
	}{
		{stranger(t, s), "alice", anotherPassword, http.StatusTooManyRequests},
		{owner, "bob", oauthtest.Password, http.StatusTooManyRequests},
		{owner, "alice", anotherPassword, http.StatusSeeOther},
	} {
		if answer := tryFrom(t, s, try.browser, "", try.name, try.password); answer.StatusCode != try.want {
			t.Errorf("%s: %d, want %d", try.name, answer.StatusCode, try.want)
		}
	}
}

// Who has forgotten the password gets back to where they wanted to go in their account; and
// the sign-in page says so when somebody is signed in already.
func TestMail_ForgottenLeadsBack(t *testing.T) {
	t.Parallel()
	s, _ := mailingServer(t)
	s.User(t, "alice")
	b := s.Browser(t)
	b.Open(t, "/account/apps")
	b.Open(t, followed(t, b, "login-forgot"))
	back := followed(t, b, "forgot-back")
	b.Submit(t, "forgot-form", url.Values{"username": {"alice"}})
	for name, address := range map[string]string{"before": back, "after": followed(t, b, "result-next")} {
		if b.Open(t, address); b.Page.Request.URL.Path != "/login" || b.Page.Request.URL.Query().Get("return") != "/account/apps" {
			t.Errorf("%s: at %s", name, b.Page.Request.URL)
		}
	}
	if b.SignIn(t, "alice"); b.Page.Request.URL.Path != "/account/apps" {
		t.Errorf("at %s", b.Page.Request.URL)
	}
	if b.Open(t, "/login"); !b.On("login-signed-in") || !b.On("login-form") {
		t.Errorf("the sign-in page does not say who is signed in:\n%s", b.Page.Body)
	}
}

// Whether there is an account by a name, and whether its address is confirmed, nobody
// learns from the page: the answer is the same, as much is written, and only who reads
// the mail knows (LG-06).
func TestMail_ForgottenTellsNothing(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	withAddress(t, s, "alice", "alice@example.com", true)
	withAddress(t, s, "typed", "typed@example.com", false)
	s.User(t, "none")
	withAddress(t, s, "disabled", "disabled@example.com", true)
	if err := s.Store.DisableUser(t.Context(), theUser(t, s, "disabled").ID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, name := range []string{
		"alice", "alice@example.com", "typed", "typed@example.com", "none", "disabled", "disabled@example.com", "nobody", "nobody@example.com",
		"a b\tc", strings.Repeat("x", 500), "alice@example.com\r\nBcc: x@example.com", "' OR '1'='1' --",
	} {
		b := forget(t, s, name)
		got := fmt.Sprint(b.Page.StatusCode, b.Page.Request.URL, string(b.Page.Body))
		if want == "" {
			want = got
		}
		if got != want || !b.On("mail-sent") {
			t.Errorf("%.30q: %s\nwant\n%s", name, got, want)
		}
	}
	inbox.Wait(t, 2)
	time.Sleep(100 * time.Millisecond)
	mails := inbox.Mails()
	if len(mails) != 2 {
		t.Errorf("%d letters went", len(mails))
	}
	for _, m := range mails {
		if !slices.Equal(m.To, []string{"alice@example.com"}) {
			t.Errorf("a letter to %q", m.To)
		}
	}
	// Of two links the newer one works (PW-05).
	first, second := mails[0].Read(t).Link(), mails[1].Read(t).Link()
	dead := 0
	for _, link := range []string{first, second} {
		if s.Get(t, link).StatusCode == http.StatusGone {
			dead++
		}
	}
	if dead != 1 {
		t.Errorf("%d of two links are dead", dead)
	}
}

// A new password passes by no second factor: the link sets the password, leaves the
// authenticator app as it is, and the next sign-in asks for its code (PW-07). The user is
// told of the app and of the password.
func TestMail_SecondFactorStays(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	u := withAddress(t, s, "alice", "alice@example.com", true)
	phone := withApp(t, s, "alice")
	link, err := s.Links.Reset(t.Context(), u, theOperator)
	if err != nil {
		t.Fatal(err)
	}
	if b := useLink(t, s, link.URL, anotherPassword); !b.On("password-set") {
		t.Fatalf("%d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	b := stranger(t, s)
	b.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {anotherPassword}, "action": {"login"}})
	if !b.On("second-factor-form") {
		t.Fatalf("no second step behind the new password: %s\n%s", b.Page.Request.URL, b.Page.Body)
	}
	s.Clock.Advance(time.Minute) // another code
	if b.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}}); b.On("second-factor-form") {
		t.Errorf("the app does not work any more: %d", b.Page.StatusCode)
	}
	told := map[string]bool{}
	for _, m := range inbox.Wait(t, 4) {
		told[m.Read(t).Subject] = true
	}
	if !told["Two-step sign-in is on"] || !told["Your password was changed"] {
		t.Errorf("told %v", told)
	}
}

// A request for a name that nobody has does the same as one for a name that somebody has,
// and takes as long: what is written for the one is made up for by the other (LG-06).
func TestMail_ForgottenTakesAsLong(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	inbox.Reply(func(string, string) string { return mailtest.Hang }) // sending takes no time of this machine
	s := oauthtest.Start(t, withMetrics, mailing(inbox))
	const requests = 9
	for i := range requests {
		withAddress(t, s, fmt.Sprint("alice", i), fmt.Sprintf("alice%d@example.com", i), true)
	}
	shortest := map[string]time.Duration{}
	ask := func(name string) func(i int) {
		b := s.Browser(t)
		b.Open(t, s.URL+"/login/forgot")
		return func(i int) {
			r := formRequest(t, b, s, "forgot-form", url.Values{"username": {fmt.Sprint(name, i)}})
			began := time.Now()
			if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d", answer.StatusCode)
			}
			if took := time.Since(began); shortest[name] == 0 || took < shortest[name] {
				shortest[name] = took
			}
		}
	}
	somebody, nobody := ask("alice"), ask("nobody")
	known, unknown := statements(t, s, requests, somebody), statements(t, s, requests, nobody)
	delete(known, "update mail") // of who sends it
	delete(known, "delete mail")
	for name, n := range map[string]int{"select end_user": 1, "insert attempt": 2, "insert ticket": 1, "insert mail": 1, "insert event": 1} {
		if known[name] != n {
			t.Errorf("for somebody: %d times %s, want %d", known[name], name, n)
		}
	}
	for name, n := range map[string]int{"select end_user": 1, "insert attempt": 3, "insert ticket": 1, "insert mail": 0} {
		if unknown[name] != n {
			t.Errorf("for nobody: %d times %s, want %d", unknown[name], name, n)
		}
	}
	s.Clock.Advance(30 * time.Minute)
	for i := range requests { // in turn, since other tests run beside this one
		somebody(i)
		nobody(i)
	}
	if a, b := shortest["alice"], shortest["nobody"]; a > 4*b || b > 4*a {
		t.Errorf("it takes %v for somebody and %v for nobody", a, b)
	}
}

// A link begins with the configured issuer, whatever a request says of itself (PW-06).
func TestMail_LinkFromIssuer(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox), behindProxy)
	withAddress(t, s, "alice", "alice@example.com", true)
	b := s.Browser(t)
	b.Open(t, s.URL+"/login/forgot")
	r := formRequest(t, b, s, "forgot-form", url.Values{"username": {"alice"}})
	r.Host = "evil.example"
	for name, value := range map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example", "X-Original-Host": "evil.example"} {
		r.Header.Set(name, value)
	}
	if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther || strings.Contains(answer.Header.Get("Location"), "evil") {
		t.Fatalf("%d, to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
	got := inbox.Wait(t, 1)[0]
	letter := got.Read(t)
	if strings.Contains(got.Raw+letter.Text+letter.HTML, "evil") || !strings.HasPrefix(letter.Link(), s.URL+"/") {
		t.Errorf("the letter follows the request:\n%s", letter.Text)
	}
}

// Asking too often is refused by address; an account that is asked for too often gets no
// more mail, and nobody learns it.
func TestMail_ForgottenIsLimited(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	withAddress(t, s, "alice", "alice@example.com", true)
	for i := range 20 {
		if b := forget(t, s, []string{"alice", "alice@example.com"}[i%2]); !b.On("mail-sent") {
			t.Fatalf("request %d: %d", i+1, b.Page.StatusCode)
		}
	}
	b := forget(t, s, "somebody else")
	if b.Page.StatusCode != http.StatusTooManyRequests || b.Page.Header.Get("Retry-After") == "" || !b.On("forgot-error") {
		t.Errorf("one too many: %d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	inbox.Wait(t, 3)
	time.Sleep(200 * time.Millisecond)
	if n := len(inbox.Mails()); n != 3 {
		t.Errorf("%d letters to one account", n)
	}
	s.Clock.Advance(10 * time.Minute)
	forget(t, s, "alice")
	inbox.Wait(t, 4)
	b = s.Browser(t)
	b.Open(t, s.URL+"/login/forgot")
	if b.Submit(t, "forgot-form", url.Values{"username": {"  "}}); b.Page.StatusCode != http.StatusUnprocessableEntity || !b.On("forgot-error") {
		t.Errorf("nothing typed: %d", b.Page.StatusCode)
	}
}

// Without a mail server nothing offers what needs one, on the server's side too (LG-06).
func TestMail_Off(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	withAddress(t, s, "alice", "alice@example.com", true)
	b := stranger(t, s)
	if b.On("login-forgot") {
		t.Error("the sign-in page offers mail")
	}
	_, fields := b.Form(t, "login-form")
	for _, answer := range []*oauthtest.Answer{
		s.Get(t, "/login/forgot"), s.Post(t, "/login/forgot", url.Values{"username": {"alice"}, "form_token": {fields.Get("form_token")}}),
	} {
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("%d", answer.StatusCode)
		}
	}
	if dead := useLink(t, s, s.URL+"/login/password?ticket=x", "x"); strings.Contains(string(dead.Page.Body), "/login/forgot") {
		t.Error("a dead link leads to mail")
	}
	if err := s.Store.SetPassword(t.Context(), theUser(t, s, "alice").ID, "x", s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	mails, err := s.Store.ClaimMails(t.Context(), s.Clock.Now().Add(time.Hour), 10)
	if err != nil || len(mails) > 0 {
		t.Errorf("mail that nobody sends was written: %v, %v", mails, err)
	}
}

// Of a hundred who use one link at once, one sets the password (PW-05).
func TestMail_LinkRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.PasswordHashSlots, c.PasswordHashQueue = 2, 200 })
	u := s.User(t, "alice")
	link, err := s.Links.Reset(t.Context(), u, theOperator)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Browser(t)
	b.Open(t, link.URL)
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for i := range 100 {
		r := formRequest(t, b, s, "password-form", url.Values{"password": {fmt.Sprintf("password number %d of many", i)}})
		all.Go(func() {
			answer := s.Do(t, r)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("Location"))]++
		})
	}
	all.Wait()
	if got["303 /login/password/done"] != 1 || got["410 "] != 99 {
		t.Errorf("answers %v", got)
	}
}

// An invitation that was sent makes the first password and proves the address; nobody is
// told that a password was changed that there was not. The letter is in the language that
// the operator named.
func TestMail_Invitation(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{Implicit: true})
	s := oauthtest.Start(t, mailing(inbox), func(c *config.Config) { c.MailSecurity = config.MailTLS })
	u := &store.User{ID: store.NewUserID(), Username: "Zoe", UsernameKey: "zoe", Email: "zoe@example.com", Locale: "zh", CreatedAt: s.Clock.Now()}
	if _, err := s.Links.Invite(t.Context(), u, true, theOperator); err != nil {
		t.Fatal(err)
	}
	letter := inbox.Wait(t, 1)[0].Read(t)
	if letter.Header.Get("Content-Language") != "zh-Hans" || !strings.Contains(letter.Text, "Zoe，您好") {
		t.Errorf("%s", letter.Text)
	}
	s.Clock.Advance(6 * 24 * time.Hour)
	if b := useLink(t, s, letter.Link(), anotherPassword); !b.On("account-ready") {
		t.Fatalf("%d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	if !signsIn(t, s, "zoe@example.com", anotherPassword) {
		t.Error("the address was not verified, or does not sign in")
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(inbox.Mails()); n != 1 {
		t.Errorf("%d letters", n)
	}
	late := &store.User{ID: store.NewUserID(), Username: "late", UsernameKey: "late", CreatedAt: s.Clock.Now()}
	link, err := s.Links.Invite(t.Context(), late, false, theOperator)
	if err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(7 * 24 * time.Hour)
	if b := useLink(t, s, link.URL, anotherPassword); b.Page.StatusCode != http.StatusGone {
		t.Errorf("after 7 days: %d", b.Page.StatusCode)
	}
}

// Another address is the user's when the link that went there is used, and the old one is
// told; until then nothing changes (AC-02).
func TestMail_ChangeOfAddress(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox))
	u := withAddress(t, s, "alice", "old@example.com", true)
	if err := s.Links.ChangeEmail(t.Context(), u.ID, 0, "new@example.com", "en", store.By{Actor: u.ID}); err != nil {
		t.Fatal(err)
	}
	first := inbox.Wait(t, 1)[0]
	link := first.Read(t).Link()
	if !slices.Equal(first.To, []string{"new@example.com"}) || !strings.HasPrefix(link, s.URL+"/login/email?ticket=") {
		t.Fatalf("%q: %s", first.To, link)
	}
	b := s.Browser(t)
	b.Open(t, link)
	if !b.On("email-form") || !strings.Contains(string(b.Page.Body), "new@example.com") || theUser(t, s, "alice").Email != "old@example.com" {
		t.Fatalf("opened:\n%s", b.Page.Body)
	}
	if b.Submit(t, "email-form", nil); !b.On("email-confirmed") {
		t.Fatalf("%d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	if u = theUser(t, s, "alice"); u.Email != "new@example.com" || !u.EmailVerified {
		t.Errorf("the user is %+v", u)
	}
	if told := inbox.Wait(t, 2)[1]; !slices.Equal(told.To, []string{"old@example.com"}) || told.Read(t).Subject != "Your email address was changed" {
		t.Errorf("told %q", told.To)
	}
	b.Open(t, link)
	if b.Page.StatusCode != http.StatusGone {
		t.Errorf("used again: %d", b.Page.StatusCode)
	}
	for range 4 {
		if err := s.Links.ChangeEmail(t.Context(), u.ID, 0, "victim@example.com", "en", store.By{Actor: u.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Links.ChangeEmail(t.Context(), u.ID, 0, "victim@example.com", "en", store.By{Actor: u.ID}); err == nil {
		t.Error("a user can have as much mail sent to others as they like")
	}
}

// A sign-in with a browser that was not seen before is told, with its words and address;
// with a known one, and the first of all, it is not.
func TestMail_NewDevice(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, mailing(inbox), behindProxy)
	withAddress(t, s, "alice", "alice@example.com", true)
	known := stranger(t, s)
	for range 2 {
		known.Open(t, s.URL+"/login")
		known.SignIn(t, "alice")
	}
	b := stranger(t, s)
	r := formRequest(t, b, s, "login-form", url.Values{"username": {"alice"}, "password": {oauthtest.Password}, "action": {"login"}})
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1")
	if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d", answer.StatusCode)
	}
	letter := inbox.Wait(t, 1)[0].Read(t)
	for _, part := range []string{"Safari on iPhone", "203.0.113.7", "UTC", s.URL + "/login/forgot"} {
		if !strings.Contains(letter.Text, part) {
			t.Errorf("no %q in\n%s", part, letter.Text)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(inbox.Mails()); n != 1 {
		t.Errorf("%d letters", n)
	}
}

// Nobody waits for a mail server, and nothing is lost when it hangs, refuses or is away:
// the letter is tried again, by whichever server runs then, and once it was taken it is
// gone. One that is refused for good is not tried again.
func TestMail_ServerAway(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	at := func(step, reply string) {
		inbox.Reply(func(s, _ string) string {
			if s == step {
				return reply
			}
			return ""
		})
	}
	data := oauthtest.DataDir(t)
	t.Run("hangs", func(t *testing.T) {
		at("CONNECT", mailtest.Hang)
		s := oauthtest.StartIn(t, data, mailing(inbox))
		withAddress(t, s, "alice", "alice@example.com", true)
		began := time.Now()
		if b := forget(t, s, "alice"); !b.On("mail-sent") || time.Since(began) > 5*time.Second {
			t.Errorf("%d after %v", b.Page.StatusCode, time.Since(began))
		}
		eventually(t, "the mail server is called", func() bool { return inbox.Calls() > 0 })
	})
	t.Run("refuses for now", func(t *testing.T) {
		at("RCPT", "451 4.7.1 alice@example.com has to wait")
		s := oauthtest.StartIn(t, data, mailing(inbox))
		s.Clock.Advance(3 * time.Minute) // the server before may have been killed
		eventually(t, "it is tried again", func() bool { return strings.Contains(s.Log.String(), "RCPT was answered with 451") })
		if log := s.Log.String(); strings.Contains(log, "alice@example.com") {
			t.Errorf("the log has the address:\n%s", log)
		}
		at("", "")
		s.Clock.Advance(3 * time.Minute)
		letter := inbox.Wait(t, 1)[0].Read(t)
		if b := useLink(t, s, letter.Link(), anotherPassword); !b.On("password-set") {
			t.Errorf("%d", b.Page.StatusCode)
		}
		inbox.Wait(t, 2) // and that is told
		// A server that ends before it has noted that a letter was taken sends it once more.
		eventually(t, "the letter is gone", func() bool { return len(waitingMails(t, s)) == 0 })
	})
	t.Run("refuses for good", func(t *testing.T) {
		at("RCPT", "550 5.1.1 no such user")
		s := oauthtest.StartIn(t, data, mailing(inbox))
		s.Clock.Advance(time.Hour)
		forget(t, s, "alice")
		eventually(t, "it is refused", func() bool { return strings.Contains(s.Log.String(), "will not be sent again") })
		at("", "")
		s.Clock.Advance(time.Hour)
		time.Sleep(2500 * time.Millisecond)
		mails, err := s.Store.ClaimMails(t.Context(), s.Clock.Now(), 10)
		if err != nil || len(mails) > 0 || len(inbox.Mails()) != 2 {
			t.Errorf("%v, %v, %d letters", mails, err, len(inbox.Mails()))
		}
	})
	t.Run("too late", func(t *testing.T) {
		at("CONNECT", "421 4.3.2 closed")
		s := oauthtest.StartIn(t, data, mailing(inbox))
		s.Clock.Advance(3 * time.Hour)
		forget(t, s, "alice")
		eventually(t, "it fails", func() bool { return strings.Contains(s.Log.String(), "will be tried again") })
		for range 8 {
			s.Clock.Advance(8 * time.Minute)
			time.Sleep(10 * time.Millisecond)
		}
		eventually(t, "it is forgotten", func() bool {
			return !strings.Contains(strings.Join(waitingMails(t, s), ""), "reset")
		})
		if len(inbox.Mails()) != 2 {
			t.Errorf("%d letters", len(inbox.Mails()))
		}
	})
}

// waitingMails are the kinds of all mail that is claimed when it is due.
func waitingMails(t *testing.T, s *oauthtest.Server) (kinds []string) {
	t.Helper()
	mails, err := s.Store.ClaimMails(t.Context(), s.Clock.Now().Add(24*time.Hour), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mails {
		kinds = append(kinds, m.Kind)
	}
	return kinds
}
