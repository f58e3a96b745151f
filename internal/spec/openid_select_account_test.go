package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

var accountPattern = regexp.MustCompile(`<button class="account" name="account" value="([^"]*)">`)

// accountsOn are the accounts that the open page offers, in order.
func accountsOn(b *oauthtest.Browser) []string {
	var names []string
	for _, match := range accountPattern.FindAllStringSubmatch(string(b.Page.Body), -1) {
		names = append(names, html.UnescapeString(match[1]))
	}
	return names
}

func choose(t *testing.T, b *oauthtest.Browser, pair ...string) {
	t.Helper()
	b.Submit(t, "select-account-form", url.Values{pair[0]: {pair[1]}})
}

// OpenID Connect Core Section 3.1.2.1, prompt select_account: whoever is signed in says
// whether to go on as that, without a password; another account is one that signs in. The
// choice is for this request (conformance 31, 35, J).
func TestOIDCCore_3_1_2_1_SelectAccount(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	s.User(t, "bob")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		address := authorizationURL(app, at.Code, "prompt", "select_account")
		stranger := s.Browser(t)
		stranger.Open(t, address)
		if !stranger.On("login-form") {
			t.Errorf("nobody is known: at %s", stranger.Page.Request.URL.Path)
		}
		stranger.SignIn(t, "alice")
		if stranger.On("consent-form") {
			stranger.Approve(t)
		}
		if responseOf(t, app, stranger.Page).Get("code") == "" {
			t.Error("whoever signed in for the request was asked again")
		}

		b := signedIn(t, app)
		for range 2 { // the choice holds for one request
			b.Open(t, address)
			if got := accountsOn(b); b.Page.Request.URL.Path != "/select-account" || !slices.Equal(got, []string{"alice"}) || !b.On("account-other") || !b.On("client-name") {
				t.Fatalf("%s offers %q", b.Page.Request.URL.Path, got)
			}
			choose(t, b, "account", "alice")
			if responseOf(t, app, b.Page).Get("code") == "" {
				t.Error("no code after the choice")
			}
		}

		b.Open(t, address)
		choose(t, b, "action", "other")
		if !b.On("login-form") || strings.Contains(string(b.Page.Body), `value="alice"`) {
			t.Fatalf("another account: at %s", b.Page.Request.URL.Path)
		}
		b.SignIn(t, "bob")
		if b.On("consent-form") {
			b.Approve(t)
		}
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Error("no code for the other account")
		}
		b.Open(t, address)
		if got := accountsOn(b); !slices.Equal(got, []string{"bob", "alice"}) {
			t.Errorf("after both: %q", got)
		}
		choose(t, b, "account", "alice")
		if !b.On("login-form") || !strings.Contains(string(b.Page.Body), `value="alice"`) {
			t.Errorf("an account that is not signed in: at %s", b.Page.Request.URL.Path)
		}

		b.Open(t, address)
		choose(t, b, "action", "cancel")
		if got := responseOf(t, app, b.Page); got.Get("error") != string(oauth.AccessDenied) || got.Get("code") != "" {
			t.Errorf("none of them: %v", got)
		}
	})
}

// What was chosen is a session, and neither an address nor an old page gets past the
// question: not with another session, not in another browser, not for prompt=login (AZ-04,
// CS-01).
func TestOIDCCore_3_1_2_1_SelectAccountCannotBeSkipped(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	s.User(t, "bob")
	address := authorizationURL(app, "/authorize", "prompt", "select_account")
	b := signedIn(t, app)
	b.Open(t, address)
	sealed := b.Page.Request.URL.Query().Get("request")
	for _, path := range []string{"/authorize/resume", "/consent"} {
		b.Open(t, s.URL+path+"?request="+sealed)
		if b.Page.Request.URL.Path != "/select-account" {
			t.Errorf("%s got past the question to %s", path, b.Page.Request.URL.Path)
		}
	}
	// Chosen, and then another session: whoever that is has not been asked.
	_, fields := b.Form(t, "select-account-form")
	fields.Set("account", "alice")
	r := s.Request(t, http.MethodPost, "/select-account", fields.Encode())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range b.Cookies(t) {
		r.AddCookie(c)
	}
	chosen := s.Do(t, r).Header.Get("Location")
	if !strings.Contains(chosen, "/authorize/resume?") {
		t.Fatalf("the choice led to %q", chosen)
	}
	b.Open(t, s.URL+"/login")
	b.SignIn(t, "bob")
	s.Clock.Advance(2 * time.Minute)
	b.Open(t, s.URL+"/login") // an older sign-in than any request from here on
	b.Open(t, chosen)
	if responseCode(b.Page) != "" {
		t.Error("bob went on with what alice has chosen, unasked")
	}
	other := s.Browser(t)
	other.Open(t, chosen)
	if responseCode(other.Page) != "" || other.Page.StatusCode != http.StatusBadRequest {
		t.Errorf("another browser: %d", other.Page.StatusCode)
	}
	foreign := s.Request(t, http.MethodPost, "/select-account", fields.Encode())
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, c := range b.Cookies(t) {
		foreign.AddCookie(c)
	}
	if answer := s.Do(t, foreign); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %d", answer.StatusCode)
	}

	again := signedIn(t, app)
	again.Open(t, authorizationURL(app, "/authorize", "prompt", "login select_account"))
	if !again.On("login-form") {
		t.Errorf("prompt=login beside it: at %s", again.Page.Request.URL.Path)
	}
}

// The browser remembers who has signed in and not out again, a few of them, and tells
// nobody else: the names are sealed. Signing out takes the name away.
func TestSelectAccount_WhoIsKnown(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	address := authorizationURL(app, "/authorize", "prompt", "select_account")
	b := signedIn(t, app)
	for i := range 10 {
		name := fmt.Sprint("user-", i)
		s.User(t, name)
		b.Open(t, s.URL+"/login")
		b.SignIn(t, name)
	}
	b.Open(t, address)
	if got := accountsOn(b); len(got) != 8 || got[0] != "user-9" || slices.Contains(got, "alice") {
		t.Errorf("after eleven people: %q", got)
	}
	for _, c := range b.Cookies(t) {
		if strings.Contains(c.Value, "user-") {
			t.Errorf("the cookie %s tells a name", c.Name)
		}
	}
	b.Open(t, s.URL+"/end-session")
	b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	b.Open(t, address)
	if got := accountsOn(b); len(got) != 7 || got[0] != "user-8" {
		t.Errorf("after the last one signed out: %q", got)
	}
	if strings.Contains(string(b.Page.Body), "Signed in<") {
		t.Error("somebody is shown as signed in")
	}
	choose(t, b, "account", "user-8")
	if !b.On("login-form") {
		t.Errorf("nobody is signed in: at %s", b.Page.Request.URL.Path)
	}
	silent := wantRefused(t, app, s.Get(t, authorizationURL(app, "/authorize", "prompt", "none")), "login_required")
	if silent.Get("code") != "" {
		t.Error("a code for nobody")
	}
}

// In a real browser, by click and by keyboard, without scripts: the account that is signed
// in, and another one (conformance J).
func TestBrowser_SelectAccount(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice, bob := s.User(t, "alice"), s.User(t, "bob")
	l, b := land(t, s), oauthtest.NewTab(t)
	b.Scripts(t, false)
	b.Open(t, s.URL+"/login")
	b.SignIn(t, "alice", oauthtest.Password)
	address := l.ask("/authorize", "one", "prompt", "select_account")
	b.Open(t, address)
	want(t, b, "/select-account", http.StatusOK)
	b.Follow(t, "button.account")
	want(t, b, "/consent", http.StatusOK)
	b.Follow(t, "#consent-approve")
	if subject := l.redeem(t, l.arrived(t).Values.Get("code")); subject != alice.ID {
		t.Errorf("a token of %s", subject)
	}
	b.Open(t, address)
	b.Follow(t, "#account-other")
	want(t, b, "/login", http.StatusOK)
	b.SignIn(t, "bob", oauthtest.Password)
	b.Follow(t, "#consent-approve")
	if subject := l.redeem(t, l.arrived(t).Values.Get("code")); subject != bob.ID {
		t.Errorf("a token of %s", subject)
	}
	b.Open(t, address)
	want(t, b, "/select-account", http.StatusOK)
	b.Follow(t, `button.account[value="alice"]`)
	want(t, b, "/login", http.StatusOK)
	if got := b.Focused(t); !strings.Contains(got, "password") {
		t.Errorf("the cursor is in %s, with the name filled in", got)
	}
	b.Open(t, address)
	b.Follow(t, "#account-cancel")
	if got := l.arrived(t).Values.Get("error"); got != string(oauth.AccessDenied) {
		t.Errorf("error = %q", got)
	}
}
