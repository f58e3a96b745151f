//go:build !profile

// Hufu is an OAuth 2.0 authorization server. This file only hands over to
// package cli, which holds the commands.
package main

import (
	"os"

	"github.com/hufu-auth/hufu/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
