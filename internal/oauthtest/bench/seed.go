package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// A database is what was seeded: everything that requests are made of.
type database struct {
	*server.Server
	issuer  *issuer.Issuer
	clients []*client // those that get JWTs
	opaque  []*client
	users   []*store.User
	grants  []*grant
	tokens  []string // access tokens of some of the grants

	mu    sync.Mutex
	codes []*code // not used yet
}

type client struct {
	*store.Client
	credentials string // as a form
}

type grant struct {
	id         string
	client     *client
	generation int64
}

type code struct {
	text   string
	client *client
}

var by = store.By{Actor: "bench"}

const callback = "https://app.example/callback"

// writers is how many rows are handed over at once; they share commits.
const writers = 256

// seed makes the database as a server of that issuer would have it.
func seed(ctx context.Context, data, url string, clients, grants int) (*database, error) {
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	c := config.Default()
	c.Data, c.Issuer = data, url
	if err := c.Finish(); err != nil {
		return nil, err
	}
	parts, err := server.OpenParts(ctx, c, time.Now)
	if err != nil {
		return nil, err
	}
	db := &database{Server: parts, issuer: &issuer.Issuer{URL: url, Ring: parts.Ring, Now: time.Now}}
	for _, step := range []func() error{
		func() error { return db.makeClients(ctx, clients) },
		func() error { return db.makeUsers(ctx, clients) },
		func() error { return db.makeGrants(ctx, grants) },
		db.makeTokens,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// each calls act for every number below n, many at once.
func each(n int, act func(i int) error) error {
	var mu sync.Mutex
	var failed error
	var workers sync.WaitGroup
	next := make(chan int)
	for range writers {
		workers.Go(func() {
			for i := range next {
				if err := act(i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	return failed
}

func (db *database) makeClients(ctx context.Context, n int) error {
	db.clients, db.opaque = make([]*client, n), make([]*client, max(1, n/10))
	make := func(into []*client, format string) error {
		return each(len(into), func(i int) error {
			m := oauth.ClientMetadata{
				ClientName: fmt.Sprintf("Client %d", i), RedirectURIs: []string{callback}, Scope: "read write", TokenFormat: format,
				GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials},
			}
			c, secret, err := db.Clients.Register(ctx, "", m, "", by)
			if err == nil {
				into[i] = &client{c, url.Values{"client_id": {c.ID}, "client_secret": {secret}}.Encode()}
			}
			return err
		})
	}
	return errors.Join(make(db.clients, oauth.TokenFormatJWT), make(db.opaque, oauth.TokenFormatOpaque))
}

func (db *database) makeUsers(ctx context.Context, n int) error {
	db.users = make([]*store.User, n)
	return each(n, func(i int) error {
		name := fmt.Sprintf("user%d", i)
		db.users[i] = &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, CreatedAt: time.Now(), Epoch: 1}
		return db.Store.CreateUser(ctx, db.users[i], by)
	})
}

// row is a grant between somebody and some client.
func (db *database) row() (*store.Grant, *client) {
	now, c, u := time.Now(), pick(db.clients), pick(db.users)
	return &store.Grant{
		ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: c.ID, UserID: u.ID, Scope: "read write", RedirectURI: callback,
		AuthTime: now, ACR: "urn:hufu:acr:password", AMR: "pwd", ClientEpoch: c.Epoch, UserEpoch: u.Epoch, CreatedAt: now, ExpiresAt: now.Add(90 * 24 * time.Hour),
	}, c
}

func (db *database) makeGrants(ctx context.Context, n int) error {
	db.grants = make([]*grant, n)
	return each(n, func(i int) error {
		g, c := db.row()
		g.RedeemedAt = g.CreatedAt
		db.grants[i] = &grant{id: g.ID, client: c}
		return db.Store.CreateGrant(ctx, g, nil, by)
	})
}

// makeCodes adds pending grants whose codes last longer than the bench does.
func (db *database) makeCodes(ctx context.Context, n int) error {
	return each(n-len(db.codes), func(int) error {
		g, c := db.row()
		text := issuer.NewCode()
		g.CodeHash, g.CodeExpiresAt = issuer.HashCode(text), g.CreatedAt.Add(time.Hour)
		if err := db.Store.CreateGrant(ctx, g, nil, by); err != nil {
			return err
		}
		db.mu.Lock()
		defer db.mu.Unlock()
		db.codes = append(db.codes, &code{text, c})
		return nil
	})
}

// takeCode returns a code that nobody has used; nil when there is none left.
func (db *database) takeCode() *code {
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.codes) == 0 {
		return nil
	}
	last := db.codes[len(db.codes)-1]
	db.codes = db.codes[:len(db.codes)-1]
	return last
}

// makeTokens mints the access tokens that are asked about again and again.
func (db *database) makeTokens() error {
	for range 1000 {
		g := pick(db.grants)
		row := &store.Grant{ID: g.id, ClientID: g.client.ID, UserID: pick(db.users).ID, AuthTime: time.Now(), ACR: "urn:hufu:acr:password", AMR: "pwd"}
		token, err := db.issuer.GrantToken(row, &g.client.Metadata, oauth.Scope{"read", "write"}, time.Hour)
		if err != nil {
			return err
		}
		db.tokens = append(db.tokens, token+"&"+g.client.credentials)
	}
	return nil
}

func pick[T any](all []T) T { return all[rand.IntN(len(all))] }
