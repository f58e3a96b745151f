package login

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/hufu-auth/hufu/internal/store"
)

// CreationOptions is what a page asks the browser to make a passkey with, in the JSON of
// WebAuthn Section 5.4 (PublicKeyCredentialCreationOptionsJSON).
type CreationOptions struct {
	RP struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"rp"`
	User struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
	} `json:"user"`
	Challenge          string         `json:"challenge"`
	Parameters         []KeyParameter `json:"pubKeyCredParams"`
	Timeout            int64          `json:"timeout"`            // milliseconds
	ExcludeCredentials []Descriptor   `json:"excludeCredentials"` // an authenticator holds one of an account
	Selection          struct {
		ResidentKey        string `json:"residentKey"`
		RequireResidentKey bool   `json:"requireResidentKey"`
		UserVerification   string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
}

// A KeyParameter is a kind of key that a passkey may be, WebAuthn Section 5.3.
type KeyParameter struct {
	Type      string `json:"type"`
	Algorithm int64  `json:"alg"` // of COSE
}

// An Adding is who adds a passkey: a user, in a session that began a short while ago, in a
// browser named by its mark.
type Adding struct {
	User    *store.User
	Session string // sid
	Epoch   int64  // of the user, that the session is under
	Browser string
	Device  string // what to call a passkey of the device it is made on, when its authenticator is not known by name
}

// RoamingAuthenticator is the attachment of one that is no part of a device, WebAuthn
// Section 5.4.5.
const RoamingAuthenticator = string(protocol.CrossPlatform)

// whose is whom a challenge to add belongs to.
func (a Adding) whose() string { return a.User.ID + " " + a.Session }

// AddOptions begins the making of a passkey. It must be one that is found without a user
// name and whose authenticator knows its owner, so that it is enough to sign in with.
func (p *Passkeys) AddOptions(ctx context.Context, a Adding) (*CreationOptions, error) {
	passkeys, err := p.Store.Passkeys(ctx, a.User.ID)
	if err != nil {
		return nil, err
	}
	o := &CreationOptions{Timeout: challengeLifetime.Milliseconds(), ExcludeCredentials: describe(passkeys), Attestation: string(protocol.PreferNoAttestation)}
	for _, a := range passkeyAlgorithms {
		o.Parameters = append(o.Parameters, KeyParameter{string(a.Type), int64(a.Algorithm)})
	}
	o.RP.ID, o.RP.Name = p.RPID, p.Name
	o.User.ID = base64.RawURLEncoding.EncodeToString(UserHandle(a.User.ID))
	o.User.Name, o.User.DisplayName = a.User.Username, a.User.Username
	o.Selection.ResidentKey, o.Selection.RequireResidentKey = string(protocol.ResidentKeyRequirementRequired), true
	o.Selection.UserVerification = string(protocol.VerificationRequired)
	o.Challenge, err = p.challenge(addCeremony, a.Browser, a.whose())
	return o, err
}

// Add keeps the passkey that an authenticator has made, and records who did it. Besides
// ErrPasskey and ErrPasskeyLate it is store.ErrConflict when somebody has this passkey
// already, and store.ErrTooMany when the user has as many as may be.
func (p *Passkeys) Add(ctx context.Context, a Adding, answer string) (*store.Passkey, error) {
	parsed, err := parseAttestation(answer)
	if err != nil {
		return nil, err
	}
	challenge, err := p.answered(parsed.Response.CollectedClientData.Challenge, addCeremony, a.Browser, a.whose())
	if err != nil {
		return nil, err
	}
	challenge.UserEpoch = a.Epoch
	passkey, err := p.verifyAttestation(a.User, parsed)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	passkey.CreatedAt = p.Now()
	if passkey.Name == "" && passkey.Attachment != RoamingAuthenticator {
		passkey.Name = PasskeyName(a.Device)
	}
	err = p.Store.AddPasskey(ctx, passkey, challenge, By(ctx, a.User.ID))
	if errors.Is(err, store.ErrReplayed) {
		return nil, refusedPasskey(errors.New("the challenge was answered before"))
	}
	return passkey, err
}

// maxPasskeyName bounds what somebody calls a passkey, in characters.
const maxPasskeyName = 60

// PasskeyName makes a name of what somebody typed: one line, without what cannot be seen.
// It is "" when nothing is left, and cut when it is too long.
func PasskeyName(typed string) string {
	name := strings.Join(strings.FieldsFunc(typed, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || r == utf8.RuneError
	}), " ")
	if runes := []rune(name); len(runes) > maxPasskeyName {
		name = strings.TrimSpace(string(runes[:maxPasskeyName]))
	}
	return name
}

// providers names a few of those who keep most people's passkeys by the AAGUID of their
// authenticators, WebAuthn Section 6.5.1: a name to begin with, for who has several.
var providers = map[string]string{
	"ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4": "Google Password Manager",
	"adce0002-35bc-c60a-648b-0b25f1f05503": "Chrome",
	"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": "iCloud Keychain",
	"dd4ec289-e01d-41c9-bb89-70fa845d4bf2": "iCloud Keychain",
	"08987058-cadc-4b81-b6e1-30de50dcbe96": "Windows Hello",
	"9ddd1817-af5a-4672-a2b9-3e3dd95000a9": "Windows Hello",
	"6028b017-b1d4-4c02-b4b3-afcdafc96bb2": "Windows Hello",
	"53414d53-554e-4700-0000-000000000000": "Samsung Pass",
	"bada5566-a7aa-401f-bd96-45619a55120d": "1Password",
	"d548826e-79b4-db40-a3d8-11116f7e8349": "Bitwarden",
	"531126d6-e717-415c-9320-3d9aa6981239": "Dashlane",
	"50726f74-6f6e-5061-7373-50726f746f6e": "Proton Pass",
	"fdb141b2-5d84-443e-8a35-4698c205a502": "KeePassXC",
	"0ea242b4-43c4-4a1b-8b17-dd6d0b6baec6": "Keeper",
}
