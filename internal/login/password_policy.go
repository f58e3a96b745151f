package login

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Bounds on a password, in characters (code points in NFC) and bytes.
const (
	MinPassword = 10
	MaxPassword = 1024
)

// A PasswordPolicy decides which passwords may be set, at every place where one is.
// The zero value knows everything but the operator's own list and the site's name.
//
// There are no rules of composition: they make people choose worse passwords (NIST SP
// 800-63B Section 3.1.1.2). What is refused is what a guesser tries first.
type PasswordPolicy struct {
	Site     string             // the name on the pages, which belongs to no secret here
	Breached *BreachedPasswords // the operator's list; nil without one
}

// A PasswordError says why a password may not be set.
type PasswordError struct{ Problem web.PasswordProblem }

// Error says it in English, for whoever stands at a command line.
func (e *PasswordError) Error() string {
	switch e.Problem {
	case web.PasswordShort:
		return fmt.Sprintf("a password must have at least %d characters", MinPassword)
	case web.PasswordLong:
		return fmt.Sprintf("a password must have at most %d bytes", MaxPassword)
	case web.PasswordOwn:
		return "a password must not be made of the user's own name or the name of this site"
	case web.PasswordRepeated:
		return "a password must not be one short pattern repeated"
	case web.PasswordSequence:
		return "a password must not be a row of keys or a count"
	case web.PasswordBreached:
		return "this password is in the list of passwords that became known to others"
	}
	return "this password is one of those that are guessed first"
}

// Check says whether a password may be set by somebody whom the names are of (see
// OwnNames). What is wrong with the password is a *PasswordError; any other error is of
// the file of breached passwords.
func (p *PasswordPolicy) Check(password string, names ...string) error {
	if problem := p.problem(password, names); problem != "" {
		return &PasswordError{problem}
	}
	if p.Breached == nil {
		return nil
	}
	known, err := p.Breached.Holds(password)
	if err == nil && known {
		err = &PasswordError{web.PasswordBreached}
	}
	return err
}

// problem is what can be told of a password by itself.
func (p *PasswordPolicy) problem(password string, names []string) web.PasswordProblem {
	switch {
	case len(password) > MaxPassword:
		return web.PasswordLong
	case utf8.RuneCountInString(norm.NFC.String(password)) < MinPassword:
		return web.PasswordShort
	}
	folded := foldPassword(password)
	own := []string{"hufu"}
	for _, name := range append([]string{p.Site}, names...) {
		own = append(own, nameParts(name)...)
	}
	slices.Sort(own)
	own = slices.Compact(own)
	own = own[:min(len(own), maxNames)]
	switch {
	case isOwn(folded, own):
		return web.PasswordOwn
	case isRepeated(folded):
		return web.PasswordRepeated
	case isSequence(folded):
		return web.PasswordSequence
	case isCommon(folded):
		return web.PasswordCommon
	}
	return ""
}

// maxNames bounds the work on a person of very many names.
const maxNames = 200

// nameParts are a name and what it is put together from: the words of a full name,
// both sides of an e-mail address.
func nameParts(name string) []string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) })
	return append(parts, name, strings.Join(parts, ""))
}

// ownClaims are the claims that others know of a person and try first.
var ownClaims = []string{"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "phone_number", "birthdate"}

// OwnNames are the names that a user's password must not be made of: the user name, the
// e-mail address, and what the claims tell.
func OwnNames(u *store.User) []string {
	names := []string{u.Username, u.UsernameKey, u.Email}
	var claims map[string]any
	if json.Unmarshal(u.Claims, &claims) != nil {
		return names
	}
	for _, claim := range ownClaims {
		if text, ok := claims[claim].(string); ok {
			names = append(names, text)
		}
	}
	return names
}

// HashNew makes the hash of a password that may be set, in the form that Hasher.Hash
// makes, and refuses any other as Check does.
func (p *PasswordPolicy) HashNew(ctx context.Context, h *Hasher, password string, names ...string) (string, error) {
	if err := p.Check(password, names...); err != nil {
		return "", err
	}
	return h.Hash(ctx, password)
}
