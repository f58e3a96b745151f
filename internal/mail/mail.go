// Package mail writes and sends what the server tells people by mail: one-time links
// and notices about their accounts.
//
// It serves no URL. Its one invariant: nothing leaves over a connection that is not
// encrypted, and nothing that a person called themselves becomes a header, an address
// or markup.
package mail

import (
	"context"
	"time"
)

// A Kind is what a message is about. The kinds of notices are those of the audit events
// they tell of, without "user." in front.
type Kind string

// Messages with a one-time link.
const (
	Reset      Kind = "reset"      // a new password, asked for by whoever knows the name or the address
	Invitation Kind = "invitation" // the first password of a new account
	Verify     Kind = "verify"     // whether an address is the user's
)

// Notices: something has happened to an account.
const (
	NewDevice           Kind = "new_device"
	PasswordChanged     Kind = "password_changed"
	SecondFactorAdded   Kind = "second_factor_added"
	SecondFactorRemoved Kind = "second_factor_removed"
	RecoveryCodesMade   Kind = "recovery_codes_made"
	RecoveryCodeUsed    Kind = "recovery_code_used"
	PasskeyAdded        Kind = "passkey_added"
	PasskeyRemoved      Kind = "passkey_removed"
	EmailChanged        Kind = "email_changed" // told to the old address
)

// links and notices are all kinds that there are.
var (
	links   = []Kind{Reset, Invitation, Verify}
	notices = []Kind{NewDevice, PasswordChanged, SecondFactorAdded, SecondFactorRemoved, RecoveryCodesMade, RecoveryCodeUsed, PasskeyAdded, PasskeyRemoved, EmailChanged}
)

// A Message is what is to be told to somebody. The caller decides what and to whom; how
// it reads is the Writer's.
type Message struct {
	ID       string // stays the same when the message is sent again
	Kind     Kind
	To       string // address
	Language string // "en" or "zh"; "" means the site's own
	Username string
	Link     string // the one-time link, of those that have one
	// The others tell of a notice when and from where it was done; what is not known is
	// left out. Browser and System are names that people know, as "Firefox" and "Windows".
	At              time.Time
	Address         string
	Browser, System string
}

// A Letter is a message in words, ready to be sent.
type Letter struct {
	ID       string
	To       string
	Language string // BCP 47
	Subject  string
	Text     string
	HTML     string
}

// A Sender takes letters. An *Error tells why it did not; any other error is about the
// way to the mail server.
type Sender interface {
	Send(ctx context.Context, l *Letter) error
}

// An Error is the refusal of a letter by a mail server. It names no address, for it is
// written to the log.
type Error struct {
	Step      string // of the conversation: MAIL, RCPT, DATA
	Code      int    // RFC 5321 Section 4.2; 0 when there was no reply
	Permanent bool   // the same letter will never be taken
}
