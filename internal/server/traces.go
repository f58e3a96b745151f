package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/hufu-auth/hufu/internal/web"
)

// flushFor is how long a stopping server waits for a collector to take the last spans.
const flushFor = 3 * time.Second

// maxPath bounds what of an address goes into a span, in bytes.
const maxPath = 256

// traces exports a span for every request and, below it, one for every statement of
// the database. Their names and attributes are those of the semantic conventions for
// HTTP and for databases; nothing in them was typed by a person.
type traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	scheme   string
	database string
}

// wantsTraces reports whether the standard variables ask for export, as the
// OpenTelemetry specification (environment variables, OTLP exporter) has it.
func wantsTraces() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if !slices.Contains([]string{"", "otlp"}, os.Getenv("OTEL_TRACES_EXPORTER")) {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newTraces begins to export. The libraries read the other variables themselves:
// where to, with which headers, how much of it.
func newTraces(ctx context.Context, o Options) (*traces, error) {
	client, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: exporter: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "hufu"), attribute.String("service.version", o.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: resource: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(&exporter{SpanExporter: client, log: o.Log}))
	return &traces{provider: provider, tracer: provider.Tracer("github.com/hufu-auth/hufu")}, nil
}

// close hands over what is left, unless nobody takes it.
func (t *traces) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushFor)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}

// An exporter tells the operator once when the collector does not take spans, and
// once when it does again. Nobody else is troubled by it.
type exporter struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing bool // calls do not overlap
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && !e.failing {
		e.log.Warn("traces are lost", "cause", err)
	}
	if err == nil && e.failing {
		e.log.Info("traces are exported again")
	}
	e.failing = err != nil
	return nil
}

// begin starts the span of a request, below its caller's when it has told of one.
func (t *traces) begin(ctx context.Context, e *web.Event, r *http.Request) context.Context {
	if e.Trace != nil {
		ctx = trace.ContextWithRemoteSpanContext(ctx, remote(e.Trace))
	}
	path := r.URL.EscapedPath() // ASCII, whatever was sent
	ctx, span := t.tracer.Start(ctx, r.Proto, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", spanMethod(r.Method)),
		attribute.String("url.scheme", t.scheme),
		attribute.String("url.path", path[:min(len(path), maxPath)]),
		attribute.String("hufu.request_id", e.RequestID)))
	if !span.IsRecording() {
		return ctx
	}
	if e.Trace == nil {
		e.Trace = &web.Trace{TraceID: span.SpanContext().TraceID().String()}
	}
	e.Trace.SpanID = span.SpanContext().SpanID().String()
	return ctx
}

// remote is the caller's span as the library knows one.
func remote(t *web.Trace) trace.SpanContext {
	traceID, _ := trace.TraceIDFromHex(t.TraceID) // well-formed, or there were none
	spanID, _ := trace.SpanIDFromHex(t.ParentID)
	c := trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, Remote: true}
	if t.Sampled {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(c)
}

// spanMethod is a method as the semantic conventions want one that is not known.
func spanMethod(method string) string {
	if known := methodOf(method); known != otherMethod {
		return known
	}
	return "_OTHER"
}

// end ends the span of a request. That a caller was refused is no failure of ours
// (semantic conventions for HTTP, status of a server's span).
func (t *traces) end(o web.Outcome) {
	span := trace.SpanFromContext(o.Context)
	if !span.IsRecording() {
		return
	}
	name := spanMethod(o.Method)
	if name == "_OTHER" {
		name = "HTTP"
	}
	span.SetAttributes(attribute.Int("http.response.status_code", o.Status))
	if o.Route != web.NoRoute {
		name += " " + o.Route
		span.SetAttributes(attribute.String("http.route", o.Route))
	}
	span.SetName(name)
	if o.Grant != "" {
		span.SetAttributes(attribute.String("hufu.grant_type", o.Grant))
	}
	if o.Failure != nil {
		span.SetAttributes(attribute.String("hufu.error", string(o.Code)), attribute.String("hufu.check", checkOf(o.Failure)))
	}
	if o.Status >= http.StatusInternalServerError {
		span.SetAttributes(attribute.String("error.type", string(o.Code)))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// statement makes the span of a statement, below that of the request it serves. Its
// text and what went wrong may hold what a person typed, so neither is in it.
func (t *traces) statement(ctx context.Context, name string) (ended func(err error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return func(error) {}
	}
	verb, table, _ := strings.Cut(name, " ")
	all := []attribute.KeyValue{attribute.String("db.system.name", t.database), attribute.String("db.operation.name", verb)}
	if table != "" {
		all = append(all, attribute.String("db.collection.name", table))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(all...))
	return func(err error) {
		if err != nil {
			span.SetAttributes(attribute.String("error.type", "_OTHER"))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
