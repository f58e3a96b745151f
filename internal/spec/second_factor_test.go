package spec_test

import (
	"bytes"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// withApp gives a user an authenticator app, in a browser that is used for nothing else.
func withApp(t *testing.T, s *oauthtest.Server, username string) *oauthtest.Authenticator {
	t.Helper()
	b := stranger(t, s)
	b.SignIn(t, username)
	return b.SetUpApp(t)
}

// halfway is a new browser before the second step, on a page that leads to an address.
func halfway(t *testing.T, s *oauthtest.Server, username, address string) *oauthtest.Browser {
	t.Helper()
	b := s.Browser(t)
	b.Open(t, address)
	b.SignIn(t, username)
	if !b.On("second-factor-form") || b.Page.Request.URL.Path != "/login/second-factor" {
		t.Fatalf("after the password: %d at %s\n%s", b.Page.StatusCode, b.Page.Request.URL, b.Page.Body)
	}
	return b
}

// told is what a client learns that exchanges the code of an answer: acr and amr, by
// introspection of its access token.
func told(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, answer *url.URL) (acr, amr string) {
	t.Helper()
	exchanged := app.Server.Post(t, at.AuthorizationCode, app.Credentials("grant_type", "authorization_code", "code", answer.Query().Get("code"), "redirect_uri", app.RedirectURL))
	inside := app.Introspect(t, exchanged.Text("access_token"))
	methods, _ := inside.JSON("amr").([]any)
	var words []string
	for _, m := range methods {
		words = append(words, m.(string))
	}
	if inside.JSON("active") != true {
		t.Fatalf("%s: %s %s", answer, exchanged.Body, inside.Body)
	}
	return inside.Text("acr"), strings.Join(words, " ")
}

const (
	acrPassword, acrMFA = "urn:hufu:acr:password", "urn:hufu:acr:mfa"
	amrMFA              = "pwd otp mfa"
)

// With a second factor a sign-in takes the password and a code; what the client is told of
// it is true; the session is new, and there was none before (MF-05, SE-01).
func TestSecondFactor_SignIn(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	phone := withApp(t, s, "alice")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := halfway(t, s, "alice", authorizationURL(app, at.Code))
		if cookieNamed(t, b, "hufu_session") != "" {
			t.Error("the password alone made a session")
		}
		page := b.EnterCode(t, "000000")
		if page.StatusCode != http.StatusUnprocessableEntity || !b.On("second-factor-error") {
			t.Fatalf("a wrong code: %d\n%s", page.StatusCode, page.Body)
		}
		b.EnterCode(t, " "+phone.Code(t)[:3]+" "+phone.CodeAt(t, s.Clock.Now())[3:]) // as apps show it
		if b.On("consent-form") {
			b.Approve(t)
		}
		if b.Location(t) == nil {
			t.Fatalf("after the code: %d\n%s", b.Page.StatusCode, b.Page.Body)
		}
		if acr, amr := told(t, app, at, b.Location(t)); acr != acrMFA || amr != amrMFA {
			t.Errorf("acr %q, amr %q", acr, amr)
		}
		if signedInAs(t, s, sessionCookie(t, b)) != "alice" {
			t.Error("nobody is signed in")
		}
	})
	// Who cancels refuses the client, and signs in nowhere.
	b := halfway(t, s, "alice", authorizationURL(app, "/authorize"))
	b.Submit(t, "second-factor-form", url.Values{"action": {"cancel"}})
	if to := b.Location(t); to == nil || to.Query().Get("error") != "access_denied" || cookieNamed(t, b, "hufu_session") != "" {
		t.Errorf("cancelled: %v", to)
	}
	// A sign-in that no app asked for.
	b = halfway(t, s, "alice", "/login")
	if b.EnterCode(t, phone.Code(t)); b.Page.Request.URL.Path != "/account" || !strings.Contains(string(b.Page.Body), "alice") {
		t.Errorf("after the code: %s", b.Page.Request.URL)
	}
}

// A code is good once: not for the sign-in beside it, not in parallel, not after a later
// one was used, and not after it set the app up (MF-01).
func TestSecondFactor_CodeUsedOnce(t *testing.T) {
	t.Parallel()
	data := oauthtest.DataDir(t)
	s := oauthtest.StartIn(t, data)
	replica := replicaOf(t, s, data)
	s.App(t)
	b := stranger(t, s)
	b.SignIn(t, "alice")
	b.Open(t, "/login/second-factor/set-up")
	phone := b.SetUpApp(t)
	first := phone.CodeAt(t, s.Clock.Now())
	if page := halfway(t, s, "alice", "/login").EnterCode(t, first); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the code that set the app up: %d", page.StatusCode)
	}
	code := phone.Code(t)
	replica.Clock.Advance(s.Clock.Now().Sub(replica.Clock.Now()))
	var accepted atomic.Int64
	var callers sync.WaitGroup
	for i := range 4 { // with the one before as many as are judged
		b := halfway(t, s, "alice", "/login")
		r := formRequest(t, b, s, "second-factor-form", url.Values{"code": {code}})
		if i%2 == 1 {
			r.URL.Host = strings.TrimPrefix(replica.Origin, "http://")
		}
		callers.Go(func() {
			if s.Do(t, r).StatusCode == http.StatusSeeOther {
				accepted.Add(1)
			}
		})
	}
	callers.Wait()
	if accepted.Load() != 1 {
		t.Errorf("a code was taken %d times", accepted.Load())
	}
	s.Clock.Advance(time.Hour)
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Code(t)); page.StatusCode != http.StatusOK {
		t.Errorf("the next code: %d", page.StatusCode)
	}
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.CodeAt(t, s.Clock.Now().Add(-30*time.Second))); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the code before the one that was used: %d", page.StatusCode)
	}
}

// replicaOf is another server on the database of one; on SQLite, where there is none, the
// server itself.
func replicaOf(t *testing.T, s *oauthtest.Server, data string) *oauthtest.Server {
	t.Helper()
	if !oauthtest.OnPostgres() {
		return s
	}
	return oauthtest.StartIn(t, data, func(c *config.Config) { c.Issuer = s.URL })
}

// Guesses are counted for the user and before they are judged: neither another browser nor
// a sign-in from its beginning gets more of them, nor do a hundred at once; what is right
// is not counted, and a browser that the user knows has a budget of its own (MF-02, LG-04).
func TestSecondFactor_Guessing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.App(t)
	known := stranger(t, s)
	known.SignIn(t, "alice")
	phone := known.SetUpApp(t)
	for range 8 {
		if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Code(t)); page.StatusCode != http.StatusOK {
			t.Fatalf("a right code: %d", page.StatusCode)
		}
	}
	for i := range 5 {
		wrong := []string{"000000", phone.Codes[0][:10] + "Z"}[i%2] // the two kinds share the limit
		if page := halfway(t, s, "alice", "/login").EnterCode(t, wrong); page.StatusCode != http.StatusUnprocessableEntity {
			t.Fatalf("wrong code %d: %d", i, page.StatusCode)
		}
	}
	b := halfway(t, s, "alice", "/login")
	page := b.EnterCode(t, phone.Code(t))
	if page.StatusCode != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" || !b.On("second-factor-error") {
		t.Fatalf("after five wrong codes: %d, Retry-After %q\n%s", page.StatusCode, page.Header.Get("Retry-After"), page.Body)
	}
	known.Open(t, "/login")
	known.SignIn(t, "alice")
	if page := known.EnterCode(t, phone.Code(t)); page.StatusCode != http.StatusOK {
		t.Errorf("the owner's browser: %d", page.StatusCode)
	}
	s.User(t, "bob")
	bobs := withApp(t, s, "bob")
	if page := halfway(t, s, "bob", "/login").EnterCode(t, bobs.Code(t)); page.StatusCode != http.StatusOK {
		t.Errorf("another user: %d", page.StatusCode)
	}
	s.Clock.Advance(11 * time.Minute)
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Code(t)); page.StatusCode != http.StatusOK {
		t.Errorf("after a while: %d", page.StatusCode)
	}
	if refused := events(t, s, store.EventSignInFailed); len(refused) != 5 {
		t.Errorf("%d wrong codes were recorded", len(refused))
	}
}

// Whoever knew the password before there was a second factor has as many known browsers as
// they made; together those try few codes more than one of them, and an unknown one keeps
// its own budget (MF-02).
func TestSecondFactor_GuessingWithKnownBrowsers(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.App(t)
	var known []*oauthtest.Browser
	for range 6 {
		b := stranger(t, s)
		b.SignIn(t, "alice")
		known = append(known, b)
	}
	phone := withApp(t, s, "alice")
	judged := 0
	for _, b := range known {
		b.Open(t, "/login")
		b.SignIn(t, "alice")
		for range 5 {
			if b.EnterCode(t, "000000").StatusCode == http.StatusUnprocessableEntity {
				judged++
			}
		}
	}
	if judged > 15 {
		t.Errorf("%d codes were tried", judged)
	}
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Code(t)); page.StatusCode != http.StatusOK {
		t.Errorf("another browser: %d", page.StatusCode)
	}
}

// events are those of a kind, the newest first.
func events(t *testing.T, s *oauthtest.Server, kind string) (found []store.Event) {
	t.Helper()
	all, err := s.Store.Events(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// Of a hundred guesses at once five are judged (MF-02, LG-07).
func TestSecondFactor_ParallelGuesses(t *testing.T) {
	t.Parallel()
	data := oauthtest.DataDir(t)
	s := oauthtest.StartIn(t, data)
	replica := replicaOf(t, s, data)
	s.App(t)
	withApp(t, s, "alice")
	b := halfway(t, s, "alice", "/login")
	replica.Clock.Advance(s.Clock.Now().Sub(replica.Clock.Now()))
	var judged, throttled atomic.Int64
	var callers sync.WaitGroup
	for i := range 100 {
		r := formRequest(t, b, s, "second-factor-form", url.Values{"code": {"000000"}})
		if i%2 == 1 {
			r.URL.Host = strings.TrimPrefix(replica.Origin, "http://")
		}
		callers.Go(func() {
			switch s.Do(t, r).StatusCode {
			case http.StatusUnprocessableEntity:
				judged.Add(1)
			case http.StatusTooManyRequests:
				throttled.Add(1)
			}
		})
	}
	callers.Wait()
	if judged.Load() != 5 || throttled.Load() != 95 {
		t.Errorf("%d were judged and %d throttled", judged.Load(), throttled.Load())
	}
}

// Half a sign-in is none: not at the authorization endpoint, not on the pages of consent
// and account, not at any API; and it is good only for the browser it began in, where it
// leads, for ten minutes, and for a user who has not changed (MF-03, RO-03).
func TestSecondFactor_HalfIsNothing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	phone := withApp(t, s, "alice")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := halfway(t, s, "alice", authorizationURL(app, at.Code))
		half := b.Page.Request.URL.Query()
		b.Open(t, authorizationURL(app, at.Code, "prompt", "none"))
		if to := b.Location(t); to == nil || to.Query().Get("error") != "login_required" {
			t.Errorf("silent: %v", to)
		}
		for _, path := range []string{"/consent", "/authorize/resume"} {
			if b.Open(t, path+"?request="+url.QueryEscape(half.Get("request"))); !b.On("login-form") {
				t.Errorf("%s is open: %d at %s", path, b.Page.StatusCode, b.Page.Request.URL)
			}
		}
		if b.Open(t, "/"); !b.On("home-signin") {
			t.Error("the home page knows somebody")
		}
		for _, path := range []string{"/userinfo", "/account", "/admin"} {
			r := b.Request(t, s.URL+path)
			r.Header.Set("Authorization", "Bearer "+half.Get("sign_in"))
			if answer := s.Do(t, r); answer.StatusCode == http.StatusOK {
				t.Errorf("%s: %s", path, answer.Body)
			}
		}
		for _, form := range []url.Values{
			app.Credentials("grant_type", "authorization_code", "code", half.Get("sign_in"), "redirect_uri", app.RedirectURL),
			app.Credentials("grant_type", "refresh_token", "refresh_token", half.Get("sign_in")),
		} {
			if answer := s.Post(t, "/token", form); answer.Text("error") != "invalid_grant" {
				t.Errorf("token endpoint: %s", answer.Body)
			}
		}
		answer := s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
		if answer.StatusCode != http.StatusBadRequest || answer.Text("error") != "invalid_grant" || !strings.Contains(answer.Text("error_description"), "second factor") {
			t.Errorf("the password grant: %d %s", answer.StatusCode, answer.Body)
		}
	})
	for name, spoil := range map[string]func(b *oauthtest.Browser) (path string){
		"another browser": func(b *oauthtest.Browser) string {
			path := b.Page.Request.URL.RequestURI()
			*b = *stranger(t, s)
			return path
		},
		"somewhere else": func(b *oauthtest.Browser) string { return b.Page.Request.URL.RequestURI() + "&return=%2Faccount" },
		"too late": func(b *oauthtest.Browser) string {
			s.Clock.Advance(10*time.Minute + 2*time.Second)
			return b.Page.Request.URL.RequestURI()
		},
		"damaged": func(b *oauthtest.Browser) string { return "/login/second-factor?sign_in=AAAA" },
		"another password": func(b *oauthtest.Browser) string {
			u := theUser(t, s, "alice")
			if err := s.Store.SetPassword(t.Context(), u.ID, u.Password, s.Clock.Now(), theOperator); err != nil {
				t.Fatal(err)
			}
			return b.Page.Request.URL.RequestURI()
		},
	} {
		b := halfway(t, s, "alice", "/login")
		action, fields := b.Form(t, "second-factor-form")
		path := spoil(b)
		if b.Open(t, path); !b.On("login-form") {
			t.Errorf("%s: %d at %s", name, b.Page.StatusCode, b.Page.Request.URL)
		}
		if name == "somewhere else" {
			fields.Set("return", "/account")
		}
		if name == "damaged" {
			fields.Set("sign_in", "AAAA")
		}
		_, own := b.Form(t, "login-form")
		fields.Set("form_token", own.Get("form_token"))
		fields.Set("code", phone.Code(t))
		r := s.Request(t, http.MethodPost, action, fields.Encode())
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		if answer := s.Do(t, r); answer.StatusCode != http.StatusUnprocessableEntity || answer.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: the form: %d, cookie %q", name, answer.StatusCode, answer.Header.Get("Set-Cookie"))
		}
	}
}

// Recovery codes stand in for the app: ten, each once, in any spelling, in parallel too;
// the database holds none of them, and the owner can look it up in the audit trail
// (MF-04).
func TestSecondFactor_RecoveryCodes(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnFile)
	app := s.App(t)
	phone := withApp(t, s, "alice")
	if len(phone.Codes) != 10 {
		t.Fatalf("%d recovery codes", len(phone.Codes))
	}
	b := halfway(t, s, "alice", authorizationURL(app, "/authorize"))
	b.Open(t, followed(t, b, "use-recovery"))
	if !b.On("second-factor-form") || b.On("remember") {
		t.Fatalf("the page for recovery codes: %s", b.Page.Body)
	}
	if page := b.EnterCode(t, "AAAAA-AAAAA"); page.StatusCode != http.StatusUnprocessableEntity || !b.On("second-factor-error") || !strings.Contains(string(page.Body), "That recovery code") {
		t.Errorf("a wrong one: %d\n%s", page.StatusCode, page.Body)
	}
	b.EnterCode(t, strings.ToLower(strings.ReplaceAll(phone.Codes[0], "-", " ")))
	b.Approve(t)
	if acr, amr := told(t, app, oauthtest.AllAddresses[0], b.Location(t)); acr != acrMFA || amr != amrMFA {
		t.Errorf("acr %q, amr %q", acr, amr)
	}
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Codes[0]); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a second time: %d", page.StatusCode)
	}
	var accepted atomic.Int64
	var callers sync.WaitGroup
	b = halfway(t, s, "alice", "/login")
	for range 4 {
		r := formRequest(t, b, s, "second-factor-form", url.Values{"code": {phone.Codes[1]}})
		callers.Go(func() {
			if s.Do(t, r).StatusCode == http.StatusSeeOther {
				accepted.Add(1)
			}
		})
	}
	callers.Wait()
	if accepted.Load() != 1 {
		t.Errorf("a code was taken %d times", accepted.Load())
	}
	if used := events(t, s, store.EventRecoveryCodeUsed); len(used) != 2 || used[0].Detail != "8 left" || used[0].UserID != theUser(t, s, "alice").ID {
		t.Errorf("events %+v", used)
	}
	s.User(t, "bob")
	bobs := withApp(t, s, "bob")
	if page := halfway(t, s, "bob", "/login").EnterCode(t, phone.Codes[2]); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("somebody else's code: %d", page.StatusCode)
	}
	wantNotInDatabase(t, s, append(bobs.Codes, bobs.Key, phone.Key, phone.Codes[5])...)
}

// followed is where a link of the open page leads.
func followed(t *testing.T, b *oauthtest.Browser, id string) string {
	t.Helper()
	match := regexp.MustCompile(`<a id="` + id + `"(?: class="[^"]*")? href="([^"]*)"`).FindSubmatch(b.Page.Body)
	if match == nil {
		t.Fatalf("no link %s on the page:\n%s", id, b.Page.Body)
	}
	return html.UnescapeString(string(match[1]))
}

// A device that the person wants to be remembered stands in for the code, for thirty days
// at most, and says so: acr and amr are those of the password. Another password or another
// app makes it void, and it is nobody else's (MF-05).
func TestSecondFactor_RememberedDevice(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t, func(m *oauth.ClientMetadata) { m.Trusted = true })
	s.User(t, "bob")
	phone := withApp(t, s, "alice")
	withApp(t, s, "bob")
	remembering := func() *oauthtest.Browser {
		b := halfway(t, s, "alice", "/login")
		b.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}, "remember": {"1"}})
		return b
	}
	again := func(b *oauthtest.Browser, username string) bool {
		b.Open(t, authorizationURL(app, "/authorize", "prompt", "login"))
		b.SignIn(t, username)
		return b.On("second-factor-form")
	}
	b := remembering()
	if again(b, "alice") {
		t.Fatal("the device is asked for a code again")
	}
	if acr, amr := told(t, app, oauthtest.AllAddresses[0], b.Location(t)); acr != acrPassword || amr != "pwd" {
		t.Errorf("a remembered device: acr %q, amr %q", acr, amr)
	}
	if b.Open(t, authorizationURL(app, "/authorize", "acr_values", acrMFA)); !b.On("second-factor-form") {
		t.Error("a remembered device passes for a second factor")
	}
	if !again(b, "bob") {
		t.Error("it stands in for somebody else's second factor")
	}
	if other := s.Browser(t); !again(other, "alice") {
		t.Error("another browser is remembered")
	}
	s.Clock.Advance(29 * 24 * time.Hour)
	if again(b, "alice") {
		t.Error("the device is forgotten before 30 days")
	}
	s.Clock.Advance(24 * time.Hour)
	if !again(b, "alice") {
		t.Error("the device is remembered for longer than 30 days")
	}
	b = remembering()
	u := theUser(t, s, "alice")
	if err := s.Store.SetPassword(t.Context(), u.ID, u.Password, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	if !again(b, "alice") {
		t.Error("the device outlives the password")
	}
	b = remembering()
	registered, err := s.Store.AuthenticatorApp(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Store.RemoveAuthenticatorApp(t.Context(), u.ID, theUser(t, s, "alice").Epoch, registered.ID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	phone = withApp(t, s, "alice")
	if !again(b, "alice") {
		t.Error("the device outlives the app")
	}
}

// Who signs a browser out from afar does not want it to stand in for the code any more:
// neither the one that is named, nor any other when all are, whether or not it was signed
// in still. It may do so again once the code was entered there (SE-04, MF-05).
func TestSecondFactor_RememberedDeviceSignedOut(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"that one": 2 * time.Minute, "all": 2 * time.Minute, "all, it has idled": 13 * time.Hour, "all of everybody": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			s.User(t, "alice")
			phone := withApp(t, s, "alice")
			lost := s.Browser(t)
			lost.UserAgent = "Lost/1"
			enter := func() {
				lost.Open(t, "/login")
				lost.SignIn(t, "alice")
			}
			remember := func() {
				enter()
				lost.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}, "remember": {"1"}})
			}
			remember()
			if enter(); lost.On("second-factor-form") {
				t.Fatal("the device is not remembered")
			}
			s.Clock.Advance(idle)
			b := halfway(t, s, "alice", "/account/sessions")
			b.EnterCode(t, phone.Code(t))
			_, fields := b.Form(t, "end-others-form")
			fields.Set("end", "others")
			switch name {
			case "all of everybody":
				ok(t, s.Store.RevokeAll(t.Context(), s.Clock.Now(), theOperator))
			case "that one":
				sessions, err := s.Store.Sessions(t.Context(), theUser(t, s, "alice").ID, s.Clock.Now(), time.Hour, 10)
				ok(t, err)
				i := slices.IndexFunc(sessions, func(s store.Session) bool { return s.UserAgent == "Lost/1" })
				fields.Set("end", sessions[i].SID)
			}
			if answer := send(t, s, b, "/account/sessions", fields); answer.StatusCode != http.StatusSeeOther {
				t.Fatalf("signed out: %d", answer.StatusCode)
			}
			if enter(); !lost.On("second-factor-form") {
				t.Errorf("it stands in for the code still: at %s", lost.Page.Request.URL)
			}
			s.Clock.Advance(2 * time.Minute)
			remember()
			if enter(); lost.On("second-factor-form") {
				t.Error("it is never remembered again")
			}
		})
	}
}

// With second_factor_remembered at zero no device is remembered, whatever the form says.
func TestSecondFactor_NoRememberedDevice(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.SecondFactorRemembered = 0 })
	s.App(t)
	phone := withApp(t, s, "alice")
	b := halfway(t, s, "alice", "/login")
	if b.On("remember") {
		t.Error("the page offers it")
	}
	b.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}, "remember": {"1"}})
	b.Open(t, "/login")
	if b.SignIn(t, "alice"); !b.On("second-factor-form") {
		t.Error("the device was remembered")
	}
}

// wantNotInDatabase fails when one of some secrets stands in the database, or in the log.
func wantNotInDatabase(t *testing.T, s *oauthtest.Server, secrets ...string) {
	t.Helper()
	content := databaseFiles(t, s)
	for _, secret := range secrets {
		if bytes.Contains(content, []byte(secret)) || bytes.Contains(content, []byte(strings.ReplaceAll(secret, "-", ""))) {
			t.Errorf("the database holds %q", secret)
		}
		if strings.Contains(s.Log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// Whatever comes to the pages of the second step, they answer with a page or lead on; none
// of it is a failure of ours.
func TestSecondFactor_BadInput(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.App(t)
	phone := withApp(t, s, "alice")
	b := halfway(t, s, "alice", "/login")
	half := b.Page.Request.URL.Query().Get("sign_in")
	_, fields := b.Form(t, "second-factor-form")
	cookies := b.Cookies(t)
	for _, path := range []string{"/login/second-factor", "/login/second-factor/set-up", "/account/second-factor"} {
		for _, query := range []string{"", "sign_in=", "sign_in=x", "sign_in=x&sign_in=y", "%zz", "request=x", "request=x&sign_in=" + half, "app=x", "app=" + half, "return=//evil.example", "recovery=%00"} {
			r := s.Request(t, http.MethodGet, path+"?"+query, "")
			for _, c := range cookies {
				r.AddCookie(c)
			}
			if answer := s.Do(t, r); answer.StatusCode >= http.StatusInternalServerError {
				t.Errorf("GET %s?%s: %d", path, query, answer.StatusCode)
			}
		}
		for _, code := range []string{"", " ", "\x00", "\xff\xfe", "１２３４５６", strings.Repeat("1", 60_000), "12345a", "-12345", "+12345", "0x1234", "' OR 1=1", phone.Codes[0] + "\n"} {
			form := url.Values{"form_token": {fields.Get("form_token")}, "sign_in": {half}, "code": {code}, "app": {half}, "action": {"confirm"}}
			r := s.Request(t, http.MethodPost, path, form.Encode())
			for _, c := range cookies {
				r.AddCookie(c)
			}
			if answer := s.Do(t, r); answer.StatusCode >= http.StatusInternalServerError || strings.Contains(strings.Join(answer.Header.Values("Set-Cookie"), " "), "hufu_session=") {
				t.Errorf("POST %s, %.20q: %d", path, code, answer.StatusCode)
			}
		}
	}
}

// A code that is added to a session does not make it live longer than the password that
// began it (SE-03).
func TestSecondFactor_StepUpKeepsTheEnd(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.SessionLifetime, c.SessionIdleLifetime = 2*time.Hour, 2*time.Hour
	})
	s.User(t, "alice")
	b := home(t, s, "alice")
	phone := withApp(t, s, "alice")
	s.Clock.Advance(110 * time.Minute)
	b.Open(t, "/login/second-factor")
	if b.EnterCode(t, phone.Code(t)); signedInAs(t, s, sessionCookie(t, b)) != "alice" {
		t.Fatalf("after the code: %s", b.Page.Request.URL)
	}
	s.Clock.Advance(11 * time.Minute)
	if who := signedInAs(t, s, sessionCookie(t, b)); who != "" {
		t.Errorf("%s is signed in for longer than a session may last", who)
	}
}
