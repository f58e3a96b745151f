// Package openid tells clients about the server (metadata, keys) and ends
// browser sessions.
//
// It serves /.well-known/oauth-authorization-server, /jwks, /end-session and
// /logout/done. Its one invariant: metadata is made from what the server accepts
// and from the clients that exist, so nothing is listed that would be refused.
package openid

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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
	Issuer     *issuer.Issuer
	Store      *store.Store
	Now        func() time.Time
	Forbidden  []string      // grants that no client may use
	Scopes     []string      // declared ones
	JWKSMaxAge time.Duration // how long others may keep the key set

	metadata atomic.Pointer[madeMetadata]
	keys     atomic.Pointer[madeKeys]
}

// madeKeys is the text of a key set.
type madeKeys struct {
	set   *jose.JWKS
	text  web.Encoded
	cache []string // Cache-Control
}

// madeMetadata is a document that may be served for a second. When the database
// does not answer, the last one is served on: metadata decides nothing.
type madeMetadata struct {
	text web.Encoded
	at   time.Time
}

var forAMinute = []string{"public, max-age=60"}

// Addresses of the documents, below the issuer.
const (
	MetadataPath = "/.well-known/oauth-authorization-server"
	JWKSPath     = "/jwks"
)

// Endpoints are the addresses that metadata names, below the issuer.
type Endpoints struct{ Authorization, Token, Introspection, Revocation string }

// Metadata serves the document of RFC 8414 Section 3.
func (d *Discovery) Metadata(at Endpoints) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		text, err := d.current(r.Context(), at)
		if err != nil {
			return err
		}
		w.Header()["Cache-Control"] = forAMinute
		return web.JSON(w, http.StatusOK, text)
	}
}

func (d *Discovery) current(ctx context.Context, at Endpoints) (web.Encoded, error) {
	last, now := d.metadata.Load(), d.Now()
	if last != nil && now.Sub(last.at) < time.Second && !now.Before(last.at) {
		return last.text, nil
	}
	document := d.fixed(at)
	for grant, addTo := range map[string]func(m *oauth.ServerMetadata){
		oauth.GrantPassword: func(m *oauth.ServerMetadata) {},
		oauth.GrantImplicit: func(m *oauth.ServerMetadata) {
			m.ResponseTypesSupported = append(m.ResponseTypesSupported, oauth.ResponseTypeToken)
		},
	} {
		used, err := d.Store.GrantInUse(ctx, grant)
		if err != nil && last != nil {
			return last.text, nil
		}
		if err != nil {
			return nil, err
		}
		if used && !slices.Contains(d.Forbidden, grant) {
			document.GrantTypesSupported = append(document.GrantTypesSupported, grant)
			addTo(&document)
		}
	}
	slices.Sort(document.GrantTypesSupported)
	text, err := web.Encode(document)
	if err != nil {
		return nil, err
	}
	d.metadata.Store(&madeMetadata{text, now})
	return text, nil
}

// fixed is what does not depend on the clients that exist.
func (d *Discovery) fixed(at Endpoints) oauth.ServerMetadata {
	secret := []string{oauth.AuthMethodBasic, oauth.AuthMethodPost}
	return oauth.ServerMetadata{
		Issuer:                                     d.Issuer.URL,
		AuthorizationEndpoint:                      d.Issuer.URL + at.Authorization,
		TokenEndpoint:                              d.Issuer.URL + at.Token,
		IntrospectionEndpoint:                      d.Issuer.URL + at.Introspection,
		RevocationEndpoint:                         d.Issuer.URL + at.Revocation,
		JWKSURI:                                    d.Issuer.URL + JWKSPath,
		ScopesSupported:                            d.Scopes,
		ResponseTypesSupported:                     []string{oauth.ResponseTypeCode},
		ResponseModesSupported:                     []string{oauth.ResponseModeQuery, oauth.ResponseModeFragment, oauth.ResponseModeFormPost},
		GrantTypesSupported:                        []string{oauth.GrantAuthorizationCode, oauth.GrantClientCredentials, oauth.GrantRefreshToken},
		TokenEndpointAuthMethodsSupported:          append(slices.Clone(secret), oauth.AuthMethodNone),
		RevocationEndpointAuthMethodsSupported:     append(slices.Clone(secret), oauth.AuthMethodNone),
		IntrospectionEndpointAuthMethodsSupported:  secret,
		CodeChallengeMethodsSupported:              []string{"S256"},
		UILocalesSupported:                         []string{"en", "zh-Hans"},
		PromptValuesSupported:                      []string{"none", "login", "consent", "select_account"},
		AuthorizationResponseISSParameterSupported: true,
	}
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
