package oauth_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// Whatever is accepted beyond equality leads to the same place: it differs in the
// port of a loopback IP literal and in nothing else, RFC 8252 Section 7.3 (RU-01,
// RU-04).
func FuzzMatchRedirect(f *testing.F) {
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb")
	f.Add("http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:65535/cb?a=b")
	f.Add("http://[::1]/cb", "http://[::1]:8080/cb")
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb")
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:/cb")
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb")
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:080/cb")
	f.Add("http://localhost/cb", "http://localhost:8080/cb")
	f.Add("https://127.0.0.1/cb", "https://127.0.0.1:8080/cb")
	f.Add("http://127.0.0.1", "http://127.0.0.1\\@evil.example")
	f.Add("https://app.example/cb", "https://app.example/cb/")
	f.Fuzz(func(t *testing.T, registered, got string) {
		if oauth.MatchRedirect(registered, got) != oauth.MatchRedirect(got, registered) {
			t.Errorf("MatchRedirect(%q, %q) depends on the order", registered, got)
		}
		redirect, ok := oauth.MatchAny([]string{registered}, got)
		if ok != oauth.MatchRedirect(registered, got) || ok && redirect.String() != got || !ok && redirect.String() != "" {
			t.Errorf("MatchAny(%q, %q) = %q, %t", registered, got, redirect, ok)
		}
		if registered == got && !ok {
			t.Errorf("%q does not match itself", got)
		}
		if registered == got || !ok {
			return
		}
		r, err := url.Parse(registered)
		if err != nil {
			return // nothing like it can be registered
		}
		g, err := url.Parse(got)
		if err != nil {
			t.Fatalf("MatchRedirect(%q, %q) accepted what is no URI: %v", registered, got, err)
		}
		address, err := netip.ParseAddr(g.Hostname())
		if err != nil || !address.IsLoopback() || g.Scheme != "http" || g.User != nil || r.User != nil || g.Hostname() != r.Hostname() {
			t.Errorf("MatchRedirect(%q, %q) accepted another host", registered, got)
		}
		r.Host, g.Host = "", ""
		if r.String() != g.String() {
			t.Errorf("MatchRedirect(%q, %q) accepted a URI that leads elsewhere", registered, got)
		}
	})
}

// Whatever can be registered is absolute, leads to https, to this machine or to
// an application, and comes back to the client as it was registered, with every
// parameter of the answer readable behind it (RU-02, RU-05, RU-06, RU-10).
func FuzzCheckRedirectURI(f *testing.F) {
	for _, seed := range []string{
		"https://app.example/cb", "https://app.example/cb?a=b", "https://app.example/cb?", "https://app.example/cb?next=what?", "https://app.example/cb?a&", "http://localhost:8080/cb", "http://[::1]/cb",
		"com.example.app:/cb", "javascript:alert(1)", "data:text/html,x", "https://*.example/cb", "https://a@b/", "https://app.example/#",
		"HTTPS://app.example/", "https://app.example:0/", "https:app.example", "file:///etc/passwd", "https://app.example/?code=1", "https://app.example/?%63ode=1",
	} {
		f.Add(seed, "state value & more = 虎")
	}
	f.Fuzz(func(t *testing.T, uri, state string) {
		if oauth.CheckRedirectURI(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(uri, "#*\\ ") || u.User != nil {
			t.Fatalf("%q may be registered", uri)
		}
		switch {
		case u.Scheme == "https" && u.Hostname() != "", u.Scheme == "http" && oauth.IsLoopback(u.Hostname()), strings.Contains(u.Scheme, "."):
		default:
			t.Errorf("%q may be registered, and leads to %s on %q", uri, u.Scheme, u.Hostname())
		}
		redirect, ok := oauth.MatchAny([]string{uri}, uri)
		if !ok {
			t.Fatalf("%q may be registered and does not match itself", uri)
		}
		params := []oauth.Param{{Name: "code", Value: "c"}, {Name: "state", Value: state}}
		answer, err := url.Parse(redirect.WithQuery(params))
		if err != nil || answer.Scheme != u.Scheme || answer.Host != u.Host || answer.Path != u.Path || answer.Opaque != u.Opaque {
			t.Fatalf("answer for %q: %v, %v", uri, answer, err)
		}
		query, err := url.ParseQuery(answer.RawQuery)
		if err != nil || len(query["code"]) != 1 || len(query["state"]) != 1 || query.Get("state") != state {
			t.Errorf("answer for %q with state %q reads as %q, %v", uri, state, query, err)
		}
		_, text, found := strings.Cut(redirect.WithFragment(params), uri+"#")
		fragment, err := url.ParseQuery(text)
		if !found || err != nil || fragment.Get("state") != state || strings.Contains(text, "+") {
			t.Errorf("fragment for %q with state %q reads as %q, %v", uri, state, fragment, err)
		}
	})
}
