package spec_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// passkeyOptions are what the sign-in page of a browser asks it for a passkey with.
func passkeyOptions(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser) []byte {
	t.Helper()
	answer := s.Do(t, b.Request(t, s.URL+"/login/passkey"))
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("options: %d %s", answer.StatusCode, answer.Body)
	}
	return answer.Body
}

// signInWith signs in by a passkey on the sign-in page that is open.
func signInWith(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser, a *oauthtest.Passkey) *oauthtest.Answer {
	t.Helper()
	return postPasskey(t, b, a.Get(t, passkeyOptions(t, s, b)))
}

func postPasskey(t *testing.T, b *oauthtest.Browser, answer string) *oauthtest.Answer {
	t.Helper()
	return b.Submit(t, "passkey-form", url.Values{"credential": {answer}})
}

// wantPasskeyRefused fails unless the sign-in page is open again with the one text for
// passkeys, the form for the password on it, and nobody signed in.
func wantPasskeyRefused(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser) {
	t.Helper()
	if b.Page.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(loginError(b.Page), "That passkey can't be used here.") || !b.On("login-form") {
		t.Errorf("%d %s", b.Page.StatusCode, loginError(b.Page))
	}
	if name := signedInAs(t, s, b.Cookies(t)...); name != "" {
		t.Errorf("signed in as %s", name)
	}
}

// Who has a passkey signs in with it in place of name and password: in the flow of a
// client, with `return`, on the page by itself, and over and over. What tokens say of it is
// what happened (MF-05).
func TestPasskey_SignIn(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	p := newRelyingParty(t, s)
	a := s.Passkey(t, p.user)
	b := s.Browser(t)
	b.Open(t, p.address("prompt", "login", "max_age", "60"))
	before := b.Cookies(t)
	signInWith(t, s, b, a)
	if b.On("consent-form") {
		b.Approve(t)
	}
	answer, _ := answerOf(t, b.Location(t))
	_, claims := p.verify(t, p.tokens(t, answer.Get("code")).Text("id_token"))
	if claims["acr"] != "urn:hufu:acr:passkey" || fmt.Sprint(claims["amr"]) != "[pop user mfa]" || claims["sub"] != p.user.ID {
		t.Errorf("ID token %v", claims)
	}
	if slices.ContainsFunc(before, func(c *http.Cookie) bool { return strings.Contains(c.Name, "session") }) {
		t.Error("there was a session before the sign-in")
	}
	first := sessionCookie(t, b)
	b.Open(t, s.URL+"/login?return=/account/security")
	if answer := signInWith(t, s, b, a); answer.Request.URL.Path != "/account/security" {
		t.Errorf("with return: %s", answer.Request.URL.Path)
	}
	if sessionCookie(t, b).Value == first.Value || signedInAs(t, s, first) != "" {
		t.Error("the session before is still good")
	}
	b.Open(t, s.URL+"/login")
	if answer := signInWith(t, s, b, a); answer.Request.URL.Path != "/account" || signedInAs(t, s, b.Cookies(t)...) != "alice" {
		t.Errorf("by itself: %s", answer.Request.URL.Path)
	}
	read, err := s.Store.Passkeys(t.Context(), p.user.ID)
	ok(t, err)
	if len(read) != 1 || read[0].LastUsedAt.IsZero() {
		t.Errorf("its use was not noted: %+v", read)
	}
}

// A challenge is good for one answer, for five minutes, in the browser that asked for it,
// and to sign in (WA-01).
func TestPasskey_Challenge(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	a := s.Passkey(t, s.User(t, "alice"))
	t.Run("answered twice", func(t *testing.T) {
		b, other := stranger(t, s), stranger(t, s)
		answer := a.Get(t, passkeyOptions(t, s, b))
		if postPasskey(t, b, answer); signedInAs(t, s, b.Cookies(t)...) != "alice" {
			t.Fatal("not signed in")
		}
		b.Open(t, s.URL+"/end-session")
		b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		b.Open(t, s.URL+"/login")
		postPasskey(t, b, answer)
		wantPasskeyRefused(t, s, b)
		postPasskey(t, other, answer)
		wantPasskeyRefused(t, s, other)
	})
	t.Run("another browser's", func(t *testing.T) {
		b, other := stranger(t, s), stranger(t, s)
		postPasskey(t, b, a.Get(t, passkeyOptions(t, s, other)))
		wantPasskeyRefused(t, s, b)
	})
	t.Run("made up", func(t *testing.T) {
		b := stranger(t, s)
		for _, challenge := range []string{"", "AAAA", base64.RawURLEncoding.EncodeToString(make([]byte, 120)), cookieNamed(t, b, "hufu_browser")} {
			postPasskey(t, b, a.Get(t, []byte(`{"challenge":"`+challenge+`"}`)))
			wantPasskeyRefused(t, s, b)
		}
	})
	t.Run("of another seal", func(t *testing.T) {
		app := s.App(t)
		b := s.Browser(t)
		b.Open(t, authorizationURL(app, "/authorize"))
		_, form := b.Form(t, "login-form")
		postPasskey(t, b, a.Get(t, []byte(`{"challenge":"`+form.Get("request")+`"}`)))
		wantPasskeyRefused(t, s, b)
	})
	t.Run("too late", func(t *testing.T) {
		b := stranger(t, s)
		answer := a.Get(t, passkeyOptions(t, s, b))
		s.Clock.Advance(5*time.Minute - 2*time.Second)
		fresh := a.Get(t, passkeyOptions(t, s, b))
		if postPasskey(t, b, fresh); signedInAs(t, s, b.Cookies(t)...) != "alice" {
			t.Error("a fresh one is refused")
		}
		s.Clock.Advance(3 * time.Second)
		late := stranger(t, s)
		for _, c := range b.Cookies(t) {
			if c.Name == "hufu_browser" {
				r := formRequest(t, late, s, "passkey-form", url.Values{"credential": {answer}})
				if page := s.Do(t, r); page.StatusCode == http.StatusSeeOther {
					t.Error("an answer after five minutes is taken")
				}
			}
		}
		b.Open(t, s.URL+"/login")
		if page := postPasskey(t, b, answer); page.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(loginError(page), "This page was open for a while.") {
			t.Errorf("%d %s", page.StatusCode, loginError(page))
		}
	})
	t.Run("without a cookie", func(t *testing.T) {
		if answer := s.Get(t, "/login/passkey"); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	})
	// No two are alike.
	b, seen := stranger(t, s), map[string]bool{}
	for range 20 {
		seen[string(passkeyOptions(t, s, b))] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 challenges are different", len(seen))
	}
}

// Of many who post one answer at once, to replicas of one database, one is signed in
// (WA-01).
func TestPasskey_ChallengeRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	a := s.Passkey(t, s.User(t, "alice"))
	for range 4 {
		b := stranger(t, s)
		answer := a.Get(t, passkeyOptions(t, s, b))
		answers := make([]*oauthtest.Answer, 12)
		var wait sync.WaitGroup
		for i := range answers {
			r := formRequest(t, b, s, "passkey-form", url.Values{"credential": {answer}})
			wait.Go(func() { answers[i] = s.Do(t, r) })
		}
		wait.Wait()
		won := 0
		for _, answer := range answers {
			switch answer.StatusCode {
			case http.StatusSeeOther:
				won++
			case http.StatusUnprocessableEntity:
			default:
				t.Errorf("%d %s", answer.StatusCode, loginError(answer))
			}
		}
		if won != 1 {
			t.Errorf("%d are signed in", won)
		}
	}
}

// What an authenticator or a browser says must be about this server, this ceremony and a
// person who was there and known; and the passkey must be this user's (WA-02, WA-03).
func TestPasskey_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice, mallory := s.User(t, "alice"), s.User(t, "mallory")
	disabled, deleted, removed := s.User(t, "disabled"), s.User(t, "deleted"), s.User(t, "removed")
	says := func(name string, value any) func(a *oauthtest.Passkey) {
		return func(a *oauthtest.Passkey) {
			a.ClientData = func(collected map[string]any) { collected[name] = value }
		}
	}
	for name, tt := range map[string]struct {
		of     *store.User
		change func(a *oauthtest.Passkey)
		cause  string // what the log says
	}{
		"another origin":             {alice, func(a *oauthtest.Passkey) { a.Origin = "https://evil.example" }, "origin"},
		"another port":               {alice, func(a *oauthtest.Passkey) { a.Origin = "http://localhost:1" }, "origin"},
		"another scheme":             {alice, func(a *oauthtest.Passkey) { a.Origin = strings.Replace(a.Origin, "http:", "https:", 1) }, "origin"},
		"a host below":               {alice, func(a *oauthtest.Passkey) { a.Origin = strings.Replace(a.Origin, "localhost", "a.localhost", 1) }, "origin"},
		"from a frame of another":    {alice, says("crossOrigin", true), "cross origin"},
		"below another page":         {alice, says("topOrigin", "https://evil.example"), "topOrigin"},
		"another relying party":      {alice, func(a *oauthtest.Passkey) { a.RPID = "evil.example" }, "RP Hash"},
		"made, not used":             {alice, says("type", "webauthn.create"), "ceremony type"},
		"nobody there":               {alice, func(a *oauthtest.Passkey) { a.Flags = oauthtest.UserVerified }, "presence"},
		"nobody verified":            {alice, func(a *oauthtest.Passkey) { a.Flags = oauthtest.UserPresent }, "verification"},
		"another key":                {alice, func(a *oauthtest.Passkey) { a.Key = s.NewPasskey(t).Key }, "signature"},
		"another user's handle":      {alice, func(a *oauthtest.Passkey) { a.Handle = []byte(mallory.ID) }, "handle"},
		"no handle":                  {alice, func(a *oauthtest.Passkey) { a.Handle = nil }, "whose passkey"},
		"another user's passkey":     {mallory, func(a *oauthtest.Passkey) { a.Handle = []byte(alice.ID) }, "handle"},
		"unknown":                    {alice, func(a *oauthtest.Passkey) { a.ID = []byte("no such credential") }, "nobody in force"},
		"no id":                      {alice, func(a *oauthtest.Passkey) { a.ID = nil }, "ID missing"},
		"of somebody disabled":       {disabled, nil, "nobody in force"},
		"of somebody deleted":        {deleted, nil, "nobody in force"},
		"removed":                    {removed, nil, "nobody in force"},
		"a signature of another one": {alice, says("hint", "x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.Passkey(t, tt.of)
			switch tt.of {
			case disabled:
				ok(t, s.Store.DisableUser(t.Context(), disabled.ID, s.Clock.Now(), theOperator))
			case deleted:
				ok(t, s.Store.DeleteUser(t.Context(), deleted.ID, s.Clock.Now(), theOperator))
			case removed:
				ok(t, s.Store.RemovePasskey(t.Context(), removed.ID, removed.Epoch, base64.RawURLEncoding.EncodeToString(a.ID), s.Clock.Now(), theOperator))
			}
			if tt.change != nil {
				tt.change(a)
			}
			b := stranger(t, s)
			answer := a.Get(t, passkeyOptions(t, s, b))
			if tt.cause == "" { // the client data is changed after it was signed
				answer = strings.Replace(answer, `"clientDataJSON":"`, `"clientDataJSON":"IC`, 1)
			}
			postPasskey(t, b, answer)
			wantPasskeyRefused(t, s, b)
			if id := b.Page.Header.Get("X-Request-Id"); !strings.Contains(logLine(t, s, id), tt.cause) {
				t.Errorf("the operator reads: %s", logLine(t, s, id))
			}
		})
	}
}

// Whatever a passkey says of backups when it is used, whether one may be backed up never
// changes, and a backup only exists of one that may be: WebAuthn Section 6.1.3. All flags
// are kept, so those who sign in with either kind go on doing so.
func TestPasskey_BackupFlags(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	u := s.User(t, "alice")
	const none, eligible, state = 0, oauthtest.BackupEligible, oauthtest.BackupState
	for _, made := range []byte{none, eligible, eligible | state} {
		for _, used := range []byte{none, eligible, state, eligible | state} {
			t.Run(fmt.Sprintf("%02x then %02x", made, used), func(t *testing.T) {
				a := s.Passkey(t, u, made)
				a.Flags |= used
				b := stranger(t, s)
				signInWith(t, s, b, a)
				if want := made&eligible == used&eligible && used != state; !want {
					wantPasskeyRefused(t, s, b)
					return
				}
				if signedInAs(t, s, b.Cookies(t)...) != "alice" {
					t.Fatalf("refused: %s", logLine(t, s, b.Page.Header.Get("X-Request-Id")))
				}
				k, err := s.Store.Passkey(t.Context(), base64.RawURLEncoding.EncodeToString(a.ID))
				ok(t, err)
				if k.Flags&int64(eligible|state) != int64(used) {
					t.Errorf("flags %02x are kept", k.Flags)
				}
				b.Open(t, s.URL+"/login")
				if signInWith(t, s, b, a); b.Page.StatusCode != http.StatusOK || b.On("login-form") {
					t.Error("refused the second time")
				}
			})
		}
	}
}

// A passkey that counts its uses and is behind is refused, or let in with a word to the
// operator where that is how they want it (WA-03).
func TestPasskey_SignCount(t *testing.T) {
	t.Parallel()
	for mode, taken := range map[string]bool{config.SignCountRefuse: false, config.SignCountLog: true} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, oauthtest.OnLocalhost, func(c *config.Config) { c.PasskeySignCount = mode })
			u := s.User(t, "alice")
			a := s.Passkey(t, u)
			for i, step := range []struct {
				count uint32
				taken bool
			}{{1, true}, {2, true}, {2, taken}, {1, taken}, {0, taken}, {3, true}, {1 << 31, true}, {4, taken}} {
				a.Count = step.count
				b := stranger(t, s)
				signInWith(t, s, b, a)
				if step.taken != (signedInAs(t, s, b.Cookies(t)...) == "alice") {
					t.Errorf("step %d, %d: %s", i, step.count, loginError(b.Page))
				}
			}
			events, err := s.Store.Events(t.Context(), "", 100)
			ok(t, err)
			told := slices.DeleteFunc(events, func(e store.Event) bool { return e.Kind != store.EventPasskeyCount || e.UserID != u.ID })
			if warned := strings.Count(s.Log.String(), "the sign count of a passkey went back"); len(told) != 4 || warned != 4 {
				t.Errorf("%d in the audit trail, %d in the log", len(told), warned)
			}
		})
	}
}

// Guessing at a password holds nobody up who has a passkey, not even from the guesser's
// own network, nor is a passkey held up that was used a hundred times (LG-04).
func TestPasskey_NotLockedOut(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	a := s.Passkey(t, s.User(t, "alice"))
	attacker := stranger(t, s)
	last := 0
	for range 12 {
		last = tryFrom(t, s, attacker, "", "alice", "wrong horse").StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Fatalf("the account is not locked: %d", last)
	}
	for range 100 {
		b := stranger(t, s)
		if signInWith(t, s, b, a); signedInAs(t, s, b.Cookies(t)...) != "alice" {
			t.Fatalf("%d %s", b.Page.StatusCode, loginError(b.Page))
		}
	}
	// A flood of answers that are wrong has an end of its own, for a second.
	b, stolen := stranger(t, s), s.Passkey(t, theUser(t, s, "alice"))
	stolen.Key = a.Key
	statuses := map[int]int{}
	for range 90 {
		statuses[s.Do(t, formRequest(t, b, s, "passkey-form", url.Values{"credential": {stolen.Get(t, passkeyOptions(t, s, b))}})).StatusCode]++
	}
	if statuses[http.StatusUnprocessableEntity] < 60 || statuses[http.StatusTooManyRequests] == 0 || len(statuses) != 2 {
		t.Errorf("a flood: %v", statuses)
	}
	// Nor does it hold anybody else up, were it with passkeys that there are not.
	made := s.NewPasskey(t)
	made.Handle = []byte("x")
	for range 90 {
		s.Do(t, formRequest(t, b, s, "passkey-form", url.Values{"credential": {made.Get(t, passkeyOptions(t, s, b))}}))
	}
	owner := stranger(t, s)
	if signInWith(t, s, owner, a); signedInAs(t, s, owner.Cookies(t)...) != "alice" {
		t.Errorf("the owner behind the flood: %d %s", owner.Page.StatusCode, loginError(owner.Page))
	}
	// What is no answer to a challenge of ours is not counted, and the password still
	// works.
	if answer := postPasskey(t, b, "{}"); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("nonsense: %d", answer.StatusCode)
	}
	s.Clock.Advance(5 * time.Minute)
	if answer := tryFrom(t, s, stranger(t, s), "", "alice", oauthtest.Password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("by password: %d", answer.StatusCode)
	}
}

// Whatever is posted in place of an answer is refused and breaks nothing (WA-04).
func TestPasskey_Nonsense(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	a := s.Passkey(t, s.User(t, "alice"))
	b := stranger(t, s)
	good := a.Get(t, passkeyOptions(t, s, b))
	member := func(name string, value any) string {
		var whole map[string]any
		ok(t, json.Unmarshal([]byte(good), &whole))
		if _, inside := whole[name]; inside {
			whole[name] = value
		} else {
			whole["response"].(map[string]any)[name] = value
		}
		text, err := json.Marshal(whole)
		ok(t, err)
		return string(text)
	}
	for name, posted := range map[string]string{
		"nothing": "", "no JSON": "x", "a list": "[]", "null": "null", "deep": strings.Repeat(`{"response":`, 3000),
		"more behind it": good + "{}", "long": good + strings.Repeat(" ", 20_000), "long id": member("id", strings.Repeat("A", 15_000)),
		"other type": member("type", "password"), "no client data": member("clientDataJSON", ""), "client data that is a list": member("clientDataJSON", "W10"),
		"short data": member("authenticatorData", "AAAA"), "no signature": member("signature", ""), "a number": member("signature", 7),
		"data with extensions of nothing": member("authenticatorData", base64.RawURLEncoding.EncodeToString(append(make([]byte, 32), 0x85, 0, 0, 0, 0))),
		"data with deep extensions":       member("authenticatorData", base64.RawURLEncoding.EncodeToString(append(append(make([]byte, 32), 0x85, 0, 0, 0, 0), strings.Repeat("\xa1\x61\x61", 3000)...))),
		"data with huge extensions":       member("authenticatorData", base64.RawURLEncoding.EncodeToString(append(make([]byte, 32), 0x85, 0, 0, 0, 0, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))),
	} {
		if answer := postPasskey(t, b, posted); answer.StatusCode != http.StatusUnprocessableEntity || !b.On("login-form") {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
	if postPasskey(t, b, good); signedInAs(t, s, b.Cookies(t)...) != "alice" {
		t.Error("the good one is refused")
	}
}

// Where passkeys are off, or the host of the issuer is an address, none is offered.
func TestPasskey_NotOffered(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edits []func(*config.Config)
		want  bool
	}{
		"on localhost":   {[]func(*config.Config){oauthtest.OnLocalhost}, true},
		"on an address":  {nil, false},
		"off":            {[]func(*config.Config){oauthtest.OnLocalhost, func(c *config.Config) { c.Passkeys = false }}, false},
		"below a path":   {[]func(*config.Config){oauthtest.OnLocalhost, func(c *config.Config) { c.Issuer += "/auth" }}, true},
		"of a real name": {[]func(*config.Config){func(c *config.Config) { c.Issuer = "https://id.example.com" }}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.Start(t, tt.edits...)
			base := s.Config.BasePath()
			page := s.Get(t, "http://"+s.Config.Listen+base+"/login")
			offered := strings.Contains(string(page.Body), "passkey-form") && strings.Contains(string(page.Body), "username webauthn") &&
				strings.Contains(page.Header.Get("Content-Security-Policy"), "connect-src 'self'")
			if mentioned := strings.Contains(string(page.Body), "passkey"); offered != tt.want || mentioned != tt.want {
				t.Errorf("offered: %t, mentioned: %t", offered, mentioned)
			}
			if answer := s.Get(t, "http://"+s.Config.Listen+base+"/login/passkey"); (answer.StatusCode == http.StatusNotFound) == tt.want {
				t.Errorf("options: %d", answer.StatusCode)
			}
		})
	}
}

// options is an account's page for a browser that adds a passkey.
func addOptions(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser) []byte {
	t.Helper()
	answer := s.Do(t, b.Request(t, s.URL+"/account/passkeys/options"))
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("options: %d %s", answer.StatusCode, answer.Body)
	}
	return answer.Body
}

// keyring is a browser of somebody who has their passkeys before them.
func keyring(t *testing.T, s *oauthtest.Server, username string) *oauthtest.Browser {
	t.Helper()
	b := home(t, s, username)
	b.Open(t, "/account/passkeys")
	return b
}

func add(t *testing.T, b *oauthtest.Browser, answer string) *oauthtest.Answer {
	t.Helper()
	return b.Submit(t, "passkey-form", url.Values{"credential": {answer}})
}

// Somebody adds a passkey, signs in with it elsewhere, gives it a name, and removes it; the
// audit trail tells of it, and so does the file of the account (MF-04).
func TestPasskey_Account(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	u := s.User(t, "alice")
	b := home(t, s, "alice")
	if b.Open(t, "/account/security"); !strings.Contains(string(b.Page.Body), "Sign in with your fingerprint, face or screen lock.") {
		t.Error("the page does not say that there is none")
	}
	b.Open(t, "/account/passkeys")
	a := s.NewPasskey(t)
	a.AAGUID, a.Count = [16]byte{0xea, 0x9b, 0x8d, 0x66, 0x4d, 0x01, 0x1d, 0x21, 0x3c, 0xe4, 0xb6, 0xb4, 0x8c, 0xb5, 0x75, 0xd4}, 1
	options := addOptions(t, s, b)
	var asked struct {
		RP, User map[string]string
		Exclude  []map[string]any                               `json:"excludeCredentials"`
		Selected struct{ ResidentKey, UserVerification string } `json:"authenticatorSelection"`
		Keys     []map[string]any                               `json:"pubKeyCredParams"`
		Attested string                                         `json:"attestation"`
	}
	ok(t, json.Unmarshal(options, &asked))
	if asked.RP["id"] != "localhost" || asked.RP["name"] != "Hufu" || asked.User["name"] != "alice" || asked.Selected.ResidentKey != "required" ||
		asked.Selected.UserVerification != "required" || asked.Attested != "none" || len(asked.Exclude) != 0 || len(asked.Keys) != 3 {
		t.Errorf("options %s", options)
	}
	add(t, b, a.Create(t, options))
	if b.Page.StatusCode != http.StatusOK || !b.On("account-done") || !strings.Contains(string(b.Page.Body), "Google Password Manager") {
		t.Fatalf("%d %s", b.Page.StatusCode, b.Page.Body)
	}
	if next := addOptions(t, s, b); !strings.Contains(string(next), `"excludeCredentials":[{"type":"public-key","id":"`+base64.RawURLEncoding.EncodeToString(a.ID)) {
		t.Errorf("it may be added once more: %s", next)
	}
	elsewhere := stranger(t, s)
	a.Count = 2
	if signInWith(t, s, elsewhere, a); signedInAs(t, s, elsewhere.Cookies(t)...) != "alice" {
		t.Fatalf("not signed in: %s", loginError(elsewhere.Page))
	}
	id := base64.RawURLEncoding.EncodeToString(a.ID)
	change := func(action, id, name string) *oauthtest.Answer {
		return b.Submit(t, "passkey-form", url.Values{"action": {action}, "id": {id}, "name": {name}})
	}
	if change("rename", id, "  My \u202ephone "); !strings.Contains(string(b.Page.Body), ">My phone<") {
		t.Errorf("not renamed: %s", b.Page.Body)
	}
	b.Open(t, "/account/data")
	file := b.Submit(t, "export-form", nil)
	if !strings.Contains(string(file.Body), `"name": "My phone"`) {
		t.Errorf("the file of the account: %s", file.Body)
	}
	b.Open(t, "/account/passkeys")
	if change("remove", id, ""); b.Page.StatusCode != http.StatusOK || strings.Contains(string(b.Page.Body), "My phone") {
		t.Errorf("not removed: %d", b.Page.StatusCode)
	}
	if signedInAs(t, s, elsewhere.Cookies(t)...) != "alice" || signedInAs(t, s, b.Cookies(t)...) != "alice" {
		t.Error("removing a passkey signs somebody out")
	}
	elsewhere.Open(t, "/login")
	a.Count = 3
	if page := signInWith(t, s, elsewhere, a); page.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("removed, and still good: %d", page.StatusCode)
	}
	events, err := s.Store.Events(t.Context(), "", 100)
	ok(t, err)
	var kinds []string
	for _, e := range events {
		if strings.HasPrefix(e.Kind, "user.passkey_") && e.UserID == u.ID && e.By.Actor == u.ID && e.By.RequestID != "" {
			kinds = append(kinds, e.Kind+" "+e.Detail)
		}
	}
	if got := strings.Join(kinds, ", "); got != "user.passkey_removed My phone, user.passkey_added Google Password Manager" {
		t.Errorf("events: %s", got)
	}
}

// To add or remove a passkey takes a sign-in of a short while ago, which leads back
// (MF-04).
func TestPasskey_AccountNeedsFreshSignIn(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	u := s.User(t, "alice")
	a := s.Passkey(t, u)
	b := keyring(t, s, "alice")
	fresh := s.NewPasskey(t).Create(t, addOptions(t, s, b))
	s.Clock.Advance(11 * time.Minute)
	for _, fields := range []url.Values{
		{"action": {"remove"}, "id": {base64.RawURLEncoding.EncodeToString(a.ID)}}, {"action": {"add"}, "credential": {fresh}}, {"action": {"rename"}, "id": {base64.RawURLEncoding.EncodeToString(a.ID)}, "name": {"x"}},
	} {
		answer := s.Do(t, formRequest(t, b, s, "passkey-form", fields))
		if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/login?return=") {
			t.Errorf("%v: %d to %s", fields, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	if answer := s.Do(t, b.Request(t, s.URL+"/account/passkeys/options")); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("options: %d", answer.StatusCode)
	}
	if all, err := s.Store.Passkeys(t.Context(), u.ID); err != nil || len(all) != 1 || all[0].Name != "Key" {
		t.Errorf("something was changed: %+v, %v", all, err)
	}
	b.Open(t, "/account/passkeys")
	if signInWith(t, s, b, a); b.Page.Request.URL.Path != "/account/passkeys" || b.Page.StatusCode != http.StatusOK {
		t.Errorf("signing in led to %s", b.Page.Request.URL)
	}
}

// What is wrong with a new passkey is told, and it is not kept: one for another page, of
// nobody known, of a challenge that is another's or was answered (WA-01, WA-02, WA-04).
func TestPasskey_AddRefused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice, mallory := s.User(t, "alice"), s.User(t, "mallory")
	of := s.Passkey(t, mallory)
	idOf := func(a *oauthtest.Passkey) string { return base64.RawURLEncoding.EncodeToString(a.ID) }
	says := func(a *oauthtest.Passkey, name string, value any) {
		a.ClientData = func(collected map[string]any) { collected[name] = value }
	}
	const refused = "That passkey was not accepted."
	for name, tt := range map[string]struct {
		answer func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string // nil: as asked
		change func(a *oauthtest.Passkey)
		want   string
	}{
		"another origin":              {nil, func(a *oauthtest.Passkey) { a.Origin = "https://evil.example" }, refused},
		"from a frame":                {nil, func(a *oauthtest.Passkey) { says(a, "crossOrigin", true) }, refused},
		"another relying party":       {nil, func(a *oauthtest.Passkey) { a.RPID = "evil.example" }, refused},
		"used, not made":              {nil, func(a *oauthtest.Passkey) { says(a, "type", "webauthn.get") }, refused},
		"nobody verified":             {nil, func(a *oauthtest.Passkey) { a.Flags = oauthtest.UserPresent }, refused},
		"nobody there":                {nil, func(a *oauthtest.Passkey) { a.Flags = oauthtest.UserVerified }, refused},
		"a backup of one without any": {nil, func(a *oauthtest.Passkey) { a.Flags |= oauthtest.BackupState }, refused},
		"an endless id":               {nil, func(a *oauthtest.Passkey) { a.ID = make([]byte, 1024) }, refused},
		"somebody else's":             {nil, func(a *oauthtest.Passkey) { a.ID = of.ID }, "That passkey is already in use."},
		"nonsense":                    {func(*testing.T, *oauthtest.Browser, *oauthtest.Passkey) string { return "{" }, nil, refused},
		"a challenge to sign in": {func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			return a.Create(t, passkeyOptions(t, s, b))
		}, nil, refused},
		"another user's challenge": {func(t *testing.T, _ *oauthtest.Browser, a *oauthtest.Passkey) string {
			return a.Create(t, addOptions(t, s, keyring(t, s, "mallory")))
		}, nil, refused},
		"another browser's challenge": {func(t *testing.T, _ *oauthtest.Browser, a *oauthtest.Passkey) string {
			return a.Create(t, addOptions(t, s, keyring(t, s, "alice")))
		}, nil, refused},
		"a challenge of the session before": {func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			b.Open(t, "/login")
			b.SignIn(t, "mallory")
			answer := a.Create(t, addOptions(t, s, b))
			b.Open(t, "/login?return=/account/passkeys")
			b.SignIn(t, "alice")
			return answer
		}, nil, refused},
		"answered before": {func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			answer := a.Create(t, addOptions(t, s, b))
			add(t, b, answer)
			b.Submit(t, "passkey-form", url.Values{"action": {"remove"}, "id": {idOf(a)}})
			return answer
		}, nil, refused},
		"too late": {func(t *testing.T, b *oauthtest.Browser, a *oauthtest.Passkey) string {
			answer := a.Create(t, addOptions(t, s, b))
			s.Clock.Advance(6 * time.Minute)
			return answer
		}, nil, "That took too long."},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := s.NewPasskey(t), keyring(t, s, "alice")
			if tt.change != nil {
				tt.change(a)
			}
			answer := ""
			if tt.answer != nil {
				answer = tt.answer(t, b, a)
			} else {
				answer = a.Create(t, addOptions(t, s, b))
			}
			add(t, b, answer)
			if b.Page.StatusCode/100 != 4 || !b.On("passkeys-error") || !strings.Contains(string(b.Page.Body), tt.want) {
				t.Errorf("%d, not %q:\n%s", b.Page.StatusCode, tt.want, b.Page.Body)
			}
			if all, err := s.Store.Passkeys(t.Context(), alice.ID); err != nil || len(all) != 0 {
				t.Errorf("kept: %+v, %v", all, err)
			}
		})
	}
}

// Nobody changes what is another's, adds more than may be, or removes what they could not
// sign in without (AC-01, WA-04).
func TestPasskey_AccountBounds(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	alice, keyless := s.User(t, "alice"), makeUser(t, s, "keyless", "")
	a, last := s.Passkey(t, alice), s.Passkey(t, keyless)
	b := stranger(t, s)
	signInWith(t, s, b, last)
	b.Open(t, "/account/passkeys")
	change := func(a *oauthtest.Passkey, action string) *oauthtest.Answer {
		fields := url.Values{"action": {action}, "id": {base64.RawURLEncoding.EncodeToString(a.ID)}, "name": {"mine"}}
		return s.Do(t, formRequest(t, b, s, "passkey-form", fields))
	}
	for _, action := range []string{"remove", "rename"} {
		if answer := change(a, action); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s somebody else's: %d", action, answer.StatusCode)
		}
	}
	if answer := change(last, "steal"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("no such action: %d", answer.StatusCode)
	}
	if answer := change(last, "remove"); answer.StatusCode != http.StatusConflict || !strings.Contains(string(answer.Body), "your only way to sign in") {
		t.Errorf("the last one: %d", answer.StatusCode)
	}
	for range store.MaxPasskeys - 1 {
		s.Passkey(t, keyless)
	}
	options := addOptions(t, s, b)
	if answer := add(t, b, s.NewPasskey(t).Create(t, options)); answer.StatusCode != http.StatusConflict || !strings.Contains(string(answer.Body), "reached the limit for passkeys") || b.On("passkey-form") {
		t.Errorf("one too many: %d", answer.StatusCode)
	}
	b.Open(t, "/account/passkeys")
	if b.On("passkey-submit") {
		t.Error("one more is offered")
	}
}

// The pages of passkeys are for nobody who is not signed in, and for no form of others
// (CS-01, MF-03).
func TestPasskey_AccountGuarded(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	for _, path := range []string{"/account/passkeys", "/account/passkeys/options"} {
		if answer := s.Get(t, path); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/login?") {
			t.Errorf("%s for a stranger: %d", path, answer.StatusCode)
		}
	}
	b := keyring(t, s, "alice")
	for name, change := range map[string]func(r *http.Request){
		"another site": func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		},
		"no token": func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 },
	} {
		r := formRequest(t, b, s, "passkey-form", url.Values{"action": {"remove"}})
		change(r)
		if answer := s.Do(t, r); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
}

// Pages with passkeys let a script of ours ask this server, and otherwise nothing more than
// all pages do (HD-01, HD-02, HD-03, HD-12).
func TestPasskey_Headers(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, oauthtest.OnLocalhost)
	s.User(t, "alice")
	withApp(t, s, "alice")
	s.Passkey(t, theUser(t, s, "alice"))
	b := halfway(t, s, "alice", "/login?return=/account/passkeys")
	step := b.Page
	postPasskey(t, b, s.Passkey(t, theUser(t, s, "alice")).Get(t, stepOptions(t, s, b)))
	const policy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; connect-src 'self'"
	for name, tt := range map[string]struct {
		page   *oauthtest.Answer
		policy string
		opener string
	}{
		"sign-in":     {stranger(t, s).Page, policy, ""},
		"second step": {step, policy, ""},
		"account":     {b.Page, policy + "; form-action 'self'", "same-origin"},
	} {
		h := tt.page.Header
		if tt.page.StatusCode != http.StatusOK || h.Get("Content-Security-Policy") != tt.policy || h.Get("Cross-Origin-Opener-Policy") != tt.opener ||
			h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", name, tt.page.StatusCode, h)
		}
	}
}
