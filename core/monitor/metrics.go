package monitor

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector turns a Varz into metrics at each scrape.
type collector struct {
	source  Source
	process *process
}

func desc1(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ganglion_"+name, help, labels, nil)
}

var (
	descInfo    = desc1("info", "Version and identity of the server.", "version", "server_id", "server_name")
	descUptime  = desc1("start_time_seconds", "Unix time at which the server started.")
	descConns   = desc1("connections", "Open client connections.")
	descTotal   = desc1("connections_total", "Client connections since the start.")
	descSubs    = desc1("subscriptions", "Subscriptions.")
	descMsgs    = desc1("messages_total", "Messages by direction, seen from the server.", "direction")
	descBytes   = desc1("message_bytes_total", "Header and payload bytes by direction.", "direction")
	descSlow    = desc1("slow_consumers_total", "Connections cut because they did not take their messages.")
	descStale   = desc1("stale_connections_total", "Connections cut because they did not answer PING.")
	descStalled = desc1("stalled_producers_total", "Reads delayed because a consumer fell behind.")
	descPending = desc1("pending_bytes", "Bytes queued for clients.")
	descCuts    = desc1("max_pending_total_cuts_total", "Connections cut because all queues together were too long.")
	descMem     = desc1("resident_memory_bytes", "Resident memory of the process.")
	descClosed  = desc1("closed_connections_total", "Ended connections by reason.", "reason")
)

// Reasons is what a Source may offer too: ended connections by reason.
type Reasons interface {
	ClosedByReason() map[string]uint64
}

// Describe sends nothing: the metrics are checked when they are collected.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { ch <- descInfo }

// Collect sends the metrics of one scrape.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	v := c.source.Varz()
	gauge := func(d *prometheus.Desc, x float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
	}
	counter := func(d *prometheus.Desc, x float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, x, labels...)
	}
	gauge(descInfo, 1, v.GanglionVersion, v.ID, v.Name)
	gauge(descUptime, float64(v.Start.UnixNano())/1e9)
	gauge(descConns, float64(v.Connections))
	counter(descTotal, float64(v.TotalConnections))
	gauge(descSubs, float64(v.Subscriptions))
	counter(descMsgs, float64(v.InMsgs), "in")
	counter(descMsgs, float64(v.OutMsgs), "out")
	counter(descBytes, float64(v.InBytes), "in")
	counter(descBytes, float64(v.OutBytes), "out")
	counter(descSlow, float64(v.SlowConsumers))
	counter(descStale, float64(v.StaleConnections))
	counter(descStalled, float64(v.StalledClients))
	gauge(descPending, float64(v.PendingBytes))
	counter(descCuts, float64(v.PendingCuts))
	if mem, _ := c.process.usage(); mem > 0 {
		gauge(descMem, float64(mem))
	}
	if r, ok := c.source.(Reasons); ok {
		for reason, n := range r.ClosedByReason() {
			counter(descClosed, float64(n), reason)
		}
	}
}
