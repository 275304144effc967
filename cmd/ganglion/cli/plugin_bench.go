package cli

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
	"ganglion/plugins/wasm"
)

type pluginBenchCmd struct {
	loaded
	message
	Boundary string   `enum:"publish,deliver,leaf-out,leaf-in" default:"publish" help:"Where the message is: publish, deliver, leaf-out or leaf-in."`
	Seconds  float64  `default:"2" help:"How long to measure each metering."`
	Metering []string `default:"fuel" help:"How runaway calls are stopped: fuel, context, none; several to compare them."`
}

// measured is what one metering came to.
type measured struct {
	calls         int64
	perCall       time.Duration
	allocs, bytes float64 // a call
	hist          *hdrhistogram.Histogram
	memory        int64
	verdict       string
}

// Run measures one goroutine that shows the plugin the same message again and
// again: as the broker does it, but for what comes before and after the call.
func (c *pluginBenchCmd) Run(env *environment) error {
	if c.Seconds <= 0 || c.Seconds > 600 {
		return fmt.Errorf("--seconds %g; use more than 0, and 600 at most", c.Seconds)
	}
	for _, m := range c.Metering {
		if !slices.Contains([]string{string(wasm.Fuel), string(wasm.Context), string(wasm.None)}, m) {
			return fmt.Errorf("--metering %q; use fuel, context or none", m)
		}
	}
	if c.Subject == "" {
		c.Subject = "bench"
	}
	m, err := c.plugin(env, abi.ParseBoundary(c.Boundary))
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(env.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "METERING\tVERDICT\tNS/OP\tALLOCS/OP\tB/OP\tP50\tP99\tP99.9\tCALLS\tMEMORY")
	for _, name := range c.Metering {
		r, err := c.measure(env, m, wasm.Metering(name))
		if err != nil {
			return err
		}
		at := func(q float64) time.Duration { return time.Duration(r.hist.ValueAtQuantile(q)) }
		fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.0f\t%v\t%v\t%v\t%d\t%s\n", name, r.verdict, r.perCall.Nanoseconds(), r.allocs, r.bytes, at(50), at(99), at(99.9), r.calls, size(r.memory))
	}
	return w.Flush()
}

// measure takes half of the time for the mean, without a look at the clock in
// between, and half for the percentiles.
func (c *pluginBenchCmd) measure(env *environment, m plugintest.Message, metering wasm.Metering) (*measured, error) {
	p, err := c.open(env.ctx, plugintest.Config{Metering: metering, Discard: true})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	frame, err := m.Frame()
	if err != nil {
		return nil, fmt.Errorf("--subject, --reply and --header: %w", err)
	}
	pool := p.Pool()
	var out wasm.Outcome
	call := func() error {
		i, err := pool.Lease(0)
		if err != nil {
			return err
		}
		if err := i.Call(&frame, "$G", &out); err != nil {
			if errors.Is(err, wasm.ErrPlugin) {
				pool.Release(i)
			} else {
				pool.Fail(i)
			}
			return err
		}
		pool.Release(i)
		return nil
	}
	r := &measured{hist: hdrhistogram.New(1, int64(time.Minute), 3)}
	half := time.Duration(c.Seconds * float64(time.Second) / 2)
	for range 1000 { // caches
		if err := call(); err != nil {
			return nil, fmt.Errorf("%s: %w; nothing was measured", c.File, err)
		}
	}
	r.verdict = out.Verdict.String()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	var took time.Duration
	for batch := int64(1); took < half; {
		for range batch {
			if err := call(); err != nil {
				return nil, fmt.Errorf("%s, call %d: %w", c.File, r.calls, err)
			}
		}
		r.calls += batch
		if took = time.Since(start); took < half/100 {
			batch *= 2 // so that the clock is read rarely
		}
		if err := env.ctx.Err(); err != nil {
			return nil, err
		}
	}
	runtime.ReadMemStats(&after)
	n := float64(r.calls)
	r.perCall = time.Duration(float64(took) / n)
	r.allocs, r.bytes = float64(after.Mallocs-before.Mallocs)/n, float64(after.TotalAlloc-before.TotalAlloc)/n
	clock := clockCost()
	for start, now := time.Now(), time.Now(); now.Sub(start) < half; {
		if err := call(); err != nil {
			return nil, fmt.Errorf("%s, call %d: %w", c.File, r.calls, err)
		}
		was := now
		now = time.Now()
		r.hist.RecordValue(max(1, int64(now.Sub(was)-clock)))
		now = time.Now() // what was recorded does not count
		r.calls++
		if r.calls%1024 == 0 && env.ctx.Err() != nil {
			return nil, env.ctx.Err()
		}
	}
	r.memory = pool.Stats().Memory
	return r, nil
}

// clockCost is how long a look at the clock takes.
func clockCost() time.Duration {
	const n = 1000
	start := time.Now()
	last := start
	for range n {
		last = time.Now()
	}
	return last.Sub(start) / n
}
