package spec_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// overTLS starts a server whose issuer is https, behind a proxy that speaks it, and
// returns the file of the authority that vouches for that. Browsers of the server trust it.
func overTLS(t *testing.T, edits ...func(*config.Config)) (s *oauthtest.Server, authority string) {
	t.Helper()
	f := tlsFront(t)
	s = oauthtest.Start(t, append(edits, func(c *config.Config) { c.Issuer = f.URL })...)
	f.to(t, s.Origin)
	authority = authorityOf(t, f.Server)
	trusted := x509.NewCertPool()
	trusted.AddCert(f.Certificate())
	s.Via, s.Origin = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}, f.URL
	return s, authority
}

// A strict client in another language does all that an application does, over https:
// openid-client, certified by the OpenID Foundation, refuses what is not as the
// specifications have it. `make setup` installs it (conformance 8, 26, 45, 51, 53, 55, 61,
// 64, 67, 69).
func TestOpenIDClient_Node(t *testing.T) {
	t.Parallel()
	s, authority := overTLS(t, func(c *config.Config) {
		c.Registration, c.RegistrationGrants = config.RegistrationOpen, []string{"authorization_code", "refresh_token", "implicit"}
	})
	s.User(t, "alice")
	folder := filepath.Join("testdata", "openid-client")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "openid-client")); err != nil {
		t.Fatalf("openid-client is not installed, which make setup does: %v", err)
	}
	// The flag gives Node.js 18 what later ones have without it.
	cmd := exec.CommandContext(t.Context(), "node", "--experimental-global-webcrypto", "client.mjs", s.URL, oauthtest.Callback)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+authority)
	input, err := cmd.StdinPipe()
	ok(t, err)
	output, err := cmd.StdoutPipe()
	ok(t, err)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	ok(t, cmd.Start())
	b := s.Browser(t)
	var steps []string
	for lines := bufio.NewScanner(output); lines.Scan(); {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		if verb != "open" {
			steps = append(steps, rest)
			continue
		}
		answer, err := json.Marshal(agree(t, b, rest))
		ok(t, err)
		_, err = input.Write(append(answer, '\n'))
		ok(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after %q: %v\n%s", steps, err, complaint.String())
	}
	if len(steps) < 18 {
		t.Errorf("it did no more than %q", steps)
	}
}

// agree opens an address as somebody who signs in and agrees to everything, and tells where
// that led, and what was posted there.
func agree(t *testing.T, b *oauthtest.Browser, address string) map[string]string {
	t.Helper()
	b.Open(t, address)
	if b.On("login-form") {
		b.SignIn(t, "alice")
	}
	if b.On("consent-form") {
		b.Approve(t)
	}
	if b.On("logout-form") {
		b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	}
	if b.On("form-post") {
		action, fields := b.Form(t, "form-post")
		return map[string]string{"location": action, "form": fields.Encode()}
	}
	location := b.Location(t)
	if location == nil {
		t.Fatalf("%s ended on a page of %s (%d):\n%s", address, b.Page.Request.URL.Path, b.Page.StatusCode, b.Page.Body)
	}
	return map[string]string{"location": location.String()}
}
