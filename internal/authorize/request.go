package authorize

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A request is an authorization request as far as it was understood. Up to
// redirect it must be right before anything is sent to the client; err is what
// was wrong behind that.
type request struct {
	path   string     // the address it came to
	form   oauth.Form // what it said, or its request object did
	opened time.Time  // when its request object was; zero when it came in none

	client       *store.Client
	redirect     oauth.Redirect
	redirectSent bool
	state        string
	responseType string // as ParseResponseType has it
	mode         string // response mode that answers, errors included

	scope     oauth.Scope
	resource  []string
	challenge oauth.Challenge
	nonce     string
	claims    *oauth.ClaimsRequest
	subjects  []string // of whom one must answer; empty for anybody, nobody for none that there is
	prompts   map[string]bool
	maxAge    *int64 // seconds; nil when nobody asked
	acr       demand // how sure the sign-in must be
	loginHint string
	uiLocales string
	err       error

	id          string // names the request for its life; "" until it begins
	created     time.Time
	sessionMark string // of the session that the request found
	session     *store.Session
	looked      bool   // whether there is a session, which is in session then
	resumed     bool   // it has been sealed, so pages may have been shown
	chosen      string // SID of the session that the person has chosen; "" for none
}

// isObject reports whether the request came in a request object.
func (q *request) isObject() bool { return !q.opened.IsZero() }

// begin gives a request a name of its own.
func (q *request) begin(now time.Time) {
	q.id, q.created = rand.Text(), now
}

// Bounds on what a request may carry.
const (
	maxState = 2048 // bytes
	maxNonce = 1024
	maxHint  = 256
)

// validate checks an authorization request in the order of RFC 6749 Section
// 4.1.2.1: first what decides whether the client may be told at all, then the
// rest. Beside an error the request is as far as it got. broken is what was wrong with
// a parameter that the form was parsed without.
func (e *Endpoint) validate(ctx context.Context, q *request, broken error) error {
	q.uiLocales = bound(q.form.Get("ui_locales"), maxHint)
	if err := e.findClient(ctx, q); err != nil {
		return err
	}
	if err := e.openObject(ctx, q); err != nil {
		if q.form.Get("redirect_uri") == "" {
			return err // the one that counts may be in the object
		}
		broken = errors.Join(broken, err)
	}
	q.state, q.uiLocales = q.form.Get("state"), bound(q.form.Get("ui_locales"), maxHint)
	if err := q.matchRedirect(); err != nil {
		return err
	}
	// From here on the client can be told. The mode comes first: errors use it.
	for _, check := range []func() error{
		q.checkMode, func() error { return broken }, q.checkState, q.checkType, q.checkUnsupported,
		func() error { return q.checkAllowed(e.Forbidden) },
		q.checkPKCE, q.checkScope, q.checkResource, q.checkPrompts, q.checkMaxAge, q.checkTexts,
		q.checkOpenID, func() error { return q.checkACR(e.RequireSecondFactor, e.ACRValues) }, func() error { return e.findSubjects(q) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (e *Endpoint) findClient(ctx context.Context, q *request) error {
	id := q.form.Get("client_id")
	if id == "" {
		return web.Explain(web.ReasonUnknownClient, oauth.Errorf(oauth.InvalidRequest, "client_id is missing"))
	}
	c, err := e.Store.KnownClient(ctx, id, e.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return web.Explain(web.ReasonUnknownClient, oauth.Refuse(oauth.InvalidRequest, "client_id is unknown", fmt.Errorf("no client %.80q", id)))
	case err != nil:
		return err
	case !c.DisabledAt.IsZero():
		return web.Explain(web.ReasonDisabledClient, oauth.Refuse(oauth.InvalidRequest, "client_id is unknown", fmt.Errorf("client %q is disabled", id)))
	}
	q.client = c
	web.EventOf(ctx).ClientID = id
	return nil
}

// matchRedirect settles the one address that may be told anything. It may be
// left out when one is registered, RFC 6749 Section 3.1.2.3, but not by an OpenID
// request, OpenID Connect Core Section 3.1.2.1.
func (q *request) matchRedirect() error {
	registered, got := q.client.Metadata.RedirectURIs, q.form.Get("redirect_uri")
	q.redirectSent = got != ""
	if got == "" {
		openid := slices.Contains(strings.Fields(q.form.Get("scope")), oauth.ScopeOpenID)
		if len(registered) != 1 || openid {
			return web.Explain(web.ReasonRedirectURIMissing, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is missing",
				fmt.Errorf("the client has %d registered; openid asked for: %t", len(registered), openid)))
		}
		got = registered[0]
	}
	redirect, ok := oauth.MatchAny(registered, got)
	if !ok {
		return web.Explain(web.ReasonRedirectURIMismatch, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is not registered",
			fmt.Errorf("%.200q is none of %q", got, registered)))
	}
	q.redirect = redirect
	return nil
}

// checkMode settles where the answer goes: the query for a code, the fragment
// for a token, or what response_mode says (OAuth 2.0 Multiple Response Type
// Encoding Practices Section 2.1). A token never goes into a query, nor does an error
// where one would have come.
func (q *request) checkMode() error {
	carriesToken := pinned[q.path] == oauth.ResponseTypeToken || oauth.IsFrontChannel(q.form.Get("response_type"))
	q.mode = oauth.ResponseModeQuery
	if carriesToken {
		q.mode = oauth.ResponseModeFragment
	}
	switch mode := q.form.Get("response_mode"); {
	case mode == "":
	case mode == oauth.ResponseModeQuery && carriesToken:
		return oauth.Errorf(oauth.InvalidRequest, "response_mode query is not allowed for a response that carries a token")
	case mode == oauth.ResponseModeFormPost && !q.redirect.IsWeb():
		return oauth.Errorf(oauth.InvalidRequest, "response_mode form_post needs a redirect_uri that is http or https")
	case mode == oauth.ResponseModeQuery, mode == oauth.ResponseModeFragment, mode == oauth.ResponseModeFormPost:
		q.mode = mode
	default:
		return oauth.Errorf(oauth.InvalidRequest, "response_mode must be query, fragment or form_post")
	}
	return nil
}

func (q *request) checkState() error {
	if len(q.state) > maxState || strings.ContainsFunc(q.state, unicode.IsControl) {
		return oauth.Errorf(oauth.InvalidRequest, "state must be at most %d bytes without control characters", maxState)
	}
	return nil
}

// checkType tells a missing response type from one that is unknown, or that
// this address does not give.
func (q *request) checkType() error {
	want, text := pinned[q.path], q.form.Get("response_type")
	q.responseType = oauth.ParseResponseType(text)
	switch {
	case text == "":
		return oauth.Errorf(oauth.InvalidRequest, "response_type is missing")
	case want != "" && q.responseType != want:
		return oauth.Errorf(oauth.UnsupportedResponseType, "this address is for response_type %s only", want)
	case q.responseType == "":
		return oauth.Errorf(oauth.UnsupportedResponseType, "response_type must be one of %s", strings.Join(oauth.ResponseTypes, ", "))
	}
	return nil
}

// checkUnsupported refuses what must never be ignored, OpenID Connect Core
// Section 3.1.2.6.
func (q *request) checkUnsupported() error {
	if q.form.Get("registration") != "" {
		return oauth.Errorf(oauth.RegistrationUnsupported, "registration is not supported")
	}
	return nil
}

// checkAllowed asks whether the client is registered for the response type.
func (q *request) checkAllowed(forbidden []string) error {
	if oauth.IsFrontChannel(q.responseType) && slices.Contains(forbidden, oauth.GrantImplicit) {
		return oauth.Errorf(oauth.UnsupportedResponseType, "this server gives no tokens at the authorization endpoint")
	}
	if !q.client.Metadata.HasResponseType(q.responseType) {
		return oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for this response_type")
	}
	return nil
}

func (q *request) checkPKCE() (err error) {
	if q.challenge, err = oauth.ParseChallenge(q.form); err != nil {
		return err
	}
	if q.challenge == "" && q.gives(oauth.ResponseTypeCode) && q.client.Metadata.NeedsPKCE() {
		return oauth.Errorf(oauth.InvalidRequest, "code_challenge is missing; this client must use PKCE with S256")
	}
	return nil
}

func (q *request) checkScope() (err error) {
	q.scope, err = q.client.Metadata.Requested(q.form.Get("scope"))
	if !q.gives(oauth.ResponseTypeCode) || !q.client.Metadata.HasGrant(oauth.GrantRefreshToken) {
		q.scope = q.scope.Without(oauth.ScopeOfflineAccess) // OpenID Connect Core Section 11
	}
	return err
}

// checkResource takes only resources the client is registered for, RFC 8707
// Section 2.
func (q *request) checkResource() error {
	q.resource = q.form.All("resource")
	return q.client.Metadata.CheckResources(q.resource)
}

func (q *request) checkPrompts() error {
	q.prompts = map[string]bool{}
	for value := range strings.FieldsSeq(q.form.Get("prompt")) {
		switch value {
		case "none", "login", "consent", "select_account":
			q.prompts[value] = true
		default:
			return oauth.Errorf(oauth.InvalidRequest, "prompt must be none, login, consent or select_account")
		}
	}
	if q.prompts["none"] && len(q.prompts) > 1 {
		return oauth.Errorf(oauth.InvalidRequest, "prompt none must stand alone")
	}
	return nil
}

func (q *request) checkMaxAge() error {
	q.maxAge = q.client.Metadata.DefaultMaxAge
	text := q.form.Get("max_age")
	if text == "" {
		return nil
	}
	number, err := strconv.ParseUint(text, 10, 31) // takes no sign
	if err != nil {
		return oauth.Errorf(oauth.InvalidRequest, "max_age must be a number of seconds")
	}
	seconds := int64(number)
	q.maxAge = &seconds
	return nil
}

// checkTexts bounds what is carried along and shown. Hints are only hints, so a
// hostile one is cut and not refused.
func (q *request) checkTexts() error {
	q.nonce = q.form.Get("nonce")
	if len(q.nonce) > maxNonce || strings.ContainsFunc(q.nonce, unicode.IsControl) {
		return oauth.Errorf(oauth.InvalidRequest, "nonce must be at most %d bytes without control characters", maxNonce)
	}
	q.loginHint = bound(strings.TrimSpace(q.form.Get("login_hint")), maxHint)
	return nil
}

// nobody is whom a request wants that contradicts itself, or shows a hint that is none.
var nobody = []string{"-"}

// checkOpenID looks at what OpenID Connect adds to a request, and only at one that is an
// OpenID request by its scope (OpenID Connect Core Section 3.1.2.1).
func (q *request) checkOpenID() (err error) {
	q.claims = &oauth.ClaimsRequest{}
	if !q.scope.Contains(oauth.ScopeOpenID) {
		if q.gives(oauth.ResponseTypeIDToken) {
			return oauth.Errorf(oauth.InvalidRequest, "scope must hold openid where response_type holds id_token")
		}
		return nil
	}
	if q.gives(oauth.ResponseTypeIDToken) && q.nonce == "" {
		return oauth.Errorf(oauth.InvalidRequest, "nonce is missing; an ID token that comes through the browser needs one")
	}
	if q.claims, err = oauth.ParseClaims(q.form.Get("claims")); err != nil {
		return err
	}
	q.claims.Within(q.client.Metadata.Registered())
	return nil
}

// findSubjects reads whose answer is wanted: the user of an ID token hint, or whom the
// claims parameter names as sub (OpenID Connect Core Sections 3.1.2.1 and 5.5.1). A hint
// signs nobody in. One that is none of ours is only a hint, but where no page may be
// shown nothing else could make sure that the user is the one who was meant.
func (e *Endpoint) findSubjects(q *request) error {
	q.subjects = q.claims.Subjects()
	hint := q.form.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	t, err := e.Issuer.ReadIDToken(hint, "")
	switch {
	case err != nil && q.prompts["none"]:
		q.subjects = nobody
	case err != nil:
	case len(q.subjects) > 0 && !slices.Contains(q.subjects, t.Subject):
		q.subjects = nobody
	default:
		q.subjects = []string{t.Subject}
	}
	return nil
}

// asks is the scope that the user is asked about: that of the request, and what stands for
// the claims that it asks for by name.
func (q *request) asks() oauth.Scope {
	asks := slices.Clone(q.scope)
	for _, value := range q.claims.Scope() {
		if !asks.Contains(value) {
			asks = append(asks, value)
		}
	}
	return asks
}

// isOpenID reports whether a request is one by its scope, as far as that is known.
func (q *request) isOpenID() bool {
	return q.scope.Contains(oauth.ScopeOpenID) || slices.Contains(strings.Fields(q.form.Get("scope")), oauth.ScopeOpenID)
}

// gives reports whether the answer to the request holds what a word of its response
// type stands for.
func (q *request) gives(word string) bool { return oauth.Gives(q.responseType, word) }

// bound cuts a text that is only shown or matched.
func bound(s string, size int) string {
	if len(s) > size {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// view is what pages show of the client.
func (q *request) view() web.Client {
	m := q.client.Metadata
	c := web.Client{Name: m.ClientName, Host: q.redirect.Host(), LogoURI: m.LogoURI, PolicyURI: m.PolicyURI, TermsURI: m.TermsOfServiceURI, HomeURI: m.ClientURI, AccentColor: m.AccentColor}
	if c.Host == "" {
		c.Host = q.client.ID
	}
	return c
}

// restartURL is the request from its beginning, for a page that can no longer
// be used. What a request object said goes on sealed: its parameters would be refused, or
// be somebody else's word, without its signature.
func (e *Endpoint) restartURL(q *request) string {
	if q.isObject() {
		anew := *q
		anew.id, anew.chosen = "", ""
		if sealed, err := e.seal(&anew, ""); err == nil {
			return e.ResumeURL(sealed)
		}
	}
	return e.Base + q.path + "?" + url.Values(q.form.Values()).Encode()
}
