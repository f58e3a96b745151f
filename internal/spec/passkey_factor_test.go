package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

const acrPasskey = "urn:hufu:acr:passkey"

var optionsAddress = regexp.MustCompile(`data-options="([^"]*)"`)

// stepOptions are what the page that is open asks the browser for a passkey with.
func stepOptions(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser) []byte {
	t.Helper()
	match := optionsAddress.FindSubmatch(b.Page.Body)
	if match == nil {
		t.Fatalf("no passkey on the page of %s", b.Page.Request.URL.Path)
	}
	answer := s.Do(t, b.Request(t, s.Origin+html.UnescapeString(string(match[1]))))
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("options: %d %s", answer.StatusCode, answer.Body)
	}
	return answer.Body
}

// Behind a password a passkey does in place of a code, whether or not its authenticator
// knows who is there; the client is told what happened (MF-05).
func TestPasskey_SecondFactor(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	app := s.App(t)
	withApp(t, s, "alice")
	a := s.Passkey(t, theUser(t, s, "alice"))
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, flags := range []byte{oauthtest.UserPresent, oauthtest.UserPresent | oauthtest.UserVerified} {
			a.Flags = flags
			b := halfway(t, s, "alice", authorizationURL(app, at.Code))
			options := stepOptions(t, s, b)
			if !strings.Contains(string(options), `"allowCredentials":[{"type":"public-key"`) {
				t.Errorf("options %s", options)
			}
			postPasskey(t, b, a.Get(t, options))
			if b.On("consent-form") {
				b.Approve(t)
			}
			if b.Location(t) == nil {
				t.Fatalf("%d at %s", b.Page.StatusCode, b.Page.Request.URL)
			}
			if acr, amr := told(t, app, at, b.Location(t)); acr != acrMFA || amr != "pwd pop mfa" {
				t.Errorf("acr %q, amr %q", acr, amr)
			}
		}
	})
}

// For the second step only a passkey of this very user counts, with a challenge that was
// made for it in this browser, once (WA-01, WA-02, WA-03, MF-03).
func TestPasskey_SecondFactorRefused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	withApp(t, s, "alice")
	alice, mallory := theUser(t, s, "alice"), s.User(t, "mallory")
	s.Passkey(t, alice)
	var replayed string
	for name, answer := range map[string]func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string{
		"another user's passkey": func(t *testing.T, b *oauthtest.Browser, _ *oauthtest.Passkey) string {
			return s.Passkey(t, mallory).Get(t, stepOptions(t, s, b))
		},
		"another user's passkey, as theirs": func(t *testing.T, b *oauthtest.Browser, _ *oauthtest.Passkey) string {
			other := s.Passkey(t, mallory)
			other.Handle = []byte(alice.ID)
			return other.Get(t, stepOptions(t, s, b))
		},
		"a challenge to sign in": func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			return a.Get(t, passkeyOptions(t, s, b))
		},
		"another browser's challenge": func(t *testing.T, _ *oauthtest.Browser, a *oauthtest.Passkey) string {
			return a.Get(t, stepOptions(t, s, halfway(t, s, "alice", "/login")))
		},
		"another origin": func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			a.Origin = "https://evil.example"
			return a.Get(t, stepOptions(t, s, b))
		},
		"nobody there": func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			a.Flags = 0
			return a.Get(t, stepOptions(t, s, b))
		},
		"nonsense": func(*testing.T, *oauthtest.Browser, *oauthtest.Passkey) string { return "[" },
	} {
		t.Run(name, func(t *testing.T) {
			b := halfway(t, s, "alice", "/login")
			page := postPasskey(t, b, answer(t, b, s.Passkey(t, alice)))
			if page.StatusCode != http.StatusUnprocessableEntity || !b.On("second-factor-error") || !strings.Contains(string(page.Body), "That passkey can&#39;t be used here.") {
				t.Errorf("%d %s", page.StatusCode, page.Body)
			}
			if cookieNamed(t, b, "hufu_session") != "" {
				t.Error("there is a session")
			}
		})
	}
	b, a := halfway(t, s, "alice", "/login"), s.Passkey(t, alice)
	page := b.Page
	replayed = a.Get(t, stepOptions(t, s, b))
	if postPasskey(t, b, replayed); b.Page.Request.URL.Path != "/account" {
		t.Fatalf("the right one: %d", b.Page.StatusCode)
	}
	b.Page = page
	r := formRequest(t, b, s, "passkey-form", url.Values{"credential": {replayed}})
	if answer := s.Do(t, r); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("answered twice: %d", answer.StatusCode)
	}
	// Nobody gets a challenge who does not stand there.
	if answer := s.Do(t, stranger(t, s).Request(t, s.URL+"/login/second-factor/passkey")); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a stranger's options: %d", answer.StatusCode)
	}
}

// Who must have a second factor, and has a passkey and no authenticator app, goes on by the
// passkey alone; who signs in with a passkey needs nothing else (MF-05).
func TestPasskey_SatisfiesPolicy(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost, func(c *config.Config) { c.RequireSecondFactor = true })
	app := s.App(t)
	a := s.Passkey(t, theUser(t, s, "alice"))
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	if b.SignIn(t, "alice"); !b.On("set-up-form") {
		t.Fatalf("after the password: %s", b.Page.Request.URL)
	}
	stolen := *a
	stolen.Key = s.NewPasskey(t).Key
	answer := url.Values{"credential": {stolen.Get(t, stepOptions(t, s, b))}}
	if b.Submit(t, "passkey-form", answer); b.Page.StatusCode != http.StatusUnprocessableEntity || !b.On("passkey-form") {
		t.Errorf("a wrong one: %d", b.Page.StatusCode)
	}
	postPasskey(t, b, a.Get(t, stepOptions(t, s, b)))
	b.Approve(t)
	if acr, amr := told(t, app, oauthtest.AllAddresses[0], b.Location(t)); acr != acrMFA || amr != "pwd pop mfa" {
		t.Errorf("acr %q, amr %q", acr, amr)
	}
	b = s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	signInWith(t, s, b, a)
	if b.On("consent-form") {
		b.Approve(t)
	}
	if b.Location(t) == nil {
		t.Fatalf("%d at %s", b.Page.StatusCode, b.Page.Request.URL)
	}
	if acr, _ := told(t, app, oauthtest.AllAddresses[0], b.Location(t)); acr != acrPasskey {
		t.Errorf("acr %q", acr)
	}
}

// What a client asks for by acr a passkey gives: who has one is asked for it once, in place
// of the session there is, and what was only a wish goes on without (MF-05, OpenID Connect
// Core Sections 3.1.2.1 and 5.5.1.1).
func TestPasskey_StepUp(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	app := s.App(t)
	s.User(t, "bob")
	a := s.Passkey(t, theUser(t, s, "alice"))
	essential := func(values string) string {
		return `{"id_token":{"acr":{"essential":true,"values":[` + values + `]}}}`
	}
	for name, tt := range map[string]struct {
		user  string
		pairs []string
		asked bool   // to sign in once more
		by    string // "passkey" or "password"
		acr   string // told; "" for the error
		fails string
	}{
		"wanted, and had":                  {"alice", []string{"acr_values", acrPasskey}, true, "passkey", acrPasskey, ""},
		"wanted, and not used":             {"alice", []string{"acr_values", acrPasskey}, true, "password", acrPassword, ""},
		"wanted, by who has none":          {"bob", []string{"acr_values", acrPasskey}, false, "", acrPassword, ""},
		"wanted, or a password":            {"bob", []string{"acr_values", acrPasskey + " " + acrPassword}, false, "", acrPassword, ""},
		"wanted without a page":            {"alice", []string{"acr_values", acrPasskey, "prompt", "none"}, false, "", acrPassword, ""},
		"a password is enough":             {"alice", []string{"acr_values", acrPassword + " " + acrPasskey}, false, "", acrPassword, ""},
		"essential, and had":               {"alice", []string{"scope", "openid", "claims", essential(`"` + acrPasskey + `"`)}, true, "passkey", acrPasskey, ""},
		"essential, and not used":          {"alice", []string{"scope", "openid", "claims", essential(`"` + acrPasskey + `"`)}, true, "password", "", "unmet_authentication_requirements"},
		"essential, by who has none":       {"bob", []string{"scope", "openid", "claims", essential(`"` + acrPasskey + `"`)}, false, "", "", "unmet_authentication_requirements"},
		"two factors, and a passkey does":  {"alice", []string{"scope", "openid", "claims", essential(`"` + acrMFA + `"`)}, true, "passkey", acrMFA, ""},
		"two factors, by who has only one": {"bob", []string{"scope", "openid", "claims", essential(`"` + acrMFA + `"`)}, false, "", "", "unmet_authentication_requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.Browser(t)
			b.Open(t, authorizationURL(app, "/authorize", "scope", "openid read"))
			b.SignIn(t, tt.user)
			if b.On("consent-form") {
				b.Approve(t)
			}
			b.Open(t, authorizationURL(app, "/authorize", tt.pairs...))
			if b.On("login-form") != tt.asked {
				t.Fatalf("asked to sign in: %t", !tt.asked)
			}
			switch tt.by {
			case "passkey":
				signInWith(t, s, b, a)
			case "password":
				b.SignIn(t, tt.user)
			}
			if b.On("consent-form") {
				b.Approve(t)
			}
			location := b.Location(t)
			if location == nil {
				t.Fatalf("%d at %s", b.Page.StatusCode, b.Page.Request.URL)
			}
			if got := location.Query().Get("error"); got != tt.fails {
				t.Fatalf("error %q, want %q", got, tt.fails)
			}
			if tt.fails == "" {
				if acr, _ := told(t, app, oauthtest.AllAddresses[0], location); acr != tt.acr {
					t.Errorf("acr %q, want %q", acr, tt.acr)
				}
			}
		})
	}
	// The metadata names what can be reached, and no more.
	for on, want := range map[bool]string{true: "[" + acrPassword + " " + acrMFA + " " + acrPasskey + "]", false: "[" + acrPassword + " " + acrMFA + "]"} {
		s := oauthtest.Start(t, oauthtest.OnLocalhost, func(c *config.Config) { c.Passkeys = on })
		if got := fmt.Sprint(s.Get(t, "/.well-known/openid-configuration").JSON("acr_values_supported")); got != want {
			t.Errorf("passkeys %t: %s", on, got)
		}
	}
}

// Where a second factor is required, whoever knows the password of somebody who has a
// passkey is asked for that: no app is offered, and none is taken that was offered before,
// or the password alone would do (MF-04, MF-05).
func TestPasskey_PasswordSetsNoAppUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config func(*config.Config)
		client func(*oauth.ClientMetadata)
	}{
		"by the server": {func(c *config.Config) { c.RequireSecondFactor = true }, trusted},
		"by the client": {func(*config.Config) {}, func(m *oauth.ClientMetadata) { m.Trusted, m.RequireSecondFactor = true, true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, oauthtest.OnLocalhost, tt.config)
			app := s.App(t, tt.client)
			before := s.Browser(t)
			before.Open(t, authorizationURL(app, "/authorize"))
			before.SignIn(t, "alice")
			phone := oauthtest.AuthenticatorOf(s, oauthtest.KeyOn(t, before.Page.Body))
			a := s.Passkey(t, theUser(t, s, "alice"))

			b := s.Browser(t)
			b.Open(t, authorizationURL(app, "/authorize"))
			if b.SignIn(t, "alice"); b.Page.StatusCode != http.StatusOK || !b.On("passkey-form") || strings.Contains(string(b.Page.Body), `id="app-key"`) {
				t.Errorf("after the password: %d at %s\n%s", b.Page.StatusCode, b.Page.Request.URL, b.Page.Body)
			}
			before.Submit(t, "set-up-form", url.Values{"code": {phone.Code(t)}, "action": {"confirm"}})
			if theUser(t, s, "alice").SecondFactor || before.Location(t) != nil {
				t.Errorf("the password alone has set an app up: %d at %s", before.Page.StatusCode, before.Page.Request.URL)
			}
			if !before.On("passkey-form") {
				t.Fatalf("the passkey is not asked for: %d at %s\n%s", before.Page.StatusCode, before.Page.Request.URL, before.Page.Body)
			}
			if postPasskey(t, b, a.Get(t, stepOptions(t, s, b))); b.Location(t) == nil {
				t.Errorf("the owner: %d at %s", b.Page.StatusCode, b.Page.Request.URL)
			}
		})
	}
}
