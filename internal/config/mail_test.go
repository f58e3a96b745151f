package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
)

// A mail server is configured whole or not at all, and never without encryption.
func TestMail(t *testing.T) {
	whole := func(c *config.Config) { c.MailHost, c.MailFrom = "mail.example.com", "Acme <no-reply@example.com>" }
	for name, tt := range map[string]struct {
		change func(*config.Config)
		want   []string // the keys at fault
	}{
		"none":                   {func(*config.Config) {}, nil},
		"whole":                  {whole, nil},
		"with a sign-in":         {func(c *config.Config) { whole(c); c.MailUsername, c.MailPassword = "acme", "secret" }, nil},
		"password from a file":   {func(c *config.Config) { whole(c); c.MailUsername, c.MailPasswordFile = "acme", "f" }, nil},
		"address alone":          {func(c *config.Config) { whole(c); c.MailFrom = "no-reply@example.com" }, nil},
		"Chinese name":           {func(c *config.Config) { whole(c); c.MailFrom = "虎符 <no-reply@example.com>" }, nil},
		"TLS on another port":    {func(c *config.Config) { whole(c); c.MailSecurity, c.MailPort = "tls", 2465 }, nil},
		"IP address":             {func(c *config.Config) { whole(c); c.MailHost = "192.0.2.1" }, nil},
		"plain":                  {func(c *config.Config) { whole(c); c.MailSecurity = "none" }, []string{"mail_security"}},
		"no security":            {func(c *config.Config) { whole(c); c.MailSecurity = "" }, []string{"mail_security"}},
		"host with a port":       {func(c *config.Config) { whole(c); c.MailHost = "mail.example.com:25" }, []string{"mail_host"}},
		"host with a line break": {func(c *config.Config) { whole(c); c.MailHost = "mail.example.com\nx" }, []string{"mail_host"}},
		"no such port":           {func(c *config.Config) { whole(c); c.MailPort = 65536 }, []string{"mail_port"}},
		"no sender":              {func(c *config.Config) { c.MailHost = "mail.example.com" }, []string{"mail_from"}},
		"sender is none":         {func(c *config.Config) { whole(c); c.MailFrom = "Acme" }, []string{"mail_from"}},
		"two senders":            {func(c *config.Config) { whole(c); c.MailFrom = "a@example.com, b@example.com" }, []string{"mail_from"}},
		"sender with a header":   {func(c *config.Config) { whole(c); c.MailFrom = "Acme <a@example.com>\r\nBcc: b@example.com" }, []string{"mail_from"}},
		"sender alone":           {func(c *config.Config) { c.MailFrom = "no-reply@example.com" }, []string{"mail_host"}},
		"password alone":         {func(c *config.Config) { whole(c); c.MailPassword = "secret" }, []string{"mail_username"}},
		"name alone":             {func(c *config.Config) { whole(c); c.MailUsername = "acme" }, []string{"mail_password"}},
		"password twice": {func(c *config.Config) {
			whole(c)
			c.MailUsername, c.MailPassword, c.MailPasswordFile = "acme", "secret", "f"
		}, []string{"mail_password"}},
	} {
		c := config.Default()
		tt.change(c)
		if diff := cmp.Diff(tt.want, keysAtFault(c)); diff != "" {
			t.Errorf("%s: keys at fault (-want +got):\n%s", name, diff)
		}
	}
}

// The password comes from the value or from the file, without the line end; no message
// shows it.
func TestReadMailPassword(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
	}{
		"a line": {"secret horse\n", "secret horse"}, "DOS": {"secret\r\n", "secret"}, "no line end": {"secret", "secret"}, "spaces are its own": {" secret ", " secret "},
		"empty": {"", ""}, "two lines": {"secret\nhorse\n", ""}, "a line end alone": {"\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		c.MailPasswordFile = path
		got, err := c.ReadMailPassword()
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tt.want)
		}
	}
	c := config.Default()
	c.MailPassword = "value"
	if got, err := c.ReadMailPassword(); got != "value" || err != nil {
		t.Errorf("a value: %q, %v", got, err)
	}
	c.MailPassword, c.MailPasswordFile = "", filepath.Join(t.TempDir(), "none")
	if err := c.CheckFiles(); err == nil || len(config.Mistakes(err)) != 1 || config.Mistakes(err)[0].Name != "mail_password_file" {
		t.Errorf("no file: %v", err)
	}
}
