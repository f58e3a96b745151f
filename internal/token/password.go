package token

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// password takes a user's name and password for tokens, RFC 6749 Section 4.3.
// It is legacy (RFC 9700 Section 2.4) and open only to clients registered for
// it. The limiter is the one of the sign-in page.
func (e *Endpoint) password(ctx context.Context, c *client.Authenticated, form oauth.Form) (*oauth.TokenResponse, error) {
	username, err := form.Require("username")
	if err != nil {
		return nil, err
	}
	password, err := form.Require("password")
	if err != nil {
		return nil, err
	}
	scope, err := c.Metadata.Requested(form.Get("scope"))
	if err != nil {
		return nil, err
	}
	if err := c.Metadata.CheckResources(form.All("resource")); err != nil {
		return nil, err
	}
	user, err := e.Users.Check(ctx, login.Attempt{Username: username, Password: password})
	if errors.Is(err, login.ErrWrong) {
		return nil, invalidGrant(badPassword, err)
	}
	if err != nil {
		return nil, err
	}
	if user.SecondFactor || e.RequireSecondFactor || c.Metadata.RequireSecondFactor {
		// The password was right, but it is not all that it takes to sign in. The page
		// would have said as much.
		return nil, invalidGrant(needsSecondFactor, oauth.Because("second_factor", fmt.Sprintf("the user has one: %t, the server requires one: %t, the client does: %t",
			user.SecondFactor, e.RequireSecondFactor, c.Metadata.RequireSecondFactor)))
	}
	to, err := e.prepare(ctx, c, scope)
	if err != nil {
		return nil, err
	}
	g := e.passwordGrant(c, user, scope, form.All("resource"))
	if err := e.Store.CreateGrant(ctx, g, nil, by(ctx, c)); errors.Is(err, store.ErrNotLive) {
		return nil, invalidGrant(badPassword, errors.New("user or client was disabled or changed while the password was checked"))
	} else if err != nil {
		return nil, err
	}
	return e.answer(ctx, c, g, scope, issuer.Beside{To: to})
}

// badPassword is the same whatever was wrong, RFC 6749 Section 5.2.
const badPassword = "user name or password is wrong"

// needsSecondFactor tells the client that this grant will never do for the user.
const needsSecondFactor = "the user signs in with a second factor, which this grant cannot ask for"

// passwordGrant is a row that is live from the start.
func (e *Endpoint) passwordGrant(c *client.Authenticated, user *store.User, scope oauth.Scope, resource []string) *store.Grant {
	now := e.Now()
	return &store.Grant{
		ID: store.NewGrantID(), GrantType: oauth.GrantPassword, ClientID: c.ID, UserID: user.ID,
		Scope: scope.String(), Resource: strings.Join(resource, " "),
		AuthTime: now, ACR: login.ACRPassword, AMR: "pwd",
		ClientEpoch: c.Epoch, UserEpoch: user.Epoch, RedeemedAt: now, CreatedAt: now,
		ExpiresAt: e.grantEnd(c, scope.String(), now),
	}
}
