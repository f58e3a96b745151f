package spec_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/server"
)

// A strict verifier keeps the key set for as long as the server says, and not a
// second less; it asks for nothing in between.
type verifier struct {
	server  *oauthtest.Server
	set     jose.JSONWebKeySet
	fetched time.Time
}

func (v *verifier) check(t *testing.T, token string) (kid string, err error) {
	t.Helper()
	if now := v.server.Clock.Now(); now.Sub(v.fetched) >= v.server.Config.JWKSMaxAge {
		v.set, v.fetched = keySet(t, v.server), now
	}
	header, _, err := verified(v.set, token)
	return header.KeyID, err
}

// OpenID Connect Core Section 10.1.1: through three rotations, one by command and two
// by age, verifiers that cache the key set see no signature fail, whenever they fetched
// it, until the last token of an old key has expired (KY-01, conformance 4).
func TestKeys_RotationUnderLoad(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, alg := range map[string]string{"ES256": "ES256", "RS256": "RS256"} {
		t.Run(name, func(t *testing.T) {
			purpose := issuer.PurposeES256
			if alg == "RS256" {
				purpose = issuer.PurposeRS256
			}
			app := s.App(t, func(m *oauth.ClientMetadata) { m.AccessTokenAlg, m.AccessTokenLifetime = alg, 3600 })
			verifiers := make([]*verifier, 8) // each with its own moment of fetching
			for i := range verifiers {
				verifiers[i] = &verifier{server: s, set: keySet(t, s), fetched: s.Clock.Now().Add(-time.Duration(i) * 2 * time.Minute)}
			}
			type issued struct {
				token string
				until time.Time
			}
			var live []issued
			used := map[string]bool{}
			for minute := range 200 {
				switch {
				case minute == 10, minute == 70, minute == 100: // the last one while the one before has just begun
					if _, err := s.Ring.Rotate(t.Context(), purpose, theOperator); err != nil {
						t.Fatal(err)
					}
				}
				token, err := app.ClientToken(t, oauthtest.AllAddresses[minute%2])
				if err != nil {
					t.Fatal(err)
				}
				live = append(live, issued{token.AccessToken, s.Clock.Now().Add(time.Hour)})
				for i, v := range verifiers {
					kid, err := v.check(t, token.AccessToken)
					if err != nil {
						t.Fatalf("minute %d, verifier %d: a new token: %v", minute, i, err)
					}
					used[kid] = true
					old := live[(minute*7+i)%len(live)]
					if _, err := v.check(t, old.token); err != nil && s.Clock.Now().Before(old.until) {
						t.Fatalf("minute %d, verifier %d: an old token: %v", minute, i, err)
					}
				}
				if !app.Active(t, token.AccessToken) {
					t.Fatalf("minute %d: the server refuses its own token", minute)
				}
				s.Clock.Advance(time.Minute)
			}
			if len(used) != 4 {
				t.Errorf("%d keys were used in 3 rotations", len(used))
			}
			s.Clock.Advance(2 * time.Hour)
			count := 0
			for _, k := range keySet(t, s).Keys {
				if k.Algorithm == alg {
					count++
				}
			}
			if count != 1 {
				t.Errorf("%d %s keys are published when all old tokens have expired", count, alg)
			}
		})
	}
}

// OpenID Connect Core Section 10.1.1: what a command does beside the running server, with
// the database alone, shows in its key set soon: a new key beside the old one, whose
// tokens stay good, and which makes way when everybody can know the new one (KY-01,
// conformance 4).
func TestKeys_RotatedByACommand(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	old, _ := p.idToken(t, "code")
	before := keySet(t, s)
	command, err := server.OpenParts(t.Context(), s.Config, s.Clock.Now)
	ok(t, err)
	_, err = command.Ring.Rotate(t.Context(), issuer.PurposeRS256, theOperator)
	ok(t, errors.Join(err, command.Close()))
	eventually(t, "the key set holds one more", func() bool { return len(keySet(t, s).Keys) == len(before.Keys)+1 })
	after := keySet(t, s)
	for _, key := range before.Keys {
		if len(after.Key(key.KeyID)) != 1 {
			t.Errorf("key %s is gone", key.KeyID)
		}
	}
	s.Clock.Advance(s.Config.JWKSMaxAge + time.Minute)
	fresh, _ := p.idToken(t, "code", "prompt", "none", "id_token_hint", old)
	if kid, _ := headerOf(t, fresh)["kid"].(string); kid == headerOf(t, old)["kid"] || len(after.Key(kid)) != 1 || len(before.Key(kid)) != 0 {
		t.Errorf("signed with %s", kid)
	}
}

// A key is removed in an emergency: it leaves the set at once, its tokens are
// refused at once, and new ones are signed with another (KY-02).
func TestKeys_EmergencyRemoval(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, tt := range map[string]struct {
		edit    func(*oauth.ClientMetadata)
		purpose string
	}{
		"ES256":  {func(*oauth.ClientMetadata) {}, issuer.PurposeES256},
		"RS256":  {func(m *oauth.ClientMetadata) { m.AccessTokenAlg = "RS256" }, issuer.PurposeRS256},
		"opaque": {oauthtest.Opaque, issuer.PurposeAccessToken},
	} {
		t.Run(name, func(t *testing.T) {
			app := s.App(t, tt.edit)
			before := accessTokens(t, app, oauthtest.AllAddresses[0])
			var kid string
			for _, k := range s.Ring.List() {
				if k.Purpose == tt.purpose && k.RetiredAt.IsZero() {
					kid = k.ID
				}
			}
			if err := s.Ring.Remove(t.Context(), kid, theOperator); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(s.Get(t, "/jwks").Body), kid) {
				t.Error("the key is still published")
			}
			for grant, token := range before {
				if app.Active(t, token) {
					t.Errorf("%s: a token of the removed key is active", grant)
				}
			}
			for grant, token := range accessTokens(t, app, oauthtest.AllAddresses[1]) {
				if !app.Active(t, token) {
					t.Errorf("%s: a new token is not active", grant)
				}
				if tt.purpose == issuer.PurposeAccessToken {
					continue
				}
				if header, _, err := verified(keySet(t, s), token); err != nil || header.KeyID == kid {
					t.Errorf("%s: signed by %s: %v", grant, header.KeyID, err)
				}
			}
		})
	}
}

// A clock that is set forward or back by an hour breaks nothing: flows work under
// the new time, and what was used, revoked or expired stays so where the state
// says it (CK-01).
func TestClock_SteppedByAnHour(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				s := oauthtest.Start(t)
				app := s.App(t)
				used := codeWith(t, app, at.Code, "")
				tokens := redeemWith(t, app, at.AuthorizationCode, used, "")
				ended := redeemWith(t, app, at.AuthorizationCode, codeWith(t, app, at.Code, ""), "")
				s.Post(t, "/revoke", app.Credentials("token", ended.Text("refresh_token")))
				opened := s.Browser(t)
				opened.Open(t, authorizationURL(app, at.Code, "prompt", "login"))
				consent := s.Browser(t)
				consent.Open(t, authorizationURL(app, at.Code, "prompt", "consent"))
				consent.SignIn(t, "alice")
				used2 := *consent
				consent.Approve(t)

				s.Clock.Advance(step)
				for what, answer := range map[string]*oauthtest.Answer{
					"a used code":            redeemWith(t, app, at.AuthorizationCode, used, ""),
					"a revoked token":        app.Refresh(t, at, ended.Text("refresh_token")),
					"a token of a used code": app.Refresh(t, at, tokens.Text("refresh_token")),
				} {
					if what == "a token of a used code" && answer.StatusCode == http.StatusOK {
						continue // asked for before the code was replayed
					}
					if answer.Text("error") != "invalid_grant" {
						t.Errorf("%s: %d %s", what, answer.StatusCode, answer.Body)
					}
				}
				if app.Active(t, ended.Text("access_token")) {
					t.Error("a revoked access token is active")
				}
				used2.Approve(t)
				if responseCode(used2.Page) != "" {
					t.Error("a used consent page gave another code")
				}
				// Whoever was in the middle can go on, and new flows work. A counter that
				// seems to come from the future holds nobody up for long.
				for tries := 0; opened.On("login-form") && tries < 3; tries++ {
					opened.SignIn(t, "alice")
					if opened.Page.StatusCode == http.StatusTooManyRequests {
						s.Clock.Advance(65 * time.Second)
					}
				}
				if opened.On("consent-form") {
					opened.Approve(t)
				}
				if responseCode(opened.Page) == "" {
					t.Errorf("a sign-in begun before ended at %s: %d", opened.Page.Request.URL.Path, opened.Page.StatusCode)
				}
				fresh := redeemWith(t, app, at.AuthorizationCode, codeWith(t, app, at.Code, ""), "")
				if !app.Active(t, fresh.Text("access_token")) || app.Refresh(t, at, fresh.Text("refresh_token")).StatusCode != http.StatusOK {
					t.Errorf("a new flow: %s", fresh.Body)
				}
			})
		})
	}
}
