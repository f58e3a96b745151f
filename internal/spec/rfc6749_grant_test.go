package spec_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// The life of a grant, from the code to the row that goes away: what is in force
// in which state, and what ends it.

// grantOf is the one row that a user has.
func grantOf(t *testing.T, s *oauthtest.Server, user *store.User) *store.Grant {
	t.Helper()
	grants, err := s.Store.Grants(t.Context(), user.ID, "", 10)
	if err != nil || len(grants) != 1 {
		t.Fatalf("%d grants, %v, want one", len(grants), err)
	}
	return &grants[0]
}

// A grant is one row for its whole life: made with the code, live when that is
// redeemed, moved on by refreshes, revoked by its end.
func TestGrantIsOneRow(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, user := s.App(t).At(at), newUser(t, s)
		code := app.Authorize(t, user.Username, "")
		pending := grantOf(t, s, user)
		if !pending.RedeemedAt.IsZero() || pending.Generation != 0 || pending.GrantType != "authorization_code" || pending.ClientID != app.ClientID {
			t.Errorf("pending: %+v", pending)
		}
		token := redeem(t, app, code).Text("refresh_token")
		if g := grantOf(t, s, user); g.ID != pending.ID || g.RedeemedAt.IsZero() || g.Generation != 0 {
			t.Errorf("live: %+v", g)
		}
		for i := range 20 {
			token = next(t, app, at, token).Text("refresh_token")
			if g := grantOf(t, s, user); g.ID != pending.ID || g.Generation != int64(i+1) || !g.RevokedAt.IsZero() {
				t.Fatalf("after %d refreshes: %+v", i+1, g)
			}
		}
		wantTokenError(t, redeem(t, app, code), http.StatusBadRequest, oauth.InvalidGrant)
		if g := grantOf(t, s, user); g.ID != pending.ID || g.RevokedAt.IsZero() || g.RevokeReason == "" {
			t.Errorf("revoked: %+v", g)
		}
	})
}

// A row goes when its last thing can no longer be used, and not before: a code
// that nobody redeemed with the request it came from, a grant without refresh
// token with the access token, another with its absolute end.
func TestGrantGoes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scope    string
		redeemed bool
		after    time.Duration
	}{
		"never redeemed":        {"read", false, time.Hour},
		"with a refresh token":  {"read", true, 90 * 24 * time.Hour},
		"with an access token":  {"openid", true, time.Hour}, // never before the sealed request it came from
		"offline_access":        {"openid offline_access", true, 90 * 24 * time.Hour},
		"password, no refresh":  {"openid", true, 10 * time.Minute},
		"password with refresh": {"read", true, 90 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			app, user := s.App(t), newUser(t, s)
			app.Scopes = strings.Fields(tt.scope)
			if strings.HasPrefix(name, "password") {
				wantGranted(t, s.Post(t, "/token", passwordForm(app, user.Username, oauthtest.Password, "scope", tt.scope)))
			} else if code := app.Authorize(t, user.Username, ""); tt.redeemed {
				wantGranted(t, redeem(t, app, code))
			}
			sweep := func() int {
				for {
					more, err := s.Store.DeleteExpired(t.Context(), s.Clock.Now())
					if err != nil {
						t.Fatal(err)
					}
					if !more {
						break
					}
				}
				grants, err := s.Store.Grants(t.Context(), user.ID, "", 10)
				if err != nil {
					t.Fatal(err)
				}
				return len(grants)
			}
			s.Clock.Advance(tt.after - time.Minute)
			if sweep() != 1 {
				t.Errorf("the row has gone a minute before %s", tt.after)
			}
			s.Clock.Advance(2 * time.Minute)
			if sweep() != 0 {
				t.Errorf("the row is still there a minute after %s", tt.after)
			}
		})
	}
}

// A token whose row has gone is dead, and so is everything that could bring it
// back.
func TestGrantGone(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, user := s.App(t).At(at), newUser(t, s)
		code := app.Authorize(t, user.Username, "")
		answer := redeem(t, app, code)
		s.Clock.Advance(91 * 24 * time.Hour)
		if _, err := s.Store.DeleteExpired(t.Context(), s.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(-91 * 24 * time.Hour) // a clock that steps back revives nothing (CK-01)
		wantActive(t, app, "access token", answer.Text("access_token"), false)
		wantActive(t, app, "refresh token", answer.Text("refresh_token"), false)
		wantTokenError(t, app.Refresh(t, at, answer.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		wantTokenError(t, redeem(t, app, code), http.StatusBadRequest, oauth.InvalidGrant)
		if answer := s.Post(t, "/revoke", app.Credentials("token", answer.Text("refresh_token"))); answer.StatusCode != http.StatusOK {
			t.Errorf("revoking: %d %s", answer.StatusCode, answer.Body)
		}
	})
}

// A clock that is set back an hour makes no used code and no rotated token new
// (CK-01).
func TestGrantWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t, grace(0)).At(at)
		code := app.Authorize(t, "alice", "")
		answer := redeem(t, app, code)
		second := next(t, app, at, answer.Text("refresh_token")).Text("refresh_token")
		s.Clock.Advance(-time.Hour)
		third := next(t, app, at, second).Text("refresh_token")
		s.Clock.Advance(2 * time.Hour)
		next(t, app, at, third)
		s.Clock.Advance(-2 * time.Hour)
		wantTokenError(t, app.Refresh(t, at, second), http.StatusBadRequest, oauth.InvalidGrant)
		wantTokenError(t, app.Refresh(t, at, third), http.StatusBadRequest, oauth.InvalidGrant)
		wantTokenError(t, redeem(t, app, code), http.StatusBadRequest, oauth.InvalidGrant)
		s.Clock.Advance(time.Hour)
	})
}

// Disabling, deleting, a new password, a withdrawn consent and revoke-all end
// access tokens at once, signed and opaque, of the user and of the client itself;
// nothing of it comes back, and afterwards those who are in force again begin
// anew (AT-04, RT-06, CO-07).
func TestGrantEnds(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			for name, tt := range endings() {
				t.Run(name, func(t *testing.T) {
					app, user, other := s.App(t, format).At(at), newUser(t, s), newUser(t, s)
					own, err := app.ClientToken(t, at)
					if err != nil {
						t.Fatal(err)
					}
					token := redeem(t, app, app.Authorize(t, user.Username, ""))
					others := s.Post(t, at.Password, passwordForm(app, other.Username, oauthtest.Password))
					wantActive(t, watcher, "token of the user", token.Text("access_token"), true)
					wantActive(t, watcher, "token of the client", own.AccessToken, true)
					tt.end(t, s, app, user)
					client := strings.HasPrefix(name, "client") || name == "everything revoked"
					wantActive(t, watcher, "token of the user", token.Text("access_token"), false)
					wantActive(t, watcher, "refresh token of the user", token.Text("refresh_token"), false)
					wantActive(t, watcher, "token of the client", own.AccessToken, !client)
					wantActive(t, watcher, "token of another user", others.Text("access_token"), !client)
					if strings.Contains(name, " and ") || name == "password changed" || name == "consent withdrawn" {
						again := redeem(t, app, app.Authorize(t, user.Username, ""))
						wantGranted(t, again)
						wantActive(t, watcher, "new token of the user", again.Text("access_token"), true)
						wantActive(t, watcher, "old token of the user", token.Text("access_token"), false)
					}
				})
			}
		}
	})
}

// After revoke-all everything can begin anew within a second, tokens of clients
// included.
func TestGrantAfterRevokeAll(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		app.SignInAndExchange(t)
		if err := s.Store.RevokeAll(t.Context(), s.Clock.Now(), byOperator); err != nil {
			t.Fatal(err)
		}
		wantActive(t, app, "token of a user", app.SignInAndExchange(t).AccessToken, true)
		for began := time.Now(); ; {
			token, err := app.ClientToken(t, at)
			if err != nil {
				t.Fatal(err)
			}
			if app.Active(t, token.AccessToken) {
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Fatal("a new token of a client is still dead")
			}
		}
	})
}

// Withdrawing a consent ends the grants of that user and client, all of them,
// and those only; the next request asks again.
func TestGrantsOfAWithdrawnConsent(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, other, user := s.App(t).At(at), s.App(t).At(at), newUser(t, s)
		var ended, kept []*oauthtest.Answer
		for range 3 {
			ended = append(ended, redeem(t, app, app.Authorize(t, user.Username, "")))
		}
		kept = append(kept, redeem(t, other, other.Authorize(t, user.Username, "")))
		fresh := *app
		fresh.Browser = s.Browser(t)
		kept = append(kept, redeem(t, app, fresh.Authorize(t, newUser(t, s).Username, "")))
		if err := s.Store.WithdrawConsent(t.Context(), user.ID, app.ClientID, s.Clock.Now(), byOperator); err != nil {
			t.Fatal(err)
		}
		for _, answer := range ended {
			wantActive(t, watcher, "token under the consent", answer.Text("access_token"), false)
			wantTokenError(t, app.Refresh(t, at, answer.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		}
		for _, answer := range kept {
			wantActive(t, watcher, "token of another user or client", answer.Text("access_token"), true)
		}
		app.Browser.Open(t, app.AuthCodeURL("state-1"))
		if !app.Browser.On("consent-form") {
			t.Error("the user was not asked again")
		}
	})
}

// signOut ends the session of a browser by the page for it.
func signOut(t *testing.T, b *oauthtest.Browser) {
	t.Helper()
	b.Open(t, "/end-session")
	b.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	if !b.On("logged-out") {
		t.Fatalf("sign-out ended on %s:\n%s", b.Page.Request.URL.Path, b.Page.Body)
	}
}

// Grants with openid and without offline_access are bound to the session and end
// at sign-out, codes included; all others outlive it (LO-03).
func TestGrantBoundToSession(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for scope, bound := range map[string]bool{"openid": true, "openid read": true, "openid offline_access": false, "read": false, "offline_access": false} {
			t.Run(scope, func(t *testing.T) {
				app, user := s.App(t).At(at), newUser(t, s)
				app.Scopes = strings.Fields(scope)
				elsewhere := *app
				elsewhere.Browser = s.Browser(t)
				other := redeem(t, app, elsewhere.Authorize(t, user.Username, ""))
				answer, code := redeem(t, app, app.Authorize(t, user.Username, "")), app.Authorize(t, user.Username, "")
				fragment := implicit(t, app, at, user, scope)
				signOut(t, app.Browser)
				wantActive(t, app, "access token", answer.Text("access_token"), !bound)
				wantActive(t, app, "token from the fragment", fragment, !strings.Contains(scope, "openid")) // nothing is offline without a code
				wantActive(t, app, "token of the other session", other.Text("access_token"), true)
				if bound {
					wantTokenError(t, redeem(t, app, code), http.StatusBadRequest, oauth.InvalidGrant)
				} else {
					wantGranted(t, redeem(t, app, code))
					next(t, app, at, answer.Text("refresh_token"))
				}
			})
		}
	})
}

// implicit gets a token in the fragment.
func implicit(t *testing.T, app *oauthtest.App, at oauthtest.Addresses, user *store.User, scope string) string {
	t.Helper()
	location := app.Browser.Walk(t, at.Implicit+"?"+url.Values{
		"response_type": {"token"}, "client_id": {app.ClientID}, "redirect_uri": {oauthtest.Callback}, "scope": {scope},
	}.Encode(), user.Username)
	fragment, err := url.ParseQuery(location.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	return fragment.Get("access_token")
}

// A session that merely expires ends nothing; one that another user's takes the
// place of does (LO-03).
func TestGrantWhenTheSessionGoes(t *testing.T) {
	t.Parallel()
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		s := oauthtest.Start(t, func(c *config.Config) {
			c.SessionIdleLifetime, c.SessionLifetime = time.Minute, 2*time.Minute
		})
		app, user, other := s.App(t).At(at), newUser(t, s), newUser(t, s)
		app.Scopes = []string{"openid"}
		expired := redeem(t, app, app.Authorize(t, user.Username, ""))
		s.Clock.Advance(3 * time.Minute)
		if _, err := s.Store.DeleteExpired(t.Context(), s.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		wantActive(t, app, "token of an expired session", expired.Text("access_token"), true)

		own := redeem(t, app, app.Authorize(t, user.Username, ""))
		app.Browser.Walk(t, app.AuthCodeURL("s"), user.Username) // the same user again: nothing ends
		again := *app
		again.Endpoint.AuthURL += "?prompt=login"
		renewed := redeem(t, app, again.Authorize(t, user.Username, ""))
		wantActive(t, app, "token of before a new sign-in", own.Text("access_token"), true)
		wantGranted(t, redeem(t, app, again.Authorize(t, other.Username, "")))
		wantActive(t, app, "token of who was signed in before", renewed.Text("access_token"), false)
		wantActive(t, app, "token of who was signed in before", own.Text("access_token"), false)
	})
}

// Revoking one grant from the outside, as the operator's command does, ends that
// grant at once and no other.
func TestGrantRevokedByOperator(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, user := s.App(t).At(at), newUser(t, s)
		answer := redeem(t, app, app.Authorize(t, user.Username, ""))
		g := grantOf(t, s, user)
		kept := redeem(t, app, app.Authorize(t, user.Username, ""))
		if err := s.Store.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "revoked by the operator", s.Clock.Now(), byOperator); err != nil {
			t.Fatal(err)
		}
		wantActive(t, app, "access token", answer.Text("access_token"), false)
		wantTokenError(t, app.Refresh(t, at, answer.Text("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		wantActive(t, app, "token of the other grant", kept.Text("access_token"), true)
		next(t, app, at, kept.Text("refresh_token"))
	})
}
