package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// deriveIssuer follows the listener. It is empty when that names no port, or
// nothing that could stand in a URL.
func deriveIssuer(listen string, tls bool) string {
	host, port, ok := splitListen(listen)
	if !ok || port == 0 {
		return ""
	}
	a, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && a.Unmap().IsUnspecified():
		host = "localhost"
	case err == nil:
		host = a.String()
	}
	scheme, standard := "http", 80
	if tls {
		scheme, standard = "https", 443
	}
	if port == standard {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// issuerFault tells what keeps text from being an issuer, or "" when nothing
// does. RFC 8414 Section 2 wants an https URL without query and fragment. The
// rest makes sure that there is one spelling only, because everybody compares
// issuers byte for byte (RFC 9207 Section 2.4) and because addresses are made by
// appending to this one.
func issuerFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Opaque != "":
		return "want a URL, as in https://login.example.com"
	case u.User != nil:
		return "want a URL without user name and password"
	case strings.ContainsAny(text, "?#"):
		return "want a URL without query and fragment"
	case !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://"):
		return "want https:// in lower case, or http:// on loopback"
	case u.Scheme == "http" && !isIssuerLoopback(u.Hostname()):
		return "want https; http is for localhost, 127.0.0.0/8 and [::1] only"
	}
	if fault := hostFault(u); fault != "" {
		return fault
	}
	return pathFault(u.EscapedPath())
}

func isIssuerLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback() && !a.Is4In6()
}

// hostFault wants a name or an address in its one usual spelling, and a port only
// where it is not the scheme's own.
func hostFault(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	bracketed := strings.HasPrefix(u.Host, "[")
	a, err := netip.ParseAddr(host)
	switch {
	case bracketed != (err == nil && a.Is6()), err == nil && (a.Zone() != "" || a.String() != host):
		return "want the address of the host in its usual form"
	case err != nil && !isHostname(host):
		return "want the host in lower-case ASCII letters, digits, hyphens and dots (punycode for other scripts)"
	case strings.HasSuffix(u.Host, ":"):
		return "want no colon without a port"
	case u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80":
		return "want no port that the scheme implies"
	}
	if port == "" {
		return ""
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "want a port of 1 to 65535"
	}
	return ""
}

// pathFault wants no path, or segments that nobody on the way rewrites.
func pathFault(path string) string {
	if path == "" {
		return ""
	}
	if strings.HasSuffix(path, "/") {
		return "want no slash at the end"
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "want a path without empty segments and without . and .."
		}
		for i := range len(segment) {
			if b := segment[i]; !isLetterOrDigit(b) && !(b >= 'A' && b <= 'Z') && !strings.ContainsRune("-._~", rune(b)) {
				return "want a path of letters, digits and - . _ ~ only"
			}
		}
	}
	return ""
}

// isHostname wants lower-case labels, the last of them not a number, so that no
// odd spelling of an address passes for a name.
func isHostname(host string) bool {
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if b := label[i]; !isLetterOrDigit(b) && b != '-' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

func isLetterOrDigit(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
