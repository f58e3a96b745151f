package server

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// metrics are what the server counts while it works; what can be asked at any time is
// a collector's. No label grows with users or clients: every value of one is a word
// of ours.
type metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	requests family[requestLabels, prometheus.Observer]
	tokens   family[tokenLabels, prometheus.Counter]
	refusals family[refusalLabels, prometheus.Counter]
	signIns  family[signInLabels, prometheus.Counter]
	mails    family[mailLabels, prometheus.Counter]

	statements family[string, prometheus.Observer]
	failures   family[string, prometheus.Counter]
	groups     prometheus.Observer
	hashes     prometheus.Observer
}

// Labels of the metrics that have any.
type (
	requestLabels struct {
		route, method string
		status        int
	}
	tokenLabels   struct{ grant, format string }
	refusalLabels struct {
		code  oauth.Code
		check string
	}
	signInLabels struct{ method, result string }
	mailLabels   struct{ kind, result string }
)

// Buckets of durations, in seconds.
var (
	requestBuckets   = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	statementBuckets = []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5}
	hashBuckets      = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}
	groupBuckets     = []float64{1, 2, 4, 8, 16, 32, 64}
)

// newMetrics makes them all, with what tells about the program itself.
func newMetrics(version string, now func() time.Time) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), now: now}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	requests := histogram("hufu_http_request_duration_seconds", "Time from the first look at a request to its answer.", requestBuckets, "route", "method", "status")
	m.requests.find = func(l requestLabels) prometheus.Observer {
		return requests.WithLabelValues(l.route, l.method, strconv.Itoa(l.status))
	}
	tokens := counter("hufu_tokens_issued_total", "Access tokens given, by the grant they were given for and their form.", "grant", "format")
	m.tokens.find = func(l tokenLabels) prometheus.Counter { return tokens.WithLabelValues(l.grant, l.format) }
	refusals := counter("hufu_refusals_total", "Requests that were refused or failed, by error code and by the check that refused.", "error", "check")
	m.refusals.find = func(l refusalLabels) prometheus.Counter { return refusals.WithLabelValues(string(l.code), l.check) }
	signIns := counter("hufu_sign_ins_total", "Attempts to sign in, on the page and by the password grant.", "method", "result")
	m.signIns.find = func(l signInLabels) prometheus.Counter { return signIns.WithLabelValues(l.method, l.result) }
	mails := counter("hufu_mails_total", "Attempts to send mail, by what it is about: sent, postponed, refused by the mail server, or given up.", "kind", "result")
	m.mails.find = func(l mailLabels) prometheus.Counter { return mails.WithLabelValues(l.kind, l.result) }
	statements := histogram("hufu_database_statement_duration_seconds", "Time a statement took, to the last row it gave.", statementBuckets, "statement")
	m.statements.find = func(l string) prometheus.Observer { return statements.WithLabelValues(l) }
	failures := counter("hufu_database_errors_total", "Statements that failed.", "statement")
	m.failures.find = func(l string) prometheus.Counter { return failures.WithLabelValues(l) }
	m.groups = histogram("hufu_commit_group_size", "Writes that shared one commit (SQLite).", groupBuckets).WithLabelValues()
	m.hashes = histogram("hufu_password_hash_duration_seconds", "Time to hash one password, once it has its slot.", hashBuckets).WithLabelValues()

	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "hufu_build_info", Help: "What runs here; always 1.", ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// A family keeps the metrics of one name by their labels: to find one by their texts
// costs more than to count.
type family[L comparable, M any] struct {
	find  func(labels L) M
	mu    sync.RWMutex
	known map[L]M
}

// of is the metric with these labels.
func (f *family[L, M]) of(labels L) M {
	f.mu.RLock()
	found, ok := f.known[labels]
	f.mu.RUnlock()
	if ok {
		return found
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[L]M{}
	}
	found = f.find(labels)
	f.known[labels] = found
	return found
}

// statusGone is the status under which requests are counted whose caller had gone, as
// proxies write it in their logs: the answer was ours, but nobody's failure.
const statusGone = 499

// observe counts a request.
func (m *metrics) observe(o web.Outcome) {
	status := o.Status
	if errors.Is(o.Failure, context.Canceled) {
		status = statusGone
	}
	m.requests.of(requestLabels{o.Route, methodOf(o.Method), status}).Observe(o.Took.Seconds())
	if o.Failure != nil {
		m.refusals.of(refusalLabels{o.Code, checkOf(o.Failure)}).Inc()
	} else if o.Token != 0 {
		m.tokens.of(tokenLabels{o.Grant, o.Token.String()}).Inc()
	}
	if o.SignIn != 0 {
		m.signIns.of(signInLabels{o.SignIn.String(), signInResult(o)}).Inc()
	}
}

// methodOf keeps the methods that are served here, so that nobody adds one.
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return method
	}
	return otherMethod
}

// otherMethod stands for every method that is not served.
const otherMethod = "other"

// signInResult is what came of an attempt to sign in.
func signInResult(o web.Outcome) string {
	switch {
	case o.Failure == nil:
		return "success"
	case o.Code == oauth.InvalidGrant:
		return "wrong"
	case o.Status == http.StatusTooManyRequests:
		return "limited"
	case o.Code == oauth.TemporarilyUnavailable:
		return "unavailable"
	}
	return "failed"
}

// statement times a statement of the database.
func (m *metrics) statement(name string) (ended func(err error)) {
	began := m.now()
	return func(err error) {
		m.statements.of(name).Observe(m.now().Sub(began).Seconds())
		if err != nil && !errors.Is(err, context.Canceled) {
			m.failures.of(name).Inc()
		}
	}
}

// hash times the hashing of a password.
func (m *metrics) hash() (ended func()) {
	began := m.now()
	return func() { m.hashes.Observe(m.now().Sub(began).Seconds()) }
}

// group counts a commit.
func (m *metrics) group(units int) { m.groups.Observe(float64(units)) }
