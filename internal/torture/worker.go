package torture

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// How much one worker has in hand.
const (
	openGrants = 5
	maxSteps   = 20 // of one grant, which then waits for the end
)

// A worker is one person with a browser, and the clients that act for her.
type worker struct {
	*Run
	rng     *rand.Rand
	user    string
	session http.CookieJar // nil until she has signed in
	open    []*grant
	closed  []*grant
}

// A grant is what a client knows of a grant.
type grant struct {
	number  int
	client  *Client
	code    string
	refresh []string // one of each generation
	access  []string
	until   time.Duration // its client was told to come back then
	steps   int
	over    bool // its client was told that it is
}

func (w *worker) work(ctx context.Context) {
	for pause(ctx, time.Duration(w.rng.IntN(40))*time.Millisecond) {
		w.step()
	}
}

// step does one thing: begins a grant, or goes on with one.
func (w *worker) step() {
	if len(w.open) < openGrants {
		if g := w.begin(); g != nil {
			w.open = append(w.open, g)
		}
		return
	}
	i := w.rng.IntN(len(w.open))
	g := w.open[i]
	if g.until > w.History.Now() {
		return
	}
	w.act(g)
	if g.steps++; g.steps > maxSteps || g.over && w.rng.IntN(3) == 0 {
		w.open = slices.Delete(w.open, i, i+1)
		w.closed = append(w.closed, g)
	}
}

// anywhere is a server to send a request to.
func (w *worker) anywhere() int { return w.rng.IntN(len(w.Fleet.Replicas)) }

// address picks one of the two tables of addresses.
func (w *worker) address() oauthtest.Addresses {
	return oauthtest.AllAddresses[w.rng.IntN(len(oauthtest.AllAddresses))]
}

// begin gets a code or a client's own token; nil when that came to nothing.
func (w *worker) begin() *grant {
	if w.rng.IntN(8) == 0 {
		g := &grant{client: w.Service, number: w.History.Grant(Grant{Client: w.Service.ID})}
		o := w.clientToken(Operation{Grant: g.number, Replica: w.anywhere()}, g.client, w.address())
		g.access = append(g.access, o.Access)
		return g.after(o)
	}
	g := &grant{client: w.Apps[w.rng.IntN(len(w.Apps))]}
	g.number = w.History.Grant(Grant{Client: g.client.ID, Grace: g.client.Grace, CodeLifetime: time.Minute})
	o := Operation{Grant: g.number, Replica: w.anywhere()}
	if w.session == nil || w.rng.IntN(20) == 0 {
		jar, err := cookiejar.New(nil)
		if err != nil {
			panic(err) // it has no way to fail
		}
		if o = w.signIn(o, g.client, w.user, jar, w.anywhere); o.Answer == Done {
			w.session = jar
		}
	} else {
		o = w.authorize(o, g.client, w.address(), w.session)
	}
	g.code = o.Code
	return g.after(o)
}

// after is a grant whose beginning was acknowledged.
func (g *grant) after(beginning Operation) *grant {
	if beginning.Answer != Done {
		return nil
	}
	return g
}

// act does one thing, or several at once, with a grant.
func (w *worker) act(g *grant) {
	switch {
	case g.code == "":
		w.actOnAccess(g)
	case g.refresh == nil:
		w.together(g, w.times(Operation{Kind: Redeem, Token: g.code}, []int{12, 4, 2})...)
	case g.over:
		w.together(g, w.look(g)...)
	default:
		w.actOnTokens(g)
	}
}

func (w *worker) actOnAccess(g *grant) {
	kind := IntrospectAccess
	if w.rng.IntN(6) == 0 {
		kind = RevokeAccess
	}
	w.together(g, w.times(Operation{Kind: kind, Token: g.access[0]}, []int{4, 2})...)
}

// actOnTokens goes on with a grant that is live as far as its client knows.
func (w *worker) actOnTokens(g *grant) {
	newest := Operation{Kind: Refresh, Token: g.refresh[len(g.refresh)-1]}
	previous := Operation{Kind: Refresh, Token: g.refresh[max(0, len(g.refresh)-2)]}
	switch dice := w.rng.IntN(100); {
	case dice < 35:
		w.together(g, w.times(newest, []int{14, 4, 2})...)
	case dice < 43:
		w.together(g, previous)
	case dice < 51:
		w.together(g, previous, newest, newest)
	case dice < 53:
		w.together(g, Operation{Kind: Refresh, Token: g.refresh[w.rng.IntN(len(g.refresh))]})
	case dice < 88:
		w.together(g, w.look(g)...)
	case dice < 92:
		w.together(g, Operation{Kind: RevokeAccess, Token: g.access[w.rng.IntN(len(g.access))]})
	case dice < 94:
		w.together(g, Operation{Kind: RevokeGrant, Token: g.refresh[w.rng.IntN(len(g.refresh))]})
	case dice < 96:
		w.together(g, Operation{Kind: RevokeGrant, Token: newest.Token}, newest, previous)
	case dice < 98:
		w.together(g, Operation{Kind: Redeem, Token: g.code})
	default:
		w.together(g, w.look(g)[0], newest, Operation{Kind: RevokeAccess, Token: g.access[len(g.access)-1]})
	}
}

// look asks about tokens of a grant.
func (w *worker) look(g *grant) []Operation {
	access := Operation{Kind: IntrospectAccess, Token: g.access[w.rng.IntN(len(g.access))]}
	if w.rng.IntN(3) == 0 {
		return []Operation{access, {Kind: IntrospectRefresh, Token: g.refresh[w.rng.IntN(len(g.refresh))]}}
	}
	return []Operation{access}
}

// times repeats an operation: once, twice, and so on, in proportion to weights.
func (w *worker) times(o Operation, weights []int) []Operation {
	sum := 0
	for _, weight := range weights {
		sum += weight
	}
	dice, n := w.rng.IntN(sum), 0
	for dice >= 0 {
		dice -= weights[n]
		n++
	}
	return slices.Repeat([]Operation{o}, n)
}

// together sends operations at the same time, each to a server of its own as far as
// there are so many, and takes what they bring.
func (w *worker) together(g *grant, operations ...Operation) {
	first, at := w.anywhere(), w.address()
	var working sync.WaitGroup
	for i := range operations {
		operations[i].Grant, operations[i].Replica = g.number, (first+i)%len(w.Fleet.Replicas)
		working.Go(func() { operations[i] = w.do(operations[i], g.client, at) })
	}
	working.Wait()
	for _, o := range operations {
		w.learn(g, o)
	}
}

func (w *worker) do(o Operation, c *Client, at oauthtest.Addresses) Operation {
	switch o.Kind {
	case Redeem:
		return w.redeem(o, c, at)
	case Refresh:
		return w.Run.refresh(o, c, at)
	case RevokeGrant, RevokeAccess:
		return w.revoke(o, c)
	case IntrospectAccess, IntrospectRefresh:
		return w.introspect(o, c)
	case Page, Authorize, ClientToken:
	}
	panic("torture: not something to do with a grant: " + o.Kind)
}

// learn notes what an operation has brought its client.
func (w *worker) learn(g *grant, o Operation) {
	switch {
	case o.Answer == Away:
		g.until = o.Ended + time.Second // as Retry-After says
		if o.Kind == Redeem && w.rng.IntN(4) > 0 {
			g.until += 10 * time.Second // by then there is no excuse
		}
	case o.Answer == Refused, o.Kind == RevokeGrant && o.Answer == Done:
		g.over = true
	}
	if o.Access != "" {
		g.access = append(g.access, o.Access)
	}
	if o.Refresh != "" && !slices.Contains(g.refresh, o.Refresh) {
		g.refresh = append(g.refresh, o.Refresh)
	}
}

// finish asks about everything once more, and then uses it up.
func (w *worker) finish() {
	for _, g := range slices.Concat(w.open, w.closed) {
		for _, token := range newest(g.access, 3) {
			w.together(g, Operation{Kind: IntrospectAccess, Token: token})
		}
		if g.code == "" {
			continue
		}
		for _, token := range newest(g.refresh, 2) {
			w.together(g, Operation{Kind: IntrospectRefresh, Token: token})
		}
		for _, token := range newest(g.refresh, 1) {
			w.together(g, Operation{Kind: Refresh, Token: token})
		}
		w.together(g, Operation{Kind: Redeem, Token: g.code}, Operation{Kind: Redeem, Token: g.code})
		for _, token := range newest(g.access, 1) {
			w.together(g, Operation{Kind: IntrospectAccess, Token: token})
		}
	}
	w.open, w.closed = nil, nil
}

// newest are the last of a list, the last one first.
func newest(list []string, most int) []string {
	list = slices.Clone(list[max(0, len(list)-most):])
	slices.Reverse(list)
	return list
}
