package oauthtest

import (
	"context"
	"net/url"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// Callback is the redirect URI of an App.
const Callback = "https://app.example/callback"

// An App is a registered client, driven by golang.org/x/oauth2.
type App struct {
	oauth2.Config
	Server  *Server
	Browser *Browser
}

// An Addresses says which of the two addresses of each kind a test uses: the
// standard ones, or those of the seed.
type Addresses struct {
	Name                                                    string
	Code, Implicit                                          string
	AuthorizationCode, Password, ClientCredentials, Refresh string
}

// AllAddresses is the table over which every token and authorization test runs.
var AllAddresses = []Addresses{
	{"standard", "/authorize", "/authorize", "/token", "/token", "/token", "/token"},
	{"seed", "/open/authorize/index", "/open/implicit", "/oauth2/authorize", "/oauth2/password", "/oauth2/client-credentials", "/oauth2/refresh-token"},
}

// EachAddress runs a test over both tables of addresses.
func EachAddress(t *testing.T, test func(t *testing.T, at Addresses)) {
	t.Helper()
	for _, at := range AllAddresses {
		t.Run(at.Name, func(t *testing.T) { test(t, at) })
	}
}

// EveryGrant is what a client is registered with that may do everything.
func EveryGrant() oauth.ClientMetadata {
	return oauth.ClientMetadata{
		ClientName: "Test App", RedirectURIs: []string{Callback}, Scope: "read write openid offline_access",
		GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials, oauth.GrantPassword, oauth.GrantImplicit},
	}
}

// App registers a confidential client that may use every grant, and a user
// alice. Each edit changes the registration first.
func (s *Server) App(t testing.TB, edits ...func(*oauth.ClientMetadata)) *App {
	t.Helper()
	if _, err := s.Store.UserByName(t.Context(), "alice"); err != nil {
		s.User(t, "alice")
	}
	m := EveryGrant()
	for _, edit := range edits {
		edit(&m)
	}
	id, secret := s.Register(t, "", m)
	redirect := ""
	if len(m.RedirectURIs) > 0 {
		redirect = m.RedirectURIs[0]
	}
	a := &App{Server: s, Browser: s.Browser(t), Config: oauth2.Config{ClientID: id, ClientSecret: secret, RedirectURL: redirect, Scopes: []string{"read"}}}
	return a.At(AllAddresses[0])
}

// PublicApp is App for a public client of a native application.
func (s *Server) PublicApp(t testing.TB) *App {
	t.Helper()
	return s.App(t, Public)
}

// Public turns a registration into that of a public client.
func Public(m *oauth.ClientMetadata) {
	m.TokenEndpointAuthMethod = oauth.AuthMethodNone
	m.GrantTypes = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
}

// Opaque has a client get sealed access tokens.
func Opaque(m *oauth.ClientMetadata) { m.TokenFormat = oauth.TokenFormatOpaque }

// At points the app to one table of addresses for the code grant.
func (a *App) At(at Addresses) *App {
	b := *a
	style := oauth2.AuthStyleInHeader
	if a.ClientSecret == "" {
		style = oauth2.AuthStyleInParams
	}
	b.Endpoint = oauth2.Endpoint{AuthURL: a.Server.URL + at.Code, TokenURL: a.Server.URL + at.AuthorizationCode, AuthStyle: style}
	return &b
}

// Authorize walks through sign-in and consent like a browser and returns the
// code.
func (a *App) Authorize(t testing.TB, username, verifier string, options ...oauth2.AuthCodeOption) string {
	t.Helper()
	if verifier != "" {
		options = append(options, oauth2.S256ChallengeOption(verifier))
	}
	location := a.Browser.Walk(t, a.AuthCodeURL("state-1", options...), username)
	code := location.Query().Get("code")
	if code == "" {
		t.Fatalf("no code in %s", location)
	}
	return code
}

// SignInAndExchange gets tokens by the whole code grant.
func (a *App) SignInAndExchange(t testing.TB) *oauth2.Token {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	token, err := a.Exchange(t.Context(), a.Authorize(t, "alice", verifier), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return token
}

// ClientToken gets a token by client credentials.
func (a *App) ClientToken(t testing.TB, at Addresses) (*oauth2.Token, error) {
	t.Helper()
	c := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret, TokenURL: a.Server.URL + at.ClientCredentials, Scopes: a.Scopes}
	return c.Token(context.WithoutCancel(t.Context()))
}

// Credentials are the app's id and secret as form parameters, with more beside.
func (a *App) Credentials(pairs ...string) url.Values {
	form := url.Values{"client_id": {a.ClientID}}
	if a.ClientSecret != "" {
		form.Set("client_secret", a.ClientSecret)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

// Refresh presents a refresh token.
func (a *App) Refresh(t testing.TB, at Addresses, token string, pairs ...string) *Answer {
	t.Helper()
	return a.Server.Post(t, at.Refresh, a.Credentials(append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...))
}

// Introspect asks about a token and returns whether it is active.
func (a *App) Introspect(t testing.TB, token string) *Answer {
	t.Helper()
	return a.Server.Post(t, "/introspect", a.Credentials("token", token))
}

// Active reports whether a token is in force.
func (a *App) Active(t testing.TB, token string) bool {
	t.Helper()
	active, _ := a.Introspect(t, token).JSON("active").(bool)
	return active
}
