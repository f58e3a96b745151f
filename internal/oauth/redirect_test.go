package oauth_test

import (
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// RFC 6749 Section 3.1.2, RFC 8252 Section 7 and RFC 9700 Section 4.1.1: what may
// be registered as a redirect URI (RU-02, RU-05, RU-06).
func TestCheckRedirectURI(t *testing.T) {
	t.Parallel()
	long := "https://app.example/" + strings.Repeat("a", 2048)
	for name, tt := range map[string]struct {
		uri  string
		want oauth.Code // "" means accepted
	}{
		"https":                      {"https://app.example/callback", ""},
		"https without a path":       {"https://app.example", ""},
		"https with a port":          {"https://app.example:8443/callback", ""},
		"https with a query":         {"https://app.example/callback?tenant=7&flag", ""},
		"https on an address":        {"https://192.0.2.7/callback", ""},
		"https in punycode":          {"https://xn--hufu-example/callback", ""},
		"encoded bytes in the path":  {"https://app.example/%E8%99%8E?a=%26", ""},
		"the longest":                {long[:2048], ""},
		"http on 127.0.0.1":          {"http://127.0.0.1/callback", ""},
		"http on 127.0.0.1 and port": {"http://127.0.0.1:8080/callback", ""},
		"http on another loopback":   {"http://127.8.7.6/callback", ""},
		"http on ::1":                {"http://[::1]:8080/callback", ""},
		"http on localhost":          {"http://localhost:8080/callback", ""},
		"private-use scheme":         {"com.example.app:/callback", ""},
		"private-use with slashes":   {"com.example.app://callback", ""},
		"private-use opaque":         {"com.example.app:callback", ""},

		"empty":                       {"", oauth.InvalidRedirectURI},
		"relative":                    {"/callback", oauth.InvalidRedirectURI},
		"without a scheme":            {"//app.example/callback", oauth.InvalidRedirectURI},
		"without a scheme or slashes": {"app.example/callback", oauth.InvalidRedirectURI},
		"no host":                     {"https:///callback", oauth.InvalidRedirectURI},
		"no slashes":                  {"https:callback", oauth.InvalidRedirectURI},
		"one slash":                   {"https:/app.example/callback", oauth.InvalidRedirectURI},
		"only a port":                 {"https://:443/callback", oauth.InvalidRedirectURI},
		"fragment":                    {"https://app.example/callback#x", oauth.InvalidRedirectURI},
		"empty fragment":              {"https://app.example/callback#", oauth.InvalidRedirectURI},
		"fragment of an app":          {"com.example.app:/callback#x", oauth.InvalidRedirectURI},
		"user":                        {"https://user@app.example/callback", oauth.InvalidRedirectURI},
		"user and password":           {"https://user:password@app.example/callback", oauth.InvalidRedirectURI},
		"empty user":                  {"https://@app.example/callback", oauth.InvalidRedirectURI},
		"a host that looks like one":  {"https://app.example@evil.example/callback", oauth.InvalidRedirectURI},
		"wildcard host":               {"https://*.app.example/callback", oauth.InvalidRedirectURI},
		"wildcard path":               {"https://app.example/*", oauth.InvalidRedirectURI},
		"wildcard alone":              {"*", oauth.InvalidRedirectURI},
		"wildcard port":               {"http://127.0.0.1:*/callback", oauth.InvalidRedirectURI},
		"wildcard, encoded":           {"https://%2a.app.example/callback", oauth.InvalidRedirectURI},
		"port 0":                      {"https://app.example:0/callback", oauth.InvalidRedirectURI},
		"port out of range":           {"https://app.example:65536/callback", oauth.InvalidRedirectURI},
		"port no number":              {"https://app.example:https/callback", oauth.InvalidRedirectURI},
		"colon without a port":        {"https://app.example:/callback", oauth.InvalidRedirectURI},
		"http for the web":            {"http://app.example/callback", oauth.InvalidRedirectURI},
		"http on a private address":   {"http://192.168.0.1/callback", oauth.InvalidRedirectURI},
		"http on every address":       {"http://0.0.0.0/callback", oauth.InvalidRedirectURI},
		"http on a look-alike":        {"http://localhost.app.example/callback", oauth.InvalidRedirectURI},
		"http on another look-alike":  {"http://127.0.0.1.app.example/callback", oauth.InvalidRedirectURI},
		"http on a short address":     {"http://127.1/callback", oauth.InvalidRedirectURI},
		"http on a number":            {"http://2130706433/callback", oauth.InvalidRedirectURI},
		"http on an address in hex":   {"http://0x7f.0.0.1/callback", oauth.InvalidRedirectURI},
		"http with a zone":            {"http://[::1%25lo]/callback", oauth.InvalidRedirectURI},
		"scheme in capitals":          {"HTTPS://app.example/callback", oauth.InvalidRedirectURI},
		"app scheme in capitals":      {"COM.example.app:/callback", oauth.InvalidRedirectURI},
		"scheme without a dot":        {"myapp:/callback", oauth.InvalidRedirectURI},
		"scheme without a dot, long":  {"myapp-oauth+x://callback", oauth.InvalidRedirectURI},
		"javascript":                  {"javascript:alert(1)", oauth.InvalidRedirectURI},
		"javascript with slashes":     {"javascript://app.example/%0aalert(1)", oauth.InvalidRedirectURI},
		"JavaScript":                  {"JavaScript:alert(1)", oauth.InvalidRedirectURI},
		"data":                        {"data:text/html,x", oauth.InvalidRedirectURI},
		"vbscript":                    {"vbscript:x", oauth.InvalidRedirectURI},
		"file":                        {"file:///etc/passwd", oauth.InvalidRedirectURI},
		"blob":                        {"blob:https://app.example/1", oauth.InvalidRedirectURI},
		"about":                       {"about:blank", oauth.InvalidRedirectURI},
		"intent":                      {"intent://x#Intent;end", oauth.InvalidRedirectURI},
		"out of band":                 {"urn:ietf:wg:oauth:2.0:oob", oauth.InvalidRedirectURI},
		"mail":                        {"mailto:a@app.example", oauth.InvalidRedirectURI},
		"view-source":                 {"view-source:https://app.example/", oauth.InvalidRedirectURI},
		"ftp":                         {"ftp://app.example/callback", oauth.InvalidRedirectURI},
		"web socket":                  {"wss://app.example/callback", oauth.InvalidRedirectURI},
		"line break":                  {"https://app.example/\r\nSet-Cookie: a=b", oauth.InvalidRedirectURI},
		"tab":                         {"java\tscript:alert(1)", oauth.InvalidRedirectURI},
		"NUL":                         {"https://app.example/\x00", oauth.InvalidRedirectURI},
		"space":                       {"https://app.example/call back", oauth.InvalidRedirectURI},
		"space in front":              {" https://app.example/callback", oauth.InvalidRedirectURI},
		"backslash":                   {`https://app.example\@evil.example/`, oauth.InvalidRedirectURI},
		"quote":                       {`https://app.example/"onclick="x`, oauth.InvalidRedirectURI},
		"markup":                      {"https://app.example/<script>", oauth.InvalidRedirectURI},
		"beyond ASCII":                {"https://аpp.example/callback", oauth.InvalidRedirectURI},
		"broken UTF-8":                {"https://app.example/\xff", oauth.InvalidRedirectURI},
		"broken encoding":             {"https://app.example/%zz", oauth.InvalidRedirectURI},
		"too long":                    {long, oauth.InvalidRedirectURI},
		"code in the query":           {"https://app.example/callback?code=1", oauth.InvalidRedirectURI},
		"state in the query":          {"https://app.example/callback?a=1&state=", oauth.InvalidRedirectURI},
		"iss in the query, encoded":   {"https://app.example/callback?%69ss=x", oauth.InvalidRedirectURI},
		"error of an app":             {"com.example.app:callback?error=x", oauth.InvalidRedirectURI},
		"semicolons in the query":     {"https://app.example/callback?a=1;code=2", oauth.InvalidRedirectURI},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := codeOf(oauth.CheckRedirectURI(tt.uri)); got != tt.want {
				t.Errorf("CheckRedirectURI(%.80q) = %q, want %q", tt.uri, got, tt.want)
			}
			// Registration has no other way in.
			m := oauth.ClientMetadata{RedirectURIs: []string{"https://first.example/", tt.uri}}
			m.Normalize()
			if got := codeOf(m.Validate()); got != tt.want {
				t.Errorf("registering it: %q, want %q", got, tt.want)
			}
		})
	}
}

// RFC 9700 Section 4.1.3 and RFC 8252 Section 7.3: strings are compared as they
// are, but for the port on a loopback IP literal (RU-01, RU-04).
func TestMatchRedirect(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		registered, got string
		want            bool
	}{
		"equal":                       {"https://app.example/cb", "https://app.example/cb", true},
		"equal app":                   {"com.example.app:/cb", "com.example.app:/cb", true},
		"equal localhost":             {"http://localhost:80/cb", "http://localhost:80/cb", true},
		"port added":                  {"http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true},
		"port changed":                {"http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:65535/cb?a=b", true},
		"port left out":               {"http://127.0.0.1:8080/cb", "http://127.0.0.1/cb", true},
		"port of ::1":                 {"http://[::1]/cb", "http://[::1]:8080/cb", true},
		"no path":                     {"http://127.0.0.1", "http://127.0.0.1:8080", true},
		"query right behind":          {"http://127.0.0.1?a", "http://127.0.0.1:8080?a", true},
		"case":                        {"https://app.example/cb", "https://App.example/cb", false},
		"slash":                       {"https://app.example/cb", "https://app.example/cb/", false},
		"default port":                {"https://app.example/cb", "https://app.example:443/cb", false},
		"encoding":                    {"https://app.example/cb", "https://app.example/c%62", false},
		"prefix":                      {"https://app.example/cb", "https://app.example/cb2", false},
		"nothing":                     {"https://app.example/cb", "", false},
		"port of localhost":           {"http://localhost/cb", "http://localhost:8080/cb", false},
		"port of another loopback":    {"http://127.0.0.2/cb", "http://127.0.0.2:8080/cb", false},
		"port with https":             {"https://127.0.0.1/cb", "https://127.0.0.1:8080/cb", false},
		"port with https, registered": {"https://127.0.0.1/cb", "http://127.0.0.1:8080/cb", false},
		"another literal":             {"http://127.0.0.1/cb", "http://[::1]/cb", false},
		"another spelling of ::1":     {"http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb", false},
		"port 0":                      {"http://127.0.0.1/cb", "http://127.0.0.1:0/cb", false},
		"port with a zero in front":   {"http://127.0.0.1/cb", "http://127.0.0.1:080/cb", false},
		"port too big":                {"http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", false},
		"port far too big":            {"http://127.0.0.1/cb", "http://127.0.0.1:184467440737095516161/cb", false},
		"port with a sign":            {"http://127.0.0.1/cb", "http://127.0.0.1:+80/cb", false},
		"port in other digits":        {"http://127.0.0.1/cb", "http://127.0.0.1:８０/cb", false},
		"empty port":                  {"http://127.0.0.1/cb", "http://127.0.0.1:/cb", false},
		"two ports":                   {"http://127.0.0.1/cb", "http://127.0.0.1:80:80/cb", false},
		"user behind the port":        {"http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false},
		"user":                        {"http://127.0.0.1/cb", "http://127.0.0.1@evil.example/cb", false},
		"longer host":                 {"http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false},
		"backslash":                   {"http://127.0.0.1/cb", `http://127.0.0.1:80\@evil.example/cb`, false},
		"fragment":                    {"http://127.0.0.1/cb", "http://127.0.0.1:80/cb#x", false},
		"fragment instead of a path":  {"http://127.0.0.1", "http://127.0.0.1:80#/", false},
		"path":                        {"http://127.0.0.1/cb", "http://127.0.0.1:80/CB", false},
		"query":                       {"http://127.0.0.1/cb", "http://127.0.0.1:80/cb?", false},
		"scheme in capitals":          {"http://127.0.0.1/cb", "HTTP://127.0.0.1:80/cb", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := oauth.MatchRedirect(tt.registered, tt.got); got != tt.want {
				t.Errorf("MatchRedirect(%q, %q) = %t", tt.registered, tt.got, got)
			}
			redirect, ok := oauth.MatchAny([]string{"https://first.example/", tt.registered}, tt.got)
			if ok != tt.want || ok && redirect.String() != tt.got || !ok && redirect.String() != "" {
				t.Errorf("MatchAny gave %q, %t", redirect, ok)
			}
		})
	}
	if _, ok := oauth.MatchAny(nil, ""); ok {
		t.Error("nothing matches nothing")
	}
}

// RFC 6749 Sections 4.1.2 and 4.2.2: the answer stands behind the query that was
// registered, or in the fragment, in a spelling that every reader knows (RU-10).
func TestRedirectResponse(t *testing.T) {
	t.Parallel()
	params := []oauth.Param{{Name: "code", Value: "a b+c"}, {Name: "state", Value: "&=#%\"<虎\u2028"}}
	const encoded = "code=a%20b%2Bc&state=%26%3D%23%25%22%3C%E8%99%8E%E2%80%A8"
	for uri, want := range map[string]string{
		"https://app.example":           "https://app.example?" + encoded,
		"https://app.example/cb":        "https://app.example/cb?" + encoded,
		"https://app.example/cb?":       "https://app.example/cb?" + encoded,
		"https://app.example/cb?a=1":    "https://app.example/cb?a=1&" + encoded,
		"https://app.example/cb?a=1&":   "https://app.example/cb?a=1&" + encoded,
		"https://app.example/cb?a=/?":   "https://app.example/cb?a=/?&" + encoded,
		"https://app.example/cb?a=%2b+": "https://app.example/cb?a=%2b+&" + encoded,
		"com.example.app:/cb":           "com.example.app:/cb?" + encoded,
		"com.example.app:cb?a":          "com.example.app:cb?a&" + encoded,
	} {
		redirect, ok := oauth.MatchAny([]string{uri}, uri)
		if !ok {
			t.Fatalf("%s does not match itself", uri)
		}
		if got := redirect.WithQuery(params); got != want {
			t.Errorf("WithQuery = %s, want %s", got, want)
		}
		if got := redirect.WithFragment(params); got != uri+"#"+encoded {
			t.Errorf("WithFragment = %s", got)
		}
	}
}

// What people read of a redirect URI, and whether the system vouches for it.
func TestRedirectHost(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]struct {
		host    string
		claimed bool
	}{
		"https://app.example:8443/cb": {"app.example:8443", true},
		"http://127.0.0.1:51004/cb":   {"127.0.0.1:51004", false},
		"http://[::1]/cb":             {"[::1]", false},
		"com.example.app://host/cb":   {"com.example.app", false},
		"com.example.app:/cb":         {"com.example.app", false},
	} {
		redirect, _ := oauth.MatchAny([]string{uri}, uri)
		if redirect.Host() != want.host || redirect.IsClaimedHTTPS() != want.claimed {
			t.Errorf("%s: %q, %t", uri, redirect.Host(), redirect.IsClaimedHTTPS())
		}
	}
}
