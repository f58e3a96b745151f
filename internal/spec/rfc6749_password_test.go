package spec_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// behindProxy has a server believe X-Forwarded-For, so that a test can call from
// many addresses.
func behindProxy(c *config.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// postFrom sends a form from an address.
func postFrom(t testing.TB, s *oauthtest.Server, address, path string, form url.Values) *oauthtest.Answer {
	t.Helper()
	r := formTo(t, s, path, form)
	r.Header.Set("X-Forwarded-For", address)
	return s.Do(t, r)
}

// passwordForm is a right request of the password grant.
func passwordForm(app *oauthtest.App, username, password string, pairs ...string) url.Values {
	return app.Credentials(append([]string{"grant_type", "password", "username", username, "password", password}, pairs...)...)
}

// RFC 6749 Section 4.3.2: the right name and password give tokens, to a library
// that is not ours; the token tells how and when the user proved who they are. No
// cookie is set.
func TestRFC6749_4_3_2_Password(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		own := *app
		own.Endpoint.TokenURL = s.URL + at.Password
		token, err := own.PasswordCredentialsToken(t.Context(), "alice", oauthtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		seen := app.Introspect(t, token.AccessToken)
		if seen.JSON("active") != true || seen.Text("username") != "alice" || seen.Text("client_id") != app.ClientID {
			t.Errorf("introspection: %s", seen.Body)
		}
		if diff := cmp.Diff([]any{"pwd"}, seen.JSON("amr")); diff != "" {
			t.Errorf("amr: %s", diff)
		}
		if at, _ := seen.JSON("auth_time").(float64); s.Clock.Now().Sub(time.Unix(int64(at), 0)) > time.Minute {
			t.Errorf("auth_time = %v", seen.JSON("auth_time"))
		}
		if answer := s.Post(t, at.Password, passwordForm(app, "alice", oauthtest.Password)); len(answer.Cookies()) > 0 {
			t.Errorf("cookies: %v", answer.Cookies())
		}
	})
}

// A password is compared as it is, with its case, spaces and signs; a name in
// every spelling it has (LG-05).
func TestRFC6749_4_3_2_Spelling(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	user := s.User(t, "Ålice")
	const password = " pÄss+w%6Frd&x=y;界\t\"\\' "
	hash, err := s.Hasher.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Store.SetPassword(t.Context(), user.ID, hash, s.Clock.Now(), byOperator); err != nil {
		t.Fatal(err)
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		for _, name := range []string{"Ålice", "ålice", "ÅLICE", " ålice ", "A\u030alice", "ål\uff49ce"} {
			wantGranted(t, s.Post(t, at.Password, passwordForm(app, name, password)))
		}
		for _, wrong := range []string{strings.TrimSpace(password), strings.ToLower(password), password + " ", password[1:], strings.Repeat(password, 2)} {
			wantTokenError(t, s.Post(t, at.Password, passwordForm(app, "ålice", wrong)), http.StatusBadRequest, oauth.InvalidGrant)
		}
		s.Clock.Advance(time.Hour) // for the limiter
	})
}

// RFC 6749 Section 5.2: one refusal, word for word, for a name nobody has, a
// wrong password, a disabled or deleted user, one without a password, and names
// and passwords that cannot be any (RO-04, RO-06, LG-01).
func TestRFC6749_4_3_2_OneRefusal(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	now := s.Clock.Now()
	s.User(t, "wrong")
	disabled, deleted := s.User(t, "disabled"), s.User(t, "deleted")
	if err := s.Store.DisableUser(t.Context(), disabled.ID, now, byOperator); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.DeleteUser(t.Context(), deleted.ID, now, byOperator); err != nil {
		t.Fatal(err)
	}
	without := &store.User{ID: store.NewUserID(), Username: "without", UsernameKey: "without", CreatedAt: now}
	if err := s.Store.CreateUser(t.Context(), without, byOperator); err != nil {
		t.Fatal(err)
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		refused := s.Post(t, at.Password, passwordForm(app, "wrong", "not the password"))
		for _, try := range [][2]string{
			{"nobody", oauthtest.Password}, {"wrong", "Correct horse battery"}, {"disabled", oauthtest.Password}, {"disabled", "not the password"},
			{"deleted", oauthtest.Password}, {"without", oauthtest.Password}, {"without", "$argon2id$v=19$m=19456,t=2,p=1$aHVmdS1ub2JvZHktc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
			{"wr ong", oauthtest.Password}, {"a\nb", oauthtest.Password}, {strings.Repeat("a", 5000), oauthtest.Password}, {"' OR 1=1 --", oauthtest.Password},
			{"wrong", strings.Repeat("a", 1025)}, {"wrong", oauthtest.Password + strings.Repeat("a", 20_000)},
		} {
			answer := s.Post(t, at.Password, passwordForm(app, try[0], try[1]))
			wantTokenError(t, answer, http.StatusBadRequest, oauth.InvalidGrant)
			if string(answer.Body) != string(refused.Body) {
				t.Errorf("%.40q: %s, want %s", try[0], answer.Body, refused.Body)
			}
		}
		for _, name := range []string{"without", "wrong", "nobody"} { // an empty password is none
			wantTokenError(t, s.Post(t, at.Password, passwordForm(app, name, "")), http.StatusBadRequest, oauth.InvalidRequest)
		}
		s.Clock.Advance(24 * time.Hour)
	})
}

// RFC 9700 Section 2.4: the password grant is there for clients registered for
// it, and listed only while there is one; registering warns; a setting forbids it
// altogether. A client that may not use it learns nothing about a password
// (RO-01, DI-11).
func TestRFC9700_2_4_PasswordGrantIsOff(t *testing.T) {
	t.Parallel()
	grants := func(t *testing.T, s *oauthtest.Server) []any {
		s.Clock.Advance(5 * time.Second) // metadata may be a second old
		list, _ := s.Get(t, "/.well-known/oauth-authorization-server").JSON("grant_types_supported").([]any)
		return list
	}
	without := func(m *oauth.ClientMetadata) {
		m.GrantTypes = slices.DeleteFunc(m.GrantTypes, func(g string) bool { return g == oauth.GrantPassword })
	}
	for name, tt := range map[string]struct {
		edit       func(*config.Config)
		registered func(*oauth.ClientMetadata)
		listed     bool
		code       oauth.Code
	}{
		"fresh":      {func(*config.Config) {}, without, false, oauth.UnauthorizedClient},
		"registered": {func(*config.Config) {}, func(*oauth.ClientMetadata) {}, true, ""},
		"forbidden":  {func(c *config.Config) { c.ForbiddenGrants = []string{oauth.GrantPassword} }, func(*oauth.ClientMetadata) {}, false, oauth.UnsupportedGrantType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t, tt.edit)
			if slices.Contains(grants(t, s), any("password")) {
				t.Error("metadata of a fresh server lists password")
			}
			app := s.App(t, tt.registered)
			if got := slices.Contains(grants(t, s), any("password")); got != tt.listed {
				t.Errorf("metadata lists password: %t", got)
			}
			oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
				right, wrong := s.Post(t, at.Password, passwordForm(app, "alice", oauthtest.Password)), s.Post(t, at.Password, passwordForm(app, "alice", "not the password"))
				if tt.code == "" {
					wantGranted(t, right)
					wantTokenError(t, wrong, http.StatusBadRequest, oauth.InvalidGrant)
					return
				}
				wantTokenError(t, right, http.StatusBadRequest, tt.code)
				if string(right.Body) != string(wrong.Body) {
					t.Errorf("a right password: %s, a wrong one: %s", right.Body, wrong.Body)
				}
			})
		})
	}
	m := oauthtest.EveryGrant()
	if warnings := strings.Join(m.Warnings(), "\n"); !strings.Contains(warnings, "password") {
		t.Errorf("registering the grant warns: %q", warnings)
	}
	without(&m)
	if warnings := strings.Join(m.Warnings(), "\n"); strings.Contains(warnings, "password") {
		t.Errorf("not registering the grant warns: %q", warnings)
	}
}

// The sign-in page, /token and the alias share one limiter per account and
// network: who has guessed at one entrance is refused at all of them, under every
// spelling of the name, with 429 and Retry-After; others are not, and time mends
// it (RO-02, LG-02, LG-04, LG-05).
func TestRFC9700_2_4_OneLimiter(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, behindProxy)
	app := s.App(t)
	s.User(t, "bob")
	const attacker, owner = "198.51.100.7", "203.0.113.9"
	paths := []string{"/token", "/oauth2/password"}
	guess := func(i int, name, password string) *oauthtest.Answer {
		return postFrom(t, s, attacker, paths[i%2], passwordForm(app, name, password))
	}
	known := s.Browser(t) // a device alice has signed in with, at the attacker's network
	known.Open(t, "/login")
	known.SignIn(t, "alice")
	for i, name := range []string{"alice", "ALICE", " Alice", "ａlice", "alice", "aLice", "alice", "alice"} {
		wantTokenError(t, guess(i, name, "wrong password"), http.StatusBadRequest, oauth.InvalidGrant)
	}
	for i := range 4 {
		answer := guess(i, "alice", []string{"wrong password", oauthtest.Password}[i/2])
		wantTokenError(t, answer, http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 600 {
			t.Errorf("Retry-After = %q", answer.Header.Get("Retry-After"))
		}
	}
	if page := signInFrom(t, s, s.Browser(t), attacker, "alice", oauthtest.Password); page.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the sign-in page: %d", page.StatusCode)
	}
	if page := signInFrom(t, s, known, attacker, "alice", oauthtest.Password); page.StatusCode != http.StatusSeeOther {
		t.Errorf("the sign-in page in a browser alice has used: %d", page.StatusCode)
	}
	for i := range 2 {
		wantGranted(t, guess(i, "bob", oauthtest.Password))
		wantGranted(t, postFrom(t, s, owner, paths[i], passwordForm(app, "alice", oauthtest.Password)))
	}
	wait, _ := strconv.Atoi(guess(0, "alice", oauthtest.Password).Header.Get("Retry-After"))
	s.Clock.Advance(time.Duration(wait+1) * time.Second)
	wantGranted(t, guess(0, "alice", oauthtest.Password))
}

// signInFrom sends the sign-in page's form in a browser, from an address.
func signInFrom(t *testing.T, s *oauthtest.Server, b *oauthtest.Browser, address, username, password string) *oauthtest.Answer {
	t.Helper()
	b.Open(t, "/login")
	_, fields := b.Form(t, "login-form")
	fields.Set("username", username)
	fields.Set("password", password)
	fields.Set("action", "login")
	r := formTo(t, s, "/login", fields)
	r.Header.Set("X-Forwarded-For", address)
	r.Header.Set("Origin", s.Origin)
	for _, cookie := range b.Cookies(t) {
		r.AddCookie(cookie)
	}
	return s.Do(t, r)
}

// Guesses at the sign-in page count at the token endpoint (RO-02).
func TestRFC9700_2_4_PageGuessesCount(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app, user := s.App(t), newUser(t, s)
		for range 8 {
			if page := signInFrom(t, s, s.Browser(t), "127.0.0.1", user.Username, "wrong password"); page.StatusCode != http.StatusUnprocessableEntity {
				t.Fatalf("a wrong password at the page: %d", page.StatusCode)
			}
		}
		wantTokenError(t, s.Post(t, at.Password, passwordForm(app, user.Username, oauthtest.Password)), http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	})
}

// A success is never counted: nobody who knows the password is slowed down by
// using it (LG-02).
func TestRFC9700_2_4_SuccessesAreNotCounted(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		for range 12 {
			wantGranted(t, s.Post(t, at.Password, passwordForm(app, "alice", oauthtest.Password)))
		}
	})
}

// A grant by password gives a refresh token by the one rule there is: the client
// has the grant, and the scope lacks openid or holds offline_access (RO-05).
func TestRFC6749_4_3_3_RefreshToken(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		without := s.App(t, func(m *oauth.ClientMetadata) { m.GrantTypes = []string{oauth.GrantPassword} })
		for _, tt := range []struct {
			app   *oauthtest.App
			scope string
			want  bool
		}{
			{s.App(t), "read", true}, {s.App(t), "", true}, {s.App(t), "openid", false}, {s.App(t), "openid read", false},
			{s.App(t), "openid offline_access", true}, {s.App(t), "offline_access", true}, {without, "read", false}, {without, "openid offline_access", false},
		} {
			answer := s.Post(t, at.Password, passwordForm(tt.app, "alice", oauthtest.Password, "scope", tt.scope))
			wantGranted(t, answer)
			if got := answer.Text("refresh_token") != ""; got != tt.want {
				t.Errorf("scope %q: refresh token %t, want %t", tt.scope, got, tt.want)
			}
			if seconds, _ := answer.JSON("expires_in").(float64); seconds < 599 || seconds > 600 {
				t.Errorf("scope %q: expires_in = %v", tt.scope, answer.JSON("expires_in"))
			}
		}
	})
}

// RFC 6749 Section 4.4: a client gets a token for itself, as often as it likes,
// and nothing is written for it. Its subject is the client, no user is in it.
func TestRFC6749_4_4_2_ClientCredentials(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, format := range []func(*oauth.ClientMetadata){func(*oauth.ClientMetadata) {}, oauthtest.Opaque} {
			app := s.App(t, format)
			token, err := app.ClientToken(t, at)
			if err != nil {
				t.Fatal(err)
			}
			seen := app.Introspect(t, token.AccessToken)
			if seen.JSON("active") != true || seen.Text("sub") != app.ClientID || seen.Text("client_id") != app.ClientID || seen.Text("scope") != "read" {
				t.Errorf("introspection: %s", seen.Body)
			}
			for _, member := range []string{"username", "auth_time", "amr", "acr"} {
				if seen.JSON(member) != nil {
					t.Errorf("a client's token has %s %v", member, seen.JSON(member))
				}
			}
		}
	})
	if grants, err := s.Store.Grants(t.Context(), "", "", 10); err != nil || len(grants) > 0 {
		t.Errorf("client credentials wrote %d grants, %v", len(grants), err)
	}
}

// RFC 6749 Section 4.4.3: there is never a refresh token for a client itself, and
// none of the scopes that speak of a user, though it asks and is registered for
// them (TE-19).
func TestRFC6749_4_4_3_NoUserScopes(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		for scope, want := range map[string]any{"openid": nil, "offline_access": nil, "openid offline_access": nil, "read openid offline_access": "read", "openid write": "write"} {
			answer := s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials", "scope", scope))
			wantGranted(t, answer)
			if answer.JSON("refresh_token") != nil || answer.JSON("id_token") != nil || answer.JSON("scope") != want {
				t.Errorf("scope %q: %s", scope, answer.Body)
			}
			if seen := app.Introspect(t, answer.Text("access_token")); seen.JSON("scope") != want {
				t.Errorf("scope %q in the token: %v", scope, seen.JSON("scope"))
			}
		}
	})
}

// RFC 6749 Section 3.3: what a client is granted is what it asks for within its
// registration; more, or a badly made scope, is invalid_scope. Without a scope it
// gets its defaults, else everything but openid and offline_access; a client
// without scopes gets a token without scope (CC-01).
func TestRFC6749_3_3_Scope(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		registered := func(scope, defaults string) func(*oauth.ClientMetadata) {
			return func(m *oauth.ClientMetadata) { m.Scope, m.DefaultScope = scope, defaults }
		}
		plain, defaults, none := s.App(t), s.App(t, registered("read write openid", "write openid")), s.App(t, registered("", ""))
		for _, tt := range []struct {
			app   *oauthtest.App
			asked string
			want  any // the granted scope; oauth.InvalidScope
		}{
			{plain, "", "read write"},
			{plain, "read", "read"},
			{plain, "write read", "write read"},
			{plain, " read  write read ", "read write"},
			{plain, " ", "read write"},
			{plain, "admin", oauth.InvalidScope},
			{plain, "read admin", oauth.InvalidScope},
			{plain, "Read", oauth.InvalidScope},
			{plain, "read,write", oauth.InvalidScope},
			{plain, "read\twrite", oauth.InvalidScope},
			{plain, "read\nwrite", oauth.InvalidScope},
			{plain, "re\"ad", oauth.InvalidScope},
			{plain, "re\\ad", oauth.InvalidScope},
			{plain, "读", oauth.InvalidScope},
			{plain, "*", oauth.InvalidScope},
			{defaults, "", "write"}, // and openid, where there is a user
			{defaults, "read", "read"},
			{none, "", nil},
			{none, "read", oauth.InvalidScope},
			{none, "openid", oauth.InvalidScope},
		} {
			name := fmt.Sprintf("%q of %q", tt.asked, tt.app.ClientID)
			client := s.Post(t, at.ClientCredentials, tt.app.Credentials("grant_type", "client_credentials", "scope", tt.asked))
			user := s.Post(t, at.Password, passwordForm(tt.app, "alice", oauthtest.Password, "scope", tt.asked))
			if tt.want == oauth.InvalidScope {
				wantTokenError(t, client, http.StatusBadRequest, oauth.InvalidScope)
				wantTokenError(t, user, http.StatusBadRequest, oauth.InvalidScope)
				continue
			}
			wantGranted(t, client)
			wantGranted(t, user)
			if got := client.JSON("scope"); got != tt.want {
				t.Errorf("client credentials: scope %s gives %v, want %v", name, got, tt.want)
			}
			want := tt.want
			if tt.app == defaults && tt.asked == "" {
				want = "write openid"
			}
			if got := user.JSON("scope"); got != want {
				t.Errorf("password: scope %s gives %v, want %v", name, got, want)
			}
			if got := tt.app.Introspect(t, user.Text("access_token")).JSON("scope"); got != want {
				t.Errorf("introspected scope %v, want %v", got, want)
			}
		}
	})
}

// RFC 9068 Section 5: a user's subject is a random UUID and a client's id can
// never be one, so a user cannot pick a name that passes for a client (CC-02).
func TestRFC9068_5_SubjectsNeverCollide(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	s.Register(t, "reports", oauthtest.EveryGrant())
	s.User(t, "reports")
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t)
		seen := app.Introspect(t, s.Post(t, at.Password, passwordForm(app, "reports", oauthtest.Password)).Text("access_token"))
		if seen.Text("sub") == "reports" || uuid.Validate(seen.Text("sub")) != nil {
			t.Errorf("subject of the user reports: %q", seen.Text("sub"))
		}
		token, err := app.ClientToken(t, at)
		if err != nil {
			t.Fatal(err)
		}
		if sub := app.Introspect(t, token.AccessToken).Text("sub"); sub != app.ClientID || uuid.Validate(sub) == nil {
			t.Errorf("subject of a client: %q", sub)
		}
	})
	subject := uuid.NewString()
	for _, id := range []string{subject, strings.ToUpper(subject), "urn:uuid:" + subject, "{" + subject + "}", strings.ReplaceAll(subject, "-", "")} {
		if _, _, err := s.Clients.Register(t.Context(), id, oauthtest.EveryGrant(), "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("registering the id %s: %v", id, err)
		}
	}
}

// RFC 6749 Section 4.4: only a confidential client can have a token for itself.
func TestRFC6749_4_4_PublicClient(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	m := oauthtest.EveryGrant()
	m.TokenEndpointAuthMethod = oauth.AuthMethodNone
	if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("registering client_credentials for a public client: %v", err)
	}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.PublicApp(t)
		wantTokenError(t, s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials")), http.StatusBadRequest, oauth.UnauthorizedClient)
	})
}
