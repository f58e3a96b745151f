package oauth

import (
	"slices"
	"strings"
)

// What the words of a response type ask the authorization endpoint for, RFC 6749
// Section 3.1.1 and OAuth 2.0 Multiple Response Type Encoding Practices Section 3.
const (
	ResponseTypeCode    = "code"
	ResponseTypeToken   = "token"
	ResponseTypeIDToken = "id_token"
)

// ResponseTypes are all that the authorization endpoint gives, each with its words in
// the order of their specification.
var ResponseTypes = []string{
	"code", "token", "id_token", "id_token token", "code id_token", "code token", "code id_token token",
}

// ParseResponseType gives a response type its usual order, since the order of its words
// means nothing. It is "" for one that is not known, or that says a word twice.
func ParseResponseType(s string) string {
	words := strings.Split(s, " ")
	slices.Sort(words)
	i := slices.IndexFunc(ResponseTypes, func(t string) bool {
		known := strings.Split(t, " ")
		slices.Sort(known)
		return slices.Equal(words, known)
	})
	if i < 0 {
		return ""
	}
	return ResponseTypes[i]
}

// Gives reports whether a response type, in any order and known or not, asks for what
// a word stands for.
func Gives(responseType, word string) bool {
	return slices.Contains(strings.Fields(responseType), word)
}

// IsFrontChannel reports whether a response type brings a token of some kind through
// the browser's address, which is for clients of the implicit grant only (RFC 9700
// Section 2.1.2).
func IsFrontChannel(responseType string) bool {
	return Gives(responseType, ResponseTypeToken) || Gives(responseType, ResponseTypeIDToken)
}

// GrantsOf are the grants that a client is registered for beside a response type, OpenID
// Connect Registration Section 2.
func GrantsOf(responseType string) (grants []string) {
	if Gives(responseType, ResponseTypeCode) {
		grants = append(grants, GrantAuthorizationCode)
	}
	if IsFrontChannel(responseType) {
		grants = append(grants, GrantImplicit)
	}
	return grants
}
