package web

import (
	"html/template"
	"net/url"
	"strings"
	"time"
)

// A SecondFactorError says why a page that asks for a code is shown once more.
type SecondFactorError string

// The errors of pages that ask for a code.
const (
	SecondFactorFailed     SecondFactorError = "failed"     // not the code that is good now
	SecondFactorUsed       SecondFactorError = "used"       // it was, and was used
	SecondFactorIncomplete SecondFactorError = "incomplete" // none was entered
	SecondFactorThrottled  SecondFactorError = "throttled"  // too many attempts; see RetryAfter
	SecondFactorBusy       SecondFactorError = "busy"       // the database did not answer in time
	SecondFactorPasskey    SecondFactorError = "passkey"    // a passkey was not accepted
)

var secondFactorErrors = []SecondFactorError{SecondFactorFailed, SecondFactorUsed, SecondFactorIncomplete, SecondFactorThrottled, SecondFactorBusy, SecondFactorPasskey}

// key is the text of an error, with the wait in it when that is known.
func (e SecondFactorError) key(retryAfter int) (string, wait) {
	if e == "" {
		return "", wait{}
	}
	var w wait
	if e == SecondFactorThrottled {
		w = waitFor(retryAfter)
	}
	key := "factor.error." + string(e)
	if w.Key != "" {
		key += ".wait"
	}
	return key, w
}

// A SignInStep is what the pages of one sign-in carry from each to the next.
type SignInStep struct {
	Client    *Client // who sent the person here; nil when nobody did
	Action    string  // where the form posts to
	Request   string  // the sealed authorization request; "" when nobody asked, which also hides Cancel
	Return    string  // path below the issuer that a sign-in without a request leads to; "" for none
	SignIn    string  // the sealed sign-in that lacks this step; "" for a session that lacks it
	FormToken string
	// PasskeyURL is where the browser gets a challenge for a passkey, which does as well;
	// "" offers none.
	PasskeyURL string
	Username   string // whose code is asked for
	AgainURL   string // to begin the sign-in anew, as somebody else
	Self       string
	UILocales  string
}

func (p SignInStep) frame(title string, retryAfter int) pageFrame {
	f := pageFrame{title: title, self: p.Self, uiLocales: p.UILocales, flow: true, retryAfter: retryAfter}
	if p.PasskeyURL != "" {
		f.script, f.connects = "passkey.js", true
	}
	if p.Client != nil {
		f.image, f.accent = p.Client.view().logoOrigin, p.Client.AccentColor
	}
	return f
}

// client is the client after judgement; nil when there is none.
func (p SignInStep) client() *clientView {
	if p.Client == nil {
		return nil
	}
	view := p.Client.view()
	return &view
}

// A SecondFactorPage asks for the code of an authenticator app, or for a recovery code;
// path /login/second-factor.
type SecondFactorPage struct {
	SignInStep
	Recovery   bool   // it is a recovery code that is asked for
	OtherURL   string // to be asked for the other kind
	Remember   int    // days for which this device can stand in for the code; 0 does not offer it
	Error      SecondFactorError
	RetryAfter int // seconds until another attempt is taken; 0 when not known
}

func (SecondFactorPage) template() string { return "second_factor.html" }

func (p SecondFactorPage) frame() pageFrame { return p.SignInStep.frame("factor.title", p.RetryAfter) }

// A secondFactorView is what second_factor.html reads.
type secondFactorView struct {
	SecondFactorPage
	Client   *clientView
	ErrorKey string // catalogue key, "" without an error
	Wait     wait
	Wrong    bool // what was entered, and not the time or another way
}

func (p SecondFactorPage) view() any {
	v := secondFactorView{SecondFactorPage: p, Client: p.client()}
	v.ErrorKey, v.Wait = p.Error.key(p.RetryAfter)
	if p.Recovery && (p.Error == SecondFactorFailed || p.Error == SecondFactorIncomplete) {
		v.ErrorKey = "factor.recovery." + string(p.Error)
	}
	v.Wrong = p.Error == SecondFactorFailed || p.Error == SecondFactorUsed || p.Error == SecondFactorIncomplete
	return v
}

// An AppOffer is an authenticator app that a page offers to set up.
type AppOffer struct {
	Enrolment string // sealed; the form brings it back
	Key       string // what a person types into an app
	URI       string // what the picture holds
}

// An appOfferView is what the part "app-offer" reads.
type appOfferView struct {
	AppOffer
	Groups []string // of the key, as people read it
	QR     template.HTML
	Link   template.HTMLAttr // to an app on the same device; "" without
}

func (o AppOffer) view() (v appOfferView, err error) {
	v.AppOffer = o
	for rest := o.Key; rest != ""; {
		n := min(4, len(rest))
		v.Groups, rest = append(v.Groups, rest[:n]), rest[n:]
	}
	if strings.HasPrefix(o.URI, "otpauth://totp/") {
		v.Link = attribute("href", o.URI)
	}
	v.QR, err = qrCode(o.URI)
	return v, err
}

// A SetUpFactorPage has somebody set up an authenticator app who cannot sign in without a
// second factor, or asks for the passkey of who has one; path
// /login/second-factor/set-up.
type SetUpFactorPage struct {
	SignInStep
	AppOffer
	Error SecondFactorError
}

func (SetUpFactorPage) template() string { return "set_up_factor.html" }

func (p SetUpFactorPage) frame() pageFrame { return p.SignInStep.frame("setup.title", 0) }

// A setUpFactorView is what set_up_factor.html reads.
type setUpFactorView struct {
	SignInStep
	Client   *clientView
	ErrorKey string // catalogue key, "" without an error
	offer    AppOffer
}

// Offer draws the picture; a text that is too long for one fails the page.
func (v setUpFactorView) Offer() (appOfferView, error) { return v.offer.view() }

func (p SetUpFactorPage) view() any {
	v := setUpFactorView{SignInStep: p.SignInStep, Client: p.client(), offer: p.AppOffer}
	v.ErrorKey, _ = p.Error.key(0)
	return v
}

// A TwoStepPage is where people look after their authenticator app and their recovery
// codes; path /account/second-factor. It shows the codes that were just made, else the app
// that it offers, else the one that there is.
type TwoStepPage struct {
	Person
	NewCodes    []string // nobody can read them again
	Offer       *AppOffer
	Error       SecondFactorError // of the code that was to confirm the offer
	App         string            // id of the one there is
	Added, Used time.Time         // that one; Used is zero when it never was
	CodesLeft   int               // recovery codes
	Required    bool              // who removes it has to set up another
}

func (TwoStepPage) template() string { return "account_second_factor.html" }
func (p TwoStepPage) frame() pageFrame {
	f := p.accountFrame("twostep.title")
	if len(p.NewCodes) > 0 {
		f.script = codesScript
	}
	return f
}

// A twoStepView is what account_second_factor.html reads.
type twoStepView struct {
	personView
	Of       TwoStepPage
	NewCodes codeList
	ErrorKey string // catalogue key, "" without an error
}

// Offer draws the picture; a text that is too long for one fails the page.
func (v twoStepView) Offer() (appOfferView, error) { return v.Of.Offer.view() }

func (p TwoStepPage) view() any {
	v := twoStepView{personView: p.in(sectionSecurity), Of: p, NewCodes: listCodes(p.NewCodes)}
	v.ErrorKey, _ = p.Error.key(0)
	return v
}

// A RecoveryCodesPage shows recovery codes, the one time they can be read; it answers the
// form that made them.
type RecoveryCodesPage struct {
	Codes     []string
	NextURL   string
	UILocales string
}

func (RecoveryCodesPage) template() string { return "recovery_codes.html" }

func (p RecoveryCodesPage) frame() pageFrame {
	return pageFrame{title: "recovery.title", uiLocales: p.UILocales, script: codesScript, flow: true}
}

// A recoveryCodesView is what recovery_codes.html reads.
type recoveryCodesView struct {
	Codes codeList
	Next  string
}

// codesScript copies recovery codes.
const codesScript = "codes.js"

// A codeList is what the part "recovery-codes" reads.
type codeList struct {
	Codes []string
	File  template.URL // the same as a file, which a browser can save without any script
}

func listCodes(codes []string) codeList {
	return codeList{codes, template.URL("data:text/plain;charset=utf-8," + url.PathEscape(strings.Join(codes, "\n")+"\n"))} //nolint:gosec // escaped
}

func (p RecoveryCodesPage) view() any {
	next := webAddress(p.NextURL)
	if strings.TrimSpace(next) == "" {
		next = "/"
	}
	return recoveryCodesView{listCodes(p.Codes), next}
}
