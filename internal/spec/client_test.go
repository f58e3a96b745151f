package spec_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// proofPaths are all addresses where a client proves who it is, with a form that
// would do anything there.
func proofPaths() map[string]url.Values {
	return map[string]url.Values{
		"/token":                     {"grant_type": {"client_credentials"}},
		"/oauth2/authorize":          {"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {oauthtest.Callback}},
		"/oauth2/password":           {"grant_type": {"password"}, "username": {"nobody"}, "password": {"x"}},
		"/oauth2/client-credentials": {"grant_type": {"client_credentials"}},
		"/oauth2/refresh-token":      {"grant_type": {"refresh_token"}, "refresh_token": {"x"}},
		"/introspect":                {"token": {"x"}},
		"/revoke":                    {"token": {"x"}},
	}
}

// basic is the value of an Authorization header, both halves form-encoded as RFC
// 6749 Section 2.3.1 has it.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// withAuthorization sends a form with Authorization headers.
func withAuthorization(t testing.TB, s *oauthtest.Server, path string, form url.Values, headers ...string) *oauthtest.Answer {
	t.Helper()
	r := formTo(t, s, path, form)
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return s.Do(t, r)
}

func method(name string) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = name }
}

// RFC 6749 Section 2.3.1: a secret comes by Basic or in the body, for a client
// registered without a method; one with a method may use only that. The same client_id
// beside Basic does no harm (CA-03, conformance 45).
func TestRFC6749_2_3_1_Methods(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for registered, app := range map[string]*oauthtest.App{
		"": s.App(t), oauth.AuthMethodBasic: s.App(t, method(oauth.AuthMethodBasic)), oauth.AuthMethodPost: s.App(t, method(oauth.AuthMethodPost)),
	} {
		for path, form := range proofPaths() {
			header := basic(app.ClientID, app.ClientSecret)
			inBody := changed(form, "client_id", app.ClientID, "client_secret", app.ClientSecret)
			for name, answer := range map[string]*oauthtest.Answer{
				oauth.AuthMethodBasic:                     withAuthorization(t, s, path, form, header),
				oauth.AuthMethodBasic + " and client_id":  withAuthorization(t, s, path, changed(form, "client_id", app.ClientID), header),
				oauth.AuthMethodBasic + " empty in body":  withAuthorization(t, s, path, changed(form, "client_id", "", "client_secret", ""), header),
				oauth.AuthMethodPost:                      s.Post(t, path, inBody),
				oauth.AuthMethodNone:                      s.Post(t, path, lacking(inBody, "client_secret")),
				oauth.AuthMethodNone + " and empty":       s.Post(t, path, changed(inBody, "client_secret", "")),
				oauth.AuthMethodNone + " by empty Basic":  withAuthorization(t, s, path, form, basic(app.ClientID, "")),
				oauth.AuthMethodNone + " by Basic, plain": withAuthorization(t, s, path, changed(form, "client_id", app.ClientID), "Basic "),
			} {
				way, _, _ := strings.Cut(name, " ")
				allowed := way != oauth.AuthMethodNone && (registered == "" || registered == way)
				if !allowed {
					wantTokenError(t, answer, http.StatusUnauthorized, oauth.InvalidClient)
				} else if answer.StatusCode == http.StatusUnauthorized {
					t.Errorf("%s, registered for %q, by %s: %d %s", path, registered, name, answer.StatusCode, answer.Body)
				}
			}
		}
	}
}

// RFC 6749 Section 2.3.1 with RFC 9110 Section 11.1: both halves of Basic credentials
// are form-encoded inside of base64, whatever they hold, and the scheme is named in any
// case. A library that is not ours gets through both ways (CA-13, conformance 45).
func TestRFC6749_2_3_1_BasicEncoding(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	m := oauthtest.EveryGrant()
	for i, odd := range []string{
		"plain", "a:b", "a%b", "a%3Ab", "100%25", "a+b", "a b", "a&b=c", "a/b?c#d", "https://api.example/x", "ключ", "密钥", "a\\b\"c'd", "~!@$^*(){}[]|<>,.;_-", "é", "e\u0301",
	} {
		id, secret := fmt.Sprintf("%s %d", odd, i), odd+" and more of it"
		if _, _, err := s.Clients.Register(t.Context(), id, m, secret, byOperator); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		everything := func(s string) string { // each byte as an escape
			var b strings.Builder
			for i := range len(s) {
				fmt.Fprintf(&b, "%%%02x", s[i])
			}
			return b.String()
		}
		escaped := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
		for name, header := range map[string]string{
			"escaped":      "Basic " + base64.StdEncoding.EncodeToString([]byte(escaped)),
			"all escaped":  "Basic " + base64.StdEncoding.EncodeToString([]byte(everything(id)+":"+everything(secret))),
			"%20":          "Basic " + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(escaped, "+", "%20"))),
			"lower scheme": "basic " + base64.StdEncoding.EncodeToString([]byte(escaped)),
			"upper scheme": "BASIC " + base64.StdEncoding.EncodeToString([]byte(escaped)),
			"more spaces":  "Basic   " + base64.StdEncoding.EncodeToString([]byte(escaped)) + "  ",
		} {
			if answer := withAuthorization(t, s, "/token", url.Values{"grant_type": {"client_credentials"}}, header); answer.StatusCode != http.StatusOK {
				t.Errorf("%q %s: %d %s", id, name, answer.StatusCode, answer.Body)
			}
		}
		for _, at := range oauthtest.AllAddresses {
			for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
				c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: s.URL + at.ClientCredentials, AuthStyle: style}
				if _, err := c.Token(t.Context()); err != nil {
					t.Errorf("%q by a library, style %d: %v", id, style, err)
				}
			}
		}
		if raw := id + ":" + secret; raw != escaped && strings.ContainsAny(odd, ":%+") {
			answer := withAuthorization(t, s, "/token", url.Values{"grant_type": {"client_credentials"}}, "Basic "+base64.StdEncoding.EncodeToString([]byte(raw)))
			wantTokenError(t, answer, http.StatusUnauthorized, oauth.InvalidClient)
		}
		s.Clock.Advance(time.Minute) // for the limiter
	}
}

// A header that is no Basic credentials proves nothing, is answered like a wrong
// proof, and never makes the server stumble, also when the body holds a right
// secret: that would be two proofs (CA-13, TE-08).
func TestRFC6749_2_3_1_BadBasic(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	encode := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for path, form := range proofPaths() {
		for _, body := range []url.Values{form, changed(form, "client_id", app.ClientID, "client_secret", app.ClientSecret)} {
			for header, code := range map[string]oauth.Code{
				"Basic":                         oauth.InvalidClient,
				"Basic ":                        oauth.InvalidClient,
				"Basic !!!!":                    oauth.InvalidClient,
				"Basic " + app.ClientID + ":x":  oauth.InvalidClient,
				"Basi " + app.ClientID:          oauth.InvalidClient,
				encode(app.ClientID):            oauth.InvalidClient, // no colon
				encode("%zz:x"):                 oauth.InvalidClient,
				encode(app.ClientID + ":%"):     oauth.InvalidClient,
				encode("a%00b:x"):               oauth.InvalidRequest,
				encode("a\x00b:x"):              oauth.InvalidRequest,
				encode("%ff:x"):                 oauth.InvalidRequest,
				encode(app.ClientID + ":\xff"):  oauth.InvalidRequest,
				"Bearer " + app.ClientSecret:    oauth.InvalidClient,
				"Negotiate x, " + encode("a:b"): oauth.InvalidClient,
				encode("a:b") + ", " + encode(app.ClientID+":"+app.ClientSecret): oauth.InvalidClient,
				"Digest username=\"" + app.ClientID + "\"":                       oauth.InvalidClient,
				"Basic " + strings.Repeat("A", 20_000):                           "",
			} {
				answer := withAuthorization(t, s, path, body, header)
				if code == "" {
					if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusBadRequest {
						t.Errorf("%s with %.40q: %d %s", path, header, answer.StatusCode, answer.Body)
					}
					continue
				}
				wantTokenError(t, answer, code.Status(), code)
			}
			wantTokenError(t, withAuthorization(t, s, path, form, encode(":")), http.StatusUnauthorized, oauth.InvalidClient)
			wantTokenError(t, withAuthorization(t, s, path, form, encode(":"+app.ClientSecret)), http.StatusUnauthorized, oauth.InvalidClient)
		}
	}
}

// RFC 6749 Section 2.3: a client proves itself in one way per request, and names itself
// once. Two proofs are refused though both are right (conformance 45).
func TestRFC6749_2_3_OneProof(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app, other := s.App(t), s.App(t)
	right := basic(app.ClientID, app.ClientSecret)
	for path, form := range proofPaths() {
		for name, answer := range map[string]*oauthtest.Answer{
			"both":               withAuthorization(t, s, path, changed(form, "client_id", app.ClientID, "client_secret", app.ClientSecret), right),
			"secret beside":      withAuthorization(t, s, path, changed(form, "client_secret", app.ClientSecret), right),
			"wrong one beside":   withAuthorization(t, s, path, changed(form, "client_secret", "x"), right),
			"another id":         withAuthorization(t, s, path, changed(form, "client_id", other.ClientID), right),
			"id in another case": withAuthorization(t, s, path, changed(form, "client_id", strings.ToUpper(app.ClientID)+"x"), right),
			"two headers":        withAuthorization(t, s, path, form, right, basic(other.ClientID, other.ClientSecret)),
			"the same twice":     withAuthorization(t, s, path, form, right, right),
			"an empty one":       withAuthorization(t, s, path, form, "", right),
		} {
			t.Run(path+" "+name, func(t *testing.T) { wantTokenError(t, answer, http.StatusBadRequest, oauth.InvalidRequest) })
		}
		for _, assertion := range []string{"urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "x"} {
			answer := s.Post(t, path, changed(form, "client_id", app.ClientID, "client_secret", app.ClientSecret, "client_assertion_type", assertion, "client_assertion", "a.b.c"))
			wantTokenError(t, answer, http.StatusBadRequest, oauth.InvalidRequest)
		}
	}
}

// RFC 6749 Section 5.2: a wrong secret, none, an unknown client, a disabled and a
// deleted one get one answer, word for word, header for header, everywhere (CA-01,
// CA-02, CO-07, conformance 50).
func TestRFC6749_5_2_OneRefusalOfClients(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for path, form := range proofPaths() {
		app, post, disabled, disabledPublic, deleted := s.App(t), s.App(t, method(oauth.AuthMethodPost)), s.App(t), s.PublicApp(t), s.App(t)
		for _, a := range []*oauthtest.App{disabled, disabledPublic} {
			if err := s.Store.DisableClient(t.Context(), a.ClientID, s.Clock.Now(), byOperator); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Store.DeleteClient(t.Context(), deleted.ClientID, s.Clock.Now(), byOperator); err != nil {
			t.Fatal(err)
		}
		body := func(id, secret string) *oauthtest.Answer {
			return s.Post(t, path, changed(form, "client_id", id, "client_secret", secret))
		}
		want := body(app.ClientID, app.ClientSecret+"x")
		for name, answer := range map[string]*oauthtest.Answer{
			"wrong secret":         want,
			"wrong by Basic":       withAuthorization(t, s, path, form, basic(app.ClientID, "x")),
			"secret cut":           body(app.ClientID, app.ClientSecret[:len(app.ClientSecret)-1]),
			"other case":           body(app.ClientID, strings.ToUpper(app.ClientSecret)),
			"id in other case":     body(strings.ToUpper(app.ClientID)+"x", app.ClientSecret),
			"another's secret":     body(app.ClientID, post.ClientSecret),
			"no secret":            body(app.ClientID, ""),
			"no client":            body("", app.ClientSecret),
			"nothing":              s.Post(t, path, form),
			"unknown":              body("nobody", "a secret of sixteen"),
			"unknown, no secret":   body("nobody", ""),
			"unknown by Basic":     withAuthorization(t, s, path, form, basic("nobody", "x")),
			"wrong method":         withAuthorization(t, s, path, form, basic(post.ClientID, post.ClientSecret)),
			"disabled":             body(disabled.ClientID, disabled.ClientSecret),
			"disabled, wrong":      body(disabled.ClientID, "x"),
			"disabled, no secret":  body(disabled.ClientID, ""),
			"disabled, public":     body(disabledPublic.ClientID, ""),
			"deleted":              body(deleted.ClientID, deleted.ClientSecret),
			"deleted, no secret":   body(deleted.ClientID, ""),
			"public with a secret": body(s.PublicApp(t).ClientID, "x"),
			"huge id":              body(strings.Repeat("x", 20_000), "x"),
			"huge secret":          body(app.ClientID, strings.Repeat("x", 20_000)),
			"SQL":                  body("' OR 1=1 --", "' OR 1=1 --"),
			"wildcard":             body("%", "x"),
		} {
			wantTokenError(t, answer, http.StatusUnauthorized, oauth.InvalidClient)
			if string(answer.Body) != string(want.Body) || answer.Header.Get("WWW-Authenticate") != want.Header.Get("WWW-Authenticate") {
				t.Errorf("%s, %s: %s, want %s", path, name, answer.Body, want.Body)
			}
		}
		s.Clock.Advance(2 * time.Minute) // for the limiter
	}
}

// RFC 6749 Section 3.2.1: a public client names itself, in the body or by Basic
// with an empty secret, and gets its own tokens; a secret it cannot have is
// refused (CA-02).
func TestRFC6749_3_2_1_PublicClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.PublicApp(t).At(at)
		token := app.SignInAndExchange(t).RefreshToken
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		answer := withAuthorization(t, s, at.Refresh, form, basic(app.ClientID, ""))
		wantGranted(t, answer)
		wantGranted(t, s.Post(t, at.Refresh, changed(form, "client_id", app.ClientID, "client_secret", "")))
		wantTokenError(t, s.Post(t, at.Refresh, form), http.StatusUnauthorized, oauth.InvalidClient)
		wantTokenError(t, s.Post(t, at.Refresh, changed(form, "client_id", app.ClientID, "client_secret", "x")), http.StatusUnauthorized, oauth.InvalidClient)
		wantTokenError(t, withAuthorization(t, s, at.Refresh, form, basic(app.ClientID, "x")), http.StatusUnauthorized, oauth.InvalidClient)
	})
}

// wrongProof sends a wrong secret, or none, from an address.
func wrongProof(t testing.TB, s *oauthtest.Server, address, path, id, secret string) *oauthtest.Answer {
	t.Helper()
	return postFrom(t, s, address, path, changed(proofPaths()[path], "client_id", id, "client_secret", secret))
}

// RFC 6749 Section 10.10: guessing at one client's secret from one address is
// throttled, at all entrances together, with 429 and Retry-After. The right
// secret is not, from there or from elsewhere; nor is another client, nor another
// address; and time mends it (CA-06).
func TestRFC6749_10_10_Throttle(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, behindProxy)
	app, other := s.App(t), s.App(t)
	const attacker, elsewhere = "198.51.100.7", "203.0.113.9"
	var paths []string
	for path := range proofPaths() {
		paths = append(paths, path)
	}
	for i := range 10 {
		wantTokenError(t, wrongProof(t, s, attacker, paths[i%len(paths)], app.ClientID, fmt.Sprint("guess ", i)), http.StatusUnauthorized, oauth.InvalidClient)
	}
	for _, path := range paths {
		throttled := wrongProof(t, s, attacker, path, app.ClientID, "another guess")
		wantTokenError(t, throttled, http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
		if seconds, err := strconv.Atoi(throttled.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("Retry-After = %q", throttled.Header.Get("Retry-After"))
		}
		for _, address := range []string{attacker, elsewhere} {
			if right := wrongProof(t, s, address, path, app.ClientID, app.ClientSecret); right.StatusCode == http.StatusTooManyRequests || right.StatusCode == http.StatusUnauthorized {
				t.Errorf("%s with the right secret from %s: %d %s", path, address, right.StatusCode, right.Body)
			}
		}
	}
	wantTokenError(t, wrongProof(t, s, attacker, "/token", other.ClientID, "wrong"), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, wrongProof(t, s, attacker, "/token", "nobody", "wrong"), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, wrongProof(t, s, elsewhere, "/token", app.ClientID, "wrong"), http.StatusUnauthorized, oauth.InvalidClient)
	s.Clock.Advance(10 * time.Second)
	wantTokenError(t, wrongProof(t, s, attacker, "/token", app.ClientID, "wrong"), http.StatusUnauthorized, oauth.InvalidClient)
}

// All unknown ids share one bucket of an address, which touches no client there
// is; and a missing secret is no guess, of a known and an unknown client alike
// (CA-01, CA-06).
func TestRFC6749_10_10_ThrottleOfUnknownClients(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, behindProxy)
	app := s.App(t)
	const attacker, elsewhere = "2001:db8::7", "2001:db8:0:1::7"
	for i := range 10 {
		wantTokenError(t, wrongProof(t, s, attacker, "/token", fmt.Sprint("nobody-", i), "guess"), http.StatusUnauthorized, oauth.InvalidClient)
	}
	wantTokenError(t, wrongProof(t, s, attacker, "/introspect", "nobody at all", "guess"), http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	wantTokenError(t, wrongProof(t, s, attacker, "/token", app.ClientID, "guess"), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, wrongProof(t, s, elsewhere, "/token", "nobody", "guess"), http.StatusUnauthorized, oauth.InvalidClient)
	wantGranted(t, wrongProof(t, s, attacker, "/token", app.ClientID, app.ClientSecret))
	for range 30 {
		for _, id := range []string{app.ClientID, "nobody", ""} {
			wantTokenError(t, wrongProof(t, s, "192.0.2.1", "/token", id, ""), http.StatusUnauthorized, oauth.InvalidClient)
		}
	}
}

// Parallel guesses do not slip through between counting and checking, and right
// secrets in between all pass (CA-06, LG-07).
func TestRFC6749_10_10_ThrottleRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	var checked, throttled, right atomic.Int32
	together(60, func(i int) {
		secret := fmt.Sprint("guess ", i)
		if i%3 == 0 {
			secret = app.ClientSecret
		}
		switch answer := wrongProof(t, s, "127.0.0.1", "/token", app.ClientID, secret); answer.StatusCode {
		case http.StatusUnauthorized:
			checked.Add(1)
		case http.StatusTooManyRequests:
			throttled.Add(1)
		case http.StatusOK:
			right.Add(1)
		default:
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	})
	if right.Load() != 20 || checked.Load() < 10 || checked.Load() > 11 || throttled.Load()+checked.Load() != 40 {
		t.Errorf("%d right, %d checked, %d throttled; want 20, 10 (11 when it took seconds), the rest", right.Load(), checked.Load(), throttled.Load())
	}
}

// Two secrets are valid side by side while a client moves from one to the other;
// the old one is refused once it is removed or its time is over; there is no
// third. Tokens do not depend on the secret they were got with (CA-08).
func TestClientSecretRotation(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	ok := func(secret string) bool {
		t.Helper()
		answer := s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID}, "client_secret": {secret}})
		if answer.StatusCode != http.StatusOK {
			wantTokenError(t, answer, http.StatusUnauthorized, oauth.InvalidClient)
		}
		return answer.StatusCode == http.StatusOK
	}
	token := app.SignInAndExchange(t)
	first, err := s.Store.Client(t.Context(), app.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	expiring, second, err := s.Clients.AddSecret(t.Context(), app.ClientID, "", s.Clock.Now().Add(time.Hour), byOperator)
	if err != nil {
		t.Fatal(err)
	}
	if second == app.ClientSecret || !ok(app.ClientSecret) || !ok(second) {
		t.Error("not both secrets are valid")
	}
	if _, _, err := s.Clients.AddSecret(t.Context(), app.ClientID, "", time.Time{}, byOperator); err != store.ErrConflict {
		t.Errorf("a third secret: %v", err)
	}
	if err := s.Store.RemoveSecret(t.Context(), app.ClientID, first.Secrets[0].ID, s.Clock.Now(), byOperator); err != nil {
		t.Fatal(err)
	}
	if ok(app.ClientSecret) || !ok(second) {
		t.Error("after the first was removed the second alone should be valid")
	}
	_, third, err := s.Clients.AddSecret(t.Context(), app.ClientID, "a secret that somebody brought", time.Time{}, byOperator)
	if err != nil || third != "a secret that somebody brought" || !ok(third) || !ok(second) {
		t.Errorf("a secret that was brought: %v", err)
	}
	s.Clock.Advance(time.Hour + time.Second)
	if ok(second) || !ok(third) {
		t.Error("after its time the second is refused, and the third alone valid")
	}
	if _, _, err := s.Clients.AddSecret(t.Context(), app.ClientID, "", time.Time{}, byOperator); err != nil {
		t.Errorf("a secret beside one that has expired: %v", err)
	}
	app.ClientSecret = third
	wantGranted(t, app.Refresh(t, oauthtest.AllAddresses[0], token.RefreshToken))
	if err := s.Store.RemoveSecret(t.Context(), app.ClientID, expiring.ID, s.Clock.Now(), byOperator); err != nil && err != store.ErrNotFound {
		t.Error(err)
	}
}

// A secret that somebody brings has 16 characters at least; one that is made has
// 256 random bits, and each client its own (CA-07).
func TestClientSecretStrength(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	seen := map[string]bool{}
	for range 20 {
		_, secret := s.Register(t, "", oauthtest.EveryGrant())
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, "hcs_"))
		if err != nil || len(raw) != 32 || seen[secret] {
			t.Errorf("secret %s", secret)
		}
		seen[secret] = true
	}
	for secret, want := range map[string]oauth.Code{
		strings.Repeat("x", 15): oauth.InvalidClientMetadata, strings.Repeat("x", 16): "", strings.Repeat("界", 15): oauth.InvalidClientMetadata, strings.Repeat("界", 16): "",
		strings.Repeat("x", 256): "", strings.Repeat("x", 257): oauth.InvalidClientMetadata, strings.Repeat("x", 16) + "\x00": oauth.InvalidClientMetadata, strings.Repeat("x", 16) + "\xff": oauth.InvalidClientMetadata,
	} {
		c, _, err := s.Clients.Register(t.Context(), "", oauthtest.EveryGrant(), secret, byOperator)
		if got := oauth.CodeOf(err); got != want {
			t.Errorf("%d bytes: %v, want %q", len(secret), err, want)
			continue
		}
		if err == nil {
			wantGranted(t, s.Post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {secret}}))
		}
	}
}
