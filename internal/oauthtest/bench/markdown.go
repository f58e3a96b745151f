package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// markdown writes the figures as docs/benchmarks.md shows them.
func (r *report) markdown(path string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s; %s.\n", r.Machine, r.Date.Format("2 January 2006"))
	for _, t := range r.Tables {
		t.markdown(&out)
	}
	for _, s := range r.said() {
		fmt.Fprintf(&out, "\n%s\n", s)
		switch s := s.(type) {
		case *growthResult:
			growthMarkdown(&out, s.Rows)
		case *expiryResult:
			growthMarkdown(&out, s.Rows)
		}
	}
	return os.WriteFile(filepath.Clean(path), []byte(out.String()), 0o600)
}

// said are the results beside the tables.
func (r *report) said() (all []fmt.Stringer) {
	if r.Memory != nil {
		all = append(all, r.Memory)
	}
	if r.Password != nil {
		all = append(all, r.Password)
	}
	if r.Sync != nil {
		all = append(all, r.Sync)
	}
	if r.Start != nil {
		all = append(all, r.Start)
	}
	if r.Growth != nil {
		all = append(all, r.Growth)
	}
	if r.Expiry != nil {
		all = append(all, r.Expiry)
	}
	return all
}

func (t *table) markdown(out *strings.Builder) {
	onPostgres := t.Engine == "postgres"
	head, line := "| request | req/s | p50 ms | p99 ms | CPU µs | to floor |", "| --- | ---: | ---: | ---: | ---: | ---: |"
	if onPostgres {
		head, line = head+" PostgreSQL µs | both to floor |", line+" ---: | ---: |"
	}
	fmt.Fprintf(out, "\n%s, %d connections, %d live grants:\n\n%s at most | memory MB |\n%s ---: | ---: |\n", t.Engine, t.Connections, t.Grants, head, line)
	for _, r := range t.Rows {
		fmt.Fprintf(out, "| %s | %.0f | %.2f | %.2f | %.1f | %.2f |", r.Request, r.Rate, r.P50, r.P99, r.CPU, r.Ratio)
		if onPostgres {
			fmt.Fprintf(out, " %.1f | %.2f |", r.Database, r.Both)
		}
		fmt.Fprintf(out, " %s | %.0f |\n", strings.TrimPrefix(atMost(r.Goal), "≤ "), r.Memory)
	}
}

func growthMarkdown(out *strings.Builder, rows []*growthRow) {
	out.WriteString("\n| request | CPU µs | req/s | p99 ms | CPU, times | rate, times | p99, times |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range rows {
		fmt.Fprintf(out, "| %s | %.1f → %.1f | %.0f → %.0f | %.2f → %.2f | %.2f | %.2f | %.2f |\n", r.Request,
			r.Small.CPU, r.Large.CPU, r.Small.Rate, r.Large.Rate, r.Small.P99, r.Large.P99, r.CPU, r.RateKept, r.P99)
	}
}
