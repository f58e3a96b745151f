package oauth

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrMediaType is the cause of a refusal for a body that is not
// application/x-www-form-urlencoded; the edge answers it with 415.
var ErrMediaType = errors.New("oauth: content type is not application/x-www-form-urlencoded")

// A Form holds the parameters of one request, parsed and without repeats. The
// zero value is an empty form; only ParseForm, ParseQuery and NewForm fill one.
type Form struct {
	parameters []parameter // in the order in which they were sent
}

// A parameter is one pair of a form. Forms are short, so looking through their
// pairs is quicker than to make a map of them.
type parameter struct{ name, value string }

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
	if !isForm(r.Header.Get("Content-Type")) {
		return Form{}, Refuse(InvalidRequest, "the body must be application/x-www-form-urlencoded", ErrMediaType)
	}
	if r.Body == nil {
		return Form{}, nil
	}
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(r.Body); err != nil {
		return Form{}, Refuse(InvalidRequest, "the body could not be read", fmt.Errorf("read body: %w", err))
	}
	return parse(body.String(), boxes...)
}

// bodies are buffers to read into. They grow to what the edge lets through.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const formType = "application/x-www-form-urlencoded"

func isForm(contentType string) bool {
	if contentType == formType {
		return true // as nearly everybody writes it
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return kind == formType && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
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
	var form Form
	for name, all := range values {
		for _, value := range all {
			form.parameters = append(form.parameters, parameter{name, value})
		}
	}
	return form
}

// parse drops every pair of a name that is refused, and returns one of the
// refusals.
func parse(encoded string, boxes ...string) (Form, error) {
	parameters, refused := split(encoded)
	repeats := repeats(parameters)
	var dropped map[string]bool
	for i, p := range parameters {
		if err := checkParameter(p, repeats(i), boxes); err != nil {
			if dropped == nil {
				dropped = map[string]bool{}
			}
			dropped[p.name], refused = true, err
		}
	}
	if dropped != nil {
		parameters = slices.DeleteFunc(parameters, func(p parameter) bool { return dropped[p.name] })
	}
	return Form{parameters}, refused
}

// fewParameters is how many are compared each with each.
const fewParameters = 32

// repeats returns a function that is asked for every parameter in turn whether
// one before it has its name.
func repeats(parameters []parameter) func(i int) bool {
	if len(parameters) <= fewParameters {
		return func(i int) bool {
			return slices.ContainsFunc(parameters[:i], func(p parameter) bool { return p.name == parameters[i].name })
		}
	}
	seen := map[string]bool{}
	return func(i int) bool {
		name := parameters[i].name
		was := seen[name]
		seen[name] = true
		return was
	}
}

// split decodes the pairs of a form. A semicolon is a character like any other,
// as the form encoding of today has it, and a pair that cannot be decoded is
// refused alone.
func split(encoded string) (parameters []parameter, refused error) {
	if encoded != "" {
		parameters = make([]parameter, 0, min(1+strings.Count(encoded, "&"), 16))
	}
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var err error
		if strings.IndexByte(pair, '%') >= 0 || strings.IndexByte(pair, '+') >= 0 { // most have nothing to decode
			if name, err = url.QueryUnescape(name); err == nil {
				value, err = url.QueryUnescape(value)
			}
		}
		if err != nil {
			refused = Refuse(InvalidRequest, "the parameters are not well-formed", errors.New("form encoding is broken"))
			continue
		}
		parameters = append(parameters, parameter{name, value})
	}
	return parameters, refused
}
func checkParameter(p parameter, again bool, boxes []string) error {
	if again && !repeatable[p.name] && !slices.Contains(boxes, p.name) {
		return Refuse(InvalidRequest, "a parameter must not be sent more than once", fmt.Errorf("parameter %.40q was sent again", p.name))
	}
	if !isTextual(p.name) || !isTextual(p.value) {
		return Refuse(InvalidRequest, "parameters must be valid UTF-8 without NUL", fmt.Errorf("parameter %.40q", p.name))
	}
	return nil
}

func isTextual(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Get returns the value of a parameter; "" when it was left out or sent empty,
// which RFC 6749 Section 3.1 has mean the same.
func (f Form) Get(name string) string {
	for _, p := range f.parameters {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// All returns the non-empty values of a parameter that may repeat, each once.
func (f Form) All(name string) []string {
	var all []string
	var seen map[string]bool
	for _, p := range f.parameters {
		if p.name != name || p.value == "" || seen[p.value] {
			continue
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[p.value] = true
		all = append(all, p.value)
	}
	return all
}

// Has reports whether the parameter was sent at all, even empty.
func (f Form) Has(name string) bool {
	return slices.ContainsFunc(f.parameters, func(p parameter) bool { return p.name == name })
}

// Values returns the parameters as a map, for sealing.
func (f Form) Values() map[string][]string {
	values := make(map[string][]string, len(f.parameters))
	for _, p := range f.parameters {
		values[p.name] = append(values[p.name], p.value)
	}
	return values
}

// Require returns the value of a parameter that must not be missing.
func (f Form) Require(name string) (string, error) {
	if v := f.Get(name); v != "" {
		return v, nil
	}
	return "", Errorf(InvalidRequest, "%s is missing", name)
}
