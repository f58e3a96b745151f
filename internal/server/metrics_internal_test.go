package server

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// counted are the values of a label over all series of a metric, by how often each was
// counted.
func counted(t *testing.T, m *metrics, name, label string) map[string]int {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int{}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if f.GetName() == name && l.GetName() == label {
					values[l.GetValue()] += int(series.GetCounter().GetValue()) + int(series.GetHistogram().GetSampleCount()) //nolint:gosec // small
				}
			}
		}
	}
	return values
}

// A caller who hangs up is no failure of ours, and what came of a sign-in follows from
// the answer.
func TestMetrics_Observe(t *testing.T) {
	t.Parallel()
	m := newMetrics("v1", time.Now)
	for _, tt := range []struct {
		status  int
		code    oauth.Code
		failure error
	}{
		{http.StatusSeeOther, "", nil},
		{http.StatusUnprocessableEntity, oauth.InvalidGrant, login.ErrWrong},
		{http.StatusTooManyRequests, oauth.TemporarilyUnavailable, web.TooManyRequests(time.Second, nil)},
		{http.StatusServiceUnavailable, oauth.TemporarilyUnavailable, fmt.Errorf("read: %w", store.ErrUnavailable)},
		{http.StatusInternalServerError, oauth.ServerError, fmt.Errorf("wait: %w", context.Canceled)},
	} {
		m.observe(web.Outcome{Event: &web.Event{SignIn: web.PasswordSignIn, Failure: tt.failure}, Method: http.MethodPost, Route: "/login", Status: tt.status, Code: tt.code})
	}
	for label, want := range map[[2]string]map[string]int{
		{"hufu_http_request_duration_seconds", "status"}: {"303": 1, "422": 1, "429": 1, "503": 1, "499": 1},
		{"hufu_sign_ins_total", "result"}:                {"success": 1, "wrong": 1, "limited": 1, "unavailable": 1, "failed": 1},
		{"hufu_refusals_total", "check"}:                 {"password": 1, "attempts": 1, "database": 1, "canceled": 1},
	} {
		if diff := cmp.Diff(want, counted(t, m, label[0], label[1])); diff != "" {
			t.Errorf("%s by %s (-want +got):\n%s", label[0], label[1], diff)
		}
	}
}

// A statement that its caller gave up did not fail.
func TestMetrics_Statement(t *testing.T) {
	t.Parallel()
	m := newMetrics("v1", time.Now)
	m.statement("select client")(nil)
	m.statement("select client")(context.Canceled)
	m.statement("select client")(store.ErrUnavailable)
	if got := counted(t, m, "hufu_database_statement_duration_seconds", "statement")["select client"]; got != 3 {
		t.Errorf("%d statements, want 3", got)
	}
	if got := counted(t, m, "hufu_database_errors_total", "statement")["select client"]; got != 1 {
		t.Errorf("%d failures, want 1", got)
	}
}
