//go:build commitdelay

package store

import "time"

// beforeCommit stands for a disk that takes its time: every commit waits once for
// a sync, and in this build, which only the bench makes, 5 ms longer.
func beforeCommit() { time.Sleep(5 * time.Millisecond) }
