package oauth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// RFC 6749 Section 3.3: values between spaces, case-sensitive, of printable ASCII
// without the double quote and the backslash (AZ-05).
func TestParseScope(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                         {},
		" ":                        {},
		"read":                     {"read"},
		"read write":               {"read", "write"},
		"  write   read ":          {"write", "read"},
		"read read write read":     {"read", "write"},
		"read READ":                {"read", "READ"},
		"https://api.example/read": {"https://api.example/read"},
		"!#[]~ a:b":                {"!#[]~", "a:b"},
		`re"ad`:                    nil,
		`re\ad`:                    nil,
		"read\twrite":              nil,
		"read\nwrite":              nil,
		"read\u00a0write":          nil,
		"läsa":                     nil,
		"read \x7f":                nil,
		"read \x00":                nil,
	} {
		got, err := oauth.ParseScope(text)
		if want == nil {
			if codeOf(err) != oauth.InvalidScope {
				t.Errorf("ParseScope(%q) = %q, %v; want %s", text, got, err, oauth.InvalidScope)
			}
			continue
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseScope(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestScopeSets(t *testing.T) {
	t.Parallel()
	abc, ca := oauth.Scope{"a", "b", "c"}, oauth.Scope{"c", "a"}
	if !ca.Within(abc) || abc.Within(ca) || !oauth.Scope(nil).Within(ca) || !oauth.Scope(nil).Within(nil) || ca.Within(nil) {
		t.Error("Within is wrong")
	}
	if diff := cmp.Diff(oauth.Scope{"a", "c"}, abc.Intersect(ca)); diff != "" {
		t.Errorf("Intersect keeps the order of the left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(oauth.Scope{"b"}, abc.Without("a", "c", "x")); diff != "" {
		t.Errorf("Without (-want +got):\n%s", diff)
	}
	if got := abc.String(); got != "a b c" {
		t.Errorf("String = %q", got)
	}
	if !abc.Contains("b") || abc.Contains("B") || abc.Contains("") {
		t.Error("Contains is wrong")
	}
}

// OpenID Connect Core Section 11: an OpenID request needs offline_access for a
// refresh token; any other gets one without.
func TestGivesRefreshToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, "read": true, "read offline_access": true, "openid": false, "openid read": false, "openid offline_access": true,
	} {
		scope, err := oauth.ParseScope(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := scope.GivesRefreshToken(); got != want {
			t.Errorf("%q gives a refresh token: %t, want %t", text, got, want)
		}
	}
}

// Exactly the texts of the grammar are accepted; what is accepted is a set, in
// the order it was named in, and reads the same when it is written again.
func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{"", "read write", "a a", " a  b ", `"`, `\`, "a\tb", "é", "\x00", "!~", "openid offline_access"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scope, err := oauth.ParseScope(text)
		foreign := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
		if (err != nil) != foreign {
			t.Fatalf("ParseScope(%q): %v; a character that is excluded: %t", text, err, foreign)
		}
		if err != nil {
			return
		}
		for i, value := range scope {
			if value == "" || strings.Contains(value, " ") || slices.Contains(scope[:i], value) {
				t.Errorf("ParseScope(%q) holds %q at %d", text, value, i)
			}
		}
		asked := strings.Fields(text)
		for _, value := range asked {
			if !scope.Contains(value) {
				t.Errorf("ParseScope(%q) lost %q", text, value)
			}
		}
		if !scope.Within(asked) || !slices.IsSortedFunc(scope, func(a, b string) int { return slices.Index(asked, a) - slices.Index(asked, b) }) {
			t.Errorf("ParseScope(%q) = %q", text, scope)
		}
		again, err := oauth.ParseScope(scope.String())
		if err != nil || !slices.Equal(again, scope) {
			t.Errorf("ParseScope(%q) read again = %q, %v", scope, again, err)
		}
	})
}
