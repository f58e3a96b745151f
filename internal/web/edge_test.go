package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// edge is an edge that logs into a buffer.
func edge(t testing.TB) (*web.Edge, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return &web.Edge{
		Pages: newPages(t, web.Site{Name: "Hufu", DefaultLanguage: "en"}), Now: time.Now,
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, &log
}

// serve passes one request through the edge.
func serve(e *web.Edge, h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.Wrap(h).ServeHTTP(w, r)
	return w
}

// line is the one log line of a request.
func line(t testing.TB, log *bytes.Buffer) map[string]any {
	t.Helper()
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d log lines, want 1:\n%s", n, log)
	}
	var fields map[string]any
	if err := json.Unmarshal(log.Bytes(), &fields); err != nil {
		t.Fatalf("log %s: %v", log, err)
	}
	return fields
}

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.1/32")}

// The address of a caller is its own, or what trusted proxies say of it: the
// right-most one that is not theirs (HP-02).
func TestAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"direct":                       {"203.0.113.7:1234", nil, "203.0.113.7"},
		"stranger forwards":            {"203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"},
		"one proxy":                    {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"proxy without the header":     {"10.0.0.1:1", nil, "10.0.0.1"},
		"empty header":                 {"10.0.0.1:1", []string{""}, "10.0.0.1"},
		"spoofed in front":             {"10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		"spoofed in a header before":   {"10.0.0.1:1", []string{"1.1.1.1", "198.51.100.1"}, "198.51.100.1"},
		"spoofed as a proxy":           {"10.0.0.1:1", []string{"10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		"two proxies":                  {"10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"two proxies, two headers":     {"10.0.0.1:1", []string{"198.51.100.1", "192.0.2.1"}, "198.51.100.1"},
		"nobody but proxies":           {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"garbage":                      {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		"garbage behind":               {"10.0.0.1:1", []string{"198.51.100.1, _hidden"}, "10.0.0.1"},
		"garbage in front":             {"10.0.0.1:1", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		"with a port":                  {"10.0.0.1:1", []string{"198.51.100.1:99"}, "10.0.0.1"},
		"IPv6":                         {"[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv4 in IPv6 peer":            {"[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"IPv4 in IPv6 forwarded":       {"10.0.0.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"IPv4 in IPv6 proxy forwarded": {"10.0.0.1:1", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},
		"zone":                         {"[fe80::1%eth0]:1", nil, "fe80::1"},
		"odd spaces":                   {"10.0.0.1:1", []string{" 198.51.100.1\t,  10.0.0.2 "}, "198.51.100.1"},
		"no peer":                      {"@", []string{"198.51.100.1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &web.Edge{TrustedProxies: proxies}
			r := get("/")
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
			if got := e.Address(r); got != tt.want {
				t.Errorf("from %s with %q: %q, want %q", tt.peer, tt.forwarded, got, tt.want)
			}
			e.TrustedProxies = nil
			peer, _ := netip.ParseAddrPort(tt.peer)
			if got := e.Address(r); peer.IsValid() && got != peer.Addr().Unmap().WithZone("").String() {
				t.Errorf("without trusted proxies: %q", got)
			}
		})
	}
}

// Whatever a caller sends ahead, the address is the one that the first trusted
// proxy saw.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"", "1.1.1.1", "10.0.0.9", "1.1.1.1, 10.0.0.2,", ",,,", "::1%x", "unknown", "198.51.100.1:80", "\x00", "10.0.0.1,\r\nX: y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		e := &web.Edge{TrustedProxies: proxies}
		for peer, headers := range map[string][]string{
			"203.0.113.7:1": {sent},
			"10.0.0.1:1":    {sent + ", 203.0.113.7"},
			"[fd00::1]:1":   {sent, "203.0.113.7, 10.0.0.2", "192.0.2.1"},
		} {
			r := get("/")
			r.RemoteAddr, r.Header["X-Forwarded-For"] = peer, headers
			if got := e.Address(r); got != "203.0.113.7" {
				t.Errorf("from %s with %q: %q", peer, headers, got)
			}
		}
		r := get("/")
		r.RemoteAddr, r.Header["X-Forwarded-For"] = "10.0.0.1:1", []string{sent}
		if a, err := netip.ParseAddr(e.Address(r)); err != nil || a.Zone() != "" || a.Is4In6() {
			t.Errorf("with %q: %q, %v", sent, e.Address(r), err)
		}
	})
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.0/24", "203.0.113.255": "203.0.113.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "": "", "x": "",
	} {
		if got := web.Network(address); got != want {
			t.Errorf("Network(%q) = %q, want %q", address, got, want)
		}
	}
}

type passing struct{}

func (passing) Error() string     { return "the database is away" }
func (passing) Unavailable() bool { return true }

// RFC 6749 Section 5.2: what a handler returns decides about status, code and
// words; the cause goes to the log and nowhere else, under the id that the caller
// was given (TE-02, TE-04, CA-01, DB-01).
func TestErrorsToAnswers(t *testing.T) {
	t.Parallel()
	secret := errors.New("the cause is secret")
	for name, tt := range map[string]struct {
		err         error
		status      int
		code        oauth.Code
		description string
		header      string // one that must be there
		level       string
	}{
		"refusal":            {oauth.Refuse(oauth.InvalidGrant, "the code is bad", secret), 400, oauth.InvalidGrant, "the code is bad", "", "INFO"},
		"wrapped refusal":    {fmt.Errorf("token: %w", oauth.Refuse(oauth.InvalidScope, "no", secret)), 400, oauth.InvalidScope, "no", "", "INFO"},
		"client unknown":     {oauth.Refuse(oauth.InvalidClient, "no", secret), 401, oauth.InvalidClient, "no", "Www-Authenticate", "INFO"},
		"too often":          {web.TooManyRequests(90*time.Second+1, secret), 429, oauth.TemporarilyUnavailable, "too many attempts; try again later", "Retry-After=91", "INFO"},
		"too often, a trice": {web.TooManyRequests(0, secret), 429, oauth.TemporarilyUnavailable, "too many attempts; try again later", "Retry-After=1", "INFO"},
		"busy":               {web.Busy(2*time.Second, secret), 503, oauth.TemporarilyUnavailable, "the server is busy; try again later", "Retry-After=2", "ERROR"},
		"database away":      {fmt.Errorf("store: %w: %w", passing{}, secret), 503, oauth.TemporarilyUnavailable, "the server cannot answer right now; try again later", "Retry-After=1", "ERROR"},
		"deadline":           {fmt.Errorf("%w: %w", context.DeadlineExceeded, secret), 503, oauth.TemporarilyUnavailable, "the server cannot answer right now; try again later", "Retry-After=1", "ERROR"},
		"too long":           {oauth.Refuse(oauth.InvalidRequest, "unreadable", &http.MaxBytesError{Limit: 9}), 413, oauth.InvalidRequest, "the body is longer than 9 bytes", "", "INFO"},
		"media type":         {oauth.Refuse(oauth.InvalidRequest, "the body must be a form", oauth.ErrMediaType), 415, oauth.InvalidRequest, "the body must be application/x-www-form-urlencoded", "", "INFO"},
		"ours":               {secret, 500, oauth.ServerError, "the server failed; its operator finds the reason under the request id", "", "ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, log := edge(t)
			w := serve(e, e.API(func(http.ResponseWriter, *http.Request) error { return tt.err }), get("/"))
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			want := map[string]any{"error": string(tt.code), "error_description": tt.description}
			if diff := cmp.Diff(want, got); w.Code != tt.status || diff != "" {
				t.Errorf("status %d, want %d; body (-want +got):\n%s", w.Code, tt.status, diff)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", w.Header())
			}
			header, value, hasValue := strings.Cut(tt.header, "=")
			if header != "" && (w.Header().Get(header) == "" || hasValue && w.Header().Get(header) != value) {
				t.Errorf("%s = %q, want %q", header, w.Header().Get(header), value)
			}
			for _, header := range []string{"Www-Authenticate", "Retry-After"} {
				if !strings.HasPrefix(tt.header, header) && w.Header().Get(header) != "" {
					t.Errorf("%s = %q, want none", header, w.Header().Get(header))
				}
			}
			fields := line(t, log)
			if fields["level"] != tt.level || fields["status"] != float64(tt.status) || fields["request_id"] != w.Header().Get("X-Request-Id") || fields["error"] != string(tt.code) {
				t.Errorf("log %v", fields)
			}
			if cause, _ := fields["cause"].(string); errors.Is(tt.err, secret) && !strings.Contains(cause, "the cause is secret") {
				t.Errorf("the log does not tell the cause: %v", fields)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the caller reads the cause: %s", w.Body)
			}
		})
	}
}

// A handler that knows a better challenge keeps it.
func TestOwnChallenge(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	w := serve(e, e.API(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return oauth.Errorf(oauth.InvalidToken, "no")
	}), get("/"))
	if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, []string{"Bearer"}) {
		t.Errorf("challenge %q", got)
	}
}

// A refusal of a page is a page, with its code, the request id and the headers of
// every page; a way on is a 303 (HD-12, RU-09).
func TestPageErrors(t *testing.T) {
	t.Parallel()
	e, log := edge(t)
	w := serve(e, e.Page(func(http.ResponseWriter, *http.Request) error {
		return web.Explain(web.ReasonUnknownClient, oauth.Refuse(oauth.InvalidRequest, "client_id is unknown", errors.New("secret cause")))
	}), get("/authorize"))
	body := w.Body.String()
	if w.Code != http.StatusBadRequest || !strings.Contains(body, `id="error-page"`) || !strings.Contains(body, "invalid_request") || !strings.Contains(body, w.Header().Get("X-Request-Id")) {
		t.Errorf("%d: %s", w.Code, body)
	}
	if strings.Contains(body, "secret cause") || !strings.Contains(fmt.Sprint(line(t, log)["cause"]), "secret cause") {
		t.Errorf("the page tells the cause, or the log does not: %s", log)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s = %q, want %q", header, got, want)
		}
	}
	w = serve(e, e.Page(func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("wrapped: %w", &web.SeeOther{URL: "/login?request=x"})
	}), get("/consent"))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login?request=x" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a way on: %d %v", w.Code, w.Header())
	}
}

// A panic is a failure of ours: 500 with nothing about it for the caller, its
// stack for the operator; one that comes after the answer began changes nothing.
func TestPanics(t *testing.T) {
	t.Parallel()
	e, log := edge(t)
	w := serve(e, e.API(func(http.ResponseWriter, *http.Request) error { panic("the tiger is loose") }), get("/"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "tiger") || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Request-Id") == "" {
		t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	fields := line(t, log)
	if cause, _ := fields["cause"].(string); fields["level"] != "ERROR" || !strings.Contains(cause, "the tiger is loose") || !strings.Contains(cause, "edge_test.go") {
		t.Errorf("log %v", fields)
	}
	e, log = edge(t)
	w = serve(e, e.API(func(w http.ResponseWriter, _ *http.Request) error {
		if err := web.JSON(w, http.StatusOK, "done"); err != nil {
			return err
		}
		panic("too late")
	}), get("/"))
	fields = line(t, log)
	if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `"done"` || !strings.Contains(fmt.Sprint(fields["cause"]), "too late") || fields["level"] != "ERROR" {
		t.Errorf("%d: %s, log %s", w.Code, w.Body, log)
	}
	e, _ = edge(t)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler: it cuts the connection", p)
		}
	}()
	serve(e, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), get("/"))
}

// RFC 9110 Section 15.5.6: a method that is not allowed is 405 with the ones that
// are (TE-01, TE-12).
func TestOnly(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	handler := e.API(web.Only("GET, POST", func(w http.ResponseWriter, r *http.Request) error { return web.JSON(w, http.StatusOK, r.Method) }))
	for method, want := range map[string]int{"GET": 200, "POST": 200, "HEAD": 405, "PUT": 405, "PATCH": 405, "DELETE": 405, "OPTIONS": 405, "get": 405, "POSTS": 405, "ET, POS": 405, "TRACE": 405} {
		w := serve(e, handler, &http.Request{Method: method, URL: get("/").URL, Header: http.Header{}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1"})
		if w.Code != want || (w.Header().Get("Allow") == "GET, POST") != (want == 405) {
			t.Errorf("%s: %d, Allow %q; want %d", method, w.Code, w.Header().Get("Allow"), want)
		}
	}
}

// RFC 9700 Section 2.6: any origin may read, none with credentials (TE-07, HD-11).
func TestCORS(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	handler := web.CORS("POST", e.API(web.Only("POST", func(http.ResponseWriter, *http.Request) error { return oauth.Errorf(oauth.InvalidRequest, "no") })))
	for name, tt := range map[string]struct {
		method    string
		preflight bool
		want      int
	}{"preflight": {"OPTIONS", true, 204}, "OPTIONS that is none": {"OPTIONS", false, 405}, "refusal": {"POST", false, 400}, "wrong method": {"GET", false, 405}} {
		for _, origin := range []string{"https://app.example", "null", "https://id.example.evil.example"} {
			r := httptest.NewRequest(tt.method, "/token", nil)
			r.Header.Set("Origin", origin)
			r.Header.Set("Cookie", "hufu_session=x")
			if tt.preflight {
				r.Header.Set("Access-Control-Request-Method", "POST")
			}
			h := serve(e, handler, r).Result().Header
			if got := h.Get("Access-Control-Allow-Origin"); got != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %s: origin %q, credentials %q", name, origin, got, h.Get("Access-Control-Allow-Credentials"))
			}
			if got := h.Get("Access-Control-Allow-Methods"); (got == "POST") != tt.preflight {
				t.Errorf("%s: methods %q", name, got)
			}
			if !strings.Contains(h.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
				t.Errorf("%s: the app cannot read the challenge", name)
			}
			if w := serve(e, handler, r); w.Code != tt.want {
				t.Errorf("%s: %d, want %d", name, w.Code, tt.want)
			}
		}
	}
}

// A body is read up to its limit, and the refusal behind it is 413 (TE-04).
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	handler := e.API(func(w http.ResponseWriter, r *http.Request) error {
		form, err := oauth.ParseForm(r)
		if err != nil {
			return err
		}
		return web.JSON(w, http.StatusOK, len(form.Get("a")))
	})
	for length, want := range map[int]int{web.MaxBody: 200, web.MaxBody + 1: 413, 10 * web.MaxBody: 413} {
		r := httptest.NewRequest(http.MethodPost, "/token", io.LimitReader(endless{}, int64(length)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if w := serve(e, handler, r); w.Code != want {
			t.Errorf("%d bytes: %d, want %d: %s", length, w.Code, want, w.Body)
		}
	}
}

// endless is a form that goes on for ever.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	if len(b) > 2 {
		copy(b, "a=")
	}
	return len(b), nil
}

// Whatever a caller sends, one request is one line of the log, and what may be a
// secret is not in it: no query, no header, no body (LS-01, LS-02).
func TestLogLine(t *testing.T) {
	t.Parallel()
	e, log := edge(t)
	hostile := "x\r\n{\"level\":\"ERROR\"}\x1b[31m\""
	mux := http.NewServeMux()
	mux.Handle("/authorize", e.API(func(_ http.ResponseWriter, r *http.Request) error {
		event := web.EventOf(r.Context())
		event.ClientID, event.UserID, event.Grant, event.GrantID = hostile, "user-1", "password", "grant-1"
		return oauth.Refuse(oauth.InvalidRequest, "no", errors.New("cause "+hostile))
	}))
	r := httptest.NewRequest(http.MethodPost, "/authorize?code=topsecret&state=topsecret", strings.NewReader("password=topsecret"))
	r.Header.Set("Authorization", "Basic topsecret")
	r.Header.Set("Cookie", "hufu_session=topsecret")
	r.Method = "POST" + strings.Repeat("T", 100)
	serve(e, mux, r)
	fields := line(t, log)
	if strings.Contains(log.String(), "topsecret") || strings.ContainsRune(log.String(), 0x1b) {
		t.Errorf("log %s", log)
	}
	if fields["route"] != "/authorize" || fields["user"] != "user-1" || fields["grant_type"] != "password" || fields["grant"] != "grant-1" || fields["client"] != hostile || len(fmt.Sprint(fields["method"])) > 16 {
		t.Errorf("fields %v", fields)
	}
}

// Every answer says how long it is, the one to HEAD as long as the one to GET, so
// that the connection can be kept.
func TestContentLength(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	for _, length := range []int{0, 10, 2045, 2046, 5000, 100_000} {
		server := httptest.NewServer(e.Wrap(e.API(func(w http.ResponseWriter, _ *http.Request) error {
			return web.JSON(w, http.StatusOK, strings.Repeat("x", length))
		})))
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if want := int64(length) + 3; err != nil || answer.ContentLength != want || method == http.MethodGet && int64(len(body)) != want { // quotes and line break
				t.Errorf("%s of %d: %d bytes announced, %d came, %v", method, want, answer.ContentLength, len(body), err)
			}
		}
		server.Close()
	}
}

// Each request has an id of its own that nobody can choose, and HSTS is sent where
// the issuer is https (HD-03, HP-01).
func TestCommonHeaders(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	seen := map[string]bool{}
	for range 100 {
		r := get("/")
		r.Header.Set("X-Request-Id", "chosen")
		id := serve(e, http.NotFoundHandler(), r).Header().Get("X-Request-Id")
		if seen[id] || len(id) != 20 || id == "chosen" {
			t.Fatalf("request id %q", id)
		}
		seen[id] = true
	}
	if got := serve(e, http.NotFoundHandler(), get("/")).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("HSTS on http: %q", got)
	}
	e.Secure = true
	if got := serve(e, http.NotFoundHandler(), get("/")).Header().Get("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=") {
		t.Errorf("HSTS on https: %q", got)
	}
}

// A request that takes too long ends, and nothing it waits for outlives it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	e, _ := edge(t)
	e.Timeout = 10 * time.Millisecond
	w := serve(e, e.API(func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}), get("/"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
