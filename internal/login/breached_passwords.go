package login

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format of the list; nothing is protected by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/text/unicode/norm"
)

// A line of the list is a SHA-1 in hex, a colon and a count.
const (
	breachedHash = 2 * sha1.Size
	breachedLine = 64 // bytes at most, with the end of the line
	breachedRead = 4 << 10
	// breachedProbes is how many pieces of a large list are looked at to begin with; one
	// that is smaller than all of them is read whole.
	breachedProbes = 1024
)

// BreachedPasswords is a list of passwords that became known to others, in the format of
// the downloads of Pwned Passwords that are ordered by hash. It lies on disk and is
// searched there: it may be much larger than memory. Many goroutines may use it.
type BreachedPasswords struct {
	file *os.File
	size int64
}

// OpenBreachedPasswords opens a list. What is in it is looked at by Verify, once, where a
// server starts.
func OpenBreachedPasswords(path string) (*BreachedPasswords, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file that can be searched", path)
	}
	if err != nil {
		_ = file.Close() // only read
		return nil, err
	}
	return &BreachedPasswords{file, info.Size()}, nil
}

// Close closes the file; there may be none.
func (b *BreachedPasswords) Close() error {
	if b == nil {
		return nil
	}
	return b.file.Close()
}

// Verify refuses a list that is none or is not in order, as far as a thousand pieces
// from all over it can tell.
func (b *BreachedPasswords) Verify() error {
	if b.size == 0 {
		return errors.New("the list is empty")
	}
	var last []byte
	step := max(breachedRead, b.size/breachedProbes)
	for at := int64(0); at < b.size; at += step {
		start, text, err := b.read(at, min(breachedRead, b.size-at))
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			hash, ok := parseBreached(line)
			if !ok {
				return fmt.Errorf("at byte %d stands no SHA-1 in hex with a colon and a count, as in the Pwned Passwords list", start)
			}
			if bytes.Compare(last, hash) >= 0 {
				return fmt.Errorf("not ordered by hash: at byte %d stands %s, which belongs before %s; there is a download in that order", start, hash, last)
			}
			last = bytes.Clone(hash)
			start += int64(len(line))
		}
	}
	return nil
}

// read returns the lines that begin in the bytes from at, each to its end, and where the
// first of them begins.
func (b *BreachedPasswords) read(at, length int64) (start int64, text []byte, err error) {
	from := max(0, at-1) // whether a line begins at at, the byte before it tells
	text = make([]byte, length+breachedLine+1)
	n, err := b.file.ReadAt(text, from)
	if err != nil && err != io.EOF { //nolint:errorlint // ReadAt returns it bare
		return 0, nil, err
	}
	text = text[:n]
	if at > 0 {
		end := bytes.IndexByte(text, '\n')
		if end < 0 || int64(end) >= length {
			return at + length, nil, nil // no line begins here
		}
		text = text[end+1:]
		from += int64(end) + 1
	}
	// What begins behind the bytes asked for is left out.
	keep := 0
	for line := range bytes.Lines(text) {
		if from+int64(keep) >= at+length {
			break
		}
		keep += len(line)
	}
	return from, text[:keep], nil
}

// parseBreached takes the hash from a line, in capitals.
func parseBreached(line []byte) (hash []byte, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) < breachedHash+2 || len(line) > breachedLine-2 || line[breachedHash] != ':' || len(bytes.Trim(line[breachedHash+1:], "0123456789")) > 0 {
		return nil, false
	}
	hash = bytes.ToUpper(line[:breachedHash])
	_, err := hex.Decode(make([]byte, sha1.Size), hash)
	return hash, err == nil
}

// Holds reports whether a password is in the list. Its error is of the file.
func (b *BreachedPasswords) Holds(password string) (bool, error) {
	sum := sha1.Sum(norm.NFC.Bytes([]byte(password))) //nolint:gosec // see the import
	want := bytes.ToUpper(hex.AppendEncode(nil, sum[:]))
	// A line that holds it begins at low or later, and before high.
	low, high := int64(0), b.size
	for high-low > breachedRead {
		middle := low + (high-low)/2
		start, text, err := b.read(middle, breachedLine)
		if err != nil {
			return false, fmt.Errorf("breached passwords: %w", err)
		}
		line, _, _ := bytes.Cut(text, []byte("\n"))
		hash, ok := parseBreached(line)
		if !ok {
			return false, fmt.Errorf("breached passwords: the list is damaged near byte %d", middle)
		}
		switch order := bytes.Compare(want, hash); {
		case order == 0:
			return true, nil
		case order < 0:
			high = start
		default:
			low = start + int64(len(line)) + 1
		}
	}
	if high <= low {
		return false, nil
	}
	_, text, err := b.read(low, high-low)
	if err != nil {
		return false, fmt.Errorf("breached passwords: %w", err)
	}
	for line := range bytes.Lines(text) {
		if hash, ok := parseBreached(line); ok && bytes.Equal(hash, want) {
			return true, nil
		}
	}
	return false, nil
}
