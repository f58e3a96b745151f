package spec_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// sessionState computes what a session_state must be for a state of the browser.
func sessionState(clientID, origin, state, salt string) string {
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + state + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}

// wantSessionState fails unless an answer fits the cookie that the browser has.
func (p *relyingParty) wantSessionState(t *testing.T, what string, answer url.Values, origin string) {
	t.Helper()
	given := answer.Get("session_state")
	_, salt, _ := strings.Cut(given, ".")
	if len(answer["session_state"]) != 1 || len(salt) < 16 || given != sessionState(p.ClientID, origin, cookieNamed(t, p.Browser, "hufu_session_state"), salt) {
		t.Errorf("%s: session_state %q", what, answer["session_state"])
	}
}

// OpenID Connect Session Management Section 2: every answer to an OpenID request holds
// session_state as long as somebody is signed in, refusals as well, in each mode and of
// each response type, salted anew; others hold none (conformance 76).
func TestOpenIDSession_2_SessionState(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, func(m *oauth.ClientMetadata) {
		m.RedirectURIs = append(m.RedirectURIs, "https://APP.example:443/other", "http://127.0.0.1/native", "com.example.app:/cb")
	})
	const origin = "https://app.example"
	silent, _ := answerOf(t, p.Browser.Walk(t, p.address("prompt", "none"), ""))
	if silent.Get("error") != "login_required" || silent.Has("session_state") {
		t.Errorf("nobody is signed in: %v", silent)
	}
	first, _ := p.ask(t)
	p.wantSessionState(t, "the first answer", first, origin)
	again, _ := p.ask(t)
	p.wantSessionState(t, "again", again, origin)
	if first.Get("session_state") == again.Get("session_state") {
		t.Error("the salt is the same")
	}
	for name, pairs := range map[string][]string{
		"id_token":        {"response_type", "id_token", "nonce", "n"},
		"code token":      {"response_type", "code token"},
		"fragment":        {"response_mode", "fragment"},
		"consent refused": {"prompt", "none consent"},
		"unknown scope":   {"scope", "openid admin"},
		"no such type":    {"response_type", "frob"},
		"another user":    {"prompt", "none", "claims", `{"id_token":{"sub":{"value":"another"}}}`},
		"default port":    {"redirect_uri", "https://APP.example:443/other"},
		"silent":          {"prompt", "none"},
	} {
		answer, _ := p.ask(t, pairs...)
		p.wantSessionState(t, name, answer, origin)
	}
	native, _ := p.ask(t, "redirect_uri", "http://127.0.0.1:49152/native")
	p.wantSessionState(t, "loopback", native, "http://127.0.0.1:49152")
	p.Browser.Open(t, p.address("response_mode", "form_post"))
	_, fields := p.Browser.Form(t, "form-post")
	p.wantSessionState(t, "form_post", fields, origin)
	for name, pairs := range map[string][]string{"an application": {"redirect_uri", "com.example.app:/cb"}, "without openid": {"scope", "read"}} {
		if answer, _ := p.ask(t, pairs...); answer.Has("session_state") {
			t.Errorf("%s: %v", name, answer)
		}
	}
	p.Browser.Open(t, p.address("prompt", "consent"))
	p.Browser.Submit(t, "consent-form", url.Values{"decision": {"deny"}})
	denied, _ := answerOf(t, p.Browser.Location(t))
	p.wantSessionState(t, "denied", denied, origin)
}

// Section 3.2: the state of the browser is another one after every sign-in and goes with
// the sign-out; it tells nothing about the session cookie, and whatever ends a session
// shows as soon as the browser comes here again (conformance 76).
func TestOpenIDSession_3_2_BrowserState(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	state := func() string {
		t.Helper()
		for _, c := range p.Browser.Cookies(t) {
			if c.Name == "hufu_session_state" {
				return c.Value
			}
		}
		return ""
	}
	seen := map[string]bool{"": true}
	changed := func(what string, here bool) {
		t.Helper()
		now := state()
		if seen[now] == here || (now != "") != here {
			t.Errorf("%s: the state is %q", what, now)
		}
		seen[now] = true
	}
	p.Browser.Open(t, "/login")
	p.Browser.SignIn(t, "alice")
	changed("signed in", true)
	if id := cookieNamed(t, p.Browser, "hufu_session"); strings.Contains(id, state()) || strings.Contains(state(), id[:8]) {
		t.Error("the state tells of the session")
	}
	before := state()
	p.ask(t)
	p.Browser.Open(t, "/")
	if state() != before {
		t.Error("the state changed by itself")
	}
	p.Browser.Open(t, "/login")
	p.Browser.SignIn(t, "alice")
	changed("signed in again", true)
	p.Browser.Open(t, "/end-session")
	p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	changed("signed out", false)
	p.ask(t)
	changed("signed in by a request", true)
	ok(t, s.Store.RevokeAll(t.Context(), s.Clock.Now(), theOperator))
	answer, _ := answerOf(t, p.Browser.Walk(t, p.address("prompt", "none"), ""))
	if answer.Get("error") != "login_required" || answer.Has("session_state") {
		t.Errorf("after the end of all sessions: %v", answer)
	}
	changed("ended by other means", false)

	// A frame of another site brings the cookie of the state and not that of the session.
	p.ask(t)
	r := s.Request(t, http.MethodGet, p.address("prompt", "none"), "")
	r.AddCookie(&http.Cookie{Name: "hufu_session_state", Value: state()})
	if answer := s.Do(t, r); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Set-Cookie") != "" {
		t.Errorf("from a frame: %d %v", answer.StatusCode, answer.Header)
	}
	// A browser that lost the state, or has one of its own making, is given the right one.
	r = p.Browser.Request(t, p.address("prompt", "none"))
	r.Header.Set("Cookie", "hufu_session="+cookieNamed(t, p.Browser, "hufu_session")+"; hufu_session_state=x")
	if answer := s.Do(t, r); !strings.Contains(answer.Header.Get("Set-Cookie"), "hufu_session_state="+state()) {
		t.Errorf("with another state: %v", answer.Header)
	}
}

// Section 3.3: the page is there for everybody to frame, and for nothing else.
func TestOpenIDSession_3_3_CheckSession(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*config.Config){"root": func(*config.Config) {}, "path": func(c *config.Config) { c.Issuer += "/auth" }} {
		s := oauthtest.Start(t, edit)
		if m := discover(t, s); m.CheckSessionIframe != s.URL+"/check-session" {
			t.Errorf("%s: check_session_iframe %q", name, m.CheckSessionIframe)
		}
		answer := s.Get(t, "/check-session")
		csp := directives(t, name, answer.Header.Get("Content-Security-Policy"))
		if answer.StatusCode != http.StatusOK || answer.Header.Values("X-Frame-Options") != nil || answer.Header.Get("Set-Cookie") != "" ||
			csp["frame-ancestors"] != "* "+s.Origin || csp["default-src"] != "'none'" || csp["script-src"] != "'self'" {
			t.Errorf("%s: %d %v", name, answer.StatusCode, answer.Header)
		}
		if bad := inlinePattern.FindString(string(answer.Body)); bad != "" {
			t.Errorf("%s: the page holds %q", name, bad)
		}
		if head := s.Do(t, s.Request(t, http.MethodHead, "/check-session", "")); head.StatusCode != http.StatusOK || len(head.Body) > 0 {
			t.Errorf("%s: HEAD %d", name, head.StatusCode)
		}
		if post := s.Post(t, "/check-session", nil); post.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: POST %d", name, post.StatusCode)
		}
	}
}

// A checker is a page of a client that has the server's page in a frame, and asks it.
const checker = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Checker</title><link rel="icon" href="data:,"><iframe id="op" src="%s/check-session"></iframe>
<script>
function ask(message) {
  return new Promise(function (done) {
    window.onmessage = function (e) { if (e.origin === %q) done(e.data); };
    document.getElementById("op").contentWindow.postMessage(message, %q);
  });
}
</script>`

// check asks the frame of the page that is open, with an expression of JavaScript.
func check(t *testing.T, b *oauthtest.Tab, message string) (verdict string) {
	t.Helper()
	b.Do(t, chromedp.Evaluate("ask("+message+")", &verdict, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return verdict
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	ok(t, err)
	return string(b)
}

// Sections 3.1 and 3.2, in a real browser: the page says unchanged as long as it is, then
// changed, and error to what is no question, on plain http on loopback and on https
// (conformance 76). To a client of another site it may have to say error, if the browser
// keeps cookies from it, but never that something changed when nothing has.
func TestBrowser_CheckSession(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := tlsFront(t)
			s := oauthtest.Start(t, func(c *config.Config) {
				if secure {
					c.Issuer = front.URL
				}
			})
			front.to(t, s.Origin)
			s.User(t, "alice")
			s.User(t, "bob")
			serve := httptest.NewServer
			if secure {
				serve = httptest.NewTLSServer
			}
			site := serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprintf(w, checker, s.URL, s.URL, s.URL)
			}))
			t.Cleanup(site.Close)
			origin, apart := site.URL, strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
			m := oauthtest.EveryGrant()
			m.RedirectURIs, m.Trusted = []string{origin + "/callback", apart + "/callback"}, true
			id, _ := s.Register(t, "", m)
			b := oauthtest.NewWindow(t)
			b.Do(t, security.Enable(), security.SetIgnoreCertificateErrors(true))
			ask := func(prompt string) string {
				t.Helper()
				b.Open(t, s.URL+"/authorize?"+url.Values{"client_id": {id}, "redirect_uri": {origin + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "prompt": {prompt}}.Encode())
				if b.Has(t, "#login-form") {
					b.SignIn(t, "alice", oauthtest.Password)
				}
				return b.URL(t).Query().Get("session_state")
			}
			verdict := func(what, given, want string) {
				t.Helper()
				b.Open(t, origin+"/")
				if got := check(t, b, quoted(t, id+" "+given)); got != want {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			alices := ask("")
			verdict("alice is signed in", alices, "unchanged")
			verdict("asked again", ask("none"), "unchanged")
			verdict("alice is still signed in", alices, "unchanged")
			verdict("of another client", strings.Replace(alices, alices[:4], "0000", 1), "changed")
			for _, nonsense := range []string{`"\ud800 x.y"`, `""`, `"nonsense"`, quoted(t, id+" "), quoted(t, " "+alices), quoted(t, id+" nodot"), quoted(t, id+" salt."), quoted(t, id+" .salt"), `{"a":1}`, `null`, `7`, quoted(t, id)} {
				if got := check(t, b, nonsense); got != "error" {
					t.Errorf("%s: %q", nonsense, got)
				}
			}
			prefix := "hufu_"
			if secure {
				prefix = "__Host-hufu_"
			}
			cookie := b.Cookies(t)[prefix+"session_state"]
			if cookie == nil {
				t.Fatal("no cookie with the state")
			}
			for n := 1; n <= 66; n++ { // over the length of a block of SHA-256
				for _, client := range []string{strings.Repeat("c", n), strings.Repeat("虎 🐯", n)} {
					if got := check(t, b, quoted(t, client+" "+sessionState(client, origin, cookie.Value, "salt"))); got != "unchanged" {
						t.Fatalf("a client id of %d bytes: %q", len(client), got)
					}
				}
			}
			b.Open(t, s.URL+"/login")
			b.SignIn(t, "bob", oauthtest.Password)
			verdict("bob signed in", alices, "changed")
			origin, apart = apart, origin
			theirs := ask("none")
			b.Open(t, origin+"/")
			if got := check(t, b, quoted(t, id+" "+theirs)); got != "unchanged" && got != "error" {
				t.Errorf("bob is signed in, asked from another site: %q", got)
			}
			origin = apart
			bobs := ask("")
			verdict("bob is signed in", bobs, "unchanged")
			b.Open(t, s.URL+"/end-session")
			b.Follow(t, "#logout-confirm")
			verdict("signed out", bobs, "changed")
		})
	}
}
