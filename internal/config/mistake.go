package config

import (
	"errors"
	"fmt"
	"strings"
)

// A Mistake is one thing the operator has to mend. It never repeats a value, for
// values may be secret.
type Mistake struct {
	Name   string // as the operator typed it: listen, HUFU_LISTEN, --listen
	Place  string // the file and the line, where there are any
	Reason string
}

// Error implements error: the name, what is wanted, and where to look.
func (m *Mistake) Error() string {
	var b strings.Builder
	if m.Name != "" {
		b.WriteString(m.Name + ": ")
	}
	b.WriteString(m.Reason)
	if m.Place != "" {
		fmt.Fprintf(&b, " (%s)", m.Place)
	}
	return b.String()
}

// Mistakes lists the mistakes that err, an error of this package, is made of.
func Mistakes(err error) []*Mistake {
	var all []*Mistake
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			all = append(all, Mistakes(part)...)
		}
		return all
	}
	var m *Mistake
	if errors.As(err, &m) {
		return append(all, m)
	}
	return all
}

// mistake describes what is wrong with the value of key, under the name by which
// it was given.
func (c *Config) mistake(key, reason string) error {
	from, ok := c.origins[key]
	if !ok {
		from = origin{name: key}
	}
	return &Mistake{Name: from.name, Place: from.place, Reason: reason}
}

// check is mistake as a condition: nil when ok.
func (c *Config) check(key string, ok bool, reason string) error {
	if ok {
		return nil
	}
	return c.mistake(key, reason)
}

// nearest returns the name among names that a typing error would turn into the
// given one, or "".
func nearest(given string, names []string) string {
	best, distance := "", 3
	for _, name := range names {
		if d := editDistance(given, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// editDistance counts the letters to add, drop or change between two names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func unknownKey(name, place string, known []string) error {
	reason := "no such key"
	if len(name) > 100 {
		return &Mistake{Name: name[:100] + "…", Place: place, Reason: reason}
	}
	if guess := nearest(name, known); guess != "" {
		reason += "; is it " + guess + "?"
	}
	return &Mistake{Name: name, Place: place, Reason: reason}
}
