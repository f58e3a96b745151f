package web

import (
	"strings"
	"time"
)

// A Passkey is one that a person has added.
type Passkey struct {
	ID      string
	Name    string // what they call it; "" when they and the authenticator do not say
	Roaming bool   // something to carry around and plug in, and not a part of a device
	AddedAt time.Time
	UsedAt  time.Time // zero until its first use
}

// A PasskeysPage is where people look after their passkeys; path /account/passkeys.
type PasskeysPage struct {
	Person
	Passkeys   []Passkey
	Full       bool   // there are as many as may be
	Problem    string // key of PasskeyProblems; "" for none
	OptionsURL string // where the browser gets a challenge to add one
	RPID       string // what browsers know the server by
	UserHandle string // and the person, base64url
}

// PasskeyProblems are why a change was not made.
var PasskeyProblems = []string{"refused", "late", "taken", "full", "last"}

func (PasskeysPage) template() string { return "account_passkeys.html" }

func (p PasskeysPage) frame() pageFrame {
	f := p.accountFrame("passkeys.title")
	f.script, f.connects = "passkey.js", true
	return f
}

func (p PasskeysPage) view() any {
	v := struct {
		personView
		Of         PasskeysPage
		Passkeys   []Passkey
		ProblemKey string // catalogue key, "" without a problem
		Accepted   string // the ids of all, for the browser to forget others
	}{personView: p.in(sectionSecurity), Of: p}
	var ids []string
	for _, k := range p.Passkeys {
		k.Name = plainName(k.Name)
		v.Passkeys, ids = append(v.Passkeys, k), append(ids, k.ID)
	}
	v.Accepted = strings.Join(ids, " ")
	for _, known := range PasskeyProblems {
		if p.Problem == known {
			v.ProblemKey = "passkeys.problem." + known
		}
	}
	return v
}
