package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // as an HMAC it is sound, and every authenticator app knows no other
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What authenticator apps agree about, RFC 6238 Section 4 with the values of Section 1.2
// of RFC 4226: codes of six digits under HMAC-SHA-1, a new one every 30 seconds. Many
// apps ignore whatever else an address asks for.
const (
	totpDigits = 6
	totpPeriod = 30 * time.Second
	totpSecret = 20 // bytes, RFC 4226 Section 4 (R6)
	// totpWindow is how many steps before and behind the present one are taken: clocks
	// differ, and people take their time (RFC 6238 Section 5.2).
	totpWindow = 1
)

// newTOTPSecret makes the secret that an app and the server share.
func newTOTPSecret() []byte {
	secret := make([]byte, totpSecret)
	rand.Read(secret)
	return secret
}

// totpStep is the number of a time step, RFC 6238 Section 4.2.
func totpStep(at time.Time) int64 { return at.Unix() / int64(totpPeriod/time.Second) }

// totpCode is the code of a step, RFC 4226 Section 5.3.
func totpCode(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // the clock is behind 1970
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, number%1_000_000)
}

// matchTOTP finds the step within the window whose code this is, the latest if there are
// two. It takes the same time whether there is one or not.
func matchTOTP(secret []byte, code string, at time.Time) (step int64, ok bool) {
	now := totpStep(at)
	for s := now - totpWindow; s <= now+totpWindow; s++ {
		if subtle.ConstantTimeCompare([]byte(totpCode(secret, s)), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// base32Text is a secret as people type it into an app that cannot see the picture.
func base32Text(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// totpURI is the address that the picture holds, in the form that apps have agreed on
// (Key URI Format of Google Authenticator). site and username name the entry in the app.
// Algorithm, digits and period are what apps take when nothing is said, and not to say so
// keeps the picture coarse.
func totpURI(site, username string, secret []byte) string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	site = strings.ReplaceAll(site, ":", " ") // which would end the name of the site
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s", escape(site), escape(username), base32Text(secret), escape(site))
}
