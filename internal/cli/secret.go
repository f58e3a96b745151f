package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxSecretInput bounds what is read from standard input; no secret and no
// password is as long.
const maxSecretInput = 64 << 10

// secret reads a client secret from standard input when it was asked for, and
// returns "" otherwise.
func (a *app) secret(fromStdin bool) (string, error) {
	if !fromStdin {
		return "", nil
	}
	secret, err := a.readSecret("--secret-stdin")
	if err == nil && secret == "" {
		return "", errors.New("--secret-stdin: standard input is empty")
	}
	return secret, err
}

// readSecret reads standard input to its end and drops one trailing newline, so
// that both a file and the output of echo will do.
func (a *app) readSecret(flag string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxSecretInput+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	if len(text) > maxSecretInput {
		return "", fmt.Errorf("%s: more than %d KiB on standard input", flag, maxSecretInput>>10)
	}
	secret, dropped := strings.CutSuffix(string(text), "\n")
	if dropped {
		secret = strings.TrimSuffix(secret, "\r")
	}
	return secret, nil
}
