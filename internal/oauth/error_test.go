package oauth_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// codeOf is the code of a refusal; "" means accepted.
func codeOf(err error) oauth.Code { return oauth.CodeOf(err) }

// RFC 6749 Section 5.2, RFC 6750 Section 3.1: the code fixes the status, and 400
// stands for every code that no section gives another.
func TestCodeStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[oauth.Code]int{
		oauth.InvalidRequest: 400, oauth.InvalidGrant: 400, oauth.UnauthorizedClient: 400, oauth.UnsupportedGrantType: 400, oauth.InvalidScope: 400,
		oauth.AccessDenied: 400, oauth.UnsupportedResponseType: 400, oauth.InvalidTarget: 400, oauth.UnsupportedTokenType: 400,
		oauth.LoginRequired: 400, oauth.ConsentRequired: 400, oauth.InvalidRequestObject: 400, oauth.InvalidRequestURI: 400,
		oauth.RegistrationUnsupported: 400, oauth.InvalidRedirectURI: 400, oauth.InvalidClientMetadata: 400,
		oauth.InvalidClient: 401, oauth.InvalidToken: 401, oauth.InsufficientScope: 403, oauth.ServerError: 500, oauth.TemporarilyUnavailable: 503,
		"a_code_of_tomorrow": 400,
	} {
		if got := code.Status(); got != want {
			t.Errorf("%s: status %d, want %d", code, got, want)
		}
	}
}

// The public half of a refusal and its private half are told apart however deep
// the refusal is wrapped.
func TestErrorHalves(t *testing.T) {
	t.Parallel()
	cause := errors.New("the row of grant 7 is revoked")
	refused := oauth.Refuse(oauth.InvalidGrant, "the code is not valid", cause)
	if got, want := refused.Error(), "invalid_grant: the code is not valid (the row of grant 7 is revoked)"; got != want {
		t.Errorf("for the log: %q, want %q", got, want)
	}
	if !errors.Is(refused, cause) {
		t.Error("the cause is not to be found")
	}
	public, ok := errors.AsType[*oauth.Error](fmt.Errorf("token: %w", refused))
	if !ok || public.Description != "the code is not valid" {
		t.Errorf("public half = %+v", public)
	}
	if got, want := oauth.Errorf(oauth.InvalidScope, "at most %d", 3).Error(), "invalid_scope: at most 3"; got != want {
		t.Errorf("Errorf = %q, want %q", got, want)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	refused := oauth.Errorf(oauth.InvalidScope, "no")
	for name, tt := range map[string]struct {
		err  error
		want oauth.Code
	}{
		"nil":     {nil, ""},
		"bare":    {refused, oauth.InvalidScope},
		"wrapped": {fmt.Errorf("a: %w", fmt.Errorf("b: %w", refused)), oauth.InvalidScope},
		"joined":  {errors.Join(errors.New("a"), refused), oauth.InvalidScope},
		"ours":    {errors.New("disk on fire"), oauth.ServerError},
	} {
		t.Run(name, func(t *testing.T) {
			if got := oauth.CodeOf(tt.err); got != tt.want {
				t.Errorf("CodeOf(%v) = %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}
