package oauth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// OpenID Connect Core Section 6.1, RFC 9101 Section 4: what an object may hold, and how its
// values read as parameters.
func TestParseRequestObject(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string][]string{ // nil means refused
		`{}`: {},
		`{"state":"a b","max_age":600,"x":true,"scope":null}`:               {"state": {"a b"}, "max_age": {"600"}, "x": {"true"}},
		`{"claims":{"userinfo": {"name": null}}}`:                           {"claims": {`{"userinfo":{"name":null}}`}},
		`{"resource":["https://a.example","https://b.example"]}`:            {"resource": {"https://a.example", "https://b.example"}},
		`{"resource":"https://a.example"}`:                                  {"resource": {"https://a.example"}},
		`{"iss":"app","aud":["a","b"],"exp":1.5,"nbf":1,"iat":2,"jti":"x"}`: {"jti": {"x"}},
		`{"state":"a","state":"b"}`:                                         nil,
		`{"request":"x"}`:                                                   nil,
		`{"request_uri":"x"}`:                                               nil,
		`{"scope":["a"]}`:                                                   nil,
		`{"resource":[1]}`:                                                  nil,
		`{"max_age":1.5}`:                                                   nil,
		`{"max_age":1e2}`:                                                   nil,
		`{"exp":"1"}`:                                                       nil,
		`{"aud":7}`:                                                         nil,
		`{"state":"\u0000"}`:                                                nil,
		`["state"]`:                                                         nil,
		`{"state":"a"} x`:                                                   nil,
		``:                                                                  nil,
		`null`:                                                              nil,
		`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`: nil,
	} {
		o, err := oauth.ParseRequestObject([]byte(text))
		switch {
		case want == nil && oauth.CodeOf(err) != oauth.InvalidRequestObject:
			t.Errorf("%.80s: %v", text, err)
		case want != nil && err != nil:
			t.Errorf("%.80s: %v", text, err)
		case want != nil:
			if diff := cmp.Diff(want, o.Form.Values()); diff != "" {
				t.Errorf("%.80s (-want +got):\n%s", text, diff)
			}
		}
	}
}

// OpenID Connect Core Section 6.1: the object wins; beside it counts what it leaves out,
// unless only the object counts (RFC 9101 Section 5).
func TestRequestObjectWithin(t *testing.T) {
	t.Parallel()
	o, err := oauth.ParseRequestObject([]byte(`{"state":"inside","scope":"read"}`))
	if err != nil {
		t.Fatal(err)
	}
	outer := oauth.NewForm(map[string][]string{"client_id": {"app"}, "state": {"outside"}, "nonce": {"n"}, "request": {"x"}, "request_uri": {"y"}})
	if diff := cmp.Diff(map[string][]string{"client_id": {"app"}, "state": {"inside"}, "scope": {"read"}, "nonce": {"n"}}, o.Within(outer, false).Values()); diff != "" {
		t.Errorf("both (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"client_id": {"app"}, "state": {"inside"}, "scope": {"read"}}, o.Within(outer, true).Values()); diff != "" {
		t.Errorf("alone (-want +got):\n%s", diff)
	}
}

// RFC 7519 Section 4.1: times are compared with a minute of grace, and any number can be
// one (JW-06).
func TestRequestObjectFault(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for text, fault := range map[string]bool{
		`{}`: false,
		`{"iss":"app","aud":"https://id.example","client_id":"app"}`: false,
		`{"aud":["x","https://id.example"]}`:                         false,
		`{"exp":1799999941}`:                                         false,
		`{"exp":1799999940}`:                                         true,
		`{"nbf":1800000060}`:                                         false,
		`{"nbf":1800000061}`:                                         true,
		`{"iat":1800000061}`:                                         true,
		`{"exp":1e300,"nbf":-1e300}`:                                 false,
		`{"exp":-1e300}`:                                             true,
		`{"iss":"other"}`:                                            true,
		`{"client_id":"other"}`:                                      true,
		`{"aud":"https://id.example/"}`:                              true,
	} {
		o, err := oauth.ParseRequestObject([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := o.Fault("https://id.example", "app", now); (got != "") != fault {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// Whatever a request object says reads as parameters that a form could have held, none of
// them twice, and none leads to another object.
func FuzzParseRequestObject(f *testing.F) {
	f.Add(`{"state":"a","max_age":1,"resource":["b"],"claims":{"userinfo":{}}}`)
	f.Add(`{"state":"a","state":"b"}`)
	f.Add(`{"aud":["a"],"exp":1e400}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := oauth.ParseRequestObject([]byte(text))
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%q was read", text)
		}
		for name, values := range o.Form.Values() {
			if name == "request" || name == "request_uri" || name != "resource" && len(values) > 1 {
				t.Errorf("%q: %s is %q", text, name, values)
			}
			for _, value := range values {
				if strings.ContainsRune(value, 0) {
					t.Errorf("%q: %s holds NUL", text, name)
				}
			}
		}
		_ = o.Fault("https://id.example", "app", time.Unix(1, 0))
	})
}
