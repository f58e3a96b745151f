package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hufu-auth/hufu/internal/config"
)

// write makes a configuration file and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hufu.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// finished is the default configuration after a change, with derived values.
func finished(change func(*config.Config)) *config.Config {
	c := config.Default()
	c.Issuer, c.Database = "http://localhost:8080", "sqlite:./data/hufu.db"
	change(c)
	return c
}

func TestLoad(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		environ []string
		flags   []config.Flag
		want    func(*config.Config)
	}{
		"nothing said":  {want: func(*config.Config) {}},
		"only comments": {file: "# later\n", want: func(*config.Config) {}},
		"key without value keeps the default": {
			file: "listen:\ncode_lifetime: null\n", environ: []string{"HUFU_LOG_LEVEL=warn", "HUFU_REFRESH_GRACE="},
			want: func(c *config.Config) { c.LogLevel = "warn" },
		},
		"one key": {
			file: "site_name: 虎符\n",
			want: func(c *config.Config) { c.SiteName = "虎符" },
		},
		"every kind of value": {
			file: `
listen: 127.0.0.1:9000
site_name: 007              # text stays as written
code_lifetime: 30s
refresh_token_lifetime: 100d
trusted_proxies:
  - 10.0.0.7
  - 2001:db8::/32
forbidden_grants: [password]
password_hash_slots: 3
scopes:
  - name: read
    text_en: "Read: all of it"
    text_zh: 读取
  - {name: write, optional: true}
`,
			want: func(c *config.Config) {
				c.Listen, c.Issuer, c.SiteName = "127.0.0.1:9000", "http://127.0.0.1:9000", "007"
				c.CodeLifetime, c.RefreshTokenLifetime = 30*time.Second, 2400*time.Hour
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("2001:db8::/32")}
				c.ForbiddenGrants, c.PasswordHashSlots = []string{"password"}, 3
				c.Scopes = []config.Scope{
					{Name: "read", TextEN: "Read: all of it", TextZH: "读取"},
					{Name: "write", Optional: true},
				}
			},
		},
		"environment over file": {
			file:    "log_level: debug\nlog_format: text\nrefresh_grace: 1s\n",
			environ: []string{"PATH=/bin", "HUFU_CONFIG=elsewhere.yaml", "HUFU_LOG_LEVEL=warn", "HUFU_REFRESH_GRACE=1m30s"},
			want: func(c *config.Config) {
				c.LogLevel, c.LogFormat, c.RefreshGrace = "warn", "text", 90*time.Second
			},
		},
		"text of a variable is taken as it is": {
			environ: []string{"HUFU_SITE_NAME=[a]: #b", "HUFU_FORBIDDEN_GRANTS=[password, implicit]"},
			want: func(c *config.Config) {
				c.SiteName, c.ForbiddenGrants = "[a]: #b", []string{"password", "implicit"}
			},
		},
		"list of mappings in a variable": {
			environ: []string{"HUFU_SCOPES=[{name: a, text_en: A}, {name: b, optional: true}]"},
			want: func(c *config.Config) {
				c.Scopes = []config.Scope{{Name: "a", TextEN: "A"}, {Name: "b", Optional: true}}
			},
		},
		"flag over environment": {
			environ: []string{"HUFU_LISTEN=localhost:1", "HUFU_DATA=/var/lib/hufu"},
			flags:   []config.Flag{{Name: "--listen", Key: "listen", Text: "localhost:2"}},
			want: func(c *config.Config) {
				c.Listen, c.Issuer = "localhost:2", "http://localhost:2"
				c.Data, c.Database = "/var/lib/hufu", "sqlite:/var/lib/hufu/hufu.db"
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if tt.file != "" {
				path = write(t, tt.file)
			}
			got, err := config.Load(path, tt.environ, tt.flags...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(finished(tt.want), got, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		environ []string
		flags   []config.Flag
		want    []string
	}{
		"all at once, each under the name typed": {
			file:    "lisen: a\ncode_lifetime: 2m\nlog_level: loud\nissuer: http://example.com\n",
			environ: []string{"HUFU_LOG_FORMAT=xml", "HUFU_LOG_FROMAT=text", "HUFU_REFRESH_GRACE=soon"},
			flags:   []config.Flag{{Name: "--listen", Key: "listen", Text: "8080"}},
			want: []string{
				"lisen: no such key; is it listen? (hufu.yaml line 1)",
				"HUFU_LOG_FROMAT: no such key; is it HUFU_LOG_FORMAT?",
				"HUFU_REFRESH_GRACE: want a duration, as in 30s, 10m, 12h or 90d",
				"--listen: want HOST:PORT, as in localhost:8080 or :8443",
				"issuer: want https; http is for localhost, 127.0.0.0/8 and [::1] only (hufu.yaml line 4)",
				"log_level: want debug or info or warn or error (hufu.yaml line 3)",
				"HUFU_LOG_FORMAT: want json or text",
				"code_lifetime: want 1s to 1m in whole seconds (hufu.yaml line 2)",
			},
		},
		"wrong shapes": {
			file: "trusted_proxies: 10.0.0.1\nlisten: [a]\npassword_hash_slots: many\nscopes: [a, {nme: b}, {name: c, optional: maybe}]\nforbidden_grants: [password, ]\n",
			want: []string{
				"trusted_proxies: want a list, as in [a, b] (hufu.yaml line 1)",
				"listen: want a single plain value (hufu.yaml line 2)",
				"password_hash_slots: want a whole number (hufu.yaml line 3)",
				"scopes[0]: want keys: name, text_en, text_zh, optional (hufu.yaml line 4)",
				"scopes[1].nme: no such key (hufu.yaml line 4)",
				"scopes[2].optional: want true or false (hufu.yaml line 4)",
				"scopes: entry 1: want a name of 1 to 255 visible ASCII characters, without quotes and backslashes (hufu.yaml line 4)",
				"scopes: entry 2: want a name of 1 to 255 visible ASCII characters, without quotes and backslashes (hufu.yaml line 4)",
			},
		},
		"networks": {
			file: "trusted_proxies:\n  - 10.0.0.1/8\n  - proxy\n  - fe80::1%eth0\n  - ::ffff:10.0.0.1\n  -\n",
			want: []string{
				"trusted_proxies[0]: want a network without host bits; is it 10.0.0.0/8? (hufu.yaml line 2)",
				"trusted_proxies[1]: want an address or a network, as in 10.0.0.7 or 10.0.0.0/8 (hufu.yaml line 3)",
				"trusted_proxies[2]: want an address without a zone, IPv4 in its own form (hufu.yaml line 4)",
				"trusted_proxies[3]: want an address without a zone, IPv4 in its own form (hufu.yaml line 5)",
				"trusted_proxies[4]: is empty (hufu.yaml line 6)",
			},
		},
		"not a mapping":          {file: "- listen\n", want: []string{"hufu.yaml: want a list of keys, as in `listen: localhost:8080`"}},
		"two documents":          {file: "listen: localhost:1\n---\nlisten: localhost:2\n", want: []string{"want one YAML document (hufu.yaml line 3)"}},
		"the same key twice":     {file: "data: a\ndata: b\n", want: []string{`is not valid YAML: mapping key "data" already defined at [1:1] (hufu.yaml line 2)`}},
		"alias":                  {file: "data: &a x\nsite_name: *a\n", want: []string{"data: want a single plain value (hufu.yaml line 1)", "site_name: want a single plain value (hufu.yaml line 2)"}},
		"not UTF-8":              {file: "data: \xff\n", want: []string{"is not valid UTF-8 (hufu.yaml)"}},
		"variable is not UTF-8":  {environ: []string{"HUFU_SITE_NAME=\xff"}, want: []string{"HUFU_SITE_NAME: is not valid UTF-8"}},
		"variable in wrong case": {environ: []string{"HUFU_listen=localhost:1"}, want: []string{"HUFU_listen: no such key"}},
		"flag of no key":         {flags: []config.Flag{{Name: "--verbose", Key: "verbose"}}, want: []string{"--verbose: no such key"}},
		"too large":              {file: strings.Repeat("#\n", 200_000), want: []string{"configuration file: hufu.yaml is larger than 256 KiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if tt.file != "" {
				path = write(t, tt.file)
			}
			c, err := config.Load(path, tt.environ, tt.flags...)
			if err == nil || c != nil {
				t.Fatalf("Load = %v, %v, want an error alone", c, err)
			}
			var got []string
			for _, m := range config.Mistakes(err) {
				got = append(got, strings.ReplaceAll(m.Error(), filepath.Dir(path)+"/", ""))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadNoSuchFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("Load of a missing file: %v, want an error that names it", err)
	}
}

// A syntax error is told without an extract of the file, which may hold secrets.
func TestSyntaxErrorQuotesNothing(t *testing.T) {
	for name, file := range map[string]string{
		"open quote":   "master_key: \"swordfish\nlisten: x",
		"indentation":  "data: a\n  master_key: swordfish\n",
		"open list":    "forbidden_grants: [swordfish\n",
		"two on one":   "master_key: swordfish: a\n",
		"tab":          "master_key:\tswordfish\n\tlisten: a\n",
		"tag":          "master_key: !!binary swordfish\n",
		"wrong length": "master_key: swordfish\n",
		"list":         "master_key: [swordfish]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Load(write(t, file), nil); err == nil || strings.Contains(err.Error(), "swordfish") {
				t.Errorf("Load: %v, want an error that keeps the secret", err)
			}
		})
	}
}

// What the text of a configuration says is a configuration again.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("listen: localhost:1\nscopes: [{name: a, text_en: \"x\\ty\"}]\n"), "HUFU_SITE_NAME=虎")
	f.Add([]byte("issuer: https://example.com/a\ntrusted_proxies: [10.0.0.0/8]\n"), "HUFU_FORBIDDEN_GRANTS=[implicit]")
	f.Add([]byte("master_key: |\n  AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "HUFU_CODE_LIFETIME=1s")
	f.Add([]byte("? a\n: &b !!c {<<: *b}\n--- \n"), "HUFU_SCOPES=[[[")
	f.Fuzz(func(t *testing.T, file []byte, variable string) {
		first, err := config.Load(write(t, string(file)), []string{variable})
		if err != nil {
			if len(config.Mistakes(err)) == 0 {
				t.Errorf("an error without a mistake: %v", err)
			}
			return
		}
		if err := first.Finish(); err != nil {
			t.Errorf("Finish after Load: %v", err)
		}
		text := first.String()
		if first.MasterKey != "" {
			text = strings.Replace(text, `master_key: "[redacted]"`, `master_key: "`+string(slices.Repeat([]byte("0"), 64))+`"`, 1)
		}
		second, err := config.Load(write(t, text), nil)
		if err != nil {
			t.Fatalf("not a configuration: %v\n%s", err, text)
		}
		if second.String() != first.String() {
			t.Errorf("printed\n%s\nreads as\n%s", first, second)
		}
	})
}

// What is set with more right beats its sibling as well as itself; two that are set
// with the same right contradict each other.
func TestLoadSiblings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hufu.yaml")
	if err := os.WriteFile(path, []byte("database_file: dsn\nmaster_key: "+strings.Repeat("a", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flag := config.Flag{Name: "--database", Key: "database", Text: "sqlite:flag.db"}
	for name, tt := range map[string]struct {
		environ         []string
		flags           []config.Flag
		database, file  string
		masterKeyFile   string
		wantsOneMistake bool
	}{
		"file alone":            {nil, nil, "", "dsn", "", false},
		"variable beats file":   {[]string{"HUFU_DATABASE=sqlite:variable.db", "HUFU_MASTER_KEY_FILE=key"}, nil, "sqlite:variable.db", "", "key", false},
		"flag beats file":       {nil, []config.Flag{flag}, "sqlite:flag.db", "", "", false},
		"flag beats variable":   {[]string{"HUFU_DATABASE_FILE=other"}, []config.Flag{flag}, "sqlite:flag.db", "", "", false},
		"two variables":         {[]string{"HUFU_DATABASE=sqlite:variable.db", "HUFU_DATABASE_FILE=other"}, nil, "", "", "", true},
		"an empty one is unset": {[]string{"HUFU_DATABASE="}, nil, "", "dsn", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load(path, tt.environ, tt.flags...)
			if tt.wantsOneMistake {
				if got := len(config.Mistakes(err)); got != 1 {
					t.Errorf("%d mistakes, want 1: %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Database != tt.database || c.DatabaseFile != tt.file || c.MasterKeyFile != tt.masterKeyFile || (c.MasterKey == "") != (tt.masterKeyFile != "") {
				t.Errorf("got database %q, file %q, key file %q, key %q", c.Database, c.DatabaseFile, c.MasterKeyFile, c.MasterKey)
			}
		})
	}
}
