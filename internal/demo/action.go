package demo

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// An action is a step that sends a request. Each stands once, with everything
// there is to know about it.
type action struct {
	step
	// call makes the request; false when there is none, because the answer is here
	// already.
	call   func(c calls, v *visit) (call, bool)
	inputs func(v *visit) []web.Field
	faults []web.PlaygroundFault
	// note says what a success means, after the visit has learnt of it.
	note func(v *visit, was visit) web.PlaygroundNote
}

// path is the address of the action's form, below the issuer.
func (a *action) path() string {
	return playgroundPath + "/run/" + strings.ReplaceAll(string(a.name), "_", "-")
}

func always(note web.PlaygroundNote) func(*visit, visit) web.PlaygroundNote {
	return func(*visit, visit) web.PlaygroundNote { return note }
}

var actions = []*action{
	{stepFragment, nothing, inputAnswer, nil, nil},
	{stepExchange, callExchange, nil, []web.PlaygroundFault{web.FaultSecret}, always(web.NoteTokens)},
	{stepVerify, callExchange, nil, []web.PlaygroundFault{web.FaultVerifier}, always(web.NoteTokens)},
	{stepPassword, callPassword, inputPassword, []web.PlaygroundFault{web.FaultPassword, web.FaultSecret}, always(web.NoteTokens)},
	{stepFirst, callPassword, nil, nil, always(web.NoteTokens)},
	{stepClient, callClient, inputScope, []web.PlaygroundFault{web.FaultSecret, web.FaultScope}, always(web.NoteTokens)},
	{stepRefresh, callRefresh, nil, nil, always(web.NoteRefreshed)},
	{stepPrevious, callPrevious, nil, nil, notePrevious},
	{stepIntrospect, callIntrospect, nil, nil, noteIntrospect},
	{stepReplay, callExchange, nil, nil, always(web.NoteTokens)},
	{stepRevokeAccess, callRevokeAccess, nil, nil, always(web.NoteRevoked)},
	{stepRevokeRefresh, callRevokeRefresh, nil, nil, always(web.NoteRevoked)},
}

func actionNamed(name web.PlaygroundStepName) *action {
	for _, a := range actions {
		if a.name == name {
			return a
		}
	}
	return nil
}

func nothing(calls, *visit) (call, bool) { return call{}, false }

func callExchange(c calls, v *visit) (call, bool) {
	return c.exchange(v.walk.clientID, v.code, v.verifier), true
}

func callRefresh(c calls, v *visit) (call, bool) { return c.refresh(v.walk.clientID, v.refresh), true }

func callPrevious(c calls, v *visit) (call, bool) {
	return c.refresh(v.walk.clientID, v.previous), true
}

func callIntrospect(c calls, v *visit) (call, bool) { return c.introspect(v.access), true }

func callRevokeAccess(c calls, v *visit) (call, bool) {
	return c.revoke(v.walk.clientID, v.access), true
}

func callRevokeRefresh(c calls, v *visit) (call, bool) {
	return c.revoke(v.walk.clientID, v.refresh), true
}

// or is what a field holds before anybody has typed into it.
func or(value, initial string) string {
	if value == "" {
		return initial
	}
	return value
}

func callPassword(c calls, v *visit) (call, bool) {
	return c.password(or(v.username, Alice), or(v.password, AlicePassword), or(v.scope, reading)), true
}

func callClient(c calls, v *visit) (call, bool) {
	return c.clientCredentials(or(v.scope, "notes:read")), true
}

func inputPassword(v *visit) []web.Field {
	return []web.Field{
		{Name: "username", Value: or(v.username, Alice)}, {Name: "password", Value: or(v.password, AlicePassword)}, {Name: "scope", Value: or(v.scope, reading)},
	}
}

func inputScope(v *visit) []web.Field {
	return []web.Field{{Name: "scope", Value: or(v.scope, "notes:read")}}
}

func inputAnswer(v *visit) []web.Field { return []web.Field{{Name: "answer", Value: v.answer}} }

// mistaken makes the mistake that was asked for.
func mistaken(c call, fault web.PlaygroundFault) call {
	switch fault {
	case web.FaultSecret:
		return c.with("client_secret", "not-the-secret-0000")
	case web.FaultPassword:
		return c.with("password", "not-the-password")
	case web.FaultScope:
		return c.with("scope", "notes:delete")
	case web.FaultVerifier:
		return c.with("code_verifier", "a-verifier-that-does-not-match-the-challenge")
	}
	return c
}

// learn keeps what an answer brought, and puts it on the trail.
func (v *visit) learn(a *action, got answer) {
	outcome := strconv.Itoa(got.status)
	var members struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		Active       *bool  `json:"active"`
	}
	if got.status == http.StatusOK && json.Unmarshal(got.body, &members) == nil {
		if members.AccessToken != "" {
			v.access = members.AccessToken
		}
		if members.RefreshToken != "" && members.RefreshToken != v.refresh {
			v.previous, v.refresh = v.refresh, members.RefreshToken
		}
		if members.Active != nil {
			outcome = map[bool]string{true: "active", false: "inactive"}[*members.Active]
		}
	}
	v.trail = append(v.trail, web.PlaygroundTrail{Name: a.name, Outcome: outcome})
	v.trail = v.trail[max(0, len(v.trail)-maxTrail):]
}

// noteOf says in words what an answer means.
func noteOf(a *action, v *visit, was visit, got answer) web.PlaygroundNote {
	if got.status == http.StatusOK {
		return a.note(v, was)
	}
	if got.status == http.StatusTooManyRequests {
		return web.NoteLimited
	}
	var refusal oauth.ErrorResponse
	_ = json.Unmarshal(got.body, &refusal) // what is no JSON has no code
	switch {
	case refusal.Error == oauth.InvalidGrant && a.name == web.StepPrevious:
		return web.NoteLate
	case refusal.Error == oauth.InvalidGrant && a.name == web.StepReplay:
		return web.NoteReplayed
	case refusal.Error == oauth.InvalidGrant:
		return web.NoteInvalidGrant
	case refusal.Error == oauth.InvalidClient:
		return web.NoteInvalidClient
	case refusal.Error == oauth.InvalidScope:
		return web.NoteInvalidScope
	}
	return web.NoteRefused
}

// notePrevious tells a forgiven repetition, which brings the same successor, from
// a token that did not have one.
func notePrevious(v *visit, was visit) web.PlaygroundNote {
	if v.refresh == was.refresh {
		return web.NoteGrace
	}
	return web.NoteRefreshed
}

func noteIntrospect(v *visit, _ visit) web.PlaygroundNote {
	if v.trail[len(v.trail)-1].Outcome == "active" {
		return web.NoteActive
	}
	return web.NoteInactive
}
