package main

import (
	"fmt"
	"strconv"
)

// printHead begins a table. Its lines come one by one, as they are measured.
func (t *table) printHead() {
	fmt.Printf("\n%s, %d connections, %d live grants\n", t.Engine, t.Connections, t.Grants)
	fmt.Printf("%-30s %9s %8s %8s %7s %8s %6s %9s %8s %7s %6s\n", "request", "req/s", "p50 ms", "p99 ms", "CPU µs", "floor µs", "ratio", "goal", "DB µs", "both", "MB")
}

func (r *row) print() {
	fmt.Printf("%-30s %9.0f %8.2f %8.2f %7.1f %8.1f %6.2f %9s %8s %7s %6.0f\n",
		r.Request, r.Rate, r.P50, r.P99, r.CPU, r.FloorCPU, r.Ratio, atMost(r.Goal), optional(r.Database), optional(r.Both), r.Memory)
}

func printGrowthHead() {
	fmt.Printf("%-30s %21s %21s %21s %6s %6s %6s\n", "request", "CPU µs", "req/s", "p99 ms", "CPU", "rate", "p99")
}

func (r *growthRow) print() {
	fmt.Printf("%-30s %9.1f → %9.1f %9.0f → %9.0f %9.2f → %9.2f %6.2f %6.2f %6.2f\n", r.Request,
		r.Small.CPU, r.Large.CPU, r.Small.Rate, r.Large.Rate, r.Small.P99, r.Large.P99, r.CPU, r.RateKept, r.P99)
}

// atMost writes a goal.
func atMost(goal float64) string {
	if goal == 0 {
		return "-"
	}
	return "≤ " + strconv.FormatFloat(goal, 'f', -1, 64)
}

// optional writes what some tables do not have.
func optional(n float64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatFloat(n, 'f', 2, 64)
}
