package account_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/account"
	"github.com/hufu-auth/hufu/internal/web"
)

// What people may say about themselves is what OpenID Connect Core Section 5.1 says that
// each claim is.
func TestProfileRules(t *testing.T) {
	t.Parallel()
	for field, values := range map[string]struct{ allowed, refused []string }{
		"name":         {[]string{"A", "李雷", "O'Neil-Łukasz, Jr.", "👩‍🚀", strings.Repeat("虎", 200)}, []string{strings.Repeat("a", 201), "a\nb", "a\x00", "a\xff"}},
		"birthdate":    {[]string{"1990-05-17", "2000-02-29", "0000-02-29", "0000-12-31"}, []string{"1990", "1990-5-17", "1990-02-30", "1990-05-17T00:00", "0000-02-30", "17.5.1990", "0000-"}},
		"phone_number": {[]string{"+44 20 7946 0000", "+8613800138000", "+1 (425) 555-1212"}, []string{"020 7946", "+", "+44", "+44;ext=1", "+44 20 7946 000a", "++4420", "+" + strings.Repeat("1", 40)}},
		"website":      {[]string{"https://alice.example/", "https://例子.example/a?b=c#d", "https://alice.example:8443"}, []string{"http://alice.example", "javascript:alert(1)", "//alice.example", "https://", "https://a:b@alice.example", "https://a.example/ x", "https://a.example/" + strings.Repeat("a", 1000)}},
	} {
		for _, value := range values.allowed {
			if !account.Allows(field, value) {
				t.Errorf("%s: %q is refused", field, value)
			}
		}
		for _, value := range values.refused {
			if account.Allows(field, value) {
				t.Errorf("%s: %q is allowed", field, value)
			}
		}
	}
	for _, field := range web.ProfileFields() {
		if account.Allows(field, "\x00") {
			t.Errorf("%s has no rule worth the name", field)
		}
	}
}

// Whatever a field may hold is text that JSON, a database and a page can carry, and an
// address in it leads to https alone.
func FuzzProfileRules(f *testing.F) {
	for _, value := range []string{"Alice", "1990-05-17", "+44 20 7946 0000", "https://alice.example/", "javascript:alert(1)", "\xff", "https://a.example\t/"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, field := range web.ProfileFields() {
			if !account.Allows(field, value) {
				continue
			}
			if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || len(value) > 1000 {
				t.Errorf("%s: %q", field, value)
			}
			var again string
			text, err := json.Marshal(value)
			if err != nil || json.Unmarshal(text, &again) != nil || again != value {
				t.Errorf("%s: %q is not the same in JSON", field, value)
			}
			if field == "website" || field == "picture" {
				if u, err := url.Parse(value); err != nil || u.Scheme != "https" || u.Host == "" {
					t.Errorf("%s: %q", field, value)
				}
			}
		}
	})
}
