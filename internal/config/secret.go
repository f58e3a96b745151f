package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/hufu-auth/hufu/internal/login"
)

const (
	redacted      = "[redacted]"
	masterKeySize = 32
	maxSecretFile = 64 << 10

	maxAuthorities = 4 << 20 // bytes
)

// A Secret is text that no log line, error or dump shows, whatever verb or
// encoder it is given to.
type Secret string

// Format implements fmt.Formatter, for every verb alike.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String tells whether there is a secret, and nothing of it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// MarshalText implements encoding.TextMarshaler, which JSON and YAML obey.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var errMasterKey = errors.New("want 32 random bytes as base64 or hex")

// ReadMasterKey returns the 32 bytes that seal the database, or nil when the
// operator configured none and the one in the data directory is meant.
func (c *Config) ReadMasterKey() ([]byte, error) {
	switch {
	case c.MasterKey != "":
		key, err := decodeMasterKey(string(c.MasterKey))
		if err != nil {
			return nil, c.mistake("master_key", err.Error())
		}
		return key, nil
	case c.MasterKeyFile != "":
		text, err := readSmall(c.MasterKeyFile, maxSecretFile)
		if err != nil {
			return nil, c.mistake("master_key_file", err.Error())
		}
		key, err := decodeMasterKey(string(text))
		if err != nil {
			return nil, c.mistake("master_key_file", "in the file, "+err.Error())
		}
		return key, nil
	}
	return nil, nil
}

// CheckFiles reports every file that the configuration names and that cannot be
// used. It stands apart from Finish because not every command needs those files.
func (c *Config) CheckFiles() error {
	_, err := c.ReadMasterKey()
	_, databaseErr := c.ReadDatabase()
	err = errors.Join(err, databaseErr)
	if c.TLSCertificateFile != "" && c.TLSKeyFile != "" {
		if _, tlsErr := tls.LoadX509KeyPair(c.TLSCertificateFile, c.TLSKeyFile); tlsErr != nil {
			err = errors.Join(err, c.mistake("tls_certificate_file", tlsErr.Error()))
		}
	}
	_, authorityErr := c.ReadAuthorities()
	_, tokenErr := c.ReadRegistrationTokens()
	_, mailErr := c.ReadMailPassword()
	breached, breachedErr := c.OpenBreachedPasswords()
	_, siteErr := c.Site()
	return errors.Join(err, authorityErr, tokenErr, mailErr, siteErr, breachedErr, c.VerifyBreachedPasswords(breached), breached.Close())
}

// ReadAuthorities returns those who vouch for servers that are fetched from; nil when
// they are those of the system alone.
func (c *Config) ReadAuthorities() (*x509.CertPool, error) {
	if c.OutboundCAFile == "" {
		return nil, nil
	}
	text, err := readSmall(c.OutboundCAFile, maxAuthorities)
	if err != nil {
		return nil, c.mistake("outbound_ca_file", err.Error())
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, c.mistake("outbound_ca_file", "there is no certificate in the file")
	}
	return pool, nil
}

// OpenBreachedPasswords opens the operator's list of passwords that are known to others;
// nil when there is none.
func (c *Config) OpenBreachedPasswords() (*login.BreachedPasswords, error) {
	if c.BreachedPasswords == "" {
		return nil, nil
	}
	list, err := login.OpenBreachedPasswords(c.BreachedPasswords)
	if err != nil {
		return nil, c.mistake("breached_passwords", err.Error())
	}
	return list, nil
}

// VerifyBreachedPasswords reports a list that cannot be searched.
func (c *Config) VerifyBreachedPasswords(list *login.BreachedPasswords) error {
	if list == nil {
		return nil
	}
	if err := list.Verify(); err != nil {
		return c.mistake("breached_passwords", "in the file, "+err.Error())
	}
	return nil
}

// decodeMasterKey reads a key in any of its spellings. Their lengths differ, so
// that none can be mistaken for another.
func decodeMasterKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	decode := base64.RawStdEncoding.Strict().DecodeString
	switch {
	case len(text) == hex.EncodedLen(masterKeySize):
		decode = hex.DecodeString
	case strings.ContainsAny(text, "-_"):
		decode = base64.RawURLEncoding.Strict().DecodeString
	}
	if len(text) == base64.StdEncoding.EncodedLen(masterKeySize) {
		text = strings.TrimSuffix(text, "=")
	}
	key, err := decode(text)
	if err != nil || len(key) != masterKeySize {
		return nil, errMasterKey // never the decoder's words: they quote the input
	}
	return key, nil
}

// readSmall reads a file that has no business being large.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, limit>>10)
	}
	return text, nil
}
