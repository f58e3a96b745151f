package authorize

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// A sealedRequest is a request on its way through our pages, in the URL. It
// costs the server nothing until somebody has signed in, and any replica opens it.
type sealedRequest struct {
	ID          string              `json:"i,omitempty"` // "" for a POST that goes on by GET
	Created     int64               `json:"t"`           // Unix seconds
	Browser     string              `json:"b,omitempty"` // mark of the browser it was begun in
	SessionMark string              `json:"s,omitempty"`
	Path        string              `json:"p"`
	Form        map[string][]string `json:"f"`
}

// maxSealed is how long a sealed request may be, in bytes of URL.
const maxSealed = 6 << 10

// carried are the parameters that a request is made of; others are ignored and
// do not travel.
var carried = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce", "prompt", "max_age",
	"login_hint", "ui_locales", "code_challenge", "code_challenge_method", "resource", "acr_values",
}

// seal makes the text that carries a request. browser is "" for one that may go
// on in whatever browser brings it.
func (e *Endpoint) seal(q *request, browser string) (string, error) {
	s := sealedRequest{ID: q.id, Created: q.created.Unix(), Browser: browser, SessionMark: q.sessionMark, Path: q.path, Form: map[string][]string{}}
	if q.id == "" {
		s.Created = e.Now().Unix()
	}
	for _, name := range carried {
		if values := q.form.All(name); len(values) > 0 {
			s.Form[name] = values
		}
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("authorize: seal request: %w", err)
	}
	sealed, err := e.Issuer.Ring.Seal(issuer.PurposeRequest, plain)
	if err == nil && len(sealed) > maxSealed {
		return "", oauth.Errorf(oauth.InvalidRequest, "the request is too long")
	}
	return sealed, err
}

// open reads a sealed request and checks it again: what was right when it was
// sealed may have changed. A genuine one that is too old begins anew.
func (e *Endpoint) open(r *http.Request, sealed string) (*request, error) {
	plain, err := e.Issuer.Ring.Open(issuer.PurposeRequest, sealed)
	if err != nil {
		return nil, web.Explain(web.ReasonExpired, oauth.Refuse(oauth.InvalidRequest, "the request in the address is not ours", err))
	}
	var s sealedRequest
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("authorize: open request: %w", err)
	}
	q, err := e.validate(r.Context(), s.Path, oauth.NewForm(s.Form))
	if err != nil && q.redirect.String() == "" {
		return nil, err // client or redirect are gone: nobody may be told
	}
	q.err = err
	if !time.Unix(s.Created, 0).Add(e.RequestLifetime).After(e.Now()) {
		return nil, &web.SeeOther{URL: e.restartURL(q)}
	}
	if s.Browser == "" {
		q.begin(e.Now())
		q.sessionMark = e.Sessions.Mark(r)
		return q, nil
	}
	if s.Browser != e.Browsers.Mark(r) {
		return nil, &web.PageError{Reason: web.ReasonOtherBrowser, RestartURL: e.restartURL(q),
			Err: oauth.Refuse(oauth.InvalidRequest, "the request was begun in another browser", errors.New("browser cookie missing or another"))}
	}
	q.id, q.created, q.sessionMark, q.resumed = s.ID, time.Unix(s.Created, 0), s.SessionMark, true
	q.signedIn = e.signedInFor(r, q)
	return q, nil
}

// ResumeURL implements login.Flow.
func (e *Endpoint) ResumeURL(sealed string) string { return e.pageURL(ResumePath, sealed) }

func (e *Endpoint) pageURL(page, sealed string) string {
	return e.Base + page + "?request=" + url.QueryEscape(sealed)
}
