package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Passkeys adds passkeys to accounts and takes them as proof of who somebody is, Web
// Authentication Level 3. The library that checks what authenticators say is known here
// alone. It keeps nothing between the two halves of a ceremony: the challenge itself is
// sealed text of ours and comes back inside of what was signed.
type Passkeys struct {
	Store *store.Store
	Now   func() time.Time
	Log   *slog.Logger
	// RPID is the relying party identifier, the host of the issuer, and Origin where its
	// pages are.
	RPID, Origin string
	Name         string // of the server, for what the authenticator shows
	// TolerateCount lets somebody in whose passkey counts its uses and is behind; it is
	// told of either way.
	TolerateCount bool
	// Seal and Open protect challenges.
	Seal func(plain []byte) (string, error)
	Open func(sealed string) ([]byte, error)
}

// ErrPasskey is the one refusal of a passkey that somebody wants to sign in with: unknown,
// removed, a disabled user's, not rightly signed, or for another page than ours.
var ErrPasskey = errors.New("login: the passkey was not accepted")

// ErrPasskeyLate is returned for an answer to a challenge that has expired.
var ErrPasskeyLate = errors.New("login: the challenge was answered too late")

// passkeyAMR are the methods of such a sign-in, RFC 8176 Section 2: a key was proved to be
// there, the authenticator has seen somebody and, by a PIN or by what they are, has known
// them for its owner. Which of the two it was, and whether the key is one of hardware, it
// does not say.
var passkeyAMR = []string{methodKey, methodPresence, methodMFA}

// challengeLifetime is how long a challenge may wait for its answer.
const challengeLifetime = 5 * time.Minute

// maxAnswer bounds what a browser posts of an authenticator, in bytes.
const maxAnswer = 16 << 10

// perPasskey bounds the wrong answers for one passkey from one network, and for all that
// nobody has from one address. It is apart from the limits on passwords, so that nobody who
// has a passkey is held up by who guesses at those, nor by who makes passkeys up: ids of
// passkeys are random, and no stranger knows one.
var perPasskey = store.Limit{Burst: 60, Interval: time.Second}

// RPID is the relying party identifier for an issuer; "" when it can have none: browsers
// know no passkeys for a host that is an address.
func RPID(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || protocol.ValidateRPID(host) != nil {
		return ""
	}
	return host
}

// A ceremony is what an answer is for. One for another does not count.
type ceremony string

const (
	signInCeremony  ceremony = "sign in"
	addCeremony     ceremony = "add"
	confirmCeremony ceremony = "confirm" // a second step
)

// A sealedChallenge is what a challenge of ours says under its seal, whose nonce makes it
// one that nobody can foresee.
type sealedChallenge struct {
	For     string `json:"f"` // the ceremony, and whom else it belongs to
	Browser string `json:"b"` // mark of the browser that it was given to
	Expires int64  `json:"e"`
}

// boundTo is what a challenge is for: a ceremony, and the user and session it belongs to,
// "" for nobody's.
func (c ceremony) boundTo(whose string) string { return string(c) + " " + whose }

// challenge makes one for a ceremony of a browser.
func (p *Passkeys) challenge(c ceremony, browser, whose string) (string, error) {
	plain, err := json.Marshal(sealedChallenge{c.boundTo(whose), browser, p.Now().Add(challengeLifetime).Unix()})
	if err != nil {
		return "", err
	}
	return p.Seal(plain)
}

// answered opens the challenge that an authenticator has signed, and refuses one that was
// not made for this ceremony in this browser. Whether it was answered before, the store
// decides.
func (p *Passkeys) answered(text string, c ceremony, browser, whose string) (store.Challenge, error) {
	plain, err := p.Open(text)
	if err != nil {
		return store.Challenge{}, refusedPasskey(err)
	}
	var sealed sealedChallenge
	if err := json.Unmarshal(plain, &sealed); err != nil {
		return store.Challenge{}, refusedPasskey(err)
	}
	switch expires := time.Unix(sealed.Expires, 0); {
	case sealed.For != c.boundTo(whose):
		return store.Challenge{}, refusedPasskey(errors.New("the challenge is for something else, or another user's or session's"))
	case browser == "" || sealed.Browser != browser:
		return store.Challenge{}, refusedPasskey(errors.New("the challenge is another browser's"))
	case !p.Now().Before(expires):
		return store.Challenge{}, ErrPasskeyLate
	default:
		return store.Challenge{Text: text, ExpiresAt: expires}, nil
	}
}

// refusedPasskey gives a refusal its reason, for the operator.
func refusedPasskey(cause error) error {
	reason := cause.Error()
	if detailed, ok := errors.AsType[*protocol.Error](cause); ok && detailed.DevInfo != "" {
		reason += ": " + detailed.DevInfo
	}
	if len(reason) > 400 { // some of it is the browser's word
		reason = strings.ToValidUTF8(reason[:400], "")
	}
	return fmt.Errorf("%w: %s", ErrPasskey, reason)
}

// RequestOptions is what a page asks the browser for a passkey with, in the JSON of
// WebAuthn Section 5.5 (PublicKeyCredentialRequestOptionsJSON).
type RequestOptions struct {
	Challenge        string       `json:"challenge"`
	Timeout          int64        `json:"timeout"` // milliseconds
	RPID             string       `json:"rpId"`
	AllowCredentials []Descriptor `json:"allowCredentials"` // none: whichever the person chooses
	UserVerification string       `json:"userVerification"`
}

// A Descriptor names a passkey to a browser, WebAuthn Section 5.8.3.
type Descriptor struct {
	Type       string   `json:"type"`
	ID         string   `json:"id"`
	Transports []string `json:"transports,omitempty"`
}

func describe(passkeys []store.Passkey) []Descriptor {
	all := []Descriptor{}
	for _, p := range passkeys {
		all = append(all, Descriptor{Type: string(protocol.PublicKeyCredentialType), ID: p.ID, Transports: strings.Fields(p.Transports)})
	}
	return all
}

// SignInOptions begins a sign-in in a browser, named by its mark. Nobody is known yet, and
// nothing is written.
func (p *Passkeys) SignInOptions(browser string) (*RequestOptions, error) {
	challenge, err := p.challenge(signInCeremony, browser, "")
	return &RequestOptions{Challenge: challenge, Timeout: challengeLifetime.Milliseconds(), RPID: p.RPID,
		AllowCredentials: []Descriptor{}, UserVerification: string(protocol.VerificationRequired)}, err
}

// SignIn returns the user whose passkey has answered, or ErrPasskey. A flood of wrong
// answers is refused with 429.
func (p *Passkeys) SignIn(ctx context.Context, browser, answer string) (*store.User, error) {
	web.EventOf(ctx).SignIn = web.PasskeySignIn
	parsed, err := parseAssertion(answer)
	if err != nil {
		return nil, err
	}
	challenge, err := p.answered(parsed.Response.CollectedClientData.Challenge, signInCeremony, browser, "")
	if err != nil {
		return nil, err
	}
	return p.judge(ctx, parsed, challenge, "")
}

// ConfirmOptions begins a second step of somebody who is known: one of their passkeys.
func (p *Passkeys) ConfirmOptions(ctx context.Context, browser, userID string) (*RequestOptions, error) {
	passkeys, err := p.Store.Passkeys(ctx, userID)
	if err != nil {
		return nil, err
	}
	challenge, err := p.challenge(confirmCeremony, browser, userID)
	return &RequestOptions{Challenge: challenge, Timeout: challengeLifetime.Milliseconds(), RPID: p.RPID,
		AllowCredentials: describe(passkeys), UserVerification: string(protocol.VerificationPreferred)}, err
}

// Confirm is nil when a passkey of a user has answered, else as SignIn. That its
// authenticator has known the user is not asked for: something else did.
func (p *Passkeys) Confirm(ctx context.Context, browser, userID, answer string) error {
	parsed, err := parseAssertion(answer)
	if err != nil {
		return err
	}
	challenge, err := p.answered(parsed.Response.CollectedClientData.Challenge, confirmCeremony, browser, userID)
	if err != nil {
		return err
	}
	_, err = p.judge(ctx, parsed, challenge, userID)
	return err
}

// counted judges an answer within the bound of a bucket. What was right, or never judged,
// is not counted.
func (p *Passkeys) counted(ctx context.Context, bucket string, judge func() (*store.User, error)) (*store.User, error) {
	wait, err := p.Store.Attempt(ctx, bucket, perPasskey, p.Now())
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		return nil, web.TooManyRequests(wait, errors.New("too many answers of passkeys were not accepted"))
	}
	user, err := judge()
	if !errors.Is(err, ErrPasskey) && !isAway(ctx, err) {
		err = errors.Join(err, p.Store.Forgive(context.WithoutCancel(ctx), bucket, perPasskey))
	}
	return user, err
}

// judge finds the passkey, checks what it has signed, and notes that it was used. owner is
// whose it must be; "" has the passkey say so, and its authenticator know them.
func (p *Passkeys) judge(ctx context.Context, parsed *protocol.ParsedCredentialAssertionData, challenge store.Challenge, owner string) (*store.User, error) {
	address := web.EventOf(ctx).Address
	passkey, err := p.Store.Passkey(ctx, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if errors.Is(err, store.ErrNotFound) {
		return p.counted(ctx, store.Bucket("passkey address", source(address)), func() (*store.User, error) {
			return nil, refusedPasskey(errors.New("nobody in force has this passkey"))
		})
	}
	if err != nil {
		return nil, err
	}
	return p.counted(ctx, store.Bucket("passkey", passkey.ID, web.Network(address)), func() (*store.User, error) {
		return p.check(ctx, passkey, parsed, challenge, owner)
	})
}

// check is judge for a passkey that there is.
func (p *Passkeys) check(ctx context.Context, passkey *store.Passkey, parsed *protocol.ParsedCredentialAssertionData, challenge store.Challenge, owner string) (*store.User, error) {
	verification := protocol.VerificationRequired
	if owner != "" {
		verification = protocol.VerificationPreferred
	}
	if owner != "" && passkey.UserID != owner {
		return nil, refusedPasskey(errors.New("the passkey is another user's"))
	}
	used, err := p.verifyAssertion(passkey, parsed, verification)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	if err := p.use(ctx, used, challenge); err != nil {
		return nil, err
	}
	user, err := p.Store.User(ctx, passkey.UserID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !user.DisabledAt.IsZero() {
		return nil, refusedPasskey(errors.New("the user is no longer in force"))
	}
	return user, err
}

// use notes that a passkey was used, and tells of a count that went back.
func (p *Passkeys) use(ctx context.Context, used *store.Passkey, challenge store.Challenge) error {
	back, err := p.Store.UsePasskey(ctx, store.PasskeyUse{
		ID: used.ID, UserID: used.UserID, Challenge: challenge, SignCount: used.SignCount, Flags: used.Flags, Tolerate: p.TolerateCount, Now: p.Now(),
	}, By(ctx, used.UserID))
	switch {
	case errors.Is(err, store.ErrReplayed):
		return refusedPasskey(errors.New("the challenge was answered before"))
	case errors.Is(err, store.ErrNotFound):
		return refusedPasskey(errors.New("the passkey was removed a moment ago"))
	case err != nil:
		return err
	case back:
		p.Log.Warn("the sign count of a passkey went back: there may be a copy of it", "request_id", web.EventOf(ctx).RequestID,
			"user", used.UserID, "passkey", used.Name, "count", used.SignCount, "tolerated", p.TolerateCount)
		if !p.TolerateCount {
			return refusedPasskey(errors.New("its sign count went back: there may be a copy of it (passkey_sign_count)"))
		}
	}
	return nil
}
