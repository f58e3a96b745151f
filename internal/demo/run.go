package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// run takes the form of an action: it sends the request and shows what came.
func (p *Playground) run(w http.ResponseWriter, r *http.Request, a *action) error {
	if r.Method != http.MethodPost {
		// Somebody reloads, or comes back later; what the form knew is gone.
		return web.Redirect(w, p.link(""))
	}
	form, err := oauth.ParseForm(r)
	if err != nil {
		return err
	}
	if err := p.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	v := readVisit(form, form.Get("form_token"))
	shown := web.PlaygroundStep{Name: a.name, Source: a.source}
	if c, ok := a.call(p.calls(), v); ok {
		if err := p.exchange(r, a, v, mistaken(c, v.fault), &shown); err != nil {
			return err
		}
	} else {
		p.readFragment(v, &shown)
	}
	page := p.page(v)
	page.Self = p.Base + playgroundPath + v.walk.path
	page.Steps = p.steps(v, shown)
	return p.Pages.Render(w, r, http.StatusOK, page)
}

// exchange sends one request and describes it with its answer.
func (p *Playground) exchange(r *http.Request, a *action, v *visit, c call, shown *web.PlaygroundStep) error {
	got, err := p.send(r, c)
	if err != nil {
		return err
	}
	was := *v
	v.learn(a, got)
	shown.Call, shown.Answer, shown.Note = shownCall(c), got.shown(), noteOf(a, v, was, got)
	if v.access != was.access {
		shown.Tokens = append(shown.Tokens, decoded("access_token", v.access))
	}
	if v.refresh != was.refresh {
		shown.Tokens = append(shown.Tokens, decoded("refresh_token", v.refresh))
	}
	return nil
}

// steps puts what was just done among the steps of its walk: those before it are
// done, the next one is ready to go.
func (p *Playground) steps(v *visit, shown web.PlaygroundStep) []web.PlaygroundStep {
	var steps []web.PlaygroundStep
	at := len(v.walk.steps) // an action beside the way comes behind it
	for i, s := range v.walk.steps {
		if s.name == shown.Name {
			at = i
		}
	}
	for i, s := range v.walk.steps {
		step := web.PlaygroundStep{Name: s.name, Source: s.source, Done: i < at, Ahead: i > at}
		switch {
		case i == at && v.access == "":
			p.retry(&shown, v)
			step = shown
		case i == at:
			step = shown
		case i == at+1 && v.access != "":
			step.Ahead = false
			p.prepare(&step, v)
		}
		steps = append(steps, step)
	}
	if at == len(v.walk.steps) {
		steps = append(steps, shown)
	}
	next := web.PlaygroundStep{Name: web.StepNext, Ahead: at < len(v.walk.steps)-1 || v.access == ""}
	if !next.Ahead {
		next.Forms = p.choices(v)
	}
	return append(steps, next)
}

// retry offers a step once more that has brought no token.
func (p *Playground) retry(shown *web.PlaygroundStep, v *visit) {
	v.fault = ""
	if shown.Note == web.NoteForeignState || shown.Note == web.NoteDenied {
		shown.Restart = p.link(v.walk.path)
		return
	}
	shown.Forms = []web.PlaygroundForm{p.form(actionNamed(shown.Name), v)}
}

// choices are what can be done with the tokens of a visit.
func (p *Playground) choices(v *visit) []web.PlaygroundForm {
	var forms []web.PlaygroundForm
	for _, choice := range []struct {
		possible bool
		name     web.PlaygroundStepName
	}{
		{true, web.StepIntrospect},
		{v.refresh != "", web.StepRefresh},
		{v.previous != "", web.StepPrevious},
		{v.code != "", web.StepReplay},
		{true, web.StepRevokeAccess},
		{v.refresh != "", web.StepRevokeRefresh},
	} {
		if choice.possible {
			form := p.form(actionNamed(choice.name), v)
			form.Faults = nil
			forms = append(forms, form)
		}
	}
	return forms
}

// An answer is what the server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request to the server's own handler: the same code with the same
// checks that a request from outside meets.
func (p *Playground) send(r *http.Request, c call) (answer, error) {
	request, err := http.NewRequestWithContext(r.Context(), c.method, c.address, strings.NewReader(c.encoded()))
	if err != nil {
		return answer{}, err
	}
	for _, h := range c.headers() {
		request.Header.Set(h.Name, h.Value)
	}
	request.RemoteAddr = r.RemoteAddr // limits count whoever presses the button
	into := &recorder{answer: answer{status: http.StatusOK, header: http.Header{}}}
	p.Handler().ServeHTTP(into, request)
	into.answer.body = into.buffer.Bytes()
	return into.answer, nil
}

// headers are those that a client sends itself.
func (c call) headers() []web.Field {
	if c.method == http.MethodGet {
		return nil
	}
	return []web.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Accept", Value: "application/json"}}
}

// A recorder is a response that stays in memory.
type recorder struct {
	answer  answer
	buffer  bytes.Buffer
	started bool
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.answer.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if !r.started {
		r.started, r.answer.status = true, status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.started = true
	return r.buffer.Write(b)
}

// telling are the headers of an answer that have something to teach.
var telling = []string{"Content-Type", "Cache-Control", "Pragma", "WWW-Authenticate", "Retry-After", "Access-Control-Allow-Origin", "X-Request-Id"}

func (a answer) shown() *web.PlaygroundAnswer {
	shown := &web.PlaygroundAnswer{Status: a.status, Body: string(a.body)}
	for _, name := range telling {
		for _, value := range a.header.Values(name) {
			shown.Headers = append(shown.Headers, web.Field{Name: name, Value: value})
		}
	}
	return shown
}

func shownCall(c call) *web.PlaygroundCall {
	shown := &web.PlaygroundCall{Method: c.method, URL: c.address, Headers: c.headers(), Command: c.curl()}
	for _, p := range c.params {
		shown.Params = append(shown.Params, web.Field{Name: p.Name, Value: escape(p.Value)})
	}
	return shown
}

// decoded shows a token with what anybody can read in it: the header and the
// claims of a JWT, RFC 7519 Section 3. Nothing is verified; that is what an API
// would do.
func decoded(name, token string) web.PlaygroundToken {
	t := web.PlaygroundToken{Name: name, Raw: token}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return t
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || !json.Valid(header) {
		return t
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !json.Valid(claims) {
		return t
	}
	t.Header, t.Claims = string(header), string(claims)
	return t
}
