package monitor

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector turns a Varz into metrics at each scrape.
type collector struct {
	views    *Views
	complete func(*Varz)
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
	descRate    = desc1("rate_limited_total", "What rate limits did, by action: pauses, messages and subscriptions dropped, connections ended, delayed, refused.", "action")
	descMem     = desc1("resident_memory_bytes", "Resident memory of the process.")
	descClosed  = desc1("closed_connections_total", "Ended connections by reason.", "reason")

	descListenerConns   = desc1("listener_connections", "Open connections of a listener.", "listener", "kind")
	descListenerTotal   = desc1("listener_accepted_total", "Connections that a listener accepted.", "listener", "kind")
	descListenerRefused = desc1("listener_refused_total", "Connections that a listener closed at once, by reason.", "listener", "kind", "reason")
	descListenerDelayed = desc1("listener_delayed_total", "Connections that waited because of the accept rate.", "listener", "kind")
	descListenerPaused  = desc1("listener_paused", "1 while a listener accepts nothing.", "listener", "kind")
	descCertEnd         = desc1("certificate_not_after_seconds", "Unix time at which a listener's certificate ends.", "listener", "source", "name")
)

// Reasons is what a Source may offer too: ended connections by reason.
type Reasons interface {
	ClosedByReason() map[string]uint64
}

// Describe sends nothing: the metrics are checked when they are collected.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { ch <- descInfo }

// Collect sends the metrics of one scrape.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	v := c.views.source.Varz()
	if c.complete != nil {
		c.complete(v)
	}
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
	if r := v.RateLimits; r != nil {
		counter(descRate, float64(r.Throttled), "throttle")
		counter(descRate, float64(r.Dropped), "drop")
		counter(descRate, float64(r.Disconnected), "disconnect")
		counter(descRate, float64(r.Delayed), "delay")
		counter(descRate, float64(r.Refused), "refuse")
	}
	if mem, _ := c.views.process.usage(); mem > 0 {
		gauge(descMem, float64(mem))
	}
	for _, l := range v.Listeners {
		gauge(descListenerConns, float64(l.Connections), l.Name, l.Kind)
		counter(descListenerTotal, float64(l.Accepted), l.Name, l.Kind)
		counter(descListenerDelayed, float64(l.Delayed), l.Name, l.Kind)
		paused := 0.0
		if l.Paused || l.Closed {
			paused = 1
		}
		gauge(descListenerPaused, paused, l.Name, l.Kind)
		for reason, n := range l.Refused {
			counter(descListenerRefused, float64(n), l.Name, l.Kind, reason)
		}
		type id struct{ kind, name string }
		ends := map[id]int64{} // several certificates may have one name: the first to end counts
		for _, cert := range l.Certificates {
			for _, name := range cert.Names {
				at := cert.NotAfter.Unix()
				if old, ok := ends[id{cert.Kind, name}]; !cert.NotAfter.IsZero() && (!ok || at < old) {
					ends[id{cert.Kind, name}] = at
				}
			}
		}
		for i, at := range ends {
			gauge(descCertEnd, float64(at), l.Name, i.kind, i.name)
		}
	}
	if r, ok := c.views.source.(Reasons); ok {
		for reason, n := range r.ClosedByReason() {
			counter(descClosed, float64(n), reason)
		}
	}
}
