package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// An assertion is what a client says of itself in a JWT that it has signed, RFC 7523
// Section 3. Times are seconds since 1970, perhaps with a fraction.
type assertion struct {
	Issuer    string         `json:"iss"`
	Subject   string         `json:"sub"`
	Audience  oauth.Audience `json:"aud"`
	ExpiresAt *float64       `json:"exp"`
	NotBefore *float64       `json:"nbf"`
	IssuedAt  *float64       `json:"iat"`
	JWTID     string         `json:"jti"`
}

// Bounds on an assertion: how far clocks may be apart, how long it may be good for, and
// how long its id may be.
const (
	assertionSkew     = 60 * time.Second
	assertionLifetime = time.Hour
	maxJWTID          = 256 // bytes
)

// assertionTypes are the values of typ that an assertion may have: most have none of
// their own, and none of another kind of token passes.
var assertionTypes = []string{"", "jwt", "client-authentication+jwt"}

// asserted names every check of an assertion.
const asserted = "client_assertion"

// readAssertion takes the assertion of a request. It names the client, so client_id may
// be left out, and must be the same when it is there (RFC 7521 Section 4.2).
func readAssertion(r *http.Request, form oauth.Form, p proof) (proof, error) {
	text, kind := form.Get("client_assertion"), form.Get("client_assertion_type")
	switch {
	case text == "" || kind == "":
		return p, oauth.Errorf(oauth.InvalidRequest, "client_assertion and client_assertion_type go together")
	case p.secret != "" || len(r.Header.Values("Authorization")) > 0:
		return p, oauth.Errorf(oauth.InvalidRequest, "the client must prove itself in one way only")
	case kind != oauth.AssertionTypeJWT:
		return p, invalidClient(oauth.Because(asserted, "the client_assertion_type is not that of a JWT"))
	}
	var claims assertion
	payload, err := jose.Unverified(text)
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	switch {
	case err != nil:
		return p, invalidClient(oauth.Because(asserted, "the assertion cannot be read: "+err.Error()))
	case len(claims.Subject) > maxClientID || strings.ContainsRune(claims.Subject, 0):
		return p, invalidClient(oauth.Because(asserted, "no client has the id in sub"))
	case claims.Subject == "" || claims.Subject != claims.Issuer:
		return p, invalidClient(oauth.Because(asserted, "iss and sub of the assertion are not the same client"))
	case p.clientID != "" && p.clientID != claims.Subject:
		return p, invalidClient(oauth.Because(asserted, "client_id is not the client of the assertion"))
	}
	return proof{clientID: claims.Subject, assertion: text, endpoint: r.URL.Path}, nil
}

// verifyAssertion checks an assertion by the keys or by the secrets of its client, as it
// is registered, RFC 7523 Section 3. It is not used up yet.
func (g *Registry) verifyAssertion(ctx context.Context, c *store.Client, p proof) (*assertion, error) {
	var payload []byte
	var err error
	if c.Metadata.TokenEndpointAuthMethod == oauth.AuthMethodSecretJWT {
		payload, err = g.verifyMAC(c, p)
	} else {
		payload, err = g.Keys.Verify(ctx, c, p.assertion, algorithmsOf(&c.Metadata, jose.ForeignAlgorithms), assertionTypes)
	}
	if err != nil {
		cause := errors.Join(oauth.Because(asserted, "the assertion does not verify"), err)
		if errors.Is(err, jose.ErrMAC) {
			return nil, wrongGuess{cause} // somebody may be guessing at the secret
		}
		return nil, invalidClient(cause)
	}
	var claims assertion
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, invalidClient(oauth.Because(asserted, "the assertion cannot be read: "+err.Error()))
	}
	if why := g.faultOf(&claims, p, g.Now()); why != "" {
		return nil, invalidClient(oauth.Because(asserted, why))
	}
	return &claims, nil
}

// algorithmsOf are those of all that a client may sign assertions with.
func algorithmsOf(m *oauth.ClientMetadata, all []string) []string {
	if m.AuthSigningAlg == "" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(alg string) bool { return alg != m.AuthSigningAlg })
}

// verifyMAC checks an assertion whose key is a secret of its client, OpenID Connect Core
// Section 9.
func (g *Registry) verifyMAC(c *store.Client, p proof) ([]byte, error) {
	secrets, err := g.sharedSecrets(c)
	if err != nil {
		return nil, err
	}
	return jose.VerifyMAC(p.assertion, secrets, algorithmsOf(&c.Metadata, jose.MACAlgorithms), assertionTypes)
}

// sharedSecrets are the live secrets of a client that are kept themselves.
func (g *Registry) sharedSecrets(c *store.Client) (secrets [][]byte, err error) {
	now := g.Now()
	for _, s := range c.Secrets {
		if s.Sealed == "" || !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
			continue
		}
		secret, err := g.OpenSecret(s.Sealed)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// pretend takes as long for an assertion of nobody as verifyMAC takes for one of a
// client, and reports whether it was made with a secret at all.
func (g *Registry) pretend(p proof) bool {
	if p.assertion == "" {
		return false
	}
	sealed := g.decoy.Load()
	if sealed == nil {
		made, err := g.SealSecret(NewSecret())
		if err != nil {
			return false
		}
		sealed = &made
		g.decoy.Store(sealed)
	}
	_, err := g.verifyMAC(&store.Client{Secrets: []store.ClientSecret{{Sealed: *sealed}}}, p)
	return errors.Is(err, jose.ErrMAC)
}

// use uses an assertion up, so that nobody can send it again.
func (g *Registry) use(ctx context.Context, c *store.Client, a *assertion) error {
	err := g.Store.UseAssertion(ctx, c.ID, a.JWTID, oauth.NumericDate(*a.ExpiresAt).Add(assertionSkew))
	if errors.Is(err, store.ErrReplayed) {
		return invalidClient(oauth.Because(asserted, "the assertion was used before"))
	}
	return err
}

// faultOf says what is wrong with the claims of an assertion; "" when nothing is.
func (g *Registry) faultOf(a *assertion, p proof, now time.Time) string {
	switch {
	case a.Subject != p.clientID || a.Issuer != p.clientID:
		return "iss or sub is not the client"
	case !slices.ContainsFunc(a.Audience, func(aud string) bool { return g.isAudience(aud, p.endpoint) }):
		return "aud is neither the issuer nor this endpoint"
	case a.ExpiresAt == nil:
		return "exp is missing"
	case !oauth.NumericDate(*a.ExpiresAt).Add(assertionSkew).After(now):
		return "it has expired"
	case oauth.NumericDate(*a.ExpiresAt).After(now.Add(assertionLifetime + assertionSkew)):
		return "exp is too far ahead"
	case a.NotBefore != nil && oauth.NumericDate(*a.NotBefore).After(now.Add(assertionSkew)):
		return "it is not valid yet"
	case a.IssuedAt != nil && oauth.NumericDate(*a.IssuedAt).After(now.Add(assertionSkew)):
		return "it was made in the future"
	case a.JWTID == "" || len(a.JWTID) > maxJWTID:
		return "jti is missing or too long"
	}
	return ""
}

// isAudience reports whether an assertion is meant for us: for the issuer, for the token
// endpoint, whose address OpenID Connect Core Section 9 has clients name, or for the
// endpoint that it came to.
func (g *Registry) isAudience(aud, endpoint string) bool {
	return aud == g.Issuer || aud == g.Issuer+g.TokenPath || aud == g.Origin+endpoint
}
