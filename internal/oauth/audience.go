package oauth

import (
	"encoding/json"
	"errors"
	"slices"
)

// An Audience is the aud claim of RFC 7519 Section 4.1.3: one string in JSON
// when it names one recipient, a list when it names more.
type Audience []string

// Contains reports whether the audience names the recipient.
func (a Audience) Contains(recipient string) bool { return slices.Contains(a, recipient) }

// MarshalJSON writes a single recipient as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("oauth: aud is neither a string nor a list of strings")
	}
	*a = many
	return nil
}
