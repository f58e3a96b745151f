package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hufu-auth/hufu/internal/config"
)

var anywhere = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}

// keysAtFault lists the names of the mistakes that Finish finds.
func keysAtFault(c *config.Config) []string {
	var names []string
	for _, m := range config.Mistakes(c.Finish()) {
		names = append(names, m.Name)
	}
	return names
}

func TestFinish(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*config.Config)
		want   []string
	}{
		"defaults":             {func(*config.Config) {}, nil},
		"data empty":           {func(c *config.Config) { c.Data = "" }, []string{"data"}},
		"PostgreSQL":           {func(c *config.Config) { c.Database = "postgres://u:p@db/hufu" }, nil},
		"PostgreSQL malformed": {func(c *config.Config) { c.Database = "postgres://u:p%@db/hufu" }, []string{"database"}},
		"PostgreSQL raw #":     {func(c *config.Config) { c.Database = "postgres://u:p@ss#w@db/hufu" }, []string{"database"}},
		"database in a file":   {func(c *config.Config) { c.DatabaseFile = "dsn" }, nil},
		"database twice":       {func(c *config.Config) { c.Database, c.DatabaseFile = "postgres://u:p@db/hufu", "dsn" }, []string{"database"}},
		"connections":          {func(c *config.Config) { c.DatabaseConnections = -1 }, []string{"database_connections"}},
		"SQLite elsewhere":     {func(c *config.Config) { c.Database = "sqlite:/srv/hufu.db" }, nil},
		"SQLite nowhere":       {func(c *config.Config) { c.Database = "sqlite:" }, []string{"database"}},
		"SQLite in memory":     {func(c *config.Config) { c.Database = "sqlite::memory:" }, []string{"database"}},
		"bare path":            {func(c *config.Config) { c.Database = "hufu.db" }, []string{"database"}},
		"language":             {func(c *config.Config) { c.DefaultLanguage = "fr" }, []string{"default_language"}},
		"site name too long":   {func(c *config.Config) { c.SiteName = strings.Repeat("虎", 65) }, []string{"site_name"}},
		"site name fits":       {func(c *config.Config) { c.SiteName = strings.Repeat("虎", 64) }, nil},
		"colour":               {func(c *config.Config) { c.AccentColor = "#0E6B58" }, nil},
		"colour by name":       {func(c *config.Config) { c.AccentColor = "teal" }, []string{"accent_color"}},
		"pages of the site":    {func(c *config.Config) { c.PolicyURI, c.TermsURI = "https://a.example/p", "https://a.example/t?x=1#y" }, nil},
		"pages not https":      {func(c *config.Config) { c.PolicyURI, c.TermsURI = "http://a.example/p", "/terms" }, []string{"policy_uri", "tos_uri"}},
		"site name of lines":   {func(c *config.Config) { c.SiteName = "a\nb" }, []string{"site_name"}},
		"code too long":        {func(c *config.Config) { c.CodeLifetime = 61 * time.Second }, []string{"code_lifetime"}},
		"code of nothing":      {func(c *config.Config) { c.CodeLifetime = 0 }, []string{"code_lifetime"}},
		"half a second":        {func(c *config.Config) { c.CodeLifetime = 1500 * time.Millisecond }, []string{"code_lifetime"}},
		"access too long":      {func(c *config.Config) { c.AccessTokenLifetime = 61 * time.Minute }, []string{"access_token_lifetime"}},
		"idle above absolute":  {func(c *config.Config) { c.RefreshTokenIdleLifetime = 2161 * time.Hour }, []string{"refresh_token_lifetime"}},
		"session idle above":   {func(c *config.Config) { c.SessionIdleLifetime = 721 * time.Hour }, []string{"session_lifetime"}},
		"no grace":             {func(c *config.Config) { c.RefreshGrace = 0 }, nil},
		"grace too long":       {func(c *config.Config) { c.RefreshGrace = 301 * time.Second }, []string{"refresh_grace"}},
		"rotation too quick":   {func(c *config.Config) { c.KeyRotation = 23 * time.Hour }, []string{"key_rotation"}},
		"max-age":              {func(c *config.Config) { c.JWKSMaxAge = time.Second }, []string{"jwks_max_age"}},
		"request":              {func(c *config.Config) { c.RequestLifetime = 25 * time.Hour }, []string{"request_lifetime"}},
		"slots":                {func(c *config.Config) { c.PasswordHashSlots = -1 }, []string{"password_hash_slots"}},
		"metrics without port": {func(c *config.Config) { c.MetricsListen = "localhost" }, []string{"metrics_listen"}},
		"metrics in public":    {func(c *config.Config) { c.MetricsListen = c.Listen }, []string{"metrics_listen"}},
		"queue":                {func(c *config.Config) { c.PasswordHashQueue = -1 }, []string{"password_hash_queue"}},
		"legacy grants":        {func(c *config.Config) { c.ForbiddenGrants = []string{"implicit", "password"} }, nil},
		"needed grant":         {func(c *config.Config) { c.ForbiddenGrants = []string{"refresh_token"} }, []string{"forbidden_grants"}},
		"grant twice":          {func(c *config.Config) { c.ForbiddenGrants = []string{"password", "password"} }, []string{"forbidden_grants"}},
		"scope with a space":   {func(c *config.Config) { c.Scopes = []config.Scope{{Name: "a b"}} }, []string{"scopes"}},
		"scope twice":          {func(c *config.Config) { c.Scopes = []config.Scope{{Name: "a"}, {Name: "a"}} }, []string{"scopes"}},
		"scope of two lines":   {func(c *config.Config) { c.Scopes = []config.Scope{{Name: "a", TextZH: "a\nb"}} }, []string{"scopes"}},
		"certificate alone":    {func(c *config.Config) { c.TLSCertificateFile = "c" }, []string{"tls_key_file"}},
		"TLS key alone":        {func(c *config.Config) { c.TLSKeyFile = "k" }, []string{"tls_certificate_file"}},
		"TLS with http issuer": {func(c *config.Config) {
			c.TLSCertificateFile, c.TLSKeyFile, c.Issuer = "c", "k", "http://localhost:8080"
		}, []string{"issuer"}},
		"key not a key":         {func(c *config.Config) { c.MasterKey = "short" }, []string{"master_key"}},
		"key twice":             {func(c *config.Config) { c.MasterKey, c.MasterKeyFile = hexKey, "f" }, []string{"master_key"}},
		"listen without port":   {func(c *config.Config) { c.Listen = "localhost" }, []string{"listen"}},
		"listen by service":     {func(c *config.Config) { c.Listen = "localhost:http" }, []string{"listen"}},
		"listen port too large": {func(c *config.Config) { c.Listen = "localhost:65536" }, []string{"listen"}},
		"listen host odd":       {func(c *config.Config) { c.Listen = "local_host:1" }, []string{"listen"}},
		"any port":              {func(c *config.Config) { c.Listen = "localhost:0" }, []string{"listen"}},
		"any port, issuer set":  {func(c *config.Config) { c.Listen, c.Issuer = "localhost:0", "http://localhost:1" }, nil},
		"open, no TLS":          {func(c *config.Config) { c.Listen = ":8080" }, []string{"listen"}},
		"open by name, no TLS":  {func(c *config.Config) { c.Listen, c.Issuer = "host:8080", "http://localhost:8080" }, []string{"listen"}},
		"open with TLS":         {func(c *config.Config) { c.Listen, c.TLSCertificateFile, c.TLSKeyFile = ":8443", "c", "k" }, nil},
		"open, proxy unknown":   {func(c *config.Config) { c.Listen, c.Issuer = ":8080", "https://a.example" }, []string{"listen"}},
		"open, proxy known": {func(c *config.Config) {
			c.Listen, c.Issuer, c.TrustedProxies = ":8080", "https://a.example", anywhere
		}, nil},
		"open, http, proxy known": {func(c *config.Config) {
			c.Listen, c.Issuer, c.TrustedProxies = ":8080", "http://localhost:8080", anywhere
		}, []string{"listen"}},
		"loopback, https issuer": {func(c *config.Config) { c.Issuer = "https://a.example" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default()
			tt.change(c)
			if diff := cmp.Diff(tt.want, keysAtFault(c)); diff != "" {
				t.Errorf("keys at fault (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDerivedIssuer(t *testing.T) {
	for name, tt := range map[string]struct {
		listen string
		tls    bool
		want   string
	}{
		"default":          {"localhost:8080", false, "http://localhost:8080"},
		"address":          {"127.0.0.2:8080", false, "http://127.0.0.2:8080"},
		"IPv6":             {"[::1]:8080", false, "http://[::1]:8080"},
		"IPv6 long":        {"[0:0::1]:80", false, "http://[::1]"},
		"every address":    {":8443", true, "https://localhost:8443"},
		"every IPv4":       {"0.0.0.0:443", true, "https://localhost"},
		"every IPv6":       {"[::]:8443", true, "https://localhost:8443"},
		"name with TLS":    {"a.example:443", true, "https://a.example"},
		"standard of http": {"localhost:80", false, "http://localhost"},
		"other's standard": {"localhost:443", false, "http://localhost:443"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default()
			c.Listen = tt.listen
			if tt.tls {
				c.TLSCertificateFile, c.TLSKeyFile = "c", "k"
			}
			if err := c.Finish(); err != nil || c.Issuer != tt.want {
				t.Errorf("issuer = %q, %v, want %q", c.Issuer, err, tt.want)
			}
		})
	}
}

func TestFinishAgain(t *testing.T) {
	c := config.Default()
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Data = "localhost:9", "data/demo"
	if err := c.Finish(); err != nil || c.Issuer != "http://localhost:9" || c.SQLitePath() != "data/demo/hufu.db" {
		t.Errorf("derived values did not follow: %q, %q, %v", c.Issuer, c.Database, err)
	}
	c.Issuer, c.Database = "http://localhost:1", "sqlite:x"
	c.Listen, c.Data = "localhost:10", "y"
	if err := c.Finish(); err != nil || c.Issuer != "http://localhost:1" || c.SQLitePath() != "x" {
		t.Errorf("decided values did not stay: %q, %q, %v", c.Issuer, c.Database, err)
	}
}

// issuers holds what an issuer may look like (RFC 8414 Section 2) and what not.
var issuers = map[string]bool{
	"https://login.example.com":        true,
	"https://login.example.com:8443":   true,
	"https://x.example/auth":           true,
	"https://x.example/a/B-c._~1":      true,
	"https://192.0.2.1":                true,
	"https://[2001:db8::1]:8443/auth":  true,
	"https://xn--fiqs8s.example":       true,
	"http://localhost:8080":            true,
	"http://127.0.0.1":                 true,
	"http://127.1.2.3:81/a":            true,
	"http://[::1]:8080":                true,
	"http://example.com":               false,
	"http://192.0.2.1":                 false,
	"http://[::ffff:127.0.0.1]":        false,
	"http://localhost.example":         false,
	"http://127.0.0.1.example.com":     false,
	"HTTPS://x.example":                false,
	"https://X.example":                false,
	"https://x.example/":               false,
	"https://x.example/a/":             false,
	"https://x.example?":               false,
	"https://x.example?a=b":            false,
	"https://x.example#":               false,
	"https://x.example#a":              false,
	"https://u@x.example":              false,
	"https://u:p@x.example":            false,
	"https://x.example:443":            false,
	"http://localhost:80":              false,
	"https://x.example:":               false,
	"https://x.example:0":              false,
	"https://x.example:08":             false,
	"https://x.example:65536":          false,
	"https://x.example/a/../b":         false,
	"https://x.example/./a":            false,
	"https://x.example//a":             false,
	"https://x.example/%61":            false,
	"https://x.example/%2e%2e":         false,
	"https://x.example/a b":            false,
	"https://x.example/a;b":            false,
	"https://x.example\\a":             false,
	"https://x_y.example":              false,
	"https://x.example.":               false,
	"https://-x.example":               false,
	"https://虎.example":                false,
	"https://127.1":                    false,
	"https://0x7f000001":               false,
	"https://[2001:DB8::1]":            false,
	"https://[2001:db8:0::1]":          false,
	"https://[fe80::1%25eth0]":         false,
	"https:x.example":                  false,
	"https:///a":                       false,
	"https://":                         false,
	"ftp://x.example":                  false,
	"x.example":                        false,
	" https://x.example":               false,
	"https://x.example\n":              false,
	"javascript://localhost/%0aalert1": false,
}

func TestIssuer(t *testing.T) {
	for issuer, want := range issuers {
		t.Run(issuer, func(t *testing.T) {
			c := config.Default()
			c.Issuer = issuer
			if got := keysAtFault(c) == nil; got != want {
				t.Errorf("accepted = %v, want %v: %v", got, want, c.Finish())
			}
		})
	}
}

// An accepted issuer has one spelling, and appending to it stays below it.
func FuzzIssuer(f *testing.F) {
	for issuer := range issuers {
		f.Add(issuer)
	}
	f.Fuzz(func(t *testing.T, issuer string) {
		c := config.Default()
		c.Issuer = issuer
		if issuer == "" || c.Finish() != nil {
			return
		}
		u, err := url.Parse(issuer + "/token")
		if err != nil || u.String() != issuer+"/token" || u.Path != c.BasePath()+"/token" || u.JoinPath().String() != u.String() {
			t.Errorf("issuer %q leads to %v, %v", issuer, u, err)
		}
		if strings.ToLower(u.Host) != u.Host || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("issuer %q was accepted", issuer)
		}
	})
}

func TestBasePathAndSecure(t *testing.T) {
	for issuer, want := range map[string]struct {
		path   string
		secure bool
	}{
		"https://x.example":          {"", true},
		"https://x.example/auth/two": {"/auth/two", true},
		"http://localhost:8080/auth": {"/auth", false},
	} {
		c := config.Default()
		c.Issuer = issuer
		if c.BasePath() != want.path || c.Secure() != want.secure {
			t.Errorf("%s: path %q, secure %v, want %+v", issuer, c.BasePath(), c.Secure(), want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, tt := range map[string]struct {
		environ []string
		want    []string // the names warned about
	}{
		"plain http":            {nil, []string{"issuer"}},
		"https":                 {[]string{"HUFU_ISSUER=https://x.example", "HUFU_TRUSTED_PROXIES=[127.0.0.1]"}, nil},
		"proxy forgotten":       {[]string{"HUFU_ISSUER=https://x.example"}, []string{"trusted_proxies"}},
		"everybody is a proxy":  {[]string{"HUFU_ISSUER=https://x.example", "HUFU_TRUSTED_PROXIES=[0.0.0.0/0, '::/0']"}, []string{"HUFU_TRUSTED_PROXIES"}},
		"metrics on loopback":   {[]string{"HUFU_METRICS_LISTEN=localhost:9464"}, []string{"issuer"}},
		"metrics in private":    {[]string{"HUFU_METRICS_LISTEN=10.1.2.3:9464"}, []string{"issuer"}},
		"metrics on a name":     {[]string{"HUFU_METRICS_LISTEN=metrics.internal:9464"}, []string{"issuer"}},
		"metrics in the open":   {[]string{"HUFU_METRICS_LISTEN=192.0.2.1:9464"}, []string{"issuer", "HUFU_METRICS_LISTEN"}},
		"metrics everywhere":    {[]string{"HUFU_METRICS_LISTEN=:9464"}, []string{"issuer", "HUFU_METRICS_LISTEN"}},
		"metrics on all of v6":  {[]string{"HUFU_METRICS_LISTEN=[::]:9464"}, []string{"issuer", "HUFU_METRICS_LISTEN"}},
		"open registration":     {[]string{"HUFU_REGISTRATION=open"}, []string{"issuer", "HUFU_REGISTRATION"}},
		"implicit registered":   {[]string{"HUFU_REGISTRATION=open", "HUFU_REGISTRATION_GRANTS=[implicit]"}, []string{"issuer", "HUFU_REGISTRATION", "HUFU_REGISTRATION_GRANTS"}},
		"token in a variable":   {[]string{"HUFU_REGISTRATION=token", "HUFU_REGISTRATION_TOKEN=a-token-of-16-chars"}, []string{"issuer", "HUFU_REGISTRATION_TOKEN"}},
		"key in an environment": {[]string{"HUFU_MASTER_KEY=" + hexKey}, []string{"issuer", "HUFU_MASTER_KEY"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load("", tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range c.Warnings() {
				key, _, _ := strings.Cut(w, ":")
				got = append(got, key)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

const (
	hexKey    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
	base64Key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8="
)

func TestReadMasterKey(t *testing.T) {
	want := make([]byte, 32)
	for i := range want {
		want[i] = byte(i)
	}
	want[31] = 0xff
	for name, text := range map[string]string{
		"hex":             hexKey,
		"hex, upper case": strings.ToUpper(hexKey),
		"base64":          base64Key,
		"base64, raw":     strings.TrimSuffix(base64Key, "="),
		"base64 for URLs": strings.NewReplacer("/", "_", "+", "-").Replace(base64Key),
		"with line ends":  "\n" + base64Key + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*config.Config{{MasterKey: config.Secret(text)}, {MasterKeyFile: path}} {
				if got, err := c.ReadMasterKey(); err != nil || !bytes.Equal(got, want) {
					t.Errorf("ReadMasterKey = %x, %v", got, err)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if got, err := config.Default().ReadMasterKey(); got != nil || err != nil {
			t.Errorf("ReadMasterKey = %x, %v, want nothing", got, err)
		}
	})
}

func TestReadMasterKeyRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"31 bytes":         hexKey[2:],
		"33 bytes":         hexKey + "00",
		"not hex":          "zz" + hexKey[2:],
		"spare bits":       base64Key[:42] + "9=",
		"two paddings":     base64Key[:42] + "==",
		"a pass phrase":    "correct horse battery staple",
		"base64 of 48":     strings.Repeat("A", 63) + "/",
		"far too long":     strings.Repeat("A", 100_000),
		"space in between": hexKey[:32] + " " + hexKey[32:],
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := config.Default()
			c.MasterKeyFile = path
			if err := c.CheckFiles(); err == nil || text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("CheckFiles = %v, want a refusal that keeps the key", err)
			}
		})
	}
}

func TestCheckFiles(t *testing.T) {
	c := config.Default()
	if err := c.CheckFiles(); err != nil {
		t.Errorf("nothing named: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	c.MasterKeyFile, c.TLSCertificateFile, c.TLSKeyFile = missing, missing, missing
	var names []string
	for _, m := range config.Mistakes(c.CheckFiles()) {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"master_key_file", "tls_certificate_file"}) {
		t.Errorf("mistakes of %v, want both files", names)
	}
}

// Whatever prints a Config, its secrets stay.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := config.Default()
	c.MasterKey, c.Database = hexKey, "postgres://u:swordfish@db/hufu"
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "config", c, "value", *c, "key", c.MasterKey)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "config", c, "value", *c, "key", c.MasterKey)
	encoded, err := json.Marshal(c.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"log":     logged.String(),
		"json":    string(encoded),
		"pointer": fmt.Sprintf("%v %+v %#v %s", c, c, c, c),
		"value":   fmt.Sprintf("%v %+v %#v %s", *c, *c, *c, *c),
		"secret":  fmt.Sprintf("%v %+v %#v %s %q %x %d", c.MasterKey, c.MasterKey, c.MasterKey, c.MasterKey, c.MasterKey, c.MasterKey, c.MasterKey),
	} {
		if strings.Contains(text, hexKey[:8]) || strings.Contains(text, fmt.Sprintf("%x", hexKey[:8])) || strings.Contains(text, "swordfish") {
			t.Errorf("%s shows a secret: %s", name, text)
		}
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("%s does not say that something was left out: %s", name, text)
		}
	}
}

// Durations are printed as they are read.
func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := config.Default()
		c.RefreshTokenIdleLifetime = time.Minute
		c.RefreshTokenLifetime = time.Duration(rapid.Int64Range(60, 3650*24*3600).Draw(t, "seconds")) * time.Second
		_, text, _ := strings.Cut(c.String(), "\nrefresh_token_lifetime: ")
		text, _, _ = strings.Cut(text, "\n")
		got, err := config.Load("", []string{"HUFU_REFRESH_TOKEN_IDLE_LIFETIME=1m", "HUFU_REFRESH_TOKEN_LIFETIME=" + text})
		if err != nil || got.RefreshTokenLifetime != c.RefreshTokenLifetime {
			t.Errorf("%v printed as %q reads as %v, %v", c.RefreshTokenLifetime, text, got, err)
		}
	})
}

func TestDurationSyntax(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "2160h": 90 * 24 * time.Hour, "1h30m": 90 * time.Minute, "\"60s\"": time.Minute,
		"60": 0, "1.5d": 0, "d": 0, "1d1d": 0, "1d24h": 0, "1d-1h": 0, "1d+1h": 0, "-1d": 0, "1h1d": 0, "99999d": 0, "+1d": 0, "1 d": 0, "9999999h": 0,
	} {
		c, err := config.Load("", []string{"HUFU_REFRESH_TOKEN_IDLE_LIFETIME=1m", "HUFU_REFRESH_TOKEN_LIFETIME=" + text})
		switch {
		case err != nil && want != 0:
			t.Errorf("%s: %v", text, err)
		case err == nil && c.RefreshTokenLifetime != want:
			t.Errorf("%s = %v, want %v", text, c.RefreshTokenLifetime, want)
		}
	}
}
