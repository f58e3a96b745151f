package oauth

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrMediaType is the cause of a refusal for a body that is not
// application/x-www-form-urlencoded; the edge answers it with 415.
var ErrMediaType = errors.New("oauth: content type is not application/x-www-form-urlencoded")

// A Form holds the parameters of one request, parsed and without repeats. The
// zero value is an empty form; only ParseForm, ParseQuery and NewForm fill one.
type Form struct {
	values map[string][]string
}

// repeatable are the parameters that a specification allows more than once.
var repeatable = map[string]bool{
	"resource": true, // RFC 8707 Section 2
}

// ParseForm reads the parameters of a POST from its body, and from there alone:
// credentials in a request URI are not looked at (RFC 6749 Section 2.3.1). A
// parameter sent twice is refused (RFC 6749 Section 3.2), and so is text that
// no database could hold.
func ParseForm(r *http.Request) (Form, error) { return ParseForms(r) }

// ParseForms is ParseForm for a form of our own pages whose boxes share a name.
func ParseForms(r *http.Request, boxes ...string) (Form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || kind != "application/x-www-form-urlencoded" {
		return Form{}, Refuse(InvalidRequest, "the body must be application/x-www-form-urlencoded", ErrMediaType)
	}
	if r.Body == nil {
		return Form{}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Form{}, Refuse(InvalidRequest, "the body could not be read", fmt.Errorf("read body: %w", err))
	}
	return parse(string(body), boxes...)
}

// ParseQuery reads the parameters of a GET from the request URI, by the same
// rules as ParseForm.
//
// Both return what was sound beside the refusal of a parameter, because the
// authorization endpoint tells the client about it, RFC 6749 Section 4.1.2.1.
func ParseQuery(r *http.Request) (Form, error) {
	return parse(r.URL.RawQuery)
}

// NewForm makes a form from parameters that were checked when they first came
// in, such as those of a sealed request.
func NewForm(values map[string][]string) Form {
	return Form{values: values}
}

func parse(encoded string, boxes ...string) (Form, error) {
	values, refused := split(encoded)
	for name, all := range values {
		if err := checkParameter(name, all, boxes); err != nil {
			delete(values, name)
			refused = err
		}
	}
	return Form{values: values}, refused
}

// split decodes the pairs of a form. A semicolon is a character like any other,
// as the form encoding of today has it, and a pair that cannot be decoded is
// refused alone.
func split(encoded string) (values map[string][]string, refused error) {
	values = map[string][]string{}
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		first, second, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(first)
		if err == nil {
			second, err = url.QueryUnescape(second)
		}
		if err != nil {
			refused = Refuse(InvalidRequest, "the parameters are not well-formed", errors.New("form encoding is broken"))
			continue
		}
		values[name] = append(values[name], second)
	}
	return values, refused
}

func checkParameter(name string, all, boxes []string) error {
	if len(all) > 1 && !repeatable[name] && !slices.Contains(boxes, name) {
		return Refuse(InvalidRequest, "a parameter must not be sent more than once", fmt.Errorf("parameter %.40q sent %d times", name, len(all)))
	}
	for _, v := range append(all, name) {
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return Refuse(InvalidRequest, "parameters must be valid UTF-8 without NUL", fmt.Errorf("parameter %.40q", name))
		}
	}
	return nil
}

// Get returns the value of a parameter; "" when it was left out or sent empty,
// which RFC 6749 Section 3.1 has mean the same.
func (f Form) Get(name string) string {
	if v := f.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// All returns the non-empty values of a parameter that may repeat, each once.
func (f Form) All(name string) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, v := range f.values[name] {
		if !seen[v] {
			seen[v] = true
			all = append(all, v)
		}
	}
	return all
}

// Has reports whether the parameter was sent at all, even empty.
func (f Form) Has(name string) bool { return len(f.values[name]) > 0 }

// Values returns the parameters, for sealing; the caller must not change them.
func (f Form) Values() map[string][]string { return f.values }

// Require returns the value of a parameter that must not be missing.
func (f Form) Require(name string) (string, error) {
	if v := f.Get(name); v != "" {
		return v, nil
	}
	return "", Errorf(InvalidRequest, "%s is missing", name)
}
