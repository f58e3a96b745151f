package torture_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// built is where the program is, once somebody needed it.
var built struct {
	sync.Mutex
	folder, program string
	err             error
}

// program builds the plain program that operators get, once for all tests.
func program(t testing.TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.program == "" && built.err == nil {
		if built.folder, built.err = os.MkdirTemp("", "torture-"); built.err == nil {
			built.program, built.err = oauthtest.Build(context.Background(), built.folder)
		}
	}
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.program
}

func TestMain(m *testing.M) {
	code := dbtest.Run(m)
	if built.folder != "" {
		if err := os.RemoveAll(built.folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}
