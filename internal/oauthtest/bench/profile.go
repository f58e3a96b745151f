package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// profileVariable tells a program that was built with the tag profile where to
// put profiles; see cmd/hufu/profile.go.
const profileVariable = "BENCH_PROFILE"

// profile has the server write a CPU profile until stop is called, when profiles
// are wanted. stop passes the error on that it is given.
func (b *bench) profile(pid int, name string) (stop func(error) error, err error) {
	if b.Profile == "" {
		return func(err error) error { return err }, nil
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func(err error) error {
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGUSR1)); err != nil {
			return err
		}
		return b.collect(name)
	}, nil
}

// collect names the files that the server has written.
func (b *bench) collect(name string) error {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return '-'
	}, name)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		err := os.Rename(filepath.Join(b.Profile, "cpu.pprof"), filepath.Join(b.Profile, name+".cpu.pprof")) // the last to be written
		if err == nil {
			return os.Rename(filepath.Join(b.Profile, "allocs.pprof"), filepath.Join(b.Profile, name+".allocs.pprof"))
		}
		if !errors.Is(err, os.ErrNotExist) || ctx.Err() != nil {
			return fmt.Errorf("profile: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
