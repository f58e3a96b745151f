package oauth

import (
	"net/url"
)

// HearsOfLogout reports whether the client wants to be told when a session ends that it
// took part in.
func (m *ClientMetadata) HearsOfLogout() bool { return m.BackchannelLogoutURI != "" }

// checkLogout looks at what the logout specifications add to a registration.
func (m *ClientMetadata) checkLogout() error {
	if len(m.PostLogoutRedirectURIs) > maxRedirectURIs {
		return metadataError("at most %d post_logout_redirect_uris can be registered", maxRedirectURIs)
	}
	for _, uri := range m.PostLogoutRedirectURIs {
		if err := CheckRedirectURI(uri); err != nil {
			return Refuse(InvalidClientMetadata, "post_logout_redirect_uris must be addresses as redirect_uris are", err)
		}
	}
	return m.checkBackchannel()
}

// checkBackchannel holds OpenID Connect Back-Channel Logout 1.0 Section 2.2. The address
// is https, since it is this server that goes there.
func (m *ClientMetadata) checkBackchannel() error {
	if m.BackchannelLogoutURI == "" {
		return nil
	}
	u, err := checkURI(m.BackchannelLogoutURI)
	switch {
	case err != nil:
		return Refuse(InvalidClientMetadata, "backchannel_logout_uri must be an https URL without a fragment", err)
	case !isHTTPS(u):
		return metadataError("backchannel_logout_uri must be an https URL without a fragment")
	}
	return nil
}

func isHTTPS(u *url.URL) bool { return u.Scheme == "https" && u.Hostname() != "" && u.Opaque == "" }
