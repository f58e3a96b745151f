package oauthtest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A Keychain is where a tab keeps passkeys: the virtual authenticator of the browser,
// WebAuthn Section 11.
type Keychain struct {
	tab *Tab
	id  webauthn.AuthenticatorID
}

// Keychain gives the tab one, built into the device it runs on. Whoever sits there is
// always known for its owner at once.
func (b *Tab) Keychain(t testing.TB) *Keychain {
	t.Helper()
	k := &Keychain{tab: b}
	b.Do(t, webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		k.id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	return k
}

// Keep puts the passkey of another authenticator into the keychain.
func (k *Keychain) Keep(t testing.TB, a *Passkey) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		t.Fatal(err)
	}
	k.tab.Do(t, webauthn.AddCredential(k.id, &webauthn.Credential{
		CredentialID: base64.StdEncoding.EncodeToString(a.ID), IsResidentCredential: true, RpID: a.RPID, UserName: "alice",
		PrivateKey: base64.StdEncoding.EncodeToString(key), UserHandle: base64.StdEncoding.EncodeToString(a.Handle), SignCount: 1,
	}))
}

// Passkeys counts what is in the keychain.
func (k *Keychain) Passkeys(t testing.TB) (n int) {
	t.Helper()
	k.tab.Do(t, chromedp.ActionFunc(func(ctx context.Context) error {
		all, err := webauthn.GetCredentials(k.id).Do(ctx)
		n = len(all)
		return err
	}))
	return n
}

// Owner says whether the keychain knows who sits there for its owner from now on.
func (k *Keychain) Owner(t testing.TB, known bool) {
	t.Helper()
	k.tab.Do(t, webauthn.SetUserVerified(k.id, known))
}

// Present says whether somebody answers the keychain from now on, or lets it wait.
func (k *Keychain) Present(t testing.TB, present bool) {
	t.Helper()
	k.tab.Do(t, webauthn.SetAutomaticPresenceSimulation(k.id, present))
}
