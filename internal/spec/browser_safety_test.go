package spec_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// OpenID Connect RP-Initiated Logout 1.0 Section 6: the question may be answered
// either way; behind a yes nobody is signed in, not even on a page that the back
// button brings back (LO-01, SE-01).
func TestBrowser_Logout(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	l, b := land(t, s), oauthtest.NewTab(t)
	b.Open(t, s.URL+"/end-session") // nobody to sign out
	want(t, b, "/logout/done", http.StatusOK)
	b.Follow(t, "#logout-continue")
	want(t, b, "/", http.StatusOK)
	b.Follow(t, "#home-signin")
	b.SignIn(t, "alice", oauthtest.Password)
	want(t, b, "/account", http.StatusOK)
	b.Follow(t, ".brand")
	want(t, b, "/", http.StatusOK)
	if got := b.Text(t, ".hero .as"); !strings.Contains(got, "alice") {
		t.Errorf("the home page tells: %s", got)
	}
	b.Follow(t, "#home-signout")
	want(t, b, "/end-session", http.StatusOK)
	b.Follow(t, "#logout-cancel")
	if !b.Has(t, "#home-signout") {
		t.Fatalf("staying signed in shows %s", b.Text(t, "body"))
	}
	b.Follow(t, "#home-signout")
	b.Follow(t, "#logout-confirm")
	want(t, b, "/logout/done", http.StatusOK)
	b.Reload(t)
	want(t, b, "/logout/done", http.StatusOK)
	if cookie := b.Cookies(t)["hufu_session"]; cookie != nil {
		t.Errorf("the session cookie is still there: %+v", cookie)
	}
	for range 2 {
		b.Back(t)
		if strings.Contains(b.Text(t, "body"), "alice") {
			t.Errorf("the back button shows %s", b.Text(t, "body"))
		}
	}
	b.Open(t, l.ask("/authorize", "s", "prompt", "none"))
	if got := l.arrived(t).Values.Get("error"); got != "login_required" {
		t.Errorf("prompt=none after a sign-out = %q", got)
	}
}

// RFC 6265bis Sections 4.1 and 5.7: the cookies as the browser keeps them, on
// plain http loopback and behind https; no script reads one; the session's changes
// with every sign-in and the browser's does not (SE-01, SE-02).
func TestBrowser_Cookies(t *testing.T) {
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
			l, b := land(t, s), oauthtest.NewWindow(t)
			b.Do(t, security.Enable(), security.SetIgnoreCertificateErrors(true))
			b.Open(t, l.ask("/authorize", "s"))
			before := b.Cookies(t)
			b.Open(t, s.URL+"/login?lang=zh")
			prefix := "hufu_"
			if secure {
				prefix = "__Host-hufu_"
			}
			b.Open(t, l.ask("/authorize", "s"))
			b.SignIn(t, "alice", oauthtest.Password)
			cookies := b.Cookies(t)
			for _, name := range []string{"browser", "session", "device", "lang"} {
				c := cookies[prefix+name]
				if c == nil {
					t.Errorf("no cookie %s in %v", prefix+name, cookies)
					continue
				}
				if !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Secure != secure || c.Domain != "127.0.0.1" || c.Path != "/" {
					t.Errorf("cookie %+v", c)
				}
			}
			if len(cookies) != 5 {
				t.Errorf("%d cookies", len(cookies))
			}
			var readable string
			b.Eval(t, `document.cookie`, &readable)
			if name, value, _ := strings.Cut(readable, "="); name != prefix+"session_state" || len(value) != 22 || strings.Contains(value, ";") {
				t.Errorf("scripts can read %q", readable)
			}
			b.Follow(t, "#consent-approve")
			l.arrived(t)
			b.Open(t, l.ask("/authorize", "s", "prompt", "login"))
			b.SignIn(t, "alice", oauthtest.Password)
			l.arrived(t)
			after := b.Cookies(t)
			if old, now := cookies[prefix+"session"].Value, after[prefix+"session"].Value; old == now {
				t.Error("the session's cookie is the same after another sign-in")
			}
			if old, now := before[prefix+"browser"].Value, after[prefix+"browser"].Value; old != now {
				t.Error("the browser's cookie has changed")
			}
		})
	}
}

// A front is a proxy that speaks https to browsers.
type front struct {
	*httptest.Server
	proxy *httputil.ReverseProxy
}

func tlsFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.proxy.ServeHTTP(w, r) }))
	f.TLS, f.Config.ErrorLog = &tls.Config{MinVersion: tls.VersionTLS12}, log.New(io.Discard, "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *front) to(t *testing.T, origin string) {
	t.Helper()
	target, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	f.proxy = httputil.NewSingleHostReverseProxy(target)
}

// OpenID Connect Core Section 3.1.2.1: a page of the client may send the request
// by POST. The browser withholds its cookies from that, and the person is still
// known in the end (AZ-02).
func TestBrowser_ForeignPostOfRequest(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		t.Parallel()
		s := oauthtest.Start(t)
		s.User(t, "alice")
		l, b := land(t, s), oauthtest.NewTab(t)
		ask := func(state string) {
			b.Open(t, l.posting(s.URL+at.Code, url.Values{"response_type": {"code"}, "client_id": {l.ClientID}, "redirect_uri": {l.Callback}, "scope": {"read"}, "state": {state}}))
			b.Follow(t, "#ask")
		}
		ask("one")
		want(t, b, "/login", http.StatusOK)
		b.SignIn(t, "alice", oauthtest.Password)
		want(t, b, "/consent", http.StatusOK)
		b.Follow(t, "#consent-approve")
		l.redeem(t, l.arrived(t).Values.Get("code"))
		ask("two") // signed in, and the consent remembered
		got := l.arrived(t).Values
		if got.Get("state") != "two" {
			t.Errorf("answer = %v", got)
		}
		l.redeem(t, got.Get("code"))
	})
}

// RFC 6749 Section 10.12: forms of another site sign nobody in, allow nothing and
// sign nobody out (CS-01).
func TestBrowser_ForeignForms(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	s.User(t, "mallory")
	l, b := land(t, s), oauthtest.NewTab(t)
	b.Open(t, l.ask("/authorize", "s"))
	b.SignIn(t, "alice", oauthtest.Password)
	request := b.URL(t).Query().Get("request")
	var token string
	b.Eval(t, `document.querySelector("[name=form_token]").value`, &token) // even one who has guessed it
	session := b.Cookies(t)["hufu_session"].Value
	for path, form := range map[string]url.Values{
		"/login":       {"username": {"mallory"}, "password": {oauthtest.Password}, "action": {"login"}, "form_token": {token}},
		"/consent":     {"request": {request}, "decision": {"approve"}, "form_token": {token}},
		"/end-session": {"decision": {"yes"}, "form_token": {token}},
	} {
		b.Open(t, l.posting(s.URL+path, form))
		b.Follow(t, "#ask")
		want(t, b, path, http.StatusForbidden)
		if got := b.Cookies(t)["hufu_session"]; got == nil || got.Value != session {
			t.Errorf("%s: the session is another: %+v", path, got)
		}
	}
	l.nobody(t)
	b.Open(t, s.URL+"/")
	if got := b.Text(t, ".hero .as"); !strings.Contains(got, "alice") {
		t.Errorf("the home page tells: %s", got)
	}
}

// RFC 6749 Section 10.13: no page shows itself in a frame of another site
// (HD-01).
func TestBrowser_Framing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	l, b := land(t, s), oauthtest.NewTab(t)
	for _, path := range []string{"/", "/login", "/end-session", "/logout/done", "/nothing", "/authorize?client_id=nobody"} {
		b.Open(t, l.URL+"/frame?of="+url.QueryEscape(s.URL+path))
		if !b.Complains(t, "frame-ancestors") {
			t.Errorf("%s shows itself in a frame", path)
		}
	}
}

// A client may open the pages in a window of its own and have the answer told to
// the window it came from; nothing of ours may cut the two apart (HD-03).
func TestBrowser_Popup(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.User(t, "alice")
	l, b := land(t, s), oauthtest.NewWindow(t)
	b.Open(t, l.URL+"/popup?to="+url.QueryEscape(l.ask("/authorize", "from the popup")))
	p := b.Popup(t, "#ask")
	p.SignIn(t, "alice", oauthtest.Password)
	p.Follow(t, "#consent-approve")
	l.arrived(t)
	var told bool
	p.Eval(t, `opener !== null && (opener.postMessage("here", "*"), true)`, &told)
	if !told {
		t.Error("the popup has lost the window that opened it")
	}
}

// What a client or a link says about itself is text on the page and nothing else,
// and breaks no layout (XS-01, AZ-10).
func TestBrowser_HostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = `<img src=x onerror="document.title='hit'"><script>document.title='hit'</script>"'>&lt;{{.}}`
	s := oauthtest.Start(t)
	s.User(t, "alice")
	l := land(t, s, func(m *oauth.ClientMetadata) {
		m.ClientName = hostile + strings.Repeat("W", 100)
		m.LogoURI = "https://logo.invalid/logo.png"
		m.PolicyURI, m.TermsOfServiceURI = "https://app.invalid/?a=\"><b>", "https://app.invalid/terms"
	})
	b := oauthtest.NewTab(t)
	check := func() {
		t.Helper()
		var title string
		b.Eval(t, `document.title`, &title)
		if strings.Contains(title, "hit") {
			t.Error("a script ran")
		}
		complaints := slices.DeleteFunc(b.Complaints(), func(c string) bool { return strings.Contains(c, "logo.invalid") }) // it cannot be reached
		var found []string
		b.Eval(t, auditScript, &found)
		for _, wrong := range append(found, complaints...) {
			t.Errorf("%s, %s", b.URL(t).Path, wrong)
		}
	}
	b.Do(t, narrow)
	b.Open(t, l.ask("/authorize", "s", "login_hint", hostile, "ui_locales", hostile, "display", hostile))
	check()
	var hint string
	b.Eval(t, `username.value`, &hint)
	if hint != hostile {
		t.Errorf("login_hint is shown as %q", hint)
	}
	if got := b.Text(t, "#client-name"); !strings.HasPrefix(got, hostile) {
		t.Errorf("the name is shown as %q", got)
	}
	b.SignIn(t, "alice", oauthtest.Password)
	check()
	b.Open(t, s.URL+"/authorize?client_id="+url.QueryEscape(hostile))
	check()
	b.Open(t, s.URL+"/"+url.PathEscape(hostile)+"?lang="+url.QueryEscape(hostile))
	check()
}

// narrow makes the window that of the smallest phone.
var narrow = chromedp.EmulateViewport(320, 568)
