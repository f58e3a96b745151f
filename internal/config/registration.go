package config

import (
	"errors"
	"slices"
	"strings"
)

// Who can register applications.
const (
	RegistrationOff   = "off"
	RegistrationToken = "token"
	RegistrationOpen  = "open"
)

// registrable are the grants that an operator can let applications register for.
var registrable = []string{"authorization_code", "refresh_token", "implicit", "client_credentials"}

func (c *Config) checkRegistration() error {
	var faults []error
	words := []string{RegistrationOff, RegistrationToken, RegistrationOpen}
	faults = append(faults,
		c.check("registration", slices.Contains(words, c.Registration), "want "+strings.Join(words, " or ")),
		c.check("registration", c.Registration != RegistrationToken || c.RegistrationToken != "" || c.RegistrationTokenFile != "",
			"token needs registration_token or registration_token_file"),
		c.check("registration_token", c.RegistrationToken == "" || c.RegistrationTokenFile == "", "set this or registration_token_file, not both"),
		c.check("registration_limit", c.RegistrationLimit >= 1 && c.RegistrationLimit <= 100_000, "want 1 to 100000"))
	if c.RegistrationToken != "" {
		_, err := splitTokens(string(c.RegistrationToken))
		faults = append(faults, c.check("registration_token", err == nil, errTokens.Error()))
	}
	for i, grant := range c.RegistrationGrants {
		if !slices.Contains(registrable, grant) || slices.Contains(c.RegistrationGrants[:i], grant) {
			faults = append(faults, c.mistake("registration_grants", "want different ones of "+strings.Join(registrable, ", ")))
			break
		}
	}
	for i, scope := range c.RegistrationScopes {
		if !isScopeToken(scope) || slices.Contains(c.RegistrationScopes[:i], scope) {
			faults = append(faults, c.mistake("registration_scopes", "want different names of 1 to 255 visible ASCII characters, without quotes and backslashes"))
			break
		}
	}
	return errors.Join(faults...)
}

const (
	minToken  = 16 // characters
	maxTokens = 100
)

var errTokens = errors.New("want 1 to 100 tokens of 16 characters at least, made of letters, digits and -._~+/=, with spaces or line breaks between them")

// splitTokens takes initial access tokens apart, each a b64token of RFC 6750 Section 2.1.
func splitTokens(text string) ([]string, error) {
	tokens := strings.Fields(text)
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return nil, errTokens
	}
	for _, token := range tokens {
		body := strings.TrimRight(token, "=")
		foreign := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
		}
		if len(token) < minToken || body == "" || strings.ContainsFunc(body, foreign) {
			return nil, errTokens
		}
	}
	return tokens, nil
}

// ReadRegistrationTokens returns the initial access tokens; none where registration is
// not for those who have one.
func (c *Config) ReadRegistrationTokens() ([]string, error) {
	if c.Registration != RegistrationToken {
		return nil, nil
	}
	if c.RegistrationToken != "" {
		tokens, err := splitTokens(string(c.RegistrationToken))
		if err != nil {
			return nil, c.mistake("registration_token", err.Error())
		}
		return tokens, nil
	}
	text, err := readSmall(c.RegistrationTokenFile, maxSecretFile)
	if err != nil {
		return nil, c.mistake("registration_token_file", err.Error())
	}
	tokens, err := splitTokens(string(text))
	if err != nil {
		return nil, c.mistake("registration_token_file", "in the file, "+err.Error())
	}
	return tokens, nil
}

// RegistrableGrants are those that applications may register for.
func (c *Config) RegistrableGrants() []string {
	if c.Registration == RegistrationOff {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.RegistrationGrants), func(grant string) bool { return slices.Contains(c.ForbiddenGrants, grant) })
}
