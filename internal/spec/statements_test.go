package spec_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// counted picks the statements that ask or change something; what a transaction is
// made of beside them (begin, commit, savepoint) has no table.
var counted = regexp.MustCompile(`^hufu_database_statement_duration_seconds_count\{statement="(\w+ \w+)"\}$`)

// statements is how many of them each of so many requests needs, each by its verb and
// table. Twice a second the server looks whether a client has changed, which is
// nobody's request: a part of one that is left over.
func statements(t *testing.T, s *oauthtest.Server, requests int, request func(i int)) map[string]int {
	t.Helper()
	before := scrape(t, s)
	for i := range requests {
		request(i)
	}
	each := map[string]int{}
	for series, after := range scrape(t, s) {
		if name := counted.FindStringSubmatch(series); name != nil {
			if n := int(after-before[series]) / requests; n > 0 {
				each[name[1]] = n
			}
		}
	}
	return each
}

// The database is asked no more than there is to ask: nothing for a token of the
// client itself, one statement for a refresh or an introspection, two for a code; and
// refusals and the losers of races cost little more (design.md Section 10).
func TestStatementsPerRequest(t *testing.T) {
	t.Parallel()
	const requests = 25
	s := oauthtest.Start(t, withMetrics, openRegistration, func(c *config.Config) {
		c.RefreshGrace, c.RegistrationGrants = 0, []string{"client_credentials"}
	})
	app := s.App(t)
	lenient := s.App(t, grace(300))
	codes := func(app *oauthtest.App) []string {
		var all []string
		for range requests {
			all = append(all, app.Authorize(t, "alice", ""))
		}
		return all
	}
	redeemed := codes(app)
	post := func(path string, status int, form url.Values) *oauthtest.Answer {
		t.Helper()
		answer := s.Post(t, path, form)
		if answer.StatusCode != status {
			t.Fatalf("%s: %d %s", path, answer.StatusCode, answer.Body)
		}
		return answer
	}
	registered := register(t, s, `{"grant_types":["client_credentials"],"token_endpoint_auth_method":"client_secret_post"}`)
	itself := url.Values{"grant_type": {"client_credentials"}, "client_id": {registered.Text("client_id")}, "client_secret": {registered.Text("client_secret")}}
	post("/token", http.StatusOK, itself) // the first use is noted
	exchange := func(app *oauthtest.App, code string, status int) *oauthtest.Answer {
		t.Helper()
		return post("/token", status, app.Credentials("grant_type", "authorization_code", "code", code, "redirect_uri", app.RedirectURL))
	}
	refresh := func(app *oauthtest.App, token string, status int) *oauthtest.Answer {
		t.Helper()
		return post("/token", status, app.Credentials("grant_type", "refresh_token", "refresh_token", token))
	}
	answer := exchange(lenient, lenient.Authorize(t, "alice", ""), http.StatusOK)
	access, previous := answer.Text("access_token"), answer.Text("refresh_token")
	refresh(lenient, previous, http.StatusOK)
	tokens := make([]string, requests)
	openid := *app
	openid.Scopes = []string{"openid"}
	about := exchange(app, openid.Authorize(t, "alice", ""), http.StatusOK).Text("access_token")

	for _, tt := range []struct {
		name    string
		request func(i int)
		want    map[string]int
	}{
		{"client credentials", func(int) {
			post("/token", http.StatusOK, app.Credentials("grant_type", "client_credentials"))
		}, nil},
		{"client credentials of a client that registered itself", func(int) {
			post("/token", http.StatusOK, itself)
		}, nil},
		{"introspection", func(int) {
			post("/introspect", http.StatusOK, lenient.Credentials("token", access))
		}, map[string]int{"select server": 1}},
		{"userinfo", func(int) {
			r := s.Request(t, http.MethodGet, "/userinfo", "")
			r.Header.Set("Authorization", "Bearer "+about)
			if answer := s.Do(t, r); answer.StatusCode != http.StatusOK {
				t.Fatalf("userinfo: %d %s", answer.StatusCode, answer.Body)
			}
		}, map[string]int{"select server": 1}},
		{"code exchange", func(i int) {
			tokens[i] = exchange(app, redeemed[i], http.StatusOK).Text("refresh_token")
		}, map[string]int{"select oauth_grant": 1, "update oauth_grant": 1}},
		{"refresh", func(i int) {
			refresh(app, tokens[i], http.StatusOK)
		}, map[string]int{"update oauth_grant": 1}},
		{"the loser of a refresh, within the grace", func(int) {
			refresh(lenient, previous, http.StatusOK)
		}, map[string]int{"update oauth_grant": 1, "select oauth_grant": 1}},
		{"a refresh token a second time", func(i int) {
			refresh(app, tokens[i], http.StatusBadRequest)
		}, map[string]int{"update oauth_grant": 2, "select oauth_grant": 1, "insert event": 1}},
		{"a code a second time, of a grant that has ended", func(i int) {
			exchange(app, redeemed[i], http.StatusBadRequest)
		}, map[string]int{"update oauth_grant": 2, "select oauth_grant": 3}},
		{"a code that nobody has", func(int) {
			exchange(app, "nobody's", http.StatusBadRequest)
		}, map[string]int{"select oauth_grant": 1}},
		{"a refresh token that we did not make", func(int) {
			refresh(app, "hrt_"+previous[5:], http.StatusBadRequest)
		}, nil},
		{"an access token that we did not make", func(int) {
			post("/introspect", http.StatusOK, lenient.Credentials("token", access[:len(access)-9]))
		}, nil},
		{"metadata and keys", func(int) {
			s.Get(t, "/.well-known/oauth-authorization-server")
			s.Get(t, "/jwks")
		}, nil},
		{"a grant the client is not registered for", func(int) {
			post("/token", http.StatusBadRequest, lenient.Credentials("grant_type", "urn:unknown"))
		}, nil},
	} {
		got := statements(t, s, requests, tt.request)
		for name, n := range tt.want {
			if got[name] != n {
				t.Errorf("%s: %d times %s, want %d", tt.name, got[name], name, n)
			}
		}
		for name, n := range got {
			if tt.want[name] == 0 {
				t.Errorf("%s: %d times %s, want none", tt.name, n, name)
			}
		}
	}
}
