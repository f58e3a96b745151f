package main

import (
	"context"
	"math/rand/v2"

	"github.com/hufu-auth/hufu/internal/issuer"
)

// A kind is one line of the table: requests that differ in whom they are about
// and in nothing else.
type kind struct {
	name  string
	floor bool
	// next makes a request for one of so many connections.
	next func(which, of int) request
	// prepare makes what a cell uses up, before the clock runs.
	prepare func(ctx context.Context, seconds float64, connections int) error
}

func clientCredentials(c *client) request {
	return request{bytes: post("/token", "grant_type=client_credentials&scope=read&"+c.credentials)}
}

// floorKind sends the floor what the token endpoint gets.
func floorKind(db *database) kind {
	return kind{name: "floor", floor: true, next: func(int, int) request { return clientCredentials(pick(db.clients)) }}
}

func kinds(db *database) []kind {
	metadata := request{bytes: []byte("GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: bench\r\n\r\n")}
	return []kind{
		{name: "client credentials, JWT", next: func(int, int) request { return clientCredentials(pick(db.clients)) }},
		{name: "client credentials, opaque", next: func(int, int) request { return clientCredentials(pick(db.opaque)) }},
		{name: "refresh with rotation", next: db.refresh},
		{name: "code exchange", next: db.exchange, prepare: func(ctx context.Context, seconds float64, connections int) error {
			return db.makeCodes(ctx, int((seconds+1)*2000)*min(connections, 4)) // more than this machine can use
		}},
		{name: "introspection, token seen before", next: func(int, int) request { return request{bytes: post("/introspect", "token="+pick(db.tokens))} }},
		{name: "metadata", next: func(int, int) request { return metadata }},
	}
}

// refresh presents the newest token of a grant. Each connection has grants of its
// own, so that no two present the same one.
func (db *database) refresh(which, of int) request {
	g := db.grants[rand.IntN(len(db.grants)/of)*of+which]
	token, err := db.issuer.RefreshToken(issuer.RefreshToken{GrantID: g.id, Generation: g.generation})
	if err != nil {
		return request{}
	}
	return request{
		bytes: post("/token", "grant_type=refresh_token&refresh_token="+token+"&"+g.client.credentials),
		done:  func() { g.generation++ },
	}
}

// exchange redeems a code that was never used.
func (db *database) exchange(int, int) request {
	c := db.takeCode()
	if c == nil {
		return request{}
	}
	return request{bytes: post("/token", "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code="+c.text+"&"+c.client.credentials)}
}
