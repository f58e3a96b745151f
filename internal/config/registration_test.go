package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
)

const someTokens = "a-token-of-16-chars\n\t another+token/of~16=="

// Whatever could let strangers register by mistake is a mistake (DC-01).
func TestRegistration(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*config.Config)
		want   []string // the keys at fault
	}{
		"off":                {func(*config.Config) {}, nil},
		"open":               {func(c *config.Config) { c.Registration = "open" }, nil},
		"by token":           {func(c *config.Config) { c.Registration, c.RegistrationToken = "token", someTokens }, nil},
		"by a file":          {func(c *config.Config) { c.Registration, c.RegistrationTokenFile = "token", "f" }, nil},
		"prepared":           {func(c *config.Config) { c.RegistrationToken = someTokens }, nil},
		"another word":       {func(c *config.Config) { c.Registration = "on" }, []string{"registration"}},
		"empty":              {func(c *config.Config) { c.Registration = "" }, []string{"registration"}},
		"no token":           {func(c *config.Config) { c.Registration = "token" }, []string{"registration"}},
		"token twice":        {func(c *config.Config) { c.RegistrationToken, c.RegistrationTokenFile = someTokens, "f" }, []string{"registration_token"}},
		"short token":        {func(c *config.Config) { c.RegistrationToken = "a-token-of-15-c" }, []string{"registration_token"}},
		"one short token":    {func(c *config.Config) { c.RegistrationToken = someTokens + " short" }, []string{"registration_token"}},
		"odd token":          {func(c *config.Config) { c.RegistrationToken = "a-token-of-16-ch\u00e4rs" }, []string{"registration_token"}},
		"= inside":           {func(c *config.Config) { c.RegistrationToken = "a-token=of-16-chars" }, []string{"registration_token"}},
		"only =":             {func(c *config.Config) { c.RegistrationToken = config.Secret(strings.Repeat("=", 20)) }, []string{"registration_token"}},
		"spaces":             {func(c *config.Config) { c.RegistrationToken = "  \n" }, []string{"registration_token"}},
		"password":           {func(c *config.Config) { c.RegistrationGrants = []string{"password"} }, []string{"registration_grants"}},
		"grant twice":        {func(c *config.Config) { c.RegistrationGrants = []string{"implicit", "implicit"} }, []string{"registration_grants"}},
		"other grants":       {func(c *config.Config) { c.RegistrationGrants = []string{"implicit", "client_credentials"} }, nil},
		"scope with a space": {func(c *config.Config) { c.RegistrationScopes = []string{"a b"} }, []string{"registration_scopes"}},
		"scope twice":        {func(c *config.Config) { c.RegistrationScopes = []string{"a", "a"} }, []string{"registration_scopes"}},
		"no scope":           {func(c *config.Config) { c.RegistrationScopes = nil }, nil},
		"no registrations":   {func(c *config.Config) { c.RegistrationLimit = 0 }, []string{"registration_limit"}},
		"too many":           {func(c *config.Config) { c.RegistrationLimit = 100_001 }, []string{"registration_limit"}},
		"gone at once":       {func(c *config.Config) { c.RegistrationUnusedLifetime = time.Minute }, []string{"registration_unused_lifetime"}},
	} {
		c := config.Default()
		tt.change(c)
		if diff := cmp.Diff(tt.want, keysAtFault(c)); diff != "" {
			t.Errorf("%s: keys at fault (-want +got):\n%s", name, diff)
		}
	}
}

// Initial access tokens come from the value or from the file, and only where they are
// wanted; no message shows one.
func TestReadRegistrationTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(someTokens+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("swordfish"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := []string{"a-token-of-16-chars", "another+token/of~16=="}
	for name, tt := range map[string]struct {
		config config.Config
		want   []string
		fault  string
	}{
		"value":   {config.Config{Registration: "token", RegistrationToken: someTokens}, both, ""},
		"file":    {config.Config{Registration: "token", RegistrationTokenFile: path}, both, ""},
		"off":     {config.Config{Registration: "off", RegistrationToken: someTokens}, nil, ""},
		"open":    {config.Config{Registration: "open", RegistrationTokenFile: path}, nil, ""},
		"no file": {config.Config{Registration: "token", RegistrationTokenFile: path + "x"}, nil, "registration_token_file"},
		"bad":     {config.Config{Registration: "token", RegistrationTokenFile: bad}, nil, "registration_token_file"},
	} {
		got, err := tt.config.ReadRegistrationTokens()
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != (tt.fault != "") {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "swordfish")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A grant that no client may use cannot be registered for either.
func TestRegistrableGrants(t *testing.T) {
	c := config.Default()
	if got := c.RegistrableGrants(); got != nil {
		t.Errorf("off: %v", got)
	}
	c.Registration, c.RegistrationGrants, c.ForbiddenGrants = "open", []string{"authorization_code", "implicit"}, []string{"implicit"}
	if diff := cmp.Diff([]string{"authorization_code"}, c.RegistrableGrants()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
