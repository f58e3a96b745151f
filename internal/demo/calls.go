package demo

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// The addresses of the seed, below the issuer, and the standard ones that show
// the life of a token.
const (
	codePath              = "/open/authorize/index"
	implicitPath          = "/open/implicit"
	authorizationCodePath = "/oauth2/authorize"
	passwordPath          = "/oauth2/password"
	clientCredentialsPath = "/oauth2/client-credentials"
	refreshTokenPath      = "/oauth2/refresh-token"
	introspectPath        = "/introspect"
	revokePath            = "/revoke"
)

// Verifier is the code_verifier of the printed address. A real app makes one for
// each request; this one is fixed so that a command can be printed before anybody
// has asked for it.
const Verifier = "demo-verifier-that-a-real-app-would-make-at-random"

// challenge is S256 of RFC 7636 Section 4.2.
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// secrets of the clients that have one.
var secrets = map[string]string{WebID: WebSecret, ServiceID: ServiceSecret, LegacyID: LegacySecret}

// credentials are the parameters by which a client says who it is: its secret in
// the body, as the seed has it, or its id alone when it is public.
func credentials(clientID string) []oauth.Param {
	params := []oauth.Param{{Name: "client_id", Value: clientID}}
	if secret := secrets[clientID]; secret != "" {
		params = append(params, oauth.Param{Name: "client_secret", Value: secret})
	}
	return params
}

// A calls makes the requests of the walks for one issuer.
type calls struct{ issuer string }

func (c calls) callback() string { return c.issuer + callbackPath }

// authorize begins the code grant, RFC 6749 Section 4.1.1, with PKCE when there
// is a verifier.
func (c calls) authorize(clientID, state, verifier string) call {
	params := []oauth.Param{
		{Name: "response_type", Value: "code"}, {Name: "client_id", Value: clientID}, {Name: "redirect_uri", Value: c.callback()},
		{Name: "scope", Value: reading}, {Name: "state", Value: state},
	}
	if verifier != "" {
		params = append(params, oauth.Param{Name: "code_challenge", Value: challenge(verifier)}, oauth.Param{Name: "code_challenge_method", Value: "S256"})
	}
	return get(c.issuer+codePath, params...)
}

// implicit begins the implicit grant, RFC 6749 Section 4.2.1.
func (c calls) implicit(state string) call {
	return get(c.issuer+implicitPath,
		oauth.Param{Name: "response_type", Value: "token"}, oauth.Param{Name: "client_id", Value: LegacyID},
		oauth.Param{Name: "redirect_uri", Value: c.callback()}, oauth.Param{Name: "scope", Value: reading}, oauth.Param{Name: "state", Value: state})
}

// exchange redeems a code, RFC 6749 Section 4.1.3.
func (c calls) exchange(clientID, code, verifier string) call {
	params := append([]oauth.Param{{Name: "grant_type", Value: oauth.GrantAuthorizationCode}}, credentials(clientID)...)
	params = append(params, oauth.Param{Name: "redirect_uri", Value: c.callback()}, oauth.Param{Name: "code", Value: code})
	if verifier != "" {
		params = append(params, oauth.Param{Name: "code_verifier", Value: verifier})
	}
	return post(c.issuer+authorizationCodePath, params...)
}

// password asks with a person's name and password, RFC 6749 Section 4.3.2.
func (c calls) password(username, password, scope string) call {
	params := append([]oauth.Param{{Name: "grant_type", Value: oauth.GrantPassword}}, credentials(LegacyID)...)
	params = append(params, oauth.Param{Name: "username", Value: username}, oauth.Param{Name: "password", Value: password}, oauth.Param{Name: "scope", Value: scope})
	return post(c.issuer+passwordPath, params...)
}

// clientCredentials asks for the client itself, RFC 6749 Section 4.4.2.
func (c calls) clientCredentials(scope string) call {
	params := append([]oauth.Param{{Name: "grant_type", Value: oauth.GrantClientCredentials}}, credentials(ServiceID)...)
	return post(c.issuer+clientCredentialsPath, append(params, oauth.Param{Name: "scope", Value: scope})...)
}

// refresh asks for new tokens, RFC 6749 Section 6.
func (c calls) refresh(clientID, token string) call {
	params := []oauth.Param{{Name: "grant_type", Value: oauth.GrantRefreshToken}, {Name: "refresh_token", Value: token}}
	return post(c.issuer+refreshTokenPath, append(params, credentials(clientID)...)...)
}

// introspect asks about a token as an API does that was shown it, RFC 7662
// Section 2.1.
func (c calls) introspect(token string) call {
	return post(c.issuer+introspectPath, append(credentials(ServiceID), oauth.Param{Name: "token", Value: token})...)
}

// revoke gives a token back, RFC 7009 Section 2.1.
func (c calls) revoke(clientID, token string) call {
	return post(c.issuer+revokePath, append(credentials(clientID), oauth.Param{Name: "token", Value: token})...)
}
