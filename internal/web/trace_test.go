package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
)

// W3C Trace Context Sections 3.2.2 and 3.2.4: what is malformed counts as not sent.
func TestParseTraceparent(t *testing.T) {
	t.Parallel()
	unsampled := &web.Trace{TraceID: traceID, ParentID: parentID}
	sampled := &web.Trace{TraceID: traceID, ParentID: parentID, Sampled: true}
	for name, tt := range map[string]struct {
		header string
		want   *web.Trace // nil means refused
	}{
		"sampled":                 {"00-" + traceID + "-" + parentID + "-01", sampled},
		"not sampled":             {"00-" + traceID + "-" + parentID + "-00", unsampled},
		"unknown flags":           {"00-" + traceID + "-" + parentID + "-fe", unsampled},
		"unknown flags, sampled":  {"00-" + traceID + "-" + parentID + "-ff", sampled},
		"next version":            {"01-" + traceID + "-" + parentID + "-01", sampled},
		"next version, more":      {"cc-" + traceID + "-" + parentID + "-01-what the future brings", sampled},
		"next version, a dash":    {"cc-" + traceID + "-" + parentID + "-01-", sampled},
		"next version, no dash":   {"cc-" + traceID + "-" + parentID + "-01.what", nil},
		"next version, too short": {"cc-" + traceID + "-" + parentID + "-1", nil},
		"version 00, more":        {"00-" + traceID + "-" + parentID + "-01-more", nil},
		"version 00, a dash":      {"00-" + traceID + "-" + parentID + "-01-", nil},
		"version ff":              {"ff-" + traceID + "-" + parentID + "-01", nil},
		"version in capitals":     {"0A-" + traceID + "-" + parentID + "-01", nil},
		"version no hex":          {"0g-" + traceID + "-" + parentID + "-01", nil},
		"no trace id":             {"00-" + strings.Repeat("0", 32) + "-" + parentID + "-01", nil},
		"no parent id":            {"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", nil},
		"trace id in capitals":    {"00-" + strings.ToUpper(traceID) + "-" + parentID + "-01", nil},
		"parent id in capitals":   {"00-" + traceID + "-" + strings.ToUpper(parentID) + "-01", nil},
		"trace id no hex":         {"00-" + traceID[:31] + "g-" + parentID + "-01", nil},
		"parent id no hex":        {"00-" + traceID + "-" + parentID[:15] + "g-01", nil},
		"flags no hex":            {"00-" + traceID + "-" + parentID + "-0x", nil},
		"trace id short":          {"00-" + traceID[1:] + "-" + parentID + "-01", nil},
		"trace id long":           {"00-0" + traceID + "-" + parentID + "-01", nil},
		"underscores":             {"00_" + traceID + "_" + parentID + "_01", nil},
		"space before":            {" 00-" + traceID + "-" + parentID + "-01", nil},
		"space behind":            {"00-" + traceID + "-" + parentID + "-01 ", nil},
		"two":                     {"00-" + traceID + "-" + parentID + "-01,00-" + traceID + "-" + parentID + "-01", nil},
		"empty":                   {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := web.ParseTraceparent(tt.header)
			if tt.want == nil {
				if ok || got != (web.Trace{}) {
					t.Errorf("ParseTraceparent(%q) = %+v, %t", tt.header, got, ok)
				}
				return
			}
			if diff := cmp.Diff(*tt.want, got); !ok || diff != "" {
				t.Errorf("ParseTraceparent(%q): %t (-want +got):\n%s", tt.header, ok, diff)
			}
		})
	}
}

// grammar is that of W3C Trace Context, by another hand.
var grammar = regexp.MustCompile(`\A(?s:00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}|(?:0[1-9a-f]|[1-9a-e][0-9a-f]|f[0-9a-e])-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?)\z`)

func FuzzParseTraceparent(f *testing.F) {
	for _, seed := range []string{"", "00-" + traceID + "-" + parentID + "-01", "fe-" + traceID + "-" + parentID + "-00-x", "00-" + strings.Repeat("0", 32) + "-" + parentID + "-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := web.ParseTraceparent(header)
		fields := grammar.FindStringSubmatch(header)
		if fields == nil {
			if ok {
				t.Fatalf("ParseTraceparent(%q) = %+v", header, got)
			}
			return
		}
		want := web.Trace{TraceID: fields[1] + fields[3], ParentID: fields[2] + fields[4]}
		want.Sampled = strings.ContainsRune("13579bdf", rune(header[54]))
		if none := strings.Trim(want.TraceID, "0") == "" || strings.Trim(want.ParentID, "0") == ""; none == ok || ok && got != want {
			t.Fatalf("ParseTraceparent(%q) = %+v, %t, want %+v", header, got, ok, want)
		}
	})
}

// The trace of a request stands in its log line; a header that is malformed, or sent
// twice, leaves none.
func TestLogLineTrace(t *testing.T) {
	t.Parallel()
	const well = "00-" + traceID + "-" + parentID + "-00"
	for name, tt := range map[string]struct {
		sent []string
		want bool
	}{
		"sent": {[]string{well}, true}, "not sent": {nil, false}, "malformed": {[]string{well + "0"}, false}, "twice": {[]string{well, well}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, log := edge(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header["Traceparent"] = tt.sent
			serve(e, e.API(func(w http.ResponseWriter, _ *http.Request) error { return web.JSON(w, http.StatusOK, "") }), r)
			fields := line(t, log)
			if tt.want != (fields["trace_id"] == traceID && fields["parent_id"] == parentID) {
				t.Errorf("line = %v", fields)
			}
			if _, there := fields["trace_id"]; there != tt.want || fields["span_id"] != nil {
				t.Errorf("line = %v", fields)
			}
		})
	}
}

// Whoever watches the edge sees each request first, gives it its context, and is told
// what came of it, a panic included.
func TestObserve(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, tt := range map[string]struct {
		h      web.Handler
		path   string
		route  string
		status int
		code   oauth.Code
	}{
		"answered":  {func(w http.ResponseWriter, _ *http.Request) error { return web.JSON(w, http.StatusCreated, "") }, "/a/1", "/a/{id}", http.StatusCreated, ""},
		"refused":   {func(http.ResponseWriter, *http.Request) error { return oauth.Errorf(oauth.InvalidClient, "no") }, "/a/1", "/a/{id}", http.StatusUnauthorized, oauth.InvalidClient},
		"panicked":  {func(http.ResponseWriter, *http.Request) error { panic("no") }, "/a/1", "/a/{id}", http.StatusInternalServerError, oauth.ServerError},
		"unclean":   {nil, "/a//1", web.NoRoute, http.StatusNotFound, oauth.InvalidRequest},
		"cancelled": {func(http.ResponseWriter, *http.Request) error { return context.Canceled }, "/a/1", "/a/{id}", http.StatusInternalServerError, oauth.ServerError},
	} {
		t.Run(name, func(t *testing.T) {
			e, log := edge(t)
			var begun *web.Event
			var told []web.Outcome
			e.Now = func() func() time.Time {
				now := time.Unix(1_000_000, 0)
				return func() time.Time { now = now.Add(time.Second); return now }
			}()
			e.Begin = func(ctx context.Context, event *web.Event, r *http.Request) context.Context {
				begun = event
				event.Trace = &web.Trace{TraceID: traceID, SpanID: "1111111111111111"}
				return context.WithValue(ctx, key{}, r.URL.Path)
			}
			e.Observe = func(o web.Outcome) { told = append(told, o) }
			mux := http.NewServeMux()
			mux.Handle("/a/{id}", e.API(func(w http.ResponseWriter, r *http.Request) error {
				if r.Context().Value(key{}) != "/a/1" {
					return errors.New("not served in the context that Begin returned")
				}
				return tt.h(w, r)
			}))
			serve(e, mux, httptest.NewRequestWithContext(t.Context(), "PURGE", tt.path, nil))
			if len(told) != 1 {
				t.Fatalf("told %d times", len(told))
			}
			o := told[0]
			if o.Event != begun || o.Context.Value(key{}) != tt.path || o.Method != "PURGE" || o.Route != tt.route || o.Status != tt.status || o.Code != tt.code || o.Took != time.Second {
				t.Errorf("outcome = %+v", o)
			}
			if fields := line(t, log); fields["trace_id"] != traceID || fields["span_id"] != "1111111111111111" || fields["parent_id"] != nil {
				t.Errorf("line = %v", fields)
			}
		})
	}
}
