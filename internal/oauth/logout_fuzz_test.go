package oauth_test

import (
	"net/url"
	"regexp"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// harmlessOrigin may stand in a policy without meaning anything but itself.
var harmlessOrigin = regexp.MustCompile(`^https?://[a-z0-9._:\[\]-]+$`)

// Whatever address a client may register to be opened in a frame, it lies where one of its
// redirect URIs does, and with issuer and session behind it still does; its origin is
// nothing but an origin wherever it is written (LO-13, SS-01).
func FuzzFrontchannelLogout(f *testing.F) {
	for _, uri := range []string{
		"https://app.example/out", "https://app.example:443/out?a=b", "https://APP.example", "http://localhost/out?", "https://app.example@evil.example/",
		"https://app.example;script-src/", "https://app.example/out?sid=1", "https://app.example/out?%73id=1", "https://app.example\\@evil.example/", "https://[::1]:8443/out",
	} {
		f.Add(uri, "https://app.example/cb")
	}
	f.Fuzz(func(t *testing.T, uri, redirect string) {
		if origin := oauth.Origin(uri); origin != "" && !harmlessOrigin.MatchString(origin) {
			t.Errorf("the origin of %q is %q", uri, origin)
		}
		m := oauth.ClientMetadata{RedirectURIs: []string{redirect}, FrontchannelLogoutURI: uri}
		m.Normalize()
		if uri == "" || m.Validate() != nil {
			return
		}
		made := m.FrontchannelLogout("https://issuer.example/a?b", "s&d")
		opened, err := url.Parse(made)
		if err != nil {
			t.Fatalf("%q: %v", made, err)
		}
		registered, err := url.Parse(uri)
		if err != nil || opened.Host != registered.Host || opened.Path != registered.Path || opened.Scheme != registered.Scheme || opened.User != nil || opened.Fragment != "" {
			t.Errorf("%q leads elsewhere than %q", made, uri)
		}
		if oauth.Origin(made) == "" || oauth.Origin(made) != oauth.Origin(redirect) {
			t.Errorf("%q was registered beside %q", uri, redirect)
		}
		query := opened.Query()
		if len(query["iss"]) != 1 || query.Get("iss") != "https://issuer.example/a?b" || len(query["sid"]) != 1 || query.Get("sid") != "s&d" {
			t.Errorf("%q tells %v", made, query)
		}
	})
}
