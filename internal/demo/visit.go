package demo

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// A visit is what somebody has got so far on one walk. A real client keeps this
// on its server; the playground has it travel in its forms, which is fine for
// tokens that everybody may see.
type visit struct {
	walk    *walk
	browser string // the form token: a secret that this browser shares with the server

	code, verifier  string
	access, refresh string
	previous        string // the refresh token before this one
	trail           []web.PlaygroundTrail

	// What the last form said beside.
	username, password, scope, answer string
	fault                             web.PlaygroundFault
}

// maxTrail is how much of the past a page shows.
const maxTrail = 12

// fields are the visit for the next form.
func (v *visit) fields() []web.Field {
	fields := []web.Field{{Name: "walk", Value: string(v.walk.name)}}
	for _, f := range []web.Field{
		{Name: "code", Value: v.code}, {Name: "code_verifier", Value: v.verifier},
		{Name: "access_token", Value: v.access}, {Name: "refresh_token", Value: v.refresh}, {Name: "previous_token", Value: v.previous},
		{Name: "trail", Value: trailText(v.trail)},
	} {
		if f.Value != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// readVisit reads what fields wrote, and what a person typed.
func readVisit(form oauth.Form, browser string) *visit {
	return &visit{
		walk: walkNamed(form.Get("walk")), browser: browser,
		code: form.Get("code"), verifier: form.Get("code_verifier"),
		access: form.Get("access_token"), refresh: form.Get("refresh_token"), previous: form.Get("previous_token"),
		trail:    readTrail(form.Get("trail")),
		username: form.Get("username"), password: form.Get("password"), scope: form.Get("scope"), answer: form.Get("answer"),
		fault: web.PlaygroundFault(form.Get("fault")),
	}
}

func trailText(trail []web.PlaygroundTrail) string {
	entries := make([]string, len(trail))
	for i, t := range trail {
		entries[i] = string(t.Name) + ":" + t.Outcome
	}
	return strings.Join(entries, " ")
}

func readTrail(text string) []web.PlaygroundTrail {
	var trail []web.PlaygroundTrail
	for _, entry := range strings.Fields(text) {
		name, outcome, _ := strings.Cut(entry, ":")
		if step := web.PlaygroundStepName(name); web.IsPlaygroundRun(step) && len(outcome) <= len("inactive") {
			trail = append(trail, web.PlaygroundTrail{Name: step, Outcome: outcome})
		}
	}
	return trail[max(0, len(trail)-maxTrail):]
}

// keyed derives a value that only this browser gets from the server, so that
// nothing has to be stored between a request and its answer.
func keyed(browser, purpose, text string) string {
	mac := hmac.New(sha256.New, []byte(browser))
	mac.Write([]byte(purpose + " " + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// newState makes the state of a request: the client's id, something random, and a
// seal that ties both to the browser (RFC 6749 Section 10.12).
func newState(browser, clientID string) string {
	random := strings.ToLower(rand.Text()[:12])
	return clientID + "." + random + "." + keyed(browser, "state", clientID+"."+random)[:12]
}

// checkState says whether a state is one that this browser set out with.
func checkState(browser, state string) web.PlaygroundCheck {
	dot := strings.LastIndexByte(state, '.')
	switch {
	case dot > 0 && hmac.Equal([]byte(state[dot+1:]), []byte(keyed(browser, "state", state[:dot])[:12])):
		return web.CheckGood
	case state == WebID || state == AppID || state == LegacyID:
		return web.CheckFixed
	}
	return web.CheckBad
}

// clientOf is the client that a state was made for.
func clientOf(state string) string {
	clientID, _, _ := strings.Cut(state, ".")
	return clientID
}

// verifierOf is the code_verifier that belongs to a state, RFC 7636 Section 4.1:
// 43 characters that nobody but this browser and the server can know.
func verifierOf(browser, state string) string {
	if state == AppID { // the printed address has no browser yet
		return Verifier
	}
	return keyed(browser, "verifier", state)
}
