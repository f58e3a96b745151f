package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// What the tests of the token endpoint and its neighbours share.

// byOperator is who changes clients and people behind the server's back.
var byOperator = store.By{Actor: "test"}

// A tokenRequest is a right request to the token endpoint, for a test to spoil.
type tokenRequest struct {
	path string
	form url.Values
}

// tokenRequests makes one right request of each grant, by grant type. None of
// them has been sent.
func tokenRequests(t *testing.T, app *oauthtest.App, at oauthtest.Addresses) map[string]tokenRequest {
	t.Helper()
	return map[string]tokenRequest{
		"authorization_code": {at.AuthorizationCode, codeForm(app, app.Authorize(t, "alice", ""))},
		"password":           {at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password)},
		"client_credentials": {at.ClientCredentials, app.Credentials("grant_type", "client_credentials")},
		"refresh_token":      {at.Refresh, app.Credentials("grant_type", "refresh_token", "refresh_token", app.SignInAndExchange(t).RefreshToken)},
	}
}

// codeForm is the request that redeems a code, with more parameters beside.
func codeForm(app *oauthtest.App, code string, pairs ...string) url.Values {
	return app.Credentials(append([]string{"grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", code}, pairs...)...)
}

// redeem presents a code at the address the app is pointed to.
func redeem(t testing.TB, app *oauthtest.App, code string, pairs ...string) *oauthtest.Answer {
	t.Helper()
	return app.Server.Do(t, formTo(t, app.Server, app.Endpoint.TokenURL, codeForm(app, code, pairs...)))
}

// formTo is a POST of a form, for a test to add headers to.
func formTo(t testing.TB, s *oauthtest.Server, address string, form url.Values) *http.Request {
	t.Helper()
	return s.Request(t, http.MethodPost, address, form.Encode())
}

// changed is a form with some parameters replaced.
func changed(form url.Values, pairs ...string) url.Values {
	next := url.Values{}
	for name, values := range form {
		next[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		next.Set(pairs[i], pairs[i+1])
	}
	return next
}

// lacking is a form without some parameters.
func lacking(form url.Values, names ...string) url.Values {
	next := changed(form)
	for _, name := range names {
		next.Del(name)
	}
	return next
}

// wantTokenError checks a refusal of the token endpoint or one of its
// neighbours, RFC 6749 Section 5.2.
func wantTokenError(t *testing.T, answer *oauthtest.Answer, status int, code oauth.Code) {
	t.Helper()
	if got := answer.Text("error"); answer.StatusCode != status || got != string(code) {
		t.Errorf("%s: %d %s, want %d %s\n%.300s", answer.Request.URL.Path, answer.StatusCode, got, status, code, answer.Body)
		return
	}
	if got := answer.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type = %q", got)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q", got)
	}
	if got := answer.Header.Get("X-Request-Id"); got == "" {
		t.Error("no X-Request-Id")
	}
	if got := answer.Header.Get("WWW-Authenticate"); (got != "") != (status == http.StatusUnauthorized) {
		t.Errorf("%d with WWW-Authenticate %q", status, got)
	}
	description := answer.Text("error_description")
	if description == "" || strings.ContainsFunc(description, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
		t.Errorf("error_description %q is not of the characters of RFC 6749 Section 5.2", description)
	}
	for _, member := range []string{"access_token", "refresh_token", "active"} {
		if answer.JSON(member) != nil {
			t.Errorf("a refusal holds %s", member)
		}
	}
}

// wantGranted checks that a request was granted.
func wantGranted(t *testing.T, answer *oauthtest.Answer) {
	t.Helper()
	if answer.StatusCode != http.StatusOK || answer.Text("access_token") == "" {
		t.Errorf("%s: %d, want tokens\n%.300s", answer.Request.URL.Path, answer.StatusCode, answer.Body)
	}
}

// wantActive checks what introspection says of a token.
func wantActive(t *testing.T, by *oauthtest.App, what, token string, want bool) {
	t.Helper()
	if token == "" {
		t.Fatalf("there is no %s", what)
	}
	if got := by.Active(t, token); got != want {
		t.Errorf("%s active = %t, want %t", what, got, want)
	}
}

// together runs a call n times at the same moment.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			call(i)
		})
	}
	done.Wait()
}

// newGrant gets tokens by the code grant for a scope of its own.
func newGrant(t *testing.T, app *oauthtest.App, scopes ...string) *oauth2.Token {
	t.Helper()
	own := *app
	own.Scopes = scopes
	return own.SignInAndExchange(t)
}

// observer is a client that may introspect every token.
func observer(t *testing.T, s *oauthtest.Server) *oauthtest.App {
	t.Helper()
	return s.App(t, func(m *oauth.ClientMetadata) { m.Introspect = oauth.IntrospectAny })
}

// replays are the replays in the audit trail, the newest first.
func replays(t *testing.T, s *oauthtest.Server) (events []store.Event) {
	t.Helper()
	all, err := s.Store.Events(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == store.EventReplay {
			events = append(events, e)
		}
	}
	return events
}
