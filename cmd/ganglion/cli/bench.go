package cli

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/schollz/progressbar/v3"
)

type benchCmd struct {
	connection
	Mode     string `arg:"" optional:"" enum:"pub,pubsub,fanout,queue,request" default:"pubsub" help:"pub, pubsub (pairs), fanout, queue or request."`
	Msgs     int    `short:"n" default:"100000" help:"Messages in all."`
	Size     int    `default:"128" help:"Bytes of payload."`
	Pubs     int    `default:"1" help:"Publishers, or requesters."`
	Subs     int    `default:"1" help:"Subscribers: pairs have as many as publishers."`
	Subject  string `default:"bench" help:"Subject below which the messages go."`
	Progress bool   `default:"true" negatable:"" help:"Show a progress bar."`
}

// run is one benchmark under way.
type run struct {
	*benchCmd
	env  *environment
	bar  *progressbar.ProgressBar
	mu   sync.Mutex
	hist *hdrhistogram.Histogram // microseconds
	got  atomic.Int64
	all  []*nats.Conn
}

// Run measures and prints rates and latency percentiles.
func (c *benchCmd) Run(env *environment) error {
	if c.Msgs < 1 || c.Pubs < 1 || c.Subs < 1 || c.Size < 0 {
		return errors.New("--msgs, --pubs and --subs must be at least 1")
	}
	r := &run{benchCmd: c, env: env, hist: hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)}
	w := env.stderr
	if !c.Progress {
		w = io.Discard
	}
	r.bar = progressbar.NewOptions(c.Msgs, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(c.Mode),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
	defer func() {
		for _, nc := range r.all {
			nc.Close()
		}
	}()
	if c.Mode == "request" {
		return r.requests()
	}
	return r.messages()
}

func (r *run) open() (*nats.Conn, error) {
	nc, err := r.connect(r.env)
	if err == nil {
		r.all = append(r.all, nc)
	}
	return nc, err
}

// messages runs every mode but request.
func (r *run) messages() error {
	subjects, fan, queue := make([]string, r.Pubs), 0, ""
	for i := range subjects {
		subjects[i] = r.Subject
	}
	subs := r.Subs
	switch r.Mode {
	case "pub":
		subs = 0
	case "pubsub":
		subs, fan = r.Pubs, 1
		for i := range subjects {
			subjects[i] = fmt.Sprintf("%s.%d", r.Subject, i)
		}
	case "fanout":
		fan = subs
	case "queue":
		fan, queue = 1, "bench"
	}
	expect := int64(r.Msgs/r.Pubs*r.Pubs) * int64(fan)
	done := make(chan struct{})
	if expect == 0 {
		close(done)
	}
	for i := range subs {
		nc, err := r.open()
		if err != nil {
			return err
		}
		sub, err := nc.QueueSubscribe(subjects[i%r.Pubs], queue, func(m *nats.Msg) {
			r.arrived(m.Data)
			if r.got.Add(1) == expect {
				close(done)
			}
		})
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if err := nc.Flush(); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	start := time.Now()
	errs := make(chan error, r.Pubs)
	for i := range r.Pubs {
		nc, err := r.open()
		if err != nil {
			return err
		}
		go func() { errs <- r.publish(nc, subjects[i]) }()
	}
	for range r.Pubs {
		if err := <-errs; err != nil {
			return err
		}
	}
	sent := time.Since(start)
	select {
	case <-done:
	case <-r.env.ctx.Done():
		return fmt.Errorf("interrupted: %d of %d deliveries", r.got.Load(), expect)
	}
	r.report("published", r.Msgs/r.Pubs*r.Pubs, sent)
	if expect > 0 {
		r.report("delivered", int(expect), time.Since(start))
		r.latencies()
	}
	return nil
}

func (r *run) publish(nc *nats.Conn, subject string) error {
	data := make([]byte, max(r.Size, 0))
	const step = 1000
	for i := range r.Msgs / r.Pubs {
		if len(data) >= 8 {
			stamp(data)
		}
		if err := nc.Publish(subject, data); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if i%step == step-1 {
			r.bar.Add(step)
			if r.env.ctx.Err() != nil {
				return r.env.ctx.Err()
			}
		}
	}
	return nc.Flush()
}

// stamp writes the time into the payload.
func stamp(b []byte) {
	n := uint64(time.Now().UnixNano())
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
}

func (r *run) arrived(b []byte) {
	if len(b) < 8 {
		return
	}
	var n uint64
	for i := range 8 {
		n |= uint64(b[i]) << (8 * i)
	}
	r.record(time.Since(time.Unix(0, int64(n))))
}

func (r *run) record(d time.Duration) {
	r.mu.Lock()
	r.hist.RecordValue(max(d.Microseconds(), 1))
	r.mu.Unlock()
}

// requests runs request-reply: one responder queue, each requester with one
// request in flight.
func (r *run) requests() error {
	for range r.Subs {
		nc, err := r.open()
		if err != nil {
			return err
		}
		if _, err := nc.QueueSubscribe(r.Subject, "bench", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if err := nc.Flush(); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	start := time.Now()
	errs := make(chan error, r.Pubs)
	for range r.Pubs {
		nc, err := r.open()
		if err != nil {
			return err
		}
		go func() {
			data := make([]byte, r.Size)
			for range r.Msgs / r.Pubs {
				at := time.Now()
				if _, err := nc.RequestWithContext(r.env.ctx, r.Subject, data); err != nil {
					errs <- fmt.Errorf("request: %w", err)
					return
				}
				r.record(time.Since(at))
				r.bar.Add(1)
			}
			errs <- nil
		}()
	}
	for range r.Pubs {
		if err := <-errs; err != nil {
			return err
		}
	}
	r.report("requests", r.Msgs/r.Pubs*r.Pubs, time.Since(start))
	r.latencies()
	return nil
}

func (r *run) report(what string, n int, d time.Duration) {
	r.bar.Finish()
	rate := float64(n) / d.Seconds()
	fmt.Fprintf(r.env.stdout, "%-10s %d in %v: %.0f msgs/s, %.1f MB/s\n", what, n, d.Round(time.Millisecond), rate, rate*float64(r.Size)/1e6)
}

func (r *run) latencies() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hist.TotalCount() == 0 {
		return
	}
	us := func(q float64) time.Duration {
		return time.Duration(r.hist.ValueAtQuantile(q)) * time.Microsecond
	}
	fmt.Fprintf(r.env.stdout, "latency    p50 %v, p90 %v, p99 %v, p99.9 %v, max %v\n", us(50), us(90), us(99), us(99.9), time.Duration(r.hist.Max())*time.Microsecond)
}
