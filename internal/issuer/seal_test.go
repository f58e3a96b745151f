package issuer_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
)

// What is sealed for one purpose opens for no other, and every text of it is
// another one (design.md Section 4).
func TestSealPurposes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	purposes := []string{issuer.PurposeAccessToken, issuer.PurposeRequest, issuer.PurposeForm, issuer.PurposeDevice, issuer.PurposeRefreshToken}
	for _, purpose := range purposes {
		sealed, err := h.Ring.Seal(purpose, []byte("content"))
		must(t, err)
		again, err := h.Ring.Seal(purpose, []byte("content"))
		must(t, err)
		if sealed == again {
			t.Errorf("%s: the same text twice", purpose)
		}
		for _, other := range purposes {
			plain, err := h.Ring.Open(other, sealed)
			if (err == nil) != (other == purpose) || err == nil && string(plain) != "content" {
				t.Errorf("sealed for %s, opened for %s: %q, %v", purpose, other, plain, err)
			}
		}
		if strings.Contains(sealed, base64.RawURLEncoding.EncodeToString([]byte("content"))) {
			t.Errorf("%s: the content can be read", purpose)
		}
	}
	for _, purpose := range []string{issuer.PurposeES256, "nothing", ""} {
		if sealed, err := h.Ring.Open(purpose, "AQAAAAAAAAAA"); err == nil {
			t.Errorf("opened for %q: %q", purpose, sealed)
		}
	}
	// A token is no sealed request, nor the other way round.
	token := strings.TrimPrefix(h.mint(t, "opaque"), "hat_")
	if _, err := h.Ring.Open(issuer.PurposeRequest, token); err == nil {
		t.Error("an access token passes for a sealed request")
	}
	request, err := h.Ring.Seal(issuer.PurposeRequest, []byte(`{"iss":"https://id.example","exp":9999999999}`))
	must(t, err)
	if _, err := h.ReadAccessToken("hat_" + request); err == nil {
		t.Error("a sealed request passes for an access token")
	}
}

// A sealed text has one spelling: bits of its last letter that stand for nothing
// are not ignored.
func TestSealOneSpelling(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for size := range 6 {
		sealed, err := h.Ring.Seal(issuer.PurposeRequest, make([]byte, size))
		must(t, err)
		if other := strays(sealed); other != sealed {
			if _, err := h.Ring.Open(issuer.PurposeRequest, other); err == nil {
				t.Errorf("%d bytes: %q opens, and so does %q", size, sealed, other)
			}
		}
	}
}

// A tag is right for its purpose and text alone, and stays right when the key is
// rotated.
func TestTag(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	purposes, texts := []string{issuer.PurposeForm, issuer.PurposeDevice}, []string{"", "a", "b"}
	for _, purpose := range purposes {
		for _, text := range texts {
			tag, err := h.Ring.Tag(purpose, text)
			must(t, err)
			for _, otherPurpose := range purposes {
				for _, other := range texts {
					if got, want := h.Ring.CheckTag(otherPurpose, tag, other), otherPurpose == purpose && other == text; got != want {
						t.Errorf("tag of %s %q for %s %q: %t", purpose, text, otherPurpose, other, got)
					}
				}
			}
		}
	}
	tag, err := h.Ring.Tag(issuer.PurposeForm, "a")
	must(t, err)
	_, err = h.Ring.Rotate(t.Context(), issuer.PurposeForm, by)
	must(t, err)
	h.now = h.now.Add(time.Hour)
	if again, err := h.Ring.Tag(issuer.PurposeForm, "a"); err != nil || again == tag || !h.Ring.CheckTag(issuer.PurposeForm, tag, "a") {
		t.Errorf("after a rotation: %q is right %t, new tag %q, %v", tag, h.Ring.CheckTag(issuer.PurposeForm, tag, "a"), again, err)
	}
	if h.Ring.CheckTag(issuer.PurposeForm, "", "a") || h.Ring.CheckTag(issuer.PurposeForm, tag+"A", "a") {
		t.Error("what is no tag is right")
	}
}

// A client secret is right or wrong; whatever stands in the database, a wrong one
// never becomes right (CA-07).
func TestCheckSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	hash := hashSecret(t, h)
	if strings.Contains(hash, "secret") || hash == hashSecret(t, newHouse(t)) {
		t.Errorf("the hash %q is not keyed", hash)
	}
	id, tag, _ := strings.Cut(hash, ".")
	for name, tt := range map[string]struct {
		stored, secret string
		want           bool
	}{
		"right":            {hash, "a secret", true},
		"wrong":            {hash, "a secret ", false},
		"empty":            {hash, "", false},
		"no hash":          {"", "a secret", false},
		"no hash, empty":   {"", "", false},
		"no tag":           {id + ".", "", false},
		"no key id":        {"." + tag, "a secret", false},
		"unknown key":      {"AAAAAAAA." + tag, "a secret", false},
		"cut":              {hash[:len(hash)-1], "a secret", false},
		"key of a purpose": {h.newest(t, issuer.PurposeForm).ID + "." + tag, "a secret", false},
		"no base64":        {id + ".!", "a secret", false},
	} {
		if got := h.Ring.CheckSecret(tt.stored, tt.secret); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

// mutants are texts near a genuine one, each of which differs from it.
func mutants(genuine, text string, at int, change byte) []string {
	at = max(0, at) % len(genuine)
	all := []string{
		text,
		genuine[:at] + string([]byte{genuine[at] ^ change}) + genuine[at+1:],
		genuine[:at] + string([]byte{change}) + genuine[at:],
		genuine[:at] + genuine[at+1:],
		genuine[:at] + text + genuine[at:],
		genuine[:at] + text,
		text + genuine[at:],
		genuine + "\n", genuine + "=", " " + genuine,
	}
	var different []string
	for _, m := range all {
		if m != genuine {
			different = append(different, m)
		}
	}
	return different
}

// Of a sealed text exactly the one that was given out opens, and it opens to what
// was sealed.
func FuzzOpen(f *testing.F) {
	h := newHouse(f)
	f.Add([]byte("content"), "", 0, byte(1))
	f.Add([]byte(""), "AQ", 30, byte('\n'))
	f.Add([]byte{0, 255}, "A", 1000, byte(32))
	f.Fuzz(func(t *testing.T, plain []byte, text string, at int, change byte) {
		sealed, err := h.Ring.Seal(issuer.PurposeRequest, plain)
		must(t, err)
		got, err := h.Ring.Open(issuer.PurposeRequest, sealed)
		if err != nil || string(got) != string(plain) {
			t.Fatalf("%q opens as %q, %v", plain, got, err)
		}
		for _, m := range mutants(sealed, text, at, change) {
			if got, err := h.Ring.Open(issuer.PurposeRequest, m); err == nil {
				t.Errorf("%q opens as %q; it is not %q", m, got, sealed)
			}
		}
	})
}
