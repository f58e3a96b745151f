package spec_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A tour is a walk through the playground in a real browser.
type tour struct {
	*oauthtest.Tab
	issuer             string
	scripts            bool
	username, password string
}

// The seed's five grants on its six addresses, walked through in the playground
// in a real browser, below a path of the host: each request is shown with its
// answer, and each token with what it says; with scripts and without (LE-01).
func TestBrowser_Playground(t *testing.T) {
	t.Parallel()
	issuer := openDemo(t, "/auth").URL
	for name, p := range map[string]tour{
		"with scripts": {nil, issuer, true, demo.Alice, demo.AlicePassword},
		"without":      {nil, issuer, false, demo.Bob, demo.BobPassword}, // who has not consented yet
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for walk, walks := range map[string]func(*testing.T, *tour){
				"code": tourCode, "pkce": tourPKCE, "implicit": tourImplicit, "password": tourPassword, "client": tourClient, "refresh": tourRefresh,
			} {
				t.Run(walk, func(t *testing.T) {
					p.Tab = oauthtest.NewTab(t)
					p.Scripts(t, p.scripts)
					p.Open(t, issuer+"/")
					p.Follow(t, "#home-playground")
					want(t, p.Tab, "/auth/playground", http.StatusOK)
					p.Follow(t, "#walk-"+walk+" a")
					look(t, p.Tab)
					walks(t, &p)
				})
			}
		})
	}
}

// send presses a step's button and checks the status that the page shows.
func (p *tour) send(t *testing.T, step, status string) {
	t.Helper()
	p.Follow(t, "#run-"+step+" .primary")
	p.shows(t, step, status)
}

// fail presses one of the buttons that make a mistake.
func (p *tour) fail(t *testing.T, step, fault, status string) {
	t.Helper()
	p.Follow(t, "#run-"+step+" button[value="+fault+"]")
	p.shows(t, step, status)
}

func (p *tour) shows(t *testing.T, step, status string) {
	t.Helper()
	look(t, p.Tab)
	if got := p.Text(t, "#status-"+step); got != status {
		t.Fatalf("the page shows status %q for %s, want %q:\n%s", got, step, status, p.Text(t, "main"))
	}
}

// asks checks the first line of the request that the page shows.
func (p *tour) asks(t *testing.T, step, line string) {
	t.Helper()
	if got := p.Text(t, "#request-"+step); !strings.HasPrefix(got, line) {
		t.Errorf("the request of %s is %s, want %s", step, got, line)
	}
}

// signIn goes to the authorization endpoint and comes back.
func (p *tour) signIn(t *testing.T) {
	t.Helper()
	p.Follow(t, "#go")
	want(t, p.Tab, "/auth/login", http.StatusOK)
	p.SignIn(t, p.username, p.password)
	want(t, p.Tab, "/auth/consent", http.StatusOK)
	p.Follow(t, "#consent-approve")
	want(t, p.Tab, "/auth/playground/callback", http.StatusOK)
}

// has checks that a token is shown, and whether it is read.
func (p *tour) has(t *testing.T, token string, read bool) {
	t.Helper()
	text := p.Text(t, "#token-"+token)
	if strings.Contains(text, p.issuer) != read || p.Text(t, "#raw-"+token) == "" {
		t.Errorf("%s is shown as:\n%s", token, text)
	}
}

// introspects checks whether the token is in force.
func (p *tour) introspects(t *testing.T, active string) {
	t.Helper()
	p.send(t, "introspect", "200 OK")
	if got := p.Text(t, "#answer-introspect"); !strings.Contains(got, `"active": `+active) {
		t.Errorf("introspection shows %s, want active: %s", got, active)
	}
}

func tourCode(t *testing.T, p *tour) {
	p.asks(t, "authorize", "GET /auth/open/authorize/index")
	p.signIn(t)
	p.fail(t, "exchange", "secret", "401 Unauthorized")
	p.send(t, "exchange", "200 OK")
	p.asks(t, "exchange", "POST /auth/oauth2/authorize ")
	p.has(t, "access_token", true)
	p.has(t, "refresh_token", false)
	p.introspects(t, "true")
	p.send(t, "refresh", "200 OK")
	p.send(t, "revoke_refresh", "200 OK")
	p.introspects(t, "false")
}

func tourPKCE(t *testing.T, p *tour) {
	p.asks(t, "pkce", "GET /auth/open/authorize/index")
	p.signIn(t)
	p.fail(t, "verify", "verifier", "400 Bad Request")
	p.send(t, "verify", "200 OK")
	p.has(t, "access_token", true)
	p.introspects(t, "true")
	p.send(t, "replay", "400 Bad Request") // and the grant is gone
	p.introspects(t, "false")
}

func tourImplicit(t *testing.T, p *tour) {
	p.asks(t, "implicit", "GET /auth/open/implicit")
	p.signIn(t)
	var answer string
	p.Eval(t, `document.querySelector("#answer").value`, &answer)
	if filled := answer != ""; filled != p.scripts {
		t.Fatalf("the page found the answer: %t", filled)
	}
	if !p.scripts { // a person copies the address
		p.Paste(t, "#answer", p.URL(t).String())
	}
	p.Follow(t, "#run-fragment .primary")
	look(t, p.Tab)
	p.has(t, "access_token", true)
	p.introspects(t, "true")
	p.send(t, "revoke_access", "200 OK")
	p.introspects(t, "false")
}

func tourPassword(t *testing.T, p *tour) {
	p.fail(t, "password", "password", "400 Bad Request")
	p.send(t, "password", "200 OK")
	p.asks(t, "password", "POST /auth/oauth2/password ")
	p.has(t, "access_token", true)
	p.has(t, "refresh_token", false)
	p.introspects(t, "true")
}

func tourClient(t *testing.T, p *tour) {
	p.fail(t, "client", "scope", "400 Bad Request")
	p.send(t, "client", "200 OK")
	p.asks(t, "client", "POST /auth/oauth2/client-credentials ")
	p.has(t, "access_token", true)
	p.introspects(t, "true")
	p.send(t, "revoke_access", "200 OK")
	p.introspects(t, "false")
}

func tourRefresh(t *testing.T, p *tour) {
	p.send(t, "first", "200 OK")
	p.send(t, "refresh", "200 OK")
	p.asks(t, "refresh", "POST /auth/oauth2/refresh-token ")
	p.has(t, "access_token", true)
	p.has(t, "refresh_token", false)
	p.send(t, "previous", "200 OK") // a moment later it is a repetition, and forgiven
	p.introspects(t, "true")
}
