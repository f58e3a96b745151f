package spec_test

import (
	"encoding/pem"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
)

// authorityOf writes what vouches for a TLS server of a test to a file, and names it.
func authorityOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	ok(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return file
}

// reaching lets a server go to others on loopback that an authority vouches for.
func reaching(authority string) func(*config.Config) {
	return func(c *config.Config) {
		c.OutboundCAFile, c.OutboundNetworks = authority, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}
}
