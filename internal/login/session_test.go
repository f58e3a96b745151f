package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/login"
)

// The id of a session names the sign-in that it began with, whatever follows, and fits into
// what every release reads of it. One of an older release is called what that one called
// it, so that a request goes on between the two as within one of them (AZ-04, RE-02).
func TestSessionID(t *testing.T) {
	t.Parallel()
	const signIn = "0123456789abcdef"
	id, other := login.NewID(signIn), login.NewID(signIn)
	if id == other || len(id) > 64 || login.SignInOf(id) != signIn || login.SignInOf(other) != signIn {
		t.Errorf("%q and %q name %q and %q", id, other, login.SignInOf(id), login.SignInOf(other))
	}
	older := strings.Repeat("o", 43)
	sum := sha256.Sum256([]byte("mark " + older))
	if got, want := login.SignInOf(older), base64.RawURLEncoding.EncodeToString(sum[:])[:16]; got != want {
		t.Errorf("an older id names %q, want %q", got, want)
	}
	if again := login.NewID(login.SignInOf(older)); login.SignInOf(again) != login.SignInOf(older) {
		t.Errorf("it goes on as %q", again)
	}
	for _, odd := range []string{"", ".", "..", strings.Repeat("a", 40) + "." + "b"} {
		if got := login.SignInOf(odd); len(got) > 16 {
			t.Errorf("%q names %q", odd, got)
		}
	}
}
