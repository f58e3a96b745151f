package login

import (
	"crypto/rand"
	"strings"
)

// recoveryCodes is how many recovery codes a user gets at once.
const recoveryCodes = 10

// recoveryAlphabet has 32 characters of which none is taken for another: no I, L, O or U,
// as Crockford's base 32 has it.
const recoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// recoverySize is how many characters a recovery code has: 50 random bits. Guessing at the
// page is bounded by the limiter. Who reads the database has HMACs under a key that lies
// there sealed with the master key, so there is nothing to try guesses on: that is what
// lets a code be short enough to be written down and typed, without a slow hash for it.
const recoverySize = 10

// newRecoveryCodes makes a set of codes as they are stored, without the dash of their
// spelling.
func newRecoveryCodes() []string {
	raw := make([]byte, recoveryCodes*recoverySize)
	rand.Read(raw)
	codes := make([]string, recoveryCodes)
	for i := range codes {
		code := raw[i*recoverySize : (i+1)*recoverySize]
		for k, b := range code {
			code[k] = recoveryAlphabet[b%byte(len(recoveryAlphabet))] // 256 is a multiple of 32
		}
		codes[i] = string(code)
	}
	return codes
}

// spellRecoveryCode writes a code in two groups, as people read it.
func spellRecoveryCode(code string) string {
	return code[:recoverySize/2] + "-" + code[recoverySize/2:]
}

// readRecoveryCode takes any spelling of a code: groups or none, small letters, and the
// letters that stand for digits. It is "" for what cannot be one.
func readRecoveryCode(text string) string {
	var code strings.Builder
	for _, c := range strings.ToUpper(text) {
		switch {
		case c == '-' || c == ' ':
			continue
		case c == 'O':
			c = '0'
		case c == 'I' || c == 'L':
			c = '1'
		}
		if !strings.ContainsRune(recoveryAlphabet, c) || code.Len() == recoverySize {
			return ""
		}
		code.WriteRune(c)
	}
	if code.Len() != recoverySize {
		return ""
	}
	return code.String()
}

// isCode reports whether a text has the form of a code of an authenticator app, spaces
// aside, and returns it without them.
func isCode(text string) (code string, ok bool) {
	code = strings.Join(strings.Fields(text), "")
	return code, len(code) == totpDigits && strings.Trim(code, "0123456789") == ""
}
