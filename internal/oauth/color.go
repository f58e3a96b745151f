package oauth

import (
	"encoding/hex"
	"strings"
)

// ParseColor reads a colour as CSS writes it with six digits: #0e6b58.
func ParseColor(text string) (rgb [3]uint8, ok bool) {
	digits, hash := strings.CutPrefix(text, "#")
	if !hash || len(digits) != 6 {
		return rgb, false
	}
	_, err := hex.Decode(rgb[:], []byte(digits))
	return rgb, err == nil
}
