package oauth

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Redirect is a redirect URI that was matched against the registered ones.
// Only MatchAny makes one, and only a Redirect can be
// redirected to, so an unchecked address never becomes a Location.
type Redirect struct {
	uri string
}

// MatchAny finds the registered redirect URI that got equals, RFC 9700
// Section 2.1.
func MatchAny(registered []string, got string) (Redirect, bool) {
	for _, r := range registered {
		if MatchRedirect(r, got) {
			return Redirect{uri: got}, true
		}
	}
	return Redirect{}, false
}

// String returns the URI as it was matched; "" for the zero Redirect.
func (r Redirect) String() string { return r.uri }

// MatchRedirect compares a registered redirect URI with the one of a request,
// as strings (RFC 9700 Section 4.1.3). The one freedom is the port of an http
// URI whose host is a loopback IP literal, RFC 8252 Section 7.3.
func MatchRedirect(registered, got string) bool {
	if registered == got {
		return true
	}
	host, path, ok := cutLoopback(registered)
	if !ok {
		return false
	}
	gotHost, gotPath, ok := cutLoopback(got)
	return ok && host == gotHost && path == gotPath
}

// cutLoopback splits an http URI on a loopback IP literal into what stands
// before its port and what stands behind. It works on the raw text: a URL
// parser forgives what a comparison must not.
func cutLoopback(uri string) (host, rest string, ok bool) {
	for _, host := range [...]string{"http://127.0.0.1", "http://[::1]"} {
		rest, found := strings.CutPrefix(uri, host)
		if !found {
			continue
		}
		if after, colon := strings.CutPrefix(rest, ":"); colon {
			digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
			if port, err := strconv.ParseUint(after[:digits], 10, 16); err != nil || port == 0 || after[0] == '0' {
				return "", "", false
			}
			rest = after[digits:]
		}
		// Anything but a path or a query here would still be part of the authority.
		return host, rest, rest == "" || rest[0] == '/' || rest[0] == '?'
	}
	return "", "", false
}

// responseParameters are the names that an authorization response may add to
// a redirect URI; a registered query must not hold them already.
var responseParameters = []string{
	"access_token", "code", "error", "error_description", "error_uri", "expires_in",
	"id_token", "iss", "response", "scope", "session_state", "state", "token_type",
}

// CheckRedirectURI says whether a redirect URI may be registered, RFC 6749
// Section 3.1.2, RFC 8252 Sections 7 and 8.4, RFC 9700 Section 4.1: https, http
// on loopback only, or a private-use scheme in reverse domain form; no
// fragment, no user, no wildcard.
func CheckRedirectURI(uri string) error {
	u, err := checkURI(uri)
	if err != nil {
		return err
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http":
		if u.Opaque != "" || u.Hostname() == "" {
			return Errorf(InvalidRedirectURI, "redirect_uri must name a host")
		}
		if u.Scheme == "http" && !IsLoopback(u.Hostname()) {
			return Errorf(InvalidRedirectURI, "redirect_uri must use https; http is for loopback only")
		}
	case !strings.Contains(u.Scheme, "."):
		return Errorf(InvalidRedirectURI, "redirect_uri must use https, or a private-use scheme that is a reversed domain name such as com.example.app")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Errorf(InvalidRedirectURI, "redirect_uri has a malformed query")
	}
	for _, name := range responseParameters {
		if query.Has(name) {
			return Errorf(InvalidRedirectURI, "redirect_uri must not hold the response parameter %s in its query", name)
		}
	}
	return nil
}

// checkURI holds what every registered redirect URI must satisfy, whatever its
// scheme.
func checkURI(uri string) (*url.URL, error) {
	if len(uri) > 2048 {
		return nil, Errorf(InvalidRedirectURI, "redirect_uri must not be longer than 2048 bytes")
	}
	for i := range len(uri) {
		if c := uri[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("*\\\"<>^`{|}", c) >= 0 {
			return nil, Errorf(InvalidRedirectURI, "redirect_uri holds a character that a URI must not hold, or a wildcard")
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, Errorf(InvalidRedirectURI, "redirect_uri is not a URI")
	case !u.IsAbs():
		return nil, Errorf(InvalidRedirectURI, "redirect_uri must be absolute")
	case strings.Contains(uri, "#"):
		return nil, Errorf(InvalidRedirectURI, "redirect_uri must not have a fragment")
	case u.User != nil:
		return nil, Errorf(InvalidRedirectURI, "redirect_uri must not hold a user name or password")
	case !isPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return nil, Errorf(InvalidRedirectURI, "redirect_uri has a port out of range")
	case strings.ToLower(u.Scheme) != uri[:len(u.Scheme)]:
		return nil, Errorf(InvalidRedirectURI, "redirect_uri must have its scheme in lower case")
	}
	return u, nil
}

func isPort(s string) bool {
	if s == "" {
		return true
	}
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// IsLoopback reports whether a host name stands for this machine alone:
// localhost or a loopback address.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback() && address.Zone() == ""
}

// IsClaimedHTTPS reports whether a redirect URI is an https one, which the
// system gives to its owner's application alone (RFC 8252 Sections 7.2, 8.6).
func (r Redirect) IsClaimedHTTPS() bool { return strings.HasPrefix(r.uri, "https://") }

// IsWeb reports whether a redirect URI is http or https, which a form can be
// posted to.
func (r Redirect) IsWeb() bool {
	return strings.HasPrefix(r.uri, "https://") || strings.HasPrefix(r.uri, "http://")
}

// Origin is the origin of an http or https address as browsers write it, RFC 6454 Section
// 6.1. It is "" for any other, and for a host that holds what no host name does: an origin
// stands in headers and pages.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("-._:[]", c)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":"+standard)
	if standard == "" || u.Opaque != "" || u.Hostname() == "" || strings.ContainsFunc(host, func(c rune) bool { return !plain(c) }) {
		return ""
	}
	return u.Scheme + "://" + host
}

// Host names the place a redirect leads to, for people: the host, or the
// scheme of a private-use one.
func (r Redirect) Host() string {
	u, err := url.Parse(r.uri)
	switch {
	case err != nil:
		return ""
	case u.Host != "" && (u.Scheme == "https" || u.Scheme == "http"):
		return u.Host
	}
	return u.Scheme
}

// A Param is one parameter of an authorization response. Order is kept, so an
// answer looks the same every time.
type Param struct {
	Name, Value string
}

// WithQuery appends the response parameters to the query of the redirect URI
// and keeps the query it was registered with, RFC 6749 Section 4.1.2.
func (r Redirect) WithQuery(params []Param) string {
	_, query, found := strings.Cut(r.uri, "?")
	switch {
	case !found:
		return r.uri + "?" + encode(params)
	case query == "", strings.HasSuffix(query, "&"):
		return r.uri + encode(params)
	}
	return r.uri + "&" + encode(params)
}

// WithFragment puts the response parameters into the fragment, RFC 6749
// Section 4.2.2.
func (r Redirect) WithFragment(params []Param) string {
	return r.uri + "#" + encode(params)
}

// encode writes a space as %20 and not as +: both are right in a form, but a
// reader of fragments may know only the former, and state must come back byte
// for byte.
func encode(params []Param) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.Name)
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(url.QueryEscape(p.Value), "+", "%20"))
	}
	return b.String()
}

// CheckResource says whether a value may name a protected resource: an
// absolute URI without fragment, RFC 8707 Section 2.
func CheckResource(resource string) error {
	u, err := url.Parse(resource)
	if err != nil || !u.IsAbs() || strings.Contains(resource, "#") || len(resource) > 2048 || slices.ContainsFunc([]byte(resource), func(c byte) bool { return c <= 0x20 || c >= 0x7f }) {
		return Errorf(InvalidTarget, "resource must be an absolute URI without a fragment")
	}
	return nil
}
