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
func signInWith(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser, a *oauthtest.Authenticator) *oauthtest.Answer {
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
	if answer := signInWith(t, s, b, a); answer.Request.URL.Path != "/" || signedInAs(t, s, b.Cookies(t)...) != "alice" {
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
	says := func(name string, value any) func(a *oauthtest.Authenticator) {
		return func(a *oauthtest.Authenticator) {
			a.ClientData = func(collected map[string]any) { collected[name] = value }
		}
	}
	for name, tt := range map[string]struct {
		of     *store.User
		change func(a *oauthtest.Authenticator)
		cause  string // what the log says
	}{
		"another origin":             {alice, func(a *oauthtest.Authenticator) { a.Origin = "https://evil.example" }, "origin"},
		"another port":               {alice, func(a *oauthtest.Authenticator) { a.Origin = "http://localhost:1" }, "origin"},
		"another scheme":             {alice, func(a *oauthtest.Authenticator) { a.Origin = strings.Replace(a.Origin, "http:", "https:", 1) }, "origin"},
		"a host below":               {alice, func(a *oauthtest.Authenticator) { a.Origin = strings.Replace(a.Origin, "localhost", "a.localhost", 1) }, "origin"},
		"from a frame of another":    {alice, says("crossOrigin", true), "cross origin"},
		"below another page":         {alice, says("topOrigin", "https://evil.example"), "topOrigin"},
		"another relying party":      {alice, func(a *oauthtest.Authenticator) { a.RPID = "evil.example" }, "RP Hash"},
		"made, not used":             {alice, says("type", "webauthn.create"), "ceremony type"},
		"nobody there":               {alice, func(a *oauthtest.Authenticator) { a.Flags = oauthtest.UserVerified }, "presence"},
		"nobody verified":            {alice, func(a *oauthtest.Authenticator) { a.Flags = oauthtest.UserPresent }, "verification"},
		"another key":                {alice, func(a *oauthtest.Authenticator) { a.Key = s.Authenticator(t).Key }, "signature"},
		"another user's handle":      {alice, func(a *oauthtest.Authenticator) { a.Handle = []byte(mallory.ID) }, "handle"},
		"no handle":                  {alice, func(a *oauthtest.Authenticator) { a.Handle = nil }, "whose passkey"},
		"another user's passkey":     {mallory, func(a *oauthtest.Authenticator) { a.Handle = []byte(alice.ID) }, "handle"},
		"unknown":                    {alice, func(a *oauthtest.Authenticator) { a.ID = []byte("no such credential") }, "nobody in force"},
		"no id":                      {alice, func(a *oauthtest.Authenticator) { a.ID = nil }, "ID missing"},
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
				ok(t, s.Store.RemovePasskey(t.Context(), removed.ID, base64.RawURLEncoding.EncodeToString(a.ID), s.Clock.Now(), theOperator))
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
