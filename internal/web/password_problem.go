package web

// A PasswordProblem says why a password may not be set. The catalogues have a sentence
// for each under password.problem.NAME.
type PasswordProblem string

// What can be wrong with a password.
const (
	PasswordShort    PasswordProblem = "short"    // fewer than 10 characters
	PasswordLong     PasswordProblem = "long"     // more than 1 KiB
	PasswordOwn      PasswordProblem = "own"      // made of the person's own names, or of the site's
	PasswordRepeated PasswordProblem = "repeated" // one character or a short pattern over and over
	PasswordSequence PasswordProblem = "sequence" // keys in a row, a count, a date
	PasswordCommon   PasswordProblem = "common"   // one that many people have
	PasswordBreached PasswordProblem = "breached" // in the operator's list
)

var passwordProblems = []PasswordProblem{PasswordShort, PasswordLong, PasswordOwn, PasswordRepeated, PasswordSequence, PasswordCommon, PasswordBreached}

// Key is where the catalogues say it, for a template.
func (p PasswordProblem) Key() string { return "password.problem." + string(p) }
