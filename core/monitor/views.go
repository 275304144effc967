package monitor

import (
	"net/http"
	"runtime"
)

// Views are the answers of monitoring without HTTP: for requests to the system
// account and for embedders. Create them with NewViews; they are safe for
// concurrent use.
type Views struct {
	source  Source
	process process
}

// NewViews returns Views of source.
func NewViews(source Source) *Views { return &Views{source: source} }

// Varz returns the state of the broker and its process.
func (v *Views) Varz() *Varz {
	z := v.source.Varz()
	z.Mem, z.CPU = v.process.usage()
	z.Cores, z.MaxProcs = runtime.NumCPU(), runtime.GOMAXPROCS(0)
	z.HTTPReqStats = map[string]uint64{}
	return z
}

// HealthzOptions say what Healthz looks at. What they ask of JetStream is not
// there to look at, and nobody is unhealthy for that.
type HealthzOptions struct {
	JSEnabled     bool   `json:"js-enabled"`
	JSEnabledOnly bool   `json:"js-enabled-only"`
	JSServerOnly  bool   `json:"js-server-only"`
	JSMetaOnly    bool   `json:"js-meta-only"`
	Account       string `json:"account"`
	Stream        string `json:"stream"`
	Consumer      string `json:"consumer"`
	Details       bool   `json:"details"` // errors with their type
}

// Health is the answer of Healthz.
type Health struct {
	Status string          `json:"status"`
	Code   int             `json:"status_code,omitempty"` // an HTTP status; not shown over HTTP itself
	Error  string          `json:"error,omitempty"`
	Errors []HealthProblem `json:"errors,omitempty"`
}

// HealthProblem is an error of a Health with details.
type HealthProblem struct {
	Type string `json:"type"`
	Text string `json:"error"`
}

// Healthz returns whether the broker serves.
func (v *Views) Healthz(o HealthzOptions) *Health {
	switch {
	case o.Account == "" && o.Stream != "":
		return unhealthy(http.StatusBadRequest, "error", "BAD_REQUEST", `"account" must not be empty when checking stream health`, o.Details)
	case o.Stream == "" && o.Consumer != "":
		return unhealthy(http.StatusBadRequest, "error", "BAD_REQUEST", `"stream" must not be empty when checking consumer health`, o.Details)
	}
	if err := v.source.Healthy(); err != nil {
		return unhealthy(http.StatusServiceUnavailable, "unavailable", "CONNECTION", err.Error(), o.Details)
	}
	return &Health{Status: "ok", Code: http.StatusOK}
}

func unhealthy(code int, status, kind, text string, details bool) *Health {
	if details {
		return &Health{Status: "error", Code: code, Errors: []HealthProblem{{kind, text}}}
	}
	return &Health{Status: status, Code: code, Error: text}
}
