package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A group is the clients whose tokens are signed with one algorithm, with their
// grants. Which client and user a grant is between follows from its number, so
// that a million of them need no room here.
type group struct {
	db          *database
	algorithm   string
	prefix      string // of the ids of its grants
	clients     []*client
	generations []uint32 // of the newest refresh token of each live grant

	mu     sync.Mutex
	codes  []claim // not redeemed yet
	fresh  []claim // access tokens that the server has not seen
	tokens []claim // those that it is asked about again and again

	openID  []claim  // codes of OpenID requests, not redeemed yet
	bearers []string // access tokens that UserInfo is asked with again and again
}

// A claim is a text and the client it was given to.
type claim struct {
	text   string
	client *client
}

func newGroup(db *database, algorithm string) *group {
	prefix := "0197d3a0-5c1e-7a00-8000-"
	if algorithm == rs256 {
		prefix = "0197d3a0-5c1e-7a00-9000-"
	}
	return &group{db: db, algorithm: algorithm, prefix: prefix}
}

// fill adds live grants to a database: so many that are signed for with ES256, and
// a tenth as many with RS256, but no more than the table wants.
func (db *database) fill(ctx context.Context, n int) error {
	if err := db.jwt.make(ctx, n); err != nil {
		return err
	}
	return db.rsa.make(ctx, min(10_000, max(n/10, 100)))
}

// makeExpired adds grants that nobody can use any more. They are nobody's to
// refresh, so they stand in no group that is driven.
func (db *database) makeExpired(ctx context.Context, n int) error {
	g := &group{db: db, algorithm: es256, prefix: "0195d3a0-5c1e-7a00-a000-", clients: db.jwt.clients}
	day := int64(24 * 60 * 60)
	if err := g.insert(ctx, 0, n, time.Now().Unix()-3*day, day); err != nil {
		return fmt.Errorf("seed expired grants: %w", err)
	}
	return nil
}

const hexDigits = "0123456789abcdef"

// id is that of a grant.
func (g *group) id(i int) string {
	id := make([]byte, 0, 36)
	id = append(id, g.prefix...)
	for shift := 44; shift >= 0; shift -= 4 {
		id = append(id, hexDigits[i>>shift&15])
	}
	return string(id)
}

// clientOf and userOf say between whom a grant is. Neighbours are far apart, so
// that no index is filled in order. clientExpression and userExpression say the
// same to the database.
func (g *group) clientOf(i int) *client { return g.clients[i*7919%len(g.clients)] }

func (g *group) userOf(i int) string { return userID((i*104729 + i/len(g.clients)) % g.db.users) }

// make adds n live grants, the first of which has lived its time out the soonest.
func (g *group) make(ctx context.Context, n int) error {
	first := len(g.generations)
	day := int64(24 * 60 * 60)
	if err := g.insert(ctx, first, n, time.Now().Unix()+day, 89*day); err != nil {
		return fmt.Errorf("seed grants: %w", err)
	}
	g.generations = append(g.generations, make([]uint32, n)...)
	return nil
}

// refresh presents the newest token of a grant. Each connection has grants of its
// own, so that no two present the same one.
func (g *group) refresh(w *worker) bool {
	w.picked = rand.IntN(len(g.generations)/w.of)*w.of + w.which
	token, err := g.db.issuer.RefreshToken(issuer.RefreshToken{GrantID: g.id(w.picked), Generation: int64(g.generations[w.picked])})
	if err != nil {
		w.fail(err.Error())
		return false
	}
	w.out = post(w.out, "/token", "", "grant_type=refresh_token&refresh_token=", token, "&", g.clientOf(w.picked).credentials)
	return true
}

func (g *group) refreshed(w *worker) { g.generations[w.picked]++ }

func (g *group) clientCredentials(w *worker) bool {
	w.out = post(w.out, "/token", "", "grant_type=client_credentials&scope=read&", pick(g.clients).credentials)
	return true
}

// exchange redeems a code that was never used.
func (g *group) exchange(w *worker) bool {
	return g.redeem(w, &g.codes)
}

// exchangeOpenID is exchange of a code whose answer holds an ID token.
func (g *group) exchangeOpenID(w *worker) bool { return g.redeem(w, &g.openID) }

func (g *group) redeem(w *worker, from *[]claim) bool {
	code, ok := g.take(from)
	if ok {
		w.out = post(w.out, "/token", "", "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier="+verifier+"&code=", code.text, "&", code.client.credentials)
	}
	return ok
}

// introspectFresh asks about a token that the server has not seen.
func (g *group) introspectFresh(w *worker) bool {
	token, ok := g.take(&g.fresh)
	if ok {
		w.out = post(w.out, "/introspect", "", "token=", token.text, "&", token.client.credentials)
	}
	return ok
}

// introspectAgain goes round the tokens that the server has seen.
func (g *group) introspectAgain(w *worker) bool {
	token := g.again(w)
	w.out = post(w.out, "/introspect", "", "token=", token.text, "&", token.client.credentials)
	return true
}

// userInfo asks who the user of a token is.
func (g *group) userInfo(w *worker) bool {
	w.turn += w.of
	w.out = append(w.out, g.bearers[(w.turn+w.which)%len(g.bearers)]...)
	return true
}

func (g *group) again(w *worker) claim {
	w.turn += w.of
	return g.tokens[(w.turn+w.which)%len(g.tokens)]
}

// take gets what nobody else gets.
func (g *group) take(from *[]claim) (c claim, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := len(*from) - 1
	if last < 0 {
		return c, false
	}
	c, *from = (*from)[last], (*from)[:last]
	return c, true
}

// stockCodes fills up to n pending grants, whose codes last longer than the
// bench does.
func (g *group) stockCodes(ctx context.Context, n int) error {
	return g.stock(ctx, n, &g.codes, allowed)
}

// stockOpenID is stockCodes for OpenID requests.
func (g *group) stockOpenID(ctx context.Context, n int) error {
	return g.stock(ctx, n, &g.openID, allowedOpenID)
}

func (g *group) stock(ctx context.Context, n int, into *[]claim, scope oauth.Scope) error {
	return each(n-len(*into), func(int) error {
		c, text := pick(g.clients), issuer.NewCode()
		row := g.db.pending(c, pick(g.db.visitors))
		row.CodeHash, row.Scope, row.Nonce = issuer.HashCode(text), scope.String(), "n-0S6_WzA2Mj"
		if err := g.db.Store.CreateGrant(ctx, row, nil, by); err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		*into = append(*into, claim{text, c})
		return nil
	})
}

// stockFresh fills up to n access tokens, each of some live grant.
func (g *group) stockFresh(_ context.Context, n int) (err error) {
	g.fresh, err = g.mint(g.fresh, n)
	return err
}

// stockTokens makes the tokens that are asked about again and again.
func (g *group) stockTokens(context.Context, int) (err error) {
	g.tokens, err = g.mint(g.tokens, 1000)
	return err
}

// stockBearers makes the requests that UserInfo gets.
func (g *group) stockBearers(context.Context, int) error {
	tokens, err := g.mintFor(allowedOpenID, nil, 1000)
	for _, token := range tokens[len(g.bearers):] {
		g.bearers = append(g.bearers, string(get("/userinfo", "Authorization: Bearer "+token.text+"\r\n")))
	}
	return err
}

func (g *group) mint(into []claim, n int) ([]claim, error) { return g.mintFor(allowed, into, n) }

func (g *group) mintFor(scope oauth.Scope, into []claim, n int) ([]claim, error) {
	for len(into) < n {
		i := rand.IntN(len(g.generations))
		c := g.clientOf(i)
		row := &store.Grant{ID: g.id(i), ClientID: c.ID, UserID: g.userOf(i), AuthTime: time.Now(), ACR: "urn:hufu:acr:password", AMR: "pwd"}
		token, err := g.db.issuer.GrantToken(row, &c.Metadata, scope, time.Hour)
		if err != nil {
			return into, err
		}
		into = append(into, claim{token, c})
	}
	return into, nil
}

func pick[T any](all []T) T { return all[rand.IntN(len(all))] }
