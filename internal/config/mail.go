package config

import (
	"errors"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
)

// How the connection to the mail server is encrypted.
const (
	MailSTARTTLS = "starttls"
	MailTLS      = "tls"
)

// SendsMail reports whether there is a mail server.
func (c *Config) SendsMail() bool { return c.MailHost != "" }

// MailSender is who mail comes from. It is nobody where no mail is sent.
func (c *Config) MailSender() mail.Address {
	if from, err := mail.ParseAddress(c.MailFrom); err == nil {
		return *from
	}
	return mail.Address{}
}

func (c *Config) checkMail() error {
	words := []string{MailSTARTTLS, MailTLS}
	faults := []error{
		c.check("mail_security", slices.Contains(words, c.MailSecurity), "want "+strings.Join(words, " or ")),
		c.check("mail_port", c.MailPort >= 0 && c.MailPort <= 65535, "want 0 to 65535"),
		c.check("mail_host", c.MailHost == "" || isMailHost(c.MailHost), "want the name of the mail server, without a port"),
		c.check("mail_from", c.MailFrom == "" || isSender(c.MailFrom), "want an address, as in Acme <no-reply@example.com>"),
		c.check("mail_password", c.MailPassword == "" || c.MailPasswordFile == "", "set this or mail_password_file, not both"),
		c.check("mail_username", isShortText(c.MailUsername, 256), "want at most 256 characters on one line"),
	}
	hasPassword := c.MailPassword != "" || c.MailPasswordFile != ""
	faults = append(faults,
		c.check("mail_from", c.MailHost == "" || c.MailFrom != "", "missing, while mail_host is set"),
		c.check("mail_host", c.MailHost != "" || c.MailFrom == "" && c.MailUsername == "" && !hasPassword, "missing, while other keys of mail are set"),
		c.check("mail_username", c.MailUsername != "" || !hasPassword, "missing, while mail_password is set"),
		c.check("mail_password", c.MailUsername == "" || hasPassword, "missing, while mail_username is set"))
	return errors.Join(faults...)
}

// isMailHost takes a name, which the certificate of the server must be for, or an IP
// address.
func isMailHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || isHostname(host)
}

// isSender takes one address with or without a name, on one line.
func isSender(text string) bool {
	from, err := mail.ParseAddress(text)
	return err == nil && isShortText(text, 320) && isShortText(from.Name, 128) && !strings.ContainsAny(from.Address, "<> ")
}

// ReadMailPassword returns the password for the mail server; "" when there is none.
func (c *Config) ReadMailPassword() (string, error) {
	if c.MailPasswordFile == "" {
		return string(c.MailPassword), nil
	}
	text, err := readSmall(c.MailPasswordFile, maxSecretFile)
	if err != nil {
		return "", c.mistake("mail_password_file", err.Error())
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if password == "" || strings.ContainsAny(password, "\r\n\x00") {
		return "", c.mistake("mail_password_file", "want one line in the file")
	}
	return password, nil
}
