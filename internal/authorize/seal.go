package authorize

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// A sealedRequest is a request on its way through our pages, in the URL. It
// costs the server nothing until somebody has signed in, and any replica opens it.
type sealedRequest struct {
	id          string // "" for a POST that goes on by GET
	created     time.Time
	browser     string // mark of the browser it was begun in
	sessionMark string
	path        string
	form        map[string][]string
}

// notes is the name under which a sealed request carries what we know of it beside its
// parameters: none of them has an empty name.
const notes = ""

// What notes say: when the request object was opened that the parameters are from, and
// which session the person has chosen.
const (
	noteObject = "object " // and Unix seconds
	noteChosen = "chosen " // and its SID
)

// objectLifetime is for how long a request goes on, however often it begins anew, that
// came in a request object: its signature was looked at once, and was for then.
const objectLifetime = 24 * time.Hour

// encode writes the texts one behind the other, each with its length in front.
// An escaping format would make a state of quotes twice as long, and so refuse
// what is allowed.
func (s *sealedRequest) encode() []byte {
	texts := []string{s.id, strconv.FormatInt(s.created.Unix(), 10), s.browser, s.sessionMark, s.path}
	for _, name := range append([]string{notes}, carried...) {
		for _, value := range s.form[name] {
			texts = append(texts, name, value)
		}
	}
	var b []byte
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

// decode reads what encode wrote. The seal proves that it did, so anything else
// is a release that wrote another format.
func (s *sealedRequest) decode(b []byte) error {
	var texts []string
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return errors.New("authorize: sealed request of another format")
		}
		texts = append(texts, string(b[n:n+int(size)])) //nolint:gosec // bounded by the line before
		b = b[n+int(size):]                             //nolint:gosec // bounded as well
	}
	if len(texts) < 5 || len(texts)%2 == 0 {
		return errors.New("authorize: sealed request of another format")
	}
	created, err := strconv.ParseInt(texts[1], 10, 64)
	if err != nil {
		return fmt.Errorf("authorize: sealed request: %w", err)
	}
	*s = sealedRequest{id: texts[0], created: time.Unix(created, 0), browser: texts[2], sessionMark: texts[3], path: texts[4], form: map[string][]string{}}
	for i := 5; i < len(texts); i += 2 {
		s.form[texts[i]] = append(s.form[texts[i]], texts[i+1])
	}
	return nil
}

// maxSealed is how long a sealed request may be, in bytes of URL.
const maxSealed = 6 << 10

// carried are the parameters that a request is made of; others are ignored and
// do not travel.
var carried = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce", "prompt", "max_age",
	"login_hint", "ui_locales", "code_challenge", "code_challenge_method", "resource", "claims", "id_token_hint", "acr_values",
}

// seal makes the text that carries a request. browser is "" for one that may go
// on in whatever browser brings it.
func (e *Endpoint) seal(q *request, browser string) (string, error) {
	s := sealedRequest{id: q.id, created: q.created, browser: browser, sessionMark: q.sessionMark, path: q.path, form: map[string][]string{}}
	if q.id == "" {
		s.created = e.Now()
	}
	for _, name := range carried {
		s.form[name] = q.form.All(name)
	}
	if q.isObject() {
		s.form[notes] = append(s.form[notes], noteObject+strconv.FormatInt(q.opened.Unix(), 10))
	}
	if q.chosen != "" {
		s.form[notes] = append(s.form[notes], noteChosen+q.chosen)
	}
	sealed, err := e.Issuer.Ring.Seal(issuer.PurposeRequest, s.encode())
	if err == nil && len(sealed) > maxSealed {
		return "", oauth.Errorf(oauth.InvalidRequest, "the request is too long")
	}
	return sealed, err
}

// open reads a sealed request and checks it again: what was right when it was
// sealed may have changed. A genuine one that is too old begins anew, and so does
// one from before the clock was set back.
func (e *Endpoint) open(r *http.Request, sealed string) (*request, error) {
	plain, err := e.Issuer.Ring.Open(issuer.PurposeRequest, sealed)
	if err != nil {
		return nil, web.Explain(web.ReasonExpired, oauth.Refuse(oauth.InvalidRequest, "the request in the address is not ours", err))
	}
	var s sealedRequest
	if err := s.decode(plain); err != nil {
		return nil, web.Explain(web.ReasonExpired, oauth.Refuse(oauth.InvalidRequest, "the request in the address cannot be read", err))
	}
	q, err := e.reopen(r.Context(), &s)
	if err != nil && q.redirect.String() == "" {
		return nil, err // client or redirect are gone: nobody may be told
	}
	q.err = err
	if q.isObject() && e.Now().Sub(q.opened) > objectLifetime {
		return nil, web.Explain(web.ReasonExpired, oauth.Refuse(oauth.InvalidRequest, "the request in the address is too old", errors.New("its request object was opened more than a day ago")))
	}
	if now := e.Now(); !s.created.Add(e.RequestLifetime).After(now) || s.created.After(now.Add(clockSkew)) {
		return nil, &web.SeeOther{URL: e.restartURL(q)}
	}
	if s.browser == "" {
		q.begin(e.Now())
		q.sessionMark = e.Sessions.Mark(r)
		return q, nil
	}
	if s.browser != e.Browsers.Mark(r) {
		return nil, &web.PageError{Reason: web.ReasonOtherBrowser, RestartURL: e.restartURL(q),
			Err: oauth.Refuse(oauth.InvalidRequest, "the request was begun in another browser", errors.New("browser cookie missing or another"))}
	}
	q.id, q.created, q.sessionMark, q.resumed = s.id, s.created, s.sessionMark, true
	return q, nil
}

// reopen checks the parameters of a sealed request again.
func (e *Endpoint) reopen(ctx context.Context, s *sealedRequest) (*request, error) {
	known := s.form[notes]
	delete(s.form, notes)
	q := &request{path: s.path, form: oauth.NewForm(s.form)}
	for _, note := range known {
		if mark, ok := strings.CutPrefix(note, noteChosen); ok {
			q.chosen = mark
		}
		if text, ok := strings.CutPrefix(note, noteObject); ok {
			seconds, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return q, fmt.Errorf("authorize: sealed request: %w", err)
			}
			q.opened = time.Unix(seconds, 0)
		}
	}
	return q, e.validate(ctx, q, nil)
}

// ResumeURL implements login.Flow.
func (e *Endpoint) ResumeURL(sealed string) string { return e.pageURL(ResumePath, sealed) }

func (e *Endpoint) pageURL(page, sealed string) string {
	return e.Base + page + "?request=" + url.QueryEscape(sealed)
}
