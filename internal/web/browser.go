package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// Browsers tells browsers apart before anybody has signed in, and forms of
// our pages from forms of others. The cookie it sets names nobody and does not
// change when somebody signs in.
type Browsers struct {
	Cookies Cookies
	// Tag is a keyed hash of a text, and CheckTag tells whether it is; the keys are
	// the server's, so any replica checks the forms of another.
	Tag      func(text string) string
	CheckTag func(tag, text string) bool
	// Origin is a check of Origin and Sec-Fetch-Site.
	Origin *http.CrossOriginProtection
}

const browserCookie = "browser"

// ID returns what names the browser, and gives it a cookie when it has none.
func (b *Browsers) ID(w http.ResponseWriter, r *http.Request) string {
	if id := b.known(r); id != "" {
		return id
	}
	id := rand.Text()
	b.Cookies.Set(w, browserCookie, id, 0)
	return id
}

// known returns the browser's name; "" when it sent none that could be ours.
func (b *Browsers) known(r *http.Request) string {
	if id := b.Cookies.Get(r, browserCookie); len(id) == 26 {
		return id
	}
	return ""
}

// Mark is what a sealed request remembers of its browser; "" for a browser
// without a cookie.
func (b *Browsers) Mark(r *http.Request) string {
	if id := b.known(r); id != "" {
		return mark(id)
	}
	return ""
}

// MarkOf is Mark for an id that was just given out.
func (b *Browsers) MarkOf(id string) string { return mark(id) }

func mark(id string) string {
	sum := sha256.Sum256([]byte("browser " + id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// FormToken is the hidden field of every form shown to a browser.
func (b *Browsers) FormToken(id string) string { return b.Tag("form " + id) }

// CheckForm refuses a form that was not sent from one of our pages in this very
// browser. The origin alone would do for new browsers; old ones send none.
func (b *Browsers) CheckForm(r *http.Request, form oauth.Form) error {
	if err := b.Origin.Check(r); err != nil && !hidesOrigin(r) {
		return foreignForm(err)
	}
	id := b.known(r)
	if id == "" {
		return foreignForm(errors.New("the browser sent no cookie of ours"))
	}
	if !b.CheckTag(form.Get("form_token"), "form "+id) {
		return foreignForm(errors.New("form_token is not this browser's"))
	}
	return nil
}

// hidesOrigin reports whether an old browser has nothing to say about where a
// form came from: our own pages send no referrer, and so their forms come with
// the origin null. Their token decides then.
func hidesOrigin(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "null"
}

func foreignForm(cause error) error {
	return &StatusError{Status: http.StatusForbidden, Code: oauth.InvalidRequest, Reason: ReasonCrossSite,
		Description: "the form did not come from a page of this server", Cause: cause}
}

// A SeeOther is not a failure but the end of a handler: 303 to another address,
// RFC 9110 Section 15.4.4. Never 307: a posted password must not travel on (RFC
// 9700 Section 4.12).
type SeeOther struct{ URL string }

// Error names it in the log.
func (s *SeeOther) Error() string { return "see other" }

// Redirect answers with 303.
func Redirect(w http.ResponseWriter, location string) error {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
