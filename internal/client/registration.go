package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Addresses of dynamic registration, below the issuer.
const (
	RegisterPath = "/register"
	ManagePath   = "/register/{client_id}" // as ServeMux has it
)

// A Registration lets applications register themselves (RFC 7591, OpenID Connect
// Dynamic Client Registration 1.0) and look after what they registered (RFC 7592).
type Registration struct {
	Clients *Registry
	Tokens  []string // initial access tokens; none means that anybody may register
	Grants  []string // that a client may register for
	Scopes  []string // that a client may register for, and gets when it names none
	PerHour int      // registrations from one network
	Unused  time.Duration
	Now     func() time.Time
}

// Register takes a registration, RFC 7591 Section 3.
func (g *Registration) Register(w http.ResponseWriter, r *http.Request) error {
	if err := g.admit(w, r); err != nil {
		return err
	}
	request, err := g.read(r)
	if err != nil {
		return err
	}
	m := request.Metadata
	if err := g.settle(&m, &oauth.ClientMetadata{}); err != nil {
		return err
	}
	token := registrationPrefix + randomText(32)
	c := &store.Client{Metadata: m, RegistrationToken: hashToken(token), UnusedUntil: g.Now().Add(g.Unused)}
	c, secret, err := g.Clients.create(r.Context(), c, "", by(r.Context(), ""))
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).ClientID = c.ID
	return g.answer(w, http.StatusCreated, c, secret, token)
}

// Manage lets a client read, replace and delete its registration, RFC 7592 Section 2.
func (g *Registration) Manage(w http.ResponseWriter, r *http.Request) error {
	c, token, err := g.owner(w, r)
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).ClientID = c.ID
	switch r.Method {
	case http.MethodPut:
		return g.replace(w, r, c, token)
	case http.MethodDelete:
		err := g.Clients.Store.DeleteRegistration(r.Context(), c.ID, c.RegistrationToken, g.Now(), by(r.Context(), c.ID))
		if errors.Is(err, store.ErrNotFound) {
			return foreign(w, errors.New("it was deleted or disabled meanwhile"))
		}
		if err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return g.answer(w, http.StatusOK, c, "", token)
}

// replace puts another registration in the place of the one there is, RFC 7592 Section
// 2.2. When somebody else changed the client meanwhile it is tried again.
func (g *Registration) replace(w http.ResponseWriter, r *http.Request, c *store.Client, token string) error {
	request, err := g.read(r)
	if err != nil {
		return err
	}
	for range 5 {
		secret, err := g.replaceOnce(r.Context(), c, request)
		if !errors.Is(err, store.ErrConflict) {
			if err != nil {
				return err
			}
			return g.answer(w, http.StatusOK, c, secret, token)
		}
		if c, _, err = g.owner(w, r); err != nil {
			return err
		}
	}
	return web.Busy(time.Second, errors.New("others change the client all the time"))
}

// replaceOnce returns the secret that was made because the client proves itself by one
// now that it did not have before; "" otherwise.
func (g *Registration) replaceOnce(ctx context.Context, c *store.Client, request *oauth.Registration) (string, error) {
	if err := g.checkNamed(c, request); err != nil {
		return "", err
	}
	next, before := request.Metadata, c.Metadata
	if err := g.settle(&next, &before); err != nil {
		return "", err
	}
	c.Metadata.ReplaceBy(&next)
	if err := g.Clients.checkMetadata(ctx, &c.Metadata, &before); err != nil {
		return "", err
	}
	var made *store.ClientSecret
	var plain string
	lacks := g.Clients.checkSealed(c)
	if lacks != nil && (!errors.Is(lacks, ErrNotSealed) || g.Clients.hasTwo(c)) {
		return "", lacks
	}
	if c.Metadata.HasSecret() && (lacks != nil || !before.HasSecret()) {
		secret, text, err := g.Clients.newSecret(&c.Metadata, "", time.Time{}, false)
		if err != nil {
			return "", err
		}
		made, plain = &secret, text
	}
	if err := g.Clients.MakeKeys(ctx, &c.Metadata); err != nil {
		return "", err
	}
	return plain, g.Clients.Store.ReplaceRegistration(ctx, c, made, g.Now(), by(ctx, c.ID))
}

// checkNamed looks at what a replacement says beside metadata, RFC 7592 Section 2.2: the
// client must name itself, and cannot choose what the server sets.
func (g *Registration) checkNamed(c *store.Client, request *oauth.Registration) error {
	if len(request.Issued) > 0 {
		name := request.Issued[0]
		return oauth.Errorf(oauth.InvalidClientMetadata, "%s must not be sent", name)
	}
	switch {
	case request.ClientID != c.ID:
		return oauth.Errorf(oauth.InvalidClientMetadata, "client_id must be that of the client")
	case request.ClientSecret != "" && !g.Clients.hasSecret(c, request.ClientSecret):
		return oauth.Errorf(oauth.InvalidClientMetadata, "client_secret must be the one that was issued, or be left out")
	}
	return nil
}

// settle writes the defaults out and holds a registration against what the operator
// allows. What a client had before it may keep.
func (g *Registration) settle(m, before *oauth.ClientMetadata) error {
	m.FillDefaults()
	for _, grant := range m.GrantTypes {
		if !slices.Contains(g.Grants, grant) && !before.HasGrant(grant) {
			return oauth.Refuse(oauth.InvalidClientMetadata, "grant_types holds one that cannot be registered", errors.New("registration_grants has no "+strconv.Quote(grant)))
		}
	}
	if m.Scope == "" {
		scope := oauth.Scope(g.Scopes)
		if !m.HasGrant(oauth.GrantRefreshToken) {
			scope = scope.Without(oauth.ScopeOfflineAccess)
		}
		m.Scope = scope.String()
		return nil
	}
	scope, err := oauth.ParseScope(m.Scope)
	if err != nil {
		return oauth.Refuse(oauth.InvalidClientMetadata, "scope is malformed", err)
	}
	for _, value := range scope {
		if !slices.Contains(g.Scopes, value) && !before.Registered().Contains(value) {
			return oauth.Refuse(oauth.InvalidClientMetadata, "scope holds a value that cannot be registered", errors.New("registration_scopes has no "+strconv.Quote(value)))
		}
	}
	return nil
}

// read reads the body of a request, which counts from here on: what follows may fetch
// documents and write rows.
func (g *Registration) read(r *http.Request) (*oauth.Registration, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &web.StatusError{Status: http.StatusUnsupportedMediaType, Code: oauth.InvalidRequest, Description: "the body must be application/json",
			Cause: oauth.Because("media_type", "the content type is not application/json")}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body could not be read", err)
	}
	if len(body) > maxRegistration {
		return nil, oauth.Errorf(oauth.InvalidClientMetadata, "a registration must not be longer than 16 KiB")
	}
	request, err := oauth.ParseRegistration(body)
	if err != nil {
		return nil, err
	}
	return request, g.count(r.Context())
}

// maxRegistration is how long a registration may be, in bytes. It is kept for as long as
// its client.
const maxRegistration = 16 << 10

// manyNetworks is how many times what one network may register all may together, where
// anybody may: networks are cheap.
const manyNetworks = 10

// count counts a registration against the limits.
func (g *Registration) count(ctx context.Context) error {
	limits := map[string]int{store.Bucket("register", web.Network(web.EventOf(ctx).Address)): g.PerHour}
	if len(g.Tokens) == 0 {
		limits[store.Bucket("register everywhere")] = manyNetworks * g.PerHour
	}
	for bucket, perHour := range limits {
		wait, err := g.Clients.Store.Attempt(ctx, bucket, store.Limit{Burst: perHour, Interval: time.Hour / time.Duration(perHour)}, g.Now())
		if err != nil {
			return err
		}
		if wait > 0 {
			return web.TooManyRequests(wait, errors.New("more registrations than registration_limit allows, from this network or, tenfold, from all"))
		}
	}
	return nil
}

// registrationPrefix tells registration access tokens from everything else.
const registrationPrefix = "hra_"

// hashToken is the stored form of a registration access token, which holds 256 random
// bits.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// guessedTokens limits wrong initial access tokens from one network.
var guessedTokens = store.Limit{Burst: 10, Interval: 6 * time.Second}

// checked names the check of the token in a request.
const checked = "registration_token"

// admit wants one of the initial access tokens, RFC 7591 Section 3.1, where there are
// any. A right one is never counted.
func (g *Registration) admit(w http.ResponseWriter, r *http.Request) error {
	if len(g.Tokens) == 0 {
		return nil
	}
	token, err := bearer(r)
	if err != nil {
		return web.Challenge(w, err, "")
	}
	found := 0
	for _, known := range g.Tokens {
		found |= subtle.ConstantTimeCompare([]byte(hashToken(known)), []byte(hashToken(token)))
	}
	if found == 1 {
		return nil
	}
	cause := oauth.Because(checked, "the initial access token is none of those that are configured")
	if token == "" {
		return web.Challenge(w, missing("no initial access token was sent"), "")
	}
	bucket := store.Bucket("initial access token", web.Network(web.EventOf(r.Context()).Address))
	wait, err := g.Clients.Store.Attempt(r.Context(), bucket, guessedTokens, g.Now())
	if err != nil {
		return err
	}
	if wait > 0 {
		return web.TooManyRequests(wait, cause)
	}
	return web.Challenge(w, oauth.Refuse(oauth.InvalidToken, "the access token is not valid", cause), "")
}

// owner finds the client that a request is about, for whoever holds its registration
// access token. Whether there is such a client nobody else learns (RFC 7592 Section 2).
func (g *Registration) owner(w http.ResponseWriter, r *http.Request) (*store.Client, string, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, "", web.Challenge(w, err, "")
	}
	if token == "" {
		return nil, "", web.Challenge(w, missing("no registration access token was sent"), "")
	}
	id := r.PathValue("client_id")
	if checkID(id) != nil {
		return nil, "", foreign(w, errors.New("no client can have this id"))
	}
	c, err := g.Clients.Store.Client(r.Context(), id)
	if err != nil {
		return nil, "", goneIsForeign(w, err)
	}
	same := subtle.ConstantTimeCompare([]byte(c.RegistrationToken), []byte(hashToken(token))) == 1
	switch {
	case c.RegistrationToken == "":
		return nil, "", foreign(w, errors.New("the client did not register itself"))
	case !same:
		return nil, "", foreign(w, errors.New("the registration access token is not that of the client"))
	case !c.DisabledAt.IsZero():
		return nil, "", foreign(w, errors.New("the client is disabled"))
	}
	return c, token, nil
}

// foreign refuses a token, and says the same whatever was wrong.
func foreign(w http.ResponseWriter, why error) error {
	return web.Challenge(w, oauth.Refuse(oauth.InvalidToken, "the access token is not valid", errors.Join(oauth.Because(checked, "the registration access token does not open this address"), why)), "")
}

// goneIsForeign is foreign for a client that is not there.
func goneIsForeign(w http.ResponseWriter, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return foreign(w, err)
	}
	return err
}

// missing refuses a request without a token.
func missing(why string) error {
	return oauth.Refuse(oauth.InvalidToken, "an access token is missing", errors.Join(web.ErrNoToken, oauth.Because(checked, why)))
}

// bearer reads the token of a request from its header, RFC 6750 Section 2.1; "" when
// there is none.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", oauth.Errorf(oauth.InvalidRequest, "the access token must be sent once")
	}
	if len(headers) == 0 {
		return "", nil
	}
	token, _ := web.Bearer(headers[0])
	return token, nil
}

// by says who registers or changes a client: nobody who is known, or the client itself.
func by(ctx context.Context, id string) store.By {
	event := web.EventOf(ctx)
	if id == "" {
		id = "registration"
	}
	return store.By{Actor: id, Address: event.Address, RequestID: event.RequestID}
}

// answer is the client information response of RFC 7591 Section 3.2.1 and RFC 7592
// Section 3: everything that is registered, defaults included. A secret is told once,
// when it was made: only its hash is kept.
func (g *Registration) answer(w http.ResponseWriter, status int, c *store.Client, secret, token string) error {
	said, err := c.Metadata.Said()
	if err != nil {
		return err
	}
	said["client_id"] = oauth.AppendString(nil, c.ID)
	said["client_id_issued_at"] = strconv.AppendInt(nil, c.CreatedAt.Unix(), 10)
	said["registration_access_token"] = oauth.AppendString(nil, token)
	said["registration_client_uri"] = oauth.AppendString(nil, g.Clients.Issuer+RegisterPath+"/"+url.PathEscape(c.ID))
	if said["require_auth_time"] == nil {
		said["require_auth_time"] = json.RawMessage("false")
	}
	if secret != "" {
		said["client_secret"], said["client_secret_expires_at"] = oauth.AppendString(nil, secret), json.RawMessage("0")
	}
	w.Header().Set("Pragma", "no-cache")
	return web.JSON(w, status, said)
}
