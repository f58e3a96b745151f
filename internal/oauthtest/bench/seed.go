package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// A database is what was seeded: everything that requests are made of, and the
// parts of a server to make more of it while one runs.
type database struct {
	*server.Server
	config      *config.Config
	data        string   // its folder
	listen      string   // address of the server that it was made for, which is its issuer
	environment []string // of that server
	beside      func() (time.Duration, error)
	cluster     *dbtest.Server // nil for SQLite
	raw         *sql.DB        // one connection, for rows by the million

	issuer   *issuer.Issuer
	jwt, rsa *group
	opaque   []*client
	users    int
	visitors []visitor
	signIns  []string // forms with a name and a password each
}

type client struct {
	*store.Client
	credentials string // as a form
}

// A visitor is a browser with a live session, whose user has allowed a client
// something for good.
type visitor struct {
	user    string
	sid     string
	request []byte // an authorization request
}

var by = store.By{Actor: "bench"}

// What grants are for: an API, as a rule, and where UserInfo or an ID token is wanted
// the user's e-mail address as well.
var (
	allowed       = oauth.Scope{"read", "write"}
	allowedOpenID = oauth.Scope{"read", "write", "openid", "email"}
)

const (
	callback = "https://app.example/callback"
	verifier = "a-verifier-that-is-as-long-as-RFC-7636-wants-it"
)

// challenge is that of verifier, RFC 7636 Section 4.2.
func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// seed makes a database as a server at a free address would have it, with no
// grants yet: on a PostgreSQL server, or as a SQLite file when there is none.
func (b *bench) seed(ctx context.Context, name string, cluster *dbtest.Server) (*database, error) {
	db := &database{config: config.Default(), cluster: cluster, data: filepath.Join(b.folder, name), users: 10 * b.Clients}
	if err := os.Mkdir(db.data, 0o700); err != nil {
		return nil, err
	}
	var err error
	if db.listen, err = oauthtest.FreeAddress(); err != nil {
		return nil, err
	}
	c := db.config
	c.Data, c.Issuer = db.data, "http://"+db.listen
	if cluster != nil {
		c.Database, db.beside = cluster.DSN(dbtest.Database), cluster.CPU
		db.environment = []string{"HUFU_DATABASE=" + c.Database}
	}
	if err := c.Finish(); err != nil {
		return nil, err
	}
	if err := db.open(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return db.makeClients(ctx, b.Clients) },
		func() error { return db.makeUsers(ctx, db.users) },
		func() error { return db.makeVisitors(ctx, min(1000, b.Clients)) },
		func() error { return db.makeSignIns(ctx, parallelSignIns) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// open opens the database beside whatever server runs on it.
func (db *database) open(ctx context.Context) (err error) {
	if db.Server, err = server.OpenParts(ctx, db.config, time.Now); err != nil {
		return err
	}
	db.issuer = &issuer.Issuer{URL: db.config.Issuer, Ring: db.Ring, Now: time.Now}
	if err := db.openRaw(); err != nil {
		return errors.Join(err, db.Server.Close())
	}
	return nil
}

// Close leaves the database to others. Keys that were read stay good.
func (db *database) Close() error {
	return errors.Join(db.raw.Close(), db.Server.Close())
}

// writers is how many rows are handed over at once; they share commits.
const writers = 256

// each calls act for every number below n, many at once.
func each(n int, act func(i int) error) error { return several(writers, n, act) }

// several calls act for every number below n, so many at once.
func several(atOnce, n int, act func(i int) error) error {
	var mu sync.Mutex
	var failed error
	var workers sync.WaitGroup
	next := make(chan int)
	for range min(n, atOnce) {
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

// makeClients registers those that get JWTs, and a tenth as many for each other
// form of token. One by one: each changes the one row that tells replicas of it.
func (db *database) makeClients(ctx context.Context, n int) error {
	db.jwt, db.rsa = newGroup(db, es256), newGroup(db, rs256)
	register := func(into *[]*client, n int, kind string, edit func(m *oauth.ClientMetadata)) error {
		*into = make([]*client, n)
		return several(1, n, func(i int) error {
			m := oauth.ClientMetadata{
				ClientName: fmt.Sprintf("Client %s %d", kind, i), RedirectURIs: []string{callback}, Scope: allowedOpenID.String(), IDTokenAlg: es256,
				GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials},
			}
			edit(&m)
			c, secret, err := db.Clients.Register(ctx, clientID(kind, i), m, "", by)
			if err == nil {
				(*into)[i] = &client{c, url.Values{"client_id": {c.ID}, "client_secret": {secret}}.Encode()}
			}
			return err
		})
	}
	few := max(1, n/10)
	return errors.Join(
		register(&db.jwt.clients, n, es256, func(*oauth.ClientMetadata) {}),
		register(&db.rsa.clients, few, rs256, func(m *oauth.ClientMetadata) { m.AccessTokenAlg = rs256 }),
		register(&db.opaque, few, "seals", func(m *oauth.ClientMetadata) { m.TokenFormat = oauth.TokenFormatOpaque }),
	)
}

// clientID has as many characters as an id that was made up.
func clientID(kind string, i int) string { return fmt.Sprintf("app-%s-%012x", kind, i) }

// userID has the form of a subject.
func userID(i int) string { return fmt.Sprintf("%s%012x", userPrefix, i) }

const userPrefix = "5a0b7c11-93d4-4e52-8f6a-"

func (db *database) makeUsers(ctx context.Context, n int) error {
	return each(n, func(i int) error {
		name := fmt.Sprintf("user%d", i)
		return db.Store.CreateUser(ctx, &store.User{ID: userID(i), Username: name, UsernameKey: name, Email: name + "@example.com", CreatedAt: time.Now(), Epoch: 1}, by)
	})
}

// makeVisitors signs users in and has each allow one client for good.
func (db *database) makeVisitors(ctx context.Context, n int) error {
	db.visitors = make([]visitor, n)
	return each(n, func(i int) error {
		now, c, cookie := time.Now(), db.jwt.clients[i], fmt.Sprintf("%043d", i)
		sum := sha256.Sum256([]byte(cookie))
		s := &store.Session{
			SID: fmt.Sprintf("%022d", i), UserID: userID(i), UserEpoch: 1, AuthTime: now, ACR: login.ACRPassword, AMR: "pwd",
			Address: "127.0.0.1", UserAgent: "bench", CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		}
		if err := db.Store.CreateSession(ctx, s, base64.RawURLEncoding.EncodeToString(sum[:]), "", by); err != nil {
			return err
		}
		query := url.Values{
			"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {callback}, "scope": {allowed.String()},
			"state": {fmt.Sprintf("%022d", i)}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
		}
		v := visitor{s.UserID, s.SID, get("/authorize?"+query.Encode(), "Cookie: hufu_session="+cookie+"\r\n")}
		db.visitors[i] = v
		g := db.pending(c, v)
		g.ExpiresAt = now // of this grant nothing is used
		return db.Store.CreateGrant(ctx, g, &store.Consent{Scope: g.Scope, Remember: true}, by)
	})
}

// pending is a grant whose code is out, as the authorization endpoint makes it.
func (db *database) pending(c *client, v visitor) *store.Grant {
	now := time.Now()
	return &store.Grant{
		ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: c.ID, UserID: v.user, SID: v.sid, Scope: allowed.String(),
		RedirectURI: callback, RedirectURISent: true, Challenge: challenge(), AuthTime: now, ACR: login.ACRPassword, AMR: "pwd",
		ClientEpoch: c.Epoch, UserEpoch: 1, CreatedAt: now, CodeExpiresAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour),
	}
}

// makeSignIns makes users with a password, and the client that may take it.
func (db *database) makeSignIns(ctx context.Context, n int) error {
	const password = "correct horse battery"
	hash, err := db.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	c, secret, err := db.Clients.Register(ctx, "", oauth.ClientMetadata{ClientName: "Sign-ins", Scope: "read", GrantTypes: []string{oauth.GrantPassword}}, "", by)
	if err != nil {
		return err
	}
	db.signIns = make([]string, n)
	return each(n, func(i int) error {
		name := fmt.Sprintf("person%d", i)
		db.signIns[i] = url.Values{"grant_type": {oauth.GrantPassword}, "username": {name}, "password": {password}, "client_id": {c.ID}, "client_secret": {secret}}.Encode()
		return db.Store.CreateUser(ctx, &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: hash, CreatedAt: time.Now(), Epoch: 1}, by)
	})
}
