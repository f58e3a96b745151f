package spec_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// wantInactive checks the one answer about a token that is dead or none of the
// caller's business: nothing but that, RFC 7662 Section 2.2.
func wantInactive(t *testing.T, by *oauthtest.App, what, token string) {
	t.Helper()
	answer := by.Introspect(t, token)
	if answer.StatusCode != http.StatusOK || strings.TrimSpace(string(answer.Body)) != `{"active":false}` {
		t.Errorf("%s: %d %.300s", what, answer.StatusCode, answer.Body)
	}
}

// RFC 7662 Section 2.2: what is told of a live token, signed or opaque, of a user
// or of a client, and of a refresh token.
func TestRFC7662_2_2_Active(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for name, format := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
			t.Run(name, func(t *testing.T) {
				app, user := s.App(t, format).At(at), newUser(t, s)
				token := redeem(t, app, app.Authorize(t, user.Username, ""))
				own, err := app.ClientToken(t, at)
				if err != nil {
					t.Fatal(err)
				}
				now := float64(s.Clock.Now().Unix())
				ofUser := map[string]any{
					"active": true, "client_id": app.ClientID, "username": user.Username, "sub": user.ID, "scope": "read", "iss": s.URL, "aud": s.URL,
					"acr": "urn:hufu:acr:password", "amr": []any{"pwd"},
				}
				ofAccess := map[string]any{"token_type": "Bearer"}
				maps.Copy(ofAccess, ofUser)
				for _, tt := range []struct {
					what, token string
					want        map[string]any
					times       []string
					lives       float64
				}{
					{"access token", token.Text("access_token"), ofAccess, []string{"auth_time", "exp", "iat", "jti"}, 600},
					{"refresh token", token.Text("refresh_token"), ofUser, []string{"auth_time", "exp", "iat"}, 30 * 24 * 3600},
					{"client's token", own.AccessToken, map[string]any{
						"active": true, "client_id": app.ClientID, "sub": app.ClientID, "scope": "read", "iss": s.URL, "aud": s.URL, "token_type": "Bearer",
					}, []string{"exp", "iat", "jti"}, 600},
				} {
					answer := app.Introspect(t, tt.token)
					if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s: %d %v", tt.what, answer.StatusCode, answer.Header)
					}
					var got map[string]any
					if err := json.Unmarshal(answer.Body, &got); err != nil {
						t.Fatal(err)
					}
					exp, _ := got["exp"].(float64)
					if iat, _ := got["iat"].(float64); iat < now-60 || iat > now+60 || exp != iat+tt.lives {
						t.Errorf("%s: iat %v, exp %v, now %v", tt.what, got["iat"], got["exp"], now)
					}
					for _, member := range tt.times {
						if got[member] == nil {
							t.Errorf("%s: no %s", tt.what, member)
						}
						delete(got, member)
					}
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Errorf("%s: %s", tt.what, diff)
					}
				}
			})
		}
	})
}

// RFC 7662 Section 2.1: introspection is a POST by an authenticated client; a
// public client has nothing to prove itself with (IN-01).
func TestRFC7662_2_1_Unauthenticated(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app, public := s.App(t), s.PublicApp(t)
	form := app.Credentials("token", app.SignInAndExchange(t).AccessToken)
	wantTokenError(t, s.Post(t, "/introspect", lacking(form, "client_id", "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, s.Post(t, "/introspect", lacking(form, "client_secret")), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, s.Post(t, "/introspect", changed(form, "client_secret", "not the secret at all")), http.StatusUnauthorized, oauth.InvalidClient)
	wantTokenError(t, s.Post(t, "/introspect", changed(form, "client_id", "nobody")), http.StatusUnauthorized, oauth.InvalidClient)
	own := public.SignInAndExchange(t)
	for _, token := range []string{own.AccessToken, own.RefreshToken, form.Get("token"), "x"} {
		wantTokenError(t, s.Post(t, "/introspect", public.Credentials("token", token)), http.StatusUnauthorized, oauth.InvalidClient)
	}
	bearer := formTo(t, s, "/introspect", lacking(form, "client_id", "client_secret"))
	bearer.Header.Set("Authorization", "Bearer "+form.Get("token"))
	wantTokenError(t, s.Do(t, bearer), http.StatusUnauthorized, oauth.InvalidClient)
	if got := s.Get(t, "/introspect?"+form.Encode()); got.StatusCode != http.StatusMethodNotAllowed || got.JSON("active") != nil {
		t.Errorf("GET: %d %s", got.StatusCode, got.Body)
	}
	wantTokenError(t, s.Post(t, "/introspect", lacking(form, "token")), http.StatusBadRequest, oauth.InvalidRequest)
	wantTokenError(t, s.Post(t, "/introspect", changed(form, "token", "")), http.StatusBadRequest, oauth.InvalidRequest)
	wantTokenError(t, s.Post(t, "/introspect?token="+form.Get("token"), lacking(form, "token")), http.StatusBadRequest, oauth.InvalidRequest)
	m := oauthtest.EveryGrant()
	oauthtest.Public(&m)
	m.Introspect = oauth.IntrospectAny
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("registering a public client that introspects: %v", err)
	}
}

// RFC 7662 Section 2.1: token_type_hint helps and never decides.
func TestRFC7662_2_1_Hint(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
		app := s.App(t, format)
		token := app.SignInAndExchange(t)
		for _, hint := range []string{"access_token", "refresh_token", "", "nonsense", "界", strings.Repeat("x", 5000)} {
			for _, text := range []string{token.AccessToken, token.RefreshToken} {
				if answer := s.Post(t, "/introspect", app.Credentials("token", text, "token_type_hint", hint, "unknown", "1")); answer.JSON("active") != true {
					t.Errorf("hint %.20q: %d %s", hint, answer.StatusCode, answer.Body)
				}
			}
		}
	}
}

// The request is a POST of a form, with the rules of the token endpoint.
func TestRFC7662_2_1_Form(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	wantFormRules(t, s.App(t), "/introspect")
}

// RFC 7662 Section 2.2: of a token that is expired, revoked, forged or none at
// all, nothing is said but that it is not active (IN-02, AT-01, AT-03).
func TestRFC7662_2_2_Inactive(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			app := s.App(t, format).At(at)
			live, revoked, expired := app.SignInAndExchange(t), app.SignInAndExchange(t), app.SignInAndExchange(t)
			revoke(t, app, revoked.AccessToken)
			own, err := app.ClientToken(t, at)
			if err != nil {
				t.Fatal(err)
			}
			dead := map[string]string{
				"text": "x", "space": " ", "dots": "..", "prefix": "hat_", "other prefix": "hrt_", "huge": strings.Repeat("A", 60_000), "huge opaque": "hat_" + strings.Repeat("A", 60_000),
				"revoked": revoked.AccessToken, "code": app.Authorize(t, "alice", ""), "secret": app.ClientSecret, "with a space": live.AccessToken + " ",
				"not ours": "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJ4In0.AAAA", "refresh as opaque": "hat_" + strings.TrimPrefix(live.RefreshToken, "hrt_"),
				"access as refresh": "hrt_" + strings.TrimPrefix(live.AccessToken, "hat_"), "refresh longer": live.RefreshToken + "A",
			}
			for name, token := range map[string]string{"access": live.AccessToken, "client's": own.AccessToken, "refresh": live.RefreshToken} {
				for _, at := range []int{5, len(token) / 3, len(token) / 2, len(token) - 20} {
					flipped := []byte(token)
					flipped[at] ^= 1
					dead[name+" changed"] = string(flipped)
					wantInactive(t, watcher, name+" changed", string(flipped))
				}
			}
			if parts := strings.Split(live.AccessToken, "."); len(parts) == 3 {
				none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
				dead["alg none"] = none + "." + parts[1] + "."
				dead["alg none, signed"] = none + "." + parts[1] + "." + parts[2]
				dead["unsigned"] = parts[0] + "." + parts[1] + "."
				dead["padded"] = live.AccessToken + "="
				dead["claims of another"] = strings.Split(own.AccessToken, ".")[0] + "." + parts[1] + "." + strings.Split(own.AccessToken, ".")[2]
			}
			for name, token := range dead {
				wantInactive(t, app, name, token)
				wantInactive(t, watcher, name, token)
			}
			s.Clock.Advance(10*time.Minute + time.Second)
			for name, token := range map[string]string{"expired": expired.AccessToken, "expired, of the client": own.AccessToken} {
				wantInactive(t, app, name, token)
			}
			wantActive(t, app, "refresh token", expired.RefreshToken, true)
			s.Clock.Advance(31 * 24 * time.Hour)
			wantInactive(t, app, "idle refresh token", expired.RefreshToken)
		}
	})
}

// A client sees its own tokens, those whose aud names it, and all if it is
// registered for that; of the rest it learns nothing, also not that they are
// dead (IN-02).
func TestRFC7662_4_WhoMaySee(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	watcher := observer(t, s)
	for name, format := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
		api := "https://api.example/" + name
		apiID, apiSecret := s.Register(t, api, oauth.ClientMetadata{GrantTypes: []string{oauth.GrantClientCredentials}})
		resourceServer := *watcher
		resourceServer.ClientID, resourceServer.ClientSecret = apiID, apiSecret
		stranger := s.App(t)
		app := s.App(t, format, func(m *oauth.ClientMetadata) { m.Resources = []string{api, "https://other.example/"} })
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			for resource, seen := range map[string]bool{api: true, "https://other.example/": false, "": false} {
				ofUser := s.Post(t, at.Password, passwordForm(app, "alice", oauthtest.Password, "resource", resource))
				ofClient := s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials", "resource", resource))
				for what, token := range map[string]string{"user's token": ofUser.Text("access_token"), "client's token": ofClient.Text("access_token")} {
					wantActive(t, app, what+" by its client", token, true)
					wantActive(t, watcher, what+" by one that may see any", token, true)
					wantInactive(t, stranger, what+" by a stranger", token)
					if seen {
						wantActive(t, &resourceServer, what+" by its audience", token, true)
					} else {
						wantInactive(t, &resourceServer, what+" by another resource server", token)
					}
				}
				refresh := ofUser.Text("refresh_token")
				wantActive(t, app, "refresh token by its client", refresh, true)
				wantActive(t, watcher, "refresh token by one that may see any", refresh, true)
				wantInactive(t, stranger, "refresh token by a stranger", refresh)
				wantInactive(t, &resourceServer, "refresh token by a resource server", refresh)
			}
		})
	}
}

// Introspecting a refresh token tells whether it would refresh, and changes
// nothing: not the row, not the token, and a replayed one is not taken for used.
func TestRFC7662_2_2_RefreshToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		tokens := []string{app.SignInAndExchange(t).RefreshToken}
		for range 3 {
			tokens = append(tokens, next(t, app, at, tokens[len(tokens)-1]).Text("refresh_token"))
		}
		live := func() []bool {
			var live []bool
			for _, token := range tokens {
				live = append(live, app.Active(t, token))
			}
			return live
		}
		for range 2 {
			if diff := cmp.Diff([]bool{false, false, true, true}, live()); diff != "" {
				t.Errorf("within the window: %s", diff)
			}
		}
		s.Clock.Advance(40 * time.Second)
		if diff := cmp.Diff([]bool{false, false, false, true}, live()); diff != "" {
			t.Errorf("after the window: %s", diff)
		}
		if slices.Contains(live(), true) {
			next(t, app, at, tokens[3])
		}
	})
}

// One opaque token has one text: bits of the last character that mean nothing,
// padding and line breaks make another text, which is no token.
func TestRFC7662_2_2_OneSpelling(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t, oauthtest.Opaque)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	respelt := 0
	for _, scope := range []string{"read", "write"} { // of other lengths, so that one at least leaves bits over
		token := s.Post(t, "/token", app.Credentials("grant_type", "client_credentials", "scope", scope)).Text("access_token")
		wantActive(t, app, "token", token, true)
		texts := []string{token + "=", token + "==", token + "\n", token[:20] + "\n" + token[20:], token[:20] + "\r\n" + token[20:], "hat_" + token}
		if len(strings.TrimPrefix(token, "hat_"))%4 != 0 {
			respelt++
			last := strings.IndexByte(alphabet, token[len(token)-1])
			texts = append(texts, token[:len(token)-1]+string(alphabet[last^1]))
		}
		for _, text := range texts {
			wantInactive(t, app, "another spelling", text)
		}
	}
	if respelt == 0 {
		t.Error("no token left bits over")
	}
}

// A server that does not know a token says so of it however it was made: the
// issuer is part of every token.
func TestRFC7662_2_2_TokenOfAnotherServer(t *testing.T) {
	t.Parallel()
	one, other := oauthtest.Start(t), oauthtest.Start(t)
	for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
		token := one.App(t, format).SignInAndExchange(t)
		wantInactive(t, observer(t, other), "access token of another server", token.AccessToken)
		wantInactive(t, observer(t, other), "refresh token of another server", token.RefreshToken)
	}
}
