package spec_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A landing is a client's own web server on loopback, where a browser lands with
// the answer. Its host is localhost and the server's 127.0.0.1, so that the two
// are different sites to a browser.
type landing struct {
	ClientID, Secret string
	Callback         string // its redirect URI
	URL              string // its home
	server           *oauthtest.Server
	arrivals         chan arrival
}

// An arrival is one answer, as the client's server received it.
type arrival struct {
	Method, Origin, Referer string
	Values                  url.Values
}

// land starts a client and registers it. Each edit changes the registration.
func land(t *testing.T, s *oauthtest.Server, edits ...func(*oauth.ClientMetadata)) *landing {
	t.Helper()
	l := &landing{server: s, arrivals: make(chan arrival, 16)}
	mux := http.NewServeMux()
	mux.HandleFunc("/callback", l.arrive)
	mux.HandleFunc("/post", l.post)
	mux.HandleFunc("/frame", l.frame)
	mux.HandleFunc("/popup", l.popup)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	l.URL = strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
	l.Callback = l.URL + "/callback"
	m := oauthtest.EveryGrant()
	m.ClientName, m.RedirectURIs, m.Scope = "Silver Birch", []string{l.Callback}, "read write"
	for _, edit := range edits {
		edit(&m)
	}
	l.ClientID, l.Secret = s.Register(t, "", m)
	return l
}

const landingPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Landed</title><link rel="icon" href="data:,"><h1 id="landed">Landed</h1>`

func (l *landing) arrive(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.arrivals <- arrival{Method: r.Method, Origin: r.Header.Get("Origin"), Referer: r.Header.Get("Referer"), Values: r.Form}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, landingPage)
}

// post is a page of the client that sends a form to another site.
func (l *landing) post(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `%s<form method="post" action="%s">`, landingPage, html.EscapeString(q.Get("to")))
	for name, values := range q {
		if name != "to" {
			fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name), html.EscapeString(values[0]))
		}
	}
	fmt.Fprint(w, `<button id="ask">Sign in</button></form>`)
}

// posting is the address of a page that sends form to another site.
func (l *landing) posting(to string, form url.Values) string {
	return l.URL + "/post?" + form.Encode() + "&to=" + url.QueryEscape(to)
}

// frame is a page of the client with another page in it.
func (l *landing) frame(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `%s<iframe src="%s"></iframe>`, landingPage, html.EscapeString(r.URL.Query().Get("of")))
}

// popup is a page of the client that opens another in a window of its own.
func (l *landing) popup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `%s<button id="ask" data-to="%s" onclick="open(this.dataset.to, 'popup', 'width=480,height=640')">Sign in</button>`, landingPage, html.EscapeString(r.URL.Query().Get("to")))
}

// ask is the address of an authorization request for a code.
func (l *landing) ask(path, state string, pairs ...string) string {
	q := url.Values{"response_type": {"code"}, "client_id": {l.ClientID}, "redirect_uri": {l.Callback}, "scope": {"read"}, "state": {state}}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return l.server.URL + path + "?" + q.Encode()
}

// arrived waits for the next answer.
func (l *landing) arrived(t *testing.T) arrival {
	t.Helper()
	select {
	case a := <-l.arrivals:
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("nobody came back to the client")
		return arrival{}
	}
}

// nobody fails when an answer has come that should not have.
func (l *landing) nobody(t *testing.T) {
	t.Helper()
	select {
	case a := <-l.arrivals:
		t.Errorf("the client was answered once more: %v", a.Values)
	default:
	}
}
