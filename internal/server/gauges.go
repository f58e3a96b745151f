package server

import (
	"github.com/prometheus/client_golang/prometheus"
)

// gauges tell what the parts of a server can be asked at any time. Nothing here asks
// the database, so they are told while it is away.
type gauges struct{ server *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	hashWaiting     = describe("hufu_password_hash_waiting", "Passwords that wait for a slot to be hashed in.")
	hashRunning     = describe("hufu_password_hash_running", "Passwords that are being hashed.")
	clientLookups   = describe("hufu_client_cache_lookups_total", "Lookups of a client: hit, from a copy; miss, from the database.", "result")
	keyAge          = describe("hufu_key_age_seconds", "How long the key that is used for a purpose has been in use.", "purpose")
	connections     = describe("hufu_database_connections", "Connections to PostgreSQL, by what they do.", "state")
	connectionsMost = describe("hufu_database_connections_max", "Connections to PostgreSQL that there may be at most.")
	connectionWaits = describe("hufu_database_connection_waits_total", "Statements that had to wait for a connection to PostgreSQL.")
	connectionWait  = describe("hufu_database_connection_wait_seconds_total", "Time that statements waited for a connection to PostgreSQL.")
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hashWaiting, hashRunning, clientLookups, keyAge, connections, connectionsMost, connectionWaits, connectionWait} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	waiting, running := g.server.Hasher.Load()
	tell(hashWaiting, prometheus.GaugeValue, float64(waiting))
	tell(hashRunning, prometheus.GaugeValue, float64(running))
	hits, misses := g.server.Store.ClientLookups()
	tell(clientLookups, prometheus.CounterValue, float64(hits), "hit")
	tell(clientLookups, prometheus.CounterValue, float64(misses), "miss")
	for purpose, age := range g.server.Ring.Ages() {
		tell(keyAge, prometheus.GaugeValue, age.Seconds(), purpose)
	}
	if stats, ok := g.server.Store.Connections(); ok {
		tell(connections, prometheus.GaugeValue, float64(stats.InUse), "in_use")
		tell(connections, prometheus.GaugeValue, float64(stats.Idle), "idle")
		tell(connectionsMost, prometheus.GaugeValue, float64(stats.MaxOpenConnections))
		tell(connectionWaits, prometheus.CounterValue, float64(stats.WaitCount))
		tell(connectionWait, prometheus.CounterValue, stats.WaitDuration.Seconds())
	}
}
