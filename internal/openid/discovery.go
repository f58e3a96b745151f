// Package openid tells clients about the server (metadata, keys) and about users
// (UserInfo), ends browser sessions, and tells clients of that.
//
// It serves /.well-known/openid-configuration, /.well-known/oauth-authorization-server,
// /jwks, /userinfo, /end-session and /logout/done, and names /check-session. Its one invariant: metadata is made
// from what the server accepts and from the clients that exist, so nothing is listed
// that would be refused.
package openid

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Discovery serves the documents that a client configures itself from.
type Discovery struct {
	Issuer      *issuer.Issuer
	Store       *store.Store
	At          Endpoints
	Forbidden   []string      // grants that no client may use
	Registrable []string      // grants that a client may register itself for
	Scopes      []string      // declared ones
	ACRValues   []string      // that a sign-in can have
	JWKSMaxAge  time.Duration // how long others may keep the key set
	PolicyURI   string        // pages of the operator's about privacy and terms; "" for none
	TermsURI    string

	metadata   atomic.Pointer[web.Encoded]
	refreshing sync.Mutex
	keys       atomic.Pointer[madeKeys]
}

// madeKeys is the text of a key set.
type madeKeys struct {
	set   *jose.JWKS
	text  web.Encoded
	cache []string // Cache-Control
}

var forAMinute = []string{"public, max-age=60"}

// Addresses of the documents, below the issuer.
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	MetadataPath      = "/.well-known/oauth-authorization-server"
	JWKSPath          = "/jwks"
)

// Endpoints are the addresses that metadata names, below the issuer. Registration is ""
// when it is off.
type Endpoints struct{ Authorization, Token, Introspection, Revocation, Registration string }

// Metadata serves the document of RFC 8414 Section 3, which is that of OpenID Connect
// Discovery Section 4 as well, as Refresh made it: a
// database that is away holds nobody up who only wants to know where things are.
func (d *Discovery) Metadata(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Cache-Control"] = forAMinute
	return web.JSON(w, http.StatusOK, *d.metadata.Load())
}

// Refresh makes the metadata anew. It is called before the first request, and
// whenever a client has changed: metadata lists what is in use.
func (d *Discovery) Refresh(ctx context.Context) error {
	d.refreshing.Lock() // or what was read earlier could be put in place later
	defer d.refreshing.Unlock()
	document := d.fixed()
	for _, grant := range []string{oauth.GrantImplicit, oauth.GrantPassword} {
		used, err := d.Store.GrantInUse(ctx, grant)
		if err != nil {
			return err
		}
		if (used || slices.Contains(d.Registrable, grant)) && !slices.Contains(d.Forbidden, grant) {
			document.GrantTypesSupported = append(document.GrantTypesSupported, grant)
		}
	}
	if slices.Contains(document.GrantTypesSupported, oauth.GrantImplicit) {
		types, err := d.responseTypes(ctx)
		if err != nil {
			return err
		}
		document.ResponseTypesSupported = types
	}
	if d.At.Registration != "" {
		document.RegistrationEndpoint = d.Issuer.URL + d.At.Registration
	}
	slices.Sort(document.GrantTypesSupported)
	text, err := web.Encode(document)
	if err != nil {
		return err
	}
	d.metadata.Store(&text)
	return nil
}

// responseTypes are code, what a client can register itself for, and what some client is
// registered for, in their usual order. Where the first two are all, no client is read.
func (d *Discovery) responseTypes(ctx context.Context) ([]string, error) {
	isListed := func(t string) bool {
		return t == oauth.ResponseTypeCode || !slices.ContainsFunc(oauth.GrantsOf(t), func(grant string) bool { return !slices.Contains(d.Registrable, grant) })
	}
	var used []string
	if slices.ContainsFunc(oauth.ResponseTypes, func(t string) bool { return !isListed(t) }) {
		var err error
		if used, err = d.Store.ResponseTypesInUse(ctx); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(oauth.ResponseTypes), func(t string) bool { return !isListed(t) && !slices.Contains(used, t) }), nil
}

// fixed is what does not depend on the clients that exist.
func (d *Discovery) fixed() oauth.ServerMetadata {
	confidential := []string{oauth.AuthMethodBasic, oauth.AuthMethodPost, oauth.AuthMethodSecretJWT, oauth.AuthMethodPrivateKey}
	assertions := append(slices.Clone(jose.ForeignAlgorithms), jose.MACAlgorithms...)
	return oauth.ServerMetadata{
		Issuer:                                     d.Issuer.URL,
		AuthorizationEndpoint:                      d.Issuer.URL + d.At.Authorization,
		TokenEndpoint:                              d.Issuer.URL + d.At.Token,
		IntrospectionEndpoint:                      d.Issuer.URL + d.At.Introspection,
		RevocationEndpoint:                         d.Issuer.URL + d.At.Revocation,
		JWKSURI:                                    d.Issuer.URL + JWKSPath,
		ScopesSupported:                            d.scopes(),
		PolicyURI:                                  d.PolicyURI,
		TermsOfServiceURI:                          d.TermsURI,
		ResponseTypesSupported:                     []string{oauth.ResponseTypeCode},
		ResponseModesSupported:                     []string{oauth.ResponseModeQuery, oauth.ResponseModeFragment, oauth.ResponseModeFormPost},
		GrantTypesSupported:                        []string{oauth.GrantAuthorizationCode, oauth.GrantClientCredentials, oauth.GrantRefreshToken},
		TokenEndpointAuthMethodsSupported:          append(slices.Clone(confidential), oauth.AuthMethodNone),
		TokenEndpointAuthAlgsSupported:             assertions,
		RevocationEndpointAuthMethodsSupported:     append(slices.Clone(confidential), oauth.AuthMethodNone),
		RevocationEndpointAuthAlgsSupported:        assertions,
		IntrospectionEndpointAuthMethodsSupported:  confidential,
		IntrospectionEndpointAuthAlgsSupported:     assertions,
		CodeChallengeMethodsSupported:              []string{"S256"},
		UILocalesSupported:                         []string{"en", "zh-Hans"},
		PromptValuesSupported:                      []string{"none", "login", "consent", "select_account"},
		AuthorizationResponseISSParameterSupported: true,
		RequestParameterSupported:                  true,
		RequestURIParameterSupported:               true,
		RequireRequestURIRegistration:              true,
		RequestObjectAlgsSupported:                 jose.ForeignAlgorithms,
		RequestObjectKeyAlgsSupported:              oauth.AgreementAlgorithms,
		RequestObjectEncsSupported:                 oauth.ContentEncryptions,

		UserInfoEndpoint:                   d.Issuer.URL + UserInfoPath,
		EndSessionEndpoint:                 d.Issuer.URL + EndSessionPath,
		BackchannelLogoutSupported:         true,
		BackchannelLogoutSessionSupported:  true,
		CheckSessionIframe:                 d.Issuer.URL + CheckSessionPath,
		FrontchannelLogoutSupported:        true,
		FrontchannelLogoutSessionSupported: true,
		SubjectTypesSupported:              oauth.SubjectTypes,
		IDTokenSigningAlgValuesSupported:   oauth.SigningAlgorithms,
		UserInfoSigningAlgValuesSupported:  oauth.SigningAlgorithms,
		IDTokenEncryptionAlgsSupported:     oauth.EncryptionAlgorithms,
		IDTokenEncryptionEncsSupported:     oauth.ContentEncryptions,
		UserInfoEncryptionAlgsSupported:    oauth.EncryptionAlgorithms,
		UserInfoEncryptionEncsSupported:    oauth.ContentEncryptions,
		ACRValuesSupported:                 d.ACRValues,
		DisplayValuesSupported:             []string{"page", "popup", "touch", "wap"},
		ClaimTypesSupported:                []string{"normal"},
		ClaimsSupported: append([]string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "sid"},
			oauth.StandardClaims()...),
		ClaimsParameterSupported: true,
	}
}

// scopes are the values that mean something here: those of OpenID Connect, and those
// that were declared.
func (d *Discovery) scopes() []string {
	all := append([]string{oauth.ScopeOpenID, oauth.ScopeOfflineAccess}, oauth.ScopesWithClaims...)
	for _, name := range d.Scopes {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// JWKS serves the key set, RFC 7517 Section 5. It needs no database.
func (d *Discovery) JWKS(w http.ResponseWriter, _ *http.Request) error {
	set, err := d.Issuer.Ring.JWKS()
	if err != nil {
		return err
	}
	made := d.keys.Load()
	if made == nil || made.set != set {
		text, err := web.Encode(set)
		if err != nil {
			return err
		}
		made = &madeKeys{set, text, []string{fmt.Sprintf("public, max-age=%d", int(d.JWKSMaxAge.Seconds()))}}
		d.keys.Store(made)
	}
	w.Header()["Cache-Control"] = made.cache
	return web.JSON(w, http.StatusOK, made.text)
}
