package authorize

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// requestObjectTypes are the values of typ that a request object may have, RFC 9101
// Section 10.8: those of OpenID Connect have none of their own.
var requestObjectTypes = []string{"", "jwt", "oauth-authz-req+jwt"}

// requestObjectMedia are the media types of a request object at an address, RFC 9101
// Section 5.2.3.
var requestObjectMedia = []string{"application/oauth-authz-req+jwt", "application/jwt"}

// fetches limits the request objects of a client that one network has this server fetch:
// nobody need sign in for that.
var fetches = store.Limit{Burst: 100, Interval: 500 * time.Millisecond}

// openObject puts the parameters of the request object in place of those that came with
// it, OpenID Connect Core Section 6 and RFC 9101 Section 6. On an error the request is as
// it was sent.
func (e *Endpoint) openObject(ctx context.Context, q *request) error {
	text, uri := q.form.Get("request"), q.form.Get("request_uri")
	switch {
	case q.isObject(): // it was opened when the request began
		return nil
	case text != "" && uri != "":
		return oauth.Errorf(oauth.InvalidRequest, "request and request_uri exclude each other")
	case text != "":
	case uri != "":
		var err error
		if text, err = e.fetchObject(ctx, q, uri); err != nil {
			return err
		}
	case q.client.Metadata.RequireSignedRequest:
		return oauth.Errorf(oauth.InvalidRequest, "request is missing; this client must send signed request objects")
	default:
		return nil
	}
	o, err := e.readObject(ctx, q, text)
	if err != nil {
		return err
	}
	q.form, q.opened = o.Within(q.form, q.client.Metadata.RequireSignedRequest), e.Now()
	return nil
}

// fetchObject reads the request object at an address. Only what the client is registered
// with is fetched; its fragment is part of the name and not of the address (OpenID Connect
// Core Section 6.2).
func (e *Endpoint) fetchObject(ctx context.Context, q *request, uri string) (string, error) {
	if !slices.Contains(q.client.Metadata.RequestURIs, uri) {
		return "", oauth.Refuse(oauth.InvalidRequestURI, "request_uri is not registered", errors.New("it is none of the client's request_uris"))
	}
	bucket := store.Bucket("request object", q.client.ID, web.Network(web.EventOf(ctx).Address))
	wait, err := e.Store.Attempt(ctx, bucket, fetches, e.Now())
	if err != nil {
		return "", err
	}
	if wait > 0 {
		return "", web.TooManyRequests(wait, errors.New("more request objects than one network may have fetched for a client"))
	}
	body, err := e.Fetch(ctx, uri, requestObjectMedia...)
	if err != nil {
		return "", oauth.Refuse(oauth.InvalidRequestURI, "the request object could not be fetched", err)
	}
	return strings.TrimSpace(string(body)), nil
}

// readObject decrypts a request object if it is encrypted, verifies it, and checks what it
// says of itself.
func (e *Endpoint) readObject(ctx context.Context, q *request, text string) (*oauth.RequestObject, error) {
	if jose.IsEncrypted(text) {
		var err error
		if text, err = e.Issuer.Ring.DecryptRequestObject(text); err != nil {
			return nil, oauth.Refuse(oauth.InvalidRequestObject, "the request object cannot be decrypted", err)
		}
	}
	algorithms := jose.ForeignAlgorithms
	if own := q.client.Metadata.RequestObjectAlg; own != "" {
		algorithms = []string{own}
	}
	payload, err := e.Keys.Verify(ctx, q.client, text, algorithms, requestObjectTypes)
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequestObject, "the request object does not verify", err)
	}
	o, err := oauth.ParseRequestObject(payload)
	if err != nil {
		return nil, err
	}
	why := o.Fault(e.Issuer.URL, q.client.ID, e.Now())
	if outer := q.form.Get("response_type"); why == "" && outer != "" && !agrees(outer, o.Form.Get("response_type")) {
		why = "response_type is another one than beside it"
	}
	if why != "" {
		return nil, oauth.Refuse(oauth.InvalidRequestObject, "the request object is not valid for this request", oauth.Because("request", why))
	}
	return o, nil
}

// agrees reports whether the response type in a request object, if there is one, is that
// beside it, in whatever order.
func agrees(outer, inner string) bool {
	return inner == "" || inner == outer || oauth.ParseResponseType(inner) != "" && oauth.ParseResponseType(inner) == oauth.ParseResponseType(outer)
}
