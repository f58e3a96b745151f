package token

import (
	"context"
	"time"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// clientCredentials gives a confidential client a token for itself, RFC 6749
// Section 4.4. There is no user in it, so no OpenID scope is granted, and there
// is never a refresh token (Section 4.4.3). Nothing is written.
func (e *Endpoint) clientCredentials(ctx context.Context, c *client.Authenticated, form oauth.Form) (*oauth.TokenResponse, error) {
	scope, err := c.Metadata.Requested(form.Get("scope"))
	if err != nil {
		return nil, err
	}
	scope = scope.Without(oauth.ScopeOpenID, oauth.ScopeOfflineAccess)
	resource := form.All("resource")
	if err := c.Metadata.CheckResources(resource); err != nil {
		return nil, err
	}
	lifetime := e.accessLifetime(c)
	token, err := e.Issuer.ClientToken(c.Client, scope, resource, lifetime)
	if err != nil {
		return nil, err
	}
	web.EventOf(ctx).Token = issuer.TokenForm(&c.Metadata)
	return &oauth.TokenResponse{AccessToken: token, TokenType: "Bearer", ExpiresIn: int64(lifetime / time.Second), Scope: scope.String()}, nil
}
