package account

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// claims are what is known about a user, OpenID Connect Core Section 5.1.
type claims map[string]json.RawMessage

func claimsOf(u *store.User) claims {
	c := claims{}
	if json.Unmarshal(u.Claims, &c) != nil {
		return claims{} // none of ours: the store writes what was JSON
	}
	return c
}

// text is a claim that is a text; "" for any other, and for none.
func (c claims) text(name string) (text string) {
	if json.Unmarshal(c[name], &text) != nil {
		return ""
	}
	return text
}

// set changes a text; "" takes the claim away.
func (c claims) set(name, text string) error {
	if text == "" {
		delete(c, name)
		return nil
	}
	raw, err := json.Marshal(text)
	c[name] = raw
	return err
}

// showProfile shows what a person says about themselves.
func (e *Endpoint) showProfile(v *visit) error {
	page := web.ProfilePage{Person: e.person(v), Language: v.user.Locale, Email: v.user.Email, EmailVerified: v.user.EmailVerified, SendsMail: e.sendsMail()}
	known := claimsOf(v.user)
	for _, name := range web.ProfileFields() {
		page.Fields = append(page.Fields, web.ProfileField{Name: name, Value: known.text(name)})
	}
	return e.Pages.Render(v.w, v.r, http.StatusOK, page)
}

// saveProfile takes the form. What an operator has set stays as long as it is not
// changed here, in whatever form it has.
func (e *Endpoint) saveProfile(v *visit) error {
	page := web.ProfilePage{Person: e.person(v), Language: v.form.Get("language"), Email: v.user.Email, EmailVerified: v.user.EmailVerified, SendsMail: e.sendsMail()}
	if !slices.Contains([]string{"", "en", "zh"}, page.Language) {
		page.Language = ""
	}
	changed, wrong := claimsOf(v.user), false
	before := claimsOf(v.user)
	for _, name := range web.ProfileFields() {
		value := strings.TrimSpace(v.form.Get(name))
		field := web.ProfileField{Name: name, Value: value}
		if value != before.text(name) {
			field.Problem = value != "" && !profileRules[name](value)
			wrong = wrong || field.Problem
			if err := changed.set(name, value); err != nil {
				return err
			}
			if name == "phone_number" {
				delete(changed, "phone_number_verified") // of the number before
			}
		}
		page.Fields = append(page.Fields, field)
	}
	if wrong {
		return e.Pages.Render(v.w, v.r, http.StatusUnprocessableEntity, page)
	}
	text, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	after := *v.user
	after.Claims, after.Locale = text, page.Language
	err = e.Store.UpdateUser(v.r.Context(), v.user, &after, v.now, v.by())
	switch {
	case errors.Is(err, store.ErrConflict):
		return e.done(v, "/profile", "conflict")
	case err != nil:
		return err
	}
	return e.done(v, "/profile", "profile")
}

// profileRules say what each field may hold.
var profileRules = map[string]func(value string) bool{
	"name": isName, "given_name": isName, "family_name": isName, "nickname": isName,
	"birthdate": isDate, "phone_number": isPhoneNumber, "website": isAddress, "picture": isAddress,
}

func isName(value string) bool {
	return utf8.ValidString(value) && utf8.RuneCountInString(value) <= 200 && !strings.ContainsFunc(value, unicode.IsControl)
}

// isDate takes a day, or a day without a year, OpenID Connect Core Section 5.1.
func isDate(value string) bool {
	day, dateless := strings.CutPrefix(value, "0000-")
	if dateless {
		value = "2000-" + day // a leap year
	}
	_, err := time.Parse(time.DateOnly, value)
	return err == nil
}

var phoneNumber = regexp.MustCompile(`^\+[0-9][0-9 ().-]{4,30}$`)

func isPhoneNumber(value string) bool { return phoneNumber.MatchString(value) }

func isAddress(value string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && len(value) <= 1000 && utf8.ValidString(value) &&
		!strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) })
}
