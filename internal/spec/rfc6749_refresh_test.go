package spec_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// grace registers a grace window of so many seconds.
func grace(seconds int64) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) { m.RefreshGrace = &seconds }
}

// noRotation has a client keep its refresh token.
func noRotation(m *oauth.ClientMetadata) {
	off := false
	m.RefreshRotation = &off
}

// next refreshes and returns the answer, which must hold tokens.
func next(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, token string, pairs ...string) *oauthtest.Answer {
	t.Helper()
	answer := app.Refresh(t, at, token, pairs...)
	if answer.StatusCode != http.StatusOK || answer.Text("access_token") == "" || answer.Text("refresh_token") == "" {
		t.Fatalf("refresh: %d %s", answer.StatusCode, answer.Body)
	}
	return answer
}

// RFC 6749 Section 6: a refresh token gives a new access token, again and again,
// and every use a new refresh token; a client without a secret names itself
// (RT-01).
func TestRFC6749_6_Refresh(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, app := range map[string]*oauthtest.App{"confidential": s.App(t), "public": s.PublicApp(t), "opaque": s.App(t, oauthtest.Opaque)} {
			first := app.At(at).SignInAndExchange(t)
			access, refresh := map[string]bool{first.AccessToken: true}, map[string]bool{first.RefreshToken: true}
			token := first.RefreshToken
			for range 5 {
				answer := next(t, app, at, token)
				token = answer.Text("refresh_token")
				access[answer.Text("access_token")], refresh[token] = true, true
				if answer.Text("scope") != "read" || answer.Text("token_type") != "Bearer" || answer.JSON("expires_in") != 600.0 {
					t.Errorf("%s: %s", name, answer.Body)
				}
			}
			if len(access) != 6 || len(refresh) != 6 {
				t.Errorf("%s: 6 answers had %d access tokens and %d refresh tokens", name, len(access), len(refresh))
			}
			for token := range access {
				wantActive(t, watcher, name+" access token", token, true)
			}
		}
	})
}

// A refresh token is made of the characters of RFC 6749 Appendix A.17, bears the
// prefix that scanners look for, and changes in no character without being
// refused (RT-09).
func TestRFC6749_6_ForgedToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		token := app.SignInAndExchange(t).RefreshToken
		text, ok := strings.CutPrefix(token, "hrt_")
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if !ok || err != nil {
			t.Fatalf("refresh token %s: %v", token, err)
		}
		forged := []string{
			text, "hrt_", "hrt_" + text + "A", "hrt_" + text + "=", "hrt_" + text[:len(text)-1], "HRT_" + text, " " + token, token + " ", token + "\n",
			"hat_" + text, "hrt_hrt_" + text, "hrt_" + strings.Repeat("A", len(text)), "hrt_" + strings.Repeat("A", 50_000), "x", "hrt_" + base64.StdEncoding.EncodeToString(raw),
			"hrt_" + text[:10] + "\n" + text[10:], "hrt_" + text[:10] + "\r\n" + text[10:], token + token, "界",
		}
		for i := range raw { // each byte: version, key id, grant, generation, proof
			broken := slices.Clone(raw)
			broken[i] ^= 1
			forged = append(forged, "hrt_"+base64.RawURLEncoding.EncodeToString(broken))
		}
		// The last character carries bits that decode to nothing: another spelling of
		// the same bytes is not the token.
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		if last := strings.IndexByte(alphabet, text[len(text)-1]); len(raw)%3 != 0 {
			forged = append(forged, "hrt_"+text[:len(text)-1]+alphabet[last^1:][:1])
		}
		for _, wrong := range forged {
			if wrong == "hrt_"+base64.StdEncoding.EncodeToString(raw) && wrong == token {
				continue // the two alphabets agree on this one
			}
			wantTokenError(t, app.Refresh(t, at, wrong), http.StatusBadRequest, oauth.InvalidGrant)
		}
		next(t, app, at, token)
	})
}

// Tokens made for one use pass for no other: an access token, a code or a sealed
// request refresh nothing, and a refresh token redeems nothing.
func TestRFC6749_6_TokenOfAnotherKind(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			app := s.App(t, format).At(at)
			code := app.Authorize(t, "alice", "")
			answer := redeem(t, app, app.Authorize(t, "alice", ""))
			sealed := strings.TrimPrefix(answer.Text("access_token"), "hat_")
			for _, wrong := range []string{answer.Text("access_token"), "hrt_" + sealed, code, "hrt_" + code} {
				wantTokenError(t, app.Refresh(t, at, wrong), http.StatusBadRequest, oauth.InvalidGrant)
			}
			for _, wrong := range []string{answer.Text("access_token"), answer.Text("refresh_token")} {
				wantTokenError(t, redeem(t, app, wrong), http.StatusBadRequest, oauth.InvalidGrant)
			}
			wantGranted(t, redeem(t, app, code))
			next(t, app, at, answer.Text("refresh_token"))
		}
	})
}

// RFC 6749 Section 10.4: a refresh token is its own client's. In other hands it is
// refused, without harm to its owner, however old it is (RT-05, conformance 52).
func TestRFC6749_10_4_OtherClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		first := app.SignInAndExchange(t).RefreshToken
		second := next(t, app, at, first).Text("refresh_token")
		third := next(t, app, at, second).Text("refresh_token")
		s.Clock.Advance(time.Minute)
		for _, thief := range []*oauthtest.App{s.App(t), s.PublicApp(t)} {
			for _, token := range []string{first, second, third} { // for the owner, the first two are replays
				wantTokenError(t, thief.Refresh(t, at, token), http.StatusBadRequest, oauth.InvalidGrant)
				wantTokenError(t, thief.Refresh(t, at, token, "scope", "read"), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
		stolen := app.Credentials("grant_type", "refresh_token", "refresh_token", first)
		wantTokenError(t, s.Post(t, at.Refresh, lacking(stolen, "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
		wantTokenError(t, s.Post(t, at.Refresh, changed(stolen, "client_secret", "not the secret at all")), http.StatusUnauthorized, oauth.InvalidClient)
		next(t, app, at, third)
	})
}

// RFC 9700 Section 4.14.2: the previous token gives the same successor again within the
// grace window (30 s, or 0 to 300 s per client), each time with a fresh access token;
// after the window it is a replay, and the whole grant ends with an audit event (RT-01,
// RT-02, RT-07, conformance 54).
func TestRFC9700_4_14_2_GraceWindow(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range map[string]struct {
			app    *oauthtest.App
			window time.Duration
		}{
			"default": {s.App(t), 30 * time.Second},
			"public":  {s.PublicApp(t), 30 * time.Second},
			"30":      {s.App(t, grace(30)), 30 * time.Second},
			"60":      {s.App(t, grace(60)), time.Minute},
			"300":     {s.App(t, grace(300)), 300 * time.Second},
			"opaque":  {s.App(t, oauthtest.Opaque), 30 * time.Second},
		} {
			first := tt.app.At(at).SignInAndExchange(t)
			successor := next(t, tt.app, at, first.RefreshToken)
			tokens := []string{first.AccessToken, successor.Text("access_token")}
			for _, step := range []time.Duration{0, tt.window / 2, tt.window/2 - 8*time.Second} {
				s.Clock.Advance(step)
				again := next(t, tt.app, at, first.RefreshToken)
				if again.Text("refresh_token") != successor.Text("refresh_token") {
					t.Errorf("%s: another successor", name)
				}
				if slices.Contains(tokens, again.Text("access_token")) {
					t.Errorf("%s: the same access token again", name)
				}
				tokens = append(tokens, again.Text("access_token"))
			}
			for _, token := range tokens {
				wantActive(t, watcher, name+" access token", token, true)
			}
			before := len(replays(t, s))
			s.Clock.Advance(9 * time.Second)
			wantTokenError(t, tt.app.Refresh(t, at, first.RefreshToken), http.StatusBadRequest, oauth.InvalidGrant)
			wantTokenError(t, tt.app.Refresh(t, at, successor.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
			for _, token := range tokens {
				wantActive(t, watcher, name+" access token after the replay", token, false)
			}
			events := replays(t, s)
			if len(events) != before+1 || events[0].ClientID != tt.app.ClientID || events[0].By.Actor != tt.app.ClientID || events[0].UserID == "" || events[0].By.RequestID == "" {
				t.Errorf("%s: %d replays in the audit trail, want one more than %d: %+v", name, len(events), before, events)
			}
		}
	})
}

// The successor that a lost answer held stays the only one: after a retry both
// texts are one token, and it goes on (RT-07).
func TestRFC9700_4_14_2_LostAnswer(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.PublicApp(t)
		token := app.At(at).SignInAndExchange(t).RefreshToken
		for range 4 {
			lost := next(t, app, at, token).Text("refresh_token")
			again := next(t, app, at, token).Text("refresh_token")
			if again != lost {
				t.Fatal("a retry made a second branch")
			}
			token = again
			s.Clock.Advance(time.Hour) // past every window: nothing of the retry is left
		}
	})
}

// With a window of 0 the previous token is a replay at once (RT-02).
func TestRFC9700_4_14_2_NoGrace(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		s := oauthtest.Start(t, func(c *config.Config) { c.RefreshGrace = 0 })
		for name, app := range map[string]*oauthtest.App{"own": s.App(t, grace(0)), "server's": s.App(t)} {
			first := app.At(at).SignInAndExchange(t)
			second := next(t, app, at, first.RefreshToken)
			wantTokenError(t, app.Refresh(t, at, first.RefreshToken), http.StatusBadRequest, oauth.InvalidGrant)
			wantActive(t, app, name+" access token", second.Text("access_token"), false)
			wantTokenError(t, app.Refresh(t, at, second.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		}
		own := s.App(t, grace(20)) // a client's own window goes before the server's
		first := own.At(at).SignInAndExchange(t)
		next(t, own, at, first.RefreshToken)
		next(t, own, at, first.RefreshToken)
	})
}

// A token older than the previous one is a replay at once, also within the
// window (RT-02).
func TestRFC9700_4_14_2_OlderThanPrevious(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, app := range []*oauthtest.App{s.App(t), s.PublicApp(t)} {
			first := app.At(at).SignInAndExchange(t)
			second := next(t, app, at, first.RefreshToken)
			third := next(t, app, at, second.Text("refresh_token"))
			wantTokenError(t, app.Refresh(t, at, first.RefreshToken), http.StatusBadRequest, oauth.InvalidGrant)
			wantTokenError(t, app.Refresh(t, at, second.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
			wantTokenError(t, app.Refresh(t, at, third.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		}
	})
}

// A replay ends its own grant and no other of the same user and client.
func TestRFC9700_4_14_2_OnlyThatGrant(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, grace(0)).At(at)
		replayed, other := app.SignInAndExchange(t), app.SignInAndExchange(t)
		next(t, app, at, replayed.RefreshToken)
		wantTokenError(t, app.Refresh(t, at, replayed.RefreshToken), http.StatusBadRequest, oauth.InvalidGrant)
		wantActive(t, app, "token of the replayed grant", replayed.AccessToken, false)
		wantActive(t, app, "token of the other grant", other.AccessToken, true)
		next(t, app, at, other.RefreshToken)
	})
}

// A refused refresh spends nothing: not for its scope, its resource, or its
// client's missing proof.
func TestRFC6749_6_RefusedRefreshSpendsNothing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, grace(0)).At(at)
		token := app.SignInAndExchange(t).RefreshToken
		for range 3 {
			wantTokenError(t, app.Refresh(t, at, token, "scope", "read write"), http.StatusBadRequest, oauth.InvalidScope)
			wantTokenError(t, app.Refresh(t, at, token, "scope", "re\"ad"), http.StatusBadRequest, oauth.InvalidScope)
			wantTokenError(t, app.Refresh(t, at, token, "resource", "https://api.example/"), http.StatusBadRequest, oauth.InvalidTarget)
			wantTokenError(t, app.Refresh(t, at, token, "client_secret", "again"), http.StatusBadRequest, oauth.InvalidRequest)
		}
		next(t, app, at, token)
	})
}

// RFC 6749 Section 6: scope may be narrowed, for the one answer, and never widened, be
// it by what the client is registered for or by what a narrower answer left out (RT-04,
// conformance 52).
func TestRFC6749_6_Scope(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, func(m *oauth.ClientMetadata) { m.Scope += " more" }).At(at)
		token := newGrant(t, app, "read", "write", "openid", "offline_access").RefreshToken
		for _, tt := range []struct{ asked, want string }{
			{"read", "read"}, {"", "read write openid offline_access"}, {"write read", "write read"}, {" read  read ", "read"}, {" ", "read write openid offline_access"},
			{"openid", "openid"}, {"offline_access", "offline_access"}, {"read write openid offline_access", "read write openid offline_access"}, {"", "read write openid offline_access"},
		} {
			answer := next(t, app, at, token, "scope", tt.asked)
			token = answer.Text("refresh_token")
			if answer.Text("scope") != tt.want {
				t.Errorf("scope %q gives %q, want %q", tt.asked, answer.Text("scope"), tt.want)
			}
			if got := app.Introspect(t, answer.Text("access_token")).Text("scope"); got != tt.want {
				t.Errorf("scope %q: the token has %q", tt.asked, got)
			}
		}
		for _, wider := range []string{"more", "read more", "admin", "Read", "read write openid offline_access more"} {
			wantTokenError(t, app.Refresh(t, at, token, "scope", wider), http.StatusBadRequest, oauth.InvalidScope)
		}
		next(t, app, at, token)
	})
}

// The scope of an answer is what was granted and is still registered: a scope
// that is taken from a client is gone with the next refresh, one that is added
// was never granted (RT-04).
func TestRFC6749_6_ScopeStillRegistered(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		token := newGrant(t, app, "read", "write").RefreshToken
		register := func(scope string) {
			if _, err := s.Clients.Update(t.Context(), app.ClientID, func(m *oauth.ClientMetadata) error { m.Scope = scope; return nil }, byOperator); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct{ registered, asked, want string }{
			{"read more", "", "read"}, {"read more", "read write", "read"}, {"more", "", ""}, {"read write", "", "read write"},
		} {
			register(tt.registered)
			answer := next(t, app, at, token, "scope", tt.asked)
			token = answer.Text("refresh_token")
			if answer.Text("scope") != tt.want {
				t.Errorf("registered for %q: scope %q, want %q", tt.registered, answer.Text("scope"), tt.want)
			}
			for _, what := range []string{"access_token", "refresh_token"} {
				if got := app.Introspect(t, answer.Text(what)).Text("scope"); got != tt.want && tt.asked == "" {
					t.Errorf("registered for %q: the %s has %q, want %q", tt.registered, what, got, tt.want)
				}
			}
		}
		wantTokenError(t, app.Refresh(t, at, token, "scope", "more"), http.StatusBadRequest, oauth.InvalidScope)
	})
}

// RFC 9700 Section 4.14: a refresh token dies when it lies unused, and at an end that
// was set with the grant and that no refresh moves; the access token never outlives it.
// Lifetimes are the server's or the client's own (RT-03, conformance 5).
func TestRFC9700_4_14_Lifetimes(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range map[string]struct {
			edit           func(*oauth.ClientMetadata)
			idle, absolute time.Duration
		}{
			"default": {func(*oauth.ClientMetadata) {}, 30 * day, 90 * day},
			"own":     {func(m *oauth.ClientMetadata) { m.RefreshIdleLifetime, m.RefreshTokenLifetime = 3600, 7200 }, time.Hour, 2 * time.Hour},
			"public":  {oauthtest.Public, 30 * day, 90 * day},
			"kept":    {noRotation, 30 * day, 90 * day},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := oauthtest.Start(t)
				app := s.App(t, tt.edit).At(at)
				unused, used := app.SignInAndExchange(t).RefreshToken, app.SignInAndExchange(t).RefreshToken
				step := tt.idle - 3*time.Minute
				steps := int(tt.absolute / step)
				for i := range steps {
					s.Clock.Advance(step)
					used = next(t, app, at, used).Text("refresh_token")
					if i == 0 {
						s.Clock.Advance(3 * time.Minute)
						wantTokenError(t, app.Refresh(t, at, unused), http.StatusBadRequest, oauth.InvalidGrant)
						used = next(t, app, at, used).Text("refresh_token")
					}
				}
				// Three minutes before the end a token lives three minutes.
				left := tt.absolute - time.Duration(steps)*step - 3*time.Minute
				s.Clock.Advance(left - 3*time.Minute)
				last := next(t, app, at, used)
				if seconds, _ := last.JSON("expires_in").(float64); seconds < 120 || seconds > 180 {
					t.Errorf("expires_in near the end: %v", last.JSON("expires_in"))
				}
				s.Clock.Advance(3*time.Minute + time.Second)
				wantTokenError(t, app.Refresh(t, at, last.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
				if app.ClientSecret != "" {
					wantActive(t, app, "access token behind the end", last.Text("access_token"), false)
				}
			})
		}
	})
}

// Lifetimes shorter than a sign-in may take hold as well: the end of a grant is
// not that of the request it came from (RT-03).
func TestRFC9700_4_14_ShortLifetimes(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, edit := range map[string]func(*oauth.ClientMetadata){
			"idle":     func(m *oauth.ClientMetadata) { m.RefreshIdleLifetime = 60 },
			"absolute": func(m *oauth.ClientMetadata) { m.RefreshTokenLifetime = 60 },
		} {
			s := oauthtest.Start(t)
			app := s.App(t, edit).At(at)
			token := app.SignInAndExchange(t)
			s.Clock.Advance(30 * time.Second)
			second := next(t, app, at, token.RefreshToken)
			s.Clock.Advance(31 * time.Second)
			if name == "idle" { // the refresh began it anew
				second = next(t, app, at, second.Text("refresh_token"))
				s.Clock.Advance(time.Minute)
			}
			wantTokenError(t, app.Refresh(t, at, second.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
			wantActive(t, app, name+" refresh token", second.Text("refresh_token"), false)
			wantActive(t, app, name+" access token", second.Text("access_token"), name == "idle")
		}
	})
}

// A token in its grace window is not kept alive by retries: each retry answers
// from the window of the one refresh there was (RT-07).
func TestRFC9700_4_14_2_RetriesDoNotMoveTheWindow(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		token := app.At(at).SignInAndExchange(t).RefreshToken
		next(t, app, at, token)
		for range 3 {
			s.Clock.Advance(8 * time.Second)
			next(t, app, at, token)
		}
		s.Clock.Advance(8 * time.Second)
		wantTokenError(t, app.Refresh(t, at, token), http.StatusBadRequest, oauth.InvalidGrant)
	})
}

// Of 16 callers who refresh with one token at the same moment all get the one
// successor; of callers with the tokens of two generations, too. With a window of
// 0, one wins and the grant is over (RT-07).
func TestRFC9700_4_14_2_Race(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, strict := s.App(t), s.App(t, grace(0))
		for range 8 {
			token := app.At(at).SignInAndExchange(t).RefreshToken
			for range 2 {
				answers := race(t, app, at, token)
				if len(answers) != 1 || answers[""] != 0 {
					t.Fatalf("successors of one token: %v", answers)
				}
				for successor := range answers {
					token = successor
				}
			}
			answers := race(t, strict, at, strict.At(at).SignInAndExchange(t).RefreshToken)
			if won := 16 - answers[""]; won != 1 {
				t.Errorf("without a window %d won", won)
			}
			for successor := range answers {
				if successor != "" {
					wantTokenError(t, strict.Refresh(t, at, successor), http.StatusBadRequest, oauth.InvalidGrant)
				}
			}
		}
	})
}

// race presents one token 16 times at the same moment and counts the successors;
// "" counts refusals.
func race(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, token string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	answers := map[string]int{}
	together(16, func(int) {
		answer := app.Refresh(t, at, token)
		if answer.StatusCode >= 500 {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
		mu.Lock()
		defer mu.Unlock()
		answers[answer.Text("refresh_token")]++
	})
	return answers
}

// Without rotation a confidential client keeps its refresh token, whose use is never a
// replay; a public client cannot be registered so (conformance 54).
func TestRFC9700_4_14_2_RotationOff(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, noRotation).At(at)
		token := app.SignInAndExchange(t).RefreshToken
		for range 4 {
			s.Clock.Advance(10 * time.Minute)
			if again := next(t, app, at, token).Text("refresh_token"); again != token {
				t.Fatal("the token was rotated")
			}
		}
		answers := race(t, app, at, token)
		if answers[token] != 16 {
			t.Errorf("answers of a race: %v", slices.Collect(maps.Values(answers)))
		}
		// Switched on, it rotates from there; switched off again, it stays.
		rotate := func(on bool) {
			if _, err := s.Clients.Update(t.Context(), app.ClientID, func(m *oauth.ClientMetadata) error { m.RefreshRotation = &on; return nil }, byOperator); err != nil {
				t.Fatal(err)
			}
		}
		rotate(true)
		second := next(t, app, at, token).Text("refresh_token")
		third := next(t, app, at, second).Text("refresh_token")
		if second == token || third == second {
			t.Error("the token was not rotated")
		}
		rotate(false)
		if next(t, app, at, third).Text("refresh_token") != third {
			t.Error("the token was rotated")
		}
		wantTokenError(t, app.Refresh(t, at, token), http.StatusBadRequest, oauth.InvalidGrant) // two older than the row's
	})
	m := oauthtest.EveryGrant()
	oauthtest.Public(&m)
	noRotation(&m)
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("registering a public client without rotation: %v", err)
	}
	for _, seconds := range []int64{-1, 301} {
		m := oauthtest.EveryGrant()
		grace(seconds)(&m)
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("registering a grace window of %d s: %v", seconds, err)
		}
	}
}

// A client that has lost the grant cannot use the refresh tokens it holds, and
// gets no new ones.
func TestRFC6749_6_GrantTakenAway(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		token := app.SignInAndExchange(t)
		if _, err := s.Clients.Update(t.Context(), app.ClientID, func(m *oauth.ClientMetadata) error {
			m.GrantTypes = slices.DeleteFunc(m.GrantTypes, func(g string) bool { return g == oauth.GrantRefreshToken })
			return nil
		}, byOperator); err != nil {
			t.Fatal(err)
		}
		wantTokenError(t, app.Refresh(t, at, token.RefreshToken), http.StatusBadRequest, oauth.UnauthorizedClient)
		wantActive(t, app, "refresh token", token.RefreshToken, false)
		wantActive(t, app, "access token", token.AccessToken, true)
		if got := app.SignInAndExchange(t).RefreshToken; got != "" {
			t.Error("a refresh token for a client without the grant")
		}
	})
}

// Whatever takes a user or a client out of force takes the refresh tokens with
// it, and nothing brings them back (RT-06, CO-07).
func TestRFC9700_4_14_RefreshOfTheDisabled(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, tt := range endings() {
			t.Run(name, func(t *testing.T) {
				app, user := s.App(t).At(at), newUser(t, s)
				token := redeem(t, app, app.Authorize(t, user.Username, ""))
				refreshed := next(t, app, at, token.Text("refresh_token"))
				before := len(replays(t, s))
				tt.end(t, s, app, user)
				for _, old := range []*oauthtest.Answer{token, refreshed} { // the token in its window, and that of today
					wantTokenError(t, app.Refresh(t, at, old.Text("refresh_token")), tt.code.Status(), tt.code)
					wantActive(t, watcher, "access token", old.Text("access_token"), false)
					wantActive(t, watcher, "refresh token", old.Text("refresh_token"), false)
				}
				if got := len(replays(t, s)); got != before {
					t.Errorf("%d refusals were taken for replays", got-before)
				}
			})
		}
	})
}

// What a refresh token has been through is in the database: after a restart a
// replay is one, and the newest token goes on (RT-08).
func TestRFC9700_4_14_2_Restart(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		data := oauthtest.DataDir(t)
		var app *oauthtest.App
		var replayed, replayedNow, kept string
		t.Run("before", func(t *testing.T) {
			s := oauthtest.StartIn(t, data)
			app = s.App(t, grace(0))
			replayed, kept = app.At(at).SignInAndExchange(t).RefreshToken, app.At(at).SignInAndExchange(t).RefreshToken
			replayedNow, kept = next(t, app, at, replayed).Text("refresh_token"), next(t, app, at, kept).Text("refresh_token")
		})
		t.Run("after", func(t *testing.T) {
			app.Server = oauthtest.StartIn(t, data)
			wantTokenError(t, app.Refresh(t, at, replayed), http.StatusBadRequest, oauth.InvalidGrant)
			wantTokenError(t, app.Refresh(t, at, replayedNow), http.StatusBadRequest, oauth.InvalidGrant)
			kept = next(t, app, at, kept).Text("refresh_token")
		})
		t.Run("after another", func(t *testing.T) {
			app.Server = oauthtest.StartIn(t, data)
			wantTokenError(t, app.Refresh(t, at, replayedNow), http.StatusBadRequest, oauth.InvalidGrant)
			next(t, app, at, kept)
		})
	})
}

// A token ahead of its row was issued by us before a backup was restored: it is
// honoured, and heals the row, so that what the backup took for new is a replay
// (OP-02).
func TestRFC9700_4_14_2_RestoredBackup(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		data := t.TempDir()
		var app *oauthtest.App
		var generations []string
		refresh := func(t *testing.T, times int) {
			for range times {
				generations = append(generations, next(t, app, at, generations[len(generations)-1]).Text("refresh_token"))
			}
		}
		t.Run("before the backup", func(t *testing.T) {
			app = oauthtest.StartIn(t, data, oauthtest.OnFile).App(t, grace(0))
			generations = []string{app.At(at).SignInAndExchange(t).RefreshToken}
			refresh(t, 1)
		})
		backup := readDatabase(t, data)
		t.Run("after the backup", func(t *testing.T) {
			app.Server = oauthtest.StartIn(t, data, oauthtest.OnFile)
			refresh(t, 3)
		})
		writeDatabase(t, data, backup)
		t.Run("restored", func(t *testing.T) {
			app.Server = oauthtest.StartIn(t, data, oauthtest.OnFile)
			refresh(t, 2)
			wantTokenError(t, app.Refresh(t, at, generations[1]), http.StatusBadRequest, oauth.InvalidGrant)
			wantTokenError(t, app.Refresh(t, at, generations[len(generations)-1]), http.StatusBadRequest, oauth.InvalidGrant)
		})
	})
}

// readDatabase copies the files of a database that nobody has open.
func readDatabase(t *testing.T, data string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "hufu.db*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// writeDatabase puts a copy in the place of what is there.
func writeDatabase(t *testing.T, data string, files map[string][]byte) {
	t.Helper()
	for name := range readDatabase(t, data) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
