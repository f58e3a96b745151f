package spec_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A branded server looks as its operator wants, and so do the pages about two of its
// clients: one has a colour that is hard to read on light ground, one on dark.
type branded struct {
	*oauthtest.Server
	plain, yellow, navy *landing
}

// lighthouse is the logo of the branded server.
const lighthouse = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><style>.a{fill:#d9412b}</style><path class="a" d="M12 10h8l2 19H10z"/><path fill="#f2b632" d="M12 5h8v5h-8z"/><path fill="#6b4ba3" d="M16 1l5 4H11zM11.4 16h9.2l.4 5h-10z"/></svg>`

func newBranded(t *testing.T, language string) *branded {
	logo := filepath.Join(t.TempDir(), "logo.svg")
	ok(t, os.WriteFile(logo, []byte(lighthouse), 0o600))
	s := oauthtest.Start(t, func(c *config.Config) {
		c.SiteName, c.LogoFile, c.AccentColor = map[string]string{"en": "Lighthouse", "zh": "灯塔账号"}[language], logo, "#6B4BA3"
		c.PolicyURI, c.TermsURI = "https://lighthouse.example/privacy", "https://lighthouse.example/terms"
	})
	s.User(t, "alice")
	name := map[string]string{"en": "Silver Birch", "zh": "银桦日历"}[language]
	with := func(color string) *landing {
		return land(t, s, func(m *oauth.ClientMetadata) {
			m.ClientName, m.Scope, m.AccentColor = name, "profile email", color
			m.PolicyURI, m.TermsOfServiceURI = "https://birch.example/privacy", "https://birch.example/terms"
		})
	}
	return &branded{s, with(""), with("#ffd400"), with("#101a45")}
}

// brandScenes are pages as an operator and the clients have them.
var brandScenes = []scene{
	{"brand-home", "", opens(func(s *studio) string { return s.brand.URL + "/" })},
	{"brand-login", "", opens(func(s *studio) string { return s.brand.plain.ask("/authorize", "s", "scope", "profile") })},
	{"brand-login-yellow", "", opens(func(s *studio) string { return s.brand.yellow.ask("/authorize", "s", "scope", "profile") })},
	{"brand-login-navy", "", opens(func(s *studio) string { return s.brand.navy.ask("/authorize", "s", "scope", "profile") })},
	{"brand-consent-yellow", "", func(t *testing.T, s *studio, b *oauthtest.Tab) {
		b.Open(t, s.brand.yellow.ask("/authorize", "s", "scope", "profile email"))
		b.SignIn(t, "alice", oauthtest.Password)
	}},
	{"brand-account", "", opens(func(s *studio) string { return s.brand.URL + "/account" })},
}

// What an operator configures about the looks is in pages, below a path too, and in
// metadata.
func TestBranding(t *testing.T) {
	t.Parallel()
	s := newBranded(t, "en")
	metadata := s.Get(t, "/.well-known/openid-configuration")
	if metadata.Text("op_policy_uri") != s.Config.PolicyURI || metadata.Text("op_tos_uri") != s.Config.TermsURI {
		t.Errorf("metadata: %s", metadata.Body)
	}
	directory := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(directory, "home.html"), []byte(`{{define "main"}}<main><h1>{{t "home.title"}}: {{.Issuer}}</h1></main>{{end}}`), 0o600))
	own := oauthtest.Start(t, func(c *config.Config) {
		c.Issuer += "/auth"
		c.Templates, c.AccentColor, c.SiteName = directory, "#6b4ba3", "Lighthouse"
	})
	page := string(own.Get(t, "/").Body)
	if !strings.Contains(page, "<main><h1>Welcome: "+own.URL+"</h1></main>") || !strings.Contains(page, `<span>Lighthouse</span>`) {
		t.Errorf("the operator's own page:\n%s", page)
	}
	sheet := regexp.MustCompile(`/auth/assets/[0-9a-f]+/accent-6b4ba3\.css`).FindString(page)
	if answer := own.Get(t, strings.TrimPrefix(sheet, "/auth")); answer.StatusCode != http.StatusOK || !strings.Contains(string(answer.Body), "--fill:light-dark(#6b4ba3,") {
		t.Errorf("%q: %d, %s", sheet, answer.StatusCode, answer.Body)
	}
	plain := oauthtest.Start(t).Get(t, "/.well-known/openid-configuration")
	if plain.JSON("op_policy_uri") != nil || plain.JSON("op_tos_uri") != nil {
		t.Errorf("metadata of a server without such pages: %s", plain.Body)
	}
}
