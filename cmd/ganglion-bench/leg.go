package main

import (
	"context"
	"maps"
)

// leg is what one scenario measured on one server.
type leg struct {
	Messages int64   `json:"messages,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Rate     float64 `json:"rate,omitempty"`       // messages per second
	CPU      float64 `json:"cpu_ns,omitempty"`     // of the server, per message
	OwnCPU   float64 `json:"own_cpu_ns,omitempty"` // of this program, per message
	RSS      int64   `json:"rss,omitempty"`        // at the end of the measured window
	Foreign  float64 `json:"foreign,omitempty"`    // cores used by neither of us, or taken by the host
	Far      float64 `json:"far"`                  // share of the time that the cores were far apart, see probe_linux.go
	Moved    float64 `json:"moved,omitempty"`      // by how much Far changed inside the leg, where it has two halves to compare
	P50      float64 `json:"p50_ns,omitempty"`
	P99      float64 `json:"p99_ns,omitempty"`

	// Extra holds what only this scenario has, by metric name.
	Extra map[string]float64 `json:"extra,omitempty"`
}

// latency fills the percentiles of l from h.
func (l *leg) latency(h *hist) {
	l.P50, l.P99 = h.quantile(0.50), h.quantile(0.99)
}

// values are all figures of a leg under the names that floors and table use.
func (l leg) values() map[string]float64 {
	v := map[string]float64{}
	put := func(name string, x float64) {
		if x != 0 {
			v[name] = x
		}
	}
	put("rate", l.Rate)
	put("cpu", l.CPU)
	put("own", l.OwnCPU)
	put("rss", float64(l.RSS))
	put("p50", l.P50)
	put("p99", l.P99)
	maps.Copy(v, l.Extra)
	return v
}

// pair is one leg of each server, run one after the other.
type pair struct {
	Ganglion leg     `json:"ganglion"`
	Nats     leg     `json:"nats"`
	Drift    float64 `json:"drift"` // of the calibration loop, see calibrate
}

// stage is what a scenario runs in: it starts servers and knows the options.
type stage struct {
	opts    options
	env     serverEnv
	product product
	nats    product
	base    bool // the leg that a scenario of two Ganglions compares with
	servers []*server
}

// start launches the product and waits until it accepts clients.
func (st *stage) start(ctx context.Context, over transport) (*server, error) {
	return st.startAs(ctx, st.product, over)
}

// startAs is start of another product than the stage's.
func (st *stage) startAs(ctx context.Context, p product, over transport) (*server, error) {
	srv, err := p.start(ctx, st.env, over)
	if err != nil {
		return nil, err
	}
	st.servers = append(st.servers, srv)
	_, err = srv.ready(ctx)
	return srv, err
}

func (st *stage) close() {
	for _, s := range st.servers {
		s.kill()
	}
}

// on starts a server, opens a session with it, and runs f in it.
func (st *stage) on(ctx context.Context, f func(*session) (leg, error)) (leg, error) {
	return st.over(ctx, transport{}, f)
}

// over is on, with clients that come over t.
func (st *stage) over(ctx context.Context, t transport, f func(*session) (leg, error)) (leg, error) {
	srv, err := st.start(ctx, t)
	if err != nil {
		return leg{}, err
	}
	s := newSession(ctx, srv)
	defer s.close()
	l, err := f(s)
	if cause := s.err(); cause != nil {
		err = cause // the first failure; err may be a consequence of it
	}
	if err != nil {
		return leg{}, srv.explain(err)
	}
	return l, nil
}
