// Package oauth holds the protocol's words and its pure rules: error codes,
// parameters, scopes, PKCE, redirect URIs, client and server metadata, and the
// messages of the endpoints.
//
// It serves no URL. Its one invariant: nothing here does I/O, reads a clock or
// knows a database, so every rule can be tried with a table.
package oauth

import (
	"errors"
	"fmt"
	"net/http"
)

// A Code is the "error" parameter of an OAuth answer, RFC 6749 Sections
// 4.1.2.1 and 5.2, and of the specifications that add to them.
type Code string

// The codes this server answers with.
const (
	InvalidRequest          Code = "invalid_request"                   // RFC 6749 Section 5.2
	InvalidClient           Code = "invalid_client"                    // RFC 6749 Section 5.2
	InvalidGrant            Code = "invalid_grant"                     // RFC 6749 Section 5.2
	UnauthorizedClient      Code = "unauthorized_client"               // RFC 6749 Section 5.2
	UnsupportedGrantType    Code = "unsupported_grant_type"            // RFC 6749 Section 5.2
	InvalidScope            Code = "invalid_scope"                     // RFC 6749 Section 5.2
	AccessDenied            Code = "access_denied"                     // RFC 6749 Section 4.1.2.1
	UnsupportedResponseType Code = "unsupported_response_type"         // RFC 6749 Section 4.1.2.1
	ServerError             Code = "server_error"                      // RFC 6749 Section 4.1.2.1
	TemporarilyUnavailable  Code = "temporarily_unavailable"           // RFC 6749 Section 4.1.2.1
	InvalidTarget           Code = "invalid_target"                    // RFC 8707 Section 2
	InvalidToken            Code = "invalid_token"                     // RFC 6750 Section 3.1
	InsufficientScope       Code = "insufficient_scope"                // RFC 6750 Section 3.1
	UnsupportedTokenType    Code = "unsupported_token_type"            // RFC 7009 Section 2.2.1
	LoginRequired           Code = "login_required"                    // OpenID Connect Core Section 3.1.2.6
	ConsentRequired         Code = "consent_required"                  // OpenID Connect Core Section 3.1.2.6
	UnmetAuthentication     Code = "unmet_authentication_requirements" // OpenID Connect Core Error Code unmet_authentication_requirements 1.0
	InvalidRequestObject    Code = "invalid_request_object"            // OpenID Connect Core Section 3.1.2.6
	InvalidRequestURI       Code = "invalid_request_uri"               // OpenID Connect Core Section 3.1.2.6
	RegistrationUnsupported Code = "registration_not_supported"
	InvalidRedirectURI      Code = "invalid_redirect_uri"    // RFC 7591 Section 3.2.2
	InvalidClientMetadata   Code = "invalid_client_metadata" // RFC 7591 Section 3.2.2
)

// Status is the HTTP status the code is sent with; nothing else sets one.
// (405, 413, 415 and 429 answers belong to the edge and say so in package web.)
func (c Code) Status() int {
	switch c {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// An Error is a refusal that the client may read. It has two halves: Code and
// Description go out on the wire, Cause stays with the operator.
type Error struct {
	Code        Code
	Description string // printable ASCII without " and \, RFC 6749 Section 5.2; holds nothing from the request
	Cause       error  // which check refused, and which value; never sent
}

// Error gives both halves, for the log.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Description
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	return s
}

// Unwrap returns the private half.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf describes a failure that the client may read.
func Errorf(c Code, format string, args ...any) error {
	return &Error{Code: c, Description: fmt.Sprintf(format, args...)}
}

// Refuse is Errorf with a private half: why tells the operator what the client
// must not or need not know.
func Refuse(c Code, description string, why error) error {
	return &Error{Code: c, Description: description, Cause: why}
}

// A Check is the private half of a refusal that names the check which refused, where
// the public half must not tell. A metric counts by it, so it is a constant word,
// and there are few.
type Check struct{ Word, Why string }

// Error is for the log.
func (c *Check) Error() string { return c.Why }

// Because makes a Check.
func Because(word, why string) error { return &Check{Word: word, Why: why} }

// CodeOf returns the code an error carries, or "" for nil and ServerError for
// an error that is ours.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ServerError
}
