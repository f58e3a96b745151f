package login

import (
	"slices"

	"github.com/hufu-auth/hufu/internal/store"
)

// How sure a sign-in is, as acr tells it (RFC 6711). Each holds what those before it hold.
const (
	ACRPassword = "urn:hufu:acr:password" // a password alone
	ACRMFA      = "urn:hufu:acr:mfa"      // a password and a second factor
	ACRPasskey  = "urn:hufu:acr:passkey"  // a passkey that has verified its user
)

// acrOrder is from the weakest to the strongest.
var acrOrder = []string{ACRPassword, ACRMFA, ACRPasskey}

// ACRValues are those that a sign-in can reach, the weakest first, where there are
// passkeys or none.
func ACRValues(passkeys bool) []string {
	if passkeys {
		return acrOrder
	}
	return acrOrder[:2]
}

// Methods of a sign-in as amr tells them, RFC 8176 Section 2.
const (
	methodPassword = "pwd"
	methodOTP      = "otp" // of an authenticator app, or a recovery code
	methodMFA      = "mfa"
	methodKey      = "pop"  // of a passkey
	methodPresence = "user" // its authenticator has seen somebody
)

// withSecondFactor adds to some methods that of a second factor.
func withSecondFactor(amr []string, method string) []string {
	amr = slices.Clone(amr)
	for _, method := range []string{method, methodMFA} {
		if !slices.Contains(amr, method) {
			amr = append(amr, method)
		}
	}
	return amr
}

// acrOf is the acr of a sign-in by some methods.
func acrOf(amr []string) string {
	if slices.Contains(amr, methodKey) && !slices.Contains(amr, methodPassword) {
		return ACRPasskey // it knew its user, or it would not have been taken
	}
	if slices.Contains(amr, methodMFA) {
		return ACRMFA
	}
	return ACRPassword
}

// Reaches reports whether a sign-in of one acr is as sure as another wants it, or surer.
// An acr that is none of ours reaches nothing, and nothing reaches it.
func Reaches(acr, wanted string) bool {
	is, want := slices.Index(acrOrder, acr), slices.Index(acrOrder, wanted)
	return want >= 0 && is >= want
}

// ToldACR is what a client is told that asked for one of some acr values: the strongest of
// them that the sign-in reaches, which the client can compare with what it asked for; and
// what the sign-in was when it reaches none of them. A weaker value is as true.
func ToldACR(acr string, asked []string) string {
	for _, own := range slices.Backward(acrOrder) {
		if slices.Contains(asked, own) && Reaches(acr, own) {
			return own
		}
	}
	return acr
}

// HasSecondFactor reports whether a session is of somebody who has proved more than a
// password in it.
func HasSecondFactor(session *store.Session) bool { return Reaches(session.ACR, ACRMFA) }
