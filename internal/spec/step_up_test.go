package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// essentialACR is a claims parameter that demands one of some acr values.
func essentialACR(values ...string) string {
	return `{"id_token":{"acr":{"essential":true,"values":["` + strings.Join(values, `","`) + `"]}}}`
}

func trusted(m *oauth.ClientMetadata) { m.Trusted = true }

// What a request says about acr has a session stepped up that knows only the password:
// the missing factor is asked for and nothing else, the session goes on under a new id,
// and the tokens tell what happened. A wish that cannot be fulfilled stops nothing, a
// demand does (MF-05, SE-01, conformance 35, 36).
func TestStepUp_ByRequest(t *testing.T) {
	t.Parallel()
	const nobodys = "urn:nobody:has:this"
	for name, tt := range map[string]struct {
		pairs       []string
		edit        func(*oauth.ClientMetadata)
		with, alone string // acr of the answer with and without a second factor, or the error
		silent      string // the same with prompt=none, for who has one
	}{
		"nothing":                     {nil, trusted, acrPassword, acrPassword, acrPassword},
		"acr_values":                  {[]string{"acr_values", acrMFA}, trusted, acrMFA, acrPassword, acrPassword},
		"the second best":             {[]string{"acr_values", nobodys + " " + acrMFA + " " + acrPassword}, trusted, acrMFA, acrPassword, acrPassword},
		"a password is best":          {[]string{"acr_values", acrPassword + " " + acrMFA}, trusted, acrPassword, acrPassword, acrPassword},
		"nobody's":                    {[]string{"acr_values", nobodys}, trusted, acrPassword, acrPassword, acrPassword},
		"too long":                    {[]string{"acr_values", strings.Repeat("a ", 600) + acrMFA}, trusted, acrPassword, acrPassword, acrPassword},
		"voluntary claim":             {[]string{"claims", strings.Replace(essentialACR(acrMFA), "true", "false", 1)}, trusted, acrMFA, acrPassword, acrPassword},
		"essential":                   {[]string{"claims", essentialACR(acrMFA)}, trusted, acrMFA, "unmet_authentication_requirements", "login_required"},
		"essential, one of":           {[]string{"claims", essentialACR(nobodys, acrMFA)}, trusted, acrMFA, "unmet_authentication_requirements", "login_required"},
		"essential, reached":          {[]string{"claims", essentialACR(acrMFA, acrPassword)}, trusted, acrPassword, acrPassword, acrPassword},
		"essential, nobody's":         {[]string{"claims", essentialACR(nobodys)}, trusted, "unmet_authentication_requirements", "unmet_authentication_requirements", "unmet_authentication_requirements"},
		"default_acr_values":          {nil, func(m *oauth.ClientMetadata) { m.Trusted, m.DefaultACR = true, []string{acrMFA} }, acrMFA, acrPassword, acrPassword},
		"default_acr_values, another": {[]string{"acr_values", acrPassword}, func(m *oauth.ClientMetadata) { m.Trusted, m.DefaultACR = true, []string{acrMFA} }, acrPassword, acrPassword, acrPassword},
		"a consent page":              {[]string{"acr_values", acrMFA, "prompt", "consent"}, trusted, acrMFA, acrPassword, ""},
		"a choice of account":         {[]string{"acr_values", acrMFA, "prompt", "select_account"}, trusted, acrMFA, acrPassword, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				s := oauthtest.Start(t)
				app := s.App(t, tt.edit)
				app.Scopes = []string{"openid"}
				b := stranger(t, s)
				b.SignIn(t, "alice")
				address := authorizationURL(app, at.Code, append([]string{"scope", "openid read"}, tt.pairs...)...)
				if got := reached(t, app, at, b, address, nil); got != tt.alone {
					t.Errorf("without a second factor: %q, want %q", got, tt.alone)
				}
				phone := withApp(t, s, "alice")
				if tt.silent != "" {
					if got := reached(t, app, at, b, address+"&prompt=none", nil); got != tt.silent {
						t.Errorf("silent: %q, want %q", got, tt.silent)
					}
				}
				before := sessionCookie(t, b)
				if got := reached(t, app, at, b, address, phone); got != tt.with {
					t.Errorf("with a second factor: %q, want %q", got, tt.with)
				}
				after := sessionCookie(t, b)
				if steppedUp := tt.with == acrMFA; steppedUp == (before.Value == after.Value) || steppedUp && signedInAs(t, s, before) != "" {
					t.Errorf("the session id is another one: %t; the old one is %q's", before.Value != after.Value, signedInAs(t, s, before))
				}
			})
		})
	}
}

// reached walks through a request that a session was begun for before: it enters no
// password, and returns the acr or the error that the client gets.
func reached(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, b *oauthtest.Browser, address string, phone *oauthtest.Authenticator) string {
	t.Helper()
	b.Open(t, address)
	if b.On("select-account-form") {
		b.Submit(t, "select-account-form", url.Values{"account": {"alice"}})
	}
	if b.On("second-factor-form") && phone != nil {
		b.EnterCode(t, phone.Code(t))
	}
	if b.On("consent-form") {
		b.Approve(t)
	}
	to := b.Location(t)
	if to == nil {
		return b.Page.Request.URL.Path
	}
	if e := to.Query().Get("error"); e != "" {
		return e
	}
	acr, amr := told(t, app, at, to)
	if strings.Contains(amr, "mfa") != (acr == acrMFA) {
		t.Errorf("acr %q, amr %q", acr, amr)
	}
	return acr
}

// A step-up tells no later sign-in than there was: max_age counts from the password, and
// asks for everything. A client of a session that is surer than it asked for can compare
// the acr all the same.
func TestStepUp_AuthTime(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, trusted)
	withTime := func(pairs ...string) map[string]any {
		t.Helper()
		_, claims := p.idToken(t, "code", pairs...)
		return claims
	}
	before := withTime()
	phone := withApp(t, s, "alice")
	s.Clock.Advance(5 * time.Minute)
	p.Browser.Open(t, p.address("acr_values", acrMFA, "scope", "openid"))
	p.Browser.EnterCode(t, phone.Code(t))
	after := withTime("acr_values", acrMFA)
	if after["auth_time"] != before["auth_time"] || after["acr"] != acrMFA || after["sid"] != before["sid"] {
		t.Errorf("before %v, after %v", before, after)
	}
	if same := withTime("acr_values", acrPassword); same["acr"] != acrPassword {
		t.Errorf("acr %v of a client that asked for a password", same["acr"])
	}
	for _, pairs := range [][]string{{"max_age", "60"}, {"prompt", "login"}} {
		p.Browser.Open(t, p.address(append(pairs, "scope", "openid")...))
		if !p.Browser.On("login-form") {
			t.Fatalf("%q asks for no password: %s", pairs, p.Browser.Page.Request.URL)
		}
		if p.Browser.SignIn(t, "alice"); !p.Browser.On("second-factor-form") {
			t.Errorf("%q asks for no second factor: %s", pairs, p.Browser.Page.Request.URL)
		}
	}
}

// Who steps a session up, or has another password in it, has not signed in anew: a request
// that demands a sign-in, and began before, is not content with that (AZ-04).
func TestStepUp_IsNoSignIn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, b *oauthtest.Browser, app *oauthtest.App, phone *oauthtest.Authenticator){
		"a second factor": func(t *testing.T, b *oauthtest.Browser, app *oauthtest.App, phone *oauthtest.Authenticator) {
			b.Open(t, authorizationURL(app, "/authorize", "acr_values", acrMFA))
			b.EnterCode(t, phone.Code(t))
		},
		"another password": func(t *testing.T, b *oauthtest.Browser, _ *oauthtest.App, phone *oauthtest.Authenticator) {
			b.Open(t, "/account/password")
			b.EnterCode(t, phone.Code(t))
			b.Submit(t, "password-form", url.Values{"password": {"another long password"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			app := s.App(t, trusted)
			b := stranger(t, s)
			b.SignIn(t, "alice")
			phone := withApp(t, s, "alice")
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "login"))
			resume := resumed(b)
			before := sessionCookie(t, b)
			change(t, b, app, phone)
			if sessionCookie(t, b).Value == before.Value || signedInAs(t, s, b.Cookies(t)...) != "alice" {
				t.Fatal("the session did not go on under another id")
			}
			if b.Open(t, resume); !b.On("login-form") {
				t.Errorf("at %s without a sign-in", b.Page.Request.URL)
			}
		})
	}
}

// resumed is where the request of the sign-in page that is open goes on.
func resumed(b *oauthtest.Browser) string {
	return "/authorize/resume?request=" + url.QueryEscape(b.Page.Request.URL.Query().Get("request"))
}

// Where the server or the client requires a second factor nobody gets through with a
// password alone, and nobody is locked out: who has none sets one up on the way, keeps the
// recovery codes, and goes on. A device that is remembered passes, and the password grant
// does not (MF-05, MF-03, RO-03).
func TestSecondFactor_Required(t *testing.T) {
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
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				s := oauthtest.Start(t, tt.config)
				app := s.App(t, tt.client)
				answer := s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
				if answer.Text("error") != "invalid_grant" {
					t.Errorf("the password grant: %s", answer.Body)
				}
				b := s.Browser(t)
				b.Open(t, authorizationURL(app, at.Code))
				b.SignIn(t, "alice")
				if !b.On("set-up-form") || b.Page.Request.URL.Path != "/login/second-factor/set-up" {
					t.Fatalf("after the password: %d at %s", b.Page.StatusCode, b.Page.Request.URL)
				}
				key := oauthtest.KeyOn(t, b.Page.Body)
				if b.Open(t, b.Page.Request.URL.RequestURI()+"&lang=zh"); oauthtest.KeyOn(t, b.Page.Body) != key {
					t.Error("the key changes with the language of the page")
				}
				if page := b.Submit(t, "set-up-form", url.Values{"code": {"000000"}}); page.StatusCode != http.StatusUnprocessableEntity || oauthtest.KeyOn(t, page.Body) != key {
					t.Errorf("a wrong code: %d", page.StatusCode)
				}
				phone := b.SetUpApp(t)
				if len(phone.Codes) != 10 {
					t.Fatalf("%d recovery codes:\n%s", len(phone.Codes), b.Page.Body)
				}
				b.Open(t, followed(t, b, "recovery-continue"))
				if acr, amr := told(t, app, at, b.Location(t)); acr != acrMFA || amr != amrMFA {
					t.Errorf("acr %q, amr %q", acr, amr)
				}
				other := s.Browser(t)
				other.Open(t, authorizationURL(app, at.Code))
				other.SignIn(t, "alice")
				other.Submit(t, "second-factor-form", url.Values{"code": {phone.Code(t)}, "remember": {"1"}})
				for _, prompt := range []string{"login", "none"} {
					if other.Open(t, authorizationURL(app, at.Code, "prompt", prompt)); other.On("login-form") {
						other.SignIn(t, "alice")
					}
					if to := other.Location(t); to == nil || to.Query().Get("code") == "" {
						t.Errorf("a remembered device, prompt %s: %v, %s", prompt, to, other.Page.Request.URL)
					}
				}
			})
		})
	}
}

// A session from before the policy is asked for what it lacks, and the password again
// before it may set anything up (MF-04, SE-07).
func TestSecondFactor_RequiredLater(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t, func(m *oauth.ClientMetadata) { m.Trusted, m.RequireSecondFactor = true, true })
	b := stranger(t, s)
	b.SignIn(t, "alice")
	s.Clock.Advance(11 * time.Minute)
	if b.Open(t, "/login/second-factor/set-up"); !b.On("login-form") {
		t.Errorf("an old session sets an app up: %s", b.Page.Request.URL)
	}
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "none"))
	if to := b.Location(t); to == nil || to.Query().Get("error") != "login_required" {
		t.Errorf("silent: %v", to)
	}
	if b.Open(t, authorizationURL(app, "/authorize")); !b.On("login-form") {
		t.Fatalf("an old session goes on: %s", b.Page.Request.URL)
	}
	b.SignIn(t, "alice")
	b.SetUpApp(t)
	if b.Open(t, followed(t, b, "recovery-continue")); b.Location(t) == nil {
		t.Errorf("after the set-up: %s", b.Page.Request.URL)
	}
}

// What stands in the address of the set-up page is for one user in one browser, and for an
// hour; nobody can have somebody else set up an app that they know the key of (MF-04).
func TestSecondFactor_OfferIsBound(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.App(t)
	s.User(t, "mallory")
	m := stranger(t, s)
	m.SignIn(t, "mallory")
	m.Open(t, "/login/second-factor/set-up")
	key, offer := oauthtest.KeyOn(t, m.Page.Body), m.Page.Request.URL.RequestURI()
	if strings.Contains(offer, key) {
		t.Error("the key stands in the address")
	}
	b := stranger(t, s)
	b.SignIn(t, "alice")
	if b.Open(t, offer); oauthtest.KeyOn(t, b.Page.Body) == key {
		t.Error("alice is offered an app of mallory's")
	}
	_, fields := m.Form(t, "set-up-form")
	shared := *m // and the same browser, at which alice signs in next
	shared.Open(t, "/login")
	shared.SignIn(t, "alice")
	if shared.Open(t, offer); oauthtest.KeyOn(t, shared.Page.Body) == key {
		t.Error("alice is offered an app that was mallory's in this browser")
	}
	page := b.Submit(t, "set-up-form", url.Values{"app": {fields.Get("app")}, "code": {oauthtest.OATHCode(t, key, s.Clock.Now())}})
	if theUser(t, s, "alice").SecondFactor {
		t.Errorf("mallory's app is alice's: %d", page.StatusCode)
	}
}
