package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// The word is that of the check which is nearest to the cause, and never one that a
// caller chose.
func TestCheckOf(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"attempts":        web.TooManyRequests(time.Second, oauth.Because("client_secret", "the secret is wrong")),
		"hash_queue":      web.Busy(time.Second, oauth.Because("hash_queue", "full")),
		"client_disabled": oauth.Refuse(oauth.InvalidClient, "client authentication failed", oauth.Because("client_disabled", "it is")),
		"expired":         oauth.Refuse(oauth.InvalidGrant, "the code is not valid", fmt.Errorf("redeem: %w", store.ErrExpired)),
		"not_in_force":    oauth.Refuse(oauth.InvalidGrant, "the code is not valid", store.ErrNotLive),
		"password":        login.ErrWrong,
		"database":        errors.Join(oauth.Errorf(oauth.InvalidGrant, "code_verifier is missing"), fmt.Errorf("count: %w", store.ErrUnavailable)),
		"canceled":        fmt.Errorf("store: %w: %w", store.ErrUnavailable, context.Canceled),
		"timeout":         context.DeadlineExceeded,
		"unknown_client":  web.Explain(web.ReasonUnknownClient, oauth.Errorf(oauth.InvalidRequest, "client_id is missing")),
		"cross_site":      &web.StatusError{Status: http.StatusForbidden, Reason: web.ReasonCrossSite},
		"body":            fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 1}),
		"code_verifier":   oauth.Errorf(oauth.InvalidGrant, "code_verifier was sent, but the authorization request had no code_challenge"),
		"grant_type":      oauth.Errorf(oauth.UnsupportedGrantType, "this address is for grant_type %s only", "password"),
		"other":           errors.New("client_id of somebody"),
	} {
		if got := checkOf(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
