package web

import (
	"errors"
	"html"
	"html/template"
	"net/url"
)

// A LogoutPage asks whether to end the session; path /end-session.
type LogoutPage struct {
	Username  string
	Action    string
	FormToken string
	Request   string // what the answer must carry on, sealed; "" sends no such field
	Self      string
	UILocales string
}

func (LogoutPage) template() string { return "logout.html" }
func (p LogoutPage) view() any      { return p }
func (p LogoutPage) frame() pageFrame {
	return pageFrame{title: "logout.title", self: p.Self, uiLocales: p.UILocales, flow: true}
}

// A LoggedOutPage says that the session has ended; path /logout/done.
type LoggedOutPage struct {
	ContinueURL string // "" leads to the server's own page
	Self        string
	UILocales   string
}

func (LoggedOutPage) template() string { return "logged_out.html" }

func (p LoggedOutPage) frame() pageFrame {
	return pageFrame{title: "loggedout.title", self: p.Self, uiLocales: p.UILocales, flow: true}
}

func (p LoggedOutPage) view() any {
	p.ContinueURL = webAddress(p.ContinueURL)
	return p
}

// A Field is one parameter of a form-post response.
type Field struct{ Name, Value string }

// A FormPostPage carries an authorization response to the client in a form
// that sends itself, as OAuth 2.0 Form Post Response Mode has it. Without
// scripts the person presses its button.
type FormPostPage struct {
	Action    string // the redirect URI, byte for byte
	Fields    []Field
	UILocales string
}

func (FormPostPage) template() string { return "form_post.html" }

func (p FormPostPage) frame() pageFrame {
	return pageFrame{title: "formpost.title", uiLocales: p.UILocales, script: "form_post.js", flow: true}
}

// A formPostView is what form_post.html reads.
type formPostView struct {
	Host   string
	Fields []Field
	action string
}

// Action is the form's action attribute. The template's own escaping would
// also rewrite characters that an address may hold, such as a parenthesis, and
// the answer must go to the registered URI exactly.
func (v formPostView) Action() (template.HTMLAttr, error) {
	u, err := url.Parse(v.action)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", errors.New("a form can only be posted to an http or https address")
	}
	return template.HTMLAttr(`action="` + html.EscapeString(v.action) + `"`), nil //nolint:gosec // G203: escaped, and the scheme is checked
}

func (p FormPostPage) view() any {
	v := formPostView{Fields: p.Fields, action: p.Action}
	if u, err := url.Parse(p.Action); err == nil {
		v.Host = u.Host
	}
	return v
}

// A HomePage says what this server is; path /.
type HomePage struct {
	Issuer        string
	Username      string // "" when nobody is signed in
	SignInURL     string
	SignOutURL    string
	MetadataURL   string
	PlaygroundURL string // "" without a playground
	Self          string
}

func (HomePage) template() string { return "home.html" }
func (p HomePage) view() any      { return p }
func (p HomePage) frame() pageFrame {
	return pageFrame{title: "home.title", self: p.Self}
}
