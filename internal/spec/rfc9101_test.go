package spec_test

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// An objectApp is a client that sends its requests as request objects, which a foreign
// library signs.
type objectApp struct {
	*oauthtest.App
	*keyClient
}

func newObjectApp(t *testing.T, s *oauthtest.Server, algorithm string, edits ...func(*oauth.ClientMetadata)) *objectApp {
	t.Helper()
	key := newKey(t, algorithm, "key-1")
	app := s.App(t, append([]func(*oauth.ClientMetadata){func(m *oauth.ClientMetadata) {
		m.JWKS, m.Trusted = publicSet(t, key), true
		m.RedirectURIs = []string{oauthtest.Callback, "https://app.example/other"}
		m.Resources = []string{"https://api.example/a", "https://api.example/b"}
	}}, edits...)...)
	return &objectApp{app, &keyClient{s: s, id: app.ClientID, key: key, algorithm: algorithm}}
}

// object signs the parameters of an authorization request, with some changed; nil takes
// one away.
func (a *objectApp) object(t *testing.T, changes map[string]any) string {
	t.Helper()
	return a.sign(t, a.key, a.algorithm, nil, a.content(changes))
}

func (a *objectApp) content(changes map[string]any) map[string]any {
	now := a.s.Clock.Now()
	claims := map[string]any{
		"iss": a.id, "aud": a.s.URL, "exp": now.Add(time.Minute).Unix(), "nbf": now.Unix(), "iat": now.Unix(), "jti": rand.Text(),
		"client_id": a.id, "response_type": "code", "redirect_uri": a.RedirectURL, "scope": "read", "state": "state-1",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// by is a request that stands wholly in its object.
func (a *objectApp) by(path, name, value string, pairs ...string) string {
	q := url.Values{"client_id": {a.id}, name: {value}}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return a.s.URL + path + "?" + q.Encode()
}

// RFC 9101 Sections 4 and 6, OpenID Connect Core Section 6.1: a request may come in a
// signed object, with any of the client's algorithms, by GET and POST, at both addresses;
// it goes on through our pages (conformance 38).
func TestRFC9101_4_RequestObject(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		a := newObjectApp(t, s, algorithm)
		for _, at := range oauthtest.AllAddresses {
			location := s.Browser(t).Walk(t, a.by(at.Code, "request", a.object(t, nil), "response_type", "code"), "alice")
			if got := location.Query(); got.Get("code") == "" || got.Get("state") != "state-1" || got.Get("iss") != s.URL {
				t.Errorf("%s at %s: %s", algorithm, at.Code, location)
			}
		}
		b := signedIn(t, a.App)
		form := url.Values{"client_id": {a.id}, "request": {a.object(t, nil)}}
		r := s.Request(t, http.MethodPost, "/authorize", form.Encode())
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		if got := responseOf(t, a.App, s.Do(t, r)); got.Get("code") == "" {
			t.Errorf("%s by POST: %v", algorithm, got.Values)
		}
	}
}

// OpenID Connect Core Section 6.1: what stands in the object wins over what stands beside
// it, the address of the answer included; what it leaves out counts beside it (conformance
// 39). For a client that must send signed objects only the object counts (RFC 9101
// Sections 5 and 10.5, JR-01).
func TestRFC9101_5_WhatCounts(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	a := newObjectApp(t, s, "ES256")
	b := signedIn(t, a.App)
	other := "https://app.example/other"
	beside := []string{"redirect_uri", a.RedirectURL, "state", "outside", "response_type", "code", "scope", "write", "response_mode", "fragment"}
	answer := b.Open(t, a.by("/authorize", "request", a.object(t, map[string]any{"redirect_uri": other, "state": "inside"}), beside...))
	got := responseOf(t, a.App, answer)
	if got.To != other || got.Get("state") != "inside" || got.Mode != "fragment" {
		t.Errorf("inside and beside: %+v", got)
	}
	if answer := s.Post(t, "/token", a.Credentials("grant_type", "authorization_code", "redirect_uri", other, "code", got.Get("code"))); answer.Text("scope") != "read" {
		t.Errorf("scope inside: %s", answer.Body)
	}
	answer = b.Open(t, a.by("/authorize", "request", a.object(t, map[string]any{"redirect_uri": other}), "redirect_uri", "https://evil.example/"))
	if got := responseOf(t, a.App, answer); got.To != other {
		t.Errorf("an address beside it that is not registered: %+v", got)
	}

	only := newObjectApp(t, s, "ES256", func(m *oauth.ClientMetadata) { m.RequireSignedRequest = true })
	b = signedIn(t, a.App)
	got = responseOf(t, only.App, b.Open(t, only.by("/authorize", "request", only.object(t, map[string]any{"state": nil}), "state", "outside", "prompt", "frob", "response_mode", "fragment")))
	if got.Get("code") == "" || got.Has("state") || got.Mode != "query" {
		t.Errorf("only inside: %+v", got)
	}
	wantRefused(t, only.App, s.Get(t, authorizationURL(only.App, "/authorize")), "invalid_request")
	wantErrorPage(t, s.Get(t, only.by("/authorize", "request", only.object(t, map[string]any{"redirect_uri": nil}), "redirect_uri", only.RedirectURL)), http.StatusBadRequest, "invalid_request")
}

// OpenID Connect Core Section 6.1: parameters that are no texts stand in an object as what
// they are (conformance 39).
func TestRFC9101_4_Values(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	key := newKey(t, "ES256", "key-1")
	_, err := s.Clients.Update(t.Context(), p.ClientID, func(m *oauth.ClientMetadata) error {
		m.JWKS, m.Resources = publicSet(t, key), []string{"https://api.example/a", "https://api.example/b"}
		return nil
	}, theOperator)
	ok(t, err)
	a := &objectApp{p.App, &keyClient{s: s, id: p.ClientID, key: key, algorithm: "ES256"}}
	location := s.Browser(t).Walk(t, a.by("/authorize", "request", a.object(t, map[string]any{
		"scope": "openid profile", "max_age": 600, "nonce": "nonce-1",
		"claims":   map[string]any{"id_token": map[string]any{"preferred_username": map[string]any{"essential": true}}},
		"resource": []string{"https://api.example/a", "https://api.example/b"},
	})), "alice")
	answer := redeemWith(t, a.App, "/token", location.Query().Get("code"), "")
	_, claims := p.verify(t, answer.Text("id_token"))
	if claims["preferred_username"] != "alice" || claims["nonce"] != "nonce-1" {
		t.Errorf("the ID token says %v", claims)
	}
	active := a.Introspect(t, answer.Text("access_token"))
	if aud, err := json.Marshal(active.JSON("aud")); err != nil || !strings.Contains(string(aud), "https://api.example/a") || !strings.Contains(string(aud), "https://api.example/b") {
		t.Errorf("the access token is for %s", aud)
	}
}

// RFC 9101 Section 6, RFC 8725: an object that is not the client's, not for us, not of
// now or not well-formed is refused with the place of the answer taken from beside it,
// and never ignored (JR-01, JW-01, JW-06, conformance 38, 39).
func TestRFC9101_6_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	a := newObjectApp(t, s, "ES256")
	stranger := newKey(t, "ES256", "key-1")
	past, future := s.Clock.Now().Add(-10*time.Minute).Unix(), s.Clock.Now().Add(10*time.Minute).Unix()
	unsigned := "eyJhbGciOiJub25lIn0." + b64([]byte(`{"client_id":"`+a.id+`","response_type":"code"}`)) + "."
	for name, object := range map[string]string{
		"no JWT":               "x",
		"alg none":             unsigned,
		"another key":          a.sign(t, stranger, "ES256", nil, a.content(nil)),
		"typ of another token": a.sign(t, a.key, "ES256", map[josev4.HeaderKey]any{"typ": "at+jwt"}, a.content(nil)),
		"crit":                 a.sign(t, a.key, "ES256", map[josev4.HeaderKey]any{"crit": []string{"x"}, "x": 1}, a.content(nil)),
		"another iss":          a.object(t, map[string]any{"iss": "somebody"}),
		"another aud":          a.object(t, map[string]any{"aud": "https://other.example"}),
		"expired":              a.object(t, map[string]any{"exp": past}),
		"not yet":              a.object(t, map[string]any{"nbf": future}),
		"made in the future":   a.object(t, map[string]any{"iat": future}),
		"another client":       a.object(t, map[string]any{"client_id": "somebody"}),
		"another type":         a.object(t, map[string]any{"response_type": "token"}),
		"nested":               a.object(t, map[string]any{"request": a.object(t, nil)}),
		"nested by reference":  a.object(t, map[string]any{"request_uri": "https://app.example/object"}),
		"an array":             a.object(t, map[string]any{"scope": []string{"read", "write"}}),
		"a fraction":           a.object(t, map[string]any{"max_age": 1.5}),
		"exp as text":          a.object(t, map[string]any{"exp": "soon"}),
		"NUL":                  a.object(t, map[string]any{"state": "a\x00b"}),
	} {
		got := wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request", object)), "invalid_request_object")
		if got.Mode != "query" {
			t.Errorf("%s: answered in the %s", name, got.Mode)
		}
		wantErrorPage(t, s.Get(t, authorizationURL(a.App, "/authorize", "request", object, "redirect_uri", "")), http.StatusBadRequest, "invalid_request_object")
		wantErrorPage(t, s.Get(t, authorizationURL(a.App, "/authorize", "request", object, "redirect_uri", "https://evil.example/")), http.StatusBadRequest, "invalid_request")
	}
	wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request", a.object(t, nil), "request_uri", "https://app.example/object")), "invalid_request")
	wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request", a.object(t, map[string]any{"scope": "admin"}))), "invalid_scope")
	within := a.object(t, map[string]any{"exp": s.Clock.Now().Add(-8 * time.Second).Unix(), "nbf": s.Clock.Now().Add(8 * time.Second).Unix()})
	if got := responseOf(t, a.App, signedIn(t, a.App).Open(t, a.by("/authorize", "request", within))); got.Get("code") == "" {
		t.Errorf("clocks that are eight seconds apart: %v", got.Values)
	}

	keyless := s.App(t)
	wantRefused(t, keyless, s.Get(t, authorizationURL(keyless, "/authorize", "request", a.object(t, nil))), "invalid_request_object")
	strict := newObjectApp(t, s, "RS256", func(m *oauth.ClientMetadata) { m.RequestObjectAlg = "PS256" })
	wantRefused(t, strict.App, s.Get(t, authorizationURL(strict.App, "/authorize", "request", strict.object(t, nil))), "invalid_request_object")
}

// RFC 9101 Section 5.2, OpenID Connect Core Section 6.2: an object may lie at an address
// that the client is registered with. The fragment belongs to its name, and is neither
// sent nor taken for a hash (SS-01, SS-03, conformance 40).
func TestRFC9101_5_2_RequestURI(t *testing.T) {
	t.Parallel()
	var object, kind atomic.Value
	var fetched atomic.Int64
	publisher := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		if r.URL.Path == "/gone" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind.Load().(string))
		_, _ = w.Write([]byte(object.Load().(string)))
	}))
	t.Cleanup(publisher.Close)
	s := oauthtest.Start(t, reaching(authorityOf(t, publisher)))
	uri := publisher.URL + "/object#not-a-hash"
	registered := func(m *oauth.ClientMetadata) {
		m.RequestURIs = []string{uri, publisher.URL + "/gone", "https://169.254.169.254/object"}
	}
	a := newObjectApp(t, s, "RS256", registered)
	object.Store(a.object(t, map[string]any{"iss": nil, "aud": nil, "exp": nil, "nbf": nil, "iat": nil, "jti": nil}))
	for _, mediaType := range []string{"application/jwt", "application/oauth-authz-req+jwt; charset=utf-8"} {
		kind.Store(mediaType)
		before := fetched.Load()
		location := s.Browser(t).Walk(t, a.by("/authorize", "request_uri", uri, "response_type", "code", "scope", "read"), "alice")
		if location.Query().Get("code") == "" || fetched.Load() != before+1 {
			t.Errorf("%s: %s after %d fetches", mediaType, location, fetched.Load()-before)
		}
	}
	before := fetched.Load()
	for _, other := range []string{publisher.URL + "/object", publisher.URL + "/object#other", "urn:ietf:params:oauth:request_uri:x", "http://127.0.0.1/x"} {
		wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", other)), "invalid_request_uri")
	}
	if fetched.Load() != before {
		t.Error("an address that is not registered was fetched")
	}
	gone := wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", publisher.URL+"/gone")), "invalid_request_uri")
	hidden := wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", "https://169.254.169.254/object")), "invalid_request_uri")
	kind.Store("text/html")
	wrong := wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", uri)), "invalid_request_uri")
	if gone.Get("error_description") != hidden.Get("error_description") || gone.Get("error_description") != wrong.Get("error_description") {
		t.Errorf("what failed is told: %q, %q, %q", gone.Get("error_description"), hidden.Get("error_description"), wrong.Get("error_description"))
	}
	kind.Store("application/jwt")
	object.Store(strings.Repeat("x", 65<<10))
	wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", uri)), "invalid_request_uri")
	object.Store("garbage")
	wantRefused(t, a.App, s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", uri)), "invalid_request_object")
}

// A page of a request that came in an object begins anew from what the object said, also
// for a client that must sign: the object may be long gone, and a link without it would be
// refused (AZ-09).
func TestRFC9101_Restart(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	a := newObjectApp(t, s, "ES256", func(m *oauth.ClientMetadata) { m.RequireSignedRequest = true })
	b := s.Browser(t)
	b.Open(t, a.by("/authorize", "request", a.object(t, nil)))
	s.Clock.Advance(2 * time.Hour)
	b.SignIn(t, "alice") // the page is too old: it begins anew, and the object has expired
	if !b.On("login-form") {
		t.Fatalf("not on the sign-in page again: %d", b.Page.StatusCode)
	}
	if got := responseOf(t, a.App, b.SignIn(t, "alice")); got.Get("code") == "" || got.Get("state") != "state-1" {
		t.Errorf("after the restart: %v", got.Values)
	}
}

// The signature of an object was looked at once, and was for then: pages lead on from it
// for a day, however often they begin anew.
func TestRFC9101_RestartEnds(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	a := newObjectApp(t, s, "ES256", func(m *oauth.ClientMetadata) { m.RequireSignedRequest = true })
	b := s.Browser(t)
	b.Open(t, a.by("/authorize", "request", a.object(t, nil)))
	for range 11 {
		s.Clock.Advance(2 * time.Hour)
		b.Open(t, b.Page.Request.URL.String())
		if !b.On("login-form") {
			t.Fatalf("not on the sign-in page: %d", b.Page.StatusCode)
		}
	}
	address := b.Page.Request.URL.String()
	s.Clock.Advance(3 * time.Hour)
	for _, browser := range []*oauthtest.Browser{b, s.Browser(t)} {
		wantErrorPage(t, browser.Open(t, address), http.StatusBadRequest, "invalid_request")
	}
}

// Whoever has this server fetch objects without end is held up, and nobody else is: not
// another client, nor this one from elsewhere (SS-01).
func TestRFC9101_5_2_Flood(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	edit := func(m *oauth.ClientMetadata) { m.RequestURIs = []string{"https://127.0.0.1:1/object"} } // which is not even dialled
	a, other := newObjectApp(t, s, "ES256", edit), newObjectApp(t, s, "ES256", edit)
	held := 0
	for range 120 {
		if answer := s.Get(t, authorizationURL(a.App, "/authorize", "request_uri", "https://127.0.0.1:1/object")); answer.StatusCode == http.StatusTooManyRequests {
			held++
		}
	}
	if held < 1 || held > 20 {
		t.Errorf("held up %d times of 120", held)
	}
	wantRefused(t, other.App, s.Get(t, authorizationURL(other.App, "/authorize", "request_uri", "https://127.0.0.1:1/object")), "invalid_request_uri")
}

// A registration holds together: objects need keys to verify them with, and addresses of
// objects are https (conformance 67).
func TestRegistration_RequestObjects(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, edit := range map[string]func(m *oauth.ClientMetadata){
		"no keys, required": func(m *oauth.ClientMetadata) { m.JWKS, m.RequireSignedRequest = nil, true },
		"no keys, an alg":   func(m *oauth.ClientMetadata) { m.JWKS, m.RequestObjectAlg = nil, "RS256" },
		"no keys, a URI":    func(m *oauth.ClientMetadata) { m.JWKS, m.RequestURIs = nil, []string{"https://app.example/o"} },
		"http":              func(m *oauth.ClientMetadata) { m.RequestURIs = []string{"http://app.example/o"} },
		"too many":          func(m *oauth.ClientMetadata) { m.RequestURIs = make([]string, 51) },
		"none":              func(m *oauth.ClientMetadata) { m.RequestObjectAlg = "none" },
		"HS256":             func(m *oauth.ClientMetadata) { m.RequestObjectAlg = "HS256" },
	} {
		m := oauthtest.EveryGrant()
		m.JWKS = publicSet(t, newKey(t, "ES256", "a"))
		edit(&m)
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
}
