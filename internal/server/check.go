package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// otherCheck stands for a check that has no name yet.
const otherCheck = "other"

// verdicts name the checks that the database makes, and what keeps it from making
// them.
var verdicts = []struct {
	err   error
	check string
}{
	{context.Canceled, "canceled"}, // the caller has gone
	{store.ErrUnavailable, "database"},
	{context.DeadlineExceeded, "timeout"},
	{login.ErrWrong, "password"},
	{store.ErrExpired, "expired"},
	{store.ErrRevoked, "revoked"},
	{store.ErrReplayed, "replayed"},
	{store.ErrNotLive, "not_in_force"},
	{store.ErrExhausted, "exhausted"},
	{oauth.ErrMediaType, "media_type"},
}

// statuses name the checks that the edge makes.
var statuses = map[int]string{
	http.StatusNotFound:         "address",
	http.StatusMethodNotAllowed: "method",
	http.StatusTooManyRequests:  "attempts",
}

// words name the check of a refusal that says which parameter it is about. The first
// of them that a description holds counts.
var words = map[string]string{
	"body": "body", "parameter": "parameters", "parameters": "parameters", "Basic": "authorization_header", "Authorization": "authorization_header",
	"refresh": "refresh_token", "page": "used", "browser": "other_browser", "refused": "consent", "asked": "consent", "sign": "session",
	"prove": "client_auth_method", "tokens": "response_type", "redirect_uris": "redirect_uri", "grant_types": "grant_type", "response_types": "response_type",
}

// parameters are words that name themselves.
var parameters = []string{
	"acr_values", "claims", "client_id", "client_secret", "code", "code_challenge", "code_challenge_method", "code_verifier", "decision",
	"grant_type", "id_token_hint", "max_age", "nonce", "prompt", "redirect_uri", "refresh_token", "registration", "request", "request_uri",
	"resource", "response_mode", "response_type", "scope", "sector_identifier_uri", "state", "token", "username", "password",
}

// checkOf names the check that refused a request, in one word of the tables here or of
// an oauth.Check: never one that came with the request.
func checkOf(err error) string {
	if e, ok := errors.AsType[*web.StatusError](err); ok && statuses[e.Status] != "" {
		return statuses[e.Status]
	}
	if e, ok := errors.AsType[*oauth.Check](err); ok {
		return e.Word
	}
	for _, v := range verdicts {
		if errors.Is(err, v.err) {
			return v.check
		}
	}
	if e, ok := errors.AsType[*web.PageError](err); ok {
		return string(e.Reason)
	}
	if e, ok := errors.AsType[*web.StatusError](err); ok && e.Reason != "" {
		return string(e.Reason)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "body"
	}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return checkIn(e.Description)
	}
	return otherCheck
}

// checkIn finds what a description is about.
func checkIn(description string) string {
	for word := range strings.FieldsFuncSeq(description, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
		if named[word] != "" {
			return named[word]
		}
	}
	return otherCheck
}

// named are words and parameters.
var named = func() map[string]string {
	all := make(map[string]string, len(words)+len(parameters))
	for word, check := range words {
		all[word] = check
	}
	for _, p := range parameters {
		all[p] = p
	}
	return all
}()
