package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

const redirectURI = "https://app.example/callback"

// data is what the requests are made of.
type data struct {
	clients int
	refresh []held // refresh tokens of live grants
	codes   []held
}

// held is something that a client holds.
type held struct {
	client int
	text   string
}

func clientOf(i int) string { return fmt.Sprintf("client-%03d", i) }

// isOpaque reports whether a client gets opaque tokens: every tenth does.
func isOpaque(i int) bool { return i%10 == 9 }

func secretOf(i int) string { return fmt.Sprintf("the secret of client %06d", i) }

// writers is how many goroutines fill the database; they share commits.
const writers = 256

// seed fills a database through the parts of the server, before that starts.
func seed(ctx context.Context, directory, address string, o options) (*data, error) {
	c := config.Default()
	c.Data, c.Listen = directory, address
	if err := c.Finish(); err != nil {
		return nil, err
	}
	s, err := server.OpenParts(ctx, c, time.Now)
	if err != nil {
		return nil, err
	}
	d := &data{clients: o.clients, refresh: make([]held, o.grants), codes: make([]held, o.codes)}
	err = errors.Join(seedClients(ctx, s, o), seedGrants(ctx, s, c.Issuer, d))
	return d, errors.Join(err, s.Close())
}

func seedClients(ctx context.Context, s *server.Server, o options) error {
	return parallel(o.clients, func(i int) error {
		m := oauth.ClientMetadata{
			ClientName: clientOf(i), RedirectURIs: []string{redirectURI}, Scope: "read write",
			GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials},
		}
		if isOpaque(i) {
			m.TokenFormat = oauth.TokenFormatOpaque
		}
		_, _, err := s.Clients.Register(ctx, clientOf(i), m, secretOf(i), store.By{Actor: "bench"})
		return err
	})
}

func seedGrants(ctx context.Context, s *server.Server, url string, d *data) error {
	now := time.Now()
	user := &store.User{ID: uuid.NewString(), Username: "alice", UsernameKey: "alice", CreatedAt: now}
	if err := s.Store.CreateUser(ctx, user, store.By{Actor: "bench"}); err != nil {
		return err
	}
	iss := &issuer.Issuer{URL: url, Ring: s.Ring, Now: time.Now}
	grant := func(i int) *store.Grant {
		for i %= d.clients; isOpaque(i); {
			i--
		}
		return &store.Grant{
			ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: clientOf(i), UserID: user.ID, Scope: "read write",
			RedirectURI: redirectURI, RedirectURISent: true, AuthTime: now, ACR: "urn:hufu:acr:password", AMR: "pwd",
			ClientEpoch: 1, UserEpoch: 1, CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		}
	}
	live := func(i int) error {
		g := grant(i)
		g.RedeemedAt = now
		token, err := iss.RefreshToken(issuer.RefreshToken{GrantID: g.ID})
		if err != nil {
			return err
		}
		d.refresh[i] = held{number(g.ClientID), token}
		return s.Store.CreateGrant(ctx, g, nil, store.By{})
	}
	pending := func(i int) error {
		g, code := grant(i), issuer.NewCode()
		g.CodeHash, g.CodeExpiresAt = issuer.HashCode(code), g.ExpiresAt
		d.codes[i] = held{number(g.ClientID), code}
		return s.Store.CreateGrant(ctx, g, nil, store.By{})
	}
	return errors.Join(parallel(len(d.refresh), live), parallel(len(d.codes), pending))
}

func number(client string) (i int) {
	_, _ = fmt.Sscanf(client, "client-%d", &i)
	return i
}

// parallel calls do for 0 to n-1.
func parallel(n int, do func(i int) error) error {
	var group sync.WaitGroup
	var once sync.Once
	var first error
	for w := range writers {
		group.Go(func() {
			for i := w; i < n; i += writers {
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	group.Wait()
	return first
}
