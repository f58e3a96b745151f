package spec_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/account"
	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// accountRoutes are all pages of an account, from the router itself, on a server that
// sends mail.
func accountRoutes() []account.Route {
	return (&account.Endpoint{Links: &login.Links{Sends: true}}).Routes()
}

// accountPaths are those that there are without mail as well.
func accountPaths() (paths []string) {
	for _, route := range new(account.Endpoint).Routes() {
		paths = append(paths, route.Path)
	}
	return paths
}

// mailingServer is a server that sends mail, and where it arrives.
func mailingServer(t *testing.T, edits ...func(*config.Config)) (*oauthtest.Server, *mailtest.Server) {
	t.Helper()
	inbox := mailtest.Start(t, mailtest.Options{})
	return oauthtest.Start(t, append(edits, mailing(inbox))...), inbox
}

// home is a browser in which somebody has signed in to look after their account.
func home(t testing.TB, s *oauthtest.Server, username string) *oauthtest.Browser {
	t.Helper()
	b := s.Browser(t)
	b.Open(t, "/account")
	b.SignIn(t, username)
	if path := b.Page.Request.URL.Path; path != "/account" || b.Page.StatusCode != http.StatusOK {
		t.Fatalf("signing in led to %s (%d)", path, b.Page.StatusCode)
	}
	return b
}

// Nobody sees a page of an account who is not signed in, and signing in leads back to
// the page that was asked for; no form is taken before (MF-03, SE-07).
func TestAccount_SignInFirst(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]string{"at the root": "", "below a path": "/auth/tenant"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := mailingServer(t, func(c *config.Config) { c.Issuer += base })
			s.User(t, "alice")
			for _, route := range accountRoutes() {
				path := route.Path
				b := s.Browser(t)
				b.Open(t, s.URL+path)
				if !b.On("login-form") || b.Page.Request.URL.Query().Get("return") != path {
					t.Errorf("%s: a stranger is led to %s", path, b.Page.Request.URL)
					continue
				}
				if b.SignIn(t, "alice"); b.Page.Request.URL.Path != base+path || b.Page.StatusCode != http.StatusOK || !b.On("section-overview") {
					t.Errorf("%s: signing in led to %s (%d)", path, b.Page.Request.URL, b.Page.StatusCode)
				}
			}
			b := s.Browser(t)
			b.Open(t, s.URL+"/account/profile")
			b.SignIn(t, "alice")
			if b.Submit(t, "profile-form", url.Values{"name": {"Alice"}}); b.Page.Request.URL.Path != base+"/account/profile" || !b.On("account-done") {
				t.Errorf("a form led to %s (%d)", b.Page.Request.URL, b.Page.StatusCode)
			}
		})
	}
}

// The sign-in page leads to pages of an account, and nowhere else that somebody puts
// into its address (AZ-06).
func TestAccount_ReturnLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	for _, to := range []string{
		"https://evil.example/account", "//evil.example/account", "/\\evil.example", "/account/../logout/done", "/accounts", "/account/%2e%2e/", "/account//evil.example",
		"/account/\r\nX: y", "/consent", "javascript:alert(1)", "/Account", "/account/?a=b", "/account/",
	} {
		b := s.Browser(t)
		b.Open(t, "/login?"+url.Values{"return": {to}}.Encode())
		if strings.Contains(string(b.Page.Body), `name="return"`) {
			t.Errorf("%q is in the form", to)
		}
		action, fields := b.Form(t, "login-form")
		fields.Set("return", to)
		fields.Set("username", "alice")
		fields.Set("password", oauthtest.Password)
		r := s.Request(t, http.MethodPost, s.Origin+action, fields.Encode())
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		r.Header.Set("Origin", s.Origin)
		if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/account" {
			t.Errorf("%q: %d to %q", to, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
}

// A dangerous step asks for another sign-in when the last one was long ago; the others
// do not (SE-07).
func TestAccount_FreshSignIn(t *testing.T) {
	t.Parallel()
	s, _ := mailingServer(t)
	s.User(t, "alice")
	dangerous := []string{"/account/email", "/account/password", "/account/second-factor", "/account/export", "/account/delete"}
	b := home(t, s, "alice")
	b.Open(t, "/account/delete")
	_, deletion := b.Form(t, "delete-form")
	s.Clock.Advance(9 * time.Minute)
	for _, path := range dangerous {
		if b.Open(t, path); b.On("login-form") {
			t.Errorf("%s asks again after nine minutes", path)
		}
	}
	s.Clock.Advance(2 * time.Minute)
	for _, route := range accountRoutes() {
		path := route.Path
		b.Open(t, path)
		if asked := b.On("login-form"); asked != slices.Contains(dangerous, path) {
			t.Errorf("%s: asks for a sign-in %t", path, asked)
		}
	}
	deletion.Set("confirm", "alice")
	if answer := send(t, s, b, "/account/delete", deletion); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/login?return=") {
		t.Errorf("a form that was open too long: %d to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
	b.Open(t, "/account/password")
	if !strings.Contains(string(b.Page.Body), `value="alice"`) {
		t.Error("the sign-in page does not know who it asks")
	}
	if b.SignIn(t, "alice"); b.Page.Request.URL.Path != "/account/password" || !b.On("password-form") {
		t.Errorf("another sign-in led to %s", b.Page.Request.URL)
	}
}

// send posts fields as a form of our own page does, and follows nothing.
func send(t testing.TB, s *oauthtest.Server, b *oauthtest.Browser, path string, fields url.Values) *oauthtest.Answer {
	t.Helper()
	r := s.Request(t, http.MethodPost, path, fields.Encode())
	for _, c := range b.Cookies(t) {
		r.AddCookie(c)
	}
	r.Header.Set("Origin", s.Origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.Do(t, r)
}

// Another password ends every other session and every token; this browser goes on under
// another session, and the old cookie is dead (SE-01, SE-05).
func TestAccount_ChangePassword(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	token := app.SignInAndExchange(t)
	b, other := home(t, s, "alice"), home(t, s, "alice")
	before := sessionCookie(t, b)
	const password = "a few words of her own"
	for name, refused := range map[string]string{"too short": "short", "none": "", "too long": strings.Repeat("a", 1025), "her name": "alice"} {
		b.Open(t, "/account/password")
		if answer := b.Submit(t, "password-form", url.Values{"password": {refused}}); answer.StatusCode != http.StatusUnprocessableEntity || !b.On("password-error") {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
	b.Open(t, "/account/password")
	b.Submit(t, "password-form", url.Values{"password": {password}})
	if b.Page.Request.URL.Path != "/account/security" || !b.On("account-done") {
		t.Fatalf("it led to %s (%d)", b.Page.Request.URL, b.Page.StatusCode)
	}
	if after := sessionCookie(t, b); after.Value == before.Value || signedInAs(t, s, before) != "" || signedInAs(t, s, after) != "alice" {
		t.Error("the session did not go on under another cookie alone")
	}
	if other.Open(t, "/account"); !other.On("login-form") {
		t.Error("another browser is signed in still")
	}
	if app.Active(t, token.AccessToken) || app.Active(t, token.RefreshToken) {
		t.Error("a token lives on")
	}
	other.SignIn(t, "alice")
	if !other.On("login-error") {
		t.Error("the old password is good still")
	}
	other.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {password}})
	if other.Page.Request.URL.Path != "/account" {
		t.Errorf("the new password led to %s", other.Page.Request.URL)
	}
	// The page says once what was done, and nothing that somebody put into its address.
	b.Open(t, "/account/security?done=%3Cscript%3E")
	if b.On("account-done") {
		t.Error("it says that something was done")
	}
}

// A person sees where they are signed in and ends it, at once; what is somebody else's is
// not there (SE-04, AC-01).
func TestAccount_Sessions(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice := s.User(t, "alice")
	s.User(t, "bob")
	b := home(t, s, "alice")
	phone, desk, bobs := s.Browser(t), home(t, s, "alice"), home(t, s, "bob")
	phone.UserAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Mobile/15E148 Safari/604.1"
	phone.Open(t, "/account")
	phone.SignIn(t, "alice")
	b.Open(t, "/account/sessions")
	page := string(b.Page.Body)
	if !strings.Contains(page, "Safari on iPhone") || strings.Count(page, `name="end"`) != 3 || strings.Count(page, "This device") != 1 {
		t.Errorf("the list of devices:\n%s", page)
	}
	sessions, err := s.Store.Sessions(t.Context(), alice.ID, s.Clock.Now(), time.Hour, 10)
	if err != nil {
		t.Fatal(err)
	}
	var ofPhone string
	for _, session := range sessions {
		if strings.Contains(session.UserAgent, "iPhone") {
			ofPhone = session.SID
		}
	}
	_, fields := b.Form(t, "end-others-form")
	bobsFields := func(sid string) url.Values {
		bobs.Open(t, "/account/data")
		_, form := bobs.Form(t, "export-form")
		form.Set("end", sid)
		return form
	}
	for name, answer := range map[string]*oauthtest.Answer{
		"of somebody else": send(t, s, bobs, "/account/sessions", bobsFields(ofPhone)),
		"of nobody":        send(t, s, bobs, "/account/sessions", bobsFields("nothing")),
		"none":             send(t, s, bobs, "/account/sessions", bobsFields("")),
	} {
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("a session %s: %d", name, answer.StatusCode)
		}
	}
	if phone.Open(t, "/account"); phone.On("login-form") {
		t.Fatal("somebody else has ended it")
	}
	fields.Set("end", ofPhone)
	send(t, s, b, "/account/sessions", fields)
	if phone.Open(t, "/account"); !phone.On("login-form") {
		t.Error("the phone is signed in still")
	}
	if desk.Open(t, "/account"); desk.On("login-form") {
		t.Error("another browser was signed out as well")
	}
	b.Open(t, "/account/sessions")
	b.Submit(t, "end-others-form", url.Values{"end": {"others"}})
	if !b.On("account-done") || b.On("end-others") {
		t.Error("the page does not say that nobody else is left")
	}
	if desk.Open(t, "/account"); !desk.On("login-form") {
		t.Error("the other browser is signed in still")
	}
	if bobs.Open(t, "/account"); bobs.On("login-form") {
		t.Error("somebody else was signed out")
	}
}

// A person sees which apps may use their account, in words, and takes it back; what
// somebody else has allowed is not there (AC-01).
func TestAccount_Apps(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "read", TextEN: "Read your notes", TextZH: "读取您的笔记"}}
	})
	app := s.App(t)
	s.User(t, "bob")
	token := app.SignInAndExchange(t)
	b, bobs := home(t, s, "alice"), home(t, s, "bob")
	b.Open(t, "/account/apps")
	page := string(b.Page.Body)
	if strings.Count(page, `name="revoke"`) != 1 || !strings.Contains(page, `value="`+app.ClientID+`"`) || !strings.Contains(page, "Read your notes") {
		t.Errorf("the list of apps:\n%s", page)
	}
	for name, id := range map[string]string{"of somebody else": app.ClientID, "unknown": "nobody"} {
		bobs.Open(t, "/account/data")
		_, fields := bobs.Form(t, "export-form")
		fields.Set("revoke", id)
		if answer := send(t, s, bobs, "/account/apps", fields); answer.StatusCode != http.StatusNotFound {
			t.Errorf("an app %s: %d", name, answer.StatusCode)
		}
	}
	if !app.Active(t, token.AccessToken) {
		t.Fatal("somebody else has taken it back")
	}
	b.Open(t, "/account/data")
	_, fields := b.Form(t, "export-form")
	fields.Set("revoke", app.ClientID)
	if answer := send(t, s, b, "/account/apps", fields); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("taking it back: %d", answer.StatusCode)
	}
	if app.Active(t, token.AccessToken) || app.Active(t, token.RefreshToken) {
		t.Error("a token lives on")
	}
	if b.Open(t, "/account/apps"); strings.Contains(string(b.Page.Body), `name="revoke"`) {
		t.Error("the app is there still")
	}
	b.Open(t, authorizationURL(app, "/authorize"))
	if !b.On("consent-form") {
		t.Error("the app is not asked about again")
	}
}

// What people say about themselves reaches the apps they allow it to, and what is wrong is
// told at its field. What an operator knows of them stays as it is.
func TestAccount_Profile(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice := s.User(t, "alice")
	changed := *alice
	changed.Claims = json.RawMessage(`{"department":"Zoo","phone_number":"0123","phone_number_verified":true,"birthdate":"1990","address":{"country":"GB"}}`)
	if err := s.Store.UpdateUser(t.Context(), alice, &changed, s.Clock.Now(), store.By{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	b := home(t, s, "alice")
	b.Open(t, "/account/profile")
	wrong := url.Values{
		"name": {strings.Repeat("a", 201)}, "given_name": {"a\x01"}, "birthdate": {"17 May"}, "phone_number": {"call me"},
		"website": {"http://alice.example"}, "picture": {"javascript:alert(1)"},
	}
	b.Submit(t, "profile-form", wrong)
	if b.Page.StatusCode != http.StatusUnprocessableEntity {
		t.Fatalf("what is wrong: %d", b.Page.StatusCode)
	}
	for name := range wrong {
		if !b.On("problem-" + name) {
			t.Errorf("%s: no word about it", name)
		}
	}
	b.Open(t, "/account/profile")
	b.Submit(t, "profile-form", url.Values{"name": {" Alice 李 "}, "website": {"https://alice.example/"}, "language": {"zh"}, "sub": {"x"}, "admin": {"true"}, "email": {"a@b.example"}})
	if !b.On("account-done") {
		t.Fatalf("saving: %d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	got, err := s.Store.User(t.Context(), alice.ID)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(got.Claims, &claims); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "Alice 李", "website": "https://alice.example/", "department": "Zoo", "phone_number": "0123", "phone_number_verified": true,
		"birthdate": "1990", "address": map[string]any{"country": "GB"}}
	if diff := cmp.Diff(want, claims); diff != "" || got.Locale != "zh" || got.Email != alice.Email || got.Admin {
		t.Errorf("user %+v, claims (-want +got):\n%s", got, diff)
	}
	b.Open(t, "/account/profile")
	b.Submit(t, "profile-form", url.Values{"phone_number": {"+44 20 7946 0000"}, "name": {""}})
	got, _ = s.Store.User(t.Context(), alice.ID)
	if text := string(got.Claims); strings.Contains(text, "verified") || strings.Contains(text, `"name"`) || !strings.Contains(text, "+44 20 7946 0000") {
		t.Errorf("another number: %s", text)
	}
}

// What happened in an account, in words, and from whom; pages go on from one another, and
// what somebody puts into their address shows nothing of anybody else (AC-01).
func TestAccount_Activity(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice, bob := s.User(t, "alice"), s.User(t, "bob")
	for range 29 {
		if err := s.Store.Record(t.Context(), store.Event{At: s.Clock.Now(), Kind: store.EventSignInFailed, By: store.By{Actor: "cli", Address: "198.51.100.7"}, UserID: alice.ID}); err != nil {
			t.Fatal(err)
		}
		if err := s.Store.Record(t.Context(), store.Event{At: s.Clock.Now(), Kind: "other", By: store.By{Actor: bob.ID, Address: "203.0.113.99"}, UserID: bob.ID}); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever asked for a link had not signed in, and may have been alice.
	if err := s.Store.Record(t.Context(), store.Event{At: s.Clock.Now(), Kind: store.EventResetRequested, By: store.By{Actor: "nobody", Address: "192.0.2.55"}, UserID: alice.ID}); err != nil {
		t.Fatal(err)
	}
	b := home(t, s, "alice")
	b.Open(t, "/account/activity")
	if asked := strings.SplitN(string(b.Page.Body), "192.0.2.55", 2); len(asked) != 2 || strings.Contains(strings.SplitN(asked[1], "</li>", 2)[0], "by an administrator") {
		t.Errorf("a link that was asked for: %q", asked[len(asked)-1])
	}
	first := string(b.Page.Body)
	if strings.Count(first, "<time ") != 25 || !strings.Contains(first, "Sign-in refused") || !strings.Contains(first, "198.51.100.7") || !strings.Contains(first, "by an administrator") {
		t.Errorf("the first page:\n%s", first)
	}
	link := strings.SplitN(strings.SplitN(first, `id="activity-older"`, 2)[1], `href="`, 2)[1]
	b.Open(t, strings.ReplaceAll(link[:strings.Index(link, `"`)], "&amp;", "&"))
	second := string(b.Page.Body)
	if n := strings.Count(second, "<time "); n < 6 || n > 8 || strings.Contains(second, "activity-older") {
		t.Errorf("the second page has %d", n)
	}
	for _, before := range []string{"'", "zzz", "\x00", strings.Repeat("f", 5000)} {
		if b.Open(t, "/account/activity?"+url.Values{"before": {before}}.Encode()); b.Page.StatusCode >= 500 {
			t.Errorf("before=%.10q: %d", before, b.Page.StatusCode)
		}
		if strings.Contains(string(b.Page.Body), "203.0.113.99") {
			t.Errorf("before=%.10q shows somebody else's", before)
		}
	}
}

// A person takes everything with them that is kept about them, and no secret.
func TestAccount_Export(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	app.SignInAndExchange(t)
	b := home(t, s, "alice")
	b.Open(t, "/account/data")
	answer := b.Submit(t, "export-form", nil)
	var file struct {
		Sub, Username string
		Sessions      []struct{ Address string }
		Apps          []struct {
			ClientID string `json:"client_id"`
			Scope    []string
		}
		Events []struct{ Kind string }
	}
	if err := json.Unmarshal(answer.Body, &file); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	user, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if file.Sub != user.ID || file.Username != "alice" || len(file.Sessions) != 2 || len(file.Apps) != 1 || file.Apps[0].ClientID != app.ClientID || len(file.Events) < 3 {
		t.Errorf("the file:\n%s", answer.Body)
	}
	if strings.Contains(string(answer.Body), "argon2") || strings.Contains(string(answer.Body), sessionCookie(t, b).Value) {
		t.Error("the file holds a secret")
	}
	if h := answer.Header; h.Get("Content-Type") != "application/json" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
}

// Who leaves is gone at once, with everything that was allowed; the name is free again,
// the subject never (AC-03).
func TestAccount_Leave(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	token := app.SignInAndExchange(t)
	user, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	b, other := home(t, s, "alice"), home(t, s, "alice")
	b.Open(t, "/account/delete")
	if b.Submit(t, "delete-form", url.Values{"confirm": {"somebody"}}); b.Page.StatusCode != http.StatusUnprocessableEntity || !b.On("delete-error") {
		t.Errorf("with another name: %d", b.Page.StatusCode)
	}
	b.Submit(t, "delete-form", url.Values{"confirm": {" Alice "}})
	if !b.On("account-left") {
		t.Fatalf("leaving: %d\n%s", b.Page.StatusCode, b.Page.Body)
	}
	for name, browser := range map[string]*oauthtest.Browser{"here": b, "elsewhere": other} {
		if browser.Open(t, "/account"); !browser.On("login-form") {
			t.Errorf("%s somebody is signed in still", name)
		}
	}
	if app.Active(t, token.AccessToken) || app.Active(t, token.RefreshToken) {
		t.Error("a token lives on")
	}
	if b.SignIn(t, "alice"); !b.On("login-error") {
		t.Error("who has left can sign in")
	}
	if again := s.User(t, "alice"); again.ID == user.ID {
		t.Error("the subject was given to somebody else")
	}
}

// The last administrator does not leave a server that nobody would look after (AD-06).
func TestAccount_LastAdminStays(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	user := s.User(t, "plain")
	admin := &store.User{ID: store.NewUserID(), Username: "admin", UsernameKey: "admin", Password: user.Password, Admin: true, CreatedAt: s.Clock.Now()}
	if err := s.Store.CreateUser(t.Context(), admin, store.By{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	b := home(t, s, "admin")
	b.Open(t, "/account/delete")
	b.Submit(t, "delete-form", url.Values{"confirm": {"admin"}})
	if b.Page.StatusCode != http.StatusConflict || !b.On("delete-refused") {
		t.Errorf("leaving: %d", b.Page.StatusCode)
	}
	if b.Open(t, "/account"); b.On("login-form") {
		t.Error("the administrator was signed out")
	}
}

// No form of an account is taken from elsewhere (CS-01), and no address changes anything
// by GET (CS-02).
func TestAccount_ForeignForms(t *testing.T) {
	t.Parallel()
	s, inbox := mailingServer(t)
	s.User(t, "alice")
	s.User(t, "bob")
	b, bobs := home(t, s, "alice"), home(t, s, "bob")
	bobs.Open(t, "/account/data")
	_, foreign := bobs.Form(t, "export-form")
	b.Open(t, "/account/data")
	_, own := b.Form(t, "export-form")
	answers := url.Values{"end": {"others"}, "revoke": {"x"}, "confirm": {"alice"}, "password": {"another long password"}, "name": {"Mallory"}, "email": {"mallory@evil.example"}}
	for _, route := range accountRoutes() {
		path := route.Path
		with := func(fields url.Values) url.Values {
			all := url.Values{}
			for _, from := range []url.Values{fields, answers} {
				for name, values := range from {
					all[name] = values
				}
			}
			return all
		}
		if !strings.Contains(route.Methods, "POST") {
			if answer := send(t, s, b, path, with(own)); answer.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s takes no form: %d", path, answer.StatusCode)
			}
			continue
		}
		for name, answer := range map[string]*oauthtest.Answer{
			"somebody else's token": send(t, s, b, path, with(foreign)), "no token": send(t, s, b, path, with(nil)),
		} {
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %d", path, name, answer.StatusCode)
			}
		}
		r := s.Request(t, http.MethodPost, path, with(own).Encode())
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if answer := s.Do(t, r); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, answer.StatusCode)
		}
		if b.Open(t, path+"?"+with(own).Encode()); b.Page.StatusCode != http.StatusOK || !b.On("section-overview") {
			t.Errorf("%s by GET: %d", path, b.Page.StatusCode)
		}
	}
	user, err := s.Store.UserByName(t.Context(), "alice")
	if err != nil || user.Epoch != 1 || strings.Contains(string(user.Claims), "Mallory") {
		t.Errorf("alice is %+v, %v", user, err)
	}
	if mails := waitingMails(t, s); len(mails)+len(inbox.Mails()) > 0 {
		t.Errorf("mail was sent: %q", mails)
	}
}

// Another address becomes a person's by the link that was sent to it, and the old one is
// told; what is no address is refused, and nothing happens before the link is used (AC-02).
func TestAccount_Email(t *testing.T) {
	t.Parallel()
	s, inbox := mailingServer(t)
	withAddress(t, s, "alice", "alice@example.com", true)
	b := home(t, s, "alice")
	for name, address := range map[string]string{"none": "", "a word": "alice", "two": "a@b.example, c@d.example", "a header": "a@b.example\r\nBcc: c@d.example", "long": strings.Repeat("a", 300) + "@b.example"} {
		b.Open(t, "/account/email")
		if answer := b.Submit(t, "change-email-form", url.Values{"email": {address}}); answer.StatusCode != http.StatusUnprocessableEntity || !b.On("email-error") {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
	b.Open(t, "/account/email")
	if b.Submit(t, "change-email-form", url.Values{"email": {"alice@example.com"}}); b.On("account-done") {
		t.Error("the address that is hers is sent a link")
	}
	b.Open(t, "/account/email")
	b.Submit(t, "change-email-form", url.Values{"email": {" alice@home.example "}})
	if b.Page.Request.URL.Path != "/account/profile" || !b.On("account-done") {
		t.Fatalf("it led to %s (%d)", b.Page.Request.URL, b.Page.StatusCode)
	}
	letter := inbox.Wait(t, 1)[0].Read(t)
	if u := theUser(t, s, "alice"); u.Email != "alice@example.com" {
		t.Errorf("before the link was used she has %s", u.Email)
	}
	b.Open(t, letter.Link())
	b.Submit(t, "email-form", nil)
	if u := theUser(t, s, "alice"); u.Email != "alice@home.example" || !u.EmailVerified {
		t.Errorf("she has %s, verified %t", u.Email, u.EmailVerified)
	}
	told := inbox.Wait(t, 2)[1]
	if len(told.To) != 1 || told.To[0] != "alice@example.com" {
		t.Errorf("told: %s", told.To)
	}
	b.Open(t, "/account/profile")
	if page := string(b.Page.Body); !strings.Contains(page, "alice@home.example") {
		t.Errorf("the profile:\n%s", page)
	}
	for range 9 {
		b.Open(t, "/account/email")
		b.Submit(t, "change-email-form", url.Values{"email": {"victim@example.com"}})
	}
	if b.Page.StatusCode != http.StatusTooManyRequests {
		t.Errorf("after many: %d", b.Page.StatusCode)
	}
}

// Without mail there is no page that would need it.
func TestAccount_EmailWithoutMail(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	withAddress(t, s, "alice", "alice@example.com", true)
	b := home(t, s, "alice")
	if b.Open(t, "/account/profile"); b.On("change-email") || !strings.Contains(string(b.Page.Body), "alice@example.com") {
		t.Errorf("the profile:\n%s", b.Page.Body)
	}
	if b.Open(t, "/account/email"); b.Page.StatusCode != http.StatusNotFound {
		t.Errorf("the page: %d", b.Page.StatusCode)
	}
}

// The owner of an account is told by mail when somebody guesses at it, once, however
// often that goes on; guesses at a name that nobody has leave nothing (LG-02, LG-04).
func TestAccount_GuessesAreTold(t *testing.T) {
	t.Parallel()
	s, inbox := mailingServer(t)
	alice := withAddress(t, s, "alice", "alice@example.com", true)
	for _, name := range []string{"alice", "nobody"} {
		guesser := s.Browser(t)
		guesser.Open(t, "/login")
		throttled := 0
		for range 30 {
			if guesser.Submit(t, "login-form", url.Values{"username": {name}, "password": {"wrong"}}); guesser.Page.StatusCode == http.StatusTooManyRequests {
				throttled++
			}
		}
		if throttled < 15 {
			t.Errorf("%s: %d of 30 guesses were throttled", name, throttled)
		}
	}
	letter := inbox.Wait(t, 1)[0].Read(t)
	if !strings.Contains(letter.Subject, "trying to sign in") {
		t.Errorf("the letter: %s\n%s", letter.Subject, letter.Text)
	}
	events, err := s.Store.Events(t.Context(), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events {
		if e.Kind == store.EventThrottled {
			if told++; e.UserID != alice.ID || e.By.Actor == alice.ID {
				t.Errorf("event %+v", e)
			}
		}
	}
	if n := len(inbox.Mails()); told != 1 || n != 1 {
		t.Errorf("told %d times, by %d letters", told, n)
	}
}
