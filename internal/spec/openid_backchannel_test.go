package spec_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A receiver is the https server of clients, which listens to what they are told. What
// it does with a logout token depends on the path it came to.
type receiver struct {
	*httptest.Server
	authority string // file with its certificate

	mu    sync.Mutex
	heard map[string][]notice // by path
	do    map[string]http.HandlerFunc
}

// A notice is a request as it arrived.
type notice struct {
	method, kind string
	form         url.Values
	cookies      int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{heard: map[string][]notice{}, do: map[string]http.HandlerFunc{}}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = nil
	r.StartTLS()
	t.Cleanup(r.CloseClientConnections)
	r.authority = authorityOf(t, r.Server)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_ = q.ParseForm()
	r.mu.Lock()
	r.heard[q.URL.Path] = append(r.heard[q.URL.Path], notice{q.Method, q.Header.Get("Content-Type"), q.PostForm, len(q.Cookies())})
	do := r.do[q.URL.Path]
	r.mu.Unlock()
	if do != nil {
		do(w, q)
	}
}

// answers has a path answer with a status.
func (r *receiver) answers(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.do[path] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// at is what has arrived at a path.
func (r *receiver) at(path string) []notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard[path])
}

// wait waits until so many have arrived at a path, and returns them.
func (r *receiver) wait(t *testing.T, path string, n int) []notice {
	t.Helper()
	eventually(t, path+" hears of the logout", func() bool { return len(r.at(path)) >= n })
	return r.at(path)
}

// eventually waits until something that happens beside the test has happened.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// reaches lets a server talk to the receiver.
func (r *receiver) reaches(c *config.Config) {
	reaching(r.authority)(c)
}

// backchannel registers an address that is told of logouts.
func backchannel(uri string) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) {
		m.BackchannelLogoutURI, m.BackchannelLogoutSessionRequired = uri, true
	}
}

// pending is how many notices wait in the database.
func pending(t *testing.T, s *oauthtest.Server) int {
	t.Helper()
	notices, err := s.Store.ClaimLogoutNotices(t.Context(), s.Clock.Now().Add(100*time.Hour), 1000)
	ok(t, err)
	return len(notices)
}

// A session that has only idled has not ended: who signs out of it by an ID token of it
// has its clients told, and whoever has none of it has not.
func TestOpenIDBackchannel_2_IdledSession(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	p, other := newRelyingParty(t, s, backchannel(r.URL+"/told")), newRelyingParty(t, s)
	hint := p.signedIn(t)
	foreign := other.signedIn(t) // in another browser
	s.Clock.Advance(13 * time.Hour)
	if p.isSignedIn(t) {
		t.Fatal("it has not idled")
	}
	p.Browser.Open(t, logout("id_token_hint", foreign))
	if n := pending(t, s); n != 0 || len(r.at("/told")) != 0 {
		t.Errorf("a hint of another session: %d notices", n)
	}
	p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye))
	if got := p.Browser.Page.Header.Get("Location"); got != bye {
		t.Errorf("led to %q", got)
	}
	r.wait(t, "/told", 1)
}

// OpenID Connect Back-Channel Logout Sections 2.4 and 2.5: whoever takes part in a
// session with openid is told once when it ends, by a form that holds a logout token
// alone; the token is for that client, names the subject and the session of the ID
// token, and is signed with the client's algorithm (LO-02, conformance 73, 74).
func TestOpenIDBackchannel_2_4_LogoutToken(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	for _, algorithm := range []string{"", "RS256", "ES256"} {
		path := "/told" + algorithm
		p := newRelyingParty(t, s, backchannel(r.URL+path+"?tenant=a%26b"), func(m *oauth.ClientMetadata) { m.IDTokenAlg = algorithm })
		_, told := p.verify(t, p.signedIn(t))
		p.signedIn(t) // a second grant in the same session
		p.Browser.Open(t, "/end-session")
		p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		n := r.wait(t, path, 1)[0]
		if n.method != http.MethodPost || n.kind != "application/x-www-form-urlencoded" || n.cookies != 0 || !slices.Equal(slices.Collect(maps.Keys(n.form)), []string{"logout_token"}) {
			t.Errorf("%s: %+v", algorithm, n)
		}
		token := n.form.Get("logout_token")
		wantHeader := map[string]any{"typ": "logout+jwt", "alg": "RS256"}
		if algorithm != "" {
			wantHeader["alg"] = algorithm
		}
		header := headerOf(t, token)
		delete(header, "kid")
		if !maps.Equal(wantHeader, header) {
			t.Errorf("%s: header %v", algorithm, header)
		}
		_, claims := p.verify(t, token) // by the published keys, for this client, in time
		if got := members(claims); !slices.Equal(got, []string{"aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"}) {
			t.Errorf("%s: claims %v", algorithm, got)
		}
		for _, name := range []string{"iss", "sub", "aud", "sid"} {
			if claims[name] != told[name] {
				t.Errorf("%s: %s = %v, the ID token has %v", algorithm, name, claims[name], told[name])
			}
		}
		events, err := json.Marshal(claims["events"])
		ok(t, err)
		if string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
			t.Errorf("%s: events %s", algorithm, events)
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life <= 0 || life > 120 {
			t.Errorf("%s: it lives for %v s", algorithm, life)
		}
		if jti, _ := claims["jti"].(string); len(jti) < 20 {
			t.Errorf("%s: jti %q", algorithm, claims["jti"])
		}
		// It is good for nothing else.
		if answer := p.userInfo(t, token); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: userinfo took it: %d", algorithm, answer.StatusCode)
		}
		if answer := s.Get(t, logout("id_token_hint", token)); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: it passes for a hint: %d", algorithm, answer.StatusCode)
		}
		if p.Active(t, token) {
			t.Errorf("%s: it is an active token", algorithm)
		}
		time.Sleep(300 * time.Millisecond)
		if n := len(r.at(path)); n != 1 {
			t.Errorf("%s: told %d times", algorithm, n)
		}
	}
	eventually(t, "nothing is left to tell", func() bool { return pending(t, s) == 0 })
}

// Sections 2 and 2.7: every way in which a session ends is told, to every client that
// took part in it with openid and asked to be told, and to no other; grants with
// offline_access live on (LO-02, LO-03).
func TestOpenIDBackchannel_2_WhoIsTold(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	one, two := newRelyingParty(t, s, backchannel(r.URL+"/one")), newRelyingParty(t, s, backchannel(r.URL+"/two"))
	plain, elsewhere := newRelyingParty(t, s, backchannel(r.URL+"/plain")), newRelyingParty(t, s, backchannel(r.URL+"/elsewhere"))
	plain.Scopes = []string{"read"} // no OpenID
	deaf := newRelyingParty(t, s)
	elsewhere.signedIn(t)
	s.User(t, "bob")
	hash, err := s.Hasher.Hash(t.Context(), oauthtest.Password)
	ok(t, err)
	for i, tt := range []struct {
		name string
		end  func()
		all  bool // sessions of the user
	}{
		{"signed out", func() {
			one.Browser.Open(t, "/end-session")
			one.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		}, false},
		{"bob signs in", func() {
			one.Browser.Open(t, "/login")
			one.Browser.SignIn(t, "bob")
		}, false},
		{"password", func() { ok(t, s.Store.SetPassword(t.Context(), one.user.ID, hash, s.Clock.Now(), theOperator)) }, true},
		{"all", func() { ok(t, s.Store.RevokeAll(t.Context(), s.Clock.Now(), theOperator)) }, true},
		{"disabled", func() { ok(t, s.Store.DisableUser(t.Context(), one.user.ID, s.Clock.Now(), theOperator)) }, true},
	} {
		browser := s.Browser(t)
		one.Browser, two.Browser, plain.Browser, deaf.Browser = browser, browser, browser, browser
		plain.Browser.Walk(t, plain.address(), "alice")
		deaf.signedIn(t)
		two.signedIn(t)
		answer, _ := one.ask(t, "scope", "openid offline_access")
		offline := one.tokens(t, answer.Get("code")).Text("refresh_token")
		if tt.all && tt.name != "password" {
			elsewhere.Browser = s.Browser(t)
			elsewhere.signedIn(t)
		}
		before := len(r.at("/elsewhere"))
		tt.end()
		r.wait(t, "/one", i+1)
		r.wait(t, "/two", i+1)
		if tt.all {
			r.wait(t, "/elsewhere", before+1)
		}
		if offlineLives := one.Refresh(t, oauthtest.AllAddresses[0], offline).StatusCode == http.StatusOK; offlineLives == tt.all {
			t.Errorf("%s: the grant with offline_access lives: %t", tt.name, offlineLives)
		}
	}
	time.Sleep(300 * time.Millisecond)
	for path, want := range map[string]int{"/one": 5, "/two": 5, "/elsewhere": 3, "/plain": 0} {
		if n := len(r.at(path)); n != want {
			t.Errorf("%s was told %d times, want %d", path, n, want)
		}
	}
}

// Section 2.5: a receiver that is slow, dead or not there holds up neither the user nor
// other clients (LO-02, conformance 74).
func TestOpenIDBackchannel_2_5_SlowReceivers(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	r.do["/slow"] = func(http.ResponseWriter, *http.Request) { <-hang }
	browser := s.Browser(t)
	parties := map[string]*relyingParty{}
	for name, uri := range map[string]string{"slow": r.URL + "/slow", "dead": "https://127.0.0.1:1/dead", "no such host": "https://nobody.invalid/", "quick": r.URL + "/quick"} {
		parties[name] = newRelyingParty(t, s, backchannel(uri))
		parties[name].Browser = browser
		parties[name].signedIn(t)
	}
	hint := parties["quick"].signedIn(t)
	began := time.Now()
	browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye))
	if got := browser.Location(t); got == nil || got.String() != bye || time.Since(began) > 3*time.Second {
		t.Errorf("ended at %v after %v", got, time.Since(began))
	}
	r.wait(t, "/quick", 1)
	r.wait(t, "/slow", 1)
	// While the slow one is still waited for, the next sign-out is told at once.
	parties["quick"].signedIn(t)
	browser.Open(t, "/end-session")
	browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	r.wait(t, "/quick", 2)
	eventually(t, "the slow one is given up for now", func() bool { return strings.Count(s.Log.String(), "will be tried again") >= 3 })
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a slow receiver was waited for for %v", took)
	}
	if strings.Contains(s.Log.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

// A hundred sessions of a client that does not answer, ended all at once, keep nobody else
// waiting for longer than one of them (LO-02).
func TestOpenIDBackchannel_2_5_DeadReceiver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	r.do["/dead"] = func(http.ResponseWriter, *http.Request) { <-hang }
	dead, quick := newRelyingParty(t, s, backchannel(r.URL+"/dead")), newRelyingParty(t, s, backchannel(r.URL+"/quick"))
	now := s.Clock.Now()
	session := func(p *relyingParty, sid string) {
		t.Helper()
		ok(t, s.Store.CreateSession(t.Context(), &store.Session{SID: sid, UserID: p.user.ID, UserEpoch: p.user.Epoch, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, sid, "", theOperator))
		ok(t, s.Store.CreateGrant(t.Context(), &store.Grant{
			ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: p.ClientID, ClientEpoch: 1, UserID: p.user.ID, UserEpoch: p.user.Epoch,
			SID: sid, CreatedAt: now, ExpiresAt: now.Add(time.Hour), HearsOfLogout: true,
		}, nil, theOperator))
	}
	for i := range 200 {
		session(dead, fmt.Sprint("dead", i))
	}
	ok(t, s.Store.DisableUser(t.Context(), dead.user.ID, now, theOperator))
	r.wait(t, "/dead", 32)
	quick.user = s.User(t, "bob")
	session(quick, "quick")
	ok(t, second(s.Store.EndSession(t.Context(), "quick", s.Clock.Now(), theOperator)))
	began := time.Now()
	r.wait(t, "/quick", 1)
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("told after %v", took)
	}
	if n := len(r.at("/dead")); n > 64 {
		t.Errorf("%d times at a client that does not answer", n)
	}
}

// second is the error of a call that also returns something.
func second[T any](_ T, err error) error { return err }

// Section 2.8: 200 and 204 are yes, 400 is no for good, and everything else is tried
// again, later and later, until it is given up with a line in the log (LO-02).
func TestOpenIDBackchannel_2_8_Retry(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	told := map[int]*relyingParty{}
	again := []int{500, 503, 404, 302} // these are tried once more, and six times at most
	for _, status := range append([]int{200, 204, 400}, again...) {
		path := fmt.Sprint("/", status)
		r.answers(path, status)
		told[status] = newRelyingParty(t, s, backchannel(r.URL+path))
		told[status].signedIn(t)
		told[status].Browser.Open(t, "/end-session")
		told[status].Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		r.wait(t, path, 1)
	}
	for n := 1; n < 7; n++ {
		for _, status := range again {
			eventually(t, "it is written down", func() bool {
				return strings.Count(s.Log.String(), `tried again","client":"`+told[status].ClientID) == n
			})
		}
		time.Sleep(100 * time.Millisecond)
		s.Clock.Advance(time.Hour)
		for _, status := range again {
			r.wait(t, fmt.Sprint("/", status), n+1)
		}
	}
	s.Clock.Advance(3 * time.Hour)
	time.Sleep(2500 * time.Millisecond) // longer than it takes to look again
	for status, p := range told {
		all, attempts, givenUp := r.at(fmt.Sprint("/", status)), 1, 0
		if slices.Contains(again, status) {
			attempts = 7
		}
		if status >= 300 {
			givenUp = 1
		}
		if len(all) != attempts {
			t.Errorf("%d: told %d times, want %d", status, len(all), attempts)
		}
		tokens := map[string]bool{}
		for _, n := range all {
			tokens[n.form.Get("logout_token")] = true
		}
		if len(tokens) != len(all) {
			t.Errorf("%d: a token was sent twice", status)
		}
		if given := strings.Count(s.Log.String(), `"msg":"a client was not told of a sign-out","client":"`+p.ClientID+`"`); given != givenUp {
			t.Errorf("%d: %d lines say that it was given up, want %d", status, given, givenUp)
		}
	}
	if n := pending(t, s); n != 0 {
		t.Errorf("%d notices are left", n)
	}
}

// A client that was disabled, deleted or changed meanwhile is not told, and an address
// that it has moved to is where it is told.
func TestOpenIDBackchannel_ClientChanged(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	browser := s.Browser(t)
	party := func(path string) *relyingParty {
		p := newRelyingParty(t, s, backchannel(r.URL+path))
		p.Browser = browser
		p.signedIn(t)
		return p
	}
	disabled, deleted, moved, quiet := party("/disabled"), party("/deleted"), party("/old"), party("/quiet")
	ok(t, s.Store.DisableClient(t.Context(), disabled.ClientID, s.Clock.Now(), theOperator))
	ok(t, s.Store.DeleteClient(t.Context(), deleted.ClientID, s.Clock.Now(), theOperator))
	for p, uri := range map[*relyingParty]string{moved: r.URL + "/new", quiet: ""} {
		_, err := s.Clients.Update(t.Context(), p.ClientID, func(m *oauth.ClientMetadata) error { m.BackchannelLogoutURI = uri; return nil }, theOperator)
		ok(t, err)
	}
	browser.Open(t, "/end-session")
	browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	r.wait(t, "/new", 1)
	eventually(t, "nothing is left to tell", func() bool { return pending(t, s) == 0 })
	for _, path := range []string{"/disabled", "/deleted", "/old", "/quiet"} {
		if n := len(r.at(path)); n != 0 {
			t.Errorf("%s was told", path)
		}
	}
}

// Who stands in a network of their own is told only when the operator allows it, and
// never by way of a redirect or to a server that nobody vouches for (SS-01).
func TestOpenIDBackchannel_Guarded(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	inner := httptest.NewServer(r)
	t.Cleanup(inner.Close)
	r.do["/away"] = func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, inner.URL+"/inner", http.StatusTemporaryRedirect)
	}
	for name, tt := range map[string]struct {
		path string
		edit func(*config.Config)
	}{
		"not allowed":     {"/closed", func(c *config.Config) { c.OutboundCAFile = r.authority }},
		"not vouched for": {"/strange", func(c *config.Config) { c.OutboundNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }},
		"redirect":        {"/away", r.reaches},
	} {
		s := oauthtest.Start(t, tt.edit)
		p := newRelyingParty(t, s, backchannel(r.URL+tt.path))
		p.signedIn(t)
		p.Browser.Open(t, "/end-session")
		p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		eventually(t, name+": it fails", func() bool { return strings.Contains(s.Log.String(), "will be tried again") })
	}
	for path, want := range map[string]int{"/closed": 0, "/strange": 0, "/away": 1, "/inner": 0} {
		if n := len(r.at(path)); n != want {
			t.Errorf("%s was reached %d times, want %d", path, n, want)
		}
	}
}

// Two servers on one database tell each client once, whichever of them ended the
// session, and one takes over what another had begun to tell (LO-02).
func TestOpenIDBackchannel_TwoServers(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	data := oauthtest.DataDir(t)
	first := oauthtest.StartIn(t, data, r.reaches)
	servers := []*oauthtest.Server{first}
	if oauthtest.OnPostgres() {
		key := filepath.Join(data, "master.key")
		for range 2 {
			servers = append(servers, oauthtest.StartIn(t, data, r.reaches, func(c *config.Config) { c.MasterKeyFile, c.Issuer = key, first.URL }))
		}
	}
	p := newRelyingParty(t, first, backchannel(r.URL+"/told"))
	const people = 12
	var sessions []string
	for range people {
		p.Browser = first.Browser(t)
		p.signedIn(t)
		for _, c := range p.Browser.Cookies(t) {
			if c.Name == "hufu_session" {
				sum := sha256.Sum256([]byte(c.Value))
				sessions = append(sessions, base64.RawURLEncoding.EncodeToString(sum[:]))
			}
		}
	}
	together(people, func(i int) {
		s := servers[i%len(servers)]
		if ended, err := s.Store.EndSession(t.Context(), sessions[i], s.Clock.Now(), theOperator); err != nil || ended.SID == "" {
			t.Errorf("sign-out %d: %+v, %v", i, ended, err)
		}
	})
	r.wait(t, "/told", people)
	time.Sleep(2500 * time.Millisecond)
	sids := map[string]int{}
	for _, n := range r.at("/told") {
		_, claims := p.verify(t, n.form.Get("logout_token"))
		sids[claims["sid"].(string)]++
	}
	if len(sids) != people || len(r.at("/told")) != people {
		t.Errorf("%d sessions were told of in %d notices, want %d", len(sids), len(r.at("/told")), people)
	}
}

// A notice outlives the server that was about to send it (LO-02).
func TestOpenIDBackchannel_AfterRestart(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	data := oauthtest.DataDir(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	r.do["/told"] = func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-hang:
		case <-q.Context().Done():
		}
		panic(http.ErrAbortHandler) // or it would say 200 to whoever is about to hang up, who may hear it
	}
	var sid any
	t.Run("before", func(t *testing.T) {
		s := oauthtest.StartIn(t, data, r.reaches)
		p := newRelyingParty(t, s, backchannel(r.URL+"/told"))
		_, claims := p.verify(t, p.signedIn(t))
		sid = claims["sid"]
		p.Browser.Open(t, "/end-session")
		p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
		r.wait(t, "/told", 1)
	})
	r.answers("/told", http.StatusOK)
	s := oauthtest.StartIn(t, data, r.reaches)
	s.Clock.Advance(time.Minute)
	again := r.wait(t, "/told", 2)[1]
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(again.form.Get("logout_token"), ".")[1])
	ok(t, err)
	var claims map[string]any
	ok(t, json.Unmarshal(text, &claims))
	if claims["sid"] != sid {
		t.Errorf("told of %v, want %v", claims["sid"], sid)
	}
	eventually(t, "nothing is left to tell", func() bool { return pending(t, s) == 0 })
}

// So many clients at once are all told, by a bounded number of requests at a time (LO-02).
func TestOpenIDBackchannel_Many(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	var now, most atomic.Int64
	r.do["/told"] = func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(100 * time.Millisecond)
		now.Add(-1)
	}
	trusted := func(m *oauth.ClientMetadata) { m.Trusted = true }
	p := newRelyingParty(t, s, trusted)
	const clients = 70
	for range clients {
		m := oauthtest.EveryGrant()
		m.Trusted, m.BackchannelLogoutURI = true, r.URL+"/told"
		q := *p
		q.App = &oauthtest.App{Config: p.Config, Server: s, Browser: p.Browser}
		q.ClientID, _ = s.Register(t, "", m)
		q.Browser.Walk(t, q.address("scope", "openid"), "alice")
	}
	p.Browser.Open(t, "/end-session")
	p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	audiences := map[string]bool{}
	for _, n := range r.wait(t, "/told", clients) {
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(n.form.Get("logout_token"), ".")[1])
		ok(t, err)
		var claims struct {
			Audience string `json:"aud"`
		}
		ok(t, json.Unmarshal(text, &claims))
		audiences[claims.Audience] = true
	}
	if len(audiences) != clients || most.Load() > 32 || most.Load() < 2 {
		t.Errorf("%d clients were told, %d at once at most", len(audiences), most.Load())
	}
}

// A client that does not want to be told costs no statement more, and one that does, one
// for each grant (design.md Section 10).
func TestOpenIDBackchannel_Statements(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, withMetrics)
	trusted := func(m *oauth.ClientMetadata) { m.Trusted = true }
	for p, want := range map[*relyingParty]int{newRelyingParty(t, s, trusted): 0, newRelyingParty(t, s, trusted, backchannel("https://127.0.0.1:1/")): 1} {
		p.signedIn(t)
		got := statements(t, s, 20, func(int) {
			if answer := s.Do(t, p.Browser.Request(t, p.address("scope", "openid"))); answer.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", answer.StatusCode, answer.Body)
			}
		})
		if got["insert oauth_grant"] != 1 || got["insert session_client"] != want || got["select session_client"] != 0 {
			t.Errorf("statements %v, want %d of session_client", got, want)
		}
	}
}

// Section 2.2: what may be registered.
func TestOpenIDBackchannel_2_2_Registration(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for uri, good := range map[string]bool{
		"https://app.example/out": true, "https://app.example:8443/out?a=b": true, "https://app.example": true,
		"http://app.example/out": false, "http://127.0.0.1/out": false, "https://app.example/out#x": false, "https://u:p@app.example/": false,
		"com.example.app:/out": false, "javascript:alert(1)": false, "/out": false, "https:///out": false, "https:out": false,
		"https://app.example/ out": false, "https://app.example/" + strings.Repeat("x", 2048): false,
	} {
		m := oauthtest.EveryGrant()
		m.BackchannelLogoutURI = uri
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", theOperator); (err == nil) != good {
			t.Errorf("%.60s: %v", uri, err)
		}
	}
	m := discover(t, s)
	if m.BackchannelLogout == nil || !*m.BackchannelLogout || m.BackchannelLogoutSession == nil || !*m.BackchannelLogoutSession {
		t.Errorf("metadata %+v", m)
	}
}
