package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A kind is what the values of a flag look like.
type kind string

const (
	kindText    kind = "text"
	kindList    kind = "text..."
	kindSeconds kind = "duration"
	kindBool    kind = "bool"
)

// A member is one member of the client metadata with the flags that set it.
type member struct {
	name  string // the member's own, in the singular with dashes
	short string // another name; "" for none
	kind  kind
	usage string
	// set changes the metadata. values are those that were typed, checked; none
	// means that an empty value took the member away.
	set func(m *oauth.ClientMetadata, values []string)
}

// members of the client metadata, RFC 7591 Section 2 and this server's own.
var clientMembers = []member{
	{"client-name", "name", kindText, "name shown on the consent page", func(m *oauth.ClientMetadata, v []string) { m.ClientName = last(v) }},
	{"redirect-uri", "", kindList, "address the browser may be sent back to", func(m *oauth.ClientMetadata, v []string) { m.RedirectURIs = v }},
	{"grant-type", "grant", kindList, "grant the client may use: authorization_code, refresh_token, client_credentials, password, implicit", setGrants},
	{"response-type", "", kindList, "what the client may ask for at once: code, token, id_token or several, as in 'code id_token' (default follows the grants)", func(m *oauth.ClientMetadata, v []string) { m.ResponseTypes = v }},
	{"scope", "", kindList, "scope the client may ask for", func(m *oauth.ClientMetadata, v []string) { m.Scope = words(v) }},
	{"default-scope", "", kindList, "scope of a request that names none (default all but openid and offline_access)", func(m *oauth.ClientMetadata, v []string) { m.DefaultScope = words(v) }},
	{"token-endpoint-auth-method", "auth-method", kindText, "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none (default either of the first two)", func(m *oauth.ClientMetadata, v []string) { m.TokenEndpointAuthMethod = last(v) }},
	{"token-endpoint-auth-signing-alg", "", kindText, "algorithm of assertions: RS256, PS256, ES256 or EdDSA for private_key_jwt, HS256, HS384 or HS512 for client_secret_jwt (default any that fits)", func(m *oauth.ClientMetadata, v []string) { m.AuthSigningAlg = last(v) }},
	{"jwks", "", kindText, "public keys of the client as a JSON Web Key Set", func(m *oauth.ClientMetadata, v []string) { m.JWKS = json.RawMessage(last(v)) }},
	{"jwks-uri", "", kindText, "where the client publishes its keys", func(m *oauth.ClientMetadata, v []string) { m.JWKSURI = last(v) }},
	{"client-uri", "", kindText, "home page of the client", func(m *oauth.ClientMetadata, v []string) { m.ClientURI = last(v) }},
	{"logo-uri", "", kindText, "picture of the client", func(m *oauth.ClientMetadata, v []string) { m.LogoURI = last(v) }},
	{"policy-uri", "", kindText, "page about privacy", func(m *oauth.ClientMetadata, v []string) { m.PolicyURI = last(v) }},
	{"tos-uri", "", kindText, "terms of service", func(m *oauth.ClientMetadata, v []string) { m.TermsOfServiceURI = last(v) }},
	{"contact", "", kindList, "whom to ask about the client", func(m *oauth.ClientMetadata, v []string) { m.Contacts = v }},
	{"software-id", "", kindText, "id of the software", func(m *oauth.ClientMetadata, v []string) { m.SoftwareID = last(v) }},
	{"software-version", "", kindText, "version of the software", func(m *oauth.ClientMetadata, v []string) { m.SoftwareVersion = last(v) }},
	{"application-type", "", kindText, "web or native (default not said)", func(m *oauth.ClientMetadata, v []string) { m.ApplicationType = last(v) }},
	{"initiate-login-uri", "", kindText, "https address where a third party can have the client begin a sign-in", func(m *oauth.ClientMetadata, v []string) { m.InitiateLoginURI = last(v) }},
	{"default-max-age", "", kindSeconds, "how old a sign-in may be when a request does not say", func(m *oauth.ClientMetadata, v []string) { m.DefaultMaxAge = secondsOrNil(v) }},
	{"require-auth-time", "", kindBool, "want the time of the sign-in in ID tokens, where it always is", func(m *oauth.ClientMetadata, v []string) { m.RequireAuthTime = isTrue(v) }},
	{"default-acr-value", "", kindList, "acr the client would like when a request does not say", func(m *oauth.ClientMetadata, v []string) { m.DefaultACR = v }},
	{"id-token-signed-response-alg", "id-token-alg", kindText, "RS256, ES256, PS256 or EdDSA (default RS256)", func(m *oauth.ClientMetadata, v []string) { m.IDTokenAlg = last(v) }},
	{"userinfo-signed-response-alg", "userinfo-alg", kindText, "RS256, ES256, PS256 or EdDSA: UserInfo is signed (default plain JSON)", func(m *oauth.ClientMetadata, v []string) { m.UserInfoAlg = last(v) }},
	{"id-token-encrypted-response-alg", "", kindText, "how the key of encrypted ID tokens is told: " + keyAlgorithms + " (default not encrypted)", func(m *oauth.ClientMetadata, v []string) { m.IDTokenKeyAlg = last(v) }},
	{"id-token-encrypted-response-enc", "", kindText, "what ID tokens are encrypted with: " + contentEncryptions + " (default the first)", func(m *oauth.ClientMetadata, v []string) { m.IDTokenContent = last(v) }},
	{"userinfo-encrypted-response-alg", "", kindText, "how the key of encrypted UserInfo is told, as for ID tokens (default not encrypted)", func(m *oauth.ClientMetadata, v []string) { m.UserInfoKeyAlg = last(v) }},
	{"userinfo-encrypted-response-enc", "", kindText, "what UserInfo is encrypted with, as for ID tokens", func(m *oauth.ClientMetadata, v []string) { m.UserInfoContent = last(v) }},
	{"subject-type", "", kindText, "public or pairwise: clients of another sector know users by other names (default public)", func(m *oauth.ClientMetadata, v []string) { m.SubjectType = last(v) }},
	{"sector-identifier-uri", "", kindText, "https address of a JSON array with the redirect URIs of a sector, whose host names it", func(m *oauth.ClientMetadata, v []string) { m.SectorIdentifierURI = last(v) }},
	{"request-uri", "", kindList, "address at which a request object of the client may lie", func(m *oauth.ClientMetadata, v []string) { m.RequestURIs = v }},
	{"request-object-signing-alg", "", kindText, "algorithm of request objects: RS256, PS256, ES256 or EdDSA (default any that fits a key)", func(m *oauth.ClientMetadata, v []string) { m.RequestObjectAlg = last(v) }},
	{"request-object-encryption-alg", "", kindText, "how the key of encrypted request objects is told: ECDH-ES, ECDH-ES+A128KW or ECDH-ES+A256KW; our key for it is then in /jwks", func(m *oauth.ClientMetadata, v []string) { m.RequestObjectKeyAlg = last(v) }},
	{"request-object-encryption-enc", "", kindText, "what request objects are encrypted with: " + contentEncryptions, func(m *oauth.ClientMetadata, v []string) { m.RequestObjectContent = last(v) }},
	{"require-signed-request-object", "", kindBool, "take no authorization request but by a signed request object", func(m *oauth.ClientMetadata, v []string) { m.RequireSignedRequest = isTrue(v) }},
	{"post-logout-redirect-uri", "", kindList, "address the browser may be sent back to after signing out", func(m *oauth.ClientMetadata, v []string) { m.PostLogoutRedirectURIs = v }},
	{"backchannel-logout-uri", "", kindText, "https address that is told from server to server when a session ends", func(m *oauth.ClientMetadata, v []string) { m.BackchannelLogoutURI = last(v) }},
	{"backchannel-logout-session-required", "", kindBool, "want sid in logout tokens, where it always is", func(m *oauth.ClientMetadata, v []string) { m.BackchannelLogoutSessionRequired = isTrue(v) }},
	{"frontchannel-logout-uri", "", kindText, "address that the browser opens in a frame when somebody signs out", func(m *oauth.ClientMetadata, v []string) { m.FrontchannelLogoutURI = last(v) }},
	{"frontchannel-logout-session-required", "", kindBool, "want iss and sid in the query of that address, where they always are", func(m *oauth.ClientMetadata, v []string) { m.FrontchannelLogoutSessionRequired = isTrue(v) }},
	{"require-pkce", "", kindBool, "want PKCE of a confidential client (a public one always needs it)", func(m *oauth.ClientMetadata, v []string) { m.RequirePKCE = isTrue(v) }},
	{"trusted", "", kindBool, "show no consent page", func(m *oauth.ClientMetadata, v []string) { m.Trusted = isTrue(v) }},
	{"token-format", "", kindText, "jwt or opaque (default jwt)", func(m *oauth.ClientMetadata, v []string) { m.TokenFormat = last(v) }},
	{"access-token-signed-response-alg", "access-token-alg", kindText, "ES256 or RS256 (default ES256)", func(m *oauth.ClientMetadata, v []string) { m.AccessTokenAlg = last(v) }},
	{"resource", "", kindList, "resource server the client may ask tokens for", func(m *oauth.ClientMetadata, v []string) { m.Resources = v }},
	{"default-audience", "", kindText, "audience of a token when no resource is asked for (default the issuer)", func(m *oauth.ClientMetadata, v []string) { m.DefaultAudience = last(v) }},
	{"introspect", "", kindText, "any: the client may introspect every token", func(m *oauth.ClientMetadata, v []string) { m.Introspect = last(v) }},
	{"refresh-token-rotation", "", kindBool, "give a new refresh token with every refresh (default true)", func(m *oauth.ClientMetadata, v []string) { m.RefreshRotation = boolOrNil(v) }},
	{"refresh-token-grace", "", kindSeconds, "how long the previous refresh token still gets the same successor, 0s to 5m", func(m *oauth.ClientMetadata, v []string) { m.RefreshGrace = secondsOrNil(v) }},
	{"access-token-lifetime", "", kindSeconds, "how long an access token is valid, 1m to 1h", func(m *oauth.ClientMetadata, v []string) { m.AccessTokenLifetime = secondsOf(v) }},
	{"refresh-token-idle-lifetime", "", kindSeconds, "how long a refresh token may lie unused", func(m *oauth.ClientMetadata, v []string) { m.RefreshIdleLifetime = secondsOf(v) }},
	{"refresh-token-lifetime", "", kindSeconds, "how long a grant can be refreshed at all", func(m *oauth.ClientMetadata, v []string) { m.RefreshTokenLifetime = secondsOf(v) }},
	{"accent-color", "", kindText, "colour of buttons and links on the pages about the client, such as #0e6b58 (default the server's)", func(m *oauth.ClientMetadata, v []string) { m.AccentColor = last(v) }},
	{"code-lifetime", "", kindSeconds, "how long a code may wait, 60s at most", func(m *oauth.ClientMetadata, v []string) { m.CodeLifetime = secondsOf(v) }},
	{"require-second-factor", "", kindBool, "have whoever signs in use a second factor; who has none sets one up", func(m *oauth.ClientMetadata, v []string) { m.RequireSecondFactor = isTrue(v) }},
}

// What clients can have answers encrypted with, as help says it.
var (
	keyAlgorithms      = strings.Join(oauth.EncryptionAlgorithms, ", ")
	contentEncryptions = strings.Join(oauth.ContentEncryptions, ", ")
)

// setGrants lets the response types follow the grants; a flag of their own,
// which comes later in the table, has the last word.
func setGrants(m *oauth.ClientMetadata, values []string) {
	m.GrantTypes, m.ResponseTypes = values, nil
}

// A memberFlag collects what was typed for one member. It is a pflag.Value.
type memberFlag struct {
	kind   kind
	given  bool
	values []string
}

// String is the default that help shows: none.
func (f *memberFlag) String() string { return "" }

// Type is the word that help shows for a value.
func (f *memberFlag) Type() string { return string(f.kind) }

// Set takes a value as it was typed. An empty one empties the member.
func (f *memberFlag) Set(value string) error {
	f.given = true
	if value == "" {
		return nil
	}
	switch f.kind {
	case kindSeconds:
		n, err := parseSeconds(value)
		if err != nil {
			return err
		}
		value = strconv.FormatInt(n, 10)
	case kindBool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("want true or false")
		}
		value = strconv.FormatBool(b)
	case kindText, kindList:
	}
	f.values = append(f.values, value)
	return nil
}

// clientFlags are the flags of client create and client update that describe
// the client.
type clientFlags struct {
	flags  []*memberFlag // beside clientMembers
	public bool
	cmd    *cobra.Command
}

func addClientFlags(cmd *cobra.Command) *clientFlags {
	f := &clientFlags{cmd: cmd}
	for _, m := range clientMembers {
		value := &memberFlag{kind: m.kind}
		f.flags = append(f.flags, value)
		cmd.Flags().Var(value, m.name, m.usage)
		if m.kind == kindBool {
			cmd.Flags().Lookup(m.name).NoOptDefVal = "true"
		}
		if m.short != "" {
			cmd.Flags().Var(value, m.short, "the same as --"+m.name)
		}
	}
	cmd.Flags().BoolVar(&f.public, "public", false, "a client that cannot keep a secret: --auth-method none")
	return f
}

// check finds flags that contradict each other.
func (f *clientFlags) check() error {
	method := f.flags[slices.IndexFunc(clientMembers, func(m member) bool { return m.name == "token-endpoint-auth-method" })]
	if f.public && method.given && last(method.values) != oauth.AuthMethodNone {
		return usagef("--public and --auth-method %s contradict each other", last(method.values))
	}
	return nil
}

// edit changes what was typed and leaves the rest.
func (f *clientFlags) edit(m *oauth.ClientMetadata) error {
	for i, flag := range f.flags {
		if flag.given {
			clientMembers[i].set(m, slices.Clone(flag.values))
		}
	}
	if f.public {
		m.TokenEndpointAuthMethod = oauth.AuthMethodNone
	}
	return nil
}

// parseSeconds reads a duration as Go writes it, or a number of seconds.
func parseSeconds(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Second != 0 {
		return 0, fmt.Errorf("want whole seconds, as in 30s, 10m or 720h")
	}
	return int64(d / time.Second), nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// words joins scopes that were repeated, or given in one text, or both.
func words(values []string) string {
	return strings.Join(strings.Fields(strings.Join(values, " ")), " ")
}

func isTrue(values []string) bool { return last(values) == "true" }

func boolOrNil(values []string) *bool {
	if len(values) == 0 {
		return nil
	}
	b := isTrue(values)
	return &b
}

func secondsOf(values []string) int64 {
	n, err := strconv.ParseInt(last(values), 10, 64)
	if err != nil {
		return 0 // none was typed; Set has checked the others
	}
	return n
}

func secondsOrNil(values []string) *int64 {
	if len(values) == 0 {
		return nil
	}
	n := secondsOf(values)
	return &n
}
