// Command makecommon makes the filter of common passwords, which go:generate calls it
// for: makecommon DIRECTORY FILE reads every text file in DIRECTORY, and what stands
// beside this program, and writes FILE.
//
// It is no part of the server.
package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hufu-auth/hufu/internal/login"
)

// chinese are words that passwords in Chinese are made of and that lists from elsewhere
// lack.
//
//go:embed chinese.txt
var chinese string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "makecommon:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || args[0] == "" {
		return fmt.Errorf("want a directory of lists and a file to write; set HUFU_PASSWORD_LISTS for go generate")
	}
	names, err := filepath.Glob(filepath.Join(args[0], "*.txt"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no *.txt in %s (%v)", args[0], err)
	}
	lists := []io.Reader{strings.NewReader(chinese)}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		lists = append(lists, strings.NewReader("\n"+string(text)))
	}
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	n, err := login.WriteCommonPasswords(out, io.MultiReader(lists...))
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		fmt.Printf("%d passwords from %d lists\n", n, len(names))
	}
	return err
}
