package spec_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// furnish gives dora an account in which something has happened.
func furnish(t *testing.T, s *studio) {
	t.Helper()
	s.User(t, "dora")
	s.User(t, "petra")
	s.User(t, "paula")
	for _, userAgent := range []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "",
	} {
		b := s.Browser(t)
		b.UserAgent = userAgent
		b.Open(t, "/login")
		b.SignIn(t, "dora")
		for _, app := range []*landing{s.short, s.long} {
			if userAgent != "" {
				b.Walk(t, app.ask("/authorize", "s", "scope", "profile email calendar.read"), "dora")
			}
		}
	}
}

// accountScenes are the pages of an account.
var accountScenes = []scene{
	{"account", "dora", opens(func(s *studio) string { return s.URL + "/account" })},
	{"account-new", "alice", opens(func(s *studio) string { return s.URL + "/account" })},
	{"account-profile", "dora", opens(func(s *studio) string { return s.URL + "/account/profile" })},
	{"account-profile-refused", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/profile")
		b.Type(t, "#phone_number", "call me")
		b.Type(t, "#website", "javascript:alert(1)")
		b.Eval(t, `document.getElementById("profile-form").noValidate = true`, nil)
		b.Follow(t, "#profile-save")
		if b.Status != http.StatusUnprocessableEntity {
			t.Errorf("status %d", b.Status)
		}
	}},
	{"account-profile-saved", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/profile")
		b.Type(t, "#nickname", "D.")
		b.Follow(t, "#profile-save")
	}},
	{"account-email", "dora", opens(func(s *studio) string { return s.URL + "/account/email" })},
	{"account-email-refused", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/email")
		b.Type(t, "#email", "dora")
		b.Eval(t, `document.getElementById("change-email-form").noValidate = true`, nil)
		b.Follow(t, "#email-send")
	}},
	{"account-email-sent", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/email")
		b.Type(t, "#email", "dora@example.com")
		b.Follow(t, "#email-send")
	}},
	{"account-security", "dora", opens(func(s *studio) string { return s.URL + "/account/security" })},
	{"account-passkeys-none", "petra", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/security")
		b.Follow(t, "#manage-passkeys")
	}},
	{"account-passkeys-unable", "petra", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Scripts(t, false)
		b.Open(t, s.URL+"/account/passkeys")
	}},
	{"account-passkeys-added", "petra", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/passkeys")
		b.Keychain(t)
		b.Follow(t, "#passkey-submit")
	}},
	{"account-passkeys", "petra", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.Passkey(t, theUser(t, s.Server, "petra"))
		b.Open(t, s.URL+"/account/passkeys")
		b.Click(t, "details summary")
	}},
	{"account-passkeys-known", "petra", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/passkeys")
		b.Click(t, "#passkey-submit")
		b.Until(t, `!document.getElementById("passkey-message").hidden`)
	}},
	{"account-password", "dora", opens(func(s *studio) string { return s.URL + "/account/password" })},
	{"account-password-refused", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/password")
		b.Type(t, "#password", "short")
		b.Follow(t, "#password-save")
	}},
	{"account-sessions", "dora", opens(func(s *studio) string { return s.URL + "/account/sessions" })},
	{"account-apps", "dora", opens(func(s *studio) string { return s.URL + "/account/apps" })},
	{"account-apps-open", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/apps")
		b.Click(t, "details summary")
	}},
	{"account-apps-none", "a.rather-long.user.name@department.example.org", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/apps")
		if b.Has(t, "button[name=revoke]") { // what the scenes before have left
			b.Follow(t, "button[name=revoke]")
			b.Open(t, s.URL+"/account/apps")
		}
	}},
	{"account-activity", "dora", opens(func(s *studio) string { return s.URL + "/account/activity" })},
	{"account-data", "dora", opens(func(s *studio) string { return s.URL + "/account/data" })},
	{"account-delete", "dora", opens(func(s *studio) string { return s.URL + "/account/delete" })},
	{"account-delete-wrong", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/delete")
		b.Type(t, "#confirm", "somebody")
		b.Follow(t, "#delete")
	}},
	{"login-confirm", "dora", opens(func(s *studio) string {
		return s.URL + "/login?" + url.Values{"return": {"/account/password"}}.Encode()
	})},
	{"account-left", "dora", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.URL+"/account/delete")
		b.Type(t, "#confirm", "Dora")
		b.Follow(t, "#delete")
	}},
}
