package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// userFlags are the flags of user create and user update that describe the user.
type userFlags struct {
	cmd      *cobra.Command
	email    string
	verified bool
	claims   []string // key=value
}

func addUserFlags(cmd *cobra.Command) *userFlags {
	f := &userFlags{cmd: cmd}
	cmd.Flags().StringVar(&f.email, "email", "", "e-mail address")
	cmd.Flags().BoolVar(&f.verified, "email-verified", false, "the address is known to be the user's")
	cmd.Flags().StringArrayVar(&f.claims, "claim", nil, "claim as key=value, repeated; the value is JSON where it reads as such, else text")
	return f
}

// edit changes what was typed and leaves the rest.
func (f *userFlags) edit(u *store.User) error {
	if f.cmd.Flags().Changed("email") {
		if f.email != "" && !login.IsEmail(f.email) {
			return usagef("--email: want an address, as in alice@example.com")
		}
		u.EmailVerified = u.EmailVerified && u.Email == f.email
		u.Email = f.email
	}
	if f.cmd.Flags().Changed("email-verified") {
		u.EmailVerified = f.verified
	}
	if u.EmailVerified && u.Email == "" {
		return usagef("--email-verified: there is no address; give --email too")
	}
	if len(f.claims) == 0 {
		return nil
	}
	claims, err := editClaims(u.Claims, f.claims)
	u.Claims = claims
	return err
}

// flaggedClaims have flags of their own.
var flaggedClaims = []string{"email", "email_verified"}

// standardClaims are those of OpenID Connect Core Section 5.1 with the type that
// is written there.
var standardClaims = map[string]string{
	"name": "text", "given_name": "text", "family_name": "text", "middle_name": "text", "nickname": "text", "preferred_username": "text",
	"profile": "text", "picture": "text", "website": "text", "gender": "text", "birthdate": "text", "zoneinfo": "text", "locale": "text",
	"phone_number": "text", "phone_number_verified": "true or false", "address": "a JSON object", "updated_at": "a number",
}

const (
	maxClaimName = 100
	maxClaims    = 16 << 10 // all of a user's claims as JSON, in bytes
)

// editClaims sets the claims that were typed, and takes away those whose value
// is empty.
func editClaims(before json.RawMessage, typed []string) (json.RawMessage, error) {
	claims := map[string]json.RawMessage{}
	if len(before) > 0 {
		if err := json.Unmarshal(before, &claims); err != nil {
			return nil, fmt.Errorf("read claims: %w", err)
		}
	}
	for _, entry := range typed {
		name, value, found := strings.Cut(entry, "=")
		if !found || name == "" {
			return nil, usagef("--claim %q: want key=value", entry)
		}
		if err := checkClaimName(name); err != nil {
			return nil, err
		}
		if value == "" {
			delete(claims, name)
			continue
		}
		text, err := claimValue(name, value)
		if err != nil {
			return nil, err
		}
		claims[name] = text
	}
	after, err := json.Marshal(claims)
	if err == nil && len(after) > maxClaims {
		return nil, fmt.Errorf("the claims of a user can have %d KiB at most", maxClaims>>10)
	}
	return after, err
}

func checkClaimName(name string) error {
	switch {
	case oauth.IsProtocolClaim(name), slices.Contains(flaggedClaims, name):
		return usagef("--claim %s: this claim is not a user's to set", name)
	case len(name) > maxClaimName, !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return usagef("--claim: want a name of at most %d bytes, without spaces", maxClaimName)
	}
	return nil
}

// claimValue is what was typed as JSON: as it is where it is an object, a list, a
// number, true or false, and as a text otherwise. A standard claim has the type
// of the standard, so a name made of digits stays a text.
func claimValue(name, typed string) (json.RawMessage, error) {
	if !utf8.ValidString(typed) {
		return nil, usagef("--claim %s: want valid UTF-8", name)
	}
	want, got := standardClaims[name], jsonType(typed)
	switch {
	case want == "text", want == "" && got == "text":
		text, err := toJSON(typed, "")
		return json.RawMessage(text), err
	case want != "" && want != got:
		return nil, usagef("--claim %s: want %s", name, want)
	}
	return json.RawMessage(typed), nil
}

// jsonType says what a text is when it is read as JSON; null and quoted texts
// are texts like any other.
func jsonType(typed string) string {
	var v any
	if err := json.Unmarshal([]byte(typed), &v); err != nil {
		return "text"
	}
	switch v.(type) {
	case bool:
		return "true or false"
	case float64:
		return "a number"
	case map[string]any:
		return "a JSON object"
	case []any:
		return "a list"
	}
	return "text"
}
