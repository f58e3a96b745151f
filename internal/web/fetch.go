package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Fetcher reads documents that clients name, their keys for one, and sends forms to
// addresses that they name. Whoever registers a client could otherwise have this server
// look around in the network it stands in, so it talks to public addresses only, by https, and follows no redirect (RFC 9101
// Section 10.4, OpenID Connect Registration Section 9.1).
type Fetcher struct {
	client *http.Client

	mu       sync.Mutex
	underWay map[string]int // documents on their way, by host; "" counts all
}

// Bounds on what is fetched.
const (
	fetchTimeout = 5 * time.Second
	maxFetched   = 64 << 10 // bytes
	// Documents at once: a stranger can have this server ask for one, and must not make
	// a weapon of it, against others or against itself.
	maxFetches       = 64
	maxFetchesOfHost = 8
)

// NewFetcher makes a Fetcher. authorities, when not nil, vouch for servers beside those
// that the system trusts; allowed are networks that are fetched from although they are
// not public.
func NewFetcher(authorities *x509.CertPool, allowed []netip.Prefix) *Fetcher {
	dialer := &net.Dialer{Timeout: fetchTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return checkPublic(address, allowed)
	}}
	return &Fetcher{underWay: map[string]int{}, client: &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{ // without a proxy, which would dial for us
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    fetchTimeout,
			ResponseHeaderTimeout:  fetchTimeout,
			MaxResponseHeaderBytes: maxFetched,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a redirect, which is not followed") },
	}}
}

// ErrFetch is all that anybody but the operator learns about a document that could not
// be read: what exactly went wrong would tell about the network.
var ErrFetch = errors.New("web: the document could not be fetched")

// Get reads a document of one of the media types.
func (f *Fetcher) Get(ctx context.Context, address string, mediaTypes ...string) ([]byte, error) {
	body, err := f.get(ctx, address, mediaTypes)
	if err != nil {
		return nil, errors.Join(ErrFetch, err)
	}
	return body, nil
}

// Post sends a form and returns the status of the answer, whose body nobody reads. It
// goes where Get would go, and no further.
func (f *Fetcher) Post(ctx context.Context, address string, form url.Values) (status int, err error) {
	if status, err = f.post(ctx, address, form); err != nil {
		return 0, errors.Join(ErrFetch, err)
	}
	return status, nil
}

func (f *Fetcher) post(ctx context.Context, address string, form url.Values) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := outgoing(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := f.client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// outgoing makes a request to an address that a client has named.
func outgoing(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("not an https address")
	}
	u.Fragment = ""
	return http.NewRequestWithContext(ctx, method, u.String(), body)
}

// enter takes a place for a document of a host; none is waited for.
func (f *Fetcher) enter(host string) (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.underWay[""] >= maxFetches || f.underWay[host] >= maxFetchesOfHost {
		return nil, errors.New("too many documents are on their way")
	}
	for _, counter := range []string{"", host} {
		f.underWay[counter]++
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.underWay[""]--
		if f.underWay[host]--; f.underWay[host] == 0 {
			delete(f.underWay, host)
		}
	}, nil
}

func (f *Fetcher) get(ctx context.Context, address string, mediaTypes []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := outgoing(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	leave, err := f.enter(request.URL.Host)
	if err != nil {
		return nil, err
	}
	defer leave()
	request.Header.Set("Accept", strings.Join(mediaTypes, ", "))
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", response.StatusCode)
	case err != nil || !slices.Contains(mediaTypes, kind):
		return nil, fmt.Errorf("a %.80q, want %s", kind, strings.Join(mediaTypes, " or "))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFetched+1))
	if err == nil && len(body) > maxFetched {
		err = fmt.Errorf("longer than %d bytes", maxFetched)
	}
	return body, err
}

// checkPublic is asked with the address that is about to be dialled, which is past all
// that a name could be resolved to.
func checkPublic(address string, allowed []netip.Prefix) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := to.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Is6() && !internet6.Contains(ip) || slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return fmt.Errorf("%s is no public address", ip)
	}
	return nil
}

// internet6 is the part of IPv6 from which addresses of the Internet are given out; all
// others are of a kind of their own, and some of them hide an IPv4 address.
var internet6 = netip.MustParsePrefix("2000::/3")

// special are networks of the IANA registries that are not for anybody on the Internet,
// beside those that package netip knows and those outside of internet6.
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}
