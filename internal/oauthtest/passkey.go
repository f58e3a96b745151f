package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/store"
)

// OnLocalhost lets a server have passkeys, which a host that is an address cannot.
func OnLocalhost(c *config.Config) {
	c.Issuer = strings.Replace(c.Issuer, "://127.0.0.1:", "://localhost:", 1)
}

// Flags of authenticator data, WebAuthn Section 6.1.
const (
	UserPresent    = 1 << 0
	UserVerified   = 1 << 2
	BackupEligible = 1 << 3
	BackupState    = 1 << 4
	attestedData   = 1 << 6
)

// A Passkey is an authenticator that holds one. It answers challenges with it, together with the
// browser that stands between. Its fields may be set to say what none should.
type Passkey struct {
	RPID   string // that it answers for
	Origin string // of the page that the browser tells of
	ID     []byte
	Key    *ecdsa.PrivateKey
	Handle []byte // of the user
	AAGUID [16]byte
	Count  uint32 // told with the next answer; 0 for one that does not count
	Flags  byte
	// ClientData, when set, changes what the browser collects.
	ClientData func(collected map[string]any)
}

// NewPasskey makes one that has no passkey yet for anybody, and that does everything
// right.
func (s *Server) NewPasskey(t testing.TB) *Passkey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Passkey{RPID: "localhost", Origin: s.Origin, ID: []byte(rand.Text()), Key: key, Flags: UserPresent | UserVerified}
}

// Passkey gives a user the passkey of a new authenticator, as if they had added it, with
// more flags than those that every passkey has.
func (s *Server) Passkey(t testing.TB, u *store.User, flags ...byte) *Passkey {
	t.Helper()
	a := s.NewPasskey(t)
	a.Handle = []byte(u.ID)
	made := a.Flags | attestedData
	for _, f := range flags {
		made |= f
	}
	p := &store.Passkey{
		ID: base64.RawURLEncoding.EncodeToString(a.ID), UserID: u.ID, PublicKey: base64.RawURLEncoding.EncodeToString(a.publicKey()),
		Flags: int64(made), Name: "Key", CreatedAt: s.Clock.Now(),
	}
	challenge := store.Challenge{Text: rand.Text(), ExpiresAt: s.Clock.Now()}
	if err := s.Store.AddPasskey(t.Context(), p, challenge, operator); err != nil {
		t.Fatal(err)
	}
	return a
}

// publicKey is the COSE_Key: EC2, ES256, P-256, x, y (RFC 9053 Section 7.1.1).
func (a *Passkey) publicKey() []byte {
	point, err := a.Key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	return slices.Concat([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}, point[1:33], []byte{0x22, 0x58, 32}, point[33:65])
}

// Create makes the passkey that a page asks for, and returns what the page posts.
func (a *Passkey) Create(t testing.TB, options []byte) string {
	t.Helper()
	var asked struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	read(t, options, &asked)
	handle, err := base64.RawURLEncoding.DecodeString(asked.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	a.Handle = handle
	data := slices.Concat(a.data(a.Flags|attestedData), a.AAGUID[:], binary.BigEndian.AppendUint16(nil, uint16(len(a.ID))), a.ID, a.publicKey())
	object := slices.Concat([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"), binary.BigEndian.AppendUint16(nil, uint16(len(data))), data)
	return a.posted(t, map[string]any{
		"clientDataJSON": a.collected(t, "webauthn.create", asked.Challenge), "attestationObject": object, "transports": []string{"internal"},
	})
}

// Get answers the challenge of a page, and returns what the page posts.
func (a *Passkey) Get(t testing.TB, options []byte) string {
	t.Helper()
	var asked struct {
		Challenge string `json:"challenge"`
	}
	read(t, options, &asked)
	collected, data := a.collected(t, "webauthn.get", asked.Challenge), a.data(a.Flags)
	hash := sha256.Sum256(collected)
	digest := sha256.Sum256(slices.Concat(data, hash[:]))
	signature, err := ecdsa.SignASN1(rand.Reader, a.Key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return a.posted(t, map[string]any{"clientDataJSON": collected, "authenticatorData": data, "signature": signature, "userHandle": a.Handle})
}

// data is the authenticator data up to what is attested.
func (a *Passkey) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Count)
}

// collected is the client data, WebAuthn Section 5.8.1.
func (a *Passkey) collected(t testing.TB, kind, challenge string) []byte {
	t.Helper()
	data := map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false}
	if a.ClientData != nil {
		a.ClientData(data)
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (a *Passkey) posted(t testing.TB, response map[string]any) string {
	t.Helper()
	for name, value := range response {
		if b, ok := value.([]byte); ok {
			response[name] = base64.RawURLEncoding.EncodeToString(b)
		}
	}
	id := base64.RawURLEncoding.EncodeToString(a.ID)
	text, err := json.Marshal(map[string]any{"id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform", "response": response})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func read(t testing.TB, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
