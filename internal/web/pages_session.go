package web

import (
	"errors"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
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

// A LoggedOutPage says that the session has ended; path /logout/done. Clients that want to
// be told by the browser are told by frames in it, OpenID Connect Front-Channel Logout
// 1.0 Section 2.
type LoggedOutPage struct {
	ContinueURL string   // "" leads to the server's own page
	Leave       bool     // lead on to it without being asked
	Frames      []string // addresses of the clients
	Self        string
	UILocales   string
}

// leaveAfter is how long a page that leads on by itself is shown once everything in it
// has loaded. The browser of the conformance suite (HtmlUnit) ignores what takes longer.
const leaveAfter = 2 * time.Second

func (LoggedOutPage) template() string { return "logged_out.html" }

func (p LoggedOutPage) frame() pageFrame {
	f := pageFrame{title: "loggedout.title", self: p.Self, uiLocales: p.UILocales, flow: true}
	if p.Leave {
		f.refresh = nextAddress(p.ContinueURL)
	}
	for _, frame := range p.Frames {
		if origin := oauth.Origin(frame); origin != "" && !slices.Contains(f.frames, origin) {
			f.frames = append(f.frames, origin)
		}
	}
	return f
}

// A loggedOutView is what logged_out.html reads. The template's own escaping would
// rewrite characters that an address may hold, and address the wrong thing.
type loggedOutView struct {
	Continue template.HTMLAttr // "" leads to the server's own page
	Leave    bool
	Frames   []template.HTMLAttr
}

func (p LoggedOutPage) view() any {
	var v loggedOutView
	if next := nextAddress(p.ContinueURL); next != "" {
		v.Continue, v.Leave = attribute("href", next), p.Leave
	}
	for _, frame := range p.Frames {
		if oauth.Origin(frame) != "" {
			v.Frames = append(v.Frames, attribute("src", frame))
		}
	}
	return v
}

// attribute is an attribute with an address whose scheme was checked.
func attribute(name, address string) template.HTMLAttr {
	return template.HTMLAttr(name + `="` + html.EscapeString(address) + `"`) //nolint:gosec // G203: escaped, and the scheme is checked
}

// nextAddress returns address when a page may lead on to it: what webAddress takes, and
// the address of an application, whose scheme is a reversed domain name.
func nextAddress(address string) string {
	if u, err := url.Parse(address); err == nil && strings.Contains(u.Scheme, ".") {
		return address
	}
	return webAddress(address)
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
	return attribute("action", v.action), nil
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
	AccountURL    string // where they look after their account
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
