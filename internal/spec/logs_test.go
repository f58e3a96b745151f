package spec_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// logLines reads the log as the collector of an operator does: one JSON object a
// line.
func logLines(t *testing.T, s *oauthtest.Server) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(s.Log.String()) {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("a line of the log is no event: %v\n%s", err, line)
		}
		lines = append(lines, members)
	}
	return lines
}

// Nothing that could be used stands in the log at its most talkative, over a run
// of all flows, the right ones and the refused ones (LS-02, CO-08).
func TestLogs_HoldNoSecret(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	secrets := map[string]string{"password": oauthtest.Password, "wrong password": "wrong horse battery", "state": "state-1", "state of a client": "a state nobody reads"}
	keep := func(what, secret string) {
		if secret == "" {
			t.Fatalf("no %s", what)
		}
		secrets[what] = secret
	}
	for name, app := range map[string]*oauthtest.App{"jwt": s.App(t), "opaque": s.App(t, oauthtest.Opaque)} {
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			name := name + " " + at.Name + " "
			keep(name+"client secret", app.ClientSecret)
			verifier := oauth2.GenerateVerifier()
			keep(name+"verifier", verifier)
			b := s.Browser(t)
			b.Open(t, authorizationURL(app, at.Code, "state", "a state nobody reads", "nonce", "a nonce nobody reads", "login_hint", "hint-nobody-reads", "prompt", "consent",
				"code_challenge", oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method", "S256"))
			_, fields := b.Form(t, "login-form")
			keep(name+"sealed request", fields.Get("request"))
			keep(name+"form token", fields.Get("form_token"))
			b.Submit(t, "login-form", url.Values{"username": {"alice"}, "password": {"wrong horse battery"}})
			b.SignIn(t, "alice")
			for _, c := range b.Cookies(t) {
				keep(name+c.Name, c.Value)
			}
			consent := b.Page
			b.Approve(t)
			code := responseOf(t, app, b.Page).Get("code")
			keep(name+"code", code)
			b.Page = consent
			b.Approve(t) // used
			s.Post(t, at.AuthorizationCode, url.Values{"grant_type": {"authorization_code"}, "client_id": {app.ClientID}, "client_secret": {app.ClientSecret + "x"}, "code": {code}})
			redeemWith(t, app, at.AuthorizationCode, code, strings.Repeat("w", 43))
			tokens := redeemWith(t, app, at.AuthorizationCode, code, verifier)
			keep(name+"access token", tokens.Text("access_token"))
			keep(name+"refresh token", tokens.Text("refresh_token"))
			refreshed := app.Refresh(t, at, tokens.Text("refresh_token"), "scope", "read")
			keep(name+"next refresh token", refreshed.Text("refresh_token"))
			redeemWith(t, app, at.AuthorizationCode, code, verifier) // replay
			app.Refresh(t, at, refreshed.Text("refresh_token"))
			app.Introspect(t, tokens.Text("access_token"))
			s.Post(t, "/revoke", app.Credentials("token", tokens.Text("access_token")))
			for _, password := range []string{oauthtest.Password, "wrong horse battery"} {
				s.Post(t, at.Password, app.Credentials("grant_type", "password", "username", "alice", "password", password))
			}
			service, err := app.ClientToken(t, at)
			if err != nil {
				t.Fatal(err)
			}
			keep(name+"service token", service.AccessToken)
			b.Open(t, authorizationURL(app, at.Implicit, "response_type", "token"))
			if b.On("consent-form") {
				b.Approve(t)
			}
			keep(name+"implicit token", responseOf(t, app, b.Page).Get("access_token"))
			b.Open(t, authorizationURL(app, at.Code, "response_mode", "form_post"))
			keep(name+"posted code", responseOf(t, app, b.Page).Get("code"))
			// What stands where it should not, or twice, or broken, is not told either.
			for _, path := range []string{at.Code, at.AuthorizationCode, at.Password, "/introspect", "/login", "/consent"} {
				hidden := url.Values{"code": {code}, "password": {oauthtest.Password}, "client_secret": {app.ClientSecret}, "token": {tokens.Text("access_token")}}
				s.Get(t, path+"?"+hidden.Encode()+"&client_secret="+app.ClientSecret)
				r := s.Request(t, http.MethodPost, path+"?"+hidden.Encode(), hidden.Encode()+"&password="+url.QueryEscape(oauthtest.Password)+"&a=%zz")
				r.SetBasicAuth(app.ClientID, app.ClientSecret)
				s.Do(t, r)
				bearer := s.Request(t, http.MethodPost, path, hidden.Encode())
				bearer.Header.Set("Authorization", "Bearer "+tokens.Text("access_token"))
				s.Do(t, bearer)
			}
			b.Open(t, s.URL+"/end-session")
			b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		})
	}
	secrets["nonce"], secrets["login hint"] = "a nonce nobody reads", "hint-nobody-reads"
	log := s.Log.String()
	for what, secret := range secrets {
		for form, text := range map[string]string{"": secret, "encoded ": url.QueryEscape(secret), "base64 ": base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(log, text) {
				t.Errorf("the log holds the %s%s", form, what)
			}
		}
	}
	for _, never := range []string{"response_type=", "redirect_uri=", "?client_id", "Basic ", "Bearer ", "BEGIN", "argon2id"} {
		if strings.Contains(log, never) {
			t.Errorf("the log holds %s", never)
		}
	}
	if lines := logLines(t, s); len(lines) < 100 {
		t.Errorf("only %d lines were searched", len(lines))
	}
}

// One request is one line with the same names every time: what was asked, who
// asked, how it ended and under which id; a refusal with its whole reason
// (LS-01).
func TestLogs_OneEventOneLine(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	alice := theUser(t, s, "alice")
	b := s.Browser(t)
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
	b.SignIn(t, "alice")
	b.Approve(t)
	code := responseOf(t, app, b.Page).Get("code")
	for name, tt := range map[string]struct {
		send func() *oauthtest.Answer
		want map[string]any
	}{
		"code": {func() *oauthtest.Answer { return redeemWith(t, app, "/oauth2/authorize", code, "") },
			map[string]any{"level": "INFO", "method": "POST", "route": "/oauth2/authorize", "status": 200.0, "client": app.ClientID, "grant_type": "authorization_code"}},
		"refusal": {func() *oauthtest.Answer { return s.Post(t, "/token", app.Credentials("grant_type", "frob")) },
			map[string]any{"level": "INFO", "route": "/token", "status": 400.0, "client": app.ClientID, "error": "unsupported_grant_type"}},
		"wrong secret": {func() *oauthtest.Answer {
			return s.Post(t, "/introspect", url.Values{"client_id": {app.ClientID}, "client_secret": {"wrong"}, "token": {"x"}})
		}, map[string]any{"route": "/introspect", "status": 401.0, "client": app.ClientID, "error": "invalid_client"}},
		"page": {func() *oauthtest.Answer {
			return s.Get(t, authorizationURL(app, "/authorize", "redirect_uri", "https://evil.example/"))
		},
			map[string]any{"method": "GET", "route": "/authorize", "status": 400.0, "client": app.ClientID, "error": "invalid_request"}},
		"told to the client": {func() *oauthtest.Answer { return s.Get(t, authorizationURL(app, "/authorize", "scope", "admin")) },
			map[string]any{"route": "/authorize", "status": 303.0, "client": app.ClientID, "error": "invalid_scope"}},
		"sign-in": {func() *oauthtest.Answer { return tryFrom(t, s, stranger(t, s), "", "alice", oauthtest.Password) },
			map[string]any{"method": "POST", "route": "/login", "status": 303.0, "user": alice.ID}},
		"nowhere": {func() *oauthtest.Answer { return s.Get(t, "/nowhere/at/all") },
			map[string]any{"route": "/", "status": 404.0}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := tt.send()
			id := answer.Header.Get("X-Request-Id")
			var found []map[string]any
			for _, line := range logLines(t, s) {
				if line["request_id"] == id {
					found = append(found, line)
				}
			}
			if len(found) != 1 {
				t.Fatalf("%d lines about request %s", len(found), id)
			}
			line := found[0]
			for member, want := range tt.want {
				if line[member] != want {
					t.Errorf("%s = %v, want %v", member, line[member], want)
				}
			}
			if line["msg"] != "request" || line["address"] != "127.0.0.1" {
				t.Errorf("line = %v", line)
			}
			if _, refused := tt.want["error"]; refused && line["cause"] == nil {
				t.Errorf("a refusal without its reason: %v", line)
			}
			known := []string{"address", "cause", "client", "error", "grant", "grant_type", "level", "method", "milliseconds", "msg", "request_id", "route", "status", "time", "user"}
			for member := range maps.Keys(line) {
				if !slices.Contains(known, member) {
					t.Errorf("an unknown member %s", member)
				}
			}
		})
	}
}

// Line breaks, escape codes and quotes stay inside the line they came in, whatever
// they were sent in (LS-01).
func TestLogs_HostileInputStaysInItsLine(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	const forged = "\r\n{\"level\":\"INFO\",\"msg\":\"forged\"}\n\x1b[2J\x1b[31mred\u2028\u202e\x07\t\"}"
	before := len(logLines(t, s))
	sent := 0
	send := func(r *http.Request) {
		sent++
		s.Do(t, r)
	}
	for _, name := range []string{"client_id", "redirect_uri", "scope", "state", "prompt", "max_age", "response_type", "login_hint", "ui_locales", forged} {
		send(s.Request(t, http.MethodGet, authorizationURL(app, "/authorize", name, forged), ""))
		send(s.Request(t, http.MethodGet, authorizationURL(app, "/authorize")+"&"+url.QueryEscape(forged)+"=1&"+url.QueryEscape(forged)+"=2", ""))
	}
	for _, form := range []url.Values{
		app.Credentials("grant_type", forged), app.Credentials("grant_type", "password", "username", forged, "password", forged), {"client_id": {forged}, "client_secret": {forged}},
		app.Credentials("grant_type", "client_credentials", "scope", forged), app.Credentials("grant_type", "authorization_code", "code", forged, "redirect_uri", forged),
		app.Credentials("grant_type", "refresh_token", "refresh_token", "hrt_"+forged), {forged: {"1", "2"}},
	} {
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			send(s.Request(t, http.MethodPost, path, form.Encode()))
		}
	}
	basic := s.Request(t, http.MethodPost, "/token", "grant_type=client_credentials")
	basic.SetBasicAuth(url.QueryEscape(forged), url.QueryEscape(forged))
	send(basic)
	send(s.Request(t, http.MethodGet, "/"+url.PathEscape(forged), ""))
	for header, value := range map[string]string{"User-Agent": "\x1b[31m\"}{\"forged\"", "X-Request-Id": "forged", "X-Forwarded-For": "\"forged\"", "Traceparent": "forged", "Origin": "forged\"", "Referer": "forged"} {
		r := s.Request(t, http.MethodGet, "/login", "")
		r.Header[header] = []string{strings.ReplaceAll(value, "\x1b", "")}
		send(r)
	}
	send(s.Request(t, "FROB", "/login", ""))
	send(s.Request(t, strings.Repeat("M", 3000), "/login", ""))

	lines := logLines(t, s)
	if got := len(lines) - before; got != sent {
		t.Errorf("%d requests made %d lines", sent, got)
	}
	for _, line := range lines {
		if line["msg"] == "forged" || line["request_id"] == "forged" || line["address"] != nil && line["address"] != "127.0.0.1" {
			t.Errorf("a forged line: %v", line)
		}
		if text, err := json.Marshal(line); err != nil || len(text) > 4096 {
			t.Errorf("a line of %d bytes", len(text))
		}
	}
	for _, raw := range []string{"\x1b", "\r", "\x07", "\u2028", "\u202e"} {
		if strings.Contains(s.Log.String(), raw) {
			t.Errorf("the log holds %q as it came", raw)
		}
	}
}
