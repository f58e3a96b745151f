// Package spec_test holds the requirements that the server meets, one function
// each, named by the section it stands in and reached through HTTP alone.
package spec_test

import (
	"os"
	"testing"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

func TestMain(m *testing.M) {
	code := dbtest.Run(m)
	oauthtest.StopBrowsers()
	os.Exit(code)
}
