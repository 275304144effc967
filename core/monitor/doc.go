// Package monitor is what the outside may see of a broker over HTTP: /varz,
// /connz, /subsz and /healthz with nats-server's JSON keys, types, query
// parameters and error texts, and /metrics for Prometheus beside them. It asks a
// Source and knows no session types.
package monitor
