package login_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
)

var alice = &store.User{ID: "f0000000-0000-4000-8000-000000000001", Username: "alice"}

// The relying party is the host of the issuer, and an address can be none.
func TestRPID(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"https://id.example.com":           "id.example.com",
		"https://id.example.com:8443/auth": "id.example.com",
		"http://localhost:8080":            "localhost",
		"https://intranet":                 "", // no domain to the library
		"http://127.0.0.1:8080":            "",
		"https://192.0.2.1":                "",
		"http://[::1]:8080":                "",
		"https://":                         "",
		"":                                 "",
		"://":                              "",
	} {
		if got := login.RPID(issuer); got != want {
			t.Errorf("RPID(%q) = %q, want %q", issuer, got, want)
		}
	}
}

// What people call a passkey is one line that can be read, and not too long.
func TestPasskeyName(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":                                "",
		" \t\u200b\u00ad ":                "",
		"My phone":                        "My phone",
		"  My \n phone\t":                 "My phone",
		"a\x00b\u202ec\ufeffd":            "a b c d",
		"我的手机":                            "我的手机",
		"👩\u200d💻":                        "👩\u200d💻",
		"\xff\xfe":                        "",
		strings.Repeat("虎", 61):           strings.Repeat("虎", 60),
		strings.Repeat("x", 59) + " y z":  strings.Repeat("x", 59),
		strings.Repeat("x", 200_000):      strings.Repeat("x", 60),
		`"><script>alert(1)</script>`:     `"><script>alert(1)</script>`,
		strings.Repeat("\u0301", 1) + "a": "\u0301a",
	} {
		if got := login.PasskeyName(typed); got != want {
			t.Errorf("PasskeyName(%.40q) = %q, want %q", typed, got, want)
		}
	}
}

func FuzzPasskeyName(f *testing.F) {
	f.Add("My phone")
	f.Add(" a\x00\u202eb ")
	f.Fuzz(func(t *testing.T, typed string) {
		name := login.PasskeyName(typed)
		if !utf8.ValidString(name) || utf8.RuneCountInString(name) > 60 || name != strings.TrimSpace(name) || strings.ContainsFunc(name, unicode.IsControl) {
			t.Errorf("PasskeyName(%q) = %q", typed, name)
		}
		if login.PasskeyName(name) != name {
			t.Errorf("%q becomes %q", name, login.PasskeyName(name))
		}
	})
}

// Answers of the shape in which browsers post them.
const (
	assertion = `{"id":"gB2yGZ0XbSx2p5q9GqWm_rv3w7bXzUGsjRlSCz8b1ZU","rawId":"gB2yGZ0XbSx2p5q9GqWm_rv3w7bXzUGsjRlSCz8b1ZU","type":"public-key","authenticatorAttachment":"platform","response":{` +
		`"clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoiQUFBQSIsIm9yaWdpbiI6Imh0dHA6Ly9sb2NhbGhvc3Q6ODA4MCIsImNyb3NzT3JpZ2luIjpmYWxzZX0",` +
		`"authenticatorData":"SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2MFAAAAAg","signature":"MEUCIQDK","userHandle":"YWxpY2U"}}`
	attestation = `{"id":"AQ","rawId":"AQ","type":"public-key","response":{"clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIiwiY2hhbGxlbmdlIjoiQUFBQUFBQUFBQUFBQUFBQUFBQUFBQSIsIm9yaWdpbiI6Imh0dHA6Ly9sb2NhbGhvc3Q6ODA4MCJ9",` +
		`"attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YViFSZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2NFAAAAAQAAAAAAAAAAAAAAAAAAAAAAAQGlAQIDJiABIVggaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpYiWCBP40Li_hp_m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q","transports":["internal"]}}`
)

// sealer stands in for the keys of a server: what it did not seal it does not open.
func sealer(p *login.Passkeys) *login.Passkeys {
	sealed := map[string][]byte{}
	p.Seal = func(plain []byte) (string, error) {
		text := base64.RawURLEncoding.EncodeToString(append([]byte("sealed "), plain...))
		sealed[text] = plain
		return text, nil
	}
	p.Open = func(text string) ([]byte, error) {
		if plain, ok := sealed[text]; ok {
			return plain, nil
		}
		return nil, errors.New("not ours")
	}
	return p
}

// Whatever a browser posts in place of an answer is refused for what it is before anything
// is asked of the database, and with no panic: there is no challenge in it that was sealed
// here (WA-04).
func FuzzPasskeyAnswer(f *testing.F) {
	f.Add(assertion)
	f.Add(attestation)
	f.Add(`{"id":"AQ","rawId":"AQ","type":"public-key","response":null}`)
	f.Add(strings.Repeat("[", 1000))
	f.Fuzz(func(t *testing.T, answer string) {
		p := sealer(&login.Passkeys{Now: time.Now, RPID: "localhost", Origin: "http://localhost:8080", Name: "Hufu"})
		if _, err := p.SignIn(t.Context(), "browser", answer); !errors.Is(err, login.ErrPasskey) {
			t.Errorf("SignIn(%q): %v", answer, err)
		}
		if _, err := p.Add(t.Context(), login.Adding{User: alice, Browser: "browser"}, answer); !errors.Is(err, login.ErrPasskey) {
			t.Errorf("Add(%q): %v", answer, err)
		}
	})
}

// FuzzVerifyAttestation: whatever is accepted of a new passkey can be kept, and is no more
// than the bounds allow (WA-04).
func FuzzVerifyAttestation(f *testing.F) {
	f.Add(attestation)
	f.Fuzz(func(t *testing.T, answer string) {
		p := &login.Passkeys{RPID: "localhost", Origin: "http://localhost:8080", Name: "Hufu"}
		k, err := login.VerifyAttestation(p, alice, answer)
		if err != nil {
			return
		}
		id, err := base64.RawURLEncoding.Strict().DecodeString(k.ID)
		if err != nil || len(id) == 0 || len(id) > 1023 || len(k.PublicKey) > 1500 || len(k.AAGUID) != 36 || k.SignCount < 0 || k.Flags < 0 || k.Flags > 255 {
			t.Errorf("accepted %+v", k)
		}
		var posted struct{ ID string }
		if json.Unmarshal([]byte(answer), &posted) == nil && posted.ID != k.ID {
			t.Errorf("posted as %q, kept as %q", posted.ID, k.ID)
		}
	})
}

// A passkey that was made for this page is kept with what it says of itself.
func TestVerifyAttestation(t *testing.T) {
	t.Parallel()
	p := &login.Passkeys{RPID: "localhost", Origin: "http://localhost:8080", Name: "Hufu"}
	k, err := login.VerifyAttestation(p, alice, attestation)
	if err != nil {
		t.Fatal(err)
	}
	if k.ID != "AQ" || k.UserID != alice.ID || k.SignCount != 1 || k.Flags != 0x45 || k.Transports != "internal" || k.AAGUID != "00000000-0000-0000-0000-000000000000" || k.Name != "" {
		t.Errorf("kept %+v", k)
	}
	other := &login.Passkeys{RPID: "localhost", Origin: "http://localhost:8081", Name: "Hufu"}
	if _, err := login.VerifyAttestation(other, alice, attestation); err == nil {
		t.Error("made for another page, and kept")
	}
}

// An answer that is well made reaches the question who it is from, and one that is not
// says why.
func TestPasskeyAnswer(t *testing.T) {
	t.Parallel()
	p := sealer(&login.Passkeys{Now: time.Now, RPID: "localhost", Origin: "http://localhost:8080", Name: "Hufu"})
	for name, tt := range map[string]struct{ answer, want string }{
		"a challenge of others": {assertion, "not ours"},
		"made, not used":        {attestation, ""},
		"long":                  {assertion + strings.Repeat(" ", 16<<10), "more than 16384 bytes"},
		"no type":               {strings.Replace(assertion, `"public-key"`, `""`, 1), "type"},
		"two ids":               {strings.Replace(assertion, `"rawId":"g`, `"rawId":"h`, 1), "rawId"},
		"reserved":              {`{}`, "ID missing"},
	} {
		if _, err := p.SignIn(t.Context(), "browser", tt.answer); !errors.Is(err, login.ErrPasskey) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := strings.Replace(assertion, `"type":"public-key"`, `"type":"`+strings.Repeat("\u00fc", 4000)+`"`, 1)
	if _, err := p.SignIn(t.Context(), "browser", long); err == nil || len(err.Error()) > 500 {
		t.Errorf("the log gets %d bytes", len(err.Error()))
	}
}
