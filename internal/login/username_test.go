package login_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/login"
)

// RFC 8265 Section 3.3: all spellings of one name share a key (LG-05).
func TestUsernameKey(t *testing.T) {
	t.Parallel()
	for name, spellings := range map[string][]string{
		"alice":         {"alice", "Alice", "ALICE", "  alice\t", "ａｌｉｃｅ", "Ａlice"},
		"josé":          {"josé", "José", "jose\u0301", "JOSE\u0301", "ＪＯＳÉ"},
		"straße":        {"straße", "STRAßE"},
		"strasse":       {"strasse", "Strasse"},
		"虎符":            {"虎符", " 虎符 "},
		"иван":          {"иван", "ИВАН"},
		"a@b.example":   {"a@b.example", "A@B.Example"},
		"o'neil-x_1.2+": {"o'neil-x_1.2+", "O'Neil-X_1.2+"},
	} {
		for _, spelling := range spellings {
			if key, err := login.UsernameKey(spelling); err != nil || key != name {
				t.Errorf("UsernameKey(%q) = %q, %v; want %q", spelling, key, err, name)
			}
			if key, err := login.CheckUsername(spelling); err != nil || key != name {
				t.Errorf("CheckUsername(%q) = %q, %v; want %q", spelling, key, err, name)
			}
		}
	}
	for name, refused := range map[string]string{
		"empty": "", "spaces": "  ", "space inside": "al ice", "ideographic space": "al\u3000ice", "NUL": "al\x00ice", "line break": "al\nice", "zero width": "al\u200bice",
		"broken UTF-8": "al\xffice", "long": strings.Repeat("a", 129), "emoji": "alice🐯", "direction": "\u202ealice", "soft hyphen": "al\u00adice", "long when mapped": strings.Repeat("ſ", 65) + strings.Repeat("İ", 60),
	} {
		if key, err := login.UsernameKey(refused); err == nil {
			t.Errorf("%s: UsernameKey(%q) = %q", name, refused, key)
		}
	}
}

// RFC 8265 Section 8.4: letters that look alike are not mixed; scripts that
// nobody confuses may be (LG-05).
func TestCheckUsername(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]bool{
		"alice": true, "иван": true, "Ελένη": true, "虎符tiger": true, "タイガー1": true, "مريم": true,
		"аlice": false /* Cyrillic a */, "alicе": false /* Cyrillic e */, "αlice": false /* Greek alpha */, "раура1": true /* all Cyrillic */, "οlga": false,
	} {
		if _, err := login.CheckUsername(name); (err == nil) != accepted {
			t.Errorf("CheckUsername(%q): %v, want accepted %t", name, err, accepted)
		}
	}
}

// A key is the key of itself, and of every spelling that differs in case or in
// the spaces around it; it is text that fits the bound.
func FuzzUsernameKey(f *testing.F) {
	for _, seed := range []string{"alice", " Alice ", "ａｌｉｃｅ", "Jose\u0301", "ΑΣ", "İstanbul", "ſ", "ᏸ", "Ǆ", "虎符", "a\u200bb", "\xff", strings.Repeat("İ", 64), "\u1e9e", "ﬁ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key, err := login.UsernameKey(name)
		if err != nil {
			return
		}
		if key == "" || len(key) > 128 || !utf8.ValidString(key) || strings.ContainsAny(key, " \x00\n") {
			t.Errorf("UsernameKey(%q) = %q", name, key)
		}
		if again, err := login.UsernameKey(key); err != nil || again != key {
			t.Errorf("UsernameKey(%q) = %q, whose key is %q, %v", name, key, again, err)
		}
		if spaced, err := login.UsernameKey(" " + name + "\t"); err != nil || spaced != key {
			t.Errorf("with spaces around it %q has the key %q, %v; want %q", name, spaced, err, key)
		}
		if checked, err := login.CheckUsername(name); err == nil && checked != key {
			t.Errorf("CheckUsername(%q) = %q, want %q", name, checked, key)
		}
	})
}
