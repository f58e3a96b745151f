//go:build !commitdelay

package store

// beforeCommit does nothing; see commit_delay.go.
func beforeCommit() {}
