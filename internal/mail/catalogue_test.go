package mail

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// Kinds are all kinds that there are.
func Kinds() []Kind { return slices.Concat(links, notices) }

// Both languages have the same texts with the same places, each in its own words, and
// none that nothing says.
func TestCatalogues(t *testing.T) {
	t.Parallel()
	en, err := loadCatalogue("en")
	if err != nil {
		t.Fatal(err)
	}
	zh, err := loadCatalogue("zh")
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"product", "hello", "foot", "notice.button", "fact.time", "fact.time.format", "fact.browser", "fact.browser.on", "fact.browser.only", "fact.address"}
	for _, kind := range Kinds() {
		wanted = append(wanted, string(kind)+".subject", string(kind)+".text", string(kind)+".after")
		if slices.Contains(links, kind) {
			wanted = append(wanted, string(kind)+".button")
		}
	}
	slices.Sort(wanted)
	place := regexp.MustCompile(`\{[a-z]+\}`)
	sentence := regexp.MustCompile(`[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}`)
	isHan := func(r rune) bool { return unicode.Is(unicode.Han, r) }
	for language, c := range map[string]catalogue{"en": en, "zh": zh} {
		if diff := cmp.Diff(wanted, slices.Sorted(maps.Keys(c))); diff != "" {
			t.Errorf("%s: keys (-used +in the catalogue):\n%s", language, diff)
		}
	}
	for key, said := range en {
		places := func(said string) []string {
			found := slices.DeleteFunc(place.FindAllString(said, -1), func(p string) bool { return p == "{product}" })
			slices.Sort(found)
			return slices.Compact(found)
		}
		if diff := cmp.Diff(places(said), places(zh[key])); diff != "" {
			t.Errorf("%s: places (-en +zh):\n%s", key, diff)
		}
		if strings.ContainsFunc(said, func(r rune) bool { return r > unicode.MaxLatin1 }) {
			t.Errorf("en: %s = %s", key, said)
		}
		if !strings.ContainsFunc(zh[key], isHan) || sentence.MatchString(zh[key]) {
			t.Errorf("zh: %s = %s", key, zh[key])
		}
	}
}
