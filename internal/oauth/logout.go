package oauth

import (
	"net/url"
	"slices"
)

// HearsOfLogout reports whether the client wants to be told when a session ends that it
// took part in.
func (m *ClientMetadata) HearsOfLogout() bool {
	return m.BackchannelLogoutURI != "" || m.FrontchannelLogoutURI != ""
}

// FrontchannelLogout is the address that a browser opens to tell the client that a
// session has ended, OpenID Connect Front-Channel Logout 1.0 Section 2; "" when it wants
// none opened. Issuer and session stand behind the query it was registered with.
func (m *ClientMetadata) FrontchannelLogout(issuer, sid string) string {
	if m.FrontchannelLogoutURI == "" {
		return ""
	}
	return Redirect{uri: m.FrontchannelLogoutURI}.WithQuery([]Param{{"iss", issuer}, {"sid", sid}})
}

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
	if err := m.checkBackchannel(); err != nil {
		return err
	}
	return m.checkFrontchannel()
}

// checkBackchannel holds OpenID Connect Back-Channel Logout 1.0 Section 2.2. The address
// is https, since it is this server that goes there.
func (m *ClientMetadata) checkBackchannel() error {
	if m.BackchannelLogoutURI == "" {
		return nil
	}
	_, err := checkURI(m.BackchannelLogoutURI)
	switch {
	case err != nil:
		return Refuse(InvalidClientMetadata, "backchannel_logout_uri must be an https URL without a fragment", err)
	case !isHTTPS(m.BackchannelLogoutURI):
		return metadataError("backchannel_logout_uri must be an https URL without a fragment")
	}
	return nil
}

// checkFrontchannel holds OpenID Connect Front-Channel Logout 1.0 Section 2. The address
// lies where the client has a redirect URI, so nobody has pages of others opened.
func (m *ClientMetadata) checkFrontchannel() error {
	if m.FrontchannelLogoutURI == "" {
		return nil
	}
	u, err := checkURI(m.FrontchannelLogoutURI)
	if err != nil {
		return Refuse(InvalidClientMetadata, "frontchannel_logout_uri must be an https URL without a fragment", err)
	}
	origin := Origin(m.FrontchannelLogoutURI)
	if origin == "" || u.Scheme == "http" && !IsLoopback(u.Hostname()) {
		return metadataError("frontchannel_logout_uri must be an https URL, or http on loopback")
	}
	if !slices.ContainsFunc(m.RedirectURIs, func(uri string) bool { return Origin(uri) == origin }) {
		return metadataError("frontchannel_logout_uri must have scheme, host and port of one of the redirect_uris")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || query.Has("iss") || query.Has("sid") {
		return metadataError("frontchannel_logout_uri must not hold iss or sid in its query")
	}
	return nil
}
