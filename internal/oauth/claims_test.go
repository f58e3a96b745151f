package oauth_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// OpenID Connect Core Section 5.4: the claims of each scope value, in their order.
func TestScopeClaims(t *testing.T) {
	t.Parallel()
	if got := (oauth.Scope{"openid", "email", "read", "phone"}).Claims(); !slices.Equal(got, []string{"email", "email_verified", "phone_number", "phone_number_verified"}) {
		t.Errorf("claims %v", got)
	}
	if got := len(oauth.StandardClaims()); got != 19 {
		t.Errorf("%d standard claims, want the 20 of Section 5.1 less sub", got)
	}
}

// OpenID Connect Core Section 5.5: what is asked for, by whom it may be answered, and
// what of it is kept.
func TestParseClaims(t *testing.T) {
	t.Parallel()
	type parsed struct {
		UserInfo, IDToken []string
		Subjects          []string
		ACR               []string
		Text              string
	}
	for name, tt := range map[string]struct {
		text string
		want parsed
	}{
		"nothing":        {"", parsed{}},
		"empty":          {"{}", parsed{}},
		"null":           {`{"userinfo":null,"id_token":null}`, parsed{}},
		"other members":  {`{"verified_claims":{},"x":[1]}`, parsed{}},
		"both places":    {`{"userinfo":{"name":null,"email":{"essential":true}},"id_token":{"name":{}}}`, parsed{UserInfo: []string{"email", "name"}, IDToken: []string{"name"}, Text: `{"userinfo":{"email":null,"name":null},"id_token":{"name":null}}`}},
		"sub":            {`{"id_token":{"sub":{"value":"248289761001"}}}`, parsed{IDToken: []string{"sub"}, Subjects: []string{"248289761001"}}},
		"sub at the end": {`{"userinfo":{"sub":{"value":"u"}}}`, parsed{UserInfo: []string{"sub"}, Subjects: []string{"u"}}},
		"sub of no text": {`{"id_token":{"sub":{"value":7}}}`, parsed{IDToken: []string{"sub"}}},
		"one of two":     {`{"id_token":{"sub":{"values":["a","b"]}}}`, parsed{IDToken: []string{"sub"}, Subjects: []string{"a", "b"}}},
		"acr":            {`{"id_token":{"acr":{"essential":true,"values":["a",1,"b","a"]}}}`, parsed{IDToken: []string{"acr"}, ACR: []string{"a", "b"}}},
		"acr, voluntary": {`{"id_token":{"acr":{"values":["a"]}}}`, parsed{IDToken: []string{"acr"}}},
		"acr, one value": {`{"id_token":{"acr":{"essential":true,"value":"a"}}}`, parsed{IDToken: []string{"acr"}, ACR: []string{"a"}}},
		"of tokens":      {`{"id_token":{"iss":null,"nonce":{"value":"n"},"` + strings.Repeat("x", 101) + `":null,"":null}}`, parsed{IDToken: []string{"", "iss", "nonce", strings.Repeat("x", 101)}}},
	} {
		c, err := oauth.ParseClaims(tt.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := parsed{c.UserInfoNames(), c.IDTokenNames(), c.Subjects(), c.EssentialACR(), c.Text()}
		for _, list := range []*[]string{&got.UserInfo, &got.IDToken} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, bad := range []string{"x", "[]", "1", `"x"`, `{"userinfo":1}`, `{"id_token":{"name":true}}`, `{"id_token":{"name":{"essential":"yes"}}}`, `{} {}`, "{" + strings.Repeat(" ", 4096) + "}"} {
		if _, err := oauth.ParseClaims(bad); oauth.CodeOf(err) != oauth.InvalidRequest {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// What is kept of a request is JSON, asks for no more than the request did, names no
// claim of the protocol, and is itself when it is read again.
func FuzzParseClaims(f *testing.F) {
	f.Add(`{"userinfo":{"given_name":{"essential":true},"nickname":null},"id_token":{"auth_time":{"essential":true},"acr":{"values":["urn:mace:incommon:iap:silver"]}}}`)
	f.Add(`{"id_token":{"sub":{"value":"248289761001"}}}`)
	f.Add(`{"userinfo":{"\u0000":null,"a\"b":{}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := oauth.ParseClaims(text)
		if err != nil {
			return
		}
		kept := c.Text()
		if kept != "" && !json.Valid([]byte(kept)) {
			t.Fatalf("kept %q", kept)
		}
		again, err := oauth.KeptClaims(kept)
		if err != nil {
			t.Fatalf("kept %q: %v", kept, err)
		}
		if again.Text() != kept {
			t.Errorf("kept %q, then %q", kept, again.Text())
		}
		for _, lists := range [][2][]string{{again.UserInfoNames(), c.UserInfoNames()}, {again.IDTokenNames(), c.IDTokenNames()}} {
			for _, name := range lists[0] {
				if !slices.Contains(lists[1], name) || oauth.IsProtocolClaim(name) {
					t.Errorf("kept %q, which nobody asked for or could", name)
				}
			}
		}
	})
}
