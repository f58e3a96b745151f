package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// instruments are what watches the server: each is nil when nobody asked for it, and
// then it costs nothing.
type instruments struct {
	metrics *metrics
	traces  *traces
}

// newInstruments makes those that were asked for.
func newInstruments(ctx context.Context, c *config.Config, o Options) (i instruments, err error) {
	if c.MetricsListen != "" {
		i.metrics = newMetrics(o.Version, o.Now)
	}
	if !wantsTraces() {
		return i, nil
	}
	address, err := c.ReadDatabase()
	if err != nil {
		return i, err
	}
	if i.traces, err = newTraces(ctx, o); err != nil {
		return i, err
	}
	i.traces.scheme, i.traces.database = "http", "sqlite"
	if c.Secure() {
		i.traces.scheme = "https"
	}
	if store.IsPostgres(address) {
		i.traces.database = "postgresql"
	}
	return i, nil
}

// store is what they ask of the store.
func (i instruments) store() (o store.Options) {
	m, t := i.metrics, i.traces
	if m != nil {
		o.Group = m.group
	}
	switch {
	case m != nil && t != nil:
		o.Watch = func(ctx context.Context, name string) func(err error) {
			timed, traced := m.statement(name), t.statement(ctx, name)
			return func(err error) { traced(err); timed(err) }
		}
	case m != nil:
		o.Watch = func(_ context.Context, name string) func(err error) { return m.statement(name) }
	case t != nil:
		o.Watch = t.statement
	}
	return o
}

// on puts them at the edge.
func (i instruments) on(edge *web.Edge) {
	m, t := i.metrics, i.traces
	if t != nil {
		edge.Begin, edge.Observe = t.begin, t.end
	}
	if m != nil {
		edge.Observe = m.observe
	}
	if m != nil && t != nil {
		edge.Observe = func(o web.Outcome) { t.end(o); m.observe(o) }
	}
}

// close hands over what they hold.
func (i instruments) close() error {
	if i.traces == nil {
		return nil
	}
	return i.traces.close()
}

// A metricsServer serves /metrics, away from what the public reaches.
type metricsServer struct {
	listener net.Listener
	server   *http.Server
	ended    chan error
}

// serveMetrics begins to serve the metrics of a server.
func (s *Server) serveMetrics(ctx context.Context) error {
	m := s.instruments.metrics
	if m == nil {
		return nil
	}
	if err := m.registry.Register(gauges{s}); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.config.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics_listen: %w", err)
	}
	quiet := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherer(m.registry), promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError), MaxRequestsInFlight: 4, Timeout: readTimeout,
	}))
	s.metrics = &metricsServer{listener: l, ended: make(chan error, 1), server: &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: web.MaxHeader - headerSlop, ErrorLog: quiet,
	}}
	go func() { s.metrics.ended <- s.metrics.server.Serve(l) }()
	s.log.Info("metrics are served", "address", l.Addr().String())
	return nil
}

// MetricsAddress is where metrics are served; "" when they are not.
func (s *Server) MetricsAddress() string {
	if s.metrics == nil {
		return ""
	}
	return s.metrics.listener.Addr().String()
}

// lastScrape is how long a scrape under way may take when the server stops.
const lastScrape = 2 * time.Second

// close stops serving.
func (m *metricsServer) close() error {
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastScrape)
	defer cancel()
	if err := m.server.Shutdown(ctx); err != nil {
		if err := m.server.Close(); err != nil {
			return fmt.Errorf("metrics: stop: %w", err)
		}
	}
	if err := <-m.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: serve: %w", err)
	}
	return nil
}
