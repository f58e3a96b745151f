package spec_test

import (
	"net/http"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// guarded makes a user with a second factor, once.
func (s *studio) guarded(t *testing.T, name string) *oauthtest.Authenticator {
	t.Helper()
	if s.phones[name] == nil {
		s.User(t, name)
		s.phones[name] = withApp(t, s.Server, name)
	}
	return s.phones[name]
}

// before opens the page behind the password of a user with a second factor.
func (s *studio) before(t *testing.T, b *oauthtest.Tab, name, address string) {
	t.Helper()
	s.guarded(t, name)
	b.Open(t, address)
	b.SignIn(t, name, oauthtest.Password)
	if !b.Has(t, "#second-factor-form") {
		t.Fatalf("no second factor is asked for: %s", b.URL(t))
	}
}

// factorScenes are the pages of second factors.
var factorScenes = []scene{
	{"second-factor", "fred", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.before(t, b, "fiona", s.short.ask("/authorize", "s", "scope", "profile", "prompt", "login"))
	}},
	{"second-factor-passkey", "fred", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.guarded(t, "fiona")
		s.Passkey(t, theUser(t, s.Server, "fiona"))
		b.Keychain(t)
		s.before(t, b, "fiona", s.short.ask("/authorize", "s", "scope", "profile", "prompt", "login"))
		b.Click(t, "#passkey-submit")
		b.Until(t, `!document.getElementById("passkey-message").hidden`)
	}},
	{"second-factor-wrong", "fred", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.before(t, b, "frances.with.a.rather.long.name@department.example.org", s.URL+"/login")
		b.Type(t, "#code", "000000")
		b.Follow(t, "#second-factor-submit")
	}},
	{"second-factor-recovery", "fred", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.before(t, b, "fiona", s.short.ask("/authorize", "s", "scope", "profile", "prompt", "login"))
		b.Follow(t, "#use-recovery")
	}},
	{"second-factor-throttled", "fred", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.before(t, b, "guessed", s.URL+"/login")
		for b.Status != http.StatusTooManyRequests {
			b.Type(t, "#code", "000000")
			b.Follow(t, "#second-factor-submit")
		}
	}},
	{"set-up-factor", "greta", opens(func(s *studio) string { return s.strict.ask("/authorize", "s", "scope", "profile") })},
	{"set-up-factor-passkey", "paula", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		s.Passkey(t, theUser(t, s.Server, "paula"))
		b.Keychain(t)
		b.Open(t, s.strict.ask("/authorize", "s", "scope", "profile"))
		b.Click(t, "#passkey-submit")
		b.Until(t, `!document.getElementById("passkey-message").hidden`)
	}},
	{"set-up-factor-key", "greta", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Click(t, "#key-details summary") }},
	{"set-up-factor-wrong", "greta", func(t *testing.T, _ *studio, b *oauthtest.Tab) {
		b.Type(t, "#code", "000000")
		b.Follow(t, "#set-up-submit")
	}},
	{"recovery-codes", "greta", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		var key string
		b.Eval(t, `document.getElementById("app-key").textContent`, &key)
		b.Type(t, "#code", oauthtest.AuthenticatorOf(s.Server, key).Code(t))
		b.Follow(t, "#set-up-submit")
		if !b.Has(t, "#recovery-codes") {
			t.Errorf("no recovery codes: %s", b.URL(t))
		}
	}},
	{"account-second-factor-set-up", "hanna", opens(func(s *studio) string { return s.URL + "/account/second-factor" })},
	{"account-second-factor-wrong", "hanna", func(t *testing.T, _ *studio, b *oauthtest.Tab) {
		b.Type(t, "#code", "000000")
		b.Follow(t, "#set-up-submit")
	}},
	{"account-recovery-codes", "hanna", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		var key string
		b.Eval(t, `document.getElementById("app-key").textContent`, &key)
		b.Type(t, "#code", oauthtest.AuthenticatorOf(s.Server, key).Code(t))
		b.Follow(t, "#set-up-submit")
	}},
	{"account-security-two-step", "hanna", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Follow(t, "#recovery-continue") }},
	{"account-second-factor", "hanna", opens(func(s *studio) string { return s.URL + "/account/second-factor" })},
	{"account-second-factor-remove", "hanna", func(t *testing.T, _ *studio, b *oauthtest.Tab) { b.Click(t, "#remove-details summary") }},
}
