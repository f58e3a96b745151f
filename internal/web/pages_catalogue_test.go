package web

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// placeholder is a value's place in a text, as in "Sign in to {client}".
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func loadCatalogues(t *testing.T) (en, zh catalogue) {
	t.Helper()
	en, err := loadCatalogue("en")
	if err != nil {
		t.Fatal(err)
	}
	zh, err = loadCatalogue("zh")
	if err != nil {
		t.Fatal(err)
	}
	return en, zh
}

func TestPageCataloguesAgree(t *testing.T) {
	en, zh := loadCatalogues(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(en)), slices.Sorted(maps.Keys(zh))); diff != "" {
		t.Errorf("keys (-en +zh):\n%s", diff)
	}
	for key := range en {
		// {product} needs no value and may stand in one of them only.
		places := func(text string) []string {
			found := placeholder.FindAllString(text, -1)
			found = slices.DeleteFunc(found, func(p string) bool { return p == "{product}" })
			slices.Sort(found)
			return found
		}
		if diff := cmp.Diff(places(en[key]), places(zh[key])); diff != "" {
			t.Errorf("%s: placeholders (-en +zh):\n%s", key, diff)
		}
	}
}

func TestPageCataloguesKeepTheirLanguage(t *testing.T) {
	en, zh := loadCatalogues(t)
	sentence := regexp.MustCompile(`[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}`)
	for key, text := range en {
		if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxLatin1 }) {
			t.Errorf("en: %s = %s", key, text)
		}
	}
	for key, text := range zh {
		if !strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }) || sentence.MatchString(text) {
			t.Errorf("zh: %s = %s", key, text)
		}
	}
	if en["product"] != "Hufu" || zh["product"] != "虎符 Hufu" {
		t.Errorf("the product is called %q and %q", en["product"], zh["product"])
	}
}

// keysMadeInGo are those that no template spells out.
func keysMadeInGo() map[string]bool {
	used := map[string]bool{"product": true, "login.error.throttled.wait": true}
	for _, seconds := range []int{1, 2, 600, 7200} {
		used[waitFor(seconds).Key] = true
	}
	for _, e := range loginErrors {
		used["login.error."+string(e)] = true
	}
	used["factor.error.throttled.wait"] = true
	for _, e := range secondFactorErrors {
		used["factor.error."+string(e)] = true
	}
	for _, p := range passwordProblems {
		used[p.Key()] = true
	}
	for _, s := range scopesInWords {
		used["scope."+s+".title"], used["scope."+s+".text"] = true, true
	}
	for _, r := range reasons {
		for _, part := range []string{".title", ".text", ".next"} {
			used["reason."+string(r)+part] = true
		}
	}
	for _, r := range reasonsForDevelopers {
		used["reason."+string(r)+".developer"] = true
	}
	for _, key := range playgroundKeys() {
		used[key] = true
	}
	for _, e := range forgottenErrors {
		used["forgot.error."+string(e)] = true
	}
	used["forgot.error.throttled.wait"] = true
	for _, p := range nameProblems {
		used["name.problem."+string(p)] = true
	}
	used["factor.recovery."+string(SecondFactorFailed)], used["factor.recovery."+string(SecondFactorIncomplete)] = true, true
	for _, r := range results {
		used[r.key()+".title"], used[r.key()+".text"] = true, true
	}
	for _, page := range []Page{
		ForgottenPage{}, NewPasswordPage{}, NewPasswordPage{Invitation: true}, FirstAdminPage{}, ConfirmEmailPage{}, LoginPage{}, SelectAccountPage{}, ConsentPage{}, LogoutPage{}, LoggedOutPage{}, FormPostPage{}, HomePage{},
		SecondFactorPage{}, SetUpFactorPage{}, RecoveryCodesPage{}, TwoStepPage{},
		OverviewPage{}, ProfilePage{}, EmailPage{}, SecurityPage{}, PasskeysPage{}, PasswordPage{}, SessionsPage{}, AppsPage{}, ActivityPage{}, DataPage{}, DeletePage{}, LeftPage{},
	} {
		used[page.frame().title] = true
	}
	for _, key := range accountKeys() {
		used[key] = true
	}
	return used
}

// accountKeys are those of the pages of an account that are put together.
func accountKeys() []string {
	keys := []string{"activity.other", "language.en", "language.zh"}
	for _, done := range AccountDone {
		keys = append(keys, "account.done."+done)
	}
	for _, section := range accountSections {
		keys = append(keys, "section."+section)
	}
	for _, kind := range ActivityKinds {
		keys = append(keys, "activity."+kind)
	}
	for _, name := range ProfileFields() {
		keys = append(keys, "profile."+name, "profile."+name+".problem")
	}
	for _, problem := range PasskeyProblems {
		keys = append(keys, "passkeys.problem."+problem)
	}
	for month := range 12 {
		keys = append(keys, fmt.Sprint("month.", month+1))
	}
	for _, counted := range []string{"moment.minute", "moment.hour", "moment.day", "overview.session", "overview.app", "security.passkey", "security.app.on"} {
		keys = append(keys, counted, counted+"s")
	}
	return append(keys, "moment.now", "moment.date")
}

func TestPageCatalogueKeysAreUsed(t *testing.T) {
	used := keysMadeInGo()
	call := regexp.MustCompile(`\b(?:t|before|after) "([a-z_.]+)"`)
	files, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := pageFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
	}
	en, _ := loadCatalogues(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(en))); diff != "" {
		t.Errorf("keys (-used +in the catalogue):\n%s", diff)
	}
}

func TestPageCatalogueText(t *testing.T) {
	c := catalogue{"product": "P", "hello": "Hello {user}, this is {product}."}
	if got, err := c.text("hello", "user", "{product}<b>"); err != nil || got != "Hello {product}<b>, this is P." {
		t.Errorf("got %q, %v", got, err)
	}
	if before, err := c.before("hello", "user"); err != nil || before != "Hello " {
		t.Errorf("before: %q, %v", before, err)
	}
	if after, err := c.after("hello", "user"); err != nil || after != ", this is P." {
		t.Errorf("after: %q, %v", after, err)
	}
	for name, err := range map[string]error{
		"no such key":   second(c.text("bye")),
		"value missing": second(c.text("hello")),
		"value unknown": second(c.text("hello", "user", "u", "host", "h")),
		"no such place": second(c.before("hello", "host")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ string, err error) error { return err }
