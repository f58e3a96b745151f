package login

import (
	"errors"
	"strings"
	"unicode"

	"golang.org/x/text/secure/precis"
)

// maxUsername bounds a user name, in bytes.
const maxUsername = 128

var errNameLength = errors.New("a user name must have 1 to 128 bytes")

// UsernameKey is what all spellings of one user name share, RFC 8265 Section
// 3.3: without case, width and the spaces at its ends.
func UsernameKey(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxUsername {
		return "", errNameLength
	}
	key, err := precis.UsernameCaseMapped.String(name)
	if err != nil {
		return "", errors.New("a user name must be made of letters, digits and punctuation, without spaces")
	}
	if len(key) > maxUsername { // a few letters grow when they are mapped
		return "", errNameLength
	}
	return key, nil
}

// scriptsThatLookAlike are those whose letters can be taken for one another.
var scriptsThatLookAlike = []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee}

// CheckUsername says whether a user may be made under a name: names that mix
// scripts with look-alike letters are refused (RFC 8265 Section 8.4).
func CheckUsername(name string) (key string, err error) {
	if key, err = UsernameKey(name); err != nil {
		return "", err
	}
	scripts := 0
	for _, script := range scriptsThatLookAlike {
		if strings.ContainsFunc(key, func(r rune) bool { return unicode.Is(script, r) }) {
			scripts++
		}
	}
	if scripts > 1 {
		return "", errors.New("a user name must not mix scripts whose letters look alike")
	}
	return key, nil
}
