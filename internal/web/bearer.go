package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// ErrNoToken is the cause of a refusal for a request that brought no access token at all.
var ErrNoToken = errors.New("web: no access token was sent")

// Bearer is the token of an Authorization header, RFC 6750 Section 2.1, and whether the
// header is of that scheme, whose name is matched in any case (RFC 9110 Section 11.1).
func Bearer(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

// Challenge tells a client that lacks an access token, or whose token does not do, what is
// wanted, RFC 6750 Section 3, and returns the refusal. To one that sent none it names no
// error (Section 3.1). scope is what a token lacks whose scope is too small.
func Challenge(w http.ResponseWriter, err error, scope string) error {
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		return err
	}
	text := `Bearer realm="hufu"`
	if !errors.Is(err, ErrNoToken) {
		text += `, error="` + string(refusal.Code) + `", error_description="` + refusal.Description + `"`
	}
	if refusal.Code == oauth.InsufficientScope {
		text += `, scope="` + scope + `"`
	}
	w.Header().Set("WWW-Authenticate", text)
	return err
}
