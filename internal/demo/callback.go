package demo

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// callback is where the authorization endpoint sends the browser back to: with a
// code, with an error, or with something behind the # that does not arrive here.
func (p *Playground) callback(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	browser := p.Browsers.FormToken(p.Browsers.ID(w, r))
	if form.Get("code") == "" && form.Get("error") == "" {
		return p.askFragment(w, r, &visit{walk: walkNamed(string(web.WalkImplicit)), browser: browser})
	}
	state := form.Get("state")
	v := &visit{walk: walkNamed(string(web.WalkCode)), browser: browser, code: form.Get("code")}
	if clientOf(state) == AppID {
		v.walk, v.verifier = walkNamed(string(web.WalkPKCE)), verifierOf(browser, state)
	}
	pairs := pairsOf(r.URL.RawQuery)
	c := get(p.calls().callback(), pairs...)
	came := web.PlaygroundStep{Name: web.StepCallback, Source: stepCallback.source, Call: shownCall(c), Parameters: p.parameters(pairs, browser)}
	came.Call.Command = ""
	page := p.page(v)
	page.Steps = p.returned(v, came, state)
	return p.Pages.Render(w, r, http.StatusOK, page)
}

// returned are the steps when the browser is back: what came with it, and the
// exchange that follows.
func (p *Playground) returned(v *visit, came web.PlaygroundStep, state string) []web.PlaygroundStep {
	first, last := v.walk.steps[0], v.walk.steps[2]
	exchange := web.PlaygroundStep{Name: last.name, Source: last.source}
	switch {
	case v.code == "":
		came.Note, came.Restart, exchange.Ahead = web.NoteDenied, p.link(v.walk.path), true
	default:
		p.prepare(&exchange, v)
	}
	if state != "" && checkState(v.browser, state) == web.CheckBad {
		came.Note, came.Restart, exchange.Forms = web.NoteForeignState, p.link(v.walk.path), nil
	}
	return []web.PlaygroundStep{
		{Name: first.name, Done: true}, came, exchange, {Name: web.StepNext, Ahead: true},
	}
}

// askFragment has a script, or the person, bring what stands behind the #.
func (p *Playground) askFragment(w http.ResponseWriter, r *http.Request, v *visit) error {
	fragment := web.PlaygroundStep{Name: web.StepFragment, Source: stepFragment.source}
	p.prepare(&fragment, v)
	// The script puts the token into the place of its name.
	check := web.PlaygroundStep{Name: web.StepIntrospect, Source: stepIntrospect.source, Call: shownCall(p.calls().introspect("ACCESS_TOKEN"))}
	page := p.page(v)
	page.Steps = []web.PlaygroundStep{{Name: web.StepImplicit, Done: true}, fragment, check}
	return p.Pages.Render(w, r, http.StatusOK, page)
}

// readFragment shows the answer of the implicit grant as it was brought: a whole
// address, or what stands behind its #.
func (p *Playground) readFragment(v *visit, shown *web.PlaygroundStep) {
	text := strings.TrimSpace(v.answer)
	if _, fragment, found := strings.Cut(text, "#"); found {
		text = fragment
	}
	pairs := pairsOf(text)
	shown.Parameters = p.parameters(pairs, v.browser)
	said := map[string]string{}
	for _, pair := range pairs {
		said[pair.Name] = pair.Value
	}
	state := said["state"]
	switch {
	case said["error"] != "":
		shown.Note = web.NoteDenied
	case said["access_token"] == "":
		shown.Note, shown.Parameters = web.NoteNoToken, nil
	case state != "" && checkState(v.browser, state) == web.CheckBad:
		shown.Note = web.NoteForeignState
	default:
		v.access = said["access_token"]
		v.trail = append(v.trail, web.PlaygroundTrail{Name: web.StepFragment, Outcome: "200"})
		shown.Note, shown.Tokens = web.NoteDecoded, []web.PlaygroundToken{decoded("access_token", v.access)}
	}
}

// maxPairs is how many parameters of an answer are looked at; ours have seven at
// most.
const maxPairs = 20

// pairsOf reads the parameters of a query or a fragment in the order in which
// they stand.
func pairsOf(encoded string) []oauth.Param {
	var pairs []oauth.Param
	for pair := range strings.SplitSeq(encoded, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plainName, err := url.QueryUnescape(name)
		if err != nil || name == "" || name == "lang" || len(pairs) == maxPairs { // lang is the page's own
			continue
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			pairs = append(pairs, oauth.Param{Name: plainName, Value: plain})
		}
	}
	return pairs
}

// parameters are those of an answer with what a client must compare: state (RFC
// 6749 Section 10.12) and iss (RFC 9207 Section 2.4).
func (p *Playground) parameters(pairs []oauth.Param, browser string) []web.PlaygroundParameter {
	var parameters []web.PlaygroundParameter
	for _, pair := range pairs {
		shown := web.PlaygroundParameter{Name: pair.Name, Value: pair.Value}
		switch pair.Name {
		case "state":
			shown.Check = checkState(browser, pair.Value)
		case "iss":
			shown.Check = web.CheckBad
			if pair.Value == p.Issuer {
				shown.Check = web.CheckGood
			}
		}
		parameters = append(parameters, shown)
	}
	return parameters
}
