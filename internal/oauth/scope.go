package oauth

import (
	"slices"
	"strings"
)

// A Scope is a list of scope values without repeats, RFC 6749 Section 3.3. The
// order is the order in which they were first named.
type Scope []string

// The scope values that this server gives a meaning of its own.
const (
	ScopeOpenID        = "openid"         // OpenID Connect Core Section 3.1.2.1
	ScopeOfflineAccess = "offline_access" // OpenID Connect Core Section 11
)

// ParseScope reads a space-separated scope parameter. A value with characters
// that RFC 6749 Section 3.3 excludes is invalid_scope.
func ParseScope(s string) (Scope, error) {
	if len(s) > MaxScope {
		return nil, Errorf(InvalidScope, "scope must not be longer than %d bytes", MaxScope)
	}
	var scope Scope
	for value := range strings.SplitSeq(s, " ") {
		if value == "" || slices.Contains(scope, value) {
			continue
		}
		if !isScopeToken(value) {
			return nil, Errorf(InvalidScope, "scope holds a character that is not allowed")
		}
		scope = append(scope, value)
	}
	return scope, nil
}

// isScopeToken follows the grammar scope-token of RFC 6749 Section 3.3.
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c == '"' || c == '\\' || c > 0x7e {
			return false
		}
	}
	return s != ""
}

// String is the scope parameter again.
func (s Scope) String() string { return strings.Join(s, " ") }

// Contains reports whether the scope holds the value.
func (s Scope) Contains(value string) bool { return slices.Contains(s, value) }

// Within reports whether every value of s is also in wider.
func (s Scope) Within(wider Scope) bool {
	for _, v := range s {
		if !slices.Contains(wider, v) {
			return false
		}
	}
	return true
}

// Intersect returns the values of s that other holds too, in the order of s.
func (s Scope) Intersect(other Scope) Scope {
	var both Scope
	for _, v := range s {
		if slices.Contains(other, v) {
			both = append(both, v)
		}
	}
	return both
}

// Without returns s less the named values.
func (s Scope) Without(values ...string) Scope {
	var rest Scope
	for _, v := range s {
		if !slices.Contains(values, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// GivesRefreshToken reports whether a granted scope lets a refresh token be
// issued: an OpenID request needs offline_access for that (OpenID Connect Core
// Section 11), any other does not.
func (s Scope) GivesRefreshToken() bool {
	return !s.Contains(ScopeOpenID) || s.Contains(ScopeOfflineAccess)
}
