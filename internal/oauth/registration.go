package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Registration is a request to register a client (RFC 7591 Section 3.1), or to put
// another registration in the place of the one it has (RFC 7592 Section 2.2).
type Registration struct {
	Metadata ClientMetadata

	// What only a replacement names. The first two must be those of the client, the
	// others must not be there.
	ClientID     string
	ClientSecret string
	Issued       []string // names of members that only the server sets
}

// standard are the members of client metadata that whoever registers a client may set:
// those of RFC 7591 Section 2, of OpenID Connect Registration Section 2, and of the
// specifications that add to them. Those that this server does not have are refused,
// and never lost in silence. All other members are ignored, above all those of this
// server's own, which only its operator sets.
var standard = []string{
	"redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name", "client_uri", "logo_uri", "scope",
	"contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version",
	"application_type", "sector_identifier_uri", "subject_type", "id_token_signed_response_alg", "id_token_encrypted_response_alg",
	"id_token_encrypted_response_enc", "userinfo_signed_response_alg", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc",
	"request_object_signing_alg", "request_object_encryption_alg", "request_object_encryption_enc", "token_endpoint_auth_signing_alg",
	"default_max_age", "require_auth_time", "default_acr_values", "initiate_login_uri", "request_uris",
	"post_logout_redirect_uris", "frontchannel_logout_uri", "frontchannel_logout_session_required", "backchannel_logout_uri", "backchannel_logout_session_required",
	"require_signed_request_object",                                            // RFC 9101 Section 10.5
	"require_pushed_authorization_requests",                                    // RFC 9126 Section 6
	"tls_client_certificate_bound_access_tokens", "tls_client_auth_subject_dn", // RFC 8705 Sections 2.1.2 and 3.4
	"tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
	"dpop_bound_access_tokens",                                                                                          // RFC 9449 Section 5.2
	"authorization_details_types",                                                                                       // RFC 9396 Section 10
	"authorization_signed_response_alg", "authorization_encrypted_response_alg", "authorization_encrypted_response_enc", // JARM Section 3
	"introspection_signed_response_alg", "introspection_encrypted_response_alg", "introspection_encrypted_response_enc", // RFC 9701 Section 6
}

// issuedMembers are set by the server alone, RFC 7592 Section 2.2.
var issuedMembers = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// members are the indexes of the fields of ClientMetadata by the names of their members.
var members = func() map[string]int {
	all := map[string]int{}
	for i := range reflect.TypeFor[ClientMetadata]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[ClientMetadata]().Field(i).Tag.Get("json"), ",")
		all[name] = i
	}
	return all
}()

// ParseRegistration reads a request to register. A member that is unknown is ignored, one
// that is there twice or of another type is refused (RFC 7591 Sections 2 and 3.2.2), and
// null stands for a member that is not there (RFC 7592 Section 2.2).
func ParseRegistration(body []byte) (*Registration, error) {
	if err := checkObject(body); err != nil {
		return nil, err
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, Refuse(InvalidRequest, "the body must be a JSON object", err)
	}
	var r Registration
	for _, name := range standard {
		value, there := sent[name]
		_, known := members[name]
		switch {
		case !there || string(value) == "null":
		case known:
			// Alone, so that its name is matched exactly and a refusal can tell it.
			if err := json.Unmarshal(fmt.Appendf(nil, "{%q:%s}", name, value), &r.Metadata); err != nil {
				return nil, metadataError("%s is of a type that it cannot have", name)
			}
		case !slices.Contains([]string{`false`, `""`, `[]`}, string(value)):
			return nil, metadataError("%s is not supported", name)
		}
	}
	if asks(sent, "software_statement") {
		return nil, Errorf(UnapprovedSoftwareStatement, "no software statement is approved here")
	}
	for name, to := range map[string]*string{"client_id": &r.ClientID, "client_secret": &r.ClientSecret} {
		if asks(sent, name) && json.Unmarshal(sent[name], to) != nil {
			return nil, metadataError("%s is of a type that it cannot have", name)
		}
	}
	for _, name := range issuedMembers {
		if asks(sent, name) {
			r.Issued = append(r.Issued, name)
		}
	}
	return &r, nil
}

// asks reports whether a member is there.
func asks(sent map[string]json.RawMessage, name string) bool {
	value, there := sent[name]
	return there && string(value) != "null"
}

// maxNesting is how deep an object may be that describes a client.
const maxNesting = 16

// checkObject wants one JSON object in UTF-8 in which no member stands twice: readers
// differ in which of two they take (RFC 8259 Section 4).
func checkObject(body []byte) error {
	if !utf8.Valid(body) || !json.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return Errorf(InvalidRequest, "the body must be a JSON object in UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []level
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return Refuse(InvalidRequest, "the body must be a JSON object in UTF-8", err)
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 && !open[len(open)-1].take(token) {
			return metadataError("a member must not stand twice in an object")
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}, wantsName: true})
		case json.Delim('['):
			open = append(open, level{})
		}
		if len(open) > maxNesting {
			return metadataError("the object is nested too deep")
		}
	}
}

// A level is an object or a list that is being read.
type level struct {
	names     map[string]bool // of the members so far; nil for a list
	wantsName bool            // the next token is a name
}

// take takes the next token on a level and reports whether it may stand there.
func (l *level) take(token json.Token) bool {
	if l.names == nil {
		return true
	}
	isName := l.wantsName
	l.wantsName = !isName
	if !isName {
		return true
	}
	name, _ := token.(string) // names are texts
	if l.names[name] {
		return false
	}
	l.names[name] = true
	return true
}

// FillDefaults writes out what a client is registered with that left members out: the
// defaults of RFC 7591 Section 2 and OpenID Connect Registration Section 2. Many clients
// of the latter name their response types alone; the grants then follow from those.
func (m *ClientMetadata) FillDefaults() {
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = AuthMethodBasic
	}
	if m.ApplicationType == "" {
		m.ApplicationType = ApplicationWeb
	}
	if m.IDTokenAlg == "" {
		m.IDTokenAlg = SigningAlgorithms[0]
	}
	if m.SubjectType == "" {
		m.SubjectType = SubjectPublic
	}
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = nil
	}
	if len(m.GrantTypes) == 0 {
		for _, t := range m.ResponseTypes {
			for _, grant := range GrantsOf(ParseResponseType(t)) {
				if !m.HasGrant(grant) {
					m.GrantTypes = append(m.GrantTypes, grant)
				}
			}
		}
	}
	m.Normalize()
}

// ReplaceBy puts what a client says of itself in the place of what it said before, RFC
// 7592 Section 2.2. What the operator has decided about it stays.
func (m *ClientMetadata) ReplaceBy(next *ClientMetadata) {
	to, from := reflect.ValueOf(m).Elem(), reflect.ValueOf(next).Elem()
	for name, i := range members {
		if slices.Contains(standard, name) {
			to.Field(i).Set(from.Field(i))
		}
	}
	defaults, _ := ParseScope(m.DefaultScope) // was checked when it was registered
	m.DefaultScope = defaults.Intersect(m.Registered()).String()
}

// Said are the members that a client may know of its registration, those of this
// server's own left out.
func (m *ClientMetadata) Said() (map[string]json.RawMessage, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("oauth: client metadata: %w", err)
	}
	said := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("oauth: client metadata: %w", err)
	}
	for name := range said {
		if !slices.Contains(standard, name) {
			delete(said, name)
		}
	}
	return said, nil
}

// Kinds of applications, OpenID Connect Registration Section 2.
const (
	ApplicationWeb    = "web"
	ApplicationNative = "native"
)

// checkApplication holds redirect URIs against the kind of application, where one was
// named: a web application that gets tokens through the browser has https on a host of
// its own; a native one a scheme of its own, loopback, or an https address that the
// system gives to it alone (RFC 8252 Section 7.2).
func (m *ClientMetadata) checkApplication() error {
	if m.ApplicationType != "" && m.ApplicationType != ApplicationWeb && m.ApplicationType != ApplicationNative {
		return metadataError("application_type must be web or native")
	}
	if m.InitiateLoginURI != "" && !isHTTPS(m.InitiateLoginURI) {
		return metadataError("initiate_login_uri must be an https URL")
	}
	for _, uri := range m.RedirectURIs {
		u, err := url.Parse(uri)
		switch {
		case err != nil: // was refused before
		case m.ApplicationType == ApplicationWeb && m.HasGrant(GrantImplicit) && (u.Scheme != "https" || IsLoopback(u.Hostname())):
			return Errorf(InvalidRedirectURI, "redirect_uris of a web application with the grant implicit must use https, and not on loopback")
		case m.ApplicationType == ApplicationNative && u.Scheme == "https" && IsLoopback(u.Hostname()):
			return Errorf(InvalidRedirectURI, "redirect_uris of a native application on loopback must use http")
		}
	}
	return nil
}

// isHTTPS reports whether an address is an https URL that can be kept.
func isHTTPS(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && u.Opaque == "" && isText(uri, maxURI)
}
