package spec_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// hostileTexts are what a page must show as text, or not at all.
var hostileTexts = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</form><form action=https://evil.example>`, `{{.Request}}{{template "x"}}`, "`${alert(1)}`",
	`&lt;script&gt;`, `<!--`, `]]>`, `<svg/onload=alert(1)>`, "javascript:alert(1)", "\u202egnp.exe", "../../etc/passwd", `%3Cscript%3E`,
}

// wantHarmless checks a page that was made with hostile text: it has the forms and
// scripts it always has, and the text nowhere as markup.
func wantHarmless(t *testing.T, what string, answer *oauthtest.Answer, text string) {
	t.Helper()
	body := string(answer.Body)
	if answer.StatusCode >= 500 {
		t.Errorf("%s %q: %d", what, text, answer.StatusCode)
	}
	if strings.ContainsAny(text, `<"`) && strings.Contains(body, text) {
		t.Errorf("%s %q stands on the page as it came", what, text)
	}
	if bad := inlinePattern.FindString(strings.ReplaceAll(body, html.EscapeString(text), "")); bad != "" {
		t.Errorf("%s %q: the page holds %q", what, text, bad)
	}
	if strings.Count(body, "<form") > 1 || strings.Contains(body, "evil.example>") {
		t.Errorf("%s %q: the page was broken open", what, text)
	}
	for name, values := range answer.Header {
		if strings.Contains(strings.Join(values, " "), "alert") && name != "Location" {
			t.Errorf("%s %q: header %s holds it", what, text, name)
		}
	}
}

// OpenID Connect Core Section 3.1.2.1: hints are texts of a stranger. They are escaped,
// bounded and used for nothing else, and a hostile one stops nobody (AZ-10, conformance
// 35).
func TestOIDCCore_3_1_2_1_HostileHints(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	texts := append([]string{strings.Repeat("a", 257), strings.Repeat("虎", 1000), "a\r\nSet-Cookie: x=y", "\x1b[31m", strings.Repeat("en ", 300), "zh-"}, hostileTexts...)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, hint := range []string{"login_hint", "ui_locales", "display", "acr_values", "claims_locales", "id_token_hint", "claims"} {
			for _, text := range texts {
				b := s.Browser(t)
				b.Open(t, authorizationURL(app, at.Code, hint, text))
				if !b.On("login-form") {
					t.Fatalf("%s %q led to %s (%d)", hint, text, b.Page.Request.URL.Path, b.Page.StatusCode)
				}
				wantHarmless(t, hint, b.Page, text)
				if tag := b.Page.Header.Get("Content-Language"); tag != "en" && tag != "zh-Hans" {
					t.Errorf("%s %q: language %q", hint, text, tag)
				}
			}
		}
	})
	// A hint fills the name in, and no more: the user may be somebody else.
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "login_hint", " bob@app.example "))
	_, fields := b.Form(t, "login-form")
	if fields.Get("username") != "bob@app.example" {
		t.Errorf("username = %q", fields.Get("username"))
	}
	if b.SignIn(t, "alice"); !b.On("consent-form") {
		t.Errorf("alice did not get on: %d", b.Page.StatusCode)
	}
	// What somebody typed goes before the hint when the page is shown again.
	b = s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "login_hint", "bob"))
	b.Submit(t, "login-form", url.Values{"username": {"carol"}, "password": {"wrong horse"}})
	if _, fields := b.Form(t, "login-form"); fields.Get("username") != "carol" || fields.Get("password") != "" {
		t.Errorf("filled in: %q", fields)
	}
}

// What a client says about itself is shown as its word: escaped, and an address only
// when it is https; the sign-in page shows it as well as that of consent (XS-01,
// conformance 43).
func TestConsent_HostileClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, text := range hostileTexts {
		app := s.App(t, func(m *oauth.ClientMetadata) { m.ClientName = text })
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, "/authorize"))
		wantHarmless(t, "client_name on the sign-in page", b.Page, text)
		b.SignIn(t, "alice")
		if !b.On("consent-form") {
			t.Fatalf("%q: at %s", text, b.Page.Request.URL.Path)
		}
		wantHarmless(t, "client_name on the consent page", b.Page, text)
		if shown := html.UnescapeString(string(b.Page.Body)); !strings.ContainsRune(text, '\u202e') && !strings.Contains(shown, text) {
			t.Errorf("the name %q is not shown", text)
		}
		if strings.ContainsRune(string(b.Page.Body), '\u202e') {
			t.Errorf("%q turns the page around", text)
		}
	}
	for _, uri := range []string{"http://app.example/x", "javascript:alert(1)", "data:image/svg+xml,<svg onload=alert(1)>", "//app.example/x", "https://user@app.example/x", "https://", "x", "https://app.example/\nx"} {
		for name, edit := range map[string]func(m *oauth.ClientMetadata){
			"client_uri": func(m *oauth.ClientMetadata) { m.ClientURI = uri }, "logo_uri": func(m *oauth.ClientMetadata) { m.LogoURI = uri },
			"policy_uri": func(m *oauth.ClientMetadata) { m.PolicyURI = uri }, "tos_uri": func(m *oauth.ClientMetadata) { m.TermsOfServiceURI = uri },
		} {
			m := oauthtest.EveryGrant()
			edit(&m)
			if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
				t.Errorf("%s %q: %v", name, uri, err)
			}
		}
	}
	app := s.App(t, func(m *oauth.ClientMetadata) {
		m.LogoURI, m.PolicyURI, m.TermsOfServiceURI, m.ClientURI = "https://cdn.example/l.png?a=1&b=\"", "https://app.example/p", "https://app.example/t", "https://app.example/"
	})
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize"))
	csp := directives(t, "sign-in", b.Page.Header.Get("Content-Security-Policy"))
	if csp["img-src"] != "'self' https://cdn.example" {
		t.Errorf("img-src %s", csp["img-src"])
	}
	for range 2 { // sign-in, then consent
		page := html.UnescapeString(string(b.Page.Body))
		for _, shown := range []string{`<bdi id="client-name">Test App<`, `id="client-logo" src="https://cdn.example/l.png?a=1&b=`, `id="client-policy" href="https://app.example/p"`, `id="client-tos" href="https://app.example/t"`} {
			if !strings.Contains(page, shown) {
				t.Errorf("%s does not show %s", b.Page.Request.URL.Path, shown)
			}
		}
		if b.On("login-form") {
			b.SignIn(t, "alice")
		}
	}
	if strings.Count(string(b.Page.Body), `rel="noopener noreferrer"`) < 2 {
		t.Error("a link of the client's tells it where the user comes from")
	}
	// A host that would end one source of the policy and begin another is not shown.
	for _, host := range []string{"a.example;script-src", "a.example,b.example", "a.example'unsafe-inline'"} {
		m := oauthtest.EveryGrant()
		m.LogoURI = "https://" + host + "/l.png"
		c, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator)
		if err != nil {
			continue // refused is as good
		}
		q := authorizationQuery(app, "client_id", c.ID)
		b := s.Browser(t)
		b.Open(t, s.URL+"/authorize?"+q.Encode())
		if csp := directives(t, host, b.Page.Header.Get("Content-Security-Policy")); csp["img-src"] != "'self'" || csp["script-src"] != "'self'" {
			t.Errorf("%s: %v", host, csp)
		}
	}
}

// The names of people, of scopes and of the site are texts, too (XS-01).
func TestConsent_HostileNames(t *testing.T) {
	t.Parallel()
	const name, scope, declared, site = `<b>"mallory"</b>`, `<img/src=x:onerror>`, `</li><script>alert(1)</script>`, `Site "<i>`
	s := oauthtest.Start(t, func(c *config.Config) {
		c.SiteName = site
		c.Scopes = []config.Scope{{Name: "read", TextEN: declared, TextZH: declared, Optional: true}}
	})
	hash, err := s.Hasher.Hash(t.Context(), oauthtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	makeUser(t, s, name, hash)
	app := s.App(t, func(m *oauth.ClientMetadata) { m.Scope = "read " + scope })
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "scope", "read "+scope))
	b.Submit(t, "login-form", url.Values{"username": {name}, "password": {"wrong horse"}})
	wantHarmless(t, "user name on the sign-in page", b.Page, name)
	b.SignIn(t, name)
	for _, text := range []string{name, scope, declared, site} {
		wantHarmless(t, "on the consent page", b.Page, text)
		if !strings.Contains(html.UnescapeString(string(b.Page.Body)), text) {
			t.Errorf("%q is not shown", text)
		}
	}
	for _, path := range []string{"/", "/end-session"} {
		b.Open(t, s.URL+path)
		wantHarmless(t, "on "+path, b.Page, name)
	}
}

// Pages speak the language of the person: what they chose on a page, what the
// client says they read, what the browser says, and then the default. They can
// change it on every page, and the request goes on.
func TestPages_Language(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	chinese := oauthtest.Start(t, func(c *config.Config) { c.DefaultLanguage = "zh" })
	for name, tt := range map[string]struct {
		server            *oauthtest.Server
		uiLocales, accept string
		cookie, want      string
	}{
		"default":                  {s, "", "", "", "en"},
		"default of the site":      {chinese, "", "", "", "zh-Hans"},
		"browser":                  {s, "", "zh-CN,zh;q=0.9,en;q=0.8", "", "zh-Hans"},
		"browser, traditional":     {s, "", "zh-TW", "", "zh-Hans"},
		"browser, by weight":       {s, "", "zh;q=0.1, en", "", "en"},
		"browser, none of ours":    {s, "", "fr, de", "", "en"},
		"client before browser":    {s, "zh", "en", "", "zh-Hans"},
		"client's second":          {s, "xx zh-Hans en", "", "", "zh-Hans"},
		"client's are none":        {s, "fr", "zh", "", "zh-Hans"},
		"client's are broken":      {s, "!! <x>", "zh", "", "zh-Hans"},
		"chosen before client":     {s, "zh", "zh", "en", "en"},
		"chosen before all":        {s, "en", "en", "zh", "zh-Hans"},
		"chosen is broken":         {s, "", "", "<x>", "en"},
		"client before the site's": {chinese, "en-GB", "", "", "en"},
	} {
		t.Run(name, func(t *testing.T) {
			app := tt.server.App(t)
			b := tt.server.Browser(t)
			b.Open(t, authorizationURL(app, "/authorize", "ui_locales", tt.uiLocales))
			r := tt.server.Request(t, http.MethodGet, b.Page.Request.URL.String(), "")
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: "hufu_lang", Value: tt.cookie})
			}
			r.Header.Set("Accept-Language", tt.accept)
			answer := tt.server.Do(t, r)
			if got := answer.Header.Get("Content-Language"); got != tt.want || !strings.Contains(string(answer.Body), `<html lang="`+tt.want+`">`) {
				t.Errorf("the page is in %q, want %s", got, tt.want)
			}
			if vary := strings.Join(answer.Header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Language") || !strings.Contains(vary, "Cookie") {
				t.Errorf("Vary = %q", vary)
			}
		})
	}
	app := s.App(t)
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "state", "kept"))
	choose := func(tag string) {
		t.Helper()
		for _, link := range linkPattern.FindAllStringSubmatch(string(b.Page.Body), -1) {
			if target := html.UnescapeString(link[1]); strings.HasSuffix(target, "lang="+tag) {
				b.Open(t, s.Origin+target)
				return
			}
		}
		t.Fatalf("no link to %s on %s", tag, b.Page.Request.URL.Path)
	}
	choose("zh")
	if !b.On("login-form") || b.Page.Header.Get("Content-Language") != "zh-Hans" {
		t.Fatalf("after the switch: %d, %s", b.Page.StatusCode, b.Page.Header.Get("Content-Language"))
	}
	b.SignIn(t, "alice")
	if b.Page.Header.Get("Content-Language") != "zh-Hans" {
		t.Error("the choice is forgotten on the next page")
	}
	choose("en")
	if !b.On("consent-form") || b.Page.Header.Get("Content-Language") != "en" {
		t.Fatalf("after the switch back: %d", b.Page.StatusCode)
	}
	b.Approve(t)
	if got := responseOf(t, app, b.Page); got.Get("code") == "" || got.Get("state") != "kept" {
		t.Errorf("answered %v", got)
	}
}
