package torture

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A Run is people and clients at work on a fleet.
type Run struct {
	Fleet   *Fleet
	History *History
	Apps    []*Client // trusted ones: a browser with a session gets a code by one request
	Service *Client   // may use client_credentials
	Users   []string  // one person each, with oauthtest.Password
	Seed    uint64

	workers []*worker
}

// Work lets everybody work until ctx ends.
func (r *Run) Work(ctx context.Context) {
	if r.workers == nil {
		for i, user := range r.Users {
			r.workers = append(r.workers, &worker{Run: r, rng: rand.New(rand.NewPCG(r.Seed, uint64(i))), user: user})
		}
	}
	var working sync.WaitGroup
	for _, w := range r.workers {
		working.Go(func() { w.work(ctx) })
	}
	working.Go(func() { r.probe(ctx) })
	working.Wait()
}

// Finish looks at everything that was given out once more, when nothing is broken, so
// that whatever was acknowledged is held against what there is now. It begins a new
// set of grants for the next Work.
func (r *Run) Finish(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var probing, working sync.WaitGroup
	probing.Go(func() { r.probe(ctx) })
	for _, w := range r.workers {
		working.Go(w.finish)
	}
	working.Wait()
	cancel()
	probing.Wait()
}

// probe asks every server all the time whether it is alive, which needs no database.
func (r *Run) probe(ctx context.Context) {
	var probing sync.WaitGroup
	for _, replica := range r.Fleet.Replicas {
		probing.Go(func() {
			for pause(ctx, 200*time.Millisecond) {
				p := Probe{Replica: replica.Number, Began: r.History.Now()}
				p.Status, _ = replica.Get(context.WithoutCancel(ctx), "/healthz")
				p.Ended = r.History.Now()
				r.History.AddProbe(p)
			}
		})
	}
	probing.Wait()
}

// pause waits, and reports false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A request is what is sent, and what it is about.
type request struct {
	Operation
	path string
	form url.Values     // nil is GET
	jar  http.CookieJar // nil is none
}

// A reply is an answer that came whole.
type reply struct {
	location *url.URL
	body     []byte
	members  map[string]any
}

func (a *reply) text(member string) string {
	s, _ := a.members[member].(string)
	return s
}

// send sends a request to a server and returns the operation with the answers that
// any request may have. All others are Odd, for the caller to know better.
func (r *Run) send(q request) (Operation, *reply) {
	o := q.Operation
	o.Began = r.History.Now()
	status, header, answer, err := r.exchange(q)
	o.Ended = r.History.Now()
	o.Status, o.Answer = status, Odd
	switch {
	case err != nil:
		o.Answer, o.Detail = Lost, err.Error()
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			o.Answer = Unheard
		}
	case status == http.StatusServiceUnavailable:
		o.Answer, o.RetryAfter, o.Detail = Away, header.Get("Retry-After"), header.Get("X-Request-Id")
	default:
		o.Detail = header.Get("X-Request-Id") + " " + answer.text("error")
	}
	return o, answer
}

func (r *Run) exchange(q request) (int, http.Header, *reply, error) {
	method, body := http.MethodGet, ""
	if q.form != nil {
		method, body = http.MethodPost, q.form.Encode()
	}
	address := q.path
	if strings.HasPrefix(address, "/") {
		address = r.Fleet.Issuer + address
	}
	request, err := http.NewRequest(method, address, strings.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, nil, nil, err
	}
	if q.form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", r.Fleet.Issuer)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	client := &http.Client{
		Transport: r.Fleet.Replicas[q.Replica].Via(), Jar: q.jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	a := &reply{}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return 0, nil, nil, err
	}
	if a.location, err = response.Location(); err != nil && !errors.Is(err, http.ErrNoLocation) {
		return 0, nil, nil, err
	}
	_ = json.Unmarshal(a.body, &a.members) // a page has no members
	return response.StatusCode, response.Header, a, nil
}

// form fills in a form as a client.
func (c *Client) form(pairs ...string) url.Values {
	form := url.Values{"client_id": {c.ID}, "client_secret": {c.Secret}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// redeem presents a code.
func (r *Run) redeem(o Operation, c *Client, at oauthtest.Addresses) Operation {
	o.Kind = Redeem
	return r.tokens(request{Operation: o, path: at.AuthorizationCode,
		form: c.form("grant_type", "authorization_code", "code", o.Token, "redirect_uri", oauthtest.Callback)})
}

// refresh presents a refresh token.
func (r *Run) refresh(o Operation, c *Client, at oauthtest.Addresses) Operation {
	o.Kind = Refresh
	return r.tokens(request{Operation: o, path: at.Refresh, form: c.form("grant_type", "refresh_token", "refresh_token", o.Token)})
}

func (r *Run) tokens(q request) Operation {
	o, a := r.send(q)
	switch {
	case o.Status == http.StatusOK && a.text("access_token") != "" && a.text("refresh_token") != "":
		o.Answer, o.Access, o.Refresh = Done, a.text("access_token"), a.text("refresh_token")
	case o.Status == http.StatusBadRequest && a.text("error") == "invalid_grant":
		o.Answer = Refused
	}
	r.History.Add(o)
	return o
}

// clientToken asks for a token for the client itself.
func (r *Run) clientToken(o Operation, c *Client, at oauthtest.Addresses) Operation {
	o.Kind = ClientToken
	o, a := r.send(request{Operation: o, path: at.ClientCredentials, form: c.form("grant_type", "client_credentials")})
	if o.Status == http.StatusOK && a.text("access_token") != "" {
		o.Answer, o.Access = Done, a.text("access_token")
	}
	r.History.Add(o)
	return o
}

// revoke ends a token; the operation says of which kind.
func (r *Run) revoke(o Operation, c *Client) Operation {
	o, _ = r.send(request{Operation: o, path: "/revoke", form: c.form("token", o.Token)})
	if o.Status == http.StatusOK {
		o.Answer = Done
	}
	r.History.Add(o)
	return o
}

// introspect asks about a token; the operation says of which kind.
func (r *Run) introspect(o Operation, c *Client) Operation {
	o, a := r.send(request{Operation: o, path: "/introspect", form: c.form("token", o.Token)})
	if active, ok := a.member("active"); o.Status == http.StatusOK && ok {
		o.Answer = map[bool]Answer{true: Active, false: Inactive}[active]
	}
	r.History.Add(o)
	return o
}

// member is a member of an answer that is true or false.
func (a *reply) member(name string) (value, ok bool) {
	if a == nil {
		return false, false
	}
	value, ok = a.members[name].(bool)
	return value, ok
}

// authorize asks for a code with a session that was acknowledged, so that no page is
// an answer.
func (r *Run) authorize(o Operation, c *Client, at oauthtest.Addresses, session http.CookieJar) Operation {
	o.Kind = Authorize
	o, a := r.send(request{Operation: o, path: at.Code + "?" + authorization(c), jar: session})
	r.take(&o, a)
	r.History.Add(o)
	return o
}

func authorization(c *Client) string {
	return url.Values{"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {oauthtest.Callback}, "scope": {"read"}}.Encode()
}

// take takes the code out of an answer.
func (r *Run) take(o *Operation, a *reply) {
	if o.Status == http.StatusSeeOther && a.location != nil && strings.HasPrefix(a.location.String(), oauthtest.Callback) && a.location.Query().Get("code") != "" {
		o.Answer, o.Code = Done, a.location.Query().Get("code")
	}
}

// signIn walks from an authorization request over the sign-in page to a code, each
// step at any server. It gives up when a step cannot be served.
func (r *Run) signIn(o Operation, c *Client, user string, session http.CookieJar, replica func() int) Operation {
	q := request{Operation: o, path: "/authorize?" + authorization(c), jar: session}
	for range 10 {
		q.Kind, q.Replica = Page, replica()
		step, a := r.send(q)
		r.take(&step, a)
		switch {
		case step.Answer == Done:
			step.Kind = Authorize
		case step.Answer != Odd:
		case step.Status == http.StatusSeeOther && a.location != nil && a.location.Host == strings.TrimPrefix(r.Fleet.Issuer, "http://"):
			step.Answer, q.path, q.form = Done, a.location.String(), nil
		case step.Status == http.StatusOK:
			step.Answer = r.fill(&q, a, user)
		}
		if step.Kind == Page {
			step.Grant = 0 // nothing came of it yet
			step.Detail += " " + strconv.Quote(q.path)
		}
		r.History.Add(step)
		if step.Answer != Done || step.Kind == Authorize {
			return step
		}
	}
	return Operation{}
}

// fill fills in the sign-in form of a page.
func (r *Run) fill(q *request, a *reply, user string) Answer {
	action, fields, found := oauthtest.ReadForm(a.body, "login-form")
	if !found {
		return Odd
	}
	fields.Set("username", user)
	fields.Set("password", oauthtest.Password)
	fields.Set("action", "login")
	q.path, q.form = action, fields
	return Done
}
