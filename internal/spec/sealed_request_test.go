package spec_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// formRequest is what a browser would send for a form of its open page, so that
// it can be sent more than once, or changed.
func formRequest(t *testing.T, b *oauthtest.Browser, s *oauthtest.Server, id string, changes url.Values) *http.Request {
	t.Helper()
	action, fields := b.Form(t, id)
	for name, values := range changes {
		fields[name] = values
	}
	r := s.Request(t, http.MethodPost, s.Origin+action, fields.Encode())
	r.Header.Set("Origin", s.Origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range b.Cookies(t) {
		r.AddCookie(c)
	}
	return r
}

// restartLink is where the error page offers to start again.
func restartLink(t *testing.T, answer *oauthtest.Answer) string {
	t.Helper()
	match := restartPattern.FindStringSubmatch(string(answer.Body))
	if match == nil {
		t.Fatalf("no way to start again on the page of %s (%d)", answer.Request.URL.Path, answer.StatusCode)
	}
	return html.UnescapeString(match[1])
}

var restartPattern = regexp.MustCompile(`<a id="error-restart"[^>]* href="([^"]*)"`)

// One consent page gives one code, however often it is sent; whoever sends it
// again is told so, with a way to start again (AZ-09).
func TestSealedRequest_ConsentPostedTwice(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for path, responseType := range map[string]string{at.Code: "code", at.Implicit: "token"} {
			b := app.Server.Browser(t)
			b.Open(t, authorizationURL(app, path, "prompt", "consent", "response_type", responseType))
			b.SignIn(t, "alice")
			consent, before := b.Page, len(grantsOf(t, app.Server))
			b.Approve(t)
			if got := responseOf(t, app, b.Page); got.Has("error") {
				t.Fatalf("answered %v", got)
			}
			b.Page = consent
			b.Approve(t)
			wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
			// Reload, back button, and the address of the dispatcher tell the same.
			for _, step := range []string{consent.Request.URL.String(), strings.Replace(consent.Request.URL.String(), "/consent", "/authorize/resume", 1)} {
				b.Open(t, step)
				if strings.Contains(step, "/resume") && b.On("consent-form") {
					b.Approve(t)
				}
				wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
			}
			if made := len(grantsOf(t, app.Server)) - before; made != 1 {
				t.Errorf("%d grants were made", made)
			}
			b.Open(t, app.Server.Origin+restartLink(t, b.Page))
			b.Approve(t)
			if got := responseOf(t, app, b.Page); got.Has("error") || got.Get("state") != "state-1" {
				t.Errorf("started again: %v", got)
			}
		}
	})
}

// The same when sixteen posts of one page race: the row decides (AZ-09).
func TestSealedRequest_ConsentPostedByManyAtOnce(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	b := s.Browser(t)
	for round := range 5 {
		b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
		if b.On("login-form") {
			b.SignIn(t, "alice")
		}
		before := len(grantsOf(t, s))
		answers := make([]*oauthtest.Answer, 16)
		var wait sync.WaitGroup
		for i := range answers {
			r := formRequest(t, b, s, "consent-form", url.Values{"decision": {"approve"}})
			wait.Go(func() { answers[i] = s.Do(t, r) })
		}
		wait.Wait()
		codes := 0
		for _, answer := range answers {
			if answer.StatusCode == http.StatusSeeOther {
				if responseOf(t, app, answer).Get("code") != "" {
					codes++
				}
				continue
			}
			wantErrorPage(t, answer, http.StatusBadRequest, "invalid_request")
		}
		if made := len(grantsOf(t, s)) - before; codes != 1 || made != 1 {
			t.Errorf("round %d: %d codes, %d grants", round, codes, made)
		}
	}
}

// A page that was open too long begins anew, with all that the request said, and
// nobody has to go back to the client (AZ-09).
func TestSealedRequest_ExpiredPageRestarts(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t, func(c *config.Config) { c.RequestLifetime = 5 * time.Minute }).App(t)
	s := app.Server
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		state := "a b&c=\"d\"虎"
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, at.Code, "prompt", "consent", "state", state, "response_mode", "fragment"))
		stale := b.Page
		s.Clock.Advance(5 * time.Minute)
		b.SignIn(t, "alice")
		if !b.On("login-form") || b.On("login-error") || b.Page.Request.URL.RawQuery == stale.Request.URL.RawQuery {
			t.Fatalf("a stale sign-in page led to %s", b.Page.Request.URL)
		}
		b.SignIn(t, "alice")
		if !b.On("consent-form") {
			t.Fatalf("the sign-in led to %s: %d", b.Page.Request.URL.Path, b.Page.StatusCode)
		}
		stale = b.Page
		s.Clock.Advance(5 * time.Minute)
		b.Approve(t)
		if !b.On("consent-form") || b.Page.Request.URL.RawQuery == stale.Request.URL.RawQuery {
			t.Fatalf("a stale consent page led to %s: %d", b.Page.Request.URL.Path, b.Page.StatusCode)
		}
		b.Approve(t)
		if got := responseOf(t, app, b.Page); got.Get("code") == "" || got.Get("state") != state || got.Mode != "fragment" {
			t.Errorf("answered %v", got)
		}
		// A stale page refuses nothing either: it begins anew, too.
		b.Page = stale
		b.Submit(t, "consent-form", url.Values{"decision": {"deny"}})
		if !b.On("consent-form") {
			t.Errorf("denying on a stale page led to %s", b.Page.Request.URL)
		}
		// And a row that remembers a request outlives it, so that it cannot come back.
		s.Clock.Advance(-20 * time.Minute)
		b.Page = stale
		b.Approve(t)
		if responseCode(b.Page) != "" {
			t.Error("a page came back to life when the clock was set back")
		}
		s.Clock.Advance(10 * time.Minute)
	})
}

// responseCode is the code that an answer gives away; "" when there is none.
func responseCode(answer *oauthtest.Answer) string {
	_, encoded, _ := strings.Cut(strings.ReplaceAll(answer.Header.Get("Location"), "#", "?"), "?")
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return ""
	}
	return values.Get("code")
}

// A sealed request works in the browser it was begun in and in no other, so that
// nobody can be made to finish what somebody else has begun.
func TestSealedRequest_BoundToItsBrowser(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	mine, victim, fresh := s.Browser(t), signedIn(t, app), s.Browser(t)
	mine.Open(t, authorizationURL(app, "/authorize"))
	request := mine.Page.Request.URL.Query().Get("request")
	for name, b := range map[string]*oauthtest.Browser{"signed in": victim, "fresh": fresh} {
		for _, path := range []string{"/login", "/consent", "/authorize/resume"} {
			b.Open(t, s.URL+path+"?request="+request)
			wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
			if responseCode(b.Page) != "" {
				t.Errorf("%s: %s gave a code", name, path)
			}
			if link := restartLink(t, b.Page); !strings.HasPrefix(link, "/authorize?") {
				t.Errorf("%s: starts again at %q", name, link)
			}
		}
	}
	// Signing in does not change the cookie it is bound to.
	before := cookieNamed(t, mine, "hufu_browser")
	mine.SignIn(t, "alice")
	if after := cookieNamed(t, mine, "hufu_browser"); after != before || !mine.On("consent-form") && responseCode(mine.Page) == "" {
		t.Errorf("the cookie was %q, now %q", before, after)
	}
}

func cookieNamed(t *testing.T, b *oauthtest.Browser, name string) string {
	t.Helper()
	for _, c := range b.Cookies(t) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// What is not a sealed request of ours, or not any more, is answered on a page;
// nothing that travels under another purpose passes for one.
func TestSealedRequest_Garbage(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t, oauthtest.Opaque)
	s := app.Server
	b := signedIn(t, app)
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
	good := b.Page.Request.URL.Query().Get("request")
	token, err := app.ClientToken(t, oauthtest.AllAddresses[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	for _, request := range []string{
		"", "x", good[:len(good)-1], good + "A", good + "=", string(flipped), strings.ToUpper(good), good[:20], good + good, "\x00", "虎", strings.Repeat("A", 20_000),
		strings.TrimPrefix(token.AccessToken, "hat_"), token.AccessToken, cookieNamed(t, b, "hufu_device"), cookieNamed(t, b, "hufu_session"),
	} {
		for _, path := range []string{"/consent", "/authorize/resume", "/login"} {
			if path == "/login" && request == "" {
				continue // the sign-in page by itself
			}
			answer := s.Get(t, path+"?request="+url.QueryEscape(request))
			wantErrorPage(t, answer, http.StatusBadRequest, "invalid_request")
		}
		b.Open(t, s.URL+"/consent?request="+good)
		b.Submit(t, "consent-form", url.Values{"request": {request}, "decision": {"approve"}})
		wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
	}
	wantErrorPage(t, s.Get(t, "/consent?request="+good+"&request="+good), http.StatusBadRequest, "invalid_request")
}

// A request travels in the URL, so it may seal to 6 KiB; more is invalid_request
// at the client.
func TestSealedRequest_SixKiB(t *testing.T) {
	t.Parallel()
	var scopes []string
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		scopes = append(scopes, strings.Repeat(string(letter), 140))
	}
	app := oauthtest.Start(t).App(t, func(m *oauth.ClientMetadata) { m.Scope = strings.Join(scopes, " ") })
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		long := []string{"scope", strings.Join(scopes, " "), "nonce", strings.Repeat("n", 1024), "state", "state-1"}
		got := responseOf(t, app, app.Server.Get(t, authorizationURL(app, at.Code, long...)))
		if got.Get("error") != "invalid_request" || got.Get("state") != "state-1" || got.To != app.RedirectURL {
			t.Errorf("answered %v", got)
		}
		post := app.Server.Request(t, http.MethodPost, at.Code, authorizationQuery(app, long...).Encode())
		post.Header.Set("Sec-Fetch-Site", "cross-site")
		wantRefused(t, app, app.Server.Do(t, post), "invalid_request")
		// What just fits goes all the way.
		b := app.Server.Browser(t)
		location := b.Walk(t, authorizationURL(app, at.Code, "scope", strings.Join(scopes[:12], " "), "state", strings.Repeat("s", 2048)), "alice")
		if location.Query().Get("code") == "" {
			t.Errorf("led to %.200s", location)
		}
		if longest := len(b.Page.Request.URL.String()); longest > 8<<10 {
			t.Errorf("an address has %d bytes", longest)
		}
	})
}

// A POST from another site brings no cookies and gets none: it is sealed and goes on by
// GET, where the browser sends what it has (AZ-02, CS-01, conformance 18).
func TestSealedRequest_CrossSitePost(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for path, responseType := range map[string]string{at.Code: "code", at.Implicit: "token"} {
			b := signedIn(t, app)
			for _, headers := range []map[string]string{
				{"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}, {"Origin": "null", "Sec-Fetch-Site": "same-site"}, {"Origin": "https://app.example"}, {},
			} {
				for _, cookies := range [][]*http.Cookie{nil, b.Cookies(t)} {
					if cookies != nil && headers["Sec-Fetch-Site"] == "" {
						continue // an old browser would not have sent them
					}
					r := s.Request(t, http.MethodPost, path+"?lang=zh", authorizationQuery(app, "response_type", responseType, "state", "x y").Encode())
					for name, value := range headers {
						r.Header.Set(name, value)
					}
					for _, c := range cookies {
						r.AddCookie(c)
					}
					answer := s.Do(t, r)
					location := answer.Header.Get("Location")
					if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "/authorize/resume?request=") {
						t.Fatalf("%v: %d to %q", headers, answer.StatusCode, location)
					}
					if set := answer.Header.Values("Set-Cookie"); len(set) > 0 {
						t.Errorf("%v: set %q", headers, set)
					}
					b.Open(t, s.URL+location)
					if got := responseOf(t, app, b.Page); got.Get("state") != "x y" || got.Get("code") == "" && got.Get("access_token") == "" {
						t.Errorf("went on to %v", got)
					}
				}
			}
		}
		// The same for somebody who has not signed in yet, and for mistakes.
		foreign := func(pairs ...string) *oauthtest.Answer {
			r := s.Request(t, http.MethodPost, at.Code+"?lang=zh", authorizationQuery(app, pairs...).Encode())
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			return s.Do(t, r)
		}
		b := s.Browser(t)
		if location := b.Walk(t, s.URL+foreign("prompt", "login").Header.Get("Location"), "alice"); location.Query().Get("code") == "" {
			t.Errorf("went on to %s", location)
		}
		wantRefused(t, app, s.Get(t, foreign("prompt", "none").Header.Get("Location")), "login_required")
		wantRefused(t, app, foreign("scope", "admin"), "invalid_scope")
		page := foreign("redirect_uri", "https://evil.example/")
		wantErrorPage(t, page, http.StatusBadRequest, "invalid_request")
		if set := page.Header.Values("Set-Cookie"); len(set) > 0 {
			t.Errorf("the error page set %q", set)
		}
		// What was sealed does not live for ever either.
		location := foreign().Header.Get("Location")
		s.Clock.Advance(61 * time.Minute)
		if answer := s.Get(t, location); !strings.HasPrefix(answer.Header.Get("Location"), at.Code+"?") {
			t.Errorf("a stale request led to %q", answer.Header.Get("Location"))
		}
		s.Clock.Advance(-61 * time.Minute)
	})
}

// What was right when a request was sealed is checked again when it comes back:
// the registration may have changed meanwhile (RU-01, AZ-05).
func TestSealedRequest_CheckedAgain(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	change := func(app *oauthtest.App, edit func(m *oauth.ClientMetadata)) {
		if _, err := s.Clients.Update(t.Context(), app.ClientID, func(m *oauth.ClientMetadata) error { edit(m); return nil }, theOperator); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		edit func(m *oauth.ClientMetadata)
		want string // "" is a page
	}{
		"scope":        {func(m *oauth.ClientMetadata) { m.Scope = "write" }, "invalid_scope"},
		"redirect URI": {func(m *oauth.ClientMetadata) { m.RedirectURIs = []string{"https://app.example/new"} }, ""},
		"grant": {func(m *oauth.ClientMetadata) {
			m.GrantTypes, m.ResponseTypes = []string{oauth.GrantClientCredentials}, nil
		}, "unauthorized_client"},
		"PKCE": {func(m *oauth.ClientMetadata) { m.RequirePKCE = true }, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, page := range []string{"login-form", "consent-form"} {
				app := s.App(t)
				b := s.Browser(t)
				b.Open(t, authorizationURL(app, "/authorize"))
				if page == "consent-form" {
					b.SignIn(t, "alice")
				}
				change(app, tt.edit)
				before := len(grantsOf(t, s))
				b.Submit(t, page, url.Values{"username": {"alice"}, "password": {oauthtest.Password}, "action": {"login"}, "decision": {"approve"}})
				if tt.want == "" {
					wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
				} else if got := responseOf(t, app, b.Page); got.Get("error") != tt.want {
					t.Errorf("%s answered %v", page, got)
				}
				if after := len(grantsOf(t, s)); after != before {
					t.Errorf("%s: %d grants were made", page, after-before)
				}
			}
		})
	}
}

// An issuer with a path has everything below it: every grant, page, cookie and
// document, and nothing beside it.
func TestIssuerWithPath(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.Issuer += "/auth" })
	app := s.App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, at.Code, "prompt", "consent"))
		for _, form := range []string{"login-form", "consent-form"} {
			for _, link := range linkPattern.FindAllStringSubmatch(string(b.Page.Body), -1) {
				if !strings.HasPrefix(link[1], "/auth/") {
					t.Errorf("the page of %s links to %q", form, link[1])
				}
			}
			if form == "login-form" {
				b.SignIn(t, "alice")
			}
		}
		b.Approve(t)
		got := responseOf(t, app, b.Page)
		if got.Get("iss") != s.Origin+"/auth" {
			t.Errorf("iss = %q", got.Get("iss"))
		}
		tokens := s.Post(t, at.AuthorizationCode, app.Credentials("grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", got.Get("code")))
		if !app.Active(t, tokens.Text("access_token")) {
			t.Errorf("code: %s", tokens.Body)
		}
		if answer := app.Refresh(t, at, tokens.Text("refresh_token")); !app.Active(t, answer.Text("access_token")) {
			t.Errorf("refresh: %s", answer.Body)
		}
		if token, err := app.ClientToken(t, at); err != nil || !app.Active(t, token.AccessToken) {
			t.Errorf("client credentials: %v", err)
		}
		if answer := s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password)); !app.Active(t, answer.Text("access_token")) {
			t.Errorf("password: %s", answer.Body)
		}
		b.Open(t, authorizationURL(app, at.Implicit, "response_type", "token"))
		if got := responseOf(t, app, b.Page); !app.Active(t, got.Get("access_token")) {
			t.Errorf("implicit: %v", got)
		}
		for _, c := range b.Cookies(t) {
			if !strings.HasPrefix(c.Name, "hufu_") {
				t.Errorf("cookie %s", c.Name)
			}
		}
		for _, path := range []string{"", "/wrong"} {
			if answer := s.Get(t, s.Origin+path+at.Code+"?"+authorizationQuery(app).Encode()); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s answered %d", path, at.Code, answer.StatusCode)
			}
		}
		// A foreign POST goes on below the path, too.
		r := s.Request(t, http.MethodPost, at.Code, authorizationQuery(app).Encode())
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if location := s.Do(t, r).Header.Get("Location"); !strings.HasPrefix(location, "/auth/authorize/resume?") {
			t.Errorf("went on at %q", location)
		}
	})
	for _, address := range []string{s.Origin + "/.well-known/oauth-authorization-server/auth", s.URL + "/.well-known/oauth-authorization-server"} {
		metadata := s.Get(t, address)
		if metadata.Text("issuer") != s.URL || metadata.Text("token_endpoint") != s.URL+"/token" || metadata.Text("jwks_uri") != s.URL+"/jwks" {
			t.Errorf("%s: %s", address, metadata.Body)
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/jwks", "/healthz", "/"} {
		if answer := s.Get(t, s.Origin+path); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s answered %d", path, answer.StatusCode)
		}
	}
	page := s.Get(t, "/login")
	for _, c := range page.Cookies() {
		if c.Path != "/auth" {
			t.Errorf("cookie %s for %s", c.Name, c.Path)
		}
	}
}

// The server answers the first request itself when no page is needed, without a
// hop between, and leads from page to page by 303.
func TestAuthorization_NoHopWithoutPages(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	b := signedIn(t, app)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, pairs := range [][]string{{}, {"response_mode", "form_post"}, {"prompt", "none"}} {
			r := app.Server.Request(t, http.MethodGet, authorizationURL(app, at.Code, pairs...), "")
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			if got := responseOf(t, app, app.Server.Do(t, r)); got.Get("code") == "" {
				t.Errorf("%v answered %v", pairs, got)
			}
		}
		answer := app.Server.Get(t, authorizationURL(app, at.Code))
		if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/login?request=") {
			t.Errorf("%d to %q", answer.StatusCode, answer.Header.Get("Location"))
		}
	})
}
