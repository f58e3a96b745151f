package issuer

import (
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// typeLogoutToken keeps a logout token from being taken for anything else that the same
// keys sign, OpenID Connect Back-Channel Logout 1.0 Section 2.4.
const typeLogoutToken = "logout+jwt"

// logoutTokenLifetime is how long a logout token may be on its way; Section 4 wants two
// minutes at most.
const logoutTokenLifetime = 2 * time.Minute

// logoutEvent says that a token tells of a logout, Section 2.4.
var logoutEvent = json.RawMessage(`{"http://schemas.openid.net/event/backchannel-logout":{}}`)

// LogoutToken tells a client that a session of a user has ended, OpenID Connect
// Back-Channel Logout 1.0 Section 2.4. It holds no nonce, lest it pass for an ID token.
func (i *Issuer) LogoutToken(clientID string, m *oauth.ClientMetadata, userID, sid string) (string, error) {
	subject, err := i.Subject(m, userID)
	if err != nil {
		return "", err
	}
	if sid, err = i.SessionID(m, sid); err != nil {
		return "", err
	}
	now := i.Now()
	o := oauth.NewObject(make([]byte, 0, 512))
	o.String("iss", i.URL)
	o.String("sub", subject)
	o.String("aud", clientID)
	o.Int("iat", now.Unix())
	o.Int("exp", now.Add(logoutTokenLifetime).Unix())
	o.String("jti", rand.Text())
	o.Raw("events", logoutEvent)
	o.String("sid", sid)
	return i.signFor(m.IDTokenAlg, typeLogoutToken, o.End())
}
