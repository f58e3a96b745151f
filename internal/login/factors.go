package login

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Sealer encrypts texts with a key of one purpose, and opens them again.
type Sealer struct {
	Seal func(plain []byte) (string, error)
	Open func(sealed string) ([]byte, error)
}

// sealJSON seals a value.
func (s Sealer) sealJSON(v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return s.Seal(plain)
}

// openJSON reads it back.
func (s Sealer) openJSON(sealed string, v any) error {
	plain, err := s.Open(sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// Factors looks after second factors and checks them, for every entrance alike.
type Factors struct {
	Store *store.Store
	Now   func() time.Time
	Site  string // what authenticator apps call this server
	// Secrets seals those of authenticator apps, and Enrolments those of apps that have
	// shown no code yet, which nobody keeps.
	Secrets, Enrolments Sealer
	// Tag is a keyed hash of a text, which is always the same.
	Tag func(text string) (string, error)
}

// What a code is refused for.
var (
	ErrWrongCode = oauth.Because("second_factor", "login: the code is wrong")
	ErrUsedCode  = oauth.Because("second_factor", "login: the code was used before")
)

// perSecondFactor bounds guessing at the codes of one user, whatever the flow, the browser
// or the replica, and however often a sign-in begins anew. Three codes of a million are
// good at a moment, so who knows the password finds one in a day with a chance of one in
// two thousand. A browser that this user has signed in with has a budget of its own: the
// guesser does not keep the owner out. All of those together have one in a thousand.
var perSecondFactor = store.Limit{Burst: 5, Interval: 10 * time.Minute}

// perUserDevices bounds what all browsers together may try that a user has signed in with:
// whoever knew the password before there was a second factor may have made many of them.
var perUserDevices = store.Limit{Burst: 15, Interval: 5 * time.Minute}

// secondFactorBuckets are those that a try is counted against.
func secondFactorBuckets(userID, device string) []bucket {
	if device != "" {
		return []bucket{{store.Bucket("second factor device", userID, device), perSecondFactor}, {store.Bucket("second factor devices", userID), perUserDevices}}
	}
	return []bucket{{store.Bucket("second factor", userID), perSecondFactor}}
}

// Check takes the code of a user's authenticator app, or a recovery code, and returns the
// id of the second factor it came from; "" for a recovery code. device is the id of a
// device known for this very user. What is no code is ErrWrongCode, and not counted; too
// many tries are refused with 429.
func (f *Factors) Check(ctx context.Context, userID, text, device string) (factor string, err error) {
	code, isTOTP := isCode(text)
	recovery := readRecoveryCode(text)
	if !isTOTP && recovery == "" {
		return "", ErrWrongCode
	}
	// Counted before it is judged: of any number at once no more are judged than the
	// limit allows.
	counted, err := f.count(ctx, userID, secondFactorBuckets(userID, device))
	if err != nil {
		return "", err
	}
	if isTOTP {
		factor, err = f.checkTOTP(ctx, userID, code)
	} else {
		err = f.checkRecovery(ctx, userID, recovery)
	}
	if errors.Is(err, ErrWrongCode) || errors.Is(err, ErrUsedCode) {
		return "", errors.Join(err, f.refused(ctx, userID))
	}
	if isAway(ctx, err) {
		return "", err
	}
	return factor, errors.Join(err, f.forgive(ctx, counted)) // right, or never judged
}

// count notes a try in all buckets, or in none when one of them is full.
func (f *Factors) count(ctx context.Context, userID string, buckets []bucket) (counted []bucket, err error) {
	for i, b := range buckets {
		wait, err := f.Store.Attempt(ctx, b.name, b.limit, f.Now())
		switch {
		case err != nil:
			return nil, err
		case wait > 0:
			refusal := web.TooManyRequests(wait, errors.New("too many attempts at one user's second factor"))
			return nil, errors.Join(refusal, f.forgive(ctx, buckets[:i]),
				warn(ctx, f.Store, f.Now(), "second factor "+userID, func() (*store.User, error) { return f.Store.User(ctx, userID) }))
		}
	}
	return buckets, nil
}

// forgive takes a try back.
func (f *Factors) forgive(ctx context.Context, counted []bucket) error {
	for _, b := range counted {
		if err := f.Store.Forgive(context.WithoutCancel(ctx), b.name, b.limit); err != nil {
			return err
		}
	}
	return nil
}

// refused records a wrong code: whoever sent it knows the password, and may be anybody. The
// limiter bounds how many of these there can be.
func (f *Factors) refused(ctx context.Context, userID string) error {
	return f.Store.Record(ctx, store.Event{At: f.Now(), Kind: store.EventSignInFailed, By: By(ctx, ""), UserID: userID, Detail: "second factor"})
}

func (f *Factors) checkTOTP(ctx context.Context, userID, code string) (factor string, err error) {
	app, err := f.Store.AuthenticatorApp(ctx, userID)
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrWrongCode
	}
	if err != nil {
		return "", err
	}
	secret, err := f.Secrets.Open(app.Sealed)
	if err != nil {
		return "", err
	}
	step, ok := matchTOTP(secret, code, f.Now())
	if !ok {
		return "", ErrWrongCode
	}
	if err := f.Store.UseAuthenticatorApp(ctx, userID, app.ID, step, f.Now()); errors.Is(err, store.ErrReplayed) {
		return "", ErrUsedCode
	} else if err != nil {
		return "", err
	}
	return app.ID, nil
}

func (f *Factors) checkRecovery(ctx context.Context, userID, code string) error {
	tag, err := f.recoveryTag(userID, code)
	if err != nil {
		return err
	}
	err = f.Store.UseRecoveryCode(ctx, userID, tag, f.Now(), By(ctx, userID))
	if errors.Is(err, store.ErrNotFound) {
		return ErrWrongCode
	}
	return err
}

// recoveryTag is the stored form of a recovery code: the same code of two users has two.
func (f *Factors) recoveryTag(userID, code string) (string, error) { return f.Tag(userID + " " + code) }

// recoverySet makes new recovery codes: as they are shown, and as they are stored.
func (f *Factors) recoverySet(userID string) (shown, hashes []string, err error) {
	for _, code := range newRecoveryCodes() {
		tag, err := f.recoveryTag(userID, code)
		if err != nil {
			return nil, nil, err
		}
		shown, hashes = append(shown, spellRecoveryCode(code)), append(hashes, tag)
	}
	return shown, hashes, nil
}

// RenewRecoveryCodes makes new codes for a user who has a second factor, and lets the old
// ones die; store.ErrNotFound when they have none, store.ErrNotLive when they have changed
// since they were read. Nobody can read the codes again.
func (f *Factors) RenewRecoveryCodes(ctx context.Context, user *store.User) (codes []string, err error) {
	codes, hashes, err := f.recoverySet(user.ID)
	if err != nil {
		return nil, err
	}
	return codes, f.Store.RenewRecoveryCodes(ctx, user.ID, user.Epoch, hashes, f.Now(), By(ctx, user.ID))
}

// An enrolment is an authenticator app on its way: until it has shown a code, only the
// page that offers it knows the secret, sealed.
type enrolment struct {
	UserID  string `json:"u"`
	Browser string `json:"b"` // mark of the browser that it was offered to
	Secret  []byte `json:"s"`
	At      int64  `json:"t"` // Unix seconds
}

// enrolmentLifetime is how long an app may be offered.
const enrolmentLifetime = time.Hour

// ErrNoEnrolment is for an enrolment that is not ours, not this user's or this browser's,
// or too old.
var ErrNoEnrolment = errors.New("login: no such enrolment, or one that is too old")

// Offer makes an enrolment for a user in a browser; the text travels in the address of the
// page that shows it.
func (f *Factors) Offer(userID, browser string) (sealed string, err error) {
	return f.Enrolments.sealJSON(enrolment{userID, browser, newTOTPSecret(), f.Now().Unix()})
}

// Offered opens it: key is what a person types into an app, and uri what the picture
// holds. ErrNoEnrolment is for what Offer did not make for them.
func (f *Factors) Offered(user *store.User, browser, sealed string) (key, uri string, err error) {
	secret, err := f.openEnrolment(user.ID, browser, sealed)
	if err != nil {
		return "", "", err
	}
	return base32Text(secret), totpURI(f.Site, user.Username, secret), nil
}

func (f *Factors) openEnrolment(userID, browser, sealed string) ([]byte, error) {
	var n enrolment
	err := f.Enrolments.openJSON(sealed, &n)
	at, now := time.Unix(n.At, 0), f.Now()
	if err != nil || n.UserID != userID || n.Browser != browser || now.Sub(at) > enrolmentLifetime || at.Sub(now) > clockSkew {
		return nil, ErrNoEnrolment
	}
	return n.Secret, nil
}

// clockSkew is how far the clocks of two replicas may be apart.
const clockSkew = time.Minute

// Confirm makes an offered app the user's when it shows the right code, and else returns
// ErrWrongCode. The first second factor comes with recovery codes, which nobody can read
// again. store.ErrConflict is for a user who has an app, store.ErrNotLive for one who has
// changed since.
func (f *Factors) Confirm(ctx context.Context, user *store.User, browser, sealed, text string) (factor string, codes []string, err error) {
	secret, err := f.openEnrolment(user.ID, browser, sealed)
	if err != nil {
		return "", nil, err
	}
	code, ok := isCode(text)
	step, match := matchTOTP(secret, code, f.Now())
	if !ok || !match {
		return "", nil, ErrWrongCode
	}
	kept, err := f.Secrets.Seal(secret)
	if err != nil {
		return "", nil, err
	}
	codes, hashes, err := f.recoverySet(user.ID)
	if err != nil {
		return "", nil, err
	}
	app := &store.AuthenticatorApp{ID: randomID()[:22], UserID: user.ID, Sealed: kept, LastStep: step, CreatedAt: f.Now()}
	made, err := f.Store.AddAuthenticatorApp(ctx, app, user.Epoch, hashes, By(ctx, user.ID))
	if err != nil || !made {
		return app.ID, nil, err
	}
	return app.ID, codes, nil
}
