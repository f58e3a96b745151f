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

// CommonPasswords is the filter that the server carries, MaxCommon how many one may hold.
var CommonPasswords = commonPasswords

// MaxCommon is how many skeletons a filter may hold.
const MaxCommon = maxCommon

// InFilter looks a password up in a filter, as it is.
func InFilter(filter, password string) bool {
	return inFilter(filter, filterValue(skeleton(foldPassword(password)))) || inFilter(filter, filterValue(skeleton(second(core(foldPassword(password))))))
}

func second(_, b, _ []rune) []rune { return b }

// NewID makes the id of a session, and SignInOf tells which sign-in it names.
var (
	NewID    = newID
	SignInOf = signInOf
)
