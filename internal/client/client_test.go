package client_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A bench is a registry on a database of its own, whose time stands still until
// it is moved, and which counts how often a secret is compared.
type bench struct {
	*client.Registry
	now      time.Time
	compared atomic.Int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	s, err := store.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{now: time.Unix(1_800_000_000, 0).UTC()}
	b.Registry = &client.Registry{
		Store:      s,
		HashSecret: func(secret string) (string, error) { return hashOf(secret), nil },
		CheckSecret: func(hash, secret string) bool {
			b.compared.Add(1)
			return hash != "" && hmac.Equal([]byte(hash), []byte(hashOf(secret)))
		},
		SealSecret: func(secret string) (string, error) { return "sealed " + secret, nil },
		OpenSecret: func(sealed string) ([]byte, error) { return []byte(strings.TrimPrefix(sealed, "sealed ")), nil },
		MakeKeys:   func(context.Context, *oauth.ClientMetadata) error { return nil },
		Now:        func() time.Time { return b.now },
	}
	return b
}

func hashOf(secret string) string {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

var by = store.By{Actor: "test"}

const secret = "a secret of more than 16"

// register makes a service with that secret, or a public client.
func (b *bench) register(t testing.TB, id, method string) {
	t.Helper()
	m := oauth.ClientMetadata{TokenEndpointAuthMethod: method, GrantTypes: []string{oauth.GrantClientCredentials}}
	plain := secret
	if method == oauth.AuthMethodNone {
		m.GrantTypes, m.RedirectURIs, plain = []string{oauth.GrantAuthorizationCode}, []string{"https://app.example/cb"}, ""
	}
	if _, _, err := b.Register(t.Context(), id, m, plain, by); err != nil {
		t.Fatal(err)
	}
}

// basic is the header of RFC 6749 Section 2.3.1.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// authenticate sends a form and headers, and returns who that was.
func (b *bench) authenticate(ctx context.Context, form string, headers ...string) (*client.Authenticated, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, err
	}
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return b.Registry.Authenticate(ctx, r, oauth.NewForm(values))
}

// RFC 6749 Sections 2.3 and 3.2.1: who a client is, proven in one way, the way it
// is registered for (CA-01, CA-02, CA-03, CA-13).
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const odd = "odd: id%+ é"
	for id, method := range map[string]string{"any": "", "basic": oauth.AuthMethodBasic, "post": oauth.AuthMethodPost, "public": oauth.AuthMethodNone, "disabled": "", odd: ""} {
		b.register(t, id, method)
	}
	if err := b.Store.DisableClient(t.Context(), "disabled", b.now, by); err != nil {
		t.Fatal(err)
	}
	const invalidClient, invalidRequest = oauth.InvalidClient, oauth.InvalidRequest
	body := func(id, secret string) string {
		return url.Values{"client_id": {id}, "client_secret": {secret}}.Encode()
	}
	for name, tt := range map[string]struct {
		form    string
		headers []string
		want    oauth.Code // "" means accepted
	}{
		"any, by Basic":                {"", []string{basic("any", secret)}, ""},
		"any, in the body":             {body("any", secret), nil, ""},
		"basic, by Basic":              {"", []string{basic("basic", secret)}, ""},
		"post, in the body":            {body("post", secret), nil, ""},
		"public, by name":              {"client_id=public", nil, ""},
		"same id beside Basic":         {"client_id=any", []string{basic("any", secret)}, ""},
		"empty secret beside Basic":    {"client_id=any&client_secret=", []string{basic("any", secret)}, ""},
		"scheme in lower case":         {"", []string{"basic" + basic("any", secret)[5:]}, ""},
		"scheme in upper case":         {"", []string{"BASIC" + basic("any", secret)[5:]}, ""},
		"two spaces behind the scheme": {"", []string{"Basic  " + basic("any", secret)[6:]}, ""},
		"odd id, by Basic":             {"", []string{basic(odd, secret)}, ""},
		"odd id, in the body":          {body(odd, secret), nil, ""},
		"public, Basic without secret": {"", []string{basic("public", "")}, ""},

		"basic, in the body":          {body("basic", secret), nil, invalidClient},
		"post, by Basic":              {"", []string{basic("post", secret)}, invalidClient},
		"wrong secret, by Basic":      {"", []string{basic("any", secret+"x")}, invalidClient},
		"wrong secret, in the body":   {body("any", secret[1:]), nil, invalidClient},
		"secret in other case":        {body("any", strings.ToUpper(secret)), nil, invalidClient},
		"no secret":                   {"client_id=any", nil, invalidClient},
		"empty secret":                {"client_id=any&client_secret=", nil, invalidClient},
		"empty secret by Basic":       {"", []string{basic("any", "")}, invalidClient},
		"public with a secret":        {body("public", secret), nil, invalidClient},
		"public with a secret, Basic": {"", []string{basic("public", secret)}, invalidClient},
		"unknown":                     {body("nobody", secret), nil, invalidClient},
		"unknown, without secret":     {"client_id=nobody", nil, invalidClient},
		"id in other case":            {body("ANY", secret), nil, invalidClient},
		"id with a space":             {body("any ", secret), nil, invalidClient},
		"no client at all":            {"", nil, invalidClient},
		"secret without id":           {"client_secret=" + url.QueryEscape(secret), nil, invalidClient},
		"empty id by Basic":           {"", []string{basic("", secret)}, invalidClient},
		"disabled":                    {body("disabled", secret), nil, invalidClient},
		"assertion":                   {"client_id=any&client_assertion=x&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer", nil, invalidClient},
		"assertion beside a secret":   {body("any", secret) + "&client_assertion=x", nil, invalidRequest},
		"Bearer":                      {"client_id=public", []string{"Bearer x"}, invalidClient},
		"Digest":                      {body("any", secret), []string{"Digest username=any"}, invalidClient},
		"scheme alone":                {"", []string{"Basic"}, invalidClient},
		"empty header":                {"", []string{""}, invalidClient},
		"no base64":                   {"", []string{"Basic !!!"}, invalidClient},
		"base64url":                   {"", []string{"Basic " + base64.RawURLEncoding.EncodeToString([]byte("any:"+url.QueryEscape(secret)+"~~~"))}, invalidClient},
		"no colon":                    {"", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("any"))}, invalidClient},
		"broken percent":              {"", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("any:%zz"))}, invalidClient},

		"other id beside Basic": {"client_id=basic", []string{basic("any", secret)}, invalidRequest},
		"two proofs":            {body("any", secret), []string{basic("any", secret)}, invalidRequest},
		"two headers":           {"", []string{basic("any", secret), basic("any", secret)}, invalidRequest},
		"Basic and Bearer":      {"", []string{basic("any", secret), "Bearer x"}, invalidRequest},
		"NUL by Basic":          {"", []string{basic("any\x00", secret)}, invalidRequest},
		"broken UTF-8 by Basic": {"", []string{basic("any", "\xff\xfe")}, invalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.authenticate(t.Context(), tt.form, tt.headers...)
			if code := codeOf(err); code != tt.want {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if (got != nil) != (err == nil) {
				t.Errorf("got %v beside %v", got, err)
			}
			b.now = b.now.Add(time.Minute) // so that no limit is reached
		})
	}
}

// codeOf is the code of a refusal, of the edge's ones too.
func codeOf(err error) oauth.Code {
	if e, ok := errors.AsType[*web.StatusError](err); ok {
		return e.Code
	}
	return oauth.CodeOf(err)
}

// A refusal tells nothing about what was wrong, and an unknown client costs the
// same comparison as a known one (CA-01, CA-07).
func TestAuthenticateTellsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, "app", "")
	b.register(t, "disabled", "")
	b.register(t, "public", oauth.AuthMethodNone)
	if err := b.Store.DisableClient(t.Context(), "disabled", b.now, by); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name, form := range map[string]string{
		"wrong secret": "client_id=app&client_secret=wrong", "unknown": "client_id=nobody&client_secret=wrong",
		"disabled": "client_id=disabled&client_secret=" + url.QueryEscape(secret), "public": "client_id=public&client_secret=wrong",
	} {
		before := b.compared.Load()
		_, err := b.authenticate(t.Context(), form)
		refused, ok := errors.AsType[*oauth.Error](err)
		if !ok || refused.Cause == nil {
			t.Fatalf("%s: %v", name, err)
		}
		texts[refused.Description] = name
		if name != "public" && b.compared.Load()-before != 1 {
			t.Errorf("%s: %d comparisons, want 1", name, b.compared.Load()-before)
		}
	}
	if len(texts) != 1 {
		t.Errorf("the texts differ: %v", texts)
	}
}

// serve puts a registry behind the edge, which knows addresses.
func (b *bench) serve(t *testing.T) *httptest.Server {
	t.Helper()
	edge := &web.Edge{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return b.now }}
	handler := edge.Wrap(edge.API(func(w http.ResponseWriter, r *http.Request) error {
		r.RemoteAddr = r.Header.Get("X-Test-Address")
		form, err := oauth.ParseForm(r)
		if err != nil {
			return err
		}
		if _, err := b.Registry.Authenticate(r.Context(), r, form); err != nil {
			return err
		}
		return web.JSON(w, http.StatusOK, "yes")
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = r.Header.Get("X-Test-Address") // where the test says it comes from
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func guess(t *testing.T, server *httptest.Server, address, id, secret string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(url.Values{"client_id": {id}, "client_secret": {secret}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Test-Address", address)
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response
}

// Guessing at a secret is slowed down for the pair of client and network, the
// right secret never is, and all unknown ids share a bucket that touches no known
// client (CA-06).
func TestGuessing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, "app", "")
	b.register(t, "other", "")
	server := b.serve(t)
	const attacker, neighbour, elsewhere = "203.0.113.7:1234", "203.0.113.99:1234", "198.51.100.7:1234"
	for i := range 10 {
		if got := guess(t, server, attacker, "app", fmt.Sprint("wrong ", i)).StatusCode; got != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i+1, got)
		}
	}
	for name, tt := range map[string]struct {
		address, id, secret string
		want                int
	}{
		"once more":               {attacker, "app", "wrong", 429},
		"from the next address":   {neighbour, "app", "wrong", 429},
		"from elsewhere":          {elsewhere, "app", "wrong", 401},
		"at another client":       {attacker, "other", "wrong", 401},
		"at an unknown client":    {attacker, "nobody", "wrong", 401},
		"the right one":           {attacker, "app", secret, 200},
		"the right one elsewhere": {elsewhere, "app", secret, 200},
	} {
		response := guess(t, server, tt.address, tt.id, tt.secret)
		if response.StatusCode != tt.want || (response.Header.Get("Retry-After") != "") != (tt.want == 429) {
			t.Errorf("%s: %d, Retry-After %q; want %d", name, response.StatusCode, response.Header.Get("Retry-After"), tt.want)
		}
	}
	for i := range 9 {
		guess(t, server, attacker, fmt.Sprint("unknown ", i), "wrong")
	}
	if got := guess(t, server, attacker, "unknown too", "wrong").StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("an eleventh unknown id: %d, want 429", got)
	}
	if got := guess(t, server, attacker, "other", "wrong").StatusCode; got != http.StatusUnauthorized {
		t.Errorf("a known client beside the unknown ones: %d, want 401", got)
	}
	b.now = b.now.Add(6 * time.Second)
	if got := guess(t, server, attacker, "app", "wrong").StatusCode; got != http.StatusUnauthorized {
		t.Errorf("six seconds later: %d, want 401", got)
	}
}

// Two secrets are valid side by side until one ends (CA-08).
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, "app", "")
	const next = "another secret of more than 16"
	_, plain, err := b.AddSecret(t.Context(), "app", next, b.now.Add(time.Hour), by)
	if err != nil || plain != next {
		t.Fatalf("added %q, %v", plain, err)
	}
	valid := func(secret string) bool {
		_, err := b.authenticate(t.Context(), url.Values{"client_id": {"app"}, "client_secret": {secret}}.Encode())
		return err == nil
	}
	if !valid(secret) || !valid(next) {
		t.Error("the two are not valid side by side")
	}
	if _, _, err := b.AddSecret(t.Context(), "app", "", time.Time{}, by); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a third one: %v", err)
	}
	c, err := b.Store.Client(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store.RemoveSecret(t.Context(), "app", c.Secrets[0].ID, b.now, by); err != nil {
		t.Fatal(err)
	}
	if valid(secret) || !valid(next) {
		t.Error("the removed one is valid, or the other is not")
	}
	b.now = b.now.Add(time.Hour)
	if valid(next) {
		t.Error("valid at its end")
	}
	before := b.compared.Load()
	valid(secret)
	if b.compared.Load() == before {
		t.Error("a client without a live secret takes no time")
	}
}

// Of a secret that was made only the hash is kept, and it is shown once (CA-07).
func TestRegister(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, plain, err := b.Register(t.Context(), "", oauth.ClientMetadata{GrantTypes: []string{oauth.GrantClientCredentials}}, "", by)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ID) < 22 || len(plain) < 43 || !strings.HasPrefix(plain, "hcs_") || uuid.Validate(c.ID) == nil {
		t.Errorf("made id %q and secret %q", c.ID, plain)
	}
	if len(c.Secrets) != 1 || c.Secrets[0].Hash != hashOf(plain) || strings.Contains(fmt.Sprintf("%+v", c), plain) {
		t.Errorf("stored %+v", c.Secrets)
	}
	if first, second := client.NewSecret(), client.NewSecret(); first == second {
		t.Error("two secrets are the same")
	}
	if diff := cmp.Diff([]string{oauth.GrantClientCredentials}, c.Metadata.GrantTypes); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// What a client may be called, and what a secret that somebody brings must be
// (CC-02).
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	service := oauth.ClientMetadata{GrantTypes: []string{oauth.GrantClientCredentials}}
	public := oauth.ClientMetadata{TokenEndpointAuthMethod: oauth.AuthMethodNone, RedirectURIs: []string{"https://app.example/cb"}}
	for name, tt := range map[string]struct {
		id       string
		metadata oauth.ClientMetadata
		secret   string
		accepted bool
	}{
		"usual":                 {"app", service, secret, true},
		"id with a colon":       {"urn:app", service, secret, true},
		"id in Chinese":         {"虎符", service, secret, true},
		"id of 128 bytes":       {strings.Repeat("a", 128), service, secret, true},
		"secret of 16":          {"app", service, strings.Repeat("x", 16), true},
		"secret of 16 tigers":   {"app", service, strings.Repeat("虎", 16), true},
		"secret of 256":         {"app", service, strings.Repeat("x", 256), true},
		"public":                {"app", public, "", true},
		"id of 129 bytes":       {strings.Repeat("a", 129), service, secret, false},
		"id a UUID":             {"0190b3a8-7c1e-7000-8000-000000000000", service, secret, false},
		"id a UUID in braces":   {"{0190b3a8-7c1e-7000-8000-000000000000}", service, secret, false},
		"id a UUID as a URN":    {"urn:uuid:0190b3a8-7c1e-7000-8000-000000000000", service, secret, false},
		"id a UUID, no dashes":  {"0190b3a87c1e70008000000000000000", service, secret, false},
		"id with a space ahead": {" app", service, secret, false},
		"id with a break":       {"a\nb", service, secret, false},
		"id not UTF-8":          {"a\xff", service, secret, false},
		"id invisible":          {"a\u200bb", service, secret, false},
		"secret of 15":          {"app", service, strings.Repeat("x", 15), false},
		"secret of 257":         {"app", service, strings.Repeat("x", 257), false},
		"secret with NUL":       {"app", service, secret + "\x00", false},
		"secret not UTF-8":      {"app", service, secret + "\xff", false},
		"public with secret":    {"app", public, secret, false},
		"bad metadata":          {"app", oauth.ClientMetadata{GrantTypes: []string{"magic"}}, secret, false},
		"taken":                 {"taken", service, secret, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.register(t, "taken", "")
			_, _, err := b.Register(t.Context(), tt.id, tt.metadata, tt.secret, by)
			if (err == nil) != tt.accepted {
				t.Errorf("got %v, want accepted %t", err, tt.accepted)
			}
			if err != nil && !errors.Is(err, store.ErrConflict) && oauth.CodeOf(err) != oauth.InvalidClientMetadata {
				t.Errorf("got %v, want %s", err, oauth.InvalidClientMetadata)
			}
			if clients, err := b.Store.Clients(t.Context(), "", 9); err != nil || (len(clients) == 2) != tt.accepted {
				t.Errorf("%d clients, %v", len(clients), err)
			}
		})
	}
	b := newBench(t)
	b.register(t, "public", oauth.AuthMethodNone)
	if _, _, err := b.AddSecret(t.Context(), "public", "", time.Time{}, by); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("a secret for a public client: %v", err)
	}
	if _, _, err := b.AddSecret(t.Context(), "nobody", "", time.Time{}, by); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a secret for nobody: %v", err)
	}
}

// Edits of one client at one moment all take effect, by being tried again.
func TestUpdate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, "app", "")
	var editors sync.WaitGroup
	for i := range 4 {
		editors.Go(func() {
			_, err := b.Update(t.Context(), "app", func(m *oauth.ClientMetadata) error {
				m.Contacts = append(m.Contacts, fmt.Sprintf("%d@app.example", i))
				return nil
			}, by)
			if err != nil {
				t.Error(err)
			}
		})
	}
	editors.Wait()
	c, err := b.Store.Client(t.Context(), "app")
	if err != nil || len(c.Metadata.Contacts) != 4 {
		t.Errorf("contacts %q, %v", c.Metadata.Contacts, err)
	}
	sentinel := errors.New("no")
	for name, edit := range map[string]func(m *oauth.ClientMetadata) error{
		"refused":   func(*oauth.ClientMetadata) error { return sentinel },
		"not valid": func(m *oauth.ClientMetadata) error { m.Scope = `"`; return nil },
		"made public": func(m *oauth.ClientMetadata) error {
			m.TokenEndpointAuthMethod, m.GrantTypes = "none", []string{"password"}
			return nil
		},
		"made redirects": func(m *oauth.ClientMetadata) error { m.RedirectURIs = []string{"http://app.example/"}; return nil },
	} {
		if _, err := b.Update(t.Context(), "app", edit, by); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	if after, err := b.Store.Client(t.Context(), "app"); err != nil || !cmp.Equal(after.Metadata, c.Metadata) {
		t.Errorf("a refused edit left %+v, %v", after.Metadata, err)
	}
	if _, err := b.Update(t.Context(), "nobody", func(*oauth.ClientMetadata) error { return nil }, by); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

// Whatever a client puts into Basic by the rule of RFC 6749 Section 2.3.1 comes
// out as it was; whatever comes out is text; and no header does harm.
func FuzzParseBasic(f *testing.F) {
	f.Add("app", "secret", "Basic YXBwOnNlY3JldA==")
	f.Add("a:b%c+d e", "虎:符", "basic  YXBwOnNlY3JldA== ")
	f.Add("", "", "Bearer x")
	f.Add("a\x00", "\xff", "Basic")
	f.Fuzz(func(t *testing.T, id, secret, header string) {
		gotID, gotSecret, err := client.ParseBasic(basic(id, secret))
		isText := utf8.ValidString(id+secret) && utf8.ValidString(id) && !strings.Contains(id+secret, "\x00")
		if (err == nil) != isText || err == nil && (gotID != id || gotSecret != secret) {
			t.Errorf("%q and %q come out as %q and %q, %v", id, secret, gotID, gotSecret, err)
		}
		gotID, gotSecret, err = client.ParseBasic(header)
		if err != nil {
			if code := oauth.CodeOf(err); code != oauth.InvalidClient && code != oauth.InvalidRequest {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		if !utf8.ValidString(gotID) || !utf8.ValidString(gotSecret) || strings.Contains(gotID+gotSecret, "\x00") || len(header) < 6 || !strings.EqualFold(strings.TrimSpace(header)[:6], "basic ") {
			t.Errorf("%q comes out as %q and %q", header, gotID, gotSecret)
		}
		if again, second, err := client.ParseBasic(basic(gotID, gotSecret)); err != nil || again != gotID || second != gotSecret {
			t.Errorf("%q: put in again it comes out as %q and %q, %v", header, again, second, err)
		}
	})
}
