package openid

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// UserInfoPath is where UserInfo is served, below the issuer.
const UserInfoPath = "/userinfo"

// A UserInfo tells a client about the user of an access token, as far as its scope and
// the claims parameter of its request go.
type UserInfo struct {
	Issuer *issuer.Issuer
	Store  *store.Store
	Now    func() time.Time
}

// Serve answers with the claims about a user, OpenID Connect Core Section 5.3. The
// token comes in the header, or in the body of a form (RFC 6750 Section 2).
func (u *UserInfo) Serve(w http.ResponseWriter, r *http.Request) error {
	text, err := bearerToken(r)
	if err != nil {
		return web.Challenge(w, err, oauth.ScopeOpenID)
	}
	t, err := u.Issuer.ReadAccessToken(text)
	if err != nil {
		return web.Challenge(w, oauth.Refuse(oauth.InvalidToken, "the access token is not valid or has expired", err), oauth.ScopeOpenID)
	}
	event := web.EventOf(r.Context())
	event.ClientID, event.GrantID = t.ClientID, t.GrantID
	scope, err := oauth.ParseScope(t.Scope)
	if err != nil || t.GrantID == "" || !scope.Contains(oauth.ScopeOpenID) {
		return web.Challenge(w, oauth.Refuse(oauth.InsufficientScope, "the access token has no scope openid", err), oauth.ScopeOpenID)
	}
	if !t.Audience.Contains(u.Issuer.URL) {
		return web.Challenge(w, oauth.Errorf(oauth.InvalidToken, "the access token is for another audience"), oauth.ScopeOpenID)
	}
	c, err := u.Store.KnownClient(r.Context(), t.ClientID, u.Now())
	if errors.Is(err, store.ErrNotFound) {
		return web.Challenge(w, oauth.Refuse(oauth.InvalidToken, "the access token is not valid or has expired", err), oauth.ScopeOpenID)
	}
	if err != nil {
		return err
	}
	user, asked, err := u.Store.TokenUser(r.Context(), t.GrantID, t.ClientID, t.JWTID, u.Now())
	if err != nil {
		return err
	}
	if user == nil {
		return web.Challenge(w, oauth.Refuse(oauth.InvalidToken, "the access token is not valid or has expired", errors.New("revoked, or of a grant that is not in force")), oauth.ScopeOpenID)
	}
	event.UserID = user.ID
	to, err := u.Issuer.PrepareUserInfo(r.Context(), &c.Metadata)
	if err != nil {
		return err
	}
	return u.answer(w, c, t, user, scope, asked, to)
}

// answer tells what was asked for: as JSON, or as the client wants it signed or encrypted.
func (u *UserInfo) answer(w http.ResponseWriter, c *store.Client, t *issuer.AccessToken, user *store.User, scope oauth.Scope, asked string, to *jose.Recipient) error {
	request, err := oauth.KeptClaims(asked)
	if err != nil {
		return err
	}
	request.Within(c.Metadata.Registered()) // as it is now
	claims, err := issuer.ClaimsOf(user, append(scope.Claims(), request.UserInfoNames()...))
	if err != nil {
		return err
	}
	if c.Metadata.UserInfoAlg == "" && c.Metadata.UserInfoKeyAlg == "" {
		return web.JSON(w, http.StatusOK, &userInfo{t.Subject, claims})
	}
	text, err := u.Issuer.UserInfo(t, &c.Metadata, claims, to)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = w.Write([]byte(text)) // the caller may have gone
	return nil
}

// A userInfo is the answer as JSON.
type userInfo struct {
	subject string
	claims  issuer.Claims
}

// AppendJSON appends the answer, OpenID Connect Core Section 5.3.2.
func (u *userInfo) AppendJSON(to []byte) []byte { return u.claims.AppendUserInfo(to, u.subject) }

// bearerToken reads the access token of a request: from the Authorization header or
// from the body of a form, never from both, and never from the address, where it would
// stay in logs and histories (RFC 6750 Section 2.3).
func bearerToken(r *http.Request) (string, error) {
	if r.URL.RawQuery != "" {
		if query, _ := oauth.ParseQuery(r); query.Has("access_token") {
			return "", oauth.Errorf(oauth.InvalidRequest, "access_token must not be sent in the address")
		}
	}
	var form oauth.Form
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" {
		var err error
		if form, err = oauth.ParseForm(r); err != nil && !errors.Is(err, oauth.ErrMediaType) { // a body of another kind holds no token
			return "", err
		}
	}
	headers, body := r.Header.Values("Authorization"), form.Get("access_token")
	switch {
	case len(headers) > 1, len(headers) == 1 && body != "":
		return "", oauth.Errorf(oauth.InvalidRequest, "the access token must be sent once")
	case len(headers) == 0 && body == "":
		return "", oauth.Refuse(oauth.InvalidToken, "an access token is missing", web.ErrNoToken)
	case body != "":
		return checkToken(body)
	}
	token, ok := web.Bearer(headers[0])
	if !ok {
		return "", oauth.Refuse(oauth.InvalidToken, "an access token is missing", web.ErrNoToken)
	}
	return checkToken(token)
}

// checkToken wants the b64token of RFC 6750 Section 2.1.
func checkToken(token string) (string, error) {
	text := strings.TrimRight(token, "=")
	foreign := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", c)
	}
	if text == "" || strings.ContainsFunc(text, foreign) {
		return "", oauth.Errorf(oauth.InvalidRequest, "the access token is malformed")
	}
	return token, nil
}
