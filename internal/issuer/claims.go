package issuer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// Claims are claims about a user, in the order in which they are told.
type Claims []claim

type claim struct {
	name  string
	value json.RawMessage
}

// ClaimsOf are those of a user that have one of the names. A claim without a value is
// left out (OpenID Connect Core Section 5.3.2), and so is one that belongs to the
// protocol, whatever is asked for.
func ClaimsOf(u *store.User, names []string) (Claims, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var has map[string]json.RawMessage
	if len(u.Claims) > len("{}") {
		if err := json.Unmarshal(u.Claims, &has); err != nil {
			return nil, fmt.Errorf("issuer: claims of a user: %w", err)
		}
	}
	claims := make(Claims, 0, len(names))
	for i, name := range names {
		value := valueOf(u, has, name)
		if len(value) == 0 || string(value) == "null" || string(value) == `""` || oauth.IsProtocolClaim(name) || slices.Contains(names[:i], name) {
			continue
		}
		claims = append(claims, claim{name, value})
	}
	return claims, nil
}

// valueOf is what a user has for a claim: by a column of its own, or among the others;
// nil when there is nothing.
func valueOf(u *store.User, has map[string]json.RawMessage, name string) json.RawMessage {
	switch name {
	case "email":
		if u.Email == "" {
			return nil
		}
		return oauth.AppendString(nil, u.Email)
	case "email_verified":
		if u.Email == "" {
			return nil
		}
		return strconv.AppendBool(nil, u.EmailVerified)
	}
	if value := has[name]; value != nil {
		return value
	}
	switch name { // what follows from the rest
	case "preferred_username":
		return oauth.AppendString(nil, u.Username)
	case "updated_at":
		return strconv.AppendInt(nil, u.UpdatedAt.Unix(), 10)
	case "phone_number_verified":
		if has["phone_number"] != nil {
			return json.RawMessage("false")
		}
	}
	return nil
}

func (c Claims) addTo(o *oauth.Object) {
	for _, claim := range c {
		o.Raw(claim.name, claim.value)
	}
}

// AppendUserInfo appends what UserInfo answers about a subject as JSON, OpenID Connect
// Core Section 5.3.2.
func (c Claims) AppendUserInfo(to []byte, subject string) []byte {
	o := oauth.NewObject(to)
	o.String("sub", subject)
	c.addTo(&o)
	return o.End()
}
