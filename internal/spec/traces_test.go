package spec_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/dbtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// A collector takes spans as OTLP over http brings them, and keeps what it was sent.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	types  []string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies, c.types = append(c.bodies, body), append(c.types, r.Header.Get("Content-Type"))
	}))
	t.Cleanup(c.Close)
	return c
}

// A span is what the collector understands of one.
type span struct {
	resource, attributes    map[string]string
	traceID, spanID, parent string
	name                    string
	kind, status            uint64
	began, ended            uint64
}

// Numbers of the OTLP protocol, opentelemetry/proto/trace/v1/trace.proto.
const (
	kindServer, kindClient = 2, 3
	statusError            = 2
)

// spans are all that have come.
func (c *collector) spans(t *testing.T) []span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []span
	for _, body := range c.bodies {
		for _, resourceSpans := range message(t, body)[1] {
			inner := message(t, resourceSpans.bytes)
			resource := pairs(t, message(t, inner[1][0].bytes)[1])
			for _, scopeSpans := range inner[2] {
				for _, s := range message(t, scopeSpans.bytes)[2] {
					all = append(all, readSpan(t, s.bytes, resource))
				}
			}
		}
	}
	return all
}

func readSpan(t *testing.T, raw []byte, resource map[string]string) span {
	t.Helper()
	f := message(t, raw)
	text := func(n int) string {
		if len(f[n]) == 0 {
			return ""
		}
		return string(f[n][0].bytes)
	}
	number := func(n int) uint64 {
		if len(f[n]) == 0 {
			return 0
		}
		return f[n][0].number
	}
	s := span{
		resource: resource, attributes: pairs(t, f[9]), traceID: hex.EncodeToString([]byte(text(1))), spanID: hex.EncodeToString([]byte(text(2))),
		parent: hex.EncodeToString([]byte(text(4))), name: text(5), kind: number(6), began: number(7), ended: number(8),
	}
	if status := message(t, []byte(text(15))); len(status[3]) > 0 {
		s.status = status[3][0].number
	}
	return s
}

// A field is one value of a protobuf message.
type field struct {
	number uint64
	bytes  []byte
}

// message takes a protobuf message apart, by field number.
func message(t *testing.T, raw []byte) map[int][]field {
	t.Helper()
	fields := map[int][]field{}
	for len(raw) > 0 {
		tag, n := binary.Uvarint(raw)
		if n <= 0 {
			t.Fatal("protobuf: broken tag")
		}
		raw = raw[n:]
		var f field
		switch size := 0; tag & 7 {
		case 0:
			f.number, size = binary.Uvarint(raw)
			raw = raw[size:]
		case 1:
			f.number, raw = binary.LittleEndian.Uint64(raw), raw[8:]
		case 2:
			length, size := binary.Uvarint(raw)
			end := size + int(length) //nolint:gosec // a slice beyond the end panics
			f.bytes, raw = raw[size:end], raw[end:]
		case 5:
			f.number, raw = uint64(binary.LittleEndian.Uint32(raw)), raw[4:]
		default:
			t.Fatalf("protobuf: wire type %d", tag&7)
		}
		fields[int(tag>>3)] = append(fields[int(tag>>3)], f) //nolint:gosec // field numbers are small
	}
	return fields
}

// pairs reads attributes, numbers as text.
func pairs(t *testing.T, raw []field) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range raw {
		pair := message(t, f.bytes)
		value := message(t, pair[2][0].bytes)
		switch key := string(pair[1][0].bytes); {
		case len(value[1]) > 0:
			all[key] = string(value[1][0].bytes)
		case len(value[3]) > 0:
			all[key] = fmt.Sprint(value[3][0].number)
		}
	}
	return all
}

// traced starts a server that exports to a collector, has a test use it and stops it,
// and returns what came.
func traced(t *testing.T, c *collector, use func(t *testing.T, s *oauthtest.Server)) []span {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Run("server", func(t *testing.T) { use(t, oauthtest.Start(t)) })
	return c.spans(t)
}

// find returns the one span of a name that has these attributes.
func find(t *testing.T, all []span, name string, pairs ...string) span {
	t.Helper()
	var found []span
	for _, s := range all {
		fits := s.name == name
		for i := 0; i+1 < len(pairs); i += 2 {
			fits = fits && s.attributes[pairs[i]] == pairs[i+1]
		}
		if fits {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %s %v", len(found), name, pairs)
	}
	return found[0]
}

// With the standard variables set, each request is a span and each of its statements
// one below it, named by the semantic conventions, below the caller's span when it
// sent one; a server that stops hands over the last of them.
func TestTraces_Export(t *testing.T) {
	const traceID, parentID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	c := newCollector(t)
	var log string
	all := traced(t, c, func(t *testing.T, s *oauthtest.Server) {
		app := s.App(t)
		refresh := app.SignInAndExchange(t).RefreshToken
		r := s.Request(t, http.MethodPost, "/token?note=nobody", app.Credentials("grant_type", "refresh_token", "refresh_token", refresh).Encode())
		r.Header.Set("Traceparent", "00-"+traceID+"-"+parentID+"-01")
		s.Do(t, r)
		s.Post(t, "/token", app.Credentials("grant_type", "refresh_token", "refresh_token", "hrt_nothing"))
		s.Do(t, s.Request(t, "PURGE", "/nothing%ff/"+strings.Repeat("a", 1000), ""))
		log = s.Log.String()
	})
	request := find(t, all, "POST /token", "http.response.status_code", "200", "hufu.grant_type", "refresh_token")
	if request.traceID != traceID || request.parent != parentID || request.kind != kindServer || request.status != 0 || request.ended < request.began {
		t.Errorf("span of the request: %+v", request)
	}
	for key, want := range map[string]string{"http.request.method": "POST", "http.route": "/token", "url.path": "/token", "url.scheme": "http", "error.type": ""} {
		if got := request.attributes[key]; got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{"service.name": "hufu", "deployment.environment.name": "test", "telemetry.sdk.language": "go"} {
		if got := request.resource[key]; got != want {
			t.Errorf("resource: %s = %q, want %q", key, got, want)
		}
	}
	var statements []string
	for _, s := range all {
		if s.parent != request.spanID {
			continue
		}
		statements = append(statements, s.name)
		if s.traceID != traceID || s.kind != kindClient || s.attributes["db.system.name"] != databaseSystem() || s.attributes["db.operation.name"]+" "+s.attributes["db.collection.name"] != s.name {
			t.Errorf("span of a statement: %+v", s)
		}
	}
	if !slices.Equal(statements, []string{"update oauth_grant"}) {
		t.Errorf("statements of a refresh: %q", statements)
	}
	if refused := find(t, all, "POST /token", "hufu.error", "invalid_grant"); refused.status != 0 || refused.attributes["hufu.check"] != "refresh_token" || refused.parent != "" || refused.traceID == traceID {
		t.Errorf("span of a refused request: %+v", refused)
	}
	strange := find(t, all, "HTTP /", "http.request.method", "_OTHER")
	if path := strange.attributes["url.path"]; !strings.HasPrefix(path, "/nothing%ff/aaa") || len(path) > 300 {
		t.Errorf("url.path = %q", path)
	}
	if want := fmt.Sprintf(`"trace_id":%q,"span_id":%q,"parent_id":%q`, traceID, request.spanID, parentID); !strings.Contains(log, want) {
		t.Errorf("no line with %s", want)
	}
}

// databaseSystem is the name of the engine under test, by the semantic conventions.
func databaseSystem() string {
	if oauthtest.OnPostgres() {
		return "postgresql"
	}
	return "sqlite"
}

// Nothing that could be used, and nobody's name, goes into a span (OP-04, LS-02).
func TestTraces_HoldNoSecret(t *testing.T) {
	c := newCollector(t)
	var secrets []string
	if all := traced(t, c, func(t *testing.T, s *oauthtest.Server) {
		app := s.App(t)
		verifier := strings.Repeat("v", 43)
		code := app.Authorize(t, "alice", verifier)
		tokens := redeemWith(t, app, "/token", code, verifier)
		s.Get(t, "/authorize?"+url.Values{"client_id": {"nobody"}, "login_hint": {"hint-nobody-reads"}}.Encode())
		s.Post(t, "/token", app.Credentials("grant_type", "password", "username", "alice", "password", "wrong horse battery"))
		app.Introspect(t, tokens.Text("access_token"))
		secrets = []string{code, verifier, tokens.Text("access_token"), tokens.Text("refresh_token"), app.ClientID, app.ClientSecret, "alice", "hint-nobody-reads", "wrong horse battery", oauthtest.Password, "state-1", "SELECT", "WHERE"}
	}); len(all) < 20 {
		t.Fatalf("only %d spans were searched", len(all))
	}
	for _, body := range c.bodies {
		for _, secret := range secrets {
			if secret == "" || strings.Contains(string(body), secret) {
				t.Errorf("a span holds %q", secret)
			}
		}
	}
	for _, kind := range c.types {
		if kind != "application/x-protobuf" {
			t.Errorf("Content-Type = %q", kind)
		}
	}
}

// A failure of ours is one of the span as well, and the statement that failed stands
// below it, without what the database said.
func TestTraces_Failure(t *testing.T) {
	dsn := dbtest.DSN(t)
	proxy := dbtest.NewProxy(t, dsn)
	all := traced(t, newCollector(t), func(t *testing.T, _ *oauthtest.Server) {
		s := oauthtest.Start(t, func(c *config.Config) { c.Database = proxy.DSN(dsn) })
		app := s.App(t, oauthtest.Opaque)
		token, err := app.ClientToken(t, oauthtest.AllAddresses[0])
		if err != nil {
			t.Fatal(err)
		}
		proxy.Refuse()
		defer proxy.Heal()
		app.Introspect(t, token.AccessToken)
	})
	failed := find(t, all, "POST /introspect")
	if failed.status != statusError || failed.attributes["error.type"] != "temporarily_unavailable" || failed.attributes["http.response.status_code"] != "503" || failed.attributes["hufu.check"] != "database" {
		t.Errorf("span of the request: %+v", failed)
	}
	below := slices.DeleteFunc(all, func(s span) bool { return s.parent != failed.spanID })
	if len(below) == 0 || below[0].status != statusError || below[0].attributes["db.system.name"] != "postgresql" || below[0].attributes["error.type"] != "_OTHER" {
		t.Errorf("spans of its statements: %+v", below)
	}
}

// The caller's decision not to record a trace is kept, and OTEL_TRACES_SAMPLER is.
func TestTraces_Sampling(t *testing.T) {
	for name, tt := range map[string]struct {
		sampler, sent string
		want          int // spans named GET /jwks
	}{
		"not recorded by the caller": {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", 0},
		"recorded by the caller":     {"parentbased_always_off", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 1},
		"never":                      {"always_off", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0},
		"no caller":                  {"parentbased_always_off", "", 0},
		"by default":                 {"", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", tt.sampler)
			all := traced(t, newCollector(t), func(t *testing.T, s *oauthtest.Server) {
				r := s.Request(t, http.MethodGet, "/jwks", "")
				if tt.sent != "" {
					r.Header.Set("Traceparent", tt.sent)
				}
				s.Do(t, r)
				if lines := s.Log.String(); tt.sent != "" && !strings.Contains(lines, `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`) {
					t.Error("the log does not tell the trace")
				}
			})
			if got := slices.DeleteFunc(all, func(s span) bool { return s.name != "GET /jwks" }); len(got) != tt.want {
				t.Errorf("%d spans, want %d", len(got), tt.want)
			}
		})
	}
}

// Export is off unless the standard variables ask for it, and a variable can forbid it.
func TestTraces_Off(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"no endpoint":  {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
		"disabled":     {"OTEL_SDK_DISABLED": "TRUE"},
		"other export": {"OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
			for key, value := range variables {
				t.Setenv(key, value)
			}
			t.Run("server", func(t *testing.T) { oauthtest.Start(t).Get(t, "/jwks") })
			if all := c.spans(t); len(all) > 0 {
				t.Errorf("%d spans came", len(all))
			}
		})
	}
	t.Run("own endpoint", func(t *testing.T) {
		c := newCollector(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.URL+"/v1/traces")
		t.Setenv("OTEL_SERVICE_NAME", "the-door")
		t.Run("server", func(t *testing.T) { oauthtest.Start(t).Get(t, "/jwks") })
		if got := find(t, c.spans(t), "GET /jwks"); got.resource["service.name"] != "the-door" {
			t.Errorf("resource = %v", got.resource)
		}
	})
}

// A collector that is away, or takes what it is sent and never answers, holds nobody
// up: not a request while there is no room for more spans, and not for ever a server
// that stops. The operator is told once.
func TestTraces_CollectorAway(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
	released := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	defer hanging.Close()
	defer close(released)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer refusing.Close()
	gone, err := oauthtest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for name, endpoint := range map[string]string{"gone": "http://" + gone, "hanging": hanging.URL, "refusing": refusing.URL} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			s := oauthtest.Start(t)
			for range 100 {
				if answer := s.Get(t, "/jwks"); answer.StatusCode != http.StatusOK {
					t.Fatalf("%d: %s", answer.StatusCode, answer.Body)
				}
			}
			for deadline := time.Now().Add(20 * time.Second); name != "hanging" && !strings.Contains(s.Log.String(), "traces are lost"); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the operator was not told")
				}
			}
			if strings.Count(s.Log.String(), "traces are lost") > 1 {
				t.Error("the operator was told more than once")
			}
		})
	}
}
