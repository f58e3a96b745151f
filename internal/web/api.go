// Package web is the HTTP edge: it turns returned errors into answers, renders
// pages in their reader's language, and keeps headers, cookies, addresses and the
// one log line of a request in one place.
//
// It serves the assets below /assets/ and nothing else. Its one invariant: an
// answer is decided before its first byte is written, so no failure leaves half
// of one.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A Handler answers a request, or returns why it cannot. The adapters API and
// Page know how an error looks on the wire.
type Handler func(w http.ResponseWriter, r *http.Request) error

// A StatusError is a refusal of the edge itself, whose status no OAuth code
// stands for: 405, 413, 415 and 429.
type StatusError struct {
	Status      int
	Code        oauth.Code
	Description string
	RetryAfter  time.Duration // rounded up to seconds; 0 sends no header
	Allow       string        // methods, for 405
	Reason      Reason        // for a page; "" follows from the status
	Cause       error         // never sent
}

// Error gives both halves, for the log.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Description)
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	return s
}

// Unwrap returns the private half.
func (e *StatusError) Unwrap() error { return e.Cause }

// TooManyRequests refuses a caller who has tried too often, RFC 6585 Section 4.
func TooManyRequests(wait time.Duration, cause error) error {
	return &StatusError{Status: http.StatusTooManyRequests, Code: oauth.TemporarilyUnavailable,
		Description: "too many attempts; try again later", RetryAfter: max(wait, time.Second), Cause: cause}
}

// Busy refuses a caller whom the server cannot serve right now.
func Busy(wait time.Duration, cause error) error {
	return &StatusError{Status: http.StatusServiceUnavailable, Code: oauth.TemporarilyUnavailable,
		Description: "the server is busy; try again later", RetryAfter: max(wait, time.Second), Cause: cause}
}

// classify turns any error into what is sent. It is the one place that decides
// about status and public words.
func classify(err error) *StatusError {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &StatusError{Status: http.StatusRequestEntityTooLarge, Code: oauth.InvalidRequest, Description: fmt.Sprintf("the body is longer than %d bytes", e.Limit), Cause: err}
	}
	if errors.Is(err, oauth.ErrMediaType) {
		return &StatusError{Status: http.StatusUnsupportedMediaType, Code: oauth.InvalidRequest, Description: "the body must be application/x-www-form-urlencoded", Cause: err}
	}
	var unavailable interface{ Unavailable() bool }
	if errors.As(err, &unavailable) && unavailable.Unavailable() || errors.Is(err, context.DeadlineExceeded) {
		return &StatusError{Status: http.StatusServiceUnavailable, Code: oauth.TemporarilyUnavailable, Description: "the server cannot answer right now; try again later", RetryAfter: time.Second, Cause: err}
	}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return &StatusError{Status: e.Code.Status(), Code: e.Code, Description: e.Description, Cause: e.Cause}
	}
	return &StatusError{Status: http.StatusInternalServerError, Code: oauth.ServerError, Description: "the server failed; its operator finds the reason under the request id", Cause: err}
}

// API adapts a handler of JSON answers. Answers are never stored by caches, RFC
// 6749 Section 5.1; a handler that wants it otherwise says so.
func (e *Edge) API(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Cache-Control"] = noStore
		if err := h(w, r); err != nil {
			EventOf(r.Context()).Failure = err
			writeError(w, classify(err))
		}
	})
}

// writeError answers with RFC 6749 Section 5.2. Every 401 has a challenge, RFC
// 9110 Section 15.5.2; a handler that knows a better one has set it.
func writeError(w http.ResponseWriter, e *StatusError) {
	h := w.Header()
	h["Cache-Control"] = noStore
	if e.RetryAfter > 0 {
		h.Set("Retry-After", retryAfter(e.RetryAfter))
	}
	if e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
	if e.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Basic realm="hufu", charset="UTF-8"`)
	}
	_ = JSON(w, e.Status, oauth.ErrorResponse{Error: e.Code, Description: e.Description})
}

func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// Encoded is the text of a JSON answer, made before because it is given often.
type Encoded []byte

// Encode makes the text of an answer.
func Encode(value any) (Encoded, error) { return appendJSON(nil, value) }

// An appender writes itself as encoding/json would, without reflection.
type appender interface {
	AppendJSON(to []byte) []byte
}

// appendJSON ends with a line break, so that a terminal shows its prompt on a
// line of its own.
func appendJSON(to []byte, value any) ([]byte, error) {
	if a, ok := value.(appender); ok {
		return append(a.AppendJSON(to), '\n'), nil
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("web: encode answer: %w", err)
	}
	return append(append(to, body...), '\n'), nil
}

// bodies are buffers for answers on their way. A buffer is back when its answer
// was written, which copies it.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// JSON answers with a value. It is the one place where API answers are written.
func JSON(w http.ResponseWriter, status int, value any) error {
	if body, ok := value.(Encoded); ok {
		writeJSON(w, status, body)
		return nil
	}
	buffer := bodies.Get().(*[]byte)
	defer bodies.Put(buffer)
	body, err := appendJSON((*buffer)[:0], value)
	if err != nil {
		return err
	}
	*buffer = body
	writeJSON(w, status, body)
	return nil
}

// counted is how long an answer may be for net/http to count it by itself. It
// does so in place, while a header of ours makes its map outgrow its first size.
const counted = 2048

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	if rec, ok := w.(*recorder); !ok || rec.head || len(body) > counted {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone; nobody is left to tell
}

// Page adapts a handler of pages: an error becomes the error page, with the
// request id on it, on the address that failed.
func (e *Edge) Page(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		if next, ok := errors.AsType[*SeeOther](err); ok {
			_ = Redirect(w, next.URL)
			return
		}
		EventOf(r.Context()).Failure = err
		if err := e.Pages.Render(w, r, classify(err).Status, e.errorPage(w, r, err)); err != nil {
			EventOf(r.Context()).Failure = errors.Join(EventOf(r.Context()).Failure, err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		}
	})
}

// A PageError is a refusal with words of its own for the person who sees it.
type PageError struct {
	Reason     Reason
	RestartURL string // "" when only the app can begin anew
	Err        error
}

// Error gives the whole reason, for the log.
func (e *PageError) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Unwrap returns what the reason is about.
func (e *PageError) Unwrap() error { return e.Err }

// Explain gives an error the words of an error page.
func Explain(reason Reason, err error) error { return &PageError{Reason: reason, Err: err} }

func (e *Edge) errorPage(w http.ResponseWriter, r *http.Request, err error) ErrorPage {
	status := classify(err)
	page := ErrorPage{Code: string(status.Code), Reason: reasonOf(status), RequestID: EventOf(r.Context()).RequestID}
	if explained, ok := errors.AsType[*PageError](err); ok {
		page.Reason, page.RestartURL = explained.Reason, explained.RestartURL
	}
	if status.RetryAfter > 0 {
		page.RetryAfter = int((status.RetryAfter + time.Second - 1) / time.Second)
	}
	if status.Allow != "" {
		w.Header().Set("Allow", status.Allow)
	}
	return page
}

// reasonOf chooses the words for a refusal that brought none.
func reasonOf(e *StatusError) Reason {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.Status == http.StatusRequestEntityTooLarge:
		return ReasonTooLarge
	case e.Status == http.StatusUnsupportedMediaType:
		return ReasonUnsupportedMediaType
	case e.Status == http.StatusMethodNotAllowed:
		return ReasonMethodNotAllowed
	case e.Status == http.StatusTooManyRequests:
		return ReasonTooManyRequests
	case e.Status == http.StatusServiceUnavailable:
		return ReasonBusy
	case e.Status >= http.StatusInternalServerError:
		return ReasonServerError
	case e.Status == http.StatusNotFound:
		return ReasonNotFound
	}
	return ReasonMalformedRequest
}

// Only lets the named methods through; the others get 405 with Allow, RFC 9110
// Section 15.5.6.
func Only(methods string, h Handler) Handler {
	allowed := strings.Split(methods, ", ")
	return func(w http.ResponseWriter, r *http.Request) error {
		for _, m := range allowed {
			if r.Method == m {
				return h(w, r)
			}
		}
		return &StatusError{Status: http.StatusMethodNotAllowed, Code: oauth.InvalidRequest, Description: "the method is not allowed here", Allow: methods}
	}
}

// NotFound answers for an address that does not exist or is switched off.
func NotFound(http.ResponseWriter, *http.Request) error {
	return &StatusError{Status: http.StatusNotFound, Code: oauth.InvalidRequest, Description: "there is nothing at this address"}
}
