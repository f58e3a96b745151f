package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A person sets an authenticator app up in the account, sees how many recovery codes are
// left, makes new ones, of which the old ones die, and removes the app, with which the
// codes go. Each step is in the audit trail and on the page about it (MF-04).
func TestAccount_SecondFactor(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	b := home(t, s, "alice")
	before := sessionCookie(t, b)
	b.Open(t, "/account/second-factor")
	key := oauthtest.KeyOn(t, b.Page.Body)
	if page := b.Submit(t, "set-up-form", url.Values{"code": {"000000"}, "action": {"confirm"}}); page.StatusCode != http.StatusUnprocessableEntity || oauthtest.KeyOn(t, page.Body) != key {
		t.Errorf("a wrong code: %d", page.StatusCode)
	}
	if page := b.Submit(t, "set-up-form", url.Values{"action": {"confirm"}}); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no code: %d", page.StatusCode)
	}
	if theUser(t, s, "alice").SecondFactor {
		t.Error("an app is in use that was not confirmed")
	}
	phone := b.SetUpApp(t)
	if len(phone.Codes) != 10 {
		t.Fatalf("%d recovery codes:\n%s", len(phone.Codes), b.Page.Body)
	}
	if after := sessionCookie(t, b); after.Value == before.Value || signedInAs(t, s, before) != "" {
		t.Error("the session goes on under its old id (SE-01)")
	}
	if b.Open(t, followed(t, b, "recovery-continue")); !strings.Contains(string(b.Page.Body), "10 recovery codes left") {
		t.Errorf("the page of sign-in: %s", b.Page.Body)
	}

	halfway(t, s, "alice", "/login").EnterCode(t, phone.Codes[0])
	file := string(send(t, s, b, "/account/export", exportFields(t, b)).Body)
	if !strings.Contains(file, `"kind": "authenticator_app"`) || !strings.Contains(file, `"recovery_codes": 9`) || strings.Contains(file, phone.Key) {
		t.Errorf("the file of the account: %s", file)
	}
	if b.Open(t, "/account/second-factor"); !strings.Contains(string(b.Page.Body), "9 of 10 left") {
		t.Errorf("after one was used: %s", b.Page.Body)
	}
	fresh := oauthtest.RecoveryCodesOn(b.Submit(t, "renew-form", url.Values{"action": {"renew"}}).Body)
	if len(fresh) != 10 {
		t.Fatalf("%d new recovery codes", len(fresh))
	}
	if page := halfway(t, s, "alice", "/login").EnterCode(t, phone.Codes[1]); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("an old recovery code: %d", page.StatusCode)
	}
	if page := halfway(t, s, "alice", "/login").EnterCode(t, fresh[0]); page.StatusCode != http.StatusOK {
		t.Errorf("a new recovery code: %d", page.StatusCode)
	}

	b.Open(t, "/account/second-factor")
	if page := b.Submit(t, "remove-form", url.Values{"action": {"remove"}, "id": {"another"}}); page.StatusCode != http.StatusOK || !theUser(t, s, "alice").SecondFactor {
		t.Errorf("removing another app: %d", page.StatusCode)
	}
	b.Open(t, "/account/second-factor")
	if b.Submit(t, "remove-form", url.Values{"action": {"remove"}}); theUser(t, s, "alice").SecondFactor || !b.On("account-done") {
		t.Errorf("removed: %s", b.Page.Body)
	}
	other := stranger(t, s)
	if other.SignIn(t, "alice"); other.On("second-factor-form") {
		t.Error("a code is asked for after the app was removed")
	}
	for _, kind := range []string{store.EventSecondFactorAdded, store.EventSecondFactorRemoved} {
		if found := events(t, s, kind); len(found) != 1 || found[0].By.Actor != theUser(t, s, "alice").ID {
			t.Errorf("%s: %+v", kind, found)
		}
	}
	if found := events(t, s, store.EventRecoveryCodesMade); len(found) != 2 {
		t.Errorf("recovery codes were made: %+v", found)
	}
	b.Open(t, "/account/activity")
	for _, text := range []string{"Two-step sign-in turned on", "Two-step sign-in turned off", "New recovery codes created", "Recovery code used"} {
		if !strings.Contains(string(b.Page.Body), text) {
			t.Errorf("the activity does not tell: %s", text)
		}
	}
}

// Whatever changes how somebody signs in asks for all they have, a short while ago: an old
// session, a session of a password alone, and a device that is remembered all do not pass;
// no form does either (MF-04, SE-07).
func TestAccount_SecondFactorIsAskedFor(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	b := home(t, s, "alice")
	phone := withApp(t, s, "alice")
	dangerous := []string{"/account/second-factor", "/account/password", "/account/delete", "/account/export"}
	for _, path := range dangerous {
		if b.Open(t, path); !b.On("second-factor-form") || b.Page.Request.URL.Query().Get("return") != path {
			t.Errorf("%s: a session of a password alone is at %s", path, b.Page.Request.URL)
		}
	}
	_, fields := b.Form(t, "second-factor-form")
	for _, form := range []url.Values{{"action": {"renew"}}, {"action": {"remove"}, "id": {appOf(t, s, "alice")}}} {
		form.Set("form_token", fields.Get("form_token"))
		r := s.Request(t, http.MethodPost, "/account/second-factor", form.Encode())
		r.Header.Set("Origin", s.Origin)
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/login/second-factor") {
			t.Errorf("%s: %d %s", form.Get("action"), answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	if len(events(t, s, store.EventRecoveryCodesMade)) != 1 || !theUser(t, s, "alice").SecondFactor {
		t.Error("a form was taken")
	}
	b.Open(t, dangerous[0])
	if b.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}, "remember": {"1"}}); !b.On("renew-form") {
		t.Fatalf("after the code: %s", b.Page.Request.URL)
	}
	s.Clock.Advance(11 * time.Minute)
	if b.Open(t, dangerous[0]); !b.On("login-form") {
		t.Errorf("an old session: %s", b.Page.Request.URL)
	}
	b.SignIn(t, "alice")
	if !b.On("second-factor-form") {
		t.Errorf("a remembered device passes: %s", b.Page.Request.URL)
	}
	if b.EnterCode(t, phone.Code(t)); !b.On("renew-form") {
		t.Errorf("after everything: %s", b.Page.Request.URL)
	}
}

// appOf is the id of a user's authenticator app.
func appOf(t *testing.T, s *oauthtest.Server, username string) string {
	t.Helper()
	app, err := s.Store.AuthenticatorApp(t.Context(), theUser(t, s, username).ID)
	if err != nil {
		t.Fatal(err)
	}
	return app.ID
}

// Who removes the last second factor while the server requires one is told, and sets
// another up at the next sign-in (MF-05).
func TestAccount_SecondFactorRemovedWhereRequired(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.RequireSecondFactor = true })
	s.User(t, "alice")
	b := s.Browser(t)
	b.Open(t, "/account")
	b.SignIn(t, "alice")
	b.SetUpApp(t)
	if b.Open(t, followed(t, b, "recovery-continue")); b.Page.Request.URL.Path != "/account" {
		t.Fatalf("after the set-up: %s", b.Page.Request.URL)
	}
	b.Open(t, "/account/second-factor")
	if !strings.Contains(string(b.Page.Body), "set it up again") {
		t.Error("it is not said that another one will be needed")
	}
	b.Submit(t, "remove-form", url.Values{"action": {"remove"}})
	b.Open(t, "/login")
	if b.SignIn(t, "alice"); !b.On("set-up-form") {
		t.Errorf("the next sign-in: %s", b.Page.Request.URL)
	}
}

// Two windows that set an app up at once make one, and both people see how things stand.
func TestAccount_SecondFactorInTwoWindows(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	b := home(t, s, "alice")
	b.Open(t, "/account/second-factor")
	_, fields := b.Form(t, "set-up-form")
	key := oauthtest.KeyOn(t, b.Page.Body)
	b.Open(t, "/account/second-factor")
	b.SetUpApp(t)
	for name, form := range map[string]url.Values{
		"another app": {"app": {fields.Get("app")}, "code": {oauthtest.OATHCode(t, key, s.Clock.Now())}, "action": {"confirm"}},
		"nothing":     {"action": {""}},
	} {
		form.Set("form_token", fields.Get("form_token"))
		r := s.Request(t, http.MethodPost, "/account/second-factor", form.Encode())
		r.Header.Set("Origin", s.Origin)
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		if answer := s.Do(t, r); answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	if found := events(t, s, store.EventSecondFactorAdded); len(found) != 1 {
		t.Errorf("%d apps were added", len(found))
	}
}

// exportFields are those of the form by which a person takes their data with them.
func exportFields(t *testing.T, b *oauthtest.Browser) url.Values {
	t.Helper()
	b.Open(t, "/account/data")
	_, fields := b.Form(t, "export-form")
	return fields
}
