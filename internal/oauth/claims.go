package oauth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// scopeClaims are the claims that a scope value asks UserInfo for, OpenID Connect
// Core Section 5.4.
var scopeClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// ScopesWithClaims are the scope values that stand for claims.
var ScopesWithClaims = []string{"profile", "email", "address", "phone"}

// Claims are those that the values of a scope stand for.
func (s Scope) Claims() []string {
	var names []string
	for _, value := range s {
		names = append(names, scopeClaims[value]...)
	}
	return names
}

// ClaimScope is the scope value that stands for a claim: who may not ask for that may
// not ask for the claim either. A claim of no standard scope has one of its own name.
func ClaimScope(claim string) string {
	for _, value := range ScopesWithClaims {
		if slices.Contains(scopeClaims[value], claim) {
			return value
		}
	}
	return claim
}

// StandardClaims are all claims about a user that OpenID Connect Core Section 5.1
// knows, without sub.
func StandardClaims() []string { return Scope(ScopesWithClaims).Claims() }

// A ClaimsRequest is the claims parameter of an authorization request, OpenID Connect
// Core Section 5.5. Its members are named as there; what is not understood is ignored.
type ClaimsRequest struct {
	UserInfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
}

// A ClaimRequest is what is wanted of one claim, OpenID Connect Core Section 5.5.1;
// nil asks for it and no more.
type ClaimRequest struct {
	Essential bool              `json:"essential,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"`
}

// Bounds on the claims parameter.
const (
	maxClaimsText = 4096 // bytes
	maxClaimNames = 100  // in each of its members
)

// ParseClaims reads the claims parameter; "" asks for nothing.
func ParseClaims(parameter string) (*ClaimsRequest, error) {
	if len(parameter) > maxClaimsText {
		return nil, Errorf(InvalidRequest, "claims must not be longer than %d bytes", maxClaimsText)
	}
	c, err := KeptClaims(parameter)
	if err != nil {
		return nil, Refuse(InvalidRequest, "claims must be a JSON object as OpenID Connect Core Section 5.5 has it", err)
	}
	if len(c.UserInfo) > maxClaimNames || len(c.IDToken) > maxClaimNames {
		return nil, Errorf(InvalidRequest, "claims must ask for at most %d claims in each place", maxClaimNames)
	}
	return c, nil
}

// KeptClaims reads what Text has kept, which may be a little longer than the request.
func KeptClaims(text string) (*ClaimsRequest, error) {
	var c ClaimsRequest
	if text == "" {
		return &c, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("oauth: claims: %w", err)
	}
	return &c, nil
}

// claimNames are the claims that a member of the request asks for, in order.
func claimNames(asked map[string]*ClaimRequest) []string {
	names := make([]string, 0, len(asked))
	for name := range asked {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// UserInfoNames are the claims that UserInfo is asked for beside those of the scope.
func (c *ClaimsRequest) UserInfoNames() []string { return claimNames(c.UserInfo) }

// IDTokenNames are the claims that the ID token is asked for.
func (c *ClaimsRequest) IDTokenNames() []string { return claimNames(c.IDToken) }

// Subjects are the users of whom one may answer the request; empty when anybody may,
// OpenID Connect Core Section 5.5.1.
func (c *ClaimsRequest) Subjects() []string {
	for _, asked := range []map[string]*ClaimRequest{c.IDToken, c.UserInfo} {
		if r := asked["sub"]; r != nil {
			if subjects := r.texts(); len(subjects) > 0 {
				return subjects
			}
		}
	}
	return nil
}

// EssentialACR are the values of acr of which one must be reached, or the request
// fails; empty when nothing is demanded (OpenID Connect Core Section 5.5.1.1).
func (c *ClaimsRequest) EssentialACR() []string {
	if r := c.IDToken["acr"]; r != nil && r.Essential {
		return r.texts()
	}
	return nil
}

// VoluntaryACR are the values of acr that the client would like, the best first.
func (c *ClaimsRequest) VoluntaryACR() []string {
	if r := c.IDToken["acr"]; r != nil && !r.Essential {
		return r.texts()
	}
	return nil
}

// texts are the values asked for that are texts.
func (r *ClaimRequest) texts() []string {
	var texts []string
	for _, raw := range append([]json.RawMessage{r.Value}, r.Values...) {
		var text string
		if json.Unmarshal(raw, &text) == nil && text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// Within drops the claims that no value of a scope stands for.
func (c *ClaimsRequest) Within(scope Scope) {
	for _, asked := range []map[string]*ClaimRequest{c.UserInfo, c.IDToken} {
		for name := range asked {
			if !IsProtocolClaim(name) && !scope.Contains(ClaimScope(name)) {
				delete(asked, name)
			}
		}
	}
}

// Scope is what stands for the claims that are asked for.
func (c *ClaimsRequest) Scope() Scope {
	var scope Scope
	for _, name := range append(c.UserInfoNames(), c.IDTokenNames()...) {
		if value := ClaimScope(name); !IsProtocolClaim(name) && !scope.Contains(value) {
			scope = append(scope, value)
		}
	}
	return scope
}

// Text is the request as a row keeps it: what is of use later, and nothing else.
func (c *ClaimsRequest) Text() string {
	kept := ClaimsRequest{UserInfo: named(c.UserInfo), IDToken: named(c.IDToken)}
	if len(kept.UserInfo) == 0 && len(kept.IDToken) == 0 {
		return ""
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return "" // names without values have a text
	}
	return string(text)
}

// named drops what is wanted of claims, and names that no claim of a user has.
func named(asked map[string]*ClaimRequest) map[string]*ClaimRequest {
	kept := map[string]*ClaimRequest{}
	for name := range asked {
		if name != "" && len(name) <= maxClaimName && !strings.ContainsRune(name, 0) && !IsProtocolClaim(name) {
			kept[name] = nil
		}
	}
	return kept
}

const maxClaimName = 100

// protocolClaims belong to tokens and protocol, RFC 7519 Section 4.1 and OpenID
// Connect Core Section 2: none of them is a user's to have.
var protocolClaims = []string{
	"sub", "iss", "aud", "exp", "nbf", "iat", "jti",
	"nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid",
	"client_id", "scope", "cnf", "act", "may_act", "authorization_details", "active", "token_type", "events", "_claim_names", "_claim_sources",
}

// IsProtocolClaim reports whether a claim is one that no user has.
func IsProtocolClaim(name string) bool { return slices.Contains(protocolClaims, name) }
