package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A RequestObject is what an authorization request in a JWT says, RFC 9101 Section 4 and
// OpenID Connect Core Section 6.1: parameters, and claims of the JWT itself.
type RequestObject struct {
	Form Form // its parameters

	Issuer    string
	Audience  Audience
	ExpiresAt *float64 // Unix seconds, perhaps with a fraction; nil when left out
	NotBefore *float64
	IssuedAt  *float64
}

// requestObjectSkew is how far clocks may be apart.
const requestObjectSkew = 60 * time.Second

// Fault says what is wrong with a request object that came from a client to an issuer at
// some time; "" when nothing is. A claim that is left out is not wrong: OpenID Connect
// wants none.
func (o *RequestObject) Fault(issuer, clientID string, now time.Time) string {
	switch id := o.Form.Get("client_id"); {
	case id != "" && id != clientID:
		return "client_id is another one than beside it"
	case o.Issuer != "" && o.Issuer != clientID:
		return "iss is not the client"
	case len(o.Audience) > 0 && !slices.Contains(o.Audience, issuer):
		return "aud is not this issuer"
	case o.ExpiresAt != nil && !NumericDate(*o.ExpiresAt).Add(requestObjectSkew).After(now):
		return "it has expired"
	case o.NotBefore != nil && NumericDate(*o.NotBefore).After(now.Add(requestObjectSkew)):
		return "it is not valid yet"
	case o.IssuedAt != nil && NumericDate(*o.IssuedAt).After(now.Add(requestObjectSkew)):
		return "it was made in the future"
	}
	return ""
}

// NumericDate is the moment of a number of seconds, RFC 7519 Section 2. One beyond all
// bounds is the end of time, or its beginning.
func NumericDate(seconds float64) time.Time {
	const end = 1 << 40
	return time.Unix(int64(max(-end, min(seconds, end))), 0)
}

// errRequestObject is the cause of every refusal of the content of a request object.
var errRequestObject = errors.New("oauth: request object")

// ParseRequestObject reads the payload of a request object. A member that appears twice is
// refused like a parameter that is sent twice, and so is one that leads to another request
// object (RFC 9101 Section 4).
func ParseRequestObject(payload []byte) (*RequestObject, error) {
	o := &RequestObject{}
	err := checkObject(payload)
	if err == nil {
		err = o.read(payload)
	}
	if err != nil {
		return nil, Refuse(InvalidRequestObject, "the request object cannot be read", err)
	}
	return o, nil
}

func (o *RequestObject) read(payload []byte) error {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(payload, &sent); err != nil {
		return err
	}
	for name, value := range sent {
		if err := o.add(name, value); err != nil {
			return err
		}
	}
	return nil
}

// add takes one member.
func (o *RequestObject) add(name string, value json.RawMessage) error {
	switch name {
	case "iss":
		return json.Unmarshal(value, &o.Issuer)
	case "aud":
		return json.Unmarshal(value, &o.Audience)
	case "exp":
		return json.Unmarshal(value, &o.ExpiresAt)
	case "nbf":
		return json.Unmarshal(value, &o.NotBefore)
	case "iat":
		return json.Unmarshal(value, &o.IssuedAt)
	case "request", "request_uri":
		return fmt.Errorf("%w: it holds %s", errRequestObject, name)
	}
	texts, err := parameterTexts(name, value)
	if err != nil {
		return fmt.Errorf("%w: %.40q: %w", errRequestObject, name, err)
	}
	for _, text := range texts {
		if err := checkParameter(parameter{name, text}, false, nil); err != nil {
			return err
		}
		o.Form.parameters = append(o.Form.parameters, parameter{name, text})
	}
	return nil
}

// parameterTexts are the values of a parameter as a form would have them: a number
// without its quotes, the claims parameter as text, and what may repeat as an array.
func parameterTexts(name string, value json.RawMessage) ([]string, error) {
	var decoded any
	if err := json.Unmarshal(value, &decoded); err != nil {
		return nil, err
	}
	switch v := decoded.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case float64:
		number, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return nil, errors.New("a number must be a whole one")
		}
		return []string{strconv.FormatInt(number, 10)}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case map[string]any:
		var text bytes.Buffer
		err := json.Compact(&text, value)
		return []string{text.String()}, err
	}
	var all []string
	if err := json.Unmarshal(value, &all); err != nil || !repeatable[name] {
		return nil, errors.New("an array is not what this parameter can be")
	}
	return all, nil
}

// Within returns the form in whose place the parameters of a request object stand: they
// win over those beside it (OpenID Connect Core Section 6.1), of which only client_id is
// left when alone is set (RFC 9101 Section 5).
func (o *RequestObject) Within(outer Form, alone bool) Form {
	form := Form{slices.Clone(o.Form.parameters)}
	for _, p := range outer.parameters {
		if o.Form.Has(p.name) || alone && p.name != "client_id" || p.name == "request" || p.name == "request_uri" {
			continue
		}
		form.parameters = append(form.parameters, p)
	}
	return form
}
