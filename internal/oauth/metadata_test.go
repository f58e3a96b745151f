package oauth_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// web is a registration that nothing is wrong with.
func web(edit func(m *oauth.ClientMetadata)) oauth.ClientMetadata {
	m := oauth.ClientMetadata{
		ClientName: "App", RedirectURIs: []string{"https://app.example/callback"}, Scope: "read write openid offline_access",
		GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
	}
	edit(&m)
	return m
}

func ptr[T any](v T) *T { return &v }

// RFC 7591 Section 2 and the bounds of this server: one check for every way in
// which clients are made (RU-02, RU-06, XS-01).
func TestValidate(t *testing.T) {
	t.Parallel()
	const metadata, redirect = oauth.InvalidClientMetadata, oauth.InvalidRedirectURI
	for name, tt := range map[string]struct {
		edit func(m *oauth.ClientMetadata)
		want oauth.Code // "" means accepted
	}{
		"usual":          {func(*oauth.ClientMetadata) {}, ""},
		"nothing at all": {func(m *oauth.ClientMetadata) { *m = oauth.ClientMetadata{} }, redirect},
		"a service":      {func(m *oauth.ClientMetadata) { *m = oauth.ClientMetadata{GrantTypes: []string{"client_credentials"}} }, ""},

		"method basic":         {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_basic" }, ""},
		"method post":          {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_post" }, ""},
		"method none":          {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "none" }, ""},
		"method unknown":       {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "private_key_jwt" }, metadata},
		"method in other case": {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = "None" }, metadata},
		"every grant": {func(m *oauth.ClientMetadata) {
			m.GrantTypes = append(m.GrantTypes, "client_credentials", "password", "implicit")
		}, ""},
		"unknown grant":          {func(m *oauth.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, "urn:x") }, metadata},
		"grant in other case":    {func(m *oauth.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, "Password") }, metadata},
		"grant twice":            {func(m *oauth.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, "authorization_code") }, metadata},
		"empty grant":            {func(m *oauth.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, "") }, metadata},
		"response type alone":    {func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{"code", "token"} }, metadata},
		"response type missing":  {func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{} }, metadata},
		"response type unknown":  {func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{"code", "id_token"} }, metadata},
		"response type twice":    {func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{"code", "code"} }, metadata},
		"token without implicit": {func(m *oauth.ClientMetadata) { m.ResponseTypes = []string{"token"} }, metadata},
		"public service": {func(m *oauth.ClientMetadata) {
			m.TokenEndpointAuthMethod, m.GrantTypes = "none", append(m.GrantTypes, "client_credentials")
		}, metadata},
		"refresh alone":         {func(m *oauth.ClientMetadata) { m.GrantTypes = []string{"refresh_token"} }, metadata},
		"refresh of a service":  {func(m *oauth.ClientMetadata) { m.GrantTypes = []string{"refresh_token", "client_credentials"} }, metadata},
		"refresh of passwords":  {func(m *oauth.ClientMetadata) { m.GrantTypes = []string{"refresh_token", "password"} }, ""},
		"confidential, no turn": {func(m *oauth.ClientMetadata) { m.RefreshRotation = ptr(false) }, ""},
		"public, no rotation":   {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod, m.RefreshRotation = "none", ptr(false) }, metadata},

		"no redirect":            {func(m *oauth.ClientMetadata) { m.RedirectURIs = nil }, redirect},
		"implicit, no redirect":  {func(m *oauth.ClientMetadata) { m.GrantTypes, m.RedirectURIs = []string{"implicit"}, nil }, redirect},
		"redirect with fragment": {func(m *oauth.ClientMetadata) { m.RedirectURIs = append(m.RedirectURIs, "https://app.example/#a") }, redirect},
		"50 redirects":           {func(m *oauth.ClientMetadata) { m.RedirectURIs = slices.Repeat(m.RedirectURIs, 50) }, ""},
		"51 redirects":           {func(m *oauth.ClientMetadata) { m.RedirectURIs = slices.Repeat(m.RedirectURIs, 51) }, redirect},

		"name of 200 bytes":    {func(m *oauth.ClientMetadata) { m.ClientName = strings.Repeat("n", 200) }, ""},
		"name of 201 bytes":    {func(m *oauth.ClientMetadata) { m.ClientName = strings.Repeat("n", 201) }, metadata},
		"accent":               {func(m *oauth.ClientMetadata) { m.AccentColor = "#0E6b58" }, ""},
		"accent by name":       {func(m *oauth.ClientMetadata) { m.AccentColor = "red" }, metadata},
		"accent of three":      {func(m *oauth.ClientMetadata) { m.AccentColor = "#fff" }, metadata},
		"accent with alpha":    {func(m *oauth.ClientMetadata) { m.AccentColor = "#ffffff80" }, metadata},
		"accent not hex":       {func(m *oauth.ClientMetadata) { m.AccentColor = "#00000g" }, metadata},
		"name in Chinese":      {func(m *oauth.ClientMetadata) { m.ClientName = "虎符" }, ""},
		"name with markup":     {func(m *oauth.ClientMetadata) { m.ClientName = "<script>" }, ""}, // escaped where it is shown
		"name with a break":    {func(m *oauth.ClientMetadata) { m.ClientName = "a\nb" }, metadata},
		"name with NUL":        {func(m *oauth.ClientMetadata) { m.ClientName = "a\x00" }, metadata},
		"name not UTF-8":       {func(m *oauth.ClientMetadata) { m.ClientName = "\xff" }, metadata},
		"software_id too long": {func(m *oauth.ClientMetadata) { m.SoftwareID = strings.Repeat("n", 201) }, metadata},
		"version with ESC":     {func(m *oauth.ClientMetadata) { m.SoftwareVersion = "\x1b[31m" }, metadata},
		"contacts":             {func(m *oauth.ClientMetadata) { m.Contacts = slices.Repeat([]string{"a@b.example"}, 100) }, ""},
		"too many contacts":    {func(m *oauth.ClientMetadata) { m.Contacts = slices.Repeat([]string{"a@b.example"}, 101) }, metadata},
		"contact with a break": {func(m *oauth.ClientMetadata) { m.Contacts = []string{"a\r\nb"} }, metadata},

		"logo by https":      {func(m *oauth.ClientMetadata) { m.LogoURI = "https://app.example/logo.png" }, ""},
		"logo by http":       {func(m *oauth.ClientMetadata) { m.LogoURI = "http://app.example/logo.png" }, metadata},
		"logo as data":       {func(m *oauth.ClientMetadata) { m.LogoURI = "data:image/png;base64,AA" }, metadata},
		"policy as script":   {func(m *oauth.ClientMetadata) { m.PolicyURI = "javascript:alert(1)" }, metadata},
		"terms without host": {func(m *oauth.ClientMetadata) { m.TermsOfServiceURI = "https:///terms" }, metadata},
		"home with a user":   {func(m *oauth.ClientMetadata) { m.ClientURI = "https://bank.example@app.example/" }, metadata},
		"home with a break":  {func(m *oauth.ClientMetadata) { m.ClientURI = "https://app.example/\n" }, metadata},
		"home of 2048 bytes": {func(m *oauth.ClientMetadata) { m.ClientURI = "https://app.example/" + strings.Repeat("a", 2028) }, ""},
		"home of 2049 bytes": {func(m *oauth.ClientMetadata) { m.ClientURI = "https://app.example/" + strings.Repeat("a", 2029) }, metadata},
		"home, late control": {func(m *oauth.ClientMetadata) {
			m.ClientURI = "https://app.example/" + strings.Repeat("a", 200) + "\u0085"
		}, metadata},
		"home, late not UTF8": {func(m *oauth.ClientMetadata) {
			m.ClientURI = "https://app.example/" + strings.Repeat("a", 200) + "\xff"
		}, metadata},

		"no scope":             {func(m *oauth.ClientMetadata) { m.Scope = "" }, ""},
		"bad scope":            {func(m *oauth.ClientMetadata) { m.Scope = `re"ad` }, metadata},
		"101 scopes":           {func(m *oauth.ClientMetadata) { m.Scope = manyScopes(101) }, metadata},
		"100 scopes":           {func(m *oauth.ClientMetadata) { m.Scope = manyScopes(100) }, ""},
		"long scope":           {func(m *oauth.ClientMetadata) { m.Scope = strings.Repeat("a", 4097) }, metadata},
		"default within":       {func(m *oauth.ClientMetadata) { m.DefaultScope = "write read" }, ""},
		"default beyond":       {func(m *oauth.ClientMetadata) { m.DefaultScope = "read admin" }, metadata},
		"default not a scope":  {func(m *oauth.ClientMetadata) { m.DefaultScope = `\` }, metadata},
		"opaque":               {func(m *oauth.ClientMetadata) { m.TokenFormat = "opaque" }, ""},
		"format unknown":       {func(m *oauth.ClientMetadata) { m.TokenFormat = "paseto" }, metadata},
		"RS256":                {func(m *oauth.ClientMetadata) { m.AccessTokenAlg = "RS256" }, ""},
		"alg none":             {func(m *oauth.ClientMetadata) { m.AccessTokenAlg = "none" }, metadata},
		"alg HS256":            {func(m *oauth.ClientMetadata) { m.AccessTokenAlg = "HS256" }, metadata},
		"introspect any":       {func(m *oauth.ClientMetadata) { m.Introspect = "any" }, ""},
		"introspect all":       {func(m *oauth.ClientMetadata) { m.Introspect = "all" }, metadata},
		"public introspects":   {func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod, m.Introspect = "none", "any" }, metadata},
		"resources":            {func(m *oauth.ClientMetadata) { m.Resources = []string{"https://api.example/v1?x=1", "urn:example:api"} }, ""},
		"relative resource":    {func(m *oauth.ClientMetadata) { m.Resources = []string{"/v1"} }, metadata},
		"resource, fragment":   {func(m *oauth.ClientMetadata) { m.Resources = []string{"https://api.example/#"} }, metadata},
		"resource with space":  {func(m *oauth.ClientMetadata) { m.Resources = []string{"urn:a b"} }, metadata},
		"too many resources":   {func(m *oauth.ClientMetadata) { m.Resources = slices.Repeat([]string{"urn:a"}, 101) }, metadata},
		"default audience":     {func(m *oauth.ClientMetadata) { m.DefaultAudience = "https://api.example" }, ""},
		"long audience":        {func(m *oauth.ClientMetadata) { m.DefaultAudience = strings.Repeat("a", 2049) }, metadata},
		"audience with ESC":    {func(m *oauth.ClientMetadata) { m.DefaultAudience = "a\x1b" }, metadata},
		"audience, late break": {func(m *oauth.ClientMetadata) { m.DefaultAudience = strings.Repeat("a", 300) + "\n" }, metadata},

		"max age 0":          {func(m *oauth.ClientMetadata) { m.DefaultMaxAge = ptr(int64(0)) }, ""},
		"max age negative":   {func(m *oauth.ClientMetadata) { m.DefaultMaxAge = ptr(int64(-1)) }, metadata},
		"grace 0":            {func(m *oauth.ClientMetadata) { m.RefreshGrace = ptr(int64(0)) }, ""},
		"grace 300":          {func(m *oauth.ClientMetadata) { m.RefreshGrace = ptr(int64(300)) }, ""},
		"grace 301":          {func(m *oauth.ClientMetadata) { m.RefreshGrace = ptr(int64(301)) }, metadata},
		"grace negative":     {func(m *oauth.ClientMetadata) { m.RefreshGrace = ptr(int64(-1)) }, metadata},
		"access 60":          {func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 60 }, ""},
		"access 3600":        {func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 3600 }, ""},
		"access 59":          {func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 59 }, metadata},
		"access 3601":        {func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = 3601 }, metadata},
		"access negative":    {func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = -60 }, metadata},
		"code 60":            {func(m *oauth.ClientMetadata) { m.CodeLifetime = 60 }, ""},
		"code 61":            {func(m *oauth.ClientMetadata) { m.CodeLifetime = 61 }, metadata},
		"code negative":      {func(m *oauth.ClientMetadata) { m.CodeLifetime = -1 }, metadata},
		"idle negative":      {func(m *oauth.ClientMetadata) { m.RefreshIdleLifetime = -1 }, metadata},
		"idle of a year":     {func(m *oauth.ClientMetadata) { m.RefreshIdleLifetime = 366 * 24 * 3600 }, ""},
		"refresh of a year+": {func(m *oauth.ClientMetadata) { m.RefreshTokenLifetime = 366*24*3600 + 1 }, metadata},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := web(tt.edit)
			m.Normalize()
			if err := m.Validate(); codeOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "s%d ", i)
	}
	return b.String()
}

// RFC 7591 Section 2: the code grant is the default, and response types follow
// from the grants; what was said is left as it is.
func TestNormalize(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ grants, types, wantGrants, wantTypes []string }{
		"nothing":     {nil, nil, []string{"authorization_code"}, []string{"code"}},
		"both":        {[]string{"implicit", "authorization_code"}, nil, []string{"implicit", "authorization_code"}, []string{"code", "token"}},
		"implicit":    {[]string{"implicit"}, nil, []string{"implicit"}, []string{"token"}},
		"neither":     {[]string{"password"}, nil, []string{"password"}, nil},
		"empty, said": {[]string{"password"}, []string{}, []string{"password"}, []string{}},
		"said":        {[]string{"authorization_code"}, []string{"token"}, []string{"authorization_code"}, []string{"token"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := oauth.ClientMetadata{GrantTypes: tt.grants, ResponseTypes: tt.types}
			m.Normalize()
			if diff := cmp.Diff([][]string{tt.wantGrants, tt.wantTypes}, [][]string{m.GrantTypes, m.ResponseTypes}); diff != "" {
				t.Errorf("grants and types (-want +got):\n%s", diff)
			}
		})
	}
}

// RFC 6749 Section 3.3: what a request names, else the defaults, else everything
// but the OpenID values; never more than is registered (AZ-05, CC-01).
func TestRequested(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		registered, defaults, asked string
		want                        string
		code                        oauth.Code
	}{
		"named":                  {"read write", "", "write", "write", ""},
		"order of the request":   {"read write", "", "write read", "write read", ""},
		"twice":                  {"read write", "", "read read", "read", ""},
		"not registered":         {"read", "", "read admin", "", oauth.InvalidScope},
		"other case":             {"read", "", "Read", "", oauth.InvalidScope},
		"bad character":          {"read", "", `"`, "", oauth.InvalidScope},
		"nothing, defaults":      {"read write", "write", "", "write", ""},
		"nothing, spaces":        {"read write", "write", "  ", "write", ""},
		"nothing, no defaults":   {"read openid write offline_access", "", "", "read write", ""},
		"nothing at all":         {"", "", "", "", ""},
		"openid by default":      {"read openid", "openid", "", "openid", ""},
		"client without a scope": {"", "", "read", "", oauth.InvalidScope},
		"default gone meanwhile": {"read", "read write", "", "read", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := oauth.ClientMetadata{Scope: tt.registered, DefaultScope: tt.defaults}
			got, err := m.Requested(tt.asked)
			if codeOf(err) != tt.code || got.String() != tt.want {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.code)
			}
		})
	}
}

// RFC 8707 Section 2: only registered resources, compared as they are (AT-02).
func TestCheckResources(t *testing.T) {
	t.Parallel()
	m := oauth.ClientMetadata{Resources: []string{"https://api.example/", "urn:example:api"}}
	for name, tt := range map[string]struct {
		asked []string
		want  oauth.Code
	}{
		"none":           {nil, ""},
		"both":           {[]string{"urn:example:api", "https://api.example/"}, ""},
		"another":        {[]string{"https://api.example/", "https://other.example/"}, oauth.InvalidTarget},
		"no slash":       {[]string{"https://api.example"}, oauth.InvalidTarget},
		"other case":     {[]string{"HTTPS://api.example/"}, oauth.InvalidTarget},
		"fragment":       {[]string{"https://api.example/#"}, oauth.InvalidTarget},
		"relative":       {[]string{"/"}, oauth.InvalidTarget},
		"space":          {[]string{"urn:example:api https://api.example/"}, oauth.InvalidTarget},
		"not a URI":      {[]string{"://"}, oauth.InvalidTarget},
		"longer than it": {[]string{"urn:" + strings.Repeat("a", 2045)}, oauth.InvalidTarget},
	} {
		t.Run(name, func(t *testing.T) {
			if err := m.CheckResources(tt.asked); codeOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Every grant that is unsafe by today's standards is warned about, and no other
// (RO-01, IM-01).
func TestWarnings(t *testing.T) {
	t.Parallel()
	m := web(func(*oauth.ClientMetadata) {})
	if got := m.Warnings(); len(got) != 0 {
		t.Errorf("a usual client: %q", got)
	}
	m.GrantTypes = append(m.GrantTypes, "password", "implicit")
	got := m.Warnings()
	if len(got) != 2 || !strings.Contains(strings.Join(got, "\n"), "password") || !strings.Contains(strings.Join(got, "\n"), "implicit") {
		t.Errorf("a legacy client: %q", got)
	}
}

func TestPredicates(t *testing.T) {
	t.Parallel()
	public := oauth.ClientMetadata{TokenEndpointAuthMethod: "none"}
	strict := oauth.ClientMetadata{RequirePKCE: true, RefreshRotation: ptr(false)}
	loose := oauth.ClientMetadata{}
	if !public.IsPublic() || strict.IsPublic() || loose.IsPublic() {
		t.Error("IsPublic is wrong")
	}
	if !public.NeedsPKCE() || !strict.NeedsPKCE() || loose.NeedsPKCE() {
		t.Error("NeedsPKCE is wrong (PK-01)")
	}
	if !public.Rotates() || strict.Rotates() || !loose.Rotates() {
		t.Error("Rotates is wrong")
	}
}

// The stored form of a client is as small as the client is, and reads back.
func TestMetadataJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(oauth.ClientMetadata{})
	if err != nil || string(text) != "{}" {
		t.Errorf("the zero registration is %s, %v", text, err)
	}
	m := web(func(m *oauth.ClientMetadata) {
		m.RefreshGrace, m.RefreshRotation, m.DefaultMaxAge = ptr(int64(0)), ptr(false), ptr(int64(0))
	})
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	var back oauth.ClientMetadata
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
