//go:build profile

// The program as the bench builds it to see where the time goes. SIGUSR1 begins a
// CPU profile in the folder that BENCH_PROFILE names, and SIGUSR1 again ends it.
package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"github.com/hufu-auth/hufu/internal/cli"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go profile(signals, os.Getenv("BENCH_PROFILE"))
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

func profile(signals <-chan os.Signal, folder string) {
	for range signals {
		part := filepath.Join(folder, "cpu.part")
		cpu, err := os.Create(part)
		if err != nil || pprof.StartCPUProfile(cpu) != nil {
			continue
		}
		<-signals
		pprof.StopCPUProfile()
		if allocs, err := os.Create(filepath.Join(folder, "allocs.pprof")); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(allocs, 0)
			_ = allocs.Close()
		}
		_ = cpu.Close()
		_ = os.Rename(part, filepath.Join(folder, "cpu.pprof")) // the bench waits for it
	}
}
