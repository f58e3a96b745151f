package oauth

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ClientMetadata is what is registered about a client: the members of RFC 7591
// Section 2 under their own names, and those of this server behind them. The
// zero value of every member has a meaning, so a client is as small as it can be.
type ClientMetadata struct {
	ClientName              string   `json:"client_name,omitempty"`
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method,omitempty"` // "": secret by Basic or in the body
	GrantTypes              []string `json:"grant_types,omitempty"`
	ResponseTypes           []string `json:"response_types,omitempty"`
	Scope                   string   `json:"scope,omitempty"`
	ClientURI               string   `json:"client_uri,omitempty"`
	LogoURI                 string   `json:"logo_uri,omitempty"`
	PolicyURI               string   `json:"policy_uri,omitempty"`
	TermsOfServiceURI       string   `json:"tos_uri,omitempty"`
	Contacts                []string `json:"contacts,omitempty"`
	SoftwareID              string   `json:"software_id,omitempty"`
	SoftwareVersion         string   `json:"software_version,omitempty"`
	JWKSURI                 string   `json:"jwks_uri,omitempty"`
	// JWKS is the client's key set as JSON; one who registers a client reads the keys.
	JWKS json.RawMessage `json:"jwks,omitempty"`
	// Members of OpenID Connect Registration Section 2.
	ApplicationType     string   `json:"application_type,omitempty"`   // "" means that nobody said
	InitiateLoginURI    string   `json:"initiate_login_uri,omitempty"` // where a third party has the client begin, OpenID Connect Core Section 4
	DefaultMaxAge       *int64   `json:"default_max_age,omitempty"`    // seconds
	RequireAuthTime     bool     `json:"require_auth_time,omitempty"`  // met always: every ID token tells
	DefaultACR          []string `json:"default_acr_values,omitempty"`
	IDTokenAlg          string   `json:"id_token_signed_response_alg,omitempty"`    // "" means RS256
	UserInfoAlg         string   `json:"userinfo_signed_response_alg,omitempty"`    // "" means plain JSON
	IDTokenKeyAlg       string   `json:"id_token_encrypted_response_alg,omitempty"` // "" means not encrypted
	IDTokenContent      string   `json:"id_token_encrypted_response_enc,omitempty"` // "" means A128CBC-HS256
	UserInfoKeyAlg      string   `json:"userinfo_encrypted_response_alg,omitempty"` // "" means not encrypted
	UserInfoContent     string   `json:"userinfo_encrypted_response_enc,omitempty"` // "" means A128CBC-HS256
	SubjectType         string   `json:"subject_type,omitempty"`                    // "" means public
	SectorIdentifierURI string   `json:"sector_identifier_uri,omitempty"`           // lists the redirect URIs of a sector
	AuthSigningAlg      string   `json:"token_endpoint_auth_signing_alg,omitempty"` // of assertions; "" means any that fits a key

	RequestURIs          []string `json:"request_uris,omitempty"`                  // where request objects lie
	RequestObjectAlg     string   `json:"request_object_signing_alg,omitempty"`    // "" means any that fits a key
	RequestObjectKeyAlg  string   `json:"request_object_encryption_alg,omitempty"` // "" means not announced
	RequestObjectContent string   `json:"request_object_encryption_enc,omitempty"` // "" means A128CBC-HS256
	RequireSignedRequest bool     `json:"require_signed_request_object,omitempty"` // RFC 9101 Section 10.5

	// Members of OpenID Connect RP-Initiated Logout Section 3.1.
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`

	// Members of OpenID Connect Back-Channel Logout Section 2.2.
	BackchannelLogoutURI             string `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired bool   `json:"backchannel_logout_session_required,omitempty"` // met always: every logout token has sid

	// Members of OpenID Connect Front-Channel Logout Section 2.
	FrontchannelLogoutURI             string `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSessionRequired bool   `json:"frontchannel_logout_session_required,omitempty"` // met always: iss and sid are in the query

	// Members of this server.
	SectorIdentifier     string   `json:"sector_identifier,omitempty"`                // host, of pairwise subjects; follows from the rest and is kept
	DefaultScope         string   `json:"default_scope,omitempty"`                    // granted when a request names no scope
	RequirePKCE          bool     `json:"require_pkce,omitempty"`                     // for a confidential client; a public one always needs it
	Trusted              bool     `json:"trusted,omitempty"`                          // no consent page
	TokenFormat          string   `json:"token_format,omitempty"`                     // "" or jwt, or opaque
	AccessTokenAlg       string   `json:"access_token_signed_response_alg,omitempty"` // "" means ES256
	Resources            []string `json:"resources,omitempty"`                        // what "resource" may name, RFC 8707
	DefaultAudience      string   `json:"default_audience,omitempty"`                 // "aud" when no resource is named; "" means the issuer
	Introspect           string   `json:"introspect,omitempty"`                       // "any": may introspect every token
	RefreshRotation      *bool    `json:"refresh_token_rotation,omitempty"`           // nil means on
	RefreshGrace         *int64   `json:"refresh_token_grace,omitempty"`              // seconds, 0 to 300
	AccessTokenLifetime  int64    `json:"access_token_lifetime,omitempty"`            // seconds; 0 means the server's
	RefreshIdleLifetime  int64    `json:"refresh_token_idle_lifetime,omitempty"`
	RefreshTokenLifetime int64    `json:"refresh_token_lifetime,omitempty"` // absolute
	CodeLifetime         int64    `json:"code_lifetime,omitempty"`          // seconds, 60 at most
	RequireSecondFactor  bool     `json:"require_second_factor,omitempty"`  // whoever signs in for it uses one
	AccentColor          string   `json:"accent_color,omitempty"`           // #RRGGBB, of pages about the client; "" means the server's
}

// IsPublic reports whether the client has no credentials, RFC 6749 Section 2.1.
func (m *ClientMetadata) IsPublic() bool { return m.TokenEndpointAuthMethod == AuthMethodNone }

// HasSecret reports whether the client proves who it is by a secret.
func (m *ClientMetadata) HasSecret() bool {
	return !m.IsPublic() && m.TokenEndpointAuthMethod != AuthMethodPrivateKey
}

// Asserts reports whether the client proves who it is by an assertion, OpenID Connect
// Core Section 9.
func (m *ClientMetadata) Asserts() bool {
	return m.TokenEndpointAuthMethod == AuthMethodPrivateKey || m.TokenEndpointAuthMethod == AuthMethodSecretJWT
}

// HasGrant reports whether the client is registered for a grant type.
func (m *ClientMetadata) HasGrant(grant string) bool { return slices.Contains(m.GrantTypes, grant) }

// HasResponseType reports whether the client is registered for a response type.
func (m *ClientMetadata) HasResponseType(t string) bool { return slices.Contains(m.ResponseTypes, t) }

// NeedsPKCE reports whether an authorization request of the client must carry
// a code_challenge, RFC 9700 Section 2.1.1.
func (m *ClientMetadata) NeedsPKCE() bool { return m.IsPublic() || m.RequirePKCE }

// Rotates reports whether refreshing gives the client a new refresh token.
func (m *ClientMetadata) Rotates() bool { return m.RefreshRotation == nil || *m.RefreshRotation }

// Registered returns the scope the client may be granted.
func (m *ClientMetadata) Registered() Scope {
	scope, _ := ParseScope(m.Scope) // was checked when it was registered
	return scope
}

// Requested settles the scope of a request: what it names, else the client's
// defaults, else all it is registered for but openid and offline_access. A value
// that is not registered is invalid_scope, RFC 6749 Section 3.3; offline_access is
// nothing to be asked for where no refresh token can come.
func (m *ClientMetadata) Requested(parameter string) (Scope, error) {
	scope, err := ParseScope(parameter)
	if err != nil {
		return nil, err
	}
	registered := m.Registered()
	if len(scope) == 0 {
		if m.DefaultScope != "" {
			scope, err = ParseScope(m.DefaultScope)
			return scope.Intersect(registered), err
		}
		return registered.Without(ScopeOpenID, ScopeOfflineAccess), nil
	}
	if !m.HasGrant(GrantRefreshToken) {
		scope = scope.Without(ScopeOfflineAccess) // it is ignored there, OpenID Connect Core Section 11
	}
	for _, value := range scope {
		if !registered.Contains(value) {
			return nil, Refuse(InvalidScope, "the client is not registered for a scope that was asked for", scopeError(value))
		}
	}
	return scope, nil
}

// CheckResources takes only resources the client is registered for; anything
// else is invalid_target, RFC 8707 Section 2.
func (m *ClientMetadata) CheckResources(resources []string) error {
	for _, r := range resources {
		if err := CheckResource(r); err != nil {
			return err
		}
		if !slices.Contains(m.Resources, r) {
			return Errorf(InvalidTarget, "the client is not registered for a resource that was asked for")
		}
	}
	return nil
}

type scopeError string

func (e scopeError) Error() string {
	return fmt.Sprintf("scope %.80q is not registered for the client", string(e))
}

// legacyGrants are warned about when a client is registered for them, RFC 9700
// Sections 2.1.2 and 2.4.
var legacyGrants = []string{GrantImplicit, GrantPassword}

// Warnings tells what is allowed but unsafe by today's standards.
func (m *ClientMetadata) Warnings() []string {
	var warnings []string
	for _, g := range legacyGrants {
		if m.HasGrant(g) {
			warnings = append(warnings, "the grant "+g+" is legacy and unsafe by today's standards (RFC 9700); use authorization_code with PKCE instead")
		}
	}
	return warnings
}

// Normalize fills what follows from the rest: the grant and response types that
// RFC 7591 Section 2 has as defaults.
func (m *ClientMetadata) Normalize() {
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{GrantAuthorizationCode}
	}
	m.ResponseTypes = slices.Clone(m.ResponseTypes) // the caller's may be shared
	for i, t := range m.ResponseTypes {
		if usual := ParseResponseType(t); usual != "" {
			m.ResponseTypes[i] = usual
		}
	}
	if m.ResponseTypes == nil {
		if m.HasGrant(GrantAuthorizationCode) {
			m.ResponseTypes = append(m.ResponseTypes, ResponseTypeCode)
		}
		if m.HasGrant(GrantImplicit) {
			m.ResponseTypes = append(m.ResponseTypes, ResponseTypeToken)
		}
	}
}

// Validate checks a registration, RFC 7591 Section 2. It is the one check for
// every way in which clients are made.
func (m *ClientMetadata) Validate() error {
	for _, check := range []func() error{m.checkGrants, m.checkRedirects, m.checkText, m.checkScopes, m.checkTokens, m.checkLifetimes, m.checkOpenID, m.checkApplication, m.checkLogout, m.checkEncryption} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func metadataError(format string, args ...any) error {
	return Errorf(InvalidClientMetadata, format, args...)
}

func (m *ClientMetadata) checkGrants() error {
	switch m.TokenEndpointAuthMethod {
	case "", AuthMethodNone, AuthMethodBasic, AuthMethodPost, AuthMethodSecretJWT:
	case AuthMethodPrivateKey:
		if len(m.JWKS) == 0 && m.JWKSURI == "" {
			return metadataError("private_key_jwt needs jwks or jwks_uri")
		}
	default:
		return metadataError("token_endpoint_auth_method must be client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none")
	}
	known := []string{GrantAuthorizationCode, GrantImplicit, GrantPassword, GrantClientCredentials, GrantRefreshToken}
	for i, g := range m.GrantTypes {
		if !slices.Contains(known, g) || slices.Contains(m.GrantTypes[:i], g) {
			return metadataError("grant_types must be different ones of %s", strings.Join(known, ", "))
		}
	}
	for i, t := range m.ResponseTypes {
		if !slices.Contains(ResponseTypes, t) || slices.Contains(m.ResponseTypes[:i], t) {
			return metadataError("response_types must be different ones of %s", strings.Join(ResponseTypes, ", "))
		}
	}
	givesCode := slices.ContainsFunc(m.ResponseTypes, func(t string) bool { return Gives(t, ResponseTypeCode) })
	switch {
	case givesCode != m.HasGrant(GrantAuthorizationCode):
		return metadataError("response types with code and the grant authorization_code go together")
	case slices.ContainsFunc(m.ResponseTypes, IsFrontChannel) != m.HasGrant(GrantImplicit):
		return metadataError("response types with token or id_token and the grant implicit go together")
	case m.IsPublic() && m.HasGrant(GrantClientCredentials):
		return metadataError("client_credentials is for confidential clients only")
	case m.HasGrant(GrantRefreshToken) && !m.HasGrant(GrantAuthorizationCode) && !m.HasGrant(GrantPassword):
		return metadataError("refresh_token needs a grant that gives refresh tokens: authorization_code or password")
	case m.IsPublic() && !m.Rotates():
		return metadataError("a public client must rotate its refresh tokens")
	}
	return nil
}

// Caps on a registration, so that no client makes its row or its pages huge.
const (
	maxRedirectURIs = 50
	maxValues       = 100
	maxText         = 200
	maxURI          = 2048
)

// MaxScope is how long a scope may be, in bytes.
const MaxScope = 4096

func (m *ClientMetadata) checkRedirects() error {
	if len(m.RedirectURIs) > maxRedirectURIs {
		return Errorf(InvalidRedirectURI, "at most %d redirect_uris can be registered", maxRedirectURIs)
	}
	for _, uri := range m.RedirectURIs {
		if err := CheckRedirectURI(uri); err != nil {
			return err
		}
	}
	if len(m.RedirectURIs) == 0 && (m.HasGrant(GrantAuthorizationCode) || m.HasGrant(GrantImplicit)) {
		return Errorf(InvalidRedirectURI, "redirect_uris is missing; authorization_code and implicit need one")
	}
	return nil
}

func (m *ClientMetadata) checkText() error {
	for name, text := range map[string]string{"client_name": m.ClientName, "software_id": m.SoftwareID, "software_version": m.SoftwareVersion} {
		if !isText(text, maxText) {
			return metadataError("%s must be at most %d bytes of text without control characters", name, maxText)
		}
	}
	if len(m.Contacts) > maxValues || slices.ContainsFunc(m.Contacts, func(c string) bool { return !isText(c, maxText) }) {
		return metadataError("contacts must be at most %d short texts", maxValues)
	}
	if _, ok := ParseColor(m.AccentColor); m.AccentColor != "" && !ok {
		return metadataError("accent_color must be a colour such as #0e6b58")
	}
	for name, uri := range map[string]string{"client_uri": m.ClientURI, "logo_uri": m.LogoURI, "policy_uri": m.PolicyURI, "tos_uri": m.TermsOfServiceURI} {
		u, err := url.Parse(uri)
		if uri != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !isText(uri, maxURI)) {
			return metadataError("%s must be an https URL", name)
		}
	}
	return nil
}

// isText reports whether a text of so many bytes at most can be shown in a line.
func isText(s string, max int) bool {
	return len(s) <= max && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (m *ClientMetadata) checkScopes() error {
	registered, err := ParseScope(m.Scope)
	if err != nil || len(m.Scope) > MaxScope || len(registered) > maxValues {
		return metadataError("scope must be at most %d valid scope values", maxValues)
	}
	defaults, err := ParseScope(m.DefaultScope)
	if err != nil || !defaults.Within(registered) {
		return metadataError("default_scope must be part of scope")
	}
	return nil
}

func (m *ClientMetadata) checkTokens() error {
	switch {
	case m.TokenFormat != "" && m.TokenFormat != TokenFormatJWT && m.TokenFormat != TokenFormatOpaque:
		return metadataError("token_format must be jwt or opaque")
	case m.AccessTokenAlg != "" && m.AccessTokenAlg != "ES256" && m.AccessTokenAlg != "RS256":
		return metadataError("access_token_signed_response_alg must be ES256 or RS256")
	case m.Introspect != "" && m.Introspect != IntrospectAny:
		return metadataError("introspect must be any, or left out")
	case m.Introspect != "" && m.IsPublic():
		return metadataError("a public client cannot introspect")
	case len(m.Resources) > maxValues:
		return metadataError("at most %d resources can be registered", maxValues)
	case !isText(m.DefaultAudience, maxURI):
		return metadataError("default_audience must be a short text")
	}
	for _, r := range m.Resources {
		if CheckResource(r) != nil {
			return metadataError("resources must be absolute URIs without a fragment")
		}
	}
	return nil
}

func (m *ClientMetadata) checkLifetimes() error {
	const year = 366 * 24 * 3600
	switch {
	case m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > math.MaxInt32):
		return metadataError("default_max_age must be 0 to %d seconds", math.MaxInt32)
	case m.RefreshGrace != nil && (*m.RefreshGrace < 0 || *m.RefreshGrace > 300):
		return metadataError("refresh_token_grace must be 0 to 300 seconds")
	case m.AccessTokenLifetime != 0 && (m.AccessTokenLifetime < 60 || m.AccessTokenLifetime > 3600):
		return metadataError("access_token_lifetime must be 60 to 3600 seconds")
	case m.CodeLifetime < 0 || m.CodeLifetime > 60:
		return metadataError("code_lifetime must be 1 to 60 seconds")
	case m.RefreshIdleLifetime < 0 || m.RefreshIdleLifetime > year || m.RefreshTokenLifetime < 0 || m.RefreshTokenLifetime > year:
		return metadataError("refresh token lifetimes must be 1 second to 1 year")
	}
	return nil
}

// checkOpenID looks at what OpenID Connect Registration Section 2 adds.
func (m *ClientMetadata) checkOpenID() error {
	for name, alg := range map[string]string{"id_token_signed_response_alg": m.IDTokenAlg, "userinfo_signed_response_alg": m.UserInfoAlg} {
		if alg != "" && !slices.Contains(SigningAlgorithms, alg) {
			return metadataError("%s must be one of %s", name, strings.Join(SigningAlgorithms, ", "))
		}
	}
	if len(m.DefaultACR) > maxValues || slices.ContainsFunc(m.DefaultACR, func(acr string) bool { return acr == "" || !isText(acr, maxText) }) {
		return metadataError("default_acr_values must be at most %d short texts", maxValues)
	}
	if m.JWKSURI != "" && !isHTTPS(m.JWKSURI) {
		return metadataError("jwks_uri must be an https URL")
	}
	if len(m.JWKS) > 0 && m.JWKSURI != "" {
		return metadataError("jwks and jwks_uri exclude each other")
	}
	if m.SubjectType != "" && !slices.Contains(SubjectTypes, m.SubjectType) {
		return metadataError("subject_type must be public or pairwise")
	}
	if m.SectorIdentifierURI != "" && !isHTTPS(m.SectorIdentifierURI) {
		return metadataError("sector_identifier_uri must be an https URL")
	}
	if err := m.checkRequestObjects(); err != nil {
		return err
	}
	return nil
}

// SendsRequestObjects reports whether the client is registered for request objects, which
// it then signs.
func (m *ClientMetadata) SendsRequestObjects() bool {
	return m.RequireSignedRequest || len(m.RequestURIs) > 0 || m.RequestObjectAlg != "" || m.RequestObjectKeyAlg != ""
}

// checkRequestObjects looks at how the client may send its requests.
func (m *ClientMetadata) checkRequestObjects() error {
	if len(m.RequestURIs) > maxRedirectURIs {
		return metadataError("at most %d request_uris can be registered", maxRedirectURIs)
	}
	for _, text := range m.RequestURIs {
		if !isHTTPS(text) {
			return metadataError("request_uris must be https URLs")
		}
	}
	if len(m.JWKS) == 0 && m.JWKSURI == "" && m.SendsRequestObjects() {
		return metadataError("request objects need jwks or jwks_uri to verify them with")
	}
	return nil
}

// SigningAlgorithms are those that a client can have ID tokens signed with, RFC 7518
// Section 3.1 and RFC 8037. RS256 is the one that every OpenID client understands.
var SigningAlgorithms = []string{"RS256", "ES256", "PS256", "EdDSA"}

// Formats of an access token, and the widest introspection right.
const (
	TokenFormatJWT    = "jwt"
	TokenFormatOpaque = "opaque"
	IntrospectAny     = "any"
)

// ServerMetadata is the document of RFC 8414 Section 2.
type ServerMetadata struct {
	Issuer                                     string   `json:"issuer"`
	AuthorizationEndpoint                      string   `json:"authorization_endpoint"`
	TokenEndpoint                              string   `json:"token_endpoint"`
	JWKSURI                                    string   `json:"jwks_uri"`
	ScopesSupported                            []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported                     []string `json:"response_types_supported"`
	ResponseModesSupported                     []string `json:"response_modes_supported"`
	GrantTypesSupported                        []string `json:"grant_types_supported"`
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported"`
	TokenEndpointAuthAlgsSupported             []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	ServiceDocumentation                       string   `json:"service_documentation,omitempty"`
	PolicyURI                                  string   `json:"op_policy_uri,omitempty"`
	TermsOfServiceURI                          string   `json:"op_tos_uri,omitempty"`
	UILocalesSupported                         []string `json:"ui_locales_supported"`
	RevocationEndpoint                         string   `json:"revocation_endpoint"`
	RevocationEndpointAuthMethodsSupported     []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationEndpointAuthAlgsSupported        []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionEndpoint                      string   `json:"introspection_endpoint"`
	RegistrationEndpoint                       string   `json:"registration_endpoint,omitempty"`
	IntrospectionEndpointAuthMethodsSupported  []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionEndpointAuthAlgsSupported     []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	CodeChallengeMethodsSupported              []string `json:"code_challenge_methods_supported"`
	AuthorizationResponseISSParameterSupported bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 Section 3
	RequestParameterSupported                  bool     `json:"request_parameter_supported"`
	RequestURIParameterSupported               bool     `json:"request_uri_parameter_supported"`
	RequireRequestURIRegistration              bool     `json:"require_request_uri_registration"`
	RequestObjectAlgsSupported                 []string `json:"request_object_signing_alg_values_supported"`
	RequestObjectKeyAlgsSupported              []string `json:"request_object_encryption_alg_values_supported"`
	RequestObjectEncsSupported                 []string `json:"request_object_encryption_enc_values_supported"`
	PromptValuesSupported                      []string `json:"prompt_values_supported"`

	// Members of OpenID Connect Discovery Section 3.
	UserInfoEndpoint                   string   `json:"userinfo_endpoint"`
	EndSessionEndpoint                 string   `json:"end_session_endpoint"`         // RP-Initiated Logout Section 2.1
	BackchannelLogoutSupported         bool     `json:"backchannel_logout_supported"` // Back-Channel Logout Section 2.1
	BackchannelLogoutSessionSupported  bool     `json:"backchannel_logout_session_supported"`
	CheckSessionIframe                 string   `json:"check_session_iframe"`          // Session Management Section 3.3
	FrontchannelLogoutSupported        bool     `json:"frontchannel_logout_supported"` // Front-Channel Logout Section 3
	FrontchannelLogoutSessionSupported bool     `json:"frontchannel_logout_session_supported"`
	SubjectTypesSupported              []string `json:"subject_types_supported"`
	IDTokenSigningAlgValuesSupported   []string `json:"id_token_signing_alg_values_supported"`
	UserInfoSigningAlgValuesSupported  []string `json:"userinfo_signing_alg_values_supported"`
	IDTokenEncryptionAlgsSupported     []string `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncryptionEncsSupported     []string `json:"id_token_encryption_enc_values_supported"`
	UserInfoEncryptionAlgsSupported    []string `json:"userinfo_encryption_alg_values_supported"`
	UserInfoEncryptionEncsSupported    []string `json:"userinfo_encryption_enc_values_supported"`
	ACRValuesSupported                 []string `json:"acr_values_supported"`
	DisplayValuesSupported             []string `json:"display_values_supported"`
	ClaimTypesSupported                []string `json:"claim_types_supported"`
	ClaimsSupported                    []string `json:"claims_supported"`
	ClaimsParameterSupported           bool     `json:"claims_parameter_supported"`
}
