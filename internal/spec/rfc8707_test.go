package spec_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// The resources that a client of these tests is registered for.
const (
	calendar = "https://calendar.example/"
	contacts = "https://api.example/contacts?v=2"
)

func withResources(m *oauth.ClientMetadata) { m.Resources = []string{calendar, contacts} }

// grantFor gets tokens by the code grant for resources.
func grantFor(t *testing.T, app *oauthtest.App, resources ...string) *oauthtest.Answer {
	t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {app.RedirectURL}, "scope": {"read"}, "resource": resources}
	location := app.Browser.Walk(t, app.Endpoint.AuthURL+"?"+q.Encode(), "alice")
	return redeem(t, app, location.Query().Get("code"))
}

// wantAudience checks aud in the token, as introspection and, of a JWT, as the
// token itself tells it.
func wantAudience(t *testing.T, app *oauthtest.App, answer *oauthtest.Answer, want any) {
	t.Helper()
	token := answer.Text("access_token")
	seen := app.Introspect(t, token)
	if diff := cmp.Diff(want, seen.JSON("aud")); diff != "" || seen.JSON("active") != true {
		t.Errorf("aud of %s: %s", answer.Body, diff)
	}
	if strings.HasPrefix(token, "hat_") {
		return
	}
	parts := strings.Split(token, ".")
	for i, wanted := range map[int]map[string]any{0: {"typ": "at+jwt", "alg": "ES256"}, 1: {"aud": want}} {
		var members map[string]any
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(text, &members) != nil {
			t.Fatalf("part %d of %s", i, token)
		}
		for name, value := range wanted {
			if diff := cmp.Diff(value, members[name]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// eachFormat runs a test over both addresses, with a client that gets JWTs and
// with one that gets opaque tokens.
func eachFormat(t *testing.T, s *oauthtest.Server, edit func(*oauth.ClientMetadata), test func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses)) {
	t.Helper()
	for name, format := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) { test(t, s.App(t, edit, format).At(at), at) })
		})
	}
}

// RFC 8707 Section 2: the token is for the resource that was asked for, by
// whatever grant: one as a string, several as a list, the same one twice once;
// and it is an at+jwt (AT-02).
func TestRFC8707_2_Audience(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	eachFormat(t, s, withResources, func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses) {
		for _, tt := range []struct {
			asked []string
			want  any
		}{
			{[]string{calendar}, calendar},
			{[]string{calendar, contacts}, []any{calendar, contacts}},
			{[]string{contacts, contacts}, contacts},
			{[]string{"", contacts}, contacts},
			{[]string{""}, s.URL},
			{nil, s.URL},
		} {
			wantAudience(t, app, grantFor(t, app, tt.asked...), tt.want)
			form := app.Credentials("grant_type", "client_credentials")
			form["resource"] = tt.asked
			wantAudience(t, app, s.Post(t, at.ClientCredentials, form), tt.want)
			if len(tt.asked) > 1 { // a password takes a while to check
				form = passwordForm(app, "alice", oauthtest.Password)
				form["resource"] = tt.asked
				wantAudience(t, app, s.Post(t, at.Password, form), tt.want)
			}
		}
	})
}

// Without a resource the token is for the client's default audience, else for
// the issuer (AT-02).
func TestRFC8707_2_DefaultAudience(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	edit := func(m *oauth.ClientMetadata) {
		withResources(m)
		m.DefaultAudience = "reports"
	}
	eachFormat(t, s, edit, func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses) {
		plain := grantFor(t, app)
		wantAudience(t, app, plain, "reports")
		wantAudience(t, app, next(t, app, at, plain.Text("refresh_token")), "reports")
		wantAudience(t, app, s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials")), "reports")
		wantAudience(t, app, grantFor(t, app, calendar), calendar)
	})
}

// RFC 8707 Section 2.2: a token request narrows the resources of the grant, for
// that answer; the next refresh has them all again.
func TestRFC8707_2_2_Narrowing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	eachFormat(t, s, withResources, func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses) {
		q := url.Values{"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {app.RedirectURL}, "scope": {"read"}, "resource": {calendar, contacts}}
		code := app.Browser.Walk(t, app.Endpoint.AuthURL+"?"+q.Encode(), "alice").Query().Get("code")
		answer := redeem(t, app, code, "resource", contacts)
		wantAudience(t, app, answer, contacts)
		answer = next(t, app, at, answer.Text("refresh_token"), "resource", calendar)
		wantAudience(t, app, answer, calendar)
		answer = next(t, app, at, answer.Text("refresh_token"), "resource", calendar, "resource", contacts)
		wantAudience(t, app, answer, []any{calendar, contacts})
		answer = next(t, app, at, answer.Text("refresh_token"), "resource", "")
		wantAudience(t, app, answer, []any{calendar, contacts})
		answer = next(t, app, at, answer.Text("refresh_token"), "scope", "read")
		wantAudience(t, app, answer, []any{calendar, contacts})
	})
}

// RFC 8707 Section 2: a resource that the client is not registered for, that was
// not granted, or that is no absolute URI, is invalid_target; the refusal spends
// nothing (AT-02).
func TestRFC8707_2_InvalidTarget(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	eachFormat(t, s, withResources, func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses) {
		q := url.Values{"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {app.RedirectURL}, "resource": {calendar}}
		requests := tokenRequests(t, app, at)
		requests["authorization_code"].form.Set("code", app.Browser.Walk(t, app.Endpoint.AuthURL+"?"+q.Encode(), "alice").Query().Get("code"))
		requests["refresh_token"].form.Set("refresh_token", grantFor(t, app, calendar).Text("refresh_token"))
		for grant, request := range requests {
			wrong := []string{
				"https://other.example/", strings.TrimSuffix(calendar, "/"), calendar + "#", calendar + "#a", calendar + "?", "HTTPS://calendar.example/", "calendar", "/", "//calendar.example/",
				"https://calendar.example/ https://api.example/contacts?v=2", calendar + "\n", "https://日历.example/", "*", s.URL, "https://" + strings.Repeat("a", 5000) + "/", "https://%zz/",
			}
			if request.form.Get("code")+request.form.Get("refresh_token") != "" {
				wrong = append(wrong, contacts) // registered, but not granted
			}
			for _, resource := range wrong {
				wantTokenError(t, s.Post(t, request.path, changed(request.form, "resource", resource)), http.StatusBadRequest, oauth.InvalidTarget)
				both := changed(request.form)
				both["resource"] = []string{calendar, resource}
				wantTokenError(t, s.Post(t, request.path, both), http.StatusBadRequest, oauth.InvalidTarget)
			}
			if answer := s.Post(t, request.path, changed(request.form, "resource", calendar)); answer.StatusCode != http.StatusOK {
				t.Errorf("%s with a granted resource: %d %s", grant, answer.StatusCode, answer.Body)
			}
		}
	})
	plain := s.App(t)
	wantTokenError(t, s.Post(t, "/token", plain.Credentials("grant_type", "client_credentials", "resource", calendar)), http.StatusBadRequest, oauth.InvalidTarget)
}
