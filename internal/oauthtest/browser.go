package oauthtest

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A Browser walks through pages as a browser without scripts does: it keeps
// cookies, follows redirects within the server, fills forms in and sends them.
// The last page stays open.
type Browser struct {
	server *Server
	client *http.Client
	// Page is the answer that is open now.
	Page *Answer

	UserAgent string // what it says of itself; "" is Go's client
}

// Browser opens a new browser, without cookies.
func (s *Server) Browser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{server: s, client: s.client(jar)}
}

// Cookies are the cookies the browser would send to the server.
func (b *Browser) Cookies(t testing.TB) []*http.Cookie {
	t.Helper()
	u, err := url.Parse(b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return b.client.Jar.Cookies(u)
}

// Open goes to an address, below the issuer or whole, and follows redirects
// until there is a page, or one leads away from the server.
func (b *Browser) Open(t testing.TB, address string) *Answer {
	t.Helper()
	return b.follow(t, b.server.Request(t, http.MethodGet, address, ""))
}

// Request is one by GET with the cookies of the browser, for an answer that is not to be
// followed.
func (b *Browser) Request(t testing.TB, address string) *http.Request {
	t.Helper()
	r := b.server.Request(t, http.MethodGet, address, "")
	for _, c := range b.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r
}

// follow sends a request and every redirect that stays on the server.
func (b *Browser) follow(t testing.TB, r *http.Request) *Answer {
	t.Helper()
	for range 20 {
		if b.UserAgent != "" {
			r.Header.Set("User-Agent", b.UserAgent)
		}
		b.Page = do(t, b.client, r)
		location := b.Page.Header.Get("Location")
		if location == "" {
			return b.Page
		}
		next, err := r.URL.Parse(location)
		if err != nil {
			t.Fatalf("Location %q: %v", location, err)
		}
		if !strings.HasPrefix(next.String(), b.server.URL+"/") || strings.Contains(next.Path, "callback") {
			return b.Page
		}
		r = b.server.Request(t, http.MethodGet, next.String(), "")
	}
	t.Fatal("too many redirects")
	return nil
}

// Location is where the open answer leads to; nil when it is a page.
func (b *Browser) Location(t testing.TB) *url.URL {
	t.Helper()
	location := b.Page.Header.Get("Location")
	if location == "" {
		return nil
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatalf("Location %q: %v", location, err)
	}
	return u
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*\sid="([^"]+)"[^>]*>.*?</form>`)
	inputPattern = regexp.MustCompile(`(?s)<input\b[^>]*>`)
	pairPattern  = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
	flagPattern  = regexp.MustCompile(`\s(checked|disabled)(?:\s|>|/)`)
)

// Form reads a form of the open page as it would be sent: its address and the
// fields with the values they hold.
func (b *Browser) Form(t testing.TB, id string) (action string, fields url.Values) {
	t.Helper()
	action, fields, found := ReadForm(b.Page.Body, id)
	if !found {
		t.Fatalf("no form %s on the page of %s (%d):\n%s", id, b.Page.Request.URL.Path, b.Page.StatusCode, b.Page.Body)
	}
	return action, fields
}

// ReadForm reads a form of a page as Browser.Form does.
func ReadForm(page []byte, id string) (action string, fields url.Values, found bool) {
	for _, match := range formPattern.FindAllStringSubmatch(string(page), -1) {
		if match[1] != id {
			continue
		}
		head := match[0][:strings.Index(match[0], ">")]
		fields = url.Values{}
		for _, input := range inputPattern.FindAllString(match[0], -1) {
			a := attributes(input)
			box := a["type"] == "checkbox" || a["type"] == "radio"
			if a["name"] == "" || box && !flagPattern.MatchString(input) {
				continue
			}
			fields.Add(a["name"], a["value"])
		}
		return attributes(head)["action"], fields, true
	}
	return "", nil, false
}

func attributes(tag string) map[string]string {
	a := map[string]string{}
	for _, pair := range pairPattern.FindAllStringSubmatch(tag, -1) {
		a[pair[1]] = html.UnescapeString(pair[2])
	}
	return a
}

// Submit sends a form of the open page with some fields changed, and follows
// where it leads.
func (b *Browser) Submit(t testing.TB, id string, changes url.Values) *Answer {
	t.Helper()
	action, fields := b.Form(t, id)
	for name, values := range changes {
		fields[name] = values
	}
	target, err := b.Page.Request.URL.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	r := b.server.Request(t, http.MethodPost, target.String(), fields.Encode())
	r.Header.Set("Origin", b.server.Origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.follow(t, r)
}

// SignIn fills in the sign-in page that is open.
func (b *Browser) SignIn(t testing.TB, username string) *Answer {
	t.Helper()
	return b.Submit(t, "login-form", url.Values{"username": {username}, "password": {Password}, "action": {"login"}})
}

// Approve says yes on the consent page that is open.
func (b *Browser) Approve(t testing.TB) *Answer {
	t.Helper()
	return b.Submit(t, "consent-form", url.Values{"decision": {"approve"}})
}

// On reports whether the open page holds an element with an id.
func (b *Browser) On(id string) bool {
	return strings.Contains(string(b.Page.Body), `id="`+id+`"`)
}

// Walk goes to an authorization address and does what the pages ask for, as a
// user who agrees to everything, until the browser is sent away. It returns
// where to.
func (b *Browser) Walk(t testing.TB, address, username string) *url.URL {
	t.Helper()
	b.Open(t, address)
	if b.On("login-form") {
		b.SignIn(t, username)
	}
	if b.On("consent-form") {
		b.Approve(t)
	}
	location := b.Location(t)
	if location == nil {
		t.Fatalf("the walk ended on a page of %s (%d):\n%s", b.Page.Request.URL.Path, b.Page.StatusCode, b.Page.Body)
	}
	return location
}
