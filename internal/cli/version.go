package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/store"
)

// release is set by -ldflags "-X …/internal/cli.release=v1.2.3"; empty means that
// the module's own version counts.
var release string

// version is the version of this program, as far as it is known.
func version() string {
	if release != "" {
		return release
	}
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Version == "" || build.Main.Version == "(devel)" {
		return "devel"
	}
	return build.Main.Version
}

// A versionAnswer is what hufu version prints.
type versionAnswer struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	Schema  int64  `json:"schema"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program, of Go, and of the schema it knows", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			return a.show(versionAnswer{Version: version(), Go: runtime.Version(), Schema: store.SchemaVersion()})
		},
	}
}
