package login_test

import (
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/login"
)

// What can be an address, and what cannot be one in a header of a mail either.
func TestIsEmail(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]bool{
		"a@b": true, "li.bai+tag@例子.example": true, "o'neil@example.com": true,
		"": false, "a": false, "@b": false, "a@": false, "a@b@c": false, "a b@c": false, "a@b\nc": false, "A <a@b>": false, "a,b@c": false, "a@\xff": false,
		"\"a\"@b": false, "a@[192.0.2.1]": false, "a\u202eb@c": false, strings.Repeat("a", 300) + "@b": false,
	} {
		if got := login.IsEmail(typed); got != want {
			t.Errorf("IsEmail(%q) = %v, want %v", typed, got, want)
		}
	}
}
