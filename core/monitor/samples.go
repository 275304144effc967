package monitor

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Sample is one number of a metric that others than the broker keep.
type Sample struct {
	Name    string // without the prefix "ganglion_"
	Help    string
	Counter bool // it only grows
	Labels  map[string]string
	Value   float64
}

// Register has /metrics show what collect returns at each scrape. Samples of one
// name have the same labels.
func (h *Handler) Register(collect func() []Sample) {
	h.registry.MustRegister(samples(collect))
}

// samples is a prometheus.Collector.
type samples func() []Sample

// Describe sends nothing: the metrics are checked when they are collected.
func (samples) Describe(chan<- *prometheus.Desc) {}

// Collect sends the samples of one scrape.
func (f samples) Collect(ch chan<- prometheus.Metric) {
	for _, s := range f() {
		kind := prometheus.GaugeValue
		if s.Counter {
			kind = prometheus.CounterValue
		}
		names := slices.Sorted(maps.Keys(s.Labels))
		values := make([]string, len(names))
		for i, n := range names {
			values[i] = s.Labels[n]
		}
		m, err := prometheus.NewConstMetric(desc1(s.Name, s.Help, names...), kind, s.Value, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc1(s.Name, s.Help), err)
		}
		ch <- m
	}
}
