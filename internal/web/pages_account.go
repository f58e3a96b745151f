package web

import (
	"slices"
	"strings"
	"time"
)

// A Person is what every page of an account shares: whose it is, and what has just
// been done.
type Person struct {
	Username   string
	Name       string // what the person is called; "" when they did not say
	FormToken  string
	SignOutURL string
	Done       string // key of what was just done, one of AccountDone; "" for nothing
	Now        time.Time
	Self       string // path and query of the page; "" when it cannot be fetched again
}

// AccountDone are the keys of what an account's pages can say was done.
var AccountDone = []string{"profile", "password", "session", "sessions", "app", "email", "conflict", "factor_added", "factor_removed", "passkey_added", "passkey_named", "passkey_removed"}

// Sections of an account, as its pages link to them below /account.
const (
	sectionOverview = "overview"
	sectionProfile  = "profile"
	sectionSecurity = "security"
	sectionSessions = "sessions"
	sectionApps     = "apps"
	sectionActivity = "activity"
	sectionData     = "data"
)

var accountSections = []string{sectionOverview, sectionProfile, sectionSecurity, sectionSessions, sectionApps, sectionActivity, sectionData}

// accountFrame is the frame of a page of an account.
func (p Person) accountFrame(title string) pageFrame {
	return pageFrame{title: title, self: p.Self, wide: true, isolated: true}
}

// An personView is what the frame of an account's pages reads.
type personView struct {
	Person
	Greeting string // the name, else the user name
	Initial  string
	Section  string // the one that the page belongs to
	Sections []string
	DoneKey  string // catalogue key; "" for nothing
}

func (p Person) in(section string) personView {
	v := personView{Person: p, Greeting: plainName(p.Name), Section: section, Sections: accountSections}
	if v.Greeting == "" {
		v.Greeting = plainName(p.Username)
	}
	v.Initial = initial(v.Greeting)
	if slices.Contains(AccountDone, p.Done) {
		v.DoneKey = "account.done." + p.Done
	}
	return v
}

// An OverviewPage is the first page of an account; path /account.
type OverviewPage struct {
	Person
	Email    string
	TwoStep  bool // a second factor is asked for
	Sessions int
	Apps     int
}

func (OverviewPage) template() string   { return "account.html" }
func (p OverviewPage) frame() pageFrame { return p.accountFrame("account.title") }
func (p OverviewPage) view() any {
	return struct {
		personView
		Of OverviewPage
	}{p.in(sectionOverview), p}
}

// A ProfileField is one thing that a person says about themselves.
type ProfileField struct {
	Name    string // of the claim, and of the field
	Value   string
	Problem bool // it is not what it has to be
}

// A ProfilePage is where people say who they are; path /account/profile.
type ProfilePage struct {
	Person
	Fields        []ProfileField
	Language      string // "en" or "zh"; "" for that of the browser
	Email         string // "" when there is none
	EmailVerified bool
	SendsMail     bool // another address can be confirmed
}

// profileInputs tells how a field is typed: the type of the input, what browsers fill in
// by themselves. The order is that of the page.
var profileInputs = []profileInput{
	{"name", "text", "name"}, {"given_name", "text", "given-name"}, {"family_name", "text", "family-name"}, {"nickname", "text", ""},
	{"birthdate", "date", ""}, {"phone_number", "tel", "tel"}, {"website", "url", ""}, {"picture", "url", ""},
}

type profileInput struct{ Name, Type, Autocomplete string }

// ProfileFields are the claims that people may set themselves.
func ProfileFields() []string {
	var names []string
	for _, input := range profileInputs {
		names = append(names, input.Name)
	}
	return names
}

type profileFieldView struct {
	ProfileField
	Type, Autocomplete string // of the input
}

func (ProfilePage) template() string   { return "account_profile.html" }
func (p ProfilePage) frame() pageFrame { return p.accountFrame("profile.title") }
func (p ProfilePage) view() any {
	v := struct {
		personView
		Of        ProfilePage
		Fields    []profileFieldView
		Wrong     bool // one of the fields has a problem
		Language  string
		Languages []string
	}{personView: p.in(sectionProfile), Of: p, Language: p.Language}
	for _, input := range profileInputs {
		field := profileFieldView{ProfileField{Name: input.Name}, input.Type, input.Autocomplete}
		for _, f := range p.Fields {
			if f.Name == input.Name {
				field.ProfileField = f
				v.Wrong = v.Wrong || f.Problem
			}
		}
		v.Fields = append(v.Fields, field)
	}
	for _, l := range languages {
		v.Languages = append(v.Languages, l.code)
	}
	return v
}

// An EmailPage takes another address; path /account/email.
type EmailPage struct {
	Person
	Email    string // the one that is known; "" for none
	Verified bool   // it is known to be theirs
	Typed    string
	Wrong    bool // what was typed is no address
}

func (EmailPage) template() string   { return "account_email.html" }
func (p EmailPage) frame() pageFrame { return p.accountFrame("email.title") }
func (p EmailPage) view() any {
	if !p.Wrong && !p.Verified {
		p.Typed = p.Email // to be confirmed
	}
	return struct {
		personView
		Of EmailPage
	}{p.in(sectionProfile), p}
}

// A SecurityPage lists the ways to sign in; path /account/security.
type SecurityPage struct {
	Person
	HasPassword bool
	PasskeysURL string // where passkeys are looked after; "" when there can be none
	Passkeys    int
	HasApp      bool // an authenticator app
	CodesLeft   int  // recovery codes, for who has a second factor
}

func (SecurityPage) template() string   { return "account_security.html" }
func (p SecurityPage) frame() pageFrame { return p.accountFrame("security.title") }
func (p SecurityPage) view() any {
	return struct {
		personView
		Of SecurityPage
	}{p.in(sectionSecurity), p}
}

// A PasswordPage takes a new password; path /account/password.
type PasswordPage struct {
	Person
	HasPassword bool
	Problem     PasswordProblem // what is wrong with the one that was sent; "" for nothing
}

func (PasswordPage) template() string { return "account_password.html" }
func (p PasswordPage) frame() pageFrame {
	f := p.accountFrame("password.title")
	f.script = "password.js"
	return f
}
func (p PasswordPage) view() any {
	return struct {
		personView
		Of PasswordPage
	}{p.in(sectionSecurity), p}
}

// A SignedIn is one browser in which somebody is signed in.
type SignedIn struct {
	SID       string
	UserAgent string
	Address   string
	Since     time.Time
	SeenAt    time.Time
	Current   bool // the browser that shows the page
}

// A SessionsPage shows where a person is signed in; path /account/sessions.
type SessionsPage struct {
	Person
	Sessions []SignedIn
	Others   bool // there may be other browsers, beside those of Sessions, that can be signed out
}

type signedInView struct {
	SignedIn
	Device Device
}

func (SessionsPage) template() string   { return "account_sessions.html" }
func (p SessionsPage) frame() pageFrame { return p.accountFrame("sessions.title") }
func (p SessionsPage) view() any {
	v := struct {
		personView
		Sessions []signedInView
		Others   bool
	}{personView: p.in(sectionSessions), Others: p.Others}
	for _, s := range p.Sessions {
		v.Sessions = append(v.Sessions, signedInView{s, DeviceOf(s.UserAgent)})
		v.Others = v.Others || !s.Current
	}
	return v
}

// An App is a client that may do something in a person's name.
type App struct {
	ID     string
	Client Client
	Scopes []ScopeView
	Since  time.Time
	UsedAt time.Time // zero when nothing of it is in use
}

// An AppsPage lists them; path /account/apps.
type AppsPage struct {
	Person
	Apps []App
}

type appView struct {
	App
	Client clientView
	Scopes []scopeView
}

func (AppsPage) template() string { return "account_apps.html" }
func (p AppsPage) frame() pageFrame {
	f := p.accountFrame("apps.title")
	for _, app := range p.Apps {
		if origin := app.Client.view().logoOrigin; origin != "" && !strings.Contains(" "+f.image+" ", " "+origin+" ") {
			f.image = strings.TrimSpace(f.image + " " + origin)
		}
	}
	return f
}
func (p AppsPage) view() any {
	v := struct {
		personView
		Apps []appView
	}{personView: p.in(sectionApps)}
	for _, app := range p.Apps {
		v.Apps = append(v.Apps, appView{app, app.Client.view(), scopeViews(app.Scopes)})
	}
	return v
}

// A Happening is something that the audit trail knows of an account.
type Happening struct {
	Kind    string // as the audit trail names it
	At      time.Time
	Address string // where it came from; "" when it was no request
	Client  string // name of the client that it is about; "" for none
	Foreign bool   // whoever runs the server did it
}

// ActivityKinds are the kinds of events that the catalogues have words for.
var ActivityKinds = []string{
	"user.sign_in", "user.sign_in_refused", "user.sign_in_throttled", "user.sign_out", "consent.given", "consent.withdrawn", "grant.revoked", "grant.replay", "token.revoked",
	"user.created", "user.changed", "user.password_changed", "user.disabled", "user.enabled",
	"user.new_device", "user.invited", "user.invitation_used", "user.reset_requested", "user.email_requested", "user.email_verified", "user.email_changed",
	"user.passkey_added", "user.passkey_removed", "user.passkey_count_back",
	"user.second_factor_added", "user.second_factor_removed", "user.recovery_codes_made", "user.recovery_code_used",
}

// An ActivityPage tells what happened lately; path /account/activity.
type ActivityPage struct {
	Person
	Happenings []Happening
	Older      string // the last one of the page, from which it goes on; "" when there are no older ones
}

// A happeningView is a row. Rows and the time have no fields of embedded structs, which
// templates find by a long search.
type happeningView struct {
	Key             string
	At              time.Time
	Address, Client string
	Foreign         bool
}

func (ActivityPage) template() string   { return "account_activity.html" }
func (p ActivityPage) frame() pageFrame { return p.accountFrame("activity.title") }
func (p ActivityPage) view() any {
	v := struct {
		personView
		Now        time.Time
		Happenings []happeningView
		Older      string
	}{personView: p.in(sectionActivity), Now: p.Now, Older: p.Older}
	for _, h := range p.Happenings {
		key := "activity.other"
		if slices.Contains(ActivityKinds, h.Kind) {
			key = "activity." + h.Kind
		}
		v.Happenings = append(v.Happenings, happeningView{key, h.At, h.Address, plainName(h.Client), h.Foreign})
	}
	return v
}

// A DataPage is where people take their data with them, and leave; path /account/data.
type DataPage struct{ Person }

func (DataPage) template() string   { return "account_data.html" }
func (p DataPage) frame() pageFrame { return p.accountFrame("data.title") }
func (p DataPage) view() any        { return p.in(sectionData) }

// A DeletePage asks whether somebody really wants to leave; path /account/delete.
type DeletePage struct {
	Person
	LastAdmin bool // they may not: nobody would look after the server
	Wrong     bool // what was typed is not the user name
}

func (DeletePage) template() string   { return "account_delete.html" }
func (p DeletePage) frame() pageFrame { return p.accountFrame("delete.title") }
func (p DeletePage) view() any {
	return struct {
		personView
		Of DeletePage
	}{p.in(sectionData), p}
}

// A LeftPage says goodbye to somebody whose account is gone.
type LeftPage struct{}

func (LeftPage) template() string { return "account_left.html" }
func (LeftPage) frame() pageFrame { return pageFrame{title: "left.title", isolated: true} }
func (LeftPage) view() any        { return nil }
