package spec_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// withMetrics serves metrics on a port that the system picks.
func withMetrics(c *config.Config) { c.MetricsListen = "127.0.0.1:0" }

// exposition is what Prometheus reads.
func exposition(t *testing.T, s *oauthtest.Server) string {
	t.Helper()
	answer := s.Get(t, "http://"+s.MetricsAddress()+"/metrics")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s", answer.StatusCode, answer.Body)
	}
	return string(answer.Body)
}

// scrape reads the metrics: values by series, as in name{label="value"}.
func scrape(t *testing.T, s *oauthtest.Server) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(exposition(t, s)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[line[:at]] = value
	}
	return values
}

// wantMoved lets something happen and wants each series to grow by so much. A long
// answer arrives a moment before it is counted, so a count may come a little later.
func wantMoved(t *testing.T, s *oauthtest.Server, want map[string]float64, happen func()) {
	t.Helper()
	before := scrape(t, s)
	happen()
	for deadline := time.Now().Add(20 * time.Second); ; {
		after, missing := scrape(t, s), ""
		for _, series := range slices.Sorted(maps.Keys(want)) {
			if got := after[series] - before[series]; got != want[series] {
				missing += fmt.Sprintf("%s grew by %v, want %v\n", series, got, want[series])
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(missing)
		}
		time.Sleep(time.Millisecond)
	}
}

// Every token is counted by its grant and its form, and the request by its route, its
// method and its status, at every address.
func TestMetrics_TokensAndRequests(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	for format, app := range map[string]*oauthtest.App{"jwt": s.App(t), "opaque": s.App(t, oauthtest.Opaque)} {
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			app := app.At(at)
			issued := func(grant string) string {
				return fmt.Sprintf(`hufu_tokens_issued_total{format=%q,grant=%q}`, format, grant)
			}
			served := func(route, method, status string) string {
				return fmt.Sprintf(`hufu_http_request_duration_seconds_count{method=%q,route=%q,status=%q}`, method, route, status)
			}
			var refresh string
			wantMoved(t, s, map[string]float64{issued("authorization_code"): 1, served(at.AuthorizationCode, "POST", "200"): 1}, func() {
				refresh = app.SignInAndExchange(t).RefreshToken
			})
			wantMoved(t, s, map[string]float64{issued("refresh_token"): 1, issued("authorization_code"): 0, served(at.Refresh, "POST", "200"): 1}, func() {
				app.Refresh(t, at, refresh)
			})
			wantMoved(t, s, map[string]float64{issued("client_credentials"): 1, served(at.ClientCredentials, "POST", "200"): 1}, func() {
				if _, err := app.ClientToken(t, at); err != nil {
					t.Fatal(err)
				}
			})
			wantMoved(t, s, map[string]float64{issued("password"): 1, served(at.Password, "POST", "200"): 1}, func() {
				s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
			})
			wantMoved(t, s, map[string]float64{issued("implicit"): 1, issued("authorization_code"): 0, served("/consent", "POST", "303"): 1}, func() {
				app.Browser.Walk(t, authorizationURL(app, at.Implicit, "response_type", "token", "prompt", "consent"), "alice")
			})
			wantMoved(t, s, map[string]float64{issued("client_credentials"): 0, served(at.ClientCredentials, "POST", "401"): 1}, func() {
				s.Post(t, at.ClientCredentials, url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID}})
			})
		})
	}
	wantMoved(t, s, map[string]float64{`hufu_http_request_duration_seconds_count{method="HEAD",route="/jwks",status="200"}`: 1}, func() {
		s.Do(t, s.Request(t, http.MethodHead, "/jwks", ""))
	})
	if text := exposition(t, s); strings.Contains(text, `format=""`) || strings.Contains(text, `grant=""`) {
		t.Error("a request without a token was counted as one with")
	}
}

// A refusal is counted by its code and by the check that refused, in words that tell
// apart what the client must not learn.
func TestMetrics_Refusals(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	app := s.App(t)
	public := s.PublicApp(t)
	token := func(app *oauthtest.App, pairs ...string) func() {
		return func() { s.Post(t, "/token", app.Credentials(pairs...)) }
	}
	spent := app.Authorize(t, "alice", "")
	if first := redeemWith(t, app, "/token", spent, ""); first.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s", first.StatusCode, first.Body)
	}
	stale := app.Authorize(t, "alice", "")
	s.Clock.Advance(2 * time.Minute)
	bound := app.Authorize(t, "alice", strings.Repeat("v", 43))
	foreign := app.Authorize(t, "alice", "")
	other := s.App(t)
	for _, tt := range []struct {
		name, code, check string
		request           func()
	}{
		{"secret", "invalid_client", "client_secret", func() {
			s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID}, "client_secret": {"wrong"}})
		}},
		{"no secret", "invalid_client", "client_secret_missing", func() {
			s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID}})
		}},
		{"unknown client", "invalid_client", "client_id", func() {
			s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"nobody"}, "client_secret": {"wrong"}})
		}},
		{"bearer", "invalid_client", "authorization_header", func() {
			r := s.Request(t, http.MethodPost, "/token", "grant_type=client_credentials")
			r.Header.Set("Authorization", "Bearer x")
			s.Do(t, r)
		}},
		{"grant type missing", "invalid_request", "grant_type", token(app)},
		{"grant type unknown", "unsupported_grant_type", "grant_type", token(app, "grant_type", "magic")},
		{"not registered", "unauthorized_client", "grant_type", token(public, "grant_type", "client_credentials")},
		{"scope", "invalid_scope", "scope", token(app, "grant_type", "client_credentials", "scope", "other")},
		{"resource", "invalid_target", "resource", token(app, "grant_type", "client_credentials", "resource", "https://other.example")},
		{"code unknown", "invalid_grant", "code", token(app, "grant_type", "authorization_code", "code", "nobody", "redirect_uri", oauthtest.Callback)},
		{"code of another", "invalid_grant", "other_client", token(other, "grant_type", "authorization_code", "code", foreign, "redirect_uri", oauthtest.Callback)},
		{"code expired", "invalid_grant", "expired", token(app, "grant_type", "authorization_code", "code", stale, "redirect_uri", oauthtest.Callback)},
		{"code spent", "invalid_grant", "replayed", token(app, "grant_type", "authorization_code", "code", spent, "redirect_uri", oauthtest.Callback)},
		{"redirect URI", "invalid_grant", "redirect_uri", token(app, "grant_type", "authorization_code", "code", foreign, "redirect_uri", "https://app.example/other")},
		{"verifier", "invalid_grant", "code_verifier", token(app, "grant_type", "authorization_code", "code", bound, "redirect_uri", oauthtest.Callback, "code_verifier", strings.Repeat("w", 43))},
		{"refresh token", "invalid_grant", "refresh_token", token(app, "grant_type", "refresh_token", "refresh_token", "hrt_nothing")},
		{"password", "invalid_grant", "password", token(app, "grant_type", "password", "username", "alice", "password", "wrong horse battery")},
		{"repeated", "invalid_request", "parameters", token(app, "grant_type", "password", "grant_type", "password")},
		{"media type", "invalid_request", "media_type", func() {
			r := s.Request(t, http.MethodPost, "/token", "{}")
			r.Header.Set("Content-Type", "application/json")
			s.Do(t, r)
		}},
		{"too long", "invalid_request", "body", func() { s.Post(t, "/token", url.Values{"a": {strings.Repeat("a", 70<<10)}}) }},
		{"method", "invalid_request", "method", func() { s.Get(t, "/token") }},
		{"address", "invalid_request", "address", func() { s.Get(t, "/nothing/here") }},
		{"no such client at the door", "invalid_request", "unknown_client", func() { s.Get(t, "/authorize?client_id=nobody&response_type=code") }},
		{"redirect URI at the door", "invalid_request", "redirect_uri_mismatch", func() { s.Get(t, authorizationURL(app, "/authorize", "redirect_uri", "https://evil.example/")) }},
		{"told by redirect", "login_required", "session", func() { s.Get(t, authorizationURL(app, "/authorize", "prompt", "none")) }},
		{"PKCE", "invalid_request", "code_challenge", func() { s.Get(t, authorizationURL(public, "/authorize", "code_challenge", "")) }},
		{"form from elsewhere", "invalid_request", "cross_site", func() { s.Post(t, "/login", url.Values{"username": {"alice"}}) }},
		{"public client asks", "invalid_client", "public_client", func() { s.Post(t, "/introspect", public.Credentials("token", "x")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantMoved(t, s, map[string]float64{fmt.Sprintf(`hufu_refusals_total{check=%q,error=%q}`, tt.check, tt.code): 1}, tt.request)
		})
	}
	wantMoved(t, s, map[string]float64{`hufu_refusals_total{check="attempts",error="temporarily_unavailable"}`: 1}, func() {
		for range 20 {
			guess := s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {other.ClientID}, "client_secret": {"wrong"}})
			if guess.StatusCode == http.StatusTooManyRequests {
				break
			}
		}
	})
	if strings.Contains(exposition(t, s), `check="other"`) {
		t.Error("a check without a name refused")
	}
}

// Sign-ins are counted by method and result, those on the page and those of the
// password grant; a form without a password is none.
func TestMetrics_SignIns(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	app := s.App(t)
	result := func(word string) string {
		return fmt.Sprintf(`hufu_sign_ins_total{method="password",result=%q}`, word)
	}
	b := s.Browser(t)
	b.Open(t, s.URL+"/login")
	wantMoved(t, s, map[string]float64{result("success"): 0, result("wrong"): 1}, func() {
		b.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {"wrong horse battery"}})
	})
	wantMoved(t, s, map[string]float64{result("success"): 0, result("wrong"): 0}, func() {
		b.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {""}})
	})
	wantMoved(t, s, map[string]float64{result("success"): 1, result("wrong"): 0}, func() { b.SignIn(t, "alice") })
	wantMoved(t, s, map[string]float64{result("success"): 1}, func() {
		s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
	})
	s.User(t, "bob")
	wantMoved(t, s, map[string]float64{result("success"): 0, result("wrong"): 8, result("limited"): 1}, func() {
		for range 9 {
			s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "bob", "password", "wrong horse battery"))
		}
	})
}

// The parts inside are told of: statements by what they do, commits by how many
// shared them, the hashing of passwords, copies of clients, keys, the build.
func TestMetrics_Parts(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	app := s.App(t)
	refresh := app.SignInAndExchange(t).RefreshToken
	hit, miss := `hufu_client_cache_lookups_total{result="hit"}`, `hufu_client_cache_lookups_total{result="miss"}`
	moved := map[string]float64{`hufu_database_statement_duration_seconds_count{statement="update oauth_grant"}`: 1, hit: 1, miss: 0, "hufu_password_hash_duration_seconds_count": 0}
	if !oauthtest.OnPostgres() {
		moved["hufu_commit_group_size_count"], moved["hufu_commit_group_size_sum"] = 1, 1
	}
	wantMoved(t, s, moved, func() { app.Refresh(t, oauthtest.AllAddresses[0], refresh) })
	wantMoved(t, s, map[string]float64{hit: 0, miss: 1}, func() {
		s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"nobody"}, "client_secret": {"wrong"}})
	})
	wantMoved(t, s, map[string]float64{"hufu_password_hash_duration_seconds_count": 1}, func() {
		s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password))
	})
	const age = `hufu_key_age_seconds{purpose="sign:ES256"}`
	wantGrown := scrape(t, s)[age] + 3600
	s.Clock.Advance(time.Hour)
	values := scrape(t, s)
	if values[age] < wantGrown {
		t.Errorf("%s = %v after an hour, want at least %v", age, values[age], wantGrown)
	}
	for _, series := range []string{"hufu_password_hash_waiting", "hufu_password_hash_running", "go_goroutines", "process_resident_memory_bytes"} {
		if _, ok := values[series]; !ok {
			t.Errorf("no %s", series)
		}
	}
	if !regexp.MustCompile(`(?m)^hufu_build_info\{goversion="go1[^"]+",version="[^"]*"\} 1$`).MatchString(exposition(t, s)) {
		t.Error("no hufu_build_info")
	}
	if most, ok := values["hufu_database_connections_max"]; ok != oauthtest.OnPostgres() || ok && most < 1 {
		t.Errorf("connections to PostgreSQL: %v, %t", most, ok)
	}
}

// wander does everything once as a client, a user and a caller of its own, the
// right way and the wrong ones, and returns the names that came with it.
func wander(t *testing.T, s *oauthtest.Server, n int) []string {
	t.Helper()
	name := fmt.Sprintf("stranger-%d", n)
	user := s.User(t, name)
	app := s.App(t, func(m *oauth.ClientMetadata) {
		m.ClientName, m.Scope = "Client "+name, "read openid offline_access scope-"+name
		m.RedirectURIs = []string{"https://" + name + ".example/callback"}
	})
	app.Scopes = nil
	code := app.Authorize(t, name, "")
	tokens := redeemWith(t, app, "/token", code, "")
	refreshed := app.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token"))
	if refreshed.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s", refreshed.StatusCode, refreshed.Body)
	}
	redeemWith(t, app, "/token", code, "") // replay
	s.Post(t, "/token", app.Credentials("grant_type", "password", "username", name, "password", oauthtest.Password))
	s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "no-"+name, "password", "wrong horse battery"))
	s.Post(t, "/token", app.Credentials("grant_type", "grant-"+name))
	s.Post(t, "/token", app.Credentials("grant_type", "client_credentials", "scope", "other-"+name))
	s.Post(t, "/token", app.Credentials("grant_type", "client_credentials", "x", "1", "x", "2"))
	for range 12 { // beyond the limit from the first stranger on
		s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"no-" + name}, "client_secret": {"wrong"}})
	}
	s.Get(t, "/"+name)
	s.Get(t, "/"+name+"//unclean")
	s.Get(t, "/authorize?client_id=no-"+name)
	s.Get(t, authorizationURL(app, "/authorize", "prompt", "prompt-"+name))
	for _, path := range []string{"/token", "/" + name, "/authorize", "/jwks"} {
		s.Do(t, s.Request(t, "METHOD"+strconv.Itoa(n), path, ""))
	}
	r := s.Request(t, http.MethodGet, "/jwks", "")
	r.Host = name + ".example"
	r.Header.Set("User-Agent", "agent-"+name)
	s.Do(t, r)
	return []string{name, user.ID, app.ClientID, app.ClientSecret, code, tokens.Text("access_token"), tokens.Text("refresh_token"), refreshed.Text("access_token"), "METHOD"}
}

// Series do not grow with users, clients, addresses or methods, and nothing that
// came with a request or belongs to somebody stands among them (OP-04).
func TestMetrics_Bounded(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	secrets := append(wander(t, s, 0), oauthtest.Password, s.URL)
	// Jobs run when they like, so their statements come and go.
	jobs := regexp.MustCompile(`^hufu_database_`)
	series := func() []string {
		all := slices.Sorted(maps.Keys(scrape(t, s)))
		return slices.DeleteFunc(all, jobs.MatchString)
	}
	secrets = append(secrets, wander(t, s, 1)...) // what the first did is counted by now
	before := series()
	for n := range 12 {
		secrets = append(secrets, wander(t, s, n+2)...)
	}
	after := series()
	if fresh := slices.DeleteFunc(slices.Clone(after), func(name string) bool { return slices.Contains(before, name) }); len(fresh) > 0 {
		t.Errorf("12 more strangers made series:\n%s", strings.Join(fresh, "\n"))
	}
	text := exposition(t, s)
	for _, secret := range secrets {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the metrics hold %q", secret)
		}
	}
	statements := regexp.MustCompile(`statement="([^"]*)"`)
	for _, found := range statements.FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^[a-z]+( [a-z_]+)?$`).MatchString(found[1]) {
			t.Errorf("statement %q is more than a verb and a table", found[1])
		}
	}
}

// The metrics are well-formed and named as Prometheus advises, by its own linter.
func TestMetrics_Lint(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	wander(t, s, 0)
	var ours strings.Builder
	for line := range strings.Lines(exposition(t, s)) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "hufu_") {
			ours.WriteString(line)
		}
	}
	if strings.Count(ours.String(), "# TYPE ") < 12 {
		t.Fatalf("only these metrics were looked at:\n%s", ours.String())
	}
	problems, err := promlint.New(strings.NewReader(ours.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// docs/operations.md lists the metrics there are, and no others.
func TestMetrics_Documented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) []string {
		var all []string
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, found[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	inbox := mailtest.Start(t, mailtest.Options{})
	s := oauthtest.Start(t, withMetrics, mailing(inbox), func(c *config.Config) { c.Database = dbtest.DSN(t) })
	wander(t, s, 0)
	withAddress(t, s, "dora", "dora@example.com", true)
	forget(t, s, "dora")
	eventually(t, "a letter is counted", func() bool {
		return strings.Contains(exposition(t, s), `hufu_mails_total{kind="reset",result="sent"} 1`)
	})
	served := names(`(?m)^# TYPE (hufu_\w+) `, exposition(t, s))
	if !slices.Contains(served, "hufu_database_errors_total") { // there was none
		served = append(served, "hufu_database_errors_total")
		slices.Sort(served)
	}
	listed := names("`(hufu_\\w+)`", string(page))
	if diff := cmp.Diff(served, listed); diff != "" {
		t.Errorf("metrics (-served +listed):\n%s", diff)
	}
}

// Metrics stand on a listener of their own, which serves nothing else, and not on
// the public one (OP-04).
func TestMetrics_OwnListener(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	for _, path := range []string{"/metrics", "/metrics/", "/debug/pprof/", "/debug/vars"} {
		if got := s.Get(t, path).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s on the public listener: %d", path, got)
		}
	}
	for _, path := range []string{"/", "/metrics/", "/token", "/jwks", "/healthz", "/debug/pprof/"} {
		if got := s.Get(t, "http://"+s.MetricsAddress()+path).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s beside the metrics: %d", path, got)
		}
	}
	if got := s.Do(t, s.Request(t, http.MethodPost, "http://"+s.MetricsAddress()+"/metrics", "a=b")).StatusCode; got != http.StatusMethodNotAllowed {
		t.Errorf("POST to the metrics: %d", got)
	}
	if !strings.Contains(s.Log.String(), s.MetricsAddress()) {
		t.Error("the log does not tell where the metrics are")
	}
	if off := oauthtest.Start(t); off.MetricsAddress() != "" || off.Get(t, "/metrics").StatusCode != http.StatusNotFound {
		t.Error("metrics without metrics_listen")
	}
}

// Metrics are served while the database is away, and tell of it.
func TestMetrics_DatabaseAway(t *testing.T) {
	t.Parallel()
	dsn := dbtest.DSN(t)
	proxy := dbtest.NewProxy(t, dsn)
	s := oauthtest.Start(t, withMetrics, func(c *config.Config) { c.Database = proxy.DSN(dsn) })
	app := s.App(t, oauthtest.Opaque)
	token, err := app.ClientToken(t, oauthtest.AllAddresses[0])
	if err != nil {
		t.Fatal(err)
	}
	proxy.Refuse()
	defer proxy.Heal()
	wantMoved(t, s, map[string]float64{
		`hufu_refusals_total{check="database",error="temporarily_unavailable"}`:                    1,
		`hufu_http_request_duration_seconds_count{method="POST",route="/introspect",status="503"}`: 1,
	}, func() { app.Introspect(t, token.AccessToken) })
}
