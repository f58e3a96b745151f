package spec_test

import (
	"testing"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// Whoever types a password with capitals locked is told so, and no longer than that; a
// password manager that fills the field in presses no key.
func TestBrowser_CapsLock(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	alice := s.User(t, "alice")
	link, err := s.Links.Reset(t.Context(), alice, theOperator)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"sign-in": s.URL + "/login", "new password": link.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := oauthtest.NewWindow(t)
			b.Open(t, address)
			press := func(event, wants string) {
				t.Helper()
				b.Eval(t, `void document.getElementById("password").dispatchEvent(`+event+`)`, nil)
				if got := b.Text(t, "#caps-lock"); got != wants || b.Has(t, "#caps-lock") != (wants != "") {
					t.Errorf("after %s the page says %q, want %q", event, got, wants)
				}
			}
			press(`new KeyboardEvent("keydown", {key: "a"})`, "")
			press(`new KeyboardEvent("keydown", {key: "A", modifierCapsLock: true})`, "Caps Lock is on.")
			look(t, b)
			press(`new Event("keydown")`, "Caps Lock is on.")
			press(`new KeyboardEvent("keyup", {key: "CapsLock"})`, "")
			press(`new MouseEvent("mousedown", {modifierCapsLock: true})`, "Caps Lock is on.")
			press(`new FocusEvent("blur")`, "")
		})
	}
}

// Without scripts there is no hint that could never be right.
func TestBrowser_CapsLockWithoutScripts(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	b := oauthtest.NewWindow(t)
	b.Scripts(t, false)
	b.Open(t, s.URL+"/login")
	if b.Has(t, "#caps-lock") {
		t.Error("there is a hint on capitals")
	}
}
