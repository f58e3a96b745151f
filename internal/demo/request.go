package demo

import (
	"net/url"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A call is one request of a client, as it is shown and as it is sent. Parameters
// keep their order: that of the specifications.
type call struct {
	method  string
	address string // absolute, without query
	params  []oauth.Param
}

func get(address string, params ...oauth.Param) call {
	return call{"GET", address, params}
}

func post(address string, params ...oauth.Param) call {
	return call{"POST", address, params}
}

// with returns the call with one parameter set to another value.
func (c call) with(name, value string) call {
	params := make([]oauth.Param, len(c.params))
	for i, p := range c.params {
		if p.Name == name {
			p.Value = value
		}
		params[i] = p
	}
	c.params = params
	return c
}

// encoded are the parameters as query or body, in their order.
func (c call) encoded() string {
	pairs := make([]string, len(c.params))
	for i, p := range c.params {
		pairs[i] = p.Name + "=" + escape(p.Value)
	}
	return strings.Join(pairs, "&")
}

// url is the address with the parameters in its query.
func (c call) url() string {
	if len(c.params) == 0 {
		return c.address
	}
	return c.address + "?" + c.encoded()
}

// escape writes a space as %20, which is right in a query and in a form, and
// leaves alone what both allow and readers like to read.
func escape(value string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":", "%2F", "/").Replace(url.QueryEscape(value))
}

// curl is the call as a command for a POSIX shell, one argument a line.
func (c call) curl() string { return strings.Join(c.words("curl"), next) }

// words are the parts of a command that no line should be broken in.
func (c call) words(program string) []string {
	words := []string{program + " " + quote(c.address)}
	for _, p := range c.params {
		if isPlain(p.Value) {
			words = append(words, "-d "+p.Name+"="+p.Value)
		} else {
			words = append(words, "--data-urlencode "+quote(p.Name+"="+p.Value))
		}
	}
	return words
}

// next continues a command on another line.
const next = " \\\n  "

// fill joins the words of a command so that its lines, the first of which begins
// at a column, end before width where they can.
func fill(words []string, column, width int) string {
	text := words[0]
	column += len(words[0])
	for _, word := range words[1:] {
		if column+1+len(word)+2 <= width {
			text, column = text+" "+word, column+1+len(word)
		} else {
			text, column = text+next+word, 2+len(word)
		}
	}
	return text
}

// isPlain reports whether a value stands for itself in a shell and in a form.
func isPlain(value string) bool {
	return value != "" && !strings.ContainsFunc(value, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~:/", r))
	})
}

// quote makes one word of a text for a POSIX shell.
func quote(text string) string {
	if isPlain(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
