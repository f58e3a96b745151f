package spec_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// theOperator is who changes the server by hand in these tests.
var theOperator = store.By{Actor: "test"}

// authorizationURL is an authorization request of the app: the usual
// parameters, changed by pairs. An empty value leaves a parameter out.
func authorizationURL(app *oauthtest.App, path string, pairs ...string) string {
	return app.Server.URL + path + "?" + authorizationQuery(app, pairs...).Encode()
}

func authorizationQuery(app *oauthtest.App, pairs ...string) url.Values {
	q := url.Values{"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {app.RedirectURL}, "scope": {"read"}, "state": {"state-1"}}
	if app.ClientSecret == "" {
		q.Set("code_challenge", appendixBChallenge)
		q.Set("code_challenge_method", "S256")
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// A response is an authorization response, read from where it stood.
type response struct {
	url.Values
	Mode string // query, fragment or form_post
	To   string // the redirect URI, without what the response added
}

// responseOf reads the authorization response of an answer.
func responseOf(t *testing.T, app *oauthtest.App, answer *oauthtest.Answer) response {
	t.Helper()
	location := answer.Header.Get("Location")
	if location == "" {
		if !strings.Contains(string(answer.Body), `id="form-post"`) {
			t.Fatalf("%d at %s, no response for the client", answer.StatusCode, answer.Request.URL)
		}
		b := app.Server.Browser(t)
		b.Page = answer
		action, fields := b.Form(t, "form-post")
		return response{fields, "form_post", action}
	}
	if answer.StatusCode != http.StatusSeeOther && answer.StatusCode != http.StatusFound {
		t.Errorf("status = %d, want 303", answer.StatusCode)
	}
	mode := "query"
	to, encoded, found := strings.Cut(location, "?")
	if before, after, fragment := strings.Cut(location, "#"); fragment {
		mode, to, encoded, found = "fragment", before, after, true
	}
	values, err := url.ParseQuery(encoded)
	if err != nil || !found {
		t.Fatalf("Location = %q: %v", location, err)
	}
	for name, all := range values {
		if len(all) > 1 {
			t.Errorf("%s stands %d times in %s", name, len(all), location)
		}
	}
	return response{values, mode, to}
}

// wantRefused checks an error that went to the client, RFC 6749 Section 4.1.2.1
// and RFC 9207 Section 2: code, state, issuer, and nothing that could be used.
func wantRefused(t *testing.T, app *oauthtest.App, answer *oauthtest.Answer, want string) response {
	t.Helper()
	got := responseOf(t, app, answer)
	if got.Get("error") != want {
		t.Errorf("error = %q (%s), want %s", got.Get("error"), got.Get("error_description"), want)
	}
	if got.To != app.RedirectURL {
		t.Errorf("the error went to %q, want %q", got.To, app.RedirectURL)
	}
	if got.Get("state") != "state-1" || got.Get("iss") != app.Server.URL {
		t.Errorf("state = %q, iss = %q", got.Get("state"), got.Get("iss"))
	}
	for name := range got.Values {
		if !slices.Contains([]string{"error", "error_description", "state", "iss"}, name) {
			t.Errorf("the refusal tells %s=%q", name, got.Get(name))
		}
	}
	for _, c := range answer.Cookies() {
		if c.Name != "hufu_session_state" || c.MaxAge >= 0 { // that a session is over may be told to scripts
			t.Errorf("a refused request set %s", c)
		}
	}
	return got
}

var linkPattern = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)

// wantErrorPage checks an error that stays on the server: nothing on the page
// leads away from it, by itself or by a click.
func wantErrorPage(t *testing.T, answer *oauthtest.Answer, status int, code string) {
	t.Helper()
	body := string(answer.Body)
	if answer.StatusCode != status {
		t.Errorf("status = %d, want %d", answer.StatusCode, status)
	}
	if location := answer.Header.Get("Location"); location != "" || answer.Header.Get("Refresh") != "" {
		t.Fatalf("redirected to %q", location)
	}
	if !strings.Contains(body, `<main id="error-page"`) || !strings.Contains(body, `id="error-description"`) {
		t.Fatalf("not the error page:\n%s", body)
	}
	if !strings.Contains(body, `<code id="error-code">`+code+`</code>`) {
		t.Errorf("the page does not show %s:\n%s", code, body)
	}
	if id := answer.Header.Get("X-Request-Id"); id == "" || !strings.Contains(body, `<code id="request-id">`+id+`</code>`) {
		t.Errorf("the page does not show the request id %q", id)
	}
	if strings.Contains(body, "<form") || strings.Contains(body, "http-equiv") || strings.Contains(body, "<script") {
		t.Errorf("the page could go on by itself:\n%s", body)
	}
	for _, link := range linkPattern.FindAllStringSubmatch(body, -1) {
		if target := html.UnescapeString(link[1]); !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
			t.Errorf("the page links to %q", target)
		}
	}
}

// signedIn is a browser in which alice has signed in and allowed the app.
func signedIn(t *testing.T, app *oauthtest.App) *oauthtest.Browser {
	t.Helper()
	b := app.Server.Browser(t)
	b.Walk(t, authorizationURL(app, "/authorize"), "alice")
	return b
}

// RFC 6749 Section 3.1: the endpoint takes GET and may take POST, with the same
// parameters and the same checks (AZ-02, RU-08, conformance 18).
func TestRFC6749_3_1_GetAndPost(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	post := func(b *oauthtest.Browser, path string, q url.Values) *http.Request {
		r := app.Server.Request(t, http.MethodPost, path, q.Encode())
		r.Header.Set("Sec-Fetch-Site", "none")
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		return r
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := signedIn(t, app)
		good := responseOf(t, app, app.Server.Do(t, post(b, at.Code, authorizationQuery(app))))
		if good.Get("code") == "" || good.Get("state") != "state-1" || good.Get("iss") != app.Server.URL {
			t.Errorf("POST answered %v", good)
		}
		token := responseOf(t, app, app.Server.Do(t, post(b, at.Implicit, authorizationQuery(app, "response_type", "token"))))
		if token.Get("access_token") == "" || token.Mode != "fragment" {
			t.Errorf("POST answered %v", token)
		}
		for want, pairs := range map[string][]string{
			"invalid_scope":             {"scope", "admin"},
			"unsupported_response_type": {"response_type", "nonsense"},
			"invalid_request":           {"prompt", "none login"},
		} {
			wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Code, pairs...)), want)
			wantRefused(t, app, app.Server.Do(t, post(b, at.Code, authorizationQuery(app, pairs...))), want)
		}
		wantErrorPage(t, app.Server.Do(t, post(b, at.Code, authorizationQuery(app, "redirect_uri", "https://evil.example/"))), http.StatusBadRequest, "invalid_request")
		// The body alone counts; what stands in the address of a POST is not read.
		r := post(b, at.Code+"?"+authorizationQuery(app).Encode(), url.Values{"x": {"y"}})
		wantErrorPage(t, app.Server.Do(t, r), http.StatusBadRequest, "invalid_request")
		for method, want := range map[string]int{http.MethodPut: 405, http.MethodDelete: 405, http.MethodPatch: 405, http.MethodOptions: 405, "FROB": 405} {
			answer := app.Server.Do(t, app.Server.Request(t, method, at.Code+"?"+authorizationQuery(app).Encode(), ""))
			if answer.StatusCode != want || !strings.Contains(answer.Header.Get("Allow"), "GET") {
				t.Errorf("%s answered %d, Allow %q", method, answer.StatusCode, answer.Header.Get("Allow"))
			}
		}
		for kind, want := range map[string]int{"application/json": 415, "multipart/form-data; boundary=x": 415, "text/plain": 415, "": 415, "APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8": 303} {
			r := post(b, at.Code, authorizationQuery(app))
			r.Header.Set("Content-Type", kind)
			if answer := app.Server.Do(t, r); answer.StatusCode != want {
				t.Errorf("Content-Type %q answered %d, want %d", kind, answer.StatusCode, want)
			}
		}
	})
}

// RFC 6749 Section 3.1: unknown parameters are ignored, and those without a value are
// as good as left out (conformance 19).
func TestRFC6749_3_1_UnknownAndEmptyParameters(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := signedIn(t, app)
		b.Open(t, authorizationURL(app, at.Code)+"&frob=1&client_secret=&code_challenge=&code_challenge_method=&nonce=&prompt=&max_age=&request=&response_mode=&resource=&%F0%9F%90%AF=1")
		if got := responseOf(t, app, b.Page); got.Get("code") == "" {
			t.Errorf("answered %v", got)
		}
		// An empty state was not sent, so none comes back.
		b.Open(t, authorizationURL(app, at.Code, "state", "")+"&state=")
		if got := responseOf(t, app, b.Page); got.Get("code") == "" || got.Has("state") {
			t.Errorf("answered %v", got)
		}
		// An empty redirect_uri was left out, and the registered one is used.
		b.Open(t, authorizationURL(app, at.Code, "redirect_uri", "")+"&redirect_uri=")
		if got := responseOf(t, app, b.Page); got.Get("code") == "" || got.To != app.RedirectURL {
			t.Errorf("answered %v", got)
		}
		wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Code, "response_type", "")+"&response_type="), "invalid_request")
		wantErrorPage(t, app.Server.Get(t, authorizationURL(app, at.Code, "client_id", "")+"&client_id="), http.StatusBadRequest, "invalid_request")
		// Names are compared as they are, and an unknown one is no alias.
		wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Code, "response_type", "")+"&Response_Type=code"), "invalid_request")
	})
}

// RFC 6749 Sections 3.1 and 4.1.2.1: a parameter sent more than once, or text that
// is none, is invalid_request: at the client as long as it and its address are
// certain, on a page otherwise (RU-08).
func TestRFC6749_3_1_RepeatedAndBrokenParameters(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		signedIn(t, app)
		for _, more := range []string{"scope=read", "scope=", "prompt=none&prompt=login", "response_type=code", "code_challenge=a&code_challenge=b", "nonce=%00", "nonce=%FF", "frob=1&frob=2", "a=%zz", "a=%"} {
			answer := app.Server.Get(t, authorizationURL(app, at.Code)+"&"+more)
			wantRefused(t, app, answer, "invalid_request")
		}
		// A state that is not certain is not sent back.
		for _, more := range []string{"state=a&state=b", "state=%00", "state=%C3%28"} {
			answer := app.Server.Get(t, authorizationURL(app, at.Code, "state", "")+"&"+more)
			if got := responseOf(t, app, answer); got.Get("error") != "invalid_request" || got.Has("state") || got.To != app.RedirectURL {
				t.Errorf("%s answered %v", more, got)
			}
		}
		for _, more := range []string{
			"client_id=" + app.ClientID, "client_id=other", "redirect_uri=" + url.QueryEscape(app.RedirectURL),
			"redirect_uri=https%3A%2F%2Fevil.example%2F", "redirect_uri=", "client_id=",
		} {
			wantErrorPage(t, app.Server.Get(t, authorizationURL(app, at.Code)+"&"+more), http.StatusBadRequest, "invalid_request")
		}
		// Without an explicit address a broken request has none that is certain.
		wantErrorPage(t, app.Server.Get(t, authorizationURL(app, at.Code, "redirect_uri", "")+"&scope=read"), http.StatusBadRequest, "invalid_request")
	})
}

// RFC 6749 Section 3.1.1: response_type must be there and known; every address gives
// its own type only (AZ-01, IM-12, conformance 23).
func TestRFC6749_3_1_1_ResponseType(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	for name, tt := range map[string]struct{ path, responseType, want, mode string }{
		"missing":                {"/authorize", "", "invalid_request", "query"},
		"missing at the code":    {"/open/authorize/index", "", "invalid_request", "query"},
		"missing at implicit":    {"/open/implicit", "", "invalid_request", "fragment"},
		"unknown":                {"/authorize", "frob", "unsupported_response_type", "query"},
		"another case":           {"/authorize", "Code", "unsupported_response_type", "query"},
		"none":                   {"/authorize", "none", "unsupported_response_type", "query"},
		"id_token":               {"/authorize", "id_token", "unauthorized_client", "fragment"},
		"hybrid":                 {"/authorize", "code id_token", "unauthorized_client", "fragment"},
		"hybrid with a token":    {"/authorize", "code token", "unauthorized_client", "fragment"},
		"the same twice":         {"/authorize", "code code", "unsupported_response_type", "query"},
		"with a space":           {"/authorize", " code", "unsupported_response_type", "query"},
		"token at the code":      {"/open/authorize/index", "token", "unsupported_response_type", "fragment"},
		"code at implicit":       {"/open/implicit", "code", "unsupported_response_type", "fragment"},
		"code token at implicit": {"/open/implicit", "code token", "unsupported_response_type", "fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			got := wantRefused(t, app, app.Server.Get(t, authorizationURL(app, tt.path, "response_type", tt.responseType)), tt.want)
			if got.Mode != tt.mode {
				t.Errorf("answered in the %s, want %s", got.Mode, tt.mode)
			}
		})
	}
}

// RFC 6749 Section 3.1.2.3 and RFC 9700 Section 4.1.3: a redirect URI is compared as a
// string with the registered ones, and one that differs in any byte is answered on a
// page (RU-01, RU-02, conformance 20).
func TestRFC6749_3_1_2_3_RedirectURIComparedExactly(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := signedIn(t, app)
		for _, uri := range []string{
			"https://app.example/callback/", "https://app.example/Callback", "https://APP.example/callback", "HTTPS://app.example/callback",
			"http://app.example/callback", "https://app.example:443/callback", "https://user@app.example/callback", "https://app.example/%63allback",
			"https://app.example/./callback", "https://app.example/x/../callback", "https://app.example//callback", "https://app.example/callback?",
			"https://app.example/callback?x=1", "https://app.example/callback#", "https://app.example/callback#code", "https://app.example/callback%00",
			"https://app.example/callbackx", "https://app.example/callback/x", "https://app.example", "https://app.example/", "https://www.app.example/callback",
			"https://app.example.evil.example/callback", "https://app.example@evil.example/callback", "https://evil.example/https://app.example/callback",
			"https://evil.example\\@app.example/callback", "https://evil.example/?https://app.example/callback", " https://app.example/callback",
			"https://app.example/callback ", "https://app.example/callback\r\nSet-Cookie: x=y", "https://app.example/callback\t", "//app.example/callback",
			"/callback", "callback", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://аpp.example/callback", "\"><script>alert(1)</script>",
			"https://app.example/callback/" + strings.Repeat("a", 10_000),
		} {
			r := app.Server.Request(t, http.MethodGet, authorizationURL(app, at.Code, "redirect_uri", uri), "")
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			wantErrorPage(t, app.Server.Do(t, r), http.StatusBadRequest, "invalid_request")
		}
		wantErrorPage(t, app.Server.Get(t, authorizationURL(app, at.Implicit, "response_type", "token", "redirect_uri", "https://evil.example/")), http.StatusBadRequest, "invalid_request")
		// A wrong address outweighs every other mistake: there is nobody to tell.
		wantErrorPage(t, app.Server.Get(t, authorizationURL(app, at.Code, "redirect_uri", "https://evil.example/", "response_type", "frob", "scope", "admin", "prompt", "none")), http.StatusBadRequest, "invalid_request")
	})
}

// RFC 6749 Section 3.1.2.3: redirect_uri may be left out when one is registered, and
// openid is not asked for. The code is bound to the registered one (RU-03, conformance
// 21).
func TestRFC6749_3_1_2_3_RedirectURILeftOut(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	two := s.App(t, func(m *oauth.ClientMetadata) {
		m.RedirectURIs = []string{oauthtest.Callback, "https://app.example/other"}
	})
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		code := func() string {
			location := app.Browser.Walk(t, authorizationURL(app, at.Code, "redirect_uri", ""), "alice")
			if !strings.HasPrefix(location.String(), oauthtest.Callback+"?") {
				t.Fatalf("led to %s", location)
			}
			return location.Query().Get("code")
		}
		exchange := func(pairs ...string) *oauthtest.Answer {
			return s.Post(t, at.AuthorizationCode, app.Credentials(append([]string{"grant_type", "authorization_code"}, pairs...)...))
		}
		bound := code()
		if answer := exchange("code", bound, "redirect_uri", "https://app.example/other"); answer.Text("error") != "invalid_grant" {
			t.Errorf("another redirect_uri answered %s", answer.Body)
		}
		if answer := exchange("code", bound, "redirect_uri", oauthtest.Callback); answer.StatusCode != http.StatusOK {
			t.Errorf("the registered redirect_uri answered %s", answer.Body)
		}
		// The standard address may leave it out again; that of the seed must not.
		answer := exchange("code", code())
		if want := at.Name == "standard"; want != (answer.StatusCode == http.StatusOK) {
			t.Errorf("without redirect_uri: %d %s", answer.StatusCode, answer.Body)
		}
		wantErrorPage(t, s.Get(t, authorizationURL(app, at.Code, "redirect_uri", "", "scope", "openid")), http.StatusBadRequest, "invalid_request")
		wantErrorPage(t, s.Get(t, authorizationURL(app, at.Code, "redirect_uri", "", "scope", "read openid")), http.StatusBadRequest, "invalid_request")
		wantErrorPage(t, s.Get(t, authorizationURL(two, at.Code, "redirect_uri", "")), http.StatusBadRequest, "invalid_request")
		implicit := app.Browser.Walk(t, authorizationURL(app, at.Implicit, "redirect_uri", "", "response_type", "token"), "alice")
		if !strings.HasPrefix(implicit.String(), oauthtest.Callback+"#access_token=") {
			t.Errorf("implicit led to %s", implicit)
		}
	})
}

// RFC 6749 Section 3.1.2: a query that a redirect URI was registered with stays, byte
// for byte, and the answer is added behind it (RU-10, conformance 20, 22).
func TestRFC6749_3_1_2_RegisteredQueryIsKept(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, uri := range []string{
		"https://app.example/callback?tenant=7", "https://app.example/callback?a=1&a=2&b=%2f+x", "https://app.example/callback?flag", "https://app.example/callback?",
		"https://app.example/callback?x=1&", "https://app.example/callback?next=https%3A%2F%2Fapp.example%2F%3Fcode%3D1", "https://app.example/a;b/c,d(e)!$'?q=~",
	} {
		app := s.App(t, func(m *oauth.ClientMetadata) { m.RedirectURIs = []string{uri} })
		separator := "&"
		switch {
		case !strings.Contains(uri, "?"):
			separator = "?"
		case strings.HasSuffix(uri, "?"), strings.HasSuffix(uri, "&"):
			separator = ""
		}
		answer := s.Get(t, authorizationURL(app, "/authorize", "prompt", "none"))
		if want, got := uri+separator+"error=login_required&", answer.Header.Get("Location"); !strings.HasPrefix(got, want) {
			t.Errorf("Location = %s, want %s…", got, want)
		}
		answer = s.Get(t, authorizationURL(app, "/open/implicit", "response_type", "token", "prompt", "none"))
		if want, got := uri+"#error=login_required&", answer.Header.Get("Location"); !strings.HasPrefix(got, want) {
			t.Errorf("Location = %s, want %s…", got, want)
		}
		form := responseOf(t, app, s.Get(t, authorizationURL(app, "/authorize", "prompt", "none", "response_mode", "form_post")))
		if form.To != uri || form.Get("error") != "login_required" {
			t.Errorf("form goes to %s with %v", form.To, form)
		}
	}
}

// RFC 6749 Section 4.1.2.1: a client that is unknown, disabled or no name at all
// is answered on a page, whatever address it names (RU-07).
func TestRFC6749_4_1_2_1_UnknownClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app, disabled, deleted := s.App(t), s.App(t), s.App(t)
	if err := s.Store.DisableClient(t.Context(), disabled.ClientID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.DeleteClient(t.Context(), deleted.ClientID, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, id := range []string{
			"nobody", "", disabled.ClientID, deleted.ClientID, strings.ToUpper(app.ClientID), app.ClientID + " ", " " + app.ClientID, app.ClientID + "\x00",
			"' OR '1'='1", "%", "../../etc/passwd", "\r\nSet-Cookie: a=b", "<script>alert(1)</script>", "\xff\xfe", "虎符", strings.Repeat("x", 20_000),
		} {
			for _, uri := range []string{app.RedirectURL, "https://evil.example/", ""} {
				wantErrorPage(t, s.Get(t, authorizationURL(app, at.Code, "client_id", id, "redirect_uri", uri)), http.StatusBadRequest, "invalid_request")
			}
		}
	})
}

// RFC 6749 Section 4.1.2.1: every other error goes to the client, with the state that
// came and the name of the issuer (RU-08, AZ-05, AZ-07, AZ-24, conformance 24, 25).
func TestRFC6749_4_1_2_1_ErrorsAtTheClient(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	only := app.Server.App(t, func(m *oauth.ClientMetadata) { m.GrantTypes = []string{oauth.GrantClientCredentials} })
	only.RedirectURL = oauthtest.Callback
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range map[string]struct {
			pairs []string
			want  string
		}{
			"scope not registered":         {[]string{"scope", "read admin"}, "invalid_scope"},
			"scope in another case":        {[]string{"scope", "Read"}, "invalid_scope"},
			"scope with a quote":           {[]string{"scope", `read "`}, "invalid_scope"},
			"scope with a tab":             {[]string{"scope", "read\twrite"}, "invalid_scope"},
			"scope beyond ASCII":           {[]string{"scope", "读"}, "invalid_scope"},
			"request":                      {[]string{"request", "eyJhbGciOiJub25lIn0.e30."}, "invalid_request_object"},
			"request_uri":                  {[]string{"request_uri", "https://app.example/r"}, "invalid_request_uri"},
			"pushed request":               {[]string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, "invalid_request_uri"},
			"registration":                 {[]string{"registration", "{}"}, "registration_not_supported"},
			"prompt unknown":               {[]string{"prompt", "frob"}, "invalid_request"},
			"prompt none with more":        {[]string{"prompt", "none consent"}, "invalid_request"},
			"prompt in another case":       {[]string{"prompt", "None"}, "invalid_request"},
			"prompt none":                  {[]string{"prompt", "none"}, "login_required"},
			"max_age negative":             {[]string{"max_age", "-1"}, "invalid_request"},
			"max_age minus nothing":        {[]string{"max_age", "-0"}, "invalid_request"},
			"max_age with a sign":          {[]string{"max_age", "+1"}, "invalid_request"},
			"max_age no number":            {[]string{"max_age", "soon"}, "invalid_request"},
			"max_age a fraction":           {[]string{"max_age", "1.5"}, "invalid_request"},
			"max_age huge":                 {[]string{"max_age", "99999999999999999999"}, "invalid_request"},
			"max_age with a space":         {[]string{"max_age", " 1"}, "invalid_request"},
			"max_age in hex":               {[]string{"max_age", "0x10"}, "invalid_request"},
			"response_mode unknown":        {[]string{"response_mode", "frob"}, "invalid_request"},
			"response_mode jwt":            {[]string{"response_mode", "jwt"}, "invalid_request"},
			"resource not registered":      {[]string{"resource", "https://api.example/"}, "invalid_target"},
			"resource with a fragment":     {[]string{"resource", "https://api.example/#x"}, "invalid_target"},
			"resource relative":            {[]string{"resource", "/api"}, "invalid_target"},
			"nonce with a line break":      {[]string{"nonce", "a\nb"}, "invalid_request"},
			"nonce too long":               {[]string{"nonce", strings.Repeat("n", 1025)}, "invalid_request"},
			"challenge by plain":           {[]string{"code_challenge", appendixBVerifier, "code_challenge_method", "plain"}, "invalid_request"},
			"challenge method without one": {[]string{"code_challenge_method", "S256"}, "invalid_request"},
		} {
			t.Run(name, func(t *testing.T) {
				got := wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Code, tt.pairs...)), tt.want)
				if got.Mode != "query" {
					t.Errorf("answered in the %s", got.Mode)
				}
				got = wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Implicit, append(tt.pairs, "response_type", "token")...)), tt.want)
				if got.Mode != "fragment" {
					t.Errorf("answered in the %s", got.Mode)
				}
			})
		}
		// A client without the grant is told so, where it can be told.
		wantRefused(t, only, app.Server.Get(t, authorizationURL(only, at.Code)), "unauthorized_client")
		wantRefused(t, app, app.Server.Get(t, authorizationURL(app, at.Implicit, "response_type", "token", "response_mode", "query")), "invalid_request")
	})
}

// RFC 6749 Section 4.1.1 and 4.1.2: state comes back byte for byte, through pages and
// straight, up to 2,048 bytes (conformance 28).
func TestRFC6749_4_1_2_StateComesBack(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	states := []string{
		"a", " ", "a b+c%20d", "&=#?/;", `"<>\'` + "`", "虎符🐯", "\u2028\u2029", "\u00a0é", "%00%0a", "e\u0301", "\ufeffx", "{\"a\":[1,2]}", "https://a.example/?b=c#d",
		strings.Repeat("s", 2048), strings.Repeat("<", 2048), strings.Repeat(`"`, 2048), strings.Repeat(`\`, 2048), strings.Repeat("&", 2048), strings.Repeat("\u2028", 682),
		strings.Repeat("🐯", 512),
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := signedIn(t, app)
		for i, state := range states {
			for _, pairs := range [][]string{{}, {"prompt", "none", "scope", "write"}, {"prompt", "consent"}, {"response_mode", "fragment"}, {"response_mode", "form_post"}} {
				b.Open(t, authorizationURL(app, at.Code, append(pairs, "state", state)...))
				if b.On("consent-form") {
					b.Approve(t)
				}
				got := responseOf(t, app, b.Page)
				if code := got.Get("error"); code != "" && code != "consent_required" {
					t.Errorf("state %d with %v: %v", i, pairs, got)
				}
				if got.Get("state") != state {
					t.Errorf("state %d with %v came back as %.60q, want %.60q", i, pairs, got.Get("state"), state)
				}
				if strings.Contains(b.Page.Header.Get("Location"), "+") {
					t.Errorf("a space was written as +: %s", b.Page.Header.Get("Location"))
				}
			}
		}
		for _, state := range []string{strings.Repeat("s", 2049), "a\nb", "\x7f", "\u0085", "a\tb"} {
			answer := app.Server.Get(t, authorizationURL(app, at.Code, "state", state))
			if got := responseOf(t, app, answer); got.Get("error") != "invalid_request" {
				t.Errorf("state %.20q answered %v", state, got)
			}
		}
	})
}

// RFC 6749 Section 3.3: without scope the client gets its defaults, else all it
// is registered for but openid and offline_access, and the answer names what was
// granted. Scope that is not registered is never granted (AZ-05).
func TestRFC6749_3_3_AuthorizationScope(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, func(c *config.Config) {
		c.Scopes = []config.Scope{{Name: "write", TextEN: "Change your notes", TextZH: "修改你的笔记", Optional: true}}
	})
	plain := s.App(t)
	defaults := s.App(t, func(m *oauth.ClientMetadata) { m.DefaultScope = "write" })
	none := s.App(t, func(m *oauth.ClientMetadata) { m.Scope = "" })
	granted := func(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, scope string, boxes ...string) string {
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, at.Code, "scope", scope, "prompt", "consent"))
		b.SignIn(t, "alice")
		changes := url.Values{"decision": {"approve"}}
		if len(boxes) > 0 {
			changes["scope"] = boxes
		}
		b.Submit(t, "consent-form", changes)
		answer := s.Post(t, at.AuthorizationCode, app.Credentials("grant_type", "authorization_code", "redirect_uri", app.RedirectURL, "code", responseOf(t, app, b.Page).Get("code")))
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("exchange: %s", answer.Body)
		}
		return answer.Text("scope")
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range map[string]struct {
			app   *oauthtest.App
			scope string
			boxes []string
			want  string
		}{
			"all but openid":         {plain, "", nil, "read write"},
			"the defaults":           {defaults, "", nil, "write"},
			"asked for":              {defaults, "read", nil, "read"},
			"repeated and spaced":    {plain, " read  read ", nil, "read"},
			"a client without scope": {none, "", nil, ""},
			"optional, unticked":     {plain, "read write", []string{""}, "read"},
			"required, unticked":     {plain, "read write", []string{"write"}, "read write"},
			"ticked beyond":          {plain, "read", []string{"read", "write", "openid", "admin"}, "read"},
		} {
			t.Run(name, func(t *testing.T) {
				if got := granted(t, tt.app, at, tt.scope, tt.boxes...); got != tt.want {
					t.Errorf("scope = %q, want %q", got, tt.want)
				}
			})
		}
	})
}

// RFC 6749 Section 4.1.2.1: a user who refuses, on either page, is told to the client,
// and nothing is remembered (AZ-06, conformance 42).
func TestRFC6749_4_1_2_1_AccessDenied(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		b := app.Server.Browser(t)
		b.Open(t, authorizationURL(app, at.Code))
		b.Submit(t, "login-form", url.Values{"action": {"cancel"}})
		wantRefused(t, app, b.Page, "access_denied")
		b.Open(t, authorizationURL(app, at.Code))
		if !b.On("login-form") {
			t.Fatal("a sign-in that was cancelled signed somebody in")
		}
		b.SignIn(t, "alice")
		page := b.Page
		b.Submit(t, "consent-form", url.Values{"decision": {"deny"}, "remember": {"1"}})
		wantRefused(t, app, b.Page, "access_denied")
		b.Open(t, authorizationURL(app, at.Code, "prompt", "none"))
		wantRefused(t, app, b.Page, "consent_required")
		// Going back and changing one's mind is allowed; nothing has been issued yet.
		b.Page = page
		b.Approve(t)
		if responseOf(t, app, b.Page).Get("code") == "" {
			t.Error("no code after a change of mind")
		}
		if err := app.Server.Store.WithdrawConsent(t.Context(), theUser(t, app.Server, "alice").ID, app.ClientID, app.Server.Clock.Now(), theOperator); err != nil {
			t.Fatal(err)
		}
		b.Open(t, authorizationURL(app, at.Implicit, "response_type", "token"))
		b.Submit(t, "consent-form", url.Values{"decision": {"deny"}})
		if got := wantRefused(t, app, b.Page, "access_denied"); got.Mode != "fragment" {
			t.Errorf("answered in the %s", got.Mode)
		}
		// Neither yes nor no is neither.
		b.Open(t, authorizationURL(app, at.Code))
		for _, decision := range []string{"", "yes", "Approve", "approve deny"} {
			consent := b.Page
			b.Submit(t, "consent-form", url.Values{"decision": {decision}})
			wantErrorPage(t, b.Page, http.StatusBadRequest, "invalid_request")
			b.Page = consent
		}
	})
}

// theUser reads a user as the operator does.
func theUser(t *testing.T, s *oauthtest.Server, name string) *store.User {
	t.Helper()
	u, err := s.Store.UserByName(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// RFC 6749 Section 4.1.1, driven by golang.org/x/oauth2: the code flow gives
// tokens that are in force, over both addresses.
func TestRFC6749_4_1_CodeFlow(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "opaque": s.App(t, oauthtest.Opaque), "public": s.PublicApp(t)} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				token := app.At(at).SignInAndExchange(t)
				if token.TokenType != "Bearer" || token.RefreshToken == "" || token.ExpiresIn != 600 {
					t.Errorf("token = %+v", token)
				}
				introspector := app
				if app.ClientSecret == "" {
					introspector = s.App(t, func(m *oauth.ClientMetadata) { m.Introspect = oauth.IntrospectAny })
				}
				if !introspector.Active(t, token.AccessToken) {
					t.Error("the token is not active")
				}
				again := app.At(at)
				again.Endpoint.TokenURL = s.URL + at.Refresh
				if _, err := again.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err != nil {
					t.Errorf("refresh: %v", err)
				}
			})
		})
	}
}
