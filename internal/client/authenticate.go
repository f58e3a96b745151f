// Package client knows registered clients: how they prove who they are, and
// how they are registered.
//
// It serves /register and what is below it. Its one invariant: only Authenticate makes an
// *Authenticated, so an endpoint that takes one cannot forget the proof.
package client

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Registry knows the clients of the database.
type Registry struct {
	Store *store.Store
	// HashSecret makes the keyed hash of a secret that is stored.
	HashSecret func(secret string) (string, error)
	// CheckSecret reports, in constant time, whether a secret has a stored hash.
	// It takes as long for a hash of "".
	CheckSecret func(hash, secret string) bool
	// SealSecret encrypts a secret that is the key of an HMAC, and OpenSecret reads it back.
	SealSecret func(secret string) (string, error)
	OpenSecret func(sealed string) ([]byte, error)
	// MakeKeys makes what keys of the server a client wants that are not there yet.
	MakeKeys func(ctx context.Context, m *oauth.ClientMetadata) error
	Keys     *Keys
	// Fetch reads a document of one of the media types from an address that a client
	// has named.
	Fetch func(ctx context.Context, address string, mediaTypes ...string) ([]byte, error)
	Now   func() time.Time

	// What an assertion may name as its audience beside the endpoint it comes to.
	Issuer    string
	TokenPath string // of the token endpoint, below the issuer
	Origin    string // of the issuer: without its path

	decoy atomic.Pointer[string] // a sealed secret of nobody
}

// Authenticated is a client that has proved who it is as far as it can: a
// confidential one by its secret or by its keys, a public one by naming itself.
type Authenticated struct {
	*store.Client
}

// guesses limits wrong secrets for one client from one address. A right secret
// is never counted and never held up.
var guesses = store.Limit{Burst: 10, Interval: 6 * time.Second}

// proof is what a request says about who sends it.
type proof struct {
	clientID string
	secret   string // "" when none was sent
	basic    bool   // by the Authorization header

	assertion string // "" when none was sent
	endpoint  string // path that the assertion came to
}

// Authenticate finds out which client sends a token request, RFC 6749 Section
// 2.3: by HTTP Basic, in the body, or by an assertion, as it is registered, and in one
// way only.
func (g *Registry) Authenticate(ctx context.Context, r *http.Request, form oauth.Form) (*Authenticated, error) {
	p, err := readProof(r, form)
	if err != nil {
		return nil, err
	}
	c, err := g.Store.KnownClient(ctx, p.clientID, g.Now())
	if err == nil {
		err = g.check(ctx, c, p)
		if err != nil {
			c, err = g.checkAgain(ctx, c, p, err)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, g.unknown(ctx, p)
	}
	if c != nil {
		web.EventOf(ctx).ClientID = c.ID
	}
	if guess, ok := errors.AsType[wrongGuess](err); ok {
		return nil, g.wrong(ctx, c.ID, guess.cause)
	}
	if err != nil {
		return nil, err
	}
	return &Authenticated{c}, nil
}

// A wrongGuess is a refusal that counts.
type wrongGuess struct{ cause error }

func (w wrongGuess) Error() string { return w.cause.Error() }

// checkAgain gives a client that was refused by a copy of its registration, which
// may be a second old, the benefit of the registration itself.
func (g *Registry) checkAgain(ctx context.Context, was *store.Client, p proof, refused error) (*store.Client, error) {
	c, err := g.Store.Client(ctx, was.ID)
	if err != nil {
		return nil, err
	}
	if c.Revision == was.Revision {
		return c, refused
	}
	return c, g.check(ctx, c, p)
}

// check decides whether the proof is the one the client is registered for.
func (g *Registry) check(ctx context.Context, c *store.Client, p proof) (err error) {
	method := c.Metadata.TokenEndpointAuthMethod
	var a *assertion // to be used up, once nothing speaks against it
	switch {
	case c.Metadata.Asserts() != (p.assertion != ""):
		g.CheckSecret("", p.secret)
		g.pretend(p)
		return invalidClient(oauth.Because("client_auth_method", "a client that is registered for assertions proves itself by one, and no other does"))
	case p.assertion != "":
		if a, err = g.verifyAssertion(ctx, c, p); err != nil {
			return err
		}
	case method == oauth.AuthMethodNone && p.secret != "":
		return wrongGuess{oauth.Because("client_secret", "a public client sent a secret")}
	case method == oauth.AuthMethodNone:
	case p.secret == "":
		g.CheckSecret("", p.secret)
		return invalidClient(oauth.Because("client_secret_missing", "the client did not send its secret"))
	case !g.hasSecret(c, p.secret):
		return wrongGuess{oauth.Because("client_secret", "the secret is wrong")}
	case method == oauth.AuthMethodBasic && !p.basic, method == oauth.AuthMethodPost && p.basic:
		return invalidClient(oauth.Because("client_auth_method", "the client is registered for "+method+" and sent its secret another way"))
	}
	if !c.DisabledAt.IsZero() {
		return invalidClient(oauth.Because("client_disabled", "the client is disabled"))
	}
	if a != nil {
		return g.use(ctx, c, a)
	}
	return nil
}

// unknown refuses an id that no client has, at the cost of one that a client has:
// a secret, or an HMAC made with one, is checked and counted, and to send none is no
// guess.
func (g *Registry) unknown(ctx context.Context, p proof) error {
	cause := oauth.Because("client_id", "no client has this id")
	g.CheckSecret("", p.secret)
	if !g.pretend(p) && p.secret == "" {
		return invalidClient(cause)
	}
	return g.wrong(ctx, "", cause)
}

// hasSecret tries every secret, whichever matches, so that time tells nothing.
func (g *Registry) hasSecret(c *store.Client, secret string) bool {
	now, found := g.Now(), false
	if len(c.Secrets) == 0 {
		return g.CheckSecret("", secret)
	}
	for _, s := range c.Secrets {
		if g.CheckSecret(s.Hash, secret) && (s.ExpiresAt.IsZero() || s.ExpiresAt.After(now)) {
			found = true
		}
	}
	return found
}

// wrong counts a failed guess by client and address and refuses it. All unknown
// ids share one bucket per address, which touches no client.
func (g *Registry) wrong(ctx context.Context, clientID string, cause error) error {
	bucket := store.Bucket("client", clientID, web.Network(web.EventOf(ctx).Address))
	wait, err := g.Store.Attempt(ctx, bucket, guesses, g.Now())
	if err != nil {
		return err
	}
	if wait > 0 {
		return web.TooManyRequests(wait, cause)
	}
	return invalidClient(cause)
}

// invalidClient says the same whatever was wrong; the cause is the operator's.
func invalidClient(cause error) error {
	return oauth.Refuse(oauth.InvalidClient, "client authentication failed", cause)
}

// readProof collects what a request says about its client, and refuses more
// than one proof (RFC 6749 Section 2.3).
func readProof(r *http.Request, form oauth.Form) (proof, error) {
	p := proof{clientID: form.Get("client_id"), secret: form.Get("client_secret")}
	if form.Get("client_assertion") != "" || form.Get("client_assertion_type") != "" {
		return readAssertion(r, form, p)
	}
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) > 1:
		return p, oauth.Errorf(oauth.InvalidRequest, "more than one Authorization header was sent")
	case len(headers) == 1:
		id, secret, err := parseBasic(headers[0])
		switch {
		case err != nil:
			return p, err
		case form.Has("client_secret") && p.secret != "":
			return p, oauth.Errorf(oauth.InvalidRequest, "the client must prove itself in one way only")
		case p.clientID != "" && p.clientID != id:
			return p, oauth.Errorf(oauth.InvalidRequest, "client_id differs from the one in the Authorization header")
		}
		p = proof{clientID: id, secret: secret, basic: true}
	}
	if p.clientID == "" {
		return p, invalidClient(oauth.Because("client_id", "the request names no client"))
	}
	return p, nil
}

// basic names every check of the Authorization header.
const basic = "authorization_header"

// parseBasic reads Basic credentials. Both halves are form-encoded before they
// are joined, RFC 6749 Section 2.3.1, and the scheme is named in any case, RFC
// 9110 Section 11.1.
func parseBasic(header string) (id, secret string, err error) {
	scheme, encoded, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", invalidClient(oauth.Because(basic, "the Authorization header is not Basic"))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", invalidClient(oauth.Because(basic, "the Basic credentials are not base64"))
	}
	first, second, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", invalidClient(oauth.Because(basic, "the Basic credentials have no colon"))
	}
	if id, err = url.QueryUnescape(first); err == nil {
		secret, err = url.QueryUnescape(second)
	}
	if err != nil {
		return "", "", invalidClient(oauth.Because(basic, "the Basic credentials are not form-encoded"))
	}
	for _, s := range []string{id, secret} {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return "", "", oauth.Errorf(oauth.InvalidRequest, "the Basic credentials must be valid UTF-8 without NUL")
		}
	}
	return id, secret, nil
}
