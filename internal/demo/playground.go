package demo

import (
	"net/http"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Playground walks through the grants in the browser. It plays the client:
// it sends the requests of one, and shows them with their answers. Nothing is
// kept between two pages; what the next one has to know travels in its form.
type Playground struct {
	Pages    *web.Pages
	Browsers *web.Browsers
	Issuer   string
	Base     string // path of the issuer
	// Handler is the whole server, which the requests go to. They need no network,
	// and no certificate that this machine trusts.
	Handler func() http.Handler
}

// playgroundPath is the first page, below the issuer.
const playgroundPath = "/playground"

// A walk is one way to a token.
type walk struct {
	name      web.PlaygroundWalk
	path      string // below the playground
	grantType string
	clientID  string
	legacy    bool
	addresses []web.PlaygroundAddress
	steps     []step // the way to the tokens; what comes then is free
}

// A step of a walk, and where it is specified.
type step struct {
	name   web.PlaygroundStepName
	source web.PlaygroundSource
}

var (
	stepAuthorize = step{web.StepAuthorize, web.PlaygroundSource{RFC: "6749", Section: "4.1.1"}}
	stepPKCE      = step{web.StepPKCE, web.PlaygroundSource{RFC: "7636", Section: "4.3"}}
	stepCallback  = step{web.StepCallback, web.PlaygroundSource{RFC: "6749", Section: "4.1.2"}}
	stepExchange  = step{web.StepExchange, web.PlaygroundSource{RFC: "6749", Section: "4.1.3"}}
	stepVerify    = step{web.StepVerify, web.PlaygroundSource{RFC: "7636", Section: "4.5"}}
	stepImplicit  = step{web.StepImplicit, web.PlaygroundSource{RFC: "6749", Section: "4.2.1"}}
	stepFragment  = step{web.StepFragment, web.PlaygroundSource{RFC: "6749", Section: "4.2.2"}}
	stepPassword  = step{web.StepPassword, web.PlaygroundSource{RFC: "6749", Section: "4.3.2"}}
	stepFirst     = step{web.StepFirst, web.PlaygroundSource{RFC: "6749", Section: "1.5"}}
	stepClient    = step{web.StepClient, web.PlaygroundSource{RFC: "6749", Section: "4.4.2"}}
	stepRefresh   = step{web.StepRefresh, web.PlaygroundSource{RFC: "6749", Section: "6"}}

	stepPrevious      = step{web.StepPrevious, web.PlaygroundSource{RFC: "9700", Section: "4.14.2"}}
	stepIntrospect    = step{web.StepIntrospect, web.PlaygroundSource{RFC: "7662", Section: "2"}}
	stepReplay        = step{web.StepReplay, web.PlaygroundSource{RFC: "6749", Section: "4.1.2"}}
	stepRevokeAccess  = step{web.StepRevokeAccess, web.PlaygroundSource{RFC: "7009", Section: "2"}}
	stepRevokeRefresh = step{web.StepRevokeRefresh, web.PlaygroundSource{RFC: "7009", Section: "2"}}
)

var walks = []*walk{
	{web.WalkCode, "/authorization-code", oauth.GrantAuthorizationCode, WebID, false,
		[]web.PlaygroundAddress{{Method: "GET", Path: codePath}, {Method: "POST", Path: authorizationCodePath}},
		[]step{stepAuthorize, stepCallback, stepExchange}},
	{web.WalkPKCE, "/pkce", oauth.GrantAuthorizationCode, AppID, false,
		[]web.PlaygroundAddress{{Method: "GET", Path: codePath}, {Method: "POST", Path: authorizationCodePath}},
		[]step{stepPKCE, stepCallback, stepVerify}},
	{web.WalkImplicit, "/implicit", oauth.GrantImplicit, LegacyID, true,
		[]web.PlaygroundAddress{{Method: "GET", Path: implicitPath}},
		[]step{stepImplicit, stepFragment}},
	{web.WalkPassword, "/password", oauth.GrantPassword, LegacyID, true,
		[]web.PlaygroundAddress{{Method: "POST", Path: passwordPath}},
		[]step{stepPassword}},
	{web.WalkClient, "/client-credentials", oauth.GrantClientCredentials, ServiceID, false,
		[]web.PlaygroundAddress{{Method: "POST", Path: clientCredentialsPath}},
		[]step{stepClient}},
	{web.WalkRefresh, "/refresh-token", oauth.GrantRefreshToken, LegacyID, false,
		[]web.PlaygroundAddress{{Method: "POST", Path: refreshTokenPath}},
		[]step{stepFirst, stepRefresh}},
}

// walkNamed finds a walk by its name; the first one for a name that is none.
func walkNamed(name string) *walk {
	for _, w := range walks {
		if string(w.name) == name {
			return w
		}
	}
	return walks[0]
}

// Handlers are the pages by their paths below the issuer.
func (p *Playground) Handlers() map[string]web.Handler {
	handlers := map[string]web.Handler{
		playgroundPath: web.Only("GET, HEAD", p.overview),
		callbackPath:   web.Only("GET, HEAD", p.callback),
	}
	for _, w := range walks {
		handlers[playgroundPath+w.path] = web.Only("GET, HEAD", func(rw http.ResponseWriter, r *http.Request) error { return p.begin(rw, r, w) })
	}
	for _, a := range actions {
		handlers[a.path()] = func(rw http.ResponseWriter, r *http.Request) error { return p.run(rw, r, a) }
	}
	return handlers
}

// link is the address of a page. It begins with the issuer, because that is
// where the authorization endpoint will bring the browser back to, and another
// name of the same machine would be another browser's.
func (p *Playground) link(path string) string { return p.Issuer + playgroundPath + path }

func (p *Playground) calls() calls { return calls{p.Issuer} }

// overview is the first page.
func (p *Playground) overview(w http.ResponseWriter, r *http.Request) error {
	page := web.PlaygroundPage{People: people(), Clients: []web.PlaygroundClient{
		{ID: WebID, Secret: WebSecret}, {ID: AppID}, {ID: ServiceID, Secret: ServiceSecret}, {ID: LegacyID, Secret: LegacySecret},
	}}
	for _, walk := range walks {
		page.Cards = append(page.Cards, web.PlaygroundCard{
			Walk: walk.name, URL: p.link(walk.path), GrantType: walk.grantType, Addresses: walk.addresses, Legacy: walk.legacy,
		})
	}
	return p.Pages.Render(w, r, http.StatusOK, page)
}

func people() []web.PlaygroundPerson {
	return []web.PlaygroundPerson{{Username: Alice, Password: AlicePassword}, {Username: Bob, Password: BobPassword}}
}

// page is the frame of every page of a walk.
func (p *Playground) page(v *visit) web.PlaygroundWalkPage {
	page := web.PlaygroundWalkPage{
		Walk: v.walk.name, HomeURL: p.link(""), ClientID: v.walk.clientID, Public: secrets[v.walk.clientID] == "", Legacy: v.walk.legacy, Trail: v.trail,
	}
	for _, w := range walks {
		page.Tabs = append(page.Tabs, web.PlaygroundTab{Walk: w.name, URL: p.link(w.path)})
	}
	return page
}

// begin is the first page of a walk.
func (p *Playground) begin(w http.ResponseWriter, r *http.Request, walk *walk) error {
	browser := p.Browsers.FormToken(p.Browsers.ID(w, r))
	v := &visit{walk: walk, browser: browser}
	page := p.page(v)
	for i, s := range walk.steps {
		shown := web.PlaygroundStep{Name: s.name, Source: s.source, Ahead: i > 0}
		if i == 0 {
			p.prepare(&shown, v)
		}
		page.Steps = append(page.Steps, shown)
	}
	page.Steps = append(page.Steps, web.PlaygroundStep{Name: web.StepNext, Ahead: true})
	return p.Pages.Render(w, r, http.StatusOK, page)
}

// prepare shows the request of a step before it is sent, and how to send it.
func (p *Playground) prepare(s *web.PlaygroundStep, v *visit) {
	switch s.Name {
	case web.StepAuthorize, web.StepPKCE, web.StepImplicit:
		p.prepareLink(s, v)
	default:
		a := actionNamed(s.Name)
		if c, ok := a.call(p.calls(), v); ok {
			s.Call = shownCall(c)
		}
		s.Forms = []web.PlaygroundForm{p.form(a, v)}
	}
}

// prepareLink shows the address that leads to sign-in.
func (p *Playground) prepareLink(s *web.PlaygroundStep, v *visit) {
	state := newState(v.browser, v.walk.clientID)
	var c call
	switch s.Name {
	case web.StepImplicit:
		c = p.calls().implicit(state)
	case web.StepPKCE:
		c = p.calls().authorize(v.walk.clientID, state, verifierOf(v.browser, state))
	default:
		c = p.calls().authorize(v.walk.clientID, state, "")
	}
	s.Call, s.Link, s.People = shownCall(c), c.url(), people()
	s.Call.Command = "" // only a browser can sign in
}

// form sends the request of an action and carries on what the visit knows.
func (p *Playground) form(a *action, v *visit) web.PlaygroundForm {
	f := web.PlaygroundForm{Name: a.name, URL: p.Base + a.path(), FormToken: v.browser, Hidden: v.fields(), Faults: a.faults}
	if a.inputs != nil {
		f.Inputs = a.inputs(v)
	}
	if secrets[v.walk.clientID] == "" {
		f.Faults = without(f.Faults, web.FaultSecret)
	}
	return f
}

func without(faults []web.PlaygroundFault, unwanted web.PlaygroundFault) []web.PlaygroundFault {
	var kept []web.PlaygroundFault
	for _, f := range faults {
		if f != unwanted {
			kept = append(kept, f)
		}
	}
	return kept
}
