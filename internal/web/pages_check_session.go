package web

import (
	"fmt"
	"html"
	"net/http"
)

// CheckSession serves the page that clients have in a frame to learn whether somebody
// signed in or out, OpenID Connect Session Management 1.0 Section 3.3. It is the one page
// that may be framed by anyone: it shows nothing and takes nothing but a question. origin
// is the server's own, which some old browsers want in the list beside everybody.
func (p *Pages) CheckSession(origin string) (Handler, error) {
	script, err := p.assets.path("check_session.js")
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf("<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Session</title><script src=\"%s\"></script></head>\n<body></body>\n</html>\n", html.EscapeString(script))
	policy := "default-src 'none'; script-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors * " + origin
	return func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=60")
		h.Set("Content-Security-Policy", policy)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(body)) // the reader may have gone; nobody is left to tell
		}
		return nil
	}, nil
}
