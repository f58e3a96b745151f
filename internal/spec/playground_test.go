package spec_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// press sends the form of a step, with the mistake to make or "".
func (w *walker) press(step, fault string) {
	w.t.Helper()
	changes := url.Values{}
	if fault != "" {
		changes.Set("fault", fault)
	}
	if w.Submit(w.t, "run-"+step, changes); w.Page.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %d\n%s", step, w.Page.StatusCode, w.Page.Body)
	}
}

// sees checks what the open page says about a step: the status of its answer and
// a part of it, and the beginning of the note.
func (w *walker) sees(step, status, answer, note string) {
	w.t.Helper()
	if got := w.text("span", "status-"+step); got != status {
		w.t.Errorf("%s: status %q, want %q", step, got, status)
	}
	if got := w.text("pre", "answer-"+step); !strings.Contains(got, answer) {
		w.t.Errorf("%s: no %q in the answer\n%s", step, answer, got)
	}
	if got := w.note(step); !strings.HasPrefix(got, note) {
		w.t.Errorf("%s: note %q, want %q", step, got, note)
	}
}

func (w *walker) note(step string) string { return strings.TrimSpace(w.text("div", "note-"+step)) }

// link is where the button to the sign-in page leads.
func (w *walker) link() string {
	w.t.Helper()
	found := regexp.MustCompile(`<a class="button primary" id="go" href="([^"]*)">`).FindSubmatch(w.Page.Body)
	if found == nil {
		w.t.Fatalf("no link to sign-in:\n%s", w.Page.Body)
	}
	return html.UnescapeString(string(found[1]))
}

// The code grant, then the life and death of its tokens, without scripts and
// below a path.
func TestPlayground_AuthorizationCode(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "/auth")
	w := walk(t, s)
	w.open("/playground/authorization-code")
	w.visit(w.link())
	for _, part := range []string{"Matches what this browser set out with", "This server, so no other one", demo.WebSecret} {
		if !strings.Contains(string(w.Page.Body), part) {
			t.Errorf("the callback does not say %q", part)
		}
	}
	w.press("exchange", "secret")
	w.sees("exchange", "401 Unauthorized", `"invalid_client"`, "Refused, because the client")
	w.press("exchange", "")
	w.sees("exchange", "200 OK", `"refresh_token"`, "Tokens have been issued")
	if request := w.text("pre", "request-exchange"); !strings.Contains(request, "POST /auth/oauth2/authorize HTTP/1.1") || !strings.Contains(request, "\n&client_secret="+demo.WebSecret) {
		t.Errorf("the request is shown as\n%s", request)
	}
	if !w.On("token-access_token") || !w.On("token-refresh_token") || !strings.Contains(w.text("details", "token-access_token"), "at+jwt") {
		t.Error("the tokens are not decoded")
	}
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"username": "alice"`, "The token is in force")
	w.press("refresh", "")
	w.sees("refresh", "200 OK", `"access_token"`, "New tokens have been issued")
	w.press("previous", "")
	w.sees("previous", "200 OK", `"access_token"`, "The same new refresh token")
	s.Clock.Advance(time.Minute)
	w.press("previous", "")
	w.sees("previous", "400 Bad Request", `"invalid_grant"`, "Refused. An old refresh token")
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"active": false`, "The token is not in force")
	trail := strings.Join(strings.Fields(w.text("ol", "trail")), " ")
	if want := "Exchange 401 Exchange 200 Check active Refresh 200 Old token 200 Old token 400 Check inactive"; trail != want {
		t.Errorf("trail %q, want %q", trail, want)
	}
}

func TestPlayground_PKCE(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/pkce")
	w.visit(w.link())
	w.press("verify", "verifier")
	w.sees("verify", "400 Bad Request", `"invalid_grant"`, "Refused.")
	w.press("verify", "")
	w.sees("verify", "200 OK", `"refresh_token"`, "Tokens have been issued")
	w.press("replay", "")
	w.sees("replay", "400 Bad Request", `"invalid_grant"`, "Refused. A code that comes back")
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"active": false`, "")
}

func TestPlayground_Implicit(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/implicit")
	arrived := w.visit(w.link())
	w.Submit(t, "run-fragment", url.Values{"answer": {"nothing of use"}})
	if note := w.note("fragment"); !strings.Contains(note, "There is no access_token") {
		t.Errorf("note %q", note)
	}
	w.Submit(t, "run-fragment", url.Values{"answer": {arrived}})
	if note := w.note("fragment"); !strings.Contains(note, "The token was in the address") || !w.On("token-access_token") {
		t.Errorf("note %q", note)
	}
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"active": true`, "")
	w.press("revoke_access", "")
	w.sees("revoke_access", "200 OK", "", "Done.")
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"active": false`, "")
}

func TestPlayground_Password(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/password")
	w.press("password", "password")
	w.sees("password", "400 Bad Request", `"invalid_grant"`, "Refused.")
	w.Submit(t, "run-password", url.Values{"username": {demo.Bob}, "password": {demo.BobPassword}, "scope": {"email"}})
	w.sees("password", "200 OK", `"scope": "email"`, "Tokens have been issued")
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"username": "bob"`, "")
}

func TestPlayground_ClientCredentials(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/client-credentials")
	w.press("client", "scope")
	w.sees("client", "400 Bad Request", `"invalid_scope"`, "Refused, because the client is not registered")
	w.press("client", "")
	w.sees("client", "200 OK", `"scope": "notes:read"`, "Tokens have been issued")
	if w.On("token-refresh_token") || w.On("run-refresh") {
		t.Error("there is a refresh token")
	}
	for range 12 { // wrong secrets are counted like anybody's
		w.open("/playground/client-credentials")
		w.press("client", "secret")
	}
	w.sees("client", "429 Too Many Requests", "", "Too many wrong attempts")
}

func TestPlayground_RefreshToken(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/refresh-token")
	w.press("first", "")
	w.sees("first", "200 OK", `"refresh_token"`, "")
	w.press("refresh", "")
	w.sees("refresh", "200 OK", `"refresh_token"`, "New tokens")
	w.press("revoke_refresh", "")
	w.sees("revoke_refresh", "200 OK", "", "Done.")
	w.press("introspect", "")
	w.sees("introspect", "200 OK", `"active": false`, "")
	w.press("refresh", "")
	w.sees("refresh", "400 Bad Request", `"invalid_grant"`, "Refused.")
}

// A refusal comes back to the callback, which says so.
func TestPlayground_Denied(t *testing.T) {
	t.Parallel()
	w := walk(t, openDemo(t, ""))
	w.open("/playground/authorization-code")
	w.open(w.link())
	w.Submit(t, "login-form", url.Values{"action": {"cancel"}})
	w.open(w.Location(t).String())
	if !strings.Contains(w.note("callback"), "There is no code") || !strings.Contains(string(w.Page.Body), "access_denied") || w.On("run-exchange") {
		t.Errorf("the page says\n%s", w.Page.Body)
	}
}

// CS-01: an answer that another browser asked for is not used, and neither is a
// form that another browser was given.
func TestPlayground_CS_01_AnotherBrowser(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "")
	mine, theirs := walk(t, s), walk(t, s)
	mine.open("/playground/authorization-code")
	arrived := mine.visit(mine.link())
	if theirs.open(arrived); !strings.Contains(theirs.note("callback"), "does not belong") || theirs.On("run-exchange") {
		t.Error("the code of another browser is offered for exchange")
	}
	_, form := mine.Form(t, "run-exchange")
	for name, change := range map[string]func(r *http.Request){
		"no cookie":     func(*http.Request) {},
		"another site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"other browser": func(r *http.Request) { r.AddCookie(theirs.Cookies(t)[0]) },
	} {
		r := s.Request(t, http.MethodPost, "/playground/run/exchange", form.Encode())
		change(r)
		if got := s.Do(t, r).StatusCode; got != http.StatusForbidden {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// Whatever is sent, there is a page or a refusal, and never a failure.
func TestPlayground_OddRequests(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "")
	w := walk(t, s)
	for path, want := range map[string]int{
		"/playground":                                http.StatusOK,
		"/playground?lang=zh":                        http.StatusOK,
		"/playground/callback":                       http.StatusOK,
		"/playground/callback?code=a&code=b":         http.StatusBadRequest,
		"/playground/callback?code=%22%3E%3Cscript>": http.StatusOK,
		"/playground/callback?error=x&state=.":       http.StatusOK,
		"/playground/callback?code=a&state=a.w.c":    http.StatusOK,
		"/playground/callback?code=a&state=demo-app": http.StatusOK,
		"/playground/run/exchange":                   http.StatusOK, // back to the overview
		"/playground/none":                           http.StatusNotFound,
	} {
		if w.open(path); w.Page.StatusCode != want || strings.Contains(string(w.Page.Body), "<script>") {
			t.Errorf("%s: %d, want %d", path, w.Page.StatusCode, want)
		}
	}
	if got := s.Post(t, "/playground", url.Values{}); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.StatusCode)
	}
	w.open("/playground/password")
	_, fields := w.Form(t, "run-password")
	token := fields["form_token"]
	for step, changes := range map[string]url.Values{
		"password": {"walk": {"none"}, "trail": {"x:1 exchange exchange:" + strings.Repeat("9", 100) + strings.Repeat(" exchange:200", 50)}, "username": {"<b>\x01\u202e"}, "fault": {"none"}},
	} {
		if w.Submit(t, "run-"+step, changes); w.Page.StatusCode != http.StatusOK || strings.Contains(string(w.Page.Body), "<b>") {
			t.Errorf("%s: %d", step, w.Page.StatusCode)
		}
	}
	for _, step := range []string{"exchange", "verify", "refresh", "previous", "introspect", "replay", "revoke-access", "revoke-refresh", "fragment"} {
		form := url.Values{"form_token": token}
		form.Set("walk", "pkce")
		r := s.Request(t, http.MethodPost, "/playground/run/"+step, form.Encode())
		for _, cookie := range w.Cookies(t) {
			r.AddCookie(cookie)
		}
		if got := s.Do(t, r); got.StatusCode != http.StatusOK {
			t.Errorf("%s with nothing: %d\n%s", step, got.StatusCode, got.Body)
		}
	}
}

// The implicit grant in a real browser: the script reads the token, nothing on
// the way is found wrong, and a person without scripts is told what to do.
func TestPlayground_InChromium(t *testing.T) {
	t.Parallel()
	s := openDemo(t, "")
	b := oauthtest.NewTab(t)
	b.Open(t, s.URL+"/playground")
	b.Follow(t, `h2 a[href$="/playground/implicit"]`)
	b.Follow(t, "#go")
	b.SignIn(t, demo.Alice, demo.AlicePassword)
	b.Follow(t, "#consent-approve")
	if command := b.Text(t, "#command-introspect"); strings.Contains(command, "ACCESS_TOKEN") || !strings.Contains(command, "token=ey") {
		t.Errorf("the command is %s", command)
	}
	b.Follow(t, "#run-fragment button")
	b.Follow(t, "#run-introspect button")
	if answer := b.Text(t, "#answer-introspect"); !strings.Contains(answer, `"active": true`) {
		t.Errorf("the answer is %s", answer)
	}
	b.Open(t, s.URL+"/playground/authorization-code")
	b.Follow(t, "#go")
	b.Follow(t, "#consent-approve")
	b.Follow(t, "#run-exchange .primary")
	if status := b.Text(t, "#status-exchange"); status != "200 OK" {
		t.Errorf("the status is %s", status)
	}
	if complaints := b.Complaints(); len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
}
