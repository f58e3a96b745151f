package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// frontchannel registers an address that browsers open when somebody signs out, and a
// redirect URI beside it.
func frontchannel(uri string) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) {
		m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired = uri, true
		origin := oauth.Origin(uri)
		m.RedirectURIs = append(m.RedirectURIs, origin+"/callback", origin+"/bye")
	}
}

var (
	framePattern = regexp.MustCompile(`<iframe class="frontchannel-logout" src="([^"]*)"`)
	nextPattern  = regexp.MustCompile(`<a id="logout-continue" class="button" href="([^"]*)"`)
)

// frames are the addresses that the open page has in frames, in order.
func frames(page *oauthtest.Answer) []string {
	var all []string
	for _, match := range framePattern.FindAllSubmatch(page.Body, -1) {
		all = append(all, html.UnescapeString(string(match[1])))
	}
	slices.Sort(all)
	return all
}

// leadsTo is where the link of the signed-out page leads.
func leadsTo(t *testing.T, page *oauthtest.Answer) string {
	t.Helper()
	match := nextPattern.FindSubmatch(page.Body)
	if match == nil {
		t.Fatalf("no a#logout-continue on\n%s", page.Body)
	}
	return html.UnescapeString(string(match[1]))
}

// OpenID Connect Front-Channel Logout Section 2: behind a sign-out a page has one frame for
// each client that took part in the session and wants one, with issuer and session behind
// its own query, allows exactly these, and leads on without a script to where the client
// wants the user (LO-01, conformance 73, 75).
func TestOpenIDFrontchannel_2_Frames(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, frontchannel("https://app.example/out"))
	others := []*relyingParty{
		newRelyingParty(t, s, frontchannel("https://OTHER.example:8443/out?tenant=a&x=(b)'c")), newRelyingParty(t, s, frontchannel("https://app.example:443/second")),
		newRelyingParty(t, s, frontchannel("http://127.0.0.1:4711/native")), newRelyingParty(t, s),
	}
	away := newRelyingParty(t, s, frontchannel("https://away.example/out")) // in another session
	away.signedIn(t)
	plain := newRelyingParty(t, s, frontchannel("https://plain.example/out"))
	plain.Scopes, plain.Browser = []string{"read"}, p.Browser // without OpenID
	plain.Browser.Walk(t, plain.address(), "alice")
	for _, other := range others {
		other.Browser = p.Browser
		other.signedIn(t)
	}
	hint := p.signedIn(t)
	_, told := p.verify(t, hint)
	answer := s.Do(t, p.Browser.Request(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "a b&虎")))
	if location := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "/logout/done?request=") {
		t.Fatalf("%d to %q", answer.StatusCode, location)
	}
	page := p.Browser.Open(t, s.URL+answer.Header.Get("Location"))
	end := "iss=" + url.QueryEscape(s.URL) + "&sid=" + told["sid"].(string)
	want := []string{"http://127.0.0.1:4711/native?" + end, "https://OTHER.example:8443/out?tenant=a&x=(b)'c&" + end, "https://app.example/out?" + end, "https://app.example:443/second?" + end}
	if got := frames(page); page.StatusCode != http.StatusOK || !p.Browser.On("logged-out") || !slices.Equal(got, want) {
		t.Errorf("%d, frames\n%q, want\n%q", page.StatusCode, got, want)
	}
	csp := directives(t, "signed out", page.Header.Get("Content-Security-Policy"))
	sources := strings.Fields(csp["frame-src"])
	slices.Sort(sources)
	if !slices.Equal(sources, []string{"http://127.0.0.1:4711", "https://app.example", "https://other.example:8443"}) || csp["script-src"] != "'none'" || csp["frame-ancestors"] != "'none'" || csp["default-src"] != "'none'" {
		t.Errorf("policy %v", csp)
	}
	const landed = bye + "?state=a%20b%26%E8%99%8E"
	if got := page.Header.Get("Refresh"); got != "2; url="+landed {
		t.Errorf("Refresh: %q", got)
	}
	if got := leadsTo(t, page); got != landed {
		t.Errorf("continue leads to %q", got)
	}
	if p.isSignedIn(t) {
		t.Error("still signed in")
	}
	// The language can be switched, and who comes back to the page much later is not made
	// to tell anybody again.
	chinese := p.Browser.Open(t, s.URL+answer.Header.Get("Location")+"&lang=zh")
	if len(frames(chinese)) != len(want) || !strings.Contains(string(chinese.Body), "正在退出") {
		t.Errorf("in Chinese:\n%s", chinese.Body)
	}
	// In another browser, where somebody may be signed in, it tells nobody and leads nowhere.
	if elsewhere := away.Browser.Open(t, s.URL+answer.Header.Get("Location")); len(frames(elsewhere)) != 0 || elsewhere.Header.Get("Refresh") != "" || leadsTo(t, elsewhere) != "/" {
		t.Errorf("in another browser:\n%s", elsewhere.Body)
	}
	s.Clock.Advance(11 * time.Minute)
	late := p.Browser.Open(t, s.URL+answer.Header.Get("Location"))
	if late.StatusCode != http.StatusOK || len(frames(late)) != 0 || late.Header.Get("Refresh") != "" || leadsTo(t, late) != landed {
		t.Errorf("late: %d %v\n%s", late.StatusCode, late.Header, late.Body)
	}
}

// Sections 2 and 3: the page shows frames as well when the client names no address to go
// on to, and then stays; without a client that wants a frame there is no page between
// (conformance 71, 75).
func TestOpenIDFrontchannel_2_WhereTo(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, frontchannel("https://app.example/out"), func(m *oauth.ClientMetadata) {
		m.PostLogoutRedirectURIs = append(m.PostLogoutRedirectURIs, "com.example.app:/bye")
	})
	bare := newRelyingParty(t, s, backchannel("https://127.0.0.1:1/"))
	for name, tt := range map[string]struct {
		pairs    []string
		next     string
		confirms bool
	}{
		"nothing":     {nil, "/", true},
		"hint alone":  {[]string{"id_token_hint"}, "/", false},
		"application": {[]string{"id_token_hint", "post_logout_redirect_uri", "com.example.app:/bye", "ui_locales", "zh"}, "com.example.app:/bye", false},
	} {
		p.Browser = s.Browser(t)
		hint := p.signedIn(t)
		pairs := slices.Clone(tt.pairs)
		if len(pairs) > 0 {
			pairs = slices.Insert(pairs, 1, hint)
		}
		page := p.Browser.Open(t, logout(pairs...))
		if tt.confirms {
			page = p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		}
		refresh := ""
		if tt.next != "/" {
			refresh = "2; url=" + tt.next
		}
		if len(frames(page)) != 1 || leadsTo(t, page) != tt.next || page.Header.Get("Refresh") != refresh {
			t.Errorf("%s: %v\n%s", name, page.Header, page.Body)
		}
		if chinese := strings.Contains(string(page.Body), `<html lang="zh-Hans">`); chinese != (len(pairs) > 4) {
			t.Errorf("%s: in Chinese: %t", name, chinese)
		}
	}
	bare.Browser.Open(t, logout("id_token_hint", bare.signedIn(t), "post_logout_redirect_uri", bye))
	if got := bare.Browser.Location(t); got == nil || got.String() != bye {
		t.Errorf("without a front-channel client it leads to %v", got)
	}
	// A client that was changed or taken away meanwhile is not told.
	hint := p.signedIn(t)
	_, err := s.Clients.Update(t.Context(), p.ClientID, func(m *oauth.ClientMetadata) error { m.FrontchannelLogoutURI = ""; return nil }, theOperator)
	ok(t, err)
	p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye))
	if got := p.Browser.Location(t); got == nil || got.String() != bye {
		t.Errorf("with a client that wants no frame any more it leads to %v", got)
	}
}

// What the page is shown with comes from a sign-out at this server, whatever replica that
// was, and from nowhere else: nobody has others open pages, or leads them on (LO-13).
func TestOpenIDFrontchannel_2_Sealed(t *testing.T) {
	t.Parallel()
	data := oauthtest.DataDir(t)
	s := oauthtest.StartIn(t, data)
	p := newRelyingParty(t, s, frontchannel("https://app.example/out"))
	answer := s.Do(t, p.Browser.Request(t, logout("id_token_hint", p.signedIn(t), "post_logout_redirect_uri", bye)))
	done := answer.Header.Get("Location")
	_, sealed, _ := strings.Cut(done, "request=")
	posted := s.Post(t, "/end-session", url.Values{"state": {"s"}, "post_logout_redirect_uri": {"https://evil.example/"}})
	_, asked, _ := strings.Cut(posted.Header.Get("Location"), "request=")
	for name, address := range map[string]string{
		"changed": "/logout/done?request=" + sealed[:len(sealed)-2] + "AA", "garbage": "/logout/done?request=x", "twice": done + "&request=" + sealed,
		"a request to sign out": "/logout/done?request=" + asked, "a page as a request": "/end-session?request=" + sealed,
	} {
		answer := s.Get(t, address)
		if answer.StatusCode != http.StatusBadRequest || strings.Contains(string(answer.Body), "evil.example") || len(frames(answer)) > 0 || answer.Header.Get("Refresh") != "" {
			t.Errorf("%s: %d\n%s", name, answer.StatusCode, answer.Body)
		}
	}
	plain := s.Get(t, "/logout/done?client_id=x&post_logout_redirect_uri=https://evil.example/")
	if plain.StatusCode != http.StatusOK || strings.Contains(string(plain.Body), "evil.example") || strings.Contains(plain.Header.Get("Content-Security-Policy"), "frame-src") || leadsTo(t, plain) != "/" {
		t.Errorf("without a request: %v\n%s", plain.Header, plain.Body)
	}
	if oauthtest.OnPostgres() {
		replica := oauthtest.StartIn(t, data, func(c *config.Config) { c.Issuer = s.URL })
		r := s.Request(t, http.MethodGet, replica.Origin+done, "")
		for _, c := range p.Browser.Cookies(t) {
			r.AddCookie(c)
		}
		if page := replica.Do(t, r); len(frames(page)) != 1 || leadsTo(t, page) != bye {
			t.Errorf("another replica: %d\n%s", page.StatusCode, page.Body)
		}
	}
}

// A user of many clients is led on all the same; as many are told as fit.
func TestOpenIDFrontchannel_2_ManyClients(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, frontchannel("https://app.example/out"))
	for i := range 55 {
		m := oauthtest.EveryGrant()
		m.Trusted = true
		frontchannel(fmt.Sprintf("https://app%d.example/out", i))(&m)
		id, _ := s.Register(t, fmt.Sprintf("client-%d-%s", i, strings.Repeat("虎", 38)), m)
		q := *p
		q.App = &oauthtest.App{Config: p.Config, Server: s, Browser: p.Browser}
		q.ClientID = id
		q.Browser.Walk(t, q.address("scope", "openid"), "alice")
	}
	state := strings.Repeat("虎", 680)
	hint := p.signedIn(t)
	page := p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", state))
	if n := len(frames(page)); page.StatusCode != http.StatusOK || n < 5 || n > 50 || leadsTo(t, page) != bye+"?state="+url.QueryEscape(state) {
		t.Errorf("%d with %d frames", page.StatusCode, n)
	}
}

// Section 2: the address lies where a redirect URI of the client does.
func TestOpenIDFrontchannel_2_Registration(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for uri, good := range map[string]bool{
		"https://app.example/out": true, "https://app.example:443/out?a=b": true, "https://APP.example": true, "http://127.0.0.1:8080/out": true, "http://localhost/out": true,
		"https://app.example:444/out": false, "http://app.example/out": false, "https://app.example.evil.example/out": false, "https://evil.example/out": false,
		"http://127.0.0.1:8081/out": false, "https://app.example/out#x": false, "https://u@app.example/out": false, "com.example.app:/out": false, "/out": false,
		"https://a;script-src/out": false, "https://b'c/out": false, "https://app.example/out?iss=x": false, "https://app.example/out?sid=x": false, "javascript:alert(1)": false,
	} {
		m := oauthtest.EveryGrant()
		m.RedirectURIs = append(m.RedirectURIs, "http://127.0.0.1:8080/cb", "http://localhost/cb", "https://a;script-src/cb", "https://b'c/cb", "com.example.app:/cb")
		m.FrontchannelLogoutURI = uri
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); (err == nil) != good {
			t.Errorf("%.60s: %v", uri, err)
		}
	}
}

// In a real browser, with scripts switched off: the frames are loaded, each client is told
// once, and the user ends at the client without doing anything (conformance 75).
func TestBrowser_FrontchannelLogout(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	var mu sync.Mutex
	var told []string
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if strings.HasPrefix(r.URL.Path, "/out") {
			mu.Lock()
			told = append(told, r.URL.String())
			mu.Unlock()
		}
		fmt.Fprint(w, landingPage)
	}))
	t.Cleanup(site.Close)
	apart := strings.Replace(site.URL, "127.0.0.1", "localhost", 1) // another site to a browser
	b := oauthtest.NewTab(t)
	b.Open(t, s.URL+"/login")
	b.SignIn(t, "alice", oauthtest.Password)
	b.Scripts(t, false)
	var hint string
	for i, origin := range []string{site.URL, apart} {
		m := oauthtest.EveryGrant()
		m.RedirectURIs, m.FrontchannelLogoutURI, m.PostLogoutRedirectURIs, m.Trusted = []string{origin + "/callback"}, fmt.Sprintf("%s/out%d", origin, i), []string{origin + "/bye"}, true
		id, secret := s.Register(t, "", m)
		b.Open(t, s.URL+"/authorize?"+url.Values{"client_id": {id}, "redirect_uri": m.RedirectURIs, "response_type": {"code"}, "scope": {"openid"}}.Encode())
		answer := s.Post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {b.URL(t).Query().Get("code")}, "redirect_uri": m.RedirectURIs, "client_id": {id}, "client_secret": {secret}})
		if hint = answer.Text("id_token"); hint == "" {
			t.Fatalf("token endpoint: %s", answer.Body)
		}
	}
	b.Open(t, s.URL+logout("id_token_hint", hint, "post_logout_redirect_uri", apart+"/bye", "state", "s"))
	if b.URL(t).Path != "/logout/done" || !b.Has(t, "main#logged-out a#logout-continue") {
		t.Fatalf("on %s", b.URL(t))
	}
	if complaints := b.Complaints(); len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
	eventually(t, "the page leads on", func() bool { return b.URL(t).String() == apart+"/bye?state=s" })
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(told)
	if len(told) != 2 || !strings.HasPrefix(told[0], "/out0?iss="+url.QueryEscape(s.URL)+"&sid=") || !strings.HasPrefix(told[1], "/out1?iss=") {
		t.Errorf("told %q", told)
	}
}
