package spec_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A registered is a client that looks after its registration.
type registered struct {
	*oauthtest.Answer // to its registration
	s                 *oauthtest.Server
	id, uri, token    string
}

func newRegistered(t testing.TB, s *oauthtest.Server, body string) *registered {
	t.Helper()
	answer := register(t, s, body)
	return &registered{answer, s, answer.Text("client_id"), answer.Text("registration_client_uri"), answer.Text("registration_access_token")}
}

func (c *registered) manage(t testing.TB, method, body string) *oauthtest.Answer {
	t.Helper()
	return sendJSON(t, c.s, method, c.uri, c.token, body)
}

// replacement is a body that replaces the registration.
func (c *registered) replacement(members string) string {
	return `{"client_id":"` + c.id + `","redirect_uris":["https://app.example/callback"]` + members + `}`
}

// wantForeign wants the one refusal that tells nothing.
func wantForeign(t testing.TB, what string, answer *oauthtest.Answer) {
	t.Helper()
	wantRegistrationError(t, what, answer, http.StatusUnauthorized, oauth.InvalidToken)
	if got := answer.Header.Get("WWW-Authenticate"); got != `Bearer realm="hufu", error="invalid_token", error_description="the access token is not valid"` {
		t.Errorf("%s: challenge %q", what, got)
	}
}

// RFC 7592 Section 2.1: the client reads what it is registered with, and how to come back
// (conformance 65).
func TestRFC7592_2_1_Read(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"client_name":"App"}`)
	answer := c.manage(t, http.MethodGet, "")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", answer.StatusCode, answer.Header, answer.Body)
	}
	var first, read map[string]any
	ok(t, json.Unmarshal(c.Body, &first))
	ok(t, json.Unmarshal(answer.Body, &read))
	delete(first, "client_secret") // which is told once
	delete(first, "client_secret_expires_at")
	if diff := cmp.Diff(first, read); diff != "" {
		t.Errorf("(-registered +read):\n%s", diff)
	}
	_, err := s.Clients.Update(t.Context(), c.id, func(m *oauth.ClientMetadata) error { m.Trusted, m.ClientName = true, "Ours"; return nil }, theOperator)
	ok(t, err)
	if answer := c.manage(t, http.MethodGet, ""); answer.Text("client_name") != "Ours" || answer.JSON("trusted") != nil {
		t.Errorf("after the operator's change: %s", answer.Body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodHead} {
		if answer := c.manage(t, method, ""); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, answer.StatusCode)
		}
	}
}

// RFC 7592 Section 2.2: what is sent takes the place of everything there was; what is left
// out gets its default, and what only the operator decides stays (AD-03).
func TestRFC7592_2_2_Replace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"client_name":"App","contacts":["a@app.example"],"tos_uri":"https://app.example/tos","scope":"openid email"}`)
	_, err := s.Clients.Update(t.Context(), c.id, func(m *oauth.ClientMetadata) error { m.RequirePKCE, m.CodeLifetime = true, 7; return nil }, theOperator)
	ok(t, err)
	answer := c.manage(t, http.MethodPut, `{"client_id":"`+c.id+`","client_secret":"`+c.Text("client_secret")+`","redirect_uris":["https://app.example/next"],"client_name":"Next","contacts":null,
		"trusted":true,"require_pkce":false,"code_lifetime":60,"grant_types":["authorization_code","refresh_token"]}`)
	if answer.StatusCode != http.StatusOK || answer.Text("client_name") != "Next" || answer.JSON("contacts") != nil || answer.JSON("tos_uri") != nil ||
		fmt.Sprint(answer.JSON("redirect_uris")) != "[https://app.example/next]" || answer.Text("scope") != "openid offline_access profile email address phone" {
		t.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
	if answer.Text("registration_access_token") != c.token || answer.Text("registration_client_uri") != c.uri || answer.Text("client_id") != c.id || answer.JSON("client_secret") != nil {
		t.Errorf("the way back: %s", answer.Body)
	}
	stored, err := s.Store.Client(t.Context(), c.id)
	ok(t, err)
	if m := stored.Metadata; m.Trusted || !m.RequirePKCE || m.CodeLifetime != 7 {
		t.Errorf("what the operator decides: %+v", m)
	}
	app := registeredApp(t, s, c.Answer)
	app.RedirectURL = "https://app.example/next"
	app.Browser.Open(t, authorizationURL(app, "/authorize", "redirect_uri", "https://app.example/callback"))
	if app.Browser.Page.StatusCode != http.StatusBadRequest {
		t.Errorf("the old redirect URI: %d", app.Browser.Page.StatusCode)
	}
	if again := c.manage(t, http.MethodGet, ""); !slices.Equal(again.Body, answer.Body) {
		t.Errorf("read %s, was told %s", again.Body, answer.Body)
	}
	if got := auditOf(t, s, c.id); !slices.Contains(got, "client.changed by "+c.id) {
		t.Errorf("audit trail: %v", got)
	}
}

// RFC 7592 Section 2.2: a replacement obeys every rule of a registration and a few of its
// own; one that is refused changes nothing (DC-02, DC-05).
func TestRFC7592_2_2_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, callbackOnly)
	other := newRegistered(t, s, callbackOnly)
	before := string(c.manage(t, http.MethodGet, "").Body)
	const metadata = oauth.InvalidClientMetadata
	for name, tt := range map[string]struct {
		body string
		code oauth.Code
	}{
		"no client_id":         {callbackOnly, metadata},
		"another's client_id":  {strings.Replace(c.replacement(""), c.id, other.id, 1), metadata},
		"a secret of its own":  {c.replacement(`,"client_secret":"a-secret-of-my-own-choice"`), metadata},
		"another's secret":     {c.replacement(`,"client_secret":"` + other.Text("client_secret") + `"`), metadata},
		"its token":            {c.replacement(`,"registration_access_token":"` + c.token + `"`), metadata},
		"its address":          {c.replacement(`,"registration_client_uri":"` + c.uri + `"`), metadata},
		"when it was issued":   {c.replacement(`,"client_id_issued_at":1`), metadata},
		"when secrets expire":  {c.replacement(`,"client_secret_expires_at":0`), metadata},
		"password":             {c.replacement(`,"grant_types":["password"]`), metadata},
		"admin scope":          {c.replacement(`,"scope":"admin"`), metadata},
		"public":               {c.replacement(`,"token_endpoint_auth_method":"none"`), metadata},
		"fragment":             {`{"client_id":"` + c.id + `","redirect_uris":["https://app.example/#x"]}`, oauth.InvalidRedirectURI},
		"no redirect URI":      {`{"client_id":"` + c.id + `"}`, oauth.InvalidRedirectURI},
		"wrong type":           {c.replacement(`,"client_name":{}`), metadata},
		"twice":                {c.replacement(`,"client_id":"x"`), metadata},
		"no JSON":              {`x`, oauth.InvalidRequest},
		"nothing":              {` `, oauth.InvalidRequest},
		"what we do not have":  {c.replacement(`,"tls_client_auth_san_dns":"a.example"`), metadata},
		"keys that are no set": {c.replacement(`,"token_endpoint_auth_method":"private_key_jwt","jwks":[]`), metadata},
	} {
		wantRegistrationError(t, name, c.manage(t, http.MethodPut, tt.body), http.StatusBadRequest, tt.code)
	}
	if after := string(c.manage(t, http.MethodGet, "").Body); after != before {
		t.Errorf("changed by what was refused: %s, was %s", after, before)
	}
}

// RFC 7592 Section 2.2: a client that goes over to a key loses its secret, and one that
// comes back gets a new one.
func TestRFC7592_2_2_AnotherMethod(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, callbackOnly)
	keys := string(publicSet(t, newKey(t, "ES256", "k")))
	answer := c.manage(t, http.MethodPut, c.replacement(`,"token_endpoint_auth_method":"private_key_jwt","jwks":`+keys))
	if answer.StatusCode != http.StatusOK || answer.JSON("client_secret") != nil {
		t.Errorf("to a key: %d %s", answer.StatusCode, answer.Body)
	}
	answer = c.manage(t, http.MethodPut, c.replacement(""))
	if secret := answer.Text("client_secret"); answer.StatusCode != http.StatusOK || secret == "" || secret == c.Text("client_secret") || answer.JSON("client_secret_expires_at") == nil {
		t.Errorf("back to a secret: %d %s", answer.StatusCode, answer.Body)
	}
	for secret, want := range map[string]string{c.Text("client_secret"): "invalid_client", answer.Text("client_secret"): "unauthorized_client"} {
		form := url.Values{"grant_type": {"client_credentials"}}
		r := s.Request(t, http.MethodPost, "/token", form.Encode())
		r.SetBasicAuth(c.id, secret)
		if got := s.Do(t, r).Text("error"); got != want {
			t.Errorf("%s: %s, want %s", secret, got, want)
		}
	}
}

// RFC 7592 Section 2.3: a client that deletes itself is gone at once, with everything it
// was granted (conformance 65).
func TestRFC7592_2_3_Delete(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, `{"redirect_uris":["https://app.example/callback"],"grant_types":["authorization_code","refresh_token"],"scope":"openid offline_access"}`)
	app := registeredApp(t, s, c.Answer)
	app.Scopes = []string{"openid", "offline_access"}
	token := app.SignInAndExchange(t)
	if answer := c.manage(t, http.MethodDelete, ""); answer.StatusCode != http.StatusNoContent || len(answer.Body) > 0 || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, answer.Body)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		wantForeign(t, method+" afterwards", c.manage(t, method, c.replacement("")))
	}
	r := s.Request(t, http.MethodGet, "/userinfo", "")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	if answer := s.Do(t, r); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("its access token: %d %s", answer.StatusCode, answer.Body)
	}
	r = s.Request(t, http.MethodPost, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.RefreshToken}}.Encode())
	r.SetBasicAuth(c.id, c.Text("client_secret"))
	if answer := s.Do(t, r); answer.Text("error") != "invalid_client" {
		t.Errorf("its refresh token: %d %s", answer.StatusCode, answer.Body)
	}
	if got := auditOf(t, s, c.id); !slices.Contains(got, "client.deleted by "+c.id) {
		t.Errorf("audit trail: %v", got)
	}
}

// RFC 7592 Sections 2 and 3: a registration access token opens its own client and nothing
// else; what exists nobody learns, and no other credential does (DC-03).
func TestRFC7592_2_ForeignToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	mine, theirs := newRegistered(t, s, callbackOnly), newRegistered(t, s, callbackOnly)
	operators := s.App(t)
	disabled := newRegistered(t, s, callbackOnly)
	ok(t, s.Store.DisableClient(t.Context(), disabled.id, s.Clock.Now(), theOperator))
	wantForeign(t, "disabled", disabled.manage(t, http.MethodGet, ""))
	ok(t, s.Store.EnableClient(t.Context(), disabled.id, s.Clock.Now(), theOperator))
	if answer := disabled.manage(t, http.MethodGet, ""); answer.StatusCode != http.StatusOK {
		t.Errorf("enabled again: %d", answer.StatusCode)
	}
	for name, id := range map[string]string{
		"another's": theirs.id, "the operator's": operators.ClientID, "nobody's": "nobody", "no id": "%00", "broken": "%ff", "long": strings.Repeat("a", 3000), "a UUID": "0198c0de-0000-7000-8000-000000000000",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			wantForeign(t, method+" "+name, sendJSON(t, s, method, "/register/"+id, mine.token, theirs.replacement("")))
		}
	}
	for name, token := range map[string]string{
		"secret": theirs.Text("client_secret"), "other case": strings.ToUpper(theirs.token), "cut": theirs.token[:len(theirs.token)-1], "longer": theirs.token + "A",
		"access token": operators.SignInAndExchange(t).AccessToken,
	} {
		wantForeign(t, name, sendJSON(t, s, http.MethodGet, theirs.uri, token, ""))
	}
	missing := sendJSON(t, s, http.MethodDelete, theirs.uri+"?access_token="+theirs.token, "", "")
	wantRegistrationError(t, "missing", missing, http.StatusUnauthorized, oauth.InvalidToken)
	if got := missing.Header.Get("WWW-Authenticate"); got != `Bearer realm="hufu"` {
		t.Errorf("challenge %q", got)
	}
	r := s.Request(t, http.MethodGet, theirs.uri, "")
	r.Header["Authorization"] = []string{"Bearer " + theirs.token, "Bearer " + mine.token}
	wantRegistrationError(t, "two headers", s.Do(t, r), http.StatusBadRequest, oauth.InvalidRequest)
	for _, c := range []*registered{mine, theirs} {
		if answer := c.manage(t, http.MethodGet, ""); answer.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %d %s", answer.StatusCode, answer.Body)
		}
	}
	if log := s.Log.String(); strings.Contains(log, mine.token) || strings.Contains(log, theirs.token) {
		t.Error("a token is in the log")
	}
}

// RFC 7592 Section 2: however many replace and delete at once, what is registered is what
// one of them sent, whole, and one deletes.
func TestRFC7592_2_Race(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	c := newRegistered(t, s, callbackOnly)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			members := fmt.Sprintf(`,"client_name":"name %d","software_id":"id %d"`, i, i)
			answer := c.manage(t, http.MethodPut, c.replacement(members))
			if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			if answer.StatusCode == http.StatusOK && answer.Text("client_name") != fmt.Sprintf("name %d", i) {
				t.Errorf("%d was told of another: %s", i, answer.Body)
			}
		})
	}
	callers.Wait()
	got := c.manage(t, http.MethodGet, "")
	if name, id := got.Text("client_name"), got.Text("software_id"); !strings.HasPrefix(name, "name ") || strings.TrimPrefix(name, "name ") != strings.TrimPrefix(id, "id ") {
		t.Errorf("half of one: %s", got.Body)
	}
	var deleted atomic.Int64
	for i := range 16 {
		callers.Go(func() {
			method, body := http.MethodDelete, ""
			if i%4 == 3 {
				method, body = http.MethodPut, c.replacement("")
			}
			switch answer := c.manage(t, method, body); {
			case method == http.MethodDelete && answer.StatusCode == http.StatusNoContent:
				deleted.Add(1)
			case method == http.MethodPut && (answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusServiceUnavailable):
			default:
				wantForeign(t, method, answer)
			}
		})
	}
	callers.Wait()
	if deleted.Load() != 1 {
		t.Errorf("deleted %d times", deleted.Load())
	}
	wantForeign(t, "afterwards", c.manage(t, http.MethodGet, ""))
}
