package login

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/store"
)

// passkeyAlgorithms are the signatures that a new passkey may make, the ones we would
// rather have first.
var passkeyAlgorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// maxPublicKey bounds a COSE_Key, in bytes: an RSA key of 8192 bits fits.
const maxPublicKey = 1100

// party is the library, set up for this server. It is asked to check, never to keep the
// time: challenges carry their end.
func (p *Passkeys) party() (*webauthn.WebAuthn, error) {
	return webauthn.New(&webauthn.Config{
		RPID: p.RPID, RPDisplayName: p.Name, RPOrigins: []string{p.Origin},
		// Password managers send results of extensions that nobody asked for, and nothing
		// here relies on any.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// parseAssertion reads what a browser posts of a passkey that was used. Whatever is wrong
// with it is ErrPasskey.
func parseAssertion(answer string) (*protocol.ParsedCredentialAssertionData, error) {
	if len(answer) > maxAnswer {
		return nil, refusedPasskey(fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return nil, refusedPasskey(err)
	}
	return parsed, nil
}

// parseAttestation reads what a browser posts of a passkey that was made.
func parseAttestation(answer string) (*protocol.ParsedCredentialCreationData, error) {
	if len(answer) > maxAnswer {
		return nil, refusedPasskey(fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return nil, refusedPasskey(err)
	}
	return parsed, nil
}

// A passkeyUser is somebody with one passkey, as the library wants to see them.
type passkeyUser struct {
	id          []byte
	name        string
	credentials []webauthn.Credential
}

// WebAuthnID implements webauthn.User.
func (u passkeyUser) WebAuthnID() []byte { return u.id }

// WebAuthnName implements webauthn.User.
func (u passkeyUser) WebAuthnName() string { return u.name }

// WebAuthnDisplayName implements webauthn.User.
func (u passkeyUser) WebAuthnDisplayName() string { return u.name }

// WebAuthnCredentials implements webauthn.User.
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

// UserHandle is what an authenticator knows a user by, WebAuthn Section 5.4.3: the
// subject, which is random, tells nothing about the person, and is never given to another.
// A handle of its own would be one more thing to keep that says the same.
func UserHandle(userID string) []byte { return []byte(userID) }

// verifyAssertion checks what a passkey has signed, WebAuthn Section 7.2 steps 5 to 21 and
// 23 to 25, and returns the passkey as it is after this use. Its count and its flags are
// the authenticator's word; the store compares the count (step 22).
func (p *Passkeys) verifyAssertion(k *store.Passkey, parsed *protocol.ParsedCredentialAssertionData, verification protocol.UserVerificationRequirement) (*store.Passkey, error) {
	party, err := p.party()
	if err != nil {
		return nil, err
	}
	if verification == protocol.VerificationRequired && len(parsed.Response.UserHandle) == 0 {
		return nil, errors.New("the authenticator does not say whose passkey it is")
	}
	credential, err := credentialOf(k)
	if err != nil {
		return nil, err
	}
	checked, err := party.ValidateLogin(
		passkeyUser{id: UserHandle(k.UserID), credentials: []webauthn.Credential{credential}},
		webauthn.SessionData{Challenge: parsed.Response.CollectedClientData.Challenge, RelyingPartyID: p.RPID, UserID: UserHandle(k.UserID), UserVerification: verification},
		parsed)
	if err != nil {
		return nil, err
	}
	used := *k
	used.SignCount, used.Flags = int64(parsed.Response.AuthenticatorData.Counter), int64(checked.Flags.ProtocolValue())
	return &used, nil
}

// credentialOf is a passkey as the library wants to see it: with all of its flags.
func credentialOf(k *store.Passkey) (c webauthn.Credential, err error) {
	if c.ID, err = base64.RawURLEncoding.DecodeString(k.ID); err == nil {
		c.PublicKey, err = base64.RawURLEncoding.DecodeString(k.PublicKey)
	}
	if err != nil || k.SignCount < 0 || k.SignCount > math.MaxUint32 || k.Flags < 0 || k.Flags > math.MaxUint8 {
		return c, errors.New("the passkey is damaged in the database")
	}
	c.Flags = webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(k.Flags))
	c.Authenticator.SignCount = uint32(k.SignCount)
	return c, nil
}

// verifyAttestation checks a passkey that was made for a user, WebAuthn Section 7.1. No
// attestation is asked for, and none is believed: of who made the authenticator nothing
// here depends, and so no certificate of a stranger is ever parsed.
func (p *Passkeys) verifyAttestation(user *store.User, parsed *protocol.ParsedCredentialCreationData) (*store.Passkey, error) {
	party, err := p.party()
	if err != nil {
		return nil, err
	}
	object := &parsed.Response.AttestationObject
	object.Format, object.AttStatement, object.SubStatements = string(protocol.AttestationFormatNone), nil, nil
	made, err := party.CreateCredential(
		passkeyUser{id: UserHandle(user.ID), name: user.Username},
		webauthn.SessionData{Challenge: parsed.Response.CollectedClientData.Challenge, RelyingPartyID: p.RPID, UserID: UserHandle(user.ID),
			UserVerification: protocol.VerificationRequired, CredParams: passkeyAlgorithms},
		parsed)
	if err != nil {
		return nil, err
	}
	if len(made.PublicKey) > maxPublicKey {
		return nil, fmt.Errorf("the public key has more than %d bytes", maxPublicKey)
	}
	if _, err := webauthncose.ParsePublicKey(made.PublicKey); err != nil {
		return nil, err
	}
	aaguid, err := uuid.FromBytes(made.Authenticator.AAGUID)
	if err != nil {
		return nil, err
	}
	return &store.Passkey{
		ID: base64.RawURLEncoding.EncodeToString(made.ID), UserID: user.ID, PublicKey: base64.RawURLEncoding.EncodeToString(made.PublicKey),
		SignCount: int64(made.Authenticator.SignCount), Flags: int64(made.Flags.ProtocolValue()), Attachment: string(made.Authenticator.Attachment),
		Transports: transports(made.Transport), AAGUID: aaguid.String(), Name: providers[aaguid.String()],
	}, nil
}

// transports keeps the ways to reach an authenticator that are known by name, WebAuthn
// Section 5.8.4, so that nothing else of what a browser sends is kept.
func transports(sent []protocol.AuthenticatorTransport) string {
	var known []string
	for _, t := range []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal} {
		for _, s := range sent {
			if s == t {
				known = append(known, string(t))
				break
			}
		}
	}
	return strings.Join(known, " ")
}
