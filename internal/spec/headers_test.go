package spec_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A headerWalk goes through the pages by hand and keeps every answer, so that all of
// their headers can be looked at. It sends cookies as a browser does that was
// reached by the issuer's scheme.
type headerWalk struct {
	server  *oauthtest.Server
	base    string
	cookies map[string]string
	answers map[string]*oauthtest.Answer
}

func (w *headerWalk) send(t *testing.T, name, method, path, body string, headers ...string) *oauthtest.Answer {
	t.Helper()
	r := w.server.Request(t, method, w.server.Origin+path, body)
	for name, value := range w.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := w.server.Do(t, r)
	for _, c := range answer.Cookies() {
		w.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(w.cookies, c.Name)
		}
	}
	w.answers[name] = answer
	return answer
}

// follow goes where the last answer led.
func (w *headerWalk) follow(t *testing.T, name string, from *oauthtest.Answer) *oauthtest.Answer {
	t.Helper()
	location := from.Header.Get("Location")
	if !strings.HasPrefix(location, w.base+"/") {
		t.Fatalf("%s: led to %q (%d)", name, location, from.StatusCode)
	}
	return w.send(t, name, http.MethodGet, location, "")
}

// submit sends the form of a page.
func (w *headerWalk) submit(t *testing.T, name string, page *oauthtest.Answer, id string, pairs ...string) *oauthtest.Answer {
	t.Helper()
	b := w.server.Browser(t)
	b.Page = page
	action, fields := b.Form(t, id)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	return w.send(t, name, http.MethodPost, action, fields.Encode())
}

// everyPage walks through every page there is: the right way and the wrong ones.
func everyPage(t *testing.T, s *oauthtest.Server) map[string]*oauthtest.Answer {
	t.Helper()
	app := s.App(t)
	w := &headerWalk{server: s, base: s.Config.BasePath(), cookies: map[string]string{}, answers: map[string]*oauthtest.Answer{}}
	ask := func(pairs ...string) string {
		return w.base + "/authorize?" + authorizationQuery(app, pairs...).Encode()
	}
	w.send(t, "home", http.MethodGet, w.base+"/", "")
	w.send(t, "sign-in alone", http.MethodGet, w.base+"/login?lang=zh", "")
	w.send(t, "sign-in alone, English", http.MethodGet, w.base+"/login?lang=en", "")
	page := w.follow(t, "sign-in", w.send(t, "to sign-in", http.MethodGet, ask("prompt", "consent"), ""))
	w.submit(t, "sign-in, nothing filled in", page, "login-form")
	w.submit(t, "sign-in, wrong", page, "login-form", "username", "alice", "password", "wrong horse")
	for range 8 {
		w.submit(t, "sign-in, throttled", page, "login-form", "username", "nobody", "password", "wrong horse")
	}
	w.send(t, "sign-in, HEAD", http.MethodHead, w.base+"/login", "")
	signed := w.submit(t, "signed in", page, "login-form", "username", "alice", "password", oauthtest.Password)
	page = w.follow(t, "consent", w.follow(t, "dispatcher", signed))
	w.submit(t, "consent, no decision", page, "consent-form")
	w.submit(t, "consent, foreign", page, "consent-form", "form_token", "x", "decision", "approve")
	w.submit(t, "consent, approved", page, "consent-form", "decision", "approve")
	w.submit(t, "consent, used", page, "consent-form", "decision", "approve")
	w.send(t, "home, signed in", http.MethodGet, w.base+"/", "")
	for _, path := range accountPaths() {
		if answer := w.send(t, path, http.MethodGet, w.base+path, ""); answer.StatusCode == http.StatusSeeOther { // with an offer in its address
			w.follow(t, path, answer)
		}
	}
	page = w.follow(t, "set up", w.send(t, "offer", http.MethodGet, w.base+"/login/second-factor/set-up", ""))
	w.submit(t, "set up, wrong", page, "set-up-form", "code", "000000")
	w.submit(t, "recovery codes", page, "set-up-form", "code", oauthtest.OATHCode(t, oauthtest.KeyOn(t, page.Body), s.Clock.Now()))
	page = w.follow(t, "second factor", w.submit(t, "to the second factor", w.send(t, "once more", http.MethodGet, w.base+"/login", ""), "login-form", "username", "alice", "password", oauthtest.Password))
	w.submit(t, "second factor, wrong", page, "second-factor-form", "code", "000000")
	page = w.send(t, "/account/data", http.MethodGet, w.base+"/account/data", "")
	w.submit(t, "account, foreign", page, "export-form", "form_token", "x")
	w.send(t, "account, no such page", http.MethodGet, w.base+"/account/nothing", "")
	w.links(t)
	w.send(t, "form post", http.MethodGet, ask("response_mode", "form_post"), "")
	w.send(t, "at once", http.MethodGet, ask(), "")
	w.send(t, "refused at the client", http.MethodGet, ask("scope", "admin"), "")
	w.send(t, "unknown client", http.MethodGet, ask("client_id", "nobody"), "")
	w.send(t, "wrong redirect", http.MethodGet, ask("redirect_uri", "https://evil.example/"), "")
	w.send(t, "broken query", http.MethodGet, w.base+"/authorize?%zz", "")
	w.send(t, "not sealed by us", http.MethodGet, w.base+"/consent?request=x", "")
	w.send(t, "foreign post", http.MethodPost, w.base+"/authorize", authorizationQuery(app).Encode(), "Sec-Fetch-Site", "cross-site")
	w.send(t, "wrong method", http.MethodPut, w.base+"/login", "")
	w.send(t, "wrong type", http.MethodPost, w.base+"/login", "{}", "Content-Type", "application/json")
	w.send(t, "too large", http.MethodPost, w.base+"/login", strings.Repeat("x", 70_000))
	w.send(t, "nowhere", http.MethodGet, w.base+"/nowhere", "")
	w.send(t, "bad hint", http.MethodGet, w.base+"/end-session?id_token_hint=x", "")
	page = w.send(t, "logout", http.MethodGet, w.base+"/end-session", "")
	w.submit(t, "logout, no", page, "logout-form", "decision", "no")
	w.follow(t, "signed out", w.submit(t, "logout, yes", page, "logout-form", "decision", "yes"))
	return w.answers
}

// links walks through what one-time links lead to.
func (w *headerWalk) links(t *testing.T) {
	t.Helper()
	s := w.server
	alice := theUser(t, s, "alice")
	path := func(link *login.Link, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(link.URL, strings.TrimSuffix(s.Config.Issuer, w.base))
	}
	page := w.send(t, "new password", http.MethodGet, path(s.Links.Reset(t.Context(), alice, theOperator)), "")
	w.submit(t, "new password, refused", page, "password-form", "password", "short")
	w.submit(t, "new password, foreign", page, "password-form", "form_token", "x")
	page = w.send(t, "set-up", http.MethodGet, path(s.Links.FirstAdmin(t.Context())), "")
	w.submit(t, "set-up, refused", page, "first-admin-form", "password", "short")
	w.send(t, "link, dead", http.MethodGet, w.base+"/login/email?ticket=x", "")
	w.send(t, "account is ready", http.MethodGet, w.base+"/login/password/ready", "")
	w.send(t, "password is set", http.MethodGet, w.base+"/login/password/done", "")
	w.send(t, "mail is off", http.MethodGet, w.base+"/login/forgot", "")
}

func directives(t *testing.T, name, policy string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for directive := range strings.SplitSeq(policy, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
		if _, twice := found[key]; twice || key == "" {
			t.Errorf("%s: directive %q twice or empty in %q", name, key, policy)
		}
		found[key] = value
	}
	return found
}

var inlinePattern = regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:\s+[a-z]+)*>|javascript:|<iframe|<object|<embed|<base|http-equiv`)

// Every page of a flow, whether it is the way or an error beside it, carries every
// header that keeps it safe: no framing, no foreign or inline script, no sniffing,
// no referrer, no cache (HD-01, HD-02, HD-03, HD-12, XS-02).
func TestHeaders_EveryPage(t *testing.T) {
	t.Parallel()
	statuses := map[string]int{
		"home": 200, "home, signed in": 200, "sign-in alone": 200, "sign-in alone, English": 200, "sign-in": 200, "sign-in, nothing filled in": 422, "sign-in, wrong": 422, "sign-in, throttled": 422,
		"sign-in, HEAD": 200, "consent": 200, "consent, no decision": 400, "consent, foreign": 403, "consent, used": 400, "form post": 200, "unknown client": 400, "wrong redirect": 400,
		"broken query": 400, "not sealed by us": 400, "wrong method": 405, "wrong type": 415, "too large": 413, "nowhere": 404, "bad hint": 400, "logout": 200, "signed out": 200,
		"to sign-in": 303, "signed in": 303, "dispatcher": 303, "consent, approved": 303, "at once": 303, "refused at the client": 303, "foreign post": 303, "logout, no": 303, "logout, yes": 303,
		"offer": 303, "set up": 200, "set up, wrong": 422, "recovery codes": 200, "once more": 200, "to the second factor": 303, "second factor": 200, "second factor, wrong": 422,
	}
	outside := []string{"home", "home, signed in", "nowhere"} // pages that are part of no flow
	for _, path := range accountPaths() {
		statuses[path], outside = 200, append(outside, path)
	}
	for page, status := range map[string]int{
		"new password": 200, "new password, refused": 422, "set-up": 200, "set-up, refused": 422, "link, dead": 410, "account is ready": 200, "password is set": 200, "mail is off": 404,
	} {
		statuses[page], outside = status, append(outside, page)
	}
	statuses["new password, foreign"] = 403
	statuses["account, foreign"], statuses["account, no such page"] = 403, 404
	outside = append(outside, "account, no such page")
	for name, edit := range map[string]func(*config.Config){
		"http":      func(*config.Config) {},
		"https":     func(c *config.Config) { c.Issuer = "https://login.example"; behindProxy(c) },
		"with path": func(c *config.Config) { c.Issuer += "/auth" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, edit)
			answers := everyPage(t, s)
			if len(answers) != len(statuses) {
				t.Errorf("%d answers, %d are known", len(answers), len(statuses))
			}
			for page, answer := range answers {
				h, body := answer.Header, string(answer.Body)
				if answer.StatusCode != statuses[page] {
					t.Errorf("%s: %d, want %d", page, answer.StatusCode, statuses[page])
				}
				for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
					if got := h.Values(header); len(got) != 1 || got[0] != want {
						t.Errorf("%s: %s = %q", page, header, got)
					}
				}
				if hsts := h.Get("Strict-Transport-Security"); (hsts != "") != (name == "https") {
					t.Errorf("%s: Strict-Transport-Security = %q", page, hsts)
				}
				for header := range h {
					if strings.HasPrefix(header, "Access-Control-") || header == "Server" || header == "X-Powered-By" {
						t.Errorf("%s: %s = %q", page, header, h.Values(header))
					}
				}
				if h.Get("X-Request-Id") == "" {
					t.Errorf("%s: no request id", page)
				}
				if answer.StatusCode == http.StatusSeeOther {
					if len(answer.Body) > 0 {
						t.Errorf("%s: a redirect with a body", page)
					}
					continue
				}
				if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Frame-Options") != "DENY" || h.Get("Content-Language") == "" {
					t.Errorf("%s: headers %v", page, h)
				}
				if got, want := h.Get("Cross-Origin-Opener-Policy"), strings.HasPrefix(page, "/account"); (got == "same-origin") != want || !want && got != "" {
					t.Errorf("%s: Cross-Origin-Opener-Policy = %q", page, got)
				}
				csp := directives(t, page, h.Get("Content-Security-Policy"))
				for directive, want := range map[string]string{"default-src": "'none'", "base-uri": "'none'", "object-src": "'none'", "frame-ancestors": "'none'", "style-src": "'self'"} {
					if csp[directive] != want {
						t.Errorf("%s: %s %s", page, directive, csp[directive])
					}
				}
				if script := csp["script-src"]; script != "'none'" && script != "'self'" {
					t.Errorf("%s: script-src %s", page, script)
				}
				action, limited := csp["form-action"]
				if limited != slices.Contains(outside, page) || limited && action != "'self'" {
					t.Errorf("%s: form-action %q", page, action)
				}
				if bad := inlinePattern.FindString(body); bad != "" {
					t.Errorf("%s: the page holds %q", page, bad)
				}
				if strings.Contains(body, "<script") && csp["script-src"] == "'none'" {
					t.Errorf("%s: a script that is not allowed", page)
				}
			}
		})
	}
}

// Every cookie on every page is for the server alone: HttpOnly, SameSite, for no
// other host; on https Secure with the prefix that ties it to the host, on plain
// http neither, because browsers drop such cookies there (SE-02, HD-12).
func TestHeaders_EveryCookie(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit         func(*config.Config)
		prefix, path string
		secure       bool
	}{
		"http":            {func(*config.Config) {}, "hufu_", "/", false},
		"http with path":  {func(c *config.Config) { c.Issuer += "/auth" }, "hufu_", "/auth", false},
		"https":           {func(c *config.Config) { c.Issuer = "https://login.example"; behindProxy(c) }, "__Host-hufu_", "/", true},
		"https with path": {func(c *config.Config) { c.Issuer = "https://login.example/auth"; behindProxy(c) }, "__Host-hufu_", "/", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, tt.edit)
			seen := map[string]bool{}
			for page, answer := range everyPage(t, s) {
				for _, text := range answer.Header.Values("Set-Cookie") {
					c, err := http.ParseSetCookie(text)
					if err != nil {
						t.Fatalf("%s: %q: %v", page, text, err)
					}
					short, found := strings.CutPrefix(c.Name, tt.prefix)
					seen[short] = true
					site := http.SameSiteLaxMode
					if short == "session_state" && tt.secure { // read by our script in frames of others
						site = http.SameSiteNoneMode
					}
					if !found || c.HttpOnly == (short == "session_state") || c.SameSite != site || c.Domain != "" || c.Path != tt.path || c.Secure != tt.secure || len(c.Unparsed) > 0 {
						t.Errorf("%s: %s", page, text)
					}
					if strings.Contains(c.Value, "alice") || len(c.Value) > 1024 {
						t.Errorf("%s: cookie %s holds %q", page, c.Name, c.Value)
					}
				}
			}
			for _, want := range []string{"browser", "session", "session_state", "device", "lang"} {
				if !seen[want] {
					t.Errorf("no cookie %s was set", want)
				}
			}
			if len(seen) != 5 {
				t.Errorf("cookies = %v", seen)
			}
		})
	}
}

// What is for programs is never taken for a page: its type is said, not guessed,
// whatever stands in it and whoever asks (XS-02).
func TestHeaders_AnswersForPrograms(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	const script = "<script>alert(1)</script>"
	for path, status := range map[string]int{
		"/.well-known/oauth-authorization-server?x=" + url.QueryEscape(script): 200, "/jwks": 200, "/healthz": 200, "/readyz": 200, "/token": 405, "/introspect?token=" + url.QueryEscape(script): 405, "/revoke": 405,
	} {
		r := s.Request(t, http.MethodGet, path, "")
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		answer := s.Do(t, r)
		if answer.StatusCode != status {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		wantNoPage(t, path, answer)
	}
	for _, path := range []string{"/token", "/oauth2/authorize", "/oauth2/password", "/oauth2/client-credentials", "/oauth2/refresh-token", "/introspect", "/revoke"} {
		for _, pairs := range [][]string{{"grant_type", script}, {"client_id", script}, {"grant_type", "client_credentials", "scope", script}, {"token", script}, {"grant_type", "authorization_code", "code", script, "redirect_uri", script}} {
			form := app.Credentials()
			for i := 0; i+1 < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			r := s.Request(t, http.MethodPost, path, form.Encode())
			r.Header.Set("Accept", "text/html")
			wantNoPage(t, path, s.Do(t, r))
		}
	}
}

func wantNoPage(t *testing.T, path string, answer *oauthtest.Answer) {
	t.Helper()
	kind := answer.Header.Get("Content-Type")
	if len(answer.Body) == 0 && kind == "" {
		return
	}
	if kind != "application/json" && kind != "text/plain; charset=utf-8" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: Content-Type %q, headers %v", path, kind, answer.Header)
	}
	if strings.Contains(string(answer.Body), "<script") {
		t.Errorf("%s: %s", path, answer.Body)
	}
}

// RFC 9700 Section 2.6: any origin may read metadata, keys, token and revocation
// answers, refusals included, and never with credentials; no other answer may be read
// by any origin (TE-07, HD-11, conformance 63).
func TestHeaders_CORS(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	b := signedIn(t, app)
	open := map[string]string{
		"/.well-known/oauth-authorization-server": "GET", "/jwks": "GET", "/token": "POST", "/oauth2/authorize": "POST", "/oauth2/password": "POST",
		"/oauth2/client-credentials": "POST", "/oauth2/refresh-token": "POST", "/revoke": "POST",
	}
	closed := map[string]string{
		"/": "GET", "/authorize": "GET", "/open/authorize/index": "GET", "/open/implicit": "GET", "/authorize/resume": "GET", "/consent": "GET", "/login": "GET", "/end-session": "GET",
		"/logout/done": "GET", "/introspect": "POST", "/healthz": "GET", "/readyz": "GET", "/nowhere": "GET", "/assets/x": "GET",
	}
	for _, origin := range []string{"https://app.example", "https://evil.example", "null", "http://127.0.0.1.evil.example", s.URL + ".evil.example", "https://" + strings.TrimPrefix(s.URL, "http://"), "file://"} {
		ask := func(method, path string, preflight bool, form url.Values) *oauthtest.Answer {
			wanted := method
			if preflight {
				method = http.MethodOptions
			}
			r := s.Request(t, method, path, form.Encode())
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if preflight {
				r.Header.Set("Access-Control-Request-Method", wanted)
				r.Header.Set("Access-Control-Request-Headers", "authorization, content-type, x-evil")
			}
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			return s.Do(t, r)
		}
		for path, method := range open {
			for _, form := range []url.Values{nil, app.Credentials("grant_type", "client_credentials"), {"client_id": {"nobody"}, "client_secret": {"x"}}} {
				if method == http.MethodGet && form != nil {
					continue
				}
				h := ask(method, path, false, form).Header
				if got := h.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s from %s: %v", path, origin, h)
				}
				if len(h.Values("Set-Cookie")) > 0 {
					t.Errorf("%s set %q", path, h.Values("Set-Cookie"))
				}
			}
			preflight := ask(method, path, true, nil)
			h := preflight.Header
			if preflight.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), method) ||
				h.Get("Access-Control-Allow-Credentials") != "" || strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "evil") || h.Get("Access-Control-Allow-Headers") == "*" {
				t.Errorf("preflight of %s: %d %v", path, preflight.StatusCode, h)
			}
		}
		for path, method := range closed {
			for _, preflight := range []bool{false, true} {
				answer := ask(method, path, preflight, nil)
				for header := range answer.Header {
					if strings.HasPrefix(header, "Access-Control-") {
						t.Errorf("%s from %s, preflight %t: %s: %s", path, origin, preflight, header, answer.Header.Get(header))
					}
				}
			}
		}
	}
	// Cookies open nothing at the endpoints that any origin may call.
	r := s.Request(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID}}.Encode())
	for _, c := range b.Cookies(t) {
		r.AddCookie(c)
	}
	if answer := s.Do(t, r); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session stood in for a secret: %d", answer.StatusCode)
	}
}

// Files that pages load are found by their content, and kept; nothing else is
// served beside them.
func TestHeaders_Assets(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	page := s.Get(t, "/login")
	found := 0
	for _, link := range linkPattern.FindAllStringSubmatch(string(page.Body), -1) {
		if !strings.HasPrefix(link[1], "/assets/") {
			continue
		}
		found++
		h := s.Get(t, link[1]).Header
		if !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") == "" || strings.HasPrefix(h.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %v", link[1], h)
		}
	}
	if found < 3 {
		t.Errorf("%d assets on the page:\n%s", found, page.Body)
	}
	for _, path := range []string{"/assets/", "/assets", "/assets/hufu.css", "/assets/000000000000/hufu.css", "/assets/../go.mod", "/assets/%2e%2e/%2e%2e/go.mod", "/assets/..%2f..%2fgo.mod", "/assets/x/y/z"} {
		if answer := s.Get(t, path); answer.StatusCode == http.StatusOK {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}
