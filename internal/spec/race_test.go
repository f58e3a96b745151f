package spec_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A haul is what callers got who raced.
type haul struct {
	mu              sync.Mutex
	granted         int
	access, refresh map[string]bool
}

func (h *haul) add(t *testing.T, answer *oauthtest.Answer) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if answer.StatusCode != http.StatusOK {
		if answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
		return
	}
	if h.access == nil {
		h.access, h.refresh = map[string]bool{}, map[string]bool{}
	}
	h.granted++
	h.access[answer.Text("access_token")] = true
	h.refresh[answer.Text("refresh_token")] = true
}

// wantDead fails unless nothing of the haul works any more.
func (h *haul) wantDead(t *testing.T, app, by *oauthtest.App, at oauthtest.Addresses) {
	t.Helper()
	for token := range h.access {
		wantActive(t, by, "access token", token, false)
	}
	for token := range h.refresh {
		if answer := app.Refresh(t, at, token); answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("refresh token: %d %s", answer.StatusCode, answer.Body)
		}
	}
}

// RFC 6749 Section 4.1.2, RFC 9700 Section 4.5: of 24 callers with one code and
// everything right one gets tokens, and because the others have shown that the
// code is in more than one hand, those tokens are dead when the last has its
// answer. The grant is revoked once (CO-01, CO-06).
func TestRFC6749_4_1_2_CodeRaceEndsTokens(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	by := observer(t, s)
	const rounds = 12
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		before := len(replays(t, s))
		for range rounds {
			form := codeForm(app, app.Authorize(t, "alice", ""))
			var got haul
			together(24, func(int) { got.add(t, s.Post(t, at.AuthorizationCode, form)) })
			if got.granted != 1 {
				t.Errorf("%d callers got tokens, want 1", got.granted)
			}
			got.wantDead(t, app, by, at)
		}
		if n := len(replays(t, s)) - before; n != rounds {
			t.Errorf("%d replays were recorded for %d codes", n, rounds)
		}
	})
}

// RFC 7009 Section 2.1: however a revocation and refreshes with tokens of two
// generations fall together, after the revocation was acknowledged nothing of the
// grant works, what was got meanwhile included (RT-06, RV-12).
func TestRFC7009_2_1_RevocationRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	by := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for range 8 {
			first := app.SignInAndExchange(t).RefreshToken
			second := app.Refresh(t, at, first).Text("refresh_token")
			var got haul
			together(12, func(i int) {
				switch {
				case i == 5:
					if answer := s.Post(t, "/revoke", app.Credentials("token", second)); answer.StatusCode != http.StatusOK {
						t.Errorf("revocation: %d %s", answer.StatusCode, answer.Body)
					}
				case i%2 == 0:
					got.add(t, app.Refresh(t, at, first))
				default:
					got.add(t, app.Refresh(t, at, second))
				}
			})
			got.wantDead(t, app, by, at)
			for _, token := range []string{first, second} {
				wantTokenError(t, app.Refresh(t, at, token), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
	})
}

// When somebody is taken out of force while codes are redeemed, tokens refreshed
// and passwords checked, nothing that anybody got works afterwards, and it does
// not come back with the user or the client (CO-07, RO-06, AT-04).
func TestDisablingRace(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	by := observer(t, s)
	for name, act := range map[string]struct {
		end, begin func(app *oauthtest.App, user *store.User) error
	}{
		"user": {
			func(_ *oauthtest.App, u *store.User) error {
				return s.Store.DisableUser(t.Context(), u.ID, s.Clock.Now(), byOperator)
			},
			func(_ *oauthtest.App, u *store.User) error {
				return s.Store.EnableUser(t.Context(), u.ID, s.Clock.Now(), byOperator)
			},
		},
		"client": {
			func(app *oauthtest.App, _ *store.User) error {
				return s.Store.DisableClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator)
			},
			func(app *oauthtest.App, _ *store.User) error {
				return s.Store.EnableClient(t.Context(), app.ClientID, s.Clock.Now(), byOperator)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				app := s.App(t).At(at)
				for round := range 4 {
					// A user of its own: the refused passwords of the last round count.
					user := s.User(t, fmt.Sprintf("%s-%s-%d", name, at.Name, round))
					var codes, tokens []string
					for range 4 {
						app.Browser = s.Browser(t)
						codes = append(codes, app.Authorize(t, user.Username, ""))
						tokens = append(tokens, redeem(t, app, app.Authorize(t, user.Username, "")).Text("refresh_token"))
					}
					password := app.Credentials("grant_type", "password", "username", user.Username, "password", oauthtest.Password)
					var got haul
					together(13, func(i int) {
						switch {
						case i == 12:
							if err := act.end(app, user); err != nil {
								t.Error(err)
							}
						case i%3 == 0:
							got.add(t, redeem(t, app, codes[i/3]))
						case i%3 == 1:
							got.add(t, app.Refresh(t, at, tokens[i/3]))
						default:
							got.add(t, s.Post(t, at.Password, password))
						}
					})
					got.wantDead(t, app, by, at)
					if err := act.begin(app, user); err != nil {
						t.Fatal(err)
					}
					got.wantDead(t, app, by, at)
				}
			})
		})
	}
}
