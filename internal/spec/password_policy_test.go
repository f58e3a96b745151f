package spec_test

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A password that is guessed first is refused where a person sets it, with the reason in
// the reader's language and the check in the log; the old one stays, and neither the log
// nor the audit trail holds what was tried (PW-04).
func TestPasswordPolicy_OwnPage(t *testing.T) {
	t.Parallel()
	const breached = "violet otters in may"
	list := filepath.Join(t.TempDir(), "list.txt")
	ok(t, os.WriteFile(list, fmt.Appendf(nil, "%X:3\r\n", sha1.Sum([]byte(breached))), 0o600))
	s := oauthtest.Start(t, func(c *config.Config) { c.BreachedPasswords, c.SiteName = list, "Lighthouse" })
	u := s.User(t, "alice")
	changed := *u
	changed.Email, changed.Claims = "al@hatters.example", json.RawMessage(`{"family_name":"Liddell","nickname":"Dodgson"}`)
	ok(t, s.Store.UpdateUser(t.Context(), u, &changed, s.Clock.Now(), theOperator))
	b := home(t, s, "alice")
	before := theUser(t, s, "alice").Password
	for _, tt := range []struct{ password, english, chinese string }{
		{"too short", "fewer than 10 characters", "不足 10 个字符"},
		{strings.Repeat("very long ", 103), "password is too long", "密码太长了"},
		{"Alice-Liddell-1", "easy to guess", "很容易被猜到"},
		{"dodgson2024!", "easy to guess", "很容易被猜到"},
		{"hatters-2024!", "easy to guess", "很容易被猜到"},
		{"Lighthouse2024", "easy to guess", "很容易被猜到"},
		{"abcabcabcabc", "over and over", "重复"},
		{"qwertyuiop1", "Adjacent keys", "相邻的按键"},
		{"P@ssword2024!", "Too many people", "人太多"},
		{breached, "data leak", "已泄露"},
	} {
		for language, want := range map[string]string{"en": tt.english, "zh": tt.chinese} {
			b.Open(t, "/account/password?lang="+language)
			answer := b.Submit(t, "password-form", url.Values{"password": {tt.password}})
			if answer.StatusCode != http.StatusUnprocessableEntity || !b.On("password-error") || !strings.Contains(string(answer.Body), want) {
				t.Errorf("%.20q in %s: %d, want %q", tt.password, language, answer.StatusCode, want)
			}
			if strings.Contains(string(answer.Body), tt.password) {
				t.Errorf("%.20q stands on the page", tt.password)
			}
		}
		if strings.Contains(s.Log.String(), tt.password) {
			t.Errorf("%.20q stands in the log", tt.password)
		}
	}
	if !strings.Contains(s.Log.String(), "a password must not be made of the user's own name") {
		t.Error("the log does not tell why")
	}
	if theUser(t, s, "alice").Password != before {
		t.Error("the password is another")
	}
	b.Open(t, "/account/password")
	if answer := b.Submit(t, "password-form", url.Values{"password": {"violet otters in june"}}); answer.Request.URL.Path != "/account/security" {
		t.Errorf("a good one: %d", answer.StatusCode)
	}
}

// How a keyboard composes an accented letter makes no difference to who may come in.
func TestPasswordPolicy_Composed(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	const composed, decomposed = "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e", "cafe\u0301 cre\u0300me bru\u0302le\u0301e"
	for i, password := range []string{composed, decomposed} {
		name := fmt.Sprintf("user%d", i)
		hash, err := s.Passwords.HashNew(t.Context(), s.Hasher, password, name)
		ok(t, err)
		makeUser(t, s, name, hash)
		for _, typed := range []string{composed, decomposed} {
			if answer := tryFrom(t, s, stranger(t, s), "", name, typed); answer.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: %d", name, answer.StatusCode)
			}
		}
		if answer := tryFrom(t, s, stranger(t, s), "", name, "cafe creme brulee"); answer.StatusCode == http.StatusSeeOther {
			t.Errorf("%s: without accents", name)
		}
	}
}
