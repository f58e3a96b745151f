package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

const formType = "application/x-www-form-urlencoded"

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token?grant_type=from_the_query&client_secret=leaked", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// RFC 6749 Sections 3.1, 3.2 and Appendix B: the parameters of a POST come from
// its body, in one encoding, none of them twice, all of them text (TE-06, TE-08,
// TE-12, TE-16).
func TestParseForm(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		contentType, body string
		want              map[string][]string // nil means refused
	}{
		"plain":                     {formType, "a=1&b=2", map[string][]string{"a": {"1"}, "b": {"2"}}},
		"with a charset":            {formType + "; charset=UTF-8", "a=1", map[string][]string{"a": {"1"}}},
		"media type in other case":  {"Application/X-WWW-Form-URLEncoded", "a=1", map[string][]string{"a": {"1"}}},
		"broken media parameter":    {formType + "; charset", "a=1", map[string][]string{"a": {"1"}}},
		"empty body":                {formType, "", map[string][]string{}},
		"empty value is kept":       {formType, "a=&b", map[string][]string{"a": {""}, "b": {""}}},
		"percent and plus":          {formType, "a=x%2By+z%20%E8%99%8E", map[string][]string{"a": {"x+y z 虎"}}},
		"name is encoded too":       {formType, "client%5Fid=c", map[string][]string{"client_id": {"c"}}},
		"resource may repeat":       {formType, "resource=https://a&resource=https://b", map[string][]string{"resource": {"https://a", "https://b"}}},
		"names differ by case":      {formType, "scope=a&Scope=b", map[string][]string{"scope": {"a"}, "Scope": {"b"}}},
		"no content type":           {"", "a=1", nil},
		"JSON":                      {"application/json", `{"a":1}`, nil},
		"multipart":                 {"multipart/form-data; boundary=x", "--x--", nil},
		"text":                      {"text/plain", "a=1", nil},
		"longer media type":         {formType + "x", "a=1", nil},
		"two media types":           {formType + ", application/json", "a=1", nil},
		"repeated":                  {formType, "scope=a&scope=b", nil},
		"repeated with one value":   {formType, "scope=a&scope=a", nil},
		"repeated and empty":        {formType, "scope=&scope=a", nil},
		"repeated in two spellings": {formType, "scope=a&s%63ope=b", nil},
		"unknown one repeated":      {formType, "x=1&x=2", nil},
		"NUL in a value":            {formType, "a=x%00y", nil},
		"NUL in a name":             {formType, "a%00=x", nil},
		"NUL in a resource":         {formType, "resource=https://a&resource=%00", nil},
		"broken UTF-8":              {formType, "a=%ff%fe", nil},
		"broken UTF-8 in a name":    {formType, "%ff=1", nil},
		"surrogate":                 {formType, "a=%ED%A0%80", nil},
		"overlong UTF-8":            {formType, "a=%C0%80", nil},
		"broken percent":            {formType, "a=%zz", nil},
		"cut percent":               {formType, "a=%4", nil},
		"semicolon":                 {formType, "a=1;b=2", map[string][]string{"a": {"1;b=2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			form, err := oauth.ParseForm(post(tt.contentType, tt.body))
			if tt.want == nil {
				if codeOf(err) != oauth.InvalidRequest {
					t.Errorf("got %v, want %s", err, oauth.InvalidRequest)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, form.Values()); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
		})
	}
}

// A form of very many parameters is read by the same rules.
func TestParseFormLong(t *testing.T) {
	t.Parallel()
	values := url.Values{}
	for i := range 2000 {
		values[fmt.Sprint("p", i)] = []string{fmt.Sprint(i)}
		values["resource"] = append(values["resource"], fmt.Sprint("urn:", i))
	}
	form, err := oauth.ParseForm(post(formType, values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string(values), form.Values()); diff != "" || len(form.All("resource")) != 2000 {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	form, err = oauth.ParseQuery(&http.Request{URL: &url.URL{RawQuery: values.Encode() + "&p7=again&p8=%00"}})
	if codeOf(err) != oauth.InvalidRequest || form.Has("p7") || form.Has("p8") || form.Get("p9") != "9" {
		t.Errorf("repeated: %v, p7=%q, p8=%q, p9=%q", err, form.Get("p7"), form.Get("p8"), form.Get("p9"))
	}
}

// The edge answers 415 and 413 by these causes.
func TestParseFormCauses(t *testing.T) {
	t.Parallel()
	if _, err := oauth.ParseForm(post("application/json", "{}")); !errors.Is(err, oauth.ErrMediaType) {
		t.Errorf("wrong media type: %v, want ErrMediaType in it", err)
	}
	r := post(formType, "a="+strings.Repeat("x", 100))
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 10)
	_, err := oauth.ParseForm(r)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); !ok || tooLong.Limit != 10 {
		t.Errorf("too long: %v, want a MaxBytesError in it", err)
	}
	r = post(formType, "")
	r.Body = io.NopCloser(failingReader{})
	if _, err := oauth.ParseForm(r); codeOf(err) != oauth.InvalidRequest || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut body: %v, want %s by io.ErrUnexpectedEOF", err, oauth.InvalidRequest)
	}
	r = post(formType, "")
	r.Body = nil
	if form, err := oauth.ParseForm(r); err != nil || len(form.Values()) != 0 {
		t.Errorf("no body: %v, %v", form, err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Only the boxes that a page of ours names may repeat in its form.
func TestParseForms(t *testing.T) {
	t.Parallel()
	form, err := oauth.ParseForms(post(formType, "scope=a&scope=b&decision=approve"), "scope")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, form.All("scope")); diff != "" {
		t.Errorf("scope (-want +got):\n%s", diff)
	}
	if _, err := oauth.ParseForms(post(formType, "scope=a&decision=approve&decision=deny"), "scope"); codeOf(err) != oauth.InvalidRequest {
		t.Errorf("decision twice: %v, want %s", err, oauth.InvalidRequest)
	}
}

// A GET is read by the rules of a POST, from its query.
func TestParseQuery(t *testing.T) {
	t.Parallel()
	for query, accepted := range map[string]bool{
		"":                             true,
		"client_id=c&state=a%20b":      true,
		"resource=x:a&resource=x:b":    true,
		"client_id=c&client_id=d":      false,
		"state=%00":                    false,
		"state=%ff":                    false,
		"state=%":                      false,
		"client_id=c;state=x":          true,
		"prompt=none&pro%6dpt=consent": false,
	} {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/authorize", RawQuery: query}}
		if _, err := oauth.ParseQuery(r); (err == nil) != accepted {
			t.Errorf("ParseQuery(%q): %v, want accepted %t", query, err, accepted)
		}
	}
}

// RFC 6749 Section 3.1: a parameter without a value is treated as if it were
// left out (TE-16).
func TestFormReading(t *testing.T) {
	t.Parallel()
	form, err := oauth.ParseForm(post(formType, "full=x&empty=&resource=&resource=a&resource="))
	if err != nil {
		t.Fatal(err)
	}
	if form.Get("full") != "x" || form.Get("empty") != "" || form.Get("absent") != "" {
		t.Errorf("Get: %q %q %q", form.Get("full"), form.Get("empty"), form.Get("absent"))
	}
	if !form.Has("full") || !form.Has("empty") || form.Has("absent") {
		t.Errorf("Has: %t %t %t", form.Has("full"), form.Has("empty"), form.Has("absent"))
	}
	if diff := cmp.Diff([]string{"a"}, form.All("resource")); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
	if got := form.All("empty"); got != nil {
		t.Errorf("All of an empty one = %q", got)
	}
	for _, missing := range []string{"empty", "absent"} {
		if _, err := form.Require(missing); codeOf(err) != oauth.InvalidRequest {
			t.Errorf("Require(%s): %v, want %s", missing, err, oauth.InvalidRequest)
		}
	}
	if got, err := form.Require("full"); got != "x" || err != nil {
		t.Errorf("Require(full) = %q, %v", got, err)
	}
	var zero oauth.Form
	if zero.Get("a") != "" || zero.Has("a") || zero.All("a") != nil {
		t.Error("the zero form is not empty")
	}
	if got := oauth.NewForm(map[string][]string{"a": {"b"}}).Get("a"); got != "b" {
		t.Errorf("NewForm: a = %q", got)
	}
}

// Whatever is accepted is text, holds nothing twice that must not be, loses
// nothing, and reads the same when it is written and read again.
func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{
		"grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fapp.example%2Fcb", "a=1&a=2", "resource=a&resource=b",
		"a=%00", "a=%ff", "a=%", "=", "&&&", "a=b=c", "a;b", "+=+", "%61=1&a=1", "虎=符", "a=\r\nb",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := oauth.ParseForm(post(formType, body))
		if err != nil {
			if codeOf(err) != oauth.InvalidRequest {
				t.Errorf("%q: %v, want %s", body, err, oauth.InvalidRequest)
			}
			return
		}
		for name, values := range form.Values() {
			if len(values) != 1 && name != "resource" {
				t.Errorf("%q: %q has %d values", body, name, len(values))
			}
			for _, s := range append([]string{name}, values...) {
				if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Errorf("%q: accepted %q", body, s)
				}
			}
			if form.Has(name) != (len(values) > 0) || len(values) > 0 && form.Get(name) != values[0] {
				t.Errorf("%q: %q reads as %q", body, name, form.Get(name))
			}
		}
		again, err := oauth.ParseForm(post(formType, url.Values(form.Values()).Encode()))
		if err != nil {
			t.Fatalf("%q: written again it is refused: %v", body, err)
		}
		if diff := cmp.Diff(form.Values(), again.Values()); diff != "" {
			t.Errorf("%q: written and read again (-first +second):\n%s", body, diff)
		}
	})
}
