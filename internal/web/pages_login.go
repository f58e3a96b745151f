package web

import (
	"html/template"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Client is what a page shows of a client. All of it is the client's own
// word and is shown as such: escaped, and an address only when it is https.
type Client struct {
	Name      string // client_name
	Host      string // stands in for a missing name: a host of the client, or its id
	LogoURI   string
	PolicyURI string
	TermsURI  string // tos_uri
	HomeURI   string // client_uri

	AccentColor string // #RRGGBB, chosen by the operator; "" for the site's
}

// A clientView is a Client after judgement.
type clientView struct {
	Name, Host, Initial       string
	Logo, Policy, Terms, Home string
	HomeHost                  string // of Home, which is what its link shows
	Long                      bool   // the name needs smaller letters
	logoOrigin                string
}

func (c Client) view() clientView {
	v := clientView{Name: plainName(c.Name), Host: plainName(c.Host)}
	if v.Name == "" {
		v.Name = v.Host
	}
	v.Long = room(v.Name) > 36
	v.Initial = initial(v.Name)
	v.Logo, v.logoOrigin = httpsAddress(c.LogoURI)
	v.Policy, _ = httpsAddress(c.PolicyURI)
	v.Terms, _ = httpsAddress(c.TermsURI)
	v.Home, v.HomeHost = httpsAddress(c.HomeURI)
	v.HomeHost = strings.TrimPrefix(v.HomeHost, "https://")
	return v
}

// room is about how many letters' room a name takes. A Chinese character is twice
// as wide as a letter, and there are no spaces to break a line at.
func room(name string) int {
	n := 0
	for _, r := range name {
		n++
		if r >= '\u2e80' {
			n += 2
		}
	}
	return n
}

// nameBreaks are the places at which a user name that is an address may go on in the next
// line: behind the @, and before each dot.
var nameBreaks = strings.NewReplacer("@", "@<wbr>", ".", "<wbr>.")

// breakable is a user name that breaks at its joints and not within a word.
func breakable(name string) template.HTML {
	return template.HTML(nameBreaks.Replace(template.HTMLEscapeString(name))) //nolint:gosec // escaped
}

// plainName drops what could make a foreign name hide or turn the text around
// it: control and format characters. Joiners stay, scripts and emoji need them.
func plainName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\u200c' || r == '\u200d':
			return r
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			return -1
		}
		return r
	}, name)
	return strings.Join(strings.Fields(name), " ")
}

// httpsAddress returns uri and its origin when it is a plain https address,
// else two empty strings. The host must be such that it cannot end one source
// in a Content-Security-Policy and begin another; url.Parse lets ; and , pass.
func httpsAddress(uri string) (address, origin string) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.Opaque != "" || u.User != nil || u.Hostname() == "" {
		return "", ""
	}
	harmless := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_:[]", r)
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return !harmless(r) }) {
		return "", ""
	}
	return u.String(), "https://" + strings.ToLower(u.Host)
}

// webAddress returns address when a page may link to it: a path on this
// server, or an http or https URL; else "".
func webAddress(address string) string {
	if isLocalPath(address) {
		return address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return address
}

// A LoginError says why the sign-in page is shown once more. Wrong name,
// wrong password and a disabled user share one, so that nobody learns which.
type LoginError string

// The errors of the sign-in page.
const (
	LoginFailed     LoginError = "failed"     // name and password do not belong together
	LoginIncomplete LoginError = "incomplete" // one of the two was empty
	LoginThrottled  LoginError = "throttled"  // too many attempts; see LoginPage.RetryAfter
	LoginBusy       LoginError = "busy"       // no slot was free to check a password
	LoginStale      LoginError = "stale"      // the form was too old or not ours; here is a new one
	LoginPasskey    LoginError = "passkey"    // a passkey was not accepted
)

var loginErrors = []LoginError{LoginFailed, LoginIncomplete, LoginThrottled, LoginBusy, LoginStale, LoginPasskey}

// A LoginPage asks for name and password; path /login.
type LoginPage struct {
	Client     *Client // who sent the person here; nil when nobody did
	Action     string  // where the form posts to
	Request    string  // the sealed authorization request; "" when nobody asked, which also hides Cancel
	Return     string  // path below the issuer that a sign-in without a request leads to; "" for none
	Confirm    bool    // somebody is signed in, and asked to prove it once more
	SignedIn   string  // user name of who is signed in and need not do so again; "" for nobody
	AccountURL string  // where to look after an account
	FormToken  string
	PasskeyURL string // where the browser gets a challenge for a passkey; "" offers none
	Username   string // filled in already, as login_hint or the last attempt had it
	Error      LoginError
	RetryAfter int    // seconds until another attempt is taken; 0 when not known
	ForgotURL  string // where a new password is to be had; "" where there is no mail to send it by
	Self       string
	UILocales  string
}

func (LoginPage) template() string { return "login.html" }

func (p LoginPage) frame() pageFrame {
	f := pageFrame{title: "login.title", self: p.Self, uiLocales: p.UILocales, script: "password.js", flow: true, retryAfter: p.RetryAfter}
	if p.PasskeyURL != "" {
		f.script, f.connects = "login.js", true
	}
	if p.Client != nil {
		f.image, f.accent = p.Client.view().logoOrigin, p.Client.AccentColor
	}
	return f
}

// A loginView is what login.html reads.
type loginView struct {
	LoginPage
	Client                       *clientView
	ErrorKey                     string // catalogue key, "" without an error
	Wait                         wait
	UsernameFirst                bool // where the cursor begins
	UsernameWrong, PasswordWrong bool
}

func (p LoginPage) view() any {
	v := loginView{LoginPage: p, UsernameFirst: p.Username == ""}
	if p.Client != nil {
		client := p.Client.view()
		v.Client = &client
	}
	switch p.Error {
	case LoginFailed:
		v.UsernameWrong, v.PasswordWrong = true, true
	case LoginIncomplete:
		v.UsernameWrong, v.PasswordWrong = p.Username == "", p.Username != ""
	case LoginThrottled:
		v.Wait = waitFor(p.RetryAfter)
	}
	if p.Error != "" {
		v.ErrorKey = "login.error." + string(p.Error)
	}
	if v.Wait.Key != "" {
		v.ErrorKey += ".wait"
	}
	return v
}

// A wait is a span of time in words: a catalogue key and its number.
type wait struct {
	Key   string // "" when the span is not known
	Count int
}

// waitFor rounds up, so that nobody comes back too early.
func waitFor(seconds int) wait {
	switch {
	case seconds <= 0:
		return wait{}
	case seconds == 1:
		return wait{"wait.second", 1}
	case seconds <= 90:
		return wait{"wait.seconds", seconds}
	case seconds <= 90*60:
		return wait{"wait.minutes", (seconds + 59) / 60}
	default:
		return wait{"wait.hours", (seconds + 3599) / 3600}
	}
}
