// Package config is what the operator decides: one optional YAML file, HUFU_…
// environment variables over it, command-line flags over both. It serves no
// URL. Its invariant: a Config that Load returned is complete and consistent,
// and every mistake there was has been reported, all of them at once, each under
// the name the operator typed.
//
// What changes while the server runs (clients, people, keys) is not here; it is
// in the database.
package config

import (
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"time"
)

// A Config is what the operator decides. Every field has a usable default. The
// comments of its fields are docs/configuration.md.
type Config struct {
	// Where the server listens, as HOST:PORT. Plain http is served to this machine
	// only, unless `tls_certificate_file` is set, or `issuer` is https and
	// `trusted_proxies` names the proxy that speaks TLS. With port 0 the system
	// picks a port, and `issuer` must be set.
	Listen string `yaml:"listen"`

	// Where metrics are served, as HOST:PORT, at the path `/metrics`; see the page on
	// operations. Empty means nowhere. Whoever can reach this address can read them,
	// without a password and without TLS, so it belongs on loopback or on a private
	// network.
	MetricsListen string `yaml:"metrics_listen"`

	// The public address of this server: `iss` of every token, and what every
	// address it hands out begins with. It is an https URL, or http on loopback; it
	// may have a path; it has no query, no fragment and no slash at the end. Empty
	// means it follows `listen`. Changing it invalidates every token.
	Issuer string `yaml:"issuer"`

	// The directory that holds the database and the master key unless they are
	// placed elsewhere. It is made with mode 0700.
	Data string `yaml:"data"`

	// The database: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/NAME` for
	// PostgreSQL 15 or newer, with the parameters that libpq knows behind a `?`
	// (`sslmode=verify-full`, several hosts, `passfile`). Behind a pooler such as
	// pgbouncer in transaction mode add `default_query_exec_mode=exec`. Empty means
	// `sqlite:DATA/hufu.db`.
	Database string `yaml:"database"`

	// A file that holds what `database` would, so that a password stands in no
	// command line and no environment. Set one of the two.
	DatabaseFile string `yaml:"database_file"`

	// How many connections to PostgreSQL this server opens at most. 0 means four
	// for each core, and eight at least. All servers together must stay below the
	// `max_connections` of PostgreSQL.
	DatabaseConnections int `yaml:"database_connections"`

	// The key that seals private keys and secrets in the database: 32 random bytes
	// as base64 or hex. When neither this nor `master_key_file` is set, the server
	// makes one in `DATA/master.key`. Keep a copy away from the backups of the
	// database: each is worthless without the other.
	MasterKey Secret `yaml:"master_key"`

	// A file that holds what `master_key` would. Set one of the two.
	MasterKeyFile string `yaml:"master_key_file"`

	// The certificate chain for TLS, in PEM. Set together with `tls_key_file`; the
	// server then speaks https itself.
	TLSCertificateFile string `yaml:"tls_certificate_file"`

	// The private key of the certificate, in PEM.
	TLSKeyFile string `yaml:"tls_key_file"`

	// Addresses and networks (CIDR) of the proxies in front of this server. Only
	// their word is taken for the address of a caller; everybody else's
	// `X-Forwarded-For` is ignored.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`

	// A file with certificates, in PEM, of authorities that vouch for servers which this
	// one goes to (for the keys of clients at their `jwks_uri`, to tell them of a
	// sign-out at their `backchannel_logout_uri`, and to `mail_host`), beside those that
	// the system trusts.
	OutboundCAFile string `yaml:"outbound_ca_file"`

	// Networks (CIDR) that this server goes to although they are not public: that of the
	// applications of your own, for example. Otherwise it follows an address that a client
	// names to the Internet only, so that nobody looks around in your network.
	OutboundNetworks []netip.Prefix `yaml:"outbound_networks"`

	// The language of pages for a browser that asks for none we have: `en` or `zh`.
	DefaultLanguage string `yaml:"default_language"`

	// The name shown at the head of every page. Empty means Hufu's own.
	SiteName string `yaml:"site_name"`

	// A picture that pages show in the place of Hufu's mark: a file in SVG, PNG, WebP or
	// JPEG of at most 24 KiB, best square. See the page on branding for this and the next
	// four.
	LogoFile string `yaml:"logo_file"`

	// The colour of buttons and links on pages, as `#0e6b58`. It is made darker for
	// light pages and lighter for dark ones until it can be read. A client may have its
	// own.
	AccentColor string `yaml:"accent_color"`

	// The https address of your page about privacy, which every page then links to, and
	// metadata names as `op_policy_uri`.
	PolicyURI string `yaml:"policy_uri"`

	// The https address of your terms of service, which every page then links to, and
	// metadata names as `op_tos_uri`.
	TermsURI string `yaml:"tos_uri"`

	// A directory of templates that take the place of Hufu's own, by their file names.
	Templates string `yaml:"templates"`

	// The least important log lines to write: `debug`, `info`, `warn` or `error`.
	LogLevel string `yaml:"log_level"`

	// How log lines are written: `json` or `text`.
	LogFormat string `yaml:"log_format"`

	// How long an authorization code may wait to be redeemed (RFC 6749 Section
	// 4.1.2), 1s to 60s.
	CodeLifetime time.Duration `yaml:"code_lifetime"`

	// How long an access token is valid, 1m to 1h; a token handed out through the
	// browser (the implicit grant) never longer than 10m.
	AccessTokenLifetime time.Duration `yaml:"access_token_lifetime"`

	// How long a refresh token may lie unused.
	RefreshTokenIdleLifetime time.Duration `yaml:"refresh_token_idle_lifetime"`

	// How long a grant can be refreshed at all, counted from its beginning. Not
	// less than `refresh_token_idle_lifetime`.
	RefreshTokenLifetime time.Duration `yaml:"refresh_token_lifetime"`

	// How long the previous refresh token still gets the same successor, so that a
	// lost answer or two racing tabs do no harm, 0s to 5m. After it, the previous
	// token is taken for stolen and the grant is revoked.
	RefreshGrace time.Duration `yaml:"refresh_grace"`

	// How long a browser session may lie unused, from 1m.
	SessionIdleLifetime time.Duration `yaml:"session_idle_lifetime"`

	// How long a browser session lasts at all. Not less than
	// `session_idle_lifetime`.
	SessionLifetime time.Duration `yaml:"session_lifetime"`

	// Have everybody use a second factor. Whoever has none sets one up when they sign in
	// next. The password grant is refused then, for it cannot ask for one.
	RequireSecondFactor bool `yaml:"require_second_factor"`

	// How long a browser can stand in for the second factor that was used in it, when the
	// person wants that, up to 30d. 0s means that the second factor is asked for every
	// time.
	SecondFactorRemembered time.Duration `yaml:"second_factor_remembered"`

	// How long a person may take from the first page of a sign-in to the last, 1m
	// to 24h.
	RequestLifetime time.Duration `yaml:"request_lifetime"`

	// How old a signing key may become before the next one takes over, from 24h.
	KeyRotation time.Duration `yaml:"key_rotation"`

	// How long others may keep a copy of `/jwks`, 1m to 24h. A new key is published
	// for this long before it signs anything.
	JWKSMaxAge time.Duration `yaml:"jwks_max_age"`

	// Legacy grants that no client may use, whatever it is registered for:
	// `password`, `implicit` or both.
	ForbiddenGrants []string `yaml:"forbidden_grants"`

	// Whether applications can register themselves at `/register` (RFC 7591, OpenID
	// Connect Dynamic Client Registration): `off`; `token`, for whoever has one of the
	// tokens in `registration_token`; or `open`, for anybody, which is for servers that
	// cannot know their applications beforehand.
	Registration string `yaml:"registration"`

	// The initial access tokens for `registration: token`, with spaces or line breaks
	// between them, so that one can be replaced while another still works. Each has 16
	// characters at least: letters, digits and `-._~+/=`.
	RegistrationToken Secret `yaml:"registration_token"`

	// A file that holds what `registration_token` would. Set one of the two.
	RegistrationTokenFile string `yaml:"registration_token_file"`

	// The grants that an application may register itself for: `authorization_code`,
	// `refresh_token`, `implicit`, `client_credentials`. `password` is never among them.
	RegistrationGrants []string `yaml:"registration_grants"`

	// The scopes that an application may register itself for. One that names none gets
	// all of them.
	RegistrationScopes []string `yaml:"registration_scopes"`

	// How many registrations and changes of registrations one network (the /24 of an
	// IPv4 address, the /64 of an IPv6 address) may send in an hour, 1 to 100000. Where
	// anybody may register, all networks together may send ten times as many.
	RegistrationLimit int `yaml:"registration_limit"`

	// How long an application that registered itself may stay unused before it is
	// deleted, from 1h. Once it has got a code or a token it stays.
	RegistrationUnusedLifetime time.Duration `yaml:"registration_unused_lifetime"`

	// The mail server that takes this server's mail: one-time links for people who have
	// lost their password, and notices about what happens to their accounts. Empty means
	// that no mail is sent, and no page offers what needs it.
	MailHost string `yaml:"mail_host"`

	// The port of the mail server. 0 means 587, or 465 with `mail_security: tls`.
	MailPort int `yaml:"mail_port"`

	// How the connection to the mail server is encrypted: `starttls`, or `tls` from the
	// beginning. Nothing is ever sent over one that is not.
	MailSecurity string `yaml:"mail_security"`

	// Whom mail comes from, as in `Acme <no-reply@example.com>`.
	MailFrom string `yaml:"mail_from"`

	// The name to sign in with at the mail server. Empty means that it wants none.
	MailUsername string `yaml:"mail_username"`

	// The password to sign in with at the mail server.
	MailPassword Secret `yaml:"mail_password"`

	// A file that holds what `mail_password` would. Set one of the two.
	MailPasswordFile string `yaml:"mail_password_file"`

	// How many passwords may be hashed at the same moment, each using 19 MiB and a
	// core. 0 means half of the cores, so that tokens are served whatever number of
	// people sign in.
	PasswordHashSlots int `yaml:"password_hash_slots"`

	// How many sign-ins may wait for a slot before the next one is told to come
	// back later (503 with `Retry-After`).
	PasswordHashQueue int `yaml:"password_hash_queue"`

	// Whether people can sign in with passkeys. The issuer decides where they work: never
	// for one whose host is an address, and a passkey is lost when the host of the issuer
	// changes.
	Passkeys bool `yaml:"passkeys"`

	// What becomes of a sign-in with a passkey that counts its uses and is behind, which
	// may mean that there is a copy of it: `refuse`, or `log` to only tell of it. Either
	// way it stands in the log and in the audit trail.
	PasskeySignCount string `yaml:"passkey_sign_count"`

	// A file of passwords that became known to others and that nobody may choose here,
	// beside the common ones that are refused in any case: the SHA-1 list of Pwned
	// Passwords that is ordered by hash (`HASH:COUNT`, one a line). It is searched on
	// disk and never read into memory. Replace it by renaming another over it, then
	// start the server again. Empty means none.
	BreachedPasswords string `yaml:"breached_passwords"`

	// Scopes with a text for the consent page. A scope needs no declaration to be
	// used; one without shows its name. Each entry has `name`, `text_en`, `text_zh`
	// and `optional` (the person may take its tick away).
	Scopes []Scope `yaml:"scopes"`

	// How long a stopping server waits for requests it has accepted, 1s to 10m.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`

	origins  map[string]origin // of every value that somebody set, by key
	resolved resolved
}

// Values of PasskeySignCount.
const (
	SignCountRefuse = "refuse"
	SignCountLog    = "log"
)

// A Scope is what the consent page says about a scope.
type Scope struct {
	Name     string `yaml:"name"`
	TextEN   string `yaml:"text_en"`
	TextZH   string `yaml:"text_zh"`
	Optional bool   `yaml:"optional"`
}

// An origin is how the operator called a value and where it stands.
type origin struct {
	name  string // HUFU_LISTEN, --listen, listen
	place string // "hufu.yaml line 3"; empty where the name says it all
}

// Resolved are the values that Finish derived, kept so that it can tell them
// from what somebody decided, and derive them anew when their source changed.
type resolved struct{ issuer, database string }

// Default is the configuration of a server that was told nothing. Its derived
// values are empty until Finish is called.
func Default() *Config {
	const day = 24 * time.Hour
	return &Config{
		Listen:                     "localhost:8080",
		Data:                       "./data",
		DefaultLanguage:            "en",
		LogLevel:                   "info",
		LogFormat:                  "json",
		CodeLifetime:               time.Minute,
		AccessTokenLifetime:        10 * time.Minute,
		RefreshTokenIdleLifetime:   30 * day,
		RefreshTokenLifetime:       90 * day,
		RefreshGrace:               30 * time.Second,
		SessionIdleLifetime:        12 * time.Hour,
		SessionLifetime:            30 * day,
		SecondFactorRemembered:     30 * day,
		RequestLifetime:            time.Hour,
		KeyRotation:                90 * day,
		JWKSMaxAge:                 15 * time.Minute,
		PasswordHashQueue:          64,
		MailSecurity:               MailSTARTTLS,
		Passkeys:                   true,
		PasskeySignCount:           SignCountRefuse,
		Registration:               RegistrationOff,
		RegistrationGrants:         []string{"authorization_code", "refresh_token"},
		RegistrationScopes:         []string{"openid", "offline_access", "profile", "email", "address", "phone"},
		RegistrationLimit:          60,
		RegistrationUnusedLifetime: 30 * day,
		ShutdownTimeout:            15 * time.Second,
	}
}

// Finish derives what was left empty (Issuer, Database) and reports every mistake
// it finds. Load has called it already; whoever fills a Config by hand, or
// changes one, calls it then. It may be called again after a change: a derived
// value follows its source, a decided one stays. It reads no file.
func (c *Config) Finish() error {
	if c.Issuer == "" || c.Issuer == c.resolved.issuer {
		c.Issuer = deriveIssuer(c.Listen, c.TLSCertificateFile != "")
		c.resolved.issuer = c.Issuer
	}
	if c.DatabaseFile == "" && (c.Database == "" || c.Database == c.resolved.database) {
		c.Database = sqlitePrefix + strings.TrimRight(c.Data, "/") + "/hufu.db"
		c.resolved.database = c.Database
	}
	return c.validate()
}

// BasePath is the path of the issuer, below which everything is served: empty,
// or such as "/auth".
func (c *Config) BasePath() string {
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// Secure reports whether browsers reach this server by https, which decides
// about the attributes of cookies and about HSTS.
func (c *Config) Secure() bool { return strings.HasPrefix(c.Issuer, "https://") }

// HashSlots is PasswordHashSlots with its default filled in.
func (c *Config) HashSlots() int {
	if c.PasswordHashSlots > 0 {
		return c.PasswordHashSlots
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}
