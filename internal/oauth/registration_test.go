package oauth_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// own are the members of client metadata that only the operator of a server sets. A new
// member stands here, or in the list of package oauth of those that anybody sets who
// registers a client (AD-03).
var own = []string{
	"sector_identifier", "default_scope", "require_pkce", "trusted", "token_format", "access_token_signed_response_alg", "resources", "default_audience", "introspect",
	"refresh_token_rotation", "refresh_token_grace", "access_token_lifetime", "refresh_token_idle_lifetime", "refresh_token_lifetime", "code_lifetime",
	"require_second_factor", "accent_color",
}

// RFC 7591 Section 2: what a stranger registers with is a list that somebody has decided
// about, member by member; this server's own members are not in it (AD-03, DC-05).
func TestRegistrationMembers(t *testing.T) {
	t.Parallel()
	var ownFound []string
	for field := range reflect.TypeFor[oauth.ClientMetadata]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !slices.Contains(oauth.Standard, name) {
			ownFound = append(ownFound, name)
		}
	}
	if diff := cmp.Diff(own, ownFound); diff != "" {
		t.Errorf("members that only an operator sets (-want +got):\n%s", diff)
	}
	for _, name := range own {
		for _, value := range []string{`true`, `1`, `"jwt"`, `["https://a.example"]`} {
			r, err := oauth.ParseRegistration([]byte(`{"` + name + `":` + value + `}`))
			if err != nil || !reflect.DeepEqual(r.Metadata, oauth.ClientMetadata{}) {
				t.Errorf("%s %s: %+v, %v", name, value, r, err)
			}
		}
	}
}

// RFC 7591 Section 3.2.2: what is no registration is refused, and what is unknown is
// ignored (DC-05).
func TestParseRegistration(t *testing.T) {
	t.Parallel()
	const metadata, request = oauth.InvalidClientMetadata, oauth.InvalidRequest
	for name, tt := range map[string]struct {
		body string
		want oauth.Code // "" means accepted
	}{
		"nothing":                {`{}`, ""},
		"white space around":     {" \r\n{ } \t", ""},
		"unknown members":        {`{"x":{"y":[1]},"client_name#zh":"虎","Trusted":true}`, ""},
		"null":                   {`{"client_name":null,"contacts":null,"software_statement":null,"id_token_encrypted_response_alg":null}`, ""},
		"not asked for":          {`{"id_token_encrypted_response_alg":"","dpop_bound_access_tokens":false,"authorization_details_types":[]}`, ""},
		"not supported":          {`{"dpop_bound_access_tokens":true}`, metadata},
		"mutual TLS":             {`{"tls_client_auth_subject_dn":"CN=a"}`, metadata},
		"software statement":     {`{"software_statement":"a.b.c"}`, oauth.UnapprovedSoftwareStatement},
		"empty":                  {``, request},
		"a list":                 {`[]`, request},
		"a text":                 {`"{}"`, request},
		"null alone":             {`null`, request},
		"two objects":            {`{}{}`, request},
		"cut off":                {`{"client_name":"a"`, request},
		"a form":                 {`client_name=a`, request},
		"broken UTF-8":           {"{\"client_name\":\"\xff\"}", request},
		"a byte order mark":      {"\ufeff{}", request},
		"NUL":                    {"{\"client_name\":\"\x00\"}", request},
		"twice":                  {`{"client_name":"a","client_name":"a"}`, metadata},
		"twice by escape":        {`{"client_name":"a","client_n\u0061me":"b"}`, metadata},
		"twice in the keys":      {`{"jwks":{"keys":[],"keys":[]}}`, metadata},
		"the same name in lists": {`{"jwks":{"keys":[{"kty":"a"},{"kty":"b"}]}}`, ""},
		"too deep":               {`{"x":` + strings.Repeat(`[`, 20) + strings.Repeat(`]`, 20) + `}`, metadata},
		"far too deep":           {`{"x":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000) + `}`, request},
		"number for text":        {`{"client_name":1}`, metadata},
		"text for list":          {`{"redirect_uris":"https://a.example"}`, metadata},
		"list of numbers":        {`{"contacts":[1]}`, metadata},
		"text for number":        {`{"default_max_age":"1"}`, metadata},
		"a fraction":             {`{"default_max_age":1.5}`, metadata},
		"a huge number":          {`{"default_max_age":1e99}`, metadata},
		"text for truth":         {`{"require_auth_time":"true"}`, metadata},
		"id of another type":     {`{"client_id":1}`, metadata},
		"secret of another type": {`{"client_secret":["a"]}`, metadata},
	} {
		if _, err := oauth.ParseRegistration([]byte(tt.body)); oauth.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	r, err := oauth.ParseRegistration([]byte(`{"client_name":"a","CLIENT_NAME":"b","scope":"c","jwks":{"keys":[]},"client_id":"d","client_secret":"e","client_id_issued_at":1}`))
	want := &oauth.Registration{
		Metadata: oauth.ClientMetadata{ClientName: "a", Scope: "c", JWKS: json.RawMessage(`{"keys":[]}`)},
		ClientID: "d", ClientSecret: "e", Issued: []string{"client_id_issued_at"},
	}
	if diff := cmp.Diff(want, r); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// RFC 7591 Section 2: what is left out has a default; grants follow from response types
// where these stand alone, as clients of OpenID Connect Registration write them.
func TestFillDefaults(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`{}`: `{"grant_types":["authorization_code"],"response_types":["code"]}`,
		`{"response_types":["code"],"grant_types":[]}`:                              `{"grant_types":["authorization_code"],"response_types":["code"]}`,
		`{"response_types":[]}`:                                                     `{"grant_types":["authorization_code"],"response_types":["code"]}`,
		`{"response_types":["id_token"]}`:                                           `{"grant_types":["implicit"],"response_types":["id_token"]}`,
		`{"response_types":["token id_token","code id_token"]}`:                     `{"grant_types":["implicit","authorization_code"],"response_types":["id_token token","code id_token"]}`,
		`{"grant_types":["client_credentials"]}`:                                    `{"grant_types":["client_credentials"]}`,
		`{"grant_types":["authorization_code","implicit"]}`:                         `{"grant_types":["authorization_code","implicit"],"response_types":["code","token"]}`,
		`{"grant_types":["authorization_code"],"response_types":["token"]}`:         `{"grant_types":["authorization_code"],"response_types":["token"]}`,
		`{"grant_types":["authorization_code"],"response_types":["nonsense here"]}`: `{"grant_types":["authorization_code"],"response_types":["nonsense here"]}`,
	} {
		r, err := oauth.ParseRegistration([]byte(sent))
		if err != nil {
			t.Fatal(err)
		}
		r.Metadata.FillDefaults()
		var wanted oauth.ClientMetadata
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		wanted.TokenEndpointAuthMethod, wanted.ApplicationType, wanted.SubjectType, wanted.IDTokenAlg = "client_secret_basic", "web", "public", "RS256"
		if diff := cmp.Diff(wanted, r.Metadata); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sent, diff)
		}
	}
}

// OpenID Connect Registration Section 2: what kind of application may be sent back to
// what kind of address (RU-05, RU-06).
func TestApplicationType(t *testing.T) {
	t.Parallel()
	const redirect, metadata = oauth.InvalidRedirectURI, oauth.InvalidClientMetadata
	for name, tt := range map[string]struct {
		kind, grant, uri string
		want             oauth.Code
	}{
		"web":                         {"web", "authorization_code", "https://a.example/cb", ""},
		"web on loopback":             {"web", "authorization_code", "http://localhost/cb", ""},
		"web in plain http":           {"web", "authorization_code", "http://a.example/cb", redirect},
		"web, implicit":               {"web", "implicit", "https://a.example/cb", ""},
		"web, implicit, localhost":    {"web", "implicit", "https://localhost/cb", redirect},
		"web, implicit, LOCALHOST":    {"web", "implicit", "https://LOCALHOST/cb", redirect},
		"web, implicit, loopback":     {"web", "implicit", "http://127.0.0.1/cb", redirect},
		"web, implicit, scheme":       {"web", "implicit", "com.example.app:/cb", redirect},
		"native scheme":               {"native", "authorization_code", "com.example.app:/cb", ""},
		"native scheme without a dot": {"native", "authorization_code", "myapp:/cb", redirect},
		"native script":               {"native", "authorization_code", "javascript:alert(1)", redirect},
		"native loopback":             {"native", "implicit", "http://[::1]/cb", ""},
		"native localhost":            {"native", "authorization_code", "http://localhost:8000/cb", ""},
		"native loopback in https":    {"native", "authorization_code", "https://localhost/cb", redirect},
		"native http elsewhere":       {"native", "authorization_code", "http://a.example/cb", redirect},
		"native claimed https":        {"native", "authorization_code", "https://app.example/cb", ""},
		"not said":                    {"", "implicit", "http://localhost/cb", ""},
		"unknown kind":                {"browser", "authorization_code", "https://a.example/cb", metadata},
		"fragment":                    {"web", "authorization_code", "https://a.example/cb#", redirect},
		"wildcard":                    {"web", "authorization_code", "https://*.a.example/cb", redirect},
		"userinfo":                    {"web", "authorization_code", "https://a@b.example/cb", redirect},
	} {
		m := oauth.ClientMetadata{ApplicationType: tt.kind, GrantTypes: []string{tt.grant}, RedirectURIs: []string{tt.uri}}
		m.Normalize()
		if err := m.Validate(); oauth.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for uri, want := range map[string]oauth.Code{
		"https://a.example/login": "", "https://a.example/login?x=1": "", "http://a.example/login": metadata, "http://localhost/login": metadata,
		"com.example.app:/login": metadata, "https://": metadata, "https://u@a.example/": metadata, "login": metadata, "https://a.example/\n": metadata,
	} {
		m := oauth.ClientMetadata{InitiateLoginURI: uri, RedirectURIs: []string{"https://a.example/cb"}}
		m.Normalize()
		if err := m.Validate(); oauth.CodeOf(err) != want {
			t.Errorf("initiate_login_uri %s: %v, want %q", uri, err, want)
		}
	}
}

// RFC 7592 Section 2.2: a replacement takes the place of all that a client said, and of
// nothing that the operator decided.
func TestReplaceBy(t *testing.T) {
	t.Parallel()
	m := oauth.ClientMetadata{ClientName: "a", LogoURI: "https://a.example/logo", Scope: "openid profile", DefaultScope: "profile email", Trusted: true, CodeLifetime: 5}
	m.ReplaceBy(&oauth.ClientMetadata{ClientName: "b", Scope: "openid email", DefaultScope: "openid", Introspect: "any"})
	want := oauth.ClientMetadata{ClientName: "b", Scope: "openid email", DefaultScope: "email", Trusted: true, CodeLifetime: 5}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	said, err := m.Said()
	if err != nil || string(said["client_name"]) != `"b"` || len(said) != 2 {
		t.Errorf("said %s, %v", said, err)
	}
}

// Whatever is sent to register with, nothing of this server's own comes out of it, it is
// refused for the client's fault and never for ours, and what was taken is taken again
// when it is said as the client is told it.
func FuzzParseRegistration(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"redirect_uris":["https://a.example/cb"],"client_name":"a","trusted":true,"jwks":{"keys":[{"kty":"EC"}]}}`,
		`{"client_name":"\ud800","scope":"a b","default_max_age":1e3}`, `{"a":{"a":1,"a":2}}`, `[{}]`, `{"contacts":[null]}`, `{"client_id":"x","client_secret":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := oauth.ParseRegistration(body)
		if err != nil {
			if code := oauth.CodeOf(err); code == oauth.ServerError {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		foreign := reflect.ValueOf(r.Metadata)
		for field := range foreign.Type().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if slices.Contains(own, name) && !foreign.FieldByIndex(field.Index).IsZero() {
				t.Fatalf("%q sets %s", body, name)
			}
		}
		said, err := r.Metadata.Said()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		again, err := oauth.ParseRegistration(text)
		if err != nil {
			t.Fatalf("%q was taken, %q was not: %v", body, text, err)
		}
		twice, err := again.Metadata.Said()
		if err != nil || !cmp.Equal(said, twice) {
			t.Fatalf("%q is read as %s, then as %s, %v", body, said, twice, err)
		}
	})
}
