// Package demo is what a newcomer needs to try every grant at once, and nothing
// that a real server has: clients and people whose secrets everybody knows, the
// text that is printed at start, and the playground.
//
// It serves /playground and below. Its one invariant: nothing of it exists unless
// --demo was said (docs/decisions/0005). The playground has no entrance of its own
// to the engine: it sends the requests that anybody can send, and shows them.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// The clients. Everybody knows their secrets, which is why --demo is refused off
// loopback and marks its database.
const (
	WebID     = "demo-web" // confidential: a server that keeps its secret
	WebSecret = "demo-web-secret-0001"

	AppID = "demo-app" // public: an app on a phone or a desktop has no secret

	ServiceID     = "demo-service" // acts for itself; as the API it may introspect every token
	ServiceSecret = "demo-service-secret-0001"

	LegacyID     = "demo-legacy" // registered for the two grants that nobody should start with today
	LegacySecret = "demo-legacy-secret-0001"
)

// The people.
const (
	Alice         = "alice"
	AlicePassword = "alice-demo-password"
	Bob           = "bob"
	BobPassword   = "bob-demo-password"
)

// Scopes that the demo's clients may ask for.
const (
	scopes  = "profile email notes:read notes:write"
	reading = "profile notes:read" // what the walks ask for, so that they can show that less is possible
)

// A ScopeText is what the consent page says about a scope of the demo.
type ScopeText struct {
	Name, English, Chinese string
	Optional               bool
}

// ScopeTexts explains the scopes that no specification does.
func ScopeTexts() []ScopeText {
	return []ScopeText{
		{Name: "notes:read", English: "Read your notes", Chinese: "查看您的笔记"},
		{Name: "notes:write", English: "Write and change your notes", Chinese: "新建和修改您的笔记", Optional: true},
	}
}

// Parts are what Provision works with.
type Parts struct {
	Store   *store.Store
	Clients *client.Registry
	Hasher  *login.Hasher
	Now     func() time.Time
	Issuer  string
}

// operator is who the audit trail names.
var operator = store.By{Actor: "demo"}

// Provision makes what is missing of the demo's clients and people. It may run at
// every start: what is there stays as somebody may have changed it, but for the
// redirect URIs, which follow the issuer, and a secret that no longer opens.
func Provision(ctx context.Context, p Parts) error {
	for _, c := range demoClients(p.Issuer) {
		if err := p.provisionClient(ctx, c); err != nil {
			return fmt.Errorf("demo: client %s: %w", c.id, err)
		}
	}
	for _, u := range demoUsers() {
		if err := p.provisionUser(ctx, u); err != nil {
			return fmt.Errorf("demo: user %s: %w", u.name, err)
		}
	}
	return nil
}

type demoClient struct {
	id, secret string
	metadata   oauth.ClientMetadata
}

// callbackPath is where the playground takes authorization responses.
const callbackPath = "/playground/callback"

func demoClients(issuer string) []demoClient {
	callback := issuer + callbackPath
	return []demoClient{
		{WebID, WebSecret, oauth.ClientMetadata{
			ClientName: "Notes on the Web", Scope: scopes, RedirectURIs: []string{callback},
			GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		}},
		{AppID, "", oauth.ClientMetadata{
			ClientName: "Notes for the Phone", Scope: scopes, TokenEndpointAuthMethod: oauth.AuthMethodNone,
			// The second is what a native app listens on, RFC 8252 Section 7.3: any port.
			RedirectURIs: []string{callback, "http://127.0.0.1/callback"},
			GrantTypes:   []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		}},
		{ServiceID, ServiceSecret, oauth.ClientMetadata{
			ClientName: "Notes Service", Scope: "notes:read notes:write", Introspect: oauth.IntrospectAny,
			GrantTypes: []string{oauth.GrantClientCredentials},
		}},
		{LegacyID, LegacySecret, oauth.ClientMetadata{
			ClientName: "Notes Classic", Scope: scopes, RedirectURIs: []string{callback},
			GrantTypes: []string{oauth.GrantPassword, oauth.GrantImplicit, oauth.GrantRefreshToken},
		}},
	}
}

func (p Parts) provisionClient(ctx context.Context, c demoClient) error {
	was, err := p.Store.Client(ctx, c.id)
	if errors.Is(err, store.ErrNotFound) {
		_, _, err = p.Clients.Register(ctx, c.id, c.metadata, c.secret, operator)
		return err
	}
	if err != nil {
		return err
	}
	if c.secret != "" && !p.opens(was, c.secret) {
		_, _, err := p.Clients.AddSecret(ctx, c.id, c.secret, time.Time{}, operator)
		if err != nil && !errors.Is(err, store.ErrConflict) { // somebody put two others in its place
			return err
		}
	}
	if len(c.metadata.RedirectURIs) == 0 {
		return nil
	}
	uris := renewed(was.Metadata.RedirectURIs, c.metadata.RedirectURIs[0])
	if slices.Equal(uris, was.Metadata.RedirectURIs) {
		return nil
	}
	_, err = p.Clients.Update(ctx, c.id, func(m *oauth.ClientMetadata) error {
		m.RedirectURIs = renewed(m.RedirectURIs, c.metadata.RedirectURIs[0])
		return nil
	}, operator)
	return err
}

// opens reports whether a client still takes a secret. After `hufu key reset` it
// takes none of the old ones.
func (p Parts) opens(c *store.Client, secret string) bool {
	return slices.ContainsFunc(c.Secrets, func(s store.ClientSecret) bool {
		return (s.ExpiresAt.IsZero() || s.ExpiresAt.After(p.Now())) && p.Clients.CheckSecret(s.Hash, secret)
	})
}

// renewed puts the playground's callback into the place of those that it had
// under other issuers, such as another port.
func renewed(uris []string, callback string) []string {
	kept := slices.DeleteFunc(slices.Clone(uris), func(uri string) bool { return strings.HasSuffix(uri, callbackPath) })
	return append([]string{callback}, kept...)
}

type demoUser struct {
	name, password, email string
	verified              bool
	claims                map[string]string
}

func demoUsers() []demoUser {
	return []demoUser{
		{Alice, AlicePassword, "alice@example.com", true, map[string]string{"name": "Alice Adams", "given_name": "Alice", "family_name": "Adams", "locale": "en"}},
		{Bob, BobPassword, "bob@example.com", false, map[string]string{"name": "Bob Brown", "given_name": "Bob", "family_name": "Brown", "locale": "en"}},
	}
}

func (p Parts) provisionUser(ctx context.Context, u demoUser) error {
	key, err := login.CheckUsername(u.name)
	if err != nil {
		return err
	}
	if _, err := p.Store.UserByName(ctx, key); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// Everybody knows these passwords, so no policy is asked. Hashing is slow on purpose;
	// only a first start pays for it.
	hash, err := p.Hasher.Hash(ctx, u.password)
	if err != nil {
		return err
	}
	claims, err := json.Marshal(u.claims)
	if err != nil {
		return err
	}
	err = p.Store.CreateUser(ctx, &store.User{
		ID: store.NewUserID(), Username: u.name, UsernameKey: key, Email: u.email, EmailVerified: u.verified,
		Password: hash, Claims: claims, CreatedAt: p.Now(),
	}, operator)
	if errors.Is(err, store.ErrConflict) {
		return nil // a command made the user meanwhile
	}
	return err
}
