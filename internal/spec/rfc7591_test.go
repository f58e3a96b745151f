package spec_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// openRegistration lets anybody register, as often as a test wants.
func openRegistration(c *config.Config) {
	c.Registration, c.RegistrationLimit = config.RegistrationOpen, 10000
	c.RegistrationGrants = []string{"authorization_code", "refresh_token", "implicit"}
}

const initialToken, otherInitialToken = "initial-access-token-1", "initial.access_token~2=="

// withInitialToken lets register who has one of two tokens.
func withInitialToken(c *config.Config) {
	c.Registration, c.RegistrationToken = config.RegistrationToken, config.Secret(initialToken+"\n"+otherInitialToken)
}

// sendJSON sends a body to an address, with a token in the header unless that is "".
func sendJSON(t testing.TB, s *oauthtest.Server, method, address, token, body string) *oauthtest.Answer {
	t.Helper()
	r := s.Request(t, method, address, body)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.Do(t, r)
}

// register registers a client and wants that it is taken.
func register(t testing.TB, s *oauthtest.Server, body string) *oauthtest.Answer {
	t.Helper()
	answer := sendJSON(t, s, http.MethodPost, "/register", "", body)
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("register %s: %d %s", body, answer.StatusCode, answer.Body)
	}
	return answer
}

// wantRegistrationError wants a refusal of RFC 7591 Section 3.2.2 that is stored nowhere.
func wantRegistrationError(t testing.TB, what string, answer *oauthtest.Answer, status int, code oauth.Code) {
	t.Helper()
	if answer.StatusCode != status || answer.Text("error") != string(code) || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d %v %s, want %d %s", what, answer.StatusCode, answer.Header, answer.Body, status, code)
	}
}

// registeredApp drives a client that registered itself.
func registeredApp(t testing.TB, s *oauthtest.Server, answer *oauthtest.Answer) *oauthtest.App {
	t.Helper()
	if _, err := s.Store.UserByName(t.Context(), "alice"); err != nil {
		s.User(t, "alice")
	}
	var m oauth.ClientMetadata
	if err := json.Unmarshal(answer.Body, &m); err != nil {
		t.Fatal(err)
	}
	a := &oauthtest.App{Server: s, Browser: s.Browser(t), Config: oauth2.Config{
		ClientID: answer.Text("client_id"), ClientSecret: answer.Text("client_secret"), RedirectURL: m.RedirectURIs[0], Scopes: []string{"openid"},
	}}
	return a.At(oauthtest.AllAddresses[0])
}

const callbackOnly = `{"redirect_uris":["` + oauthtest.Callback + `"]}`

// RFC 7591 Section 3: unless the operator says otherwise nobody registers anything, and
// metadata does not speak of it (DC-01, conformance 68).
func TestRFC7591_3_OffByDefault(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.RegistrationToken = initialToken }) // which alone switches nothing on
	for _, path := range []string{"/register", "/register/", "/register/app"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if answer := sendJSON(t, s, method, path, initialToken, callbackOnly); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, answer.Body)
			}
		}
	}
	if body := string(s.Get(t, "/.well-known/openid-configuration").Body); strings.Contains(body, "registration_endpoint") {
		t.Errorf("metadata: %s", body)
	}
	on := oauthtest.Start(t, openRegistration)
	if m := on.Get(t, "/.well-known/openid-configuration"); m.Text("registration_endpoint") != on.URL+"/register" {
		t.Errorf("metadata: %s", m.Body)
	}
}

// RFC 7591 Sections 3 and 3.1: with an initial access token, any of those that are
// configured, by the header alone; without one a challenge says what is wanted, and
// guessing is slowed (DC-01).
func TestRFC7591_3_1_InitialAccessToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withInitialToken)
	for _, token := range []string{initialToken, otherInitialToken} {
		if answer := sendJSON(t, s, http.MethodPost, "/register", token, callbackOnly); answer.StatusCode != http.StatusCreated {
			t.Errorf("%s: %d %s", token, answer.StatusCode, answer.Body)
		}
	}
	missing := sendJSON(t, s, http.MethodPost, "/register", "", callbackOnly)
	wantRegistrationError(t, "missing", missing, http.StatusUnauthorized, oauth.InvalidToken)
	if got := missing.Header.Get("WWW-Authenticate"); got != `Bearer realm="hufu"` {
		t.Errorf("challenge %q", got)
	}
	for name, header := range map[string]string{
		"wrong": "Bearer initial-access-token-3", "both": "Bearer " + initialToken + " " + otherInitialToken, "a part": "Bearer " + initialToken[:16],
		"Basic": "Basic " + initialToken, "other case": "Bearer " + strings.ToUpper(initialToken), "scheme only": "Bearer",
	} {
		r := s.Request(t, http.MethodPost, "/register?access_token="+initialToken, callbackOnly)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", header)
		answer := s.Do(t, r)
		wantRegistrationError(t, name, answer, http.StatusUnauthorized, oauth.InvalidToken)
		if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="hufu"`) || strings.Contains(got, "error=") == (name == "Basic" || name == "scheme only") {
			t.Errorf("%s: challenge %q", name, got)
		}
	}
	last := 0
	for range 12 {
		last = sendJSON(t, s, http.MethodPost, "/register", "guess-guess-guess-", callbackOnly).StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("guessed on: %d", last)
	}
	if answer := sendJSON(t, s, http.MethodPost, "/register", initialToken, callbackOnly); answer.StatusCode != http.StatusCreated {
		t.Errorf("the right one, while others guess: %d %s", answer.StatusCode, answer.Body)
	}
	if log := s.Log.String(); strings.Contains(log, initialToken) || strings.Contains(log, "guess-guess") {
		t.Error("a token is in the log")
	}
}

// RFC 7591 Sections 2 and 3.2.1: the answer holds everything that was registered, with
// the defaults written out, the credentials and the way to change it, and is stored by
// no cache; what is unknown, or not a client's to set, is not in it (conformance 64, AD-03).
func TestRFC7591_3_2_1_Response(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	answer := register(t, s, `{"redirect_uris":["https://app.example/callback"],"client_name":"虎 App","contacts":["a@app.example"],"software_id":"4NRB1","unknown":1,
		"trusted":true,"require_pkce":true,"introspect":"any","token_format":"opaque","access_token_lifetime":3600,"resources":["https://api.example"],
		"client_id":"chosen","client_secret":"chosen-by-the-client","registration_access_token":"chosen","client_name#zh":"虎"}`)
	if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", answer.Header)
	}
	var got map[string]any
	ok(t, json.Unmarshal(answer.Body, &got))
	id := answer.Text("client_id")
	for name, want := range map[string]any{
		"redirect_uris": []any{"https://app.example/callback"}, "client_name": "虎 App", "contacts": []any{"a@app.example"}, "software_id": "4NRB1",
		"token_endpoint_auth_method": "client_secret_basic", "grant_types": []any{"authorization_code"}, "response_types": []any{"code"},
		"application_type": "web", "subject_type": "public", "id_token_signed_response_alg": "RS256", "require_auth_time": false,
		"scope": "openid profile email address phone", "client_secret_expires_at": 0.0, "registration_client_uri": s.URL + "/register/" + id,
	} {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
		delete(got, name)
	}
	issued, _ := got["client_id_issued_at"].(float64)
	if now := float64(s.Clock.Now().Unix()); issued < now-60 || issued > now || len(id) < 16 || id == "chosen" {
		t.Errorf("issued at %v to %q", issued, id)
	}
	if secret := answer.Text("client_secret"); len(secret) < 40 || secret == "chosen-by-the-client" || len(answer.Text("registration_access_token")) < 40 {
		t.Errorf("secrets of %s", answer.Body)
	}
	for _, name := range []string{"client_id", "client_id_issued_at", "client_secret", "registration_access_token"} {
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("what was not asked for: %v", got)
	}
	c, err := s.Store.Client(t.Context(), id)
	ok(t, err)
	if m := c.Metadata; m.Trusted || m.RequirePKCE || m.Introspect != "" || m.TokenFormat != "" || m.AccessTokenLifetime != 0 || m.Resources != nil {
		t.Errorf("a stranger has set %+v", m)
	}
	if strings.Contains(fmt.Sprintf("%+v", c), answer.Text("registration_access_token")) || strings.Contains(fmt.Sprintf("%+v", c), answer.Text("client_secret")) {
		t.Error("a secret is stored as it is")
	}
	public := register(t, s, `{"redirect_uris":["com.example.app:/cb"],"token_endpoint_auth_method":"none","application_type":"native","grant_types":["authorization_code","refresh_token"]}`)
	if public.JSON("client_secret") != nil || public.JSON("client_secret_expires_at") != nil || public.Text("scope") != "openid offline_access profile email address phone" {
		t.Errorf("a public client: %s", public.Body)
	}
	if got := auditOf(t, s, id); !slices.Contains(got, "client.created by registration") {
		t.Errorf("audit trail: %v", got)
	}
}

// auditOf is what the audit trail tells about a client.
func auditOf(t *testing.T, s *oauthtest.Server, clientID string) (told []string) {
	t.Helper()
	events, err := s.Store.Events(t.Context(), "", 1000)
	ok(t, err)
	for _, e := range events {
		if e.ClientID == clientID {
			told = append(told, e.Kind+" by "+e.By.Actor)
		}
	}
	return told
}

// RFC 7591 Section 3.2.1: a client that registered itself gets what it registered for,
// and proves itself as it was told to.
func TestRFC7591_3_2_1_ClientWorks(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	for name, body := range map[string]string{
		"basic":     `{"redirect_uris":["https://app.example/callback"],"grant_types":["authorization_code","refresh_token"]}`,
		"in a body": `{"redirect_uris":["https://app.example/callback"],"token_endpoint_auth_method":"client_secret_post"}`,
		"public":    `{"redirect_uris":["https://app.example/callback"],"token_endpoint_auth_method":"none"}`,
	} {
		app := registeredApp(t, s, register(t, s, body))
		if name == "in a body" {
			app.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		}
		if token := app.SignInAndExchange(t); token.Extra("id_token") == nil {
			t.Errorf("%s: no ID token", name)
		}
	}
	app := registeredApp(t, s, register(t, s, callbackOnly))
	if answer := s.Post(t, "/token", app.Credentials("grant_type", "client_credentials")); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a secret in the body of a client for Basic: %d %s", answer.StatusCode, answer.Body)
	}
	key := newKey(t, "ES256", "k")
	with, err := json.Marshal(map[string]any{"redirect_uris": []string{oauthtest.Callback}, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(publicSet(t, key))})
	ok(t, err)
	answer := register(t, s, string(with))
	holder := &keyClient{s: s, id: answer.Text("client_id"), key: key, algorithm: "ES256"}
	if got := holder.ask(t, "/token", holder.assertion(t, nil), "grant_type", "client_credentials"); got.Text("error") != "unauthorized_client" {
		t.Errorf("by a key: %d %s", got.StatusCode, got.Body)
	}
	if answer.JSON("client_secret") != nil || answer.JSON("jwks") == nil {
		t.Errorf("registered with a key: %s", answer.Body)
	}
}

// RFC 7591 Section 3.2.2: what cannot be registered is refused with the right code and
// never with a failure of ours (DC-02, DC-04, DC-05, RU-02, RU-05, RU-06, conformance
// 66).
func TestRFC7591_3_2_2_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	const metadata, redirect, request = oauth.InvalidClientMetadata, oauth.InvalidRedirectURI, oauth.InvalidRequest
	with := func(members string) string {
		return `{"redirect_uris":["https://app.example/callback"],` + members + `}`
	}
	many := strings.TrimSuffix(strings.Repeat(`"https://app.example/cb",`, 500), ",")
	for name, tt := range map[string]struct {
		body   string
		status int
		code   oauth.Code
	}{
		"no redirect URI":         {`{}`, 400, redirect},
		"fragment":                {`{"redirect_uris":["https://app.example/cb#x"]}`, 400, redirect},
		"plain http":              {`{"redirect_uris":["http://app.example/cb"]}`, 400, redirect},
		"wildcard":                {`{"redirect_uris":["https://*.example/cb"]}`, 400, redirect},
		"userinfo":                {`{"redirect_uris":["https://a:b@app.example/cb"]}`, 400, redirect},
		"script":                  {`{"redirect_uris":["javascript:alert(1)//"]}`, 400, redirect},
		"data":                    {`{"redirect_uris":["data:text/html,x"]}`, 400, redirect},
		"file":                    {`{"redirect_uris":["file:///etc/passwd"]}`, 400, redirect},
		"relative":                {`{"redirect_uris":["/cb"]}`, 400, redirect},
		"one of two":              {`{"redirect_uris":["https://app.example/cb","x"]}`, 400, redirect},
		"500 of them":             {`{"redirect_uris":[` + many + `]}`, 400, redirect},
		"longer than 16 KiB":      {with(`"x":"` + strings.Repeat("x", 16<<10) + `"`), 400, metadata},
		"a huge body":             {with(`"client_name":"` + strings.Repeat("a", 10<<20) + `"`), 413, request},
		"password":                {with(`"grant_types":["authorization_code","password"]`), 400, metadata},
		"password alone":          {`{"grant_types":["password"]}`, 400, metadata},
		"client credentials":      {`{"grant_types":["client_credentials"]}`, 400, metadata},
		"unknown grant":           {with(`"grant_types":["urn:x"]`), 400, metadata},
		"admin scope":             {with(`"scope":"openid admin"`), 400, metadata},
		"malformed scope":         {with(`"scope":"\"\\"`), 400, metadata},
		"types without the grant": {with(`"grant_types":["authorization_code"],"response_types":["token"]`), 400, metadata},
		"grant without the types": {with(`"grant_types":["authorization_code","implicit"],"response_types":["code"]`), 400, metadata},
		"unknown response type":   {with(`"response_types":["none"]`), 400, metadata},
		"unknown method":          {with(`"token_endpoint_auth_method":"tls_client_auth"`), 400, metadata},
		"keys and their address":  {with(`"jwks":{"keys":[]},"jwks_uri":"https://app.example/jwks"`), 400, metadata},
		"jwks_uri in http":        {with(`"jwks_uri":"http://app.example/jwks"`), 400, metadata},
		"no keys":                 {with(`"token_endpoint_auth_method":"private_key_jwt"`), 400, metadata},
		"logo in http":            {with(`"logo_uri":"http://app.example/logo"`), 400, metadata},
		"a script for a policy":   {with(`"policy_uri":"javascript:alert(1)"`), 400, metadata},
		"line break in the name":  {with(`"client_name":"a\nb"`), 400, metadata},
		"NUL in the name":         {with(`"client_name":"a\u0000b"`), 400, metadata},
		"wrong type":              {with(`"client_name":["a"]`), 400, metadata},
		"twice":                   {with(`"redirect_uris":["https://evil.example/cb"]`), 400, metadata},
		"software statement":      {with(`"software_statement":"a.b.c"`), 400, oauth.UnapprovedSoftwareStatement},
		"what we do not have":     {with(`"dpop_bound_access_tokens":true`), 400, metadata},
		"no JSON":                 {`redirect_uris=x`, 400, request},
		"a list":                  {`[` + callbackOnly + `]`, 400, request},
		"broken UTF-8":            {with("\"client_name\":\"\xff\""), 400, request},
		"deep":                    {`{"x":` + strings.Repeat(`{"x":`, 9000) + `1` + strings.Repeat(`}`, 9001), 400, metadata},
	} {
		wantRegistrationError(t, name, sendJSON(t, s, http.MethodPost, "/register", "", tt.body), tt.status, tt.code)
	}
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "", "application/json;", "application/jsonp", "multipart/form-data; boundary=x"} {
		r := s.Request(t, http.MethodPost, "/register", callbackOnly)
		r.Header.Set("Content-Type", kind)
		want := http.StatusUnsupportedMediaType
		if kind == "application/json;" {
			want = http.StatusCreated
		}
		if answer := s.Do(t, r); answer.StatusCode != want {
			t.Errorf("%q: %d %s", kind, answer.StatusCode, answer.Body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if answer := sendJSON(t, s, method, "/register", "", ""); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %v", method, answer.StatusCode, answer.Header)
		}
	}
}

// Where anybody may register, all networks together may register ten times what one may:
// networks are cheap (DC-04).
func TestRFC7591_5_AllNetworks(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration, func(c *config.Config) {
		c.RegistrationLimit, c.TrustedProxies = 1, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	made := 0
	for i := range 20 {
		r := s.Request(t, http.MethodPost, "/register", callbackOnly)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.%d.1", i))
		switch answer := s.Do(t, r); answer.StatusCode {
		case http.StatusCreated:
			made++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	}
	if made != 10 {
		t.Errorf("%d were registered, want 10", made)
	}
}

// RFC 7591 Section 3.2.2: what the operator's policy leaves out cannot be registered, and
// what it holds can (DC-02).
func TestRFC7591_3_2_2_Policy(t *testing.T) {
	t.Parallel()
	const implicit, service = `{"redirect_uris":["https://app.example/callback"],"grant_types":["implicit"]}`, `{"grant_types":["client_credentials"],"scope":"notes.read"}`
	strict := oauthtest.Start(t, func(c *config.Config) { c.Registration = config.RegistrationOpen })
	for _, body := range []string{implicit, service} {
		wantRegistrationError(t, body, sendJSON(t, strict, http.MethodPost, "/register", "", body), http.StatusBadRequest, oauth.InvalidClientMetadata)
	}
	loose := oauthtest.Start(t, func(c *config.Config) {
		c.Registration, c.RegistrationGrants, c.RegistrationScopes = config.RegistrationOpen, []string{"implicit", "client_credentials"}, []string{"notes.read"}
	})
	register(t, loose, implicit)
	answer := register(t, loose, service)
	app := &oauthtest.App{Server: loose, Config: oauth2.Config{ClientID: answer.Text("client_id"), ClientSecret: answer.Text("client_secret"), Scopes: []string{"notes.read"}}}
	if _, err := app.ClientToken(t, oauthtest.AllAddresses[0]); err != nil {
		t.Error(err)
	}
	wantRegistrationError(t, "a grant that is not in the policy", sendJSON(t, loose, http.MethodPost, "/register", "", callbackOnly), http.StatusBadRequest, oauth.InvalidClientMetadata)
	forbidden := oauthtest.Start(t, func(c *config.Config) {
		openRegistration(c)
		c.ForbiddenGrants = []string{"implicit"}
	})
	wantRegistrationError(t, "forbidden", sendJSON(t, forbidden, http.MethodPost, "/register", "", implicit), http.StatusBadRequest, oauth.InvalidClientMetadata)
	if m := discover(t, forbidden); slices.Contains(m.GrantTypes, "implicit") {
		t.Errorf("metadata: %v", m.GrantTypes)
	}
}

// RFC 7591 Section 5: one network registers so much in an hour and no more, however many
// requests there are at once; others are not held up (DC-04).
func TestRFC7591_5_Flood(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) { c.Registration, c.RegistrationLimit = config.RegistrationOpen, 20 })
	var taken, refused atomic.Int64
	var strangers sync.WaitGroup
	for range 40 {
		strangers.Go(func() {
			switch answer := sendJSON(t, s, http.MethodPost, "/register", "", callbackOnly); answer.StatusCode {
			case http.StatusCreated:
				taken.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
				if answer.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			default:
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
		})
	}
	strangers.Wait()
	if taken.Load() != 20 || refused.Load() != 20 {
		t.Errorf("%d taken, %d refused", taken.Load(), refused.Load())
	}
	s.Clock.Advance(3*time.Minute + time.Second)
	register(t, s, callbackOnly)
	wantRegistrationError(t, "one more", sendJSON(t, s, http.MethodPost, "/register", "", callbackOnly), http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
}

// RFC 7591 Section 3: no page of another origin registers clients or reads a registration
// (design.md Section 4, HD-11).
func TestRFC7591_3_NoCORS(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, callbackOnly)
	for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet, http.MethodDelete} {
		for _, address := range []string{"/register", c.uri} {
			r := s.Request(t, method, address, callbackOnly)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Origin", "https://app.example")
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
			r.Header.Set("Access-Control-Request-Headers", "authorization, content-type")
			for header := range s.Do(t, r).Header {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("%s %s: %s", method, address, header)
				}
			}
		}
	}
}

// RFC 7591 Section 5: what was registered and never used goes after a time; whatever got a
// code or a token stays, however long ago that was (DC-04).
func TestRFC7591_5_Unused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		openRegistration(c)
		c.RegistrationGrants = append(c.RegistrationGrants, "client_credentials")
	})
	const service = `{"grant_types":["client_credentials"],"token_endpoint_auth_method":"client_secret_post"}`
	unused, tried, kept := newRegistered(t, s, callbackOnly), newRegistered(t, s, service), newRegistered(t, s, callbackOnly)
	code, browser, token := newRegistered(t, s, callbackOnly), newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"response_types":["id_token token"]}`), newRegistered(t, s, service)

	app := registeredApp(t, s, code.Answer)
	app.Authorize(t, "alice", "")
	app = registeredApp(t, s, browser.Answer)
	app.Browser.Open(t, authorizationURL(app, "/authorize", "response_type", "id_token token", "scope", "openid", "nonce", "n"))
	app.Browser.SignIn(t, "alice")
	app.Browser.Approve(t)
	app = registeredApp(t, s, unused.Answer)
	app.Browser.Open(t, authorizationURL(app, "/authorize", "scope", "openid"))
	app.Browser.SignIn(t, "alice") // and nothing is allowed
	ask := func(c *registered, secret string, status int) {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {secret}}
		if answer := s.Post(t, "/token", form); answer.StatusCode != status {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	}
	ask(tried, "hcs_wrong", http.StatusUnauthorized)
	ask(token, token.Text("client_secret"), http.StatusOK)
	if answer := kept.manage(t, http.MethodPut, kept.replacement("")); answer.StatusCode != http.StatusOK {
		t.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
	_, err := s.Clients.Update(t.Context(), kept.id, func(m *oauth.ClientMetadata) error { m.Trusted = true; return nil }, theOperator)
	ok(t, err)

	s.Clock.Advance(30*24*time.Hour + time.Minute)
	for more := true; more; {
		more, err = s.Store.DeleteExpired(t.Context(), s.Clock.Now())
		ok(t, err)
	}
	for _, c := range []*registered{unused, tried} {
		wantForeign(t, "unused", c.manage(t, http.MethodGet, ""))
		if got := auditOf(t, s, c.id); !slices.Contains(got, "client.deleted by server") {
			t.Errorf("audit trail: %v", got)
		}
	}
	for name, c := range map[string]*registered{"code": code, "implicit": browser, "client credentials": token, "kept": kept} {
		if answer := c.manage(t, http.MethodGet, ""); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	ask(token, token.Text("client_secret"), http.StatusOK)
}

// RFC 7591 Section 3.2.1: below an issuer with a path a client finds its registration where
// it was told to.
func TestRFC7591_3_2_1_IssuerWithPath(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration, func(c *config.Config) { c.Issuer += "/tenants/7" })
	c := newRegistered(t, s, callbackOnly)
	if answer := c.manage(t, http.MethodGet, ""); c.uri != s.URL+"/register/"+c.id || answer.StatusCode != http.StatusOK {
		t.Errorf("at %s: %d %s", c.uri, answer.StatusCode, answer.Body)
	}
	if answer := sendJSON(t, s, http.MethodPost, s.Origin+"/register", "", callbackOnly); answer.StatusCode != http.StatusNotFound {
		t.Errorf("outside of the issuer: %d", answer.StatusCode)
	}
}
