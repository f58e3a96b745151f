package web

import (
	"unicode"
)

// An Account is one that a browser knows.
type Account struct {
	Username string
	SignedIn bool
}

// A SelectAccountPage asks with which account to go on; path /select-account.
type SelectAccountPage struct {
	Client    Client
	Accounts  []Account
	Action    string
	Request   string // the sealed authorization request
	FormToken string
	Self      string
	UILocales string
}

func (SelectAccountPage) template() string { return "select_account.html" }

func (p SelectAccountPage) frame() pageFrame {
	return pageFrame{title: "select.title", self: p.Self, uiLocales: p.UILocales, flow: true, image: p.Client.view().logoOrigin, accent: p.Client.AccentColor}
}

// A selectAccountView is what select_account.html reads.
type selectAccountView struct {
	SelectAccountPage
	Client   clientView
	Accounts []accountView
}

type accountView struct {
	Account
	Initial string
}

func (p SelectAccountPage) view() any {
	v := selectAccountView{SelectAccountPage: p, Client: p.Client.view()}
	for _, a := range p.Accounts {
		v.Accounts = append(v.Accounts, accountView{a, initial(a.Username)})
	}
	return v
}

// initial is the first letter or digit of a name, as it stands on a tile.
func initial(name string) string {
	for _, letter := range name {
		if unicode.IsLetter(letter) || unicode.IsDigit(letter) {
			return string(unicode.ToUpper(letter))
		}
	}
	return ""
}
