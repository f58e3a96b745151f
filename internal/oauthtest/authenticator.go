package oauthtest

import (
	"bytes"
	"html"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An Authenticator is the authenticator app of a user. oathtool makes its codes, which
// knows nothing of ours.
type Authenticator struct {
	Key    string   // base 32, as the page shows it
	Codes  []string // recovery codes that came with it
	server *Server
}

var (
	appKey       = regexp.MustCompile(`<code id="app-key"[^>]*>([A-Z2-7 ]+)</code>`)
	recoveryCode = regexp.MustCompile(`<li><code>([0-9A-Z]{5}-[0-9A-Z]{5})</code></li>`)
)

// setUpPath is the page on which somebody sets up an app who has just signed in.
const setUpPath = "/login/second-factor/set-up"

// SetUpApp sets up an authenticator app on the page that is open, or on the server's own
// for somebody who has just signed in.
func (b *Browser) SetUpApp(t testing.TB) *Authenticator {
	t.Helper()
	if b.Page == nil || !b.On("set-up-form") {
		b.Open(t, setUpPath)
	}
	a := &Authenticator{Key: KeyOn(t, b.Page.Body), server: b.server}
	page := b.Submit(t, "set-up-form", url.Values{"code": {a.Code(t)}, "action": {"confirm"}})
	if page.StatusCode != http.StatusOK {
		t.Fatalf("setting an app up: %d\n%s", page.StatusCode, page.Body)
	}
	a.Codes = RecoveryCodesOn(page.Body)
	return a
}

// AuthenticatorOf is an app that was given a key, with or without spaces in it.
func AuthenticatorOf(s *Server, key string) *Authenticator {
	return &Authenticator{Key: strings.ReplaceAll(key, " ", ""), server: s}
}

// KeyOn reads the key that a page offers to an app.
func KeyOn(t testing.TB, page []byte) string {
	t.Helper()
	match := appKey.FindSubmatch(page)
	if match == nil {
		t.Fatalf("no key on the page:\n%s", page)
	}
	return strings.ReplaceAll(string(match[1]), " ", "")
}

// RecoveryCodesOn reads the recovery codes that a page shows.
func RecoveryCodesOn(page []byte) (codes []string) {
	for _, match := range recoveryCode.FindAllSubmatch(page, -1) {
		codes = append(codes, html.UnescapeString(string(match[1])))
	}
	return codes
}

// Code is a code that was never used: time passes until there is one.
func (a *Authenticator) Code(t testing.TB) string {
	t.Helper()
	a.server.Clock.Advance(30 * time.Second)
	return a.CodeAt(t, a.server.Clock.Now())
}

// CodeAt is the code of a moment.
func (a *Authenticator) CodeAt(t testing.TB, at time.Time) string {
	t.Helper()
	return OATHCode(t, a.Key, at)
}

// OATHCode has oathtool make the code of a key at a moment.
func OATHCode(t testing.TB, key string, at time.Time) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), key) //nolint:gosec // a test's own
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool, which make setup installs: %v\n%s", err, out)
	}
	return string(bytes.TrimSpace(out))
}

// EnterCode fills in the page that asks for a second factor.
func (b *Browser) EnterCode(t testing.TB, code string) *Answer {
	t.Helper()
	return b.Submit(t, "second-factor-form", url.Values{"code": {code}, "action": {"check"}})
}
