package main

import (
	"context"
	"slices"
	"strings"
)

// A kind is one line of the table: requests that differ in whom they are about
// and in nothing else.
type kind struct {
	name      string
	note      string  // what must be known to read the line
	algorithm string  // of the floor it is compared with
	goal      float64 // times the floor, at 8 connections on SQLite; issue 3
	both      float64 // the same on PostgreSQL, both processes together
	status    string  // of the answer that is wanted
	has       []byte  // what is in its body or begins its Location
	// write makes a request for a connection; false when there is nothing left to
	// ask for.
	write    func(w *worker) bool
	answered func(w *worker)
	// stock makes what requests use up, so many in all, while no clock runs.
	stock func(ctx context.Context, n int) error
}

// Goals are for this many connections.
const goalConnections = 8

// kinds are the lines of the table.
func (db *database) kinds() []*kind {
	var all []*kind
	all = append(all, db.tokenKinds(db.jwt, 1.4, 2.0, 2.3, 3)...)
	all = slices.Insert(all, 1, &kind{
		name: "client credentials, opaque", algorithm: es256, goal: 0.6, status: "200", has: []byte(`"access_token":"hat_`),
		write: func(w *worker) bool {
			w.out = post(w.out, "/token", "", "grant_type=client_credentials&scope=read&", pick(db.opaque).credentials)
			return true
		},
	})
	all = append(all, &kind{
		name: "authorization request", note: "with a live session and stored consent", algorithm: es256, goal: 2.5,
		status: "303", has: []byte(callback + "?code="), write: db.authorize,
	})
	active := []byte(`"active":true`)
	all = append(all,
		&kind{name: "introspection, seen before", algorithm: es256, goal: 0.8, status: "200", has: active, write: db.jwt.introspectAgain, stock: db.jwt.stockTokens},
		&kind{name: "introspection, not seen", algorithm: es256, goal: 1.8, status: "200", has: active, write: db.jwt.introspectFresh, stock: db.jwt.stockFresh},
		&kind{name: "userinfo", algorithm: es256, goal: 0.8, status: "200", has: []byte(`"email_verified":`), write: db.jwt.userInfo, stock: db.jwt.stockBearers},
		&kind{name: "code exchange with an ID token", note: "two signatures", algorithm: es256, status: "200", has: []byte(`"id_token":"ey`), write: db.jwt.exchangeOpenID, stock: db.jwt.stockOpenID},
		document("metadata", "/.well-known/oauth-authorization-server", `"issuer":`),
		document("keys", "/jwks", `"keys":[`),
	)
	return append(all, db.tokenKinds(db.rsa, 1.1, 1.1, 1.1, 0)...)
}

// tokenKinds are those that sign, with their goals; both is that of a refresh on
// PostgreSQL.
func (db *database) tokenKinds(g *group, credentials, refresh, exchange, both float64) []*kind {
	token := []byte(`"access_token":"ey`)
	return []*kind{
		{name: "client credentials, " + g.algorithm, algorithm: g.algorithm, goal: credentials, status: "200", has: token, write: g.clientCredentials},
		{name: "refresh with rotation, " + g.algorithm, algorithm: g.algorithm, goal: refresh, both: both, status: "200", has: token, write: g.refresh, answered: g.refreshed},
		{name: "code exchange, " + g.algorithm, algorithm: g.algorithm, goal: exchange, status: "200", has: token, write: g.exchange, stock: g.stockCodes},
	}
}

// hot are the kinds that ask the database, for what must not grow with it.
func (db *database) hot() []*kind {
	return slices.DeleteFunc(db.kinds(), func(k *kind) bool {
		return k.algorithm != es256 || !slices.ContainsFunc([]string{"refresh", "exchange", "authorization", "introspection"}, func(word string) bool { return strings.Contains(k.name, word) })
	})
}

// named finds a kind by the beginning of its name.
func named(kinds []*kind, name string) *kind {
	return kinds[slices.IndexFunc(kinds, func(k *kind) bool { return strings.HasPrefix(k.name, name) })]
}

// document is a text that anybody may fetch.
func document(name, path, has string) *kind {
	request := get(path, "")
	return &kind{name: name, algorithm: es256, goal: 0.35, status: "200", has: []byte(has), write: func(w *worker) bool {
		w.out = append(w.out, request...)
		return true
	}}
}

// authorize is a browser that has signed in and allowed the client before: the
// answer is the redirect with the code.
func (db *database) authorize(w *worker) bool {
	w.out = append(w.out, pick(db.visitors).request...)
	return true
}

// parallelSignIns is how many people sign in at the same moment.
const parallelSignIns = 50

// signIn is one of them, each connection another.
func (db *database) signIn() *kind {
	return &kind{name: "sign-in", status: "200", has: []byte(`"access_token":"`), write: func(w *worker) bool {
		w.out = post(w.out, "/token", "", db.signIns[w.which%len(db.signIns)])
		return true
	}}
}
