package oauth

// Grant types as a client is registered for them and as metadata names them.
const (
	GrantAuthorizationCode = "authorization_code" // RFC 6749 Section 4.1
	GrantImplicit          = "implicit"           // RFC 6749 Section 4.2
	GrantPassword          = "password"           // RFC 6749 Section 4.3
	GrantClientCredentials = "client_credentials" // RFC 6749 Section 4.4
	GrantRefreshToken      = "refresh_token"      // RFC 6749 Section 6
)

// Response modes, OAuth 2.0 Multiple Response Type Encoding Practices Section
// 2.1 and OAuth 2.0 Form Post Response Mode.
const (
	ResponseModeQuery    = "query"
	ResponseModeFragment = "fragment"
	ResponseModeFormPost = "form_post"
)

// Ways in which a client proves who it is at the token endpoint, RFC 7591
// Section 2.
const (
	AuthMethodNone       = "none"
	AuthMethodBasic      = "client_secret_basic"
	AuthMethodPost       = "client_secret_post"
	AuthMethodSecretJWT  = "client_secret_jwt" // OpenID Connect Core Section 9
	AuthMethodPrivateKey = "private_key_jwt"   // OpenID Connect Core Section 9
)

// AssertionTypeJWT is the client_assertion_type of a JWT, RFC 7523 Section 2.2.
const AssertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// A TokenResponse is the success of the token endpoint, RFC 6749 Section 5.1.
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"` // OpenID Connect Core Section 3.1.3.3
	Scope        string `json:"scope,omitempty"`
}

// AppendJSON appends the response as encoding/json writes it.
func (r *TokenResponse) AppendJSON(to []byte) []byte {
	o := NewObject(to)
	o.String("access_token", r.AccessToken)
	o.String("token_type", r.TokenType)
	o.Int("expires_in", r.ExpiresIn)
	o.StringIf("refresh_token", r.RefreshToken)
	o.StringIf("id_token", r.IDToken)
	o.StringIf("scope", r.Scope)
	return o.End()
}

// An ErrorResponse is a refusal as JSON, RFC 6749 Section 5.2.
type ErrorResponse struct {
	Error       Code   `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// An IntrospectionResponse is the answer of RFC 7662 Section 2.2. A token that
// is not active leaves every other member out.
type IntrospectionResponse struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"` // Unix seconds
	IssuedAt  int64    `json:"iat,omitempty"` // Unix seconds
	Subject   string   `json:"sub,omitempty"`
	Audience  Audience `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	JWTID     string   `json:"jti,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"` // Unix seconds
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
}

// AppendJSON appends the response as encoding/json writes it.
func (r *IntrospectionResponse) AppendJSON(to []byte) []byte {
	o := NewObject(to)
	o.Bool("active", r.Active)
	o.StringIf("scope", r.Scope)
	o.StringIf("client_id", r.ClientID)
	o.StringIf("username", r.Username)
	o.StringIf("token_type", r.TokenType)
	o.IntIf("exp", r.ExpiresAt)
	o.IntIf("iat", r.IssuedAt)
	o.StringIf("sub", r.Subject)
	o.AudienceIf("aud", r.Audience)
	o.StringIf("iss", r.Issuer)
	o.StringIf("jti", r.JWTID)
	o.IntIf("auth_time", r.AuthTime)
	o.StringIf("acr", r.ACR)
	o.StringsIf("amr", r.AMR)
	return o.End()
}
