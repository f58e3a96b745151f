package web

import "strings"

// A ForgottenError says why the page for a forgotten password is shown once more.
type ForgottenError string

// The errors of that page. Whether there is an account is none of them.
const (
	ForgottenIncomplete ForgottenError = "incomplete" // the field was empty
	ForgottenThrottled  ForgottenError = "throttled"  // too many requests from here; see RetryAfter
)

var forgottenErrors = []ForgottenError{ForgottenIncomplete, ForgottenThrottled}

// A ForgottenPage asks whose password was forgotten; path /login/forgot.
type ForgottenPage struct {
	Action     string
	Request    string // the sealed authorization request that the person came with; "" for none
	Return     string // path below the issuer that the sign-in leads to without one; "" for none
	FormToken  string
	Username   string // filled in already
	BackURL    string // the sign-in page
	Error      ForgottenError
	RetryAfter int // seconds
	Self       string
	UILocales  string
}

func (ForgottenPage) template() string { return "forgot.html" }
func (p ForgottenPage) frame() pageFrame {
	return pageFrame{title: "forgot.title", self: p.Self, uiLocales: p.UILocales, retryAfter: p.RetryAfter}
}

// A forgottenView is what forgot.html reads.
type forgottenView struct {
	ForgottenPage
	ErrorKey string
	Wait     wait
}

func (p ForgottenPage) view() any {
	v := forgottenView{ForgottenPage: p}
	if p.Error != "" {
		v.ErrorKey = "forgot.error." + string(p.Error)
	}
	if v.Wait = waitFor(p.RetryAfter); v.Wait.Key != "" && p.Error == ForgottenThrottled {
		v.ErrorKey += ".wait"
	}
	return v
}

// A NewPasswordPage asks for a new password, by a one-time link; path /login/password.
type NewPasswordPage struct {
	Invitation bool // the first password of a new account
	Action     string
	Ticket     string // what stands in the link
	FormToken  string
	Username   string
	Problem    PasswordProblem // of the one that was sent; "" for none
	Busy       bool            // no slot was free to take it
	RetryAfter int             // seconds
	Self       string
}

func (NewPasswordPage) template() string { return "new_password.html" }
func (p NewPasswordPage) view() any      { return p }
func (p NewPasswordPage) frame() pageFrame {
	title := "newpassword.title"
	if p.Invitation {
		title = "invitation.title"
	}
	return pageFrame{title: title, self: p.Self, script: "password.js", retryAfter: p.RetryAfter}
}

// A FirstAdminPage asks for the name, the address and the password of the first administrator;
// path /login/first-administrator.
type FirstAdminPage struct {
	Action      string
	Ticket      string
	FormToken   string
	Username    string
	Email       string
	NameProblem NameProblem
	EmailWrong  bool
	Problem     PasswordProblem
	Busy        bool
	RetryAfter  int // seconds
	Self        string
}

// A NameProblem says why somebody may not be called so.
type NameProblem string

// What can be wrong with a user name.
const (
	NameMissing NameProblem = "missing"
	NameOdd     NameProblem = "odd"   // too long, or of letters that nobody should mix
	NameTaken   NameProblem = "taken" // by somebody else
)

var nameProblems = []NameProblem{NameMissing, NameOdd, NameTaken}

func (FirstAdminPage) template() string { return "first_admin.html" }
func (p FirstAdminPage) frame() pageFrame {
	return pageFrame{title: "firstadmin.title", self: p.Self, script: "password.js", retryAfter: p.RetryAfter}
}

// A firstAdminView is what first_admin.html reads.
type firstAdminView struct {
	FirstAdminPage
	NameKey string
}

func (p FirstAdminPage) view() any {
	v := firstAdminView{FirstAdminPage: p}
	if p.NameProblem != "" {
		v.NameKey = "name.problem." + string(p.NameProblem)
	}
	return v
}

// A ConfirmEmailPage asks whether an address is that of an account, by a one-time link;
// path /login/email.
type ConfirmEmailPage struct {
	Action    string
	Ticket    string
	FormToken string
	Username  string
	Email     string
	Self      string
}

func (ConfirmEmailPage) template() string { return "confirm_email.html" }
func (p ConfirmEmailPage) view() any      { return p }
func (p ConfirmEmailPage) frame() pageFrame {
	return pageFrame{title: "confirmemail.title", self: p.Self}
}

// A Result is what came of a form or of a link, and the id of its page.
type Result string

// What can come of one.
const (
	ResultMailSent       Result = "mail-sent"       // or would have been, if there is such an account
	ResultPasswordSet    Result = "password-set"    // and whoever was signed in is not any more
	ResultAccountReady   Result = "account-ready"   // whoever was invited has a password
	ResultEmailConfirmed Result = "email-confirmed" // the address is the account's
	ResultSetUp          Result = "set-up-done"     // there is an administrator now
	ResultLinkDead       Result = "link-dead"       // it was used, is too old, or another one took its place
)

var results = []Result{ResultMailSent, ResultPasswordSet, ResultAccountReady, ResultEmailConfirmed, ResultSetUp, ResultLinkDead}

// A ResultPage tells what came of something, and leads on.
type ResultPage struct {
	Result    Result
	NextURL   string // the sign-in page, that of the account, or the one that makes another link
	Again     bool   // of a dead link: NextURL makes another one
	Mailed    bool   // of the first administrator: a link is on its way that confirms the address
	Self      string
	UILocales string
}

func (ResultPage) template() string { return "result.html" }
func (p ResultPage) frame() pageFrame {
	return pageFrame{title: p.Result.key() + ".title", self: p.Self, uiLocales: p.UILocales}
}

// key begins the keys of a result in the catalogues.
func (r Result) key() string { return "result." + strings.ReplaceAll(string(r), "-", "") }

// A resultView is what result.html reads.
type resultView struct {
	ResultPage
	Key  string
	Good bool // something was done
}

func (p ResultPage) view() any {
	return resultView{p, p.Result.key(), p.Result != ResultLinkDead && p.Result != ResultMailSent}
}
