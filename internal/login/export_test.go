package login

import "github.com/hufu-auth/hufu/internal/store"

// ParsePHC reads a stored hash and writes it again.
func ParsePHC(text string) (again string, memory, time uint32, threads uint8, err error) {
	p, err := parsePHC(text)
	return p.String(), p.memory, p.time, p.threads, err
}

// Nobody is the hash that is checked when there is none.
var Nobody = NewHasher(1, 1).nobody().String()

// VerifyAttestation checks a passkey that was made, whatever challenge it answers.
func VerifyAttestation(p *Passkeys, user *store.User, answer string) (*store.Passkey, error) {
	parsed, err := parseAttestation(answer)
	if err != nil {
		return nil, err
	}
	return p.verifyAttestation(user, parsed)
}
