package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// validate reports every mistake of values that are readable each for itself.
func (c *Config) validate() error {
	return errors.Join(
		c.checkListen(),
		c.checkMetricsListen(),
		c.check("issuer", c.Issuer == "" || issuerFault(c.Issuer) == "", issuerFault(c.Issuer)),
		c.check("data", c.Data != "" && !strings.ContainsRune(c.Data, 0), "want a directory"),
		c.checkDatabase(),
		c.checkMasterKey(),
		c.checkTLS(),
		c.checkWords(),
		c.checkLifetimes(),
		c.checkHashing(),
		c.checkGrants(),
		c.checkScopes(),
		c.checkRegistration(),
		c.checkMail(),
		c.checkSite(),
	)
}

// checkListen wants an address, and one that plain http may be served on: in the
// open only behind a known proxy that speaks TLS, which the issuer tells.
func (c *Config) checkListen() error {
	host, port, ok := splitListen(c.Listen)
	switch {
	case !ok:
		return c.mistake("listen", "want HOST:PORT, as in localhost:8080 or :8443")
	case port == 0 && c.Issuer == "":
		return c.mistake("listen", "with port 0 the issuer cannot follow; set issuer")
	case c.TLSCertificateFile != "" || isLoopback(host) || c.Secure() && len(c.TrustedProxies) > 0:
		return nil
	}
	return c.mistake("listen", "plain http would be open to others here. Listen on localhost, "+
		"or set tls_certificate_file and tls_key_file, "+
		"or set issuer to the https address of your proxy and trusted_proxies to the proxy's own address")
}

// checkMetricsListen wants an address other than the public one, which metrics have
// no business on.
func (c *Config) checkMetricsListen() error {
	if c.MetricsListen == "" {
		return nil
	}
	_, port, ok := splitListen(c.MetricsListen)
	return errors.Join(
		c.check("metrics_listen", ok, "want HOST:PORT, as in localhost:9464, or nothing"),
		c.check("metrics_listen", port == 0 || c.MetricsListen != c.Listen, "want another address than listen"))
}

func (c *Config) checkMasterKey() error {
	if c.MasterKey == "" {
		return nil
	}
	_, err := decodeMasterKey(string(c.MasterKey))
	return errors.Join(
		c.check("master_key", err == nil, errMasterKey.Error()),
		c.check("master_key", c.MasterKeyFile == "", "set this or master_key_file, not both"))
}

func (c *Config) checkTLS() error {
	certificate, key := c.TLSCertificateFile != "", c.TLSKeyFile != ""
	return errors.Join(
		c.check("tls_certificate_file", certificate || !key, "missing, while tls_key_file is set"),
		c.check("tls_key_file", key || !certificate, "missing, while tls_certificate_file is set"),
		c.check("issuer", !certificate || !strings.HasPrefix(c.Issuer, "http://"),
			"want https, for tls_certificate_file is set"))
}

func (c *Config) checkWords() error {
	oneOf := func(key, value string, words ...string) error {
		return c.check(key, slices.Contains(words, value), "want "+strings.Join(words, " or "))
	}
	return errors.Join(
		oneOf("default_language", c.DefaultLanguage, "en", "zh"),
		oneOf("log_level", c.LogLevel, "debug", "info", "warn", "error"),
		oneOf("log_format", c.LogFormat, "json", "text"),
		oneOf("passkey_sign_count", c.PasskeySignCount, SignCountRefuse, SignCountLog),
		c.check("site_name", isShortText(c.SiteName, 64), "want at most 64 characters on one line"))
}

func (c *Config) checkLifetimes() error {
	const day, longest = 24 * time.Hour, 3650 * 24 * time.Hour
	var faults []error
	for _, r := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"code_lifetime", c.CodeLifetime, time.Second, time.Minute},
		{"access_token_lifetime", c.AccessTokenLifetime, time.Minute, time.Hour},
		{"refresh_token_idle_lifetime", c.RefreshTokenIdleLifetime, time.Minute, longest},
		{"refresh_token_lifetime", c.RefreshTokenLifetime, time.Minute, longest},
		{"refresh_grace", c.RefreshGrace, 0, 5 * time.Minute},
		{"session_idle_lifetime", c.SessionIdleLifetime, time.Minute, longest},
		{"session_lifetime", c.SessionLifetime, time.Minute, longest},
		{"second_factor_remembered", c.SecondFactorRemembered, 0, 30 * day},
		{"request_lifetime", c.RequestLifetime, time.Minute, day},
		{"key_rotation", c.KeyRotation, day, longest},
		{"jwks_max_age", c.JWKSMaxAge, time.Minute, day},
		{"registration_unused_lifetime", c.RegistrationUnusedLifetime, time.Hour, longest},
		{"shutdown_timeout", c.ShutdownTimeout, time.Second, 10 * time.Minute},
	} {
		// Whole seconds, because the schema and the tokens count in them.
		ok := r.value >= r.least && r.value <= r.most && r.value%time.Second == 0
		faults = append(faults, c.check(r.key, ok, fmt.Sprintf("want %s to %s in whole seconds",
			formatDuration(r.least), formatDuration(r.most))))
	}
	return errors.Join(append(faults,
		c.check("refresh_token_lifetime", c.RefreshTokenLifetime >= c.RefreshTokenIdleLifetime,
			"want at least refresh_token_idle_lifetime"),
		c.check("session_lifetime", c.SessionLifetime >= c.SessionIdleLifetime,
			"want at least session_idle_lifetime"))...)
}

func (c *Config) checkHashing() error {
	return errors.Join(
		c.check("password_hash_slots", c.PasswordHashSlots >= 0 && c.PasswordHashSlots <= 1024, "want 0 to 1024"),
		c.check("password_hash_queue", c.PasswordHashQueue >= 0 && c.PasswordHashQueue <= 100_000, "want 0 to 100000"))
}

func (c *Config) checkGrants() error {
	for i, grant := range c.ForbiddenGrants {
		if grant != "password" && grant != "implicit" || slices.Contains(c.ForbiddenGrants[:i], grant) {
			return c.mistake("forbidden_grants", "want password, implicit or both, each once")
		}
	}
	return nil
}

func (c *Config) checkScopes() error {
	var faults []error
	for i, s := range c.Scopes {
		same := func(other Scope) bool { return other.Name == s.Name }
		reason := ""
		switch {
		case !isScopeToken(s.Name):
			reason = "want a name of 1 to 255 visible ASCII characters, without quotes and backslashes"
		case slices.ContainsFunc(c.Scopes[:i], same):
			reason = "this name stands here twice"
		case !isShortText(s.TextEN, 500), !isShortText(s.TextZH, 500):
			reason = "want texts of at most 500 characters on one line"
		default:
			continue
		}
		faults = append(faults, c.mistake("scopes", fmt.Sprintf("entry %d: %s", i+1, reason)))
	}
	return errors.Join(faults...)
}

// Warnings lists what is allowed and yet unsafe, or a likely oversight, one
// sentence each.
func (c *Config) Warnings() []string {
	var all []string
	warn := func(key, text string) { all = append(all, c.mistake(key, text).Error()) }
	if !c.Secure() {
		warn("issuer", "plain http, which is good for trying things on this machine and for nothing else")
	}
	if c.MasterKey != "" && c.origins["master_key"].name == variable("master_key") {
		warn("master_key", "a secret in the environment can be read by other processes of this account; master_key_file is safer")
	}
	if c.Secure() && c.TLSCertificateFile == "" && len(c.TrustedProxies) == 0 {
		warn("trusted_proxies", "empty while a proxy must be in front, so every caller seems to come from the proxy and shares its limits")
	}
	if c.Registration == RegistrationOpen {
		warn("registration", "anybody can register applications, under any name; token keeps strangers out")
	}
	if c.RegistrationToken != "" && c.origins["registration_token"].name == variable("registration_token") {
		warn("registration_token", "a secret in the environment can be read by other processes of this account; registration_token_file is safer")
	}
	if c.MailPassword != "" && c.origins["mail_password"].name == variable("mail_password") {
		warn("mail_password", "a secret in the environment can be read by other processes of this account; mail_password_file is safer")
	}
	if c.Registration != RegistrationOff && slices.Contains(c.RegistrationGrants, "implicit") {
		warn("registration_grants", "implicit is legacy and unsafe by today's standards (RFC 9700); authorization_code with PKCE replaces it")
	}
	if c.DatabaseFile == "" && !c.databaseProtected() {
		warn("database", "who is between this server and PostgreSQL can read and change everything; sslmode=verify-full keeps them out")
	}
	if host, _, ok := splitListen(c.MetricsListen); ok && isOpen(host) {
		warn("metrics_listen", "whoever reaches this address can read the metrics; a private address, or a firewall, keeps others away")
	}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			warn("trusted_proxies", "trusts everybody, so every caller can claim any address")
			break
		}
	}
	return all
}

// splitListen takes an address to listen on apart. The host may be empty.
func splitListen(listen string) (host string, port int, ok bool) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil || portText == "" || len(portText) > 5 || strings.Trim(portText, "0123456789") != "" {
		return "", 0, false
	}
	port, err = strconv.Atoi(portText)
	if err != nil || port > 65535 {
		return "", 0, false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostname(host) {
		return "", 0, false
	}
	return host, port, true
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// isOpen reports whether an address to listen on is known to be neither this
// machine's own nor a private one. What a name stands for is not known.
func isOpen(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host == ""
	}
	a = a.Unmap()
	return !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast()
}

// isScopeToken is the rule of RFC 6749 Section 3.3 for one name, bounded.
func isScopeToken(name string) bool {
	for i := range len(name) {
		if b := name[i]; b <= ' ' || b >= 0x7f || b == '"' || b == '\\' {
			return false
		}
	}
	return name != "" && len(name) <= 255
}

func isShortText(text string, most int) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= most && strings.IndexFunc(text, unicode.IsControl) < 0
}
