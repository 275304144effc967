package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// options are the flags that legs and the runner share.
type options struct {
	pairs    int
	warmup   time.Duration
	measured time.Duration
	idleWait time.Duration
}

// When a pair is repeated, and how much of that there may be.
const (
	maxDrift   = 0.15 // of the calibration loop within a pair
	maxForeign = 0.10 // cores that somebody else used during a leg
	maxRedos   = 4    // pairs thrown away per scenario

	quietPatience = 10 * time.Second // waiting for others to finish, before a pair
	quietBudget   = 5 * time.Minute  // and in all
)

// runner takes scenarios through their pairs.
type runner struct {
	opts     options
	env      serverEnv
	ganglion product
	nats     product
	progress io.Writer

	waited time.Duration // of quietBudget
}

// result is a scenario with all its pairs.
type result struct {
	scenario  scenario
	pairs     []pair
	redone    int // pairs thrown away because it was not
	disturbed int // pairs kept although the machine was not the same for both
	err       error
}

// run never gives up the whole run for one scenario: its error is a row.
func (r *runner) run(ctx context.Context, sc scenario) result {
	res := result{scenario: sc}
	if sc.prepare != nil {
		if res.err = r.prepare(ctx, sc); res.err != nil {
			return res
		}
	}
	want := r.opts.pairs
	if sc.pairs > 0 {
		want = sc.pairs
	}
	for len(res.pairs) < want {
		p, err := r.pair(ctx, sc, (len(res.pairs)+res.redone)%2 == 1)
		if err != nil {
			// Never repeated: a message lost once in six legs is not noise.
			res.err = err
			return res
		}
		if why := p.disturbed(); why != "" && !sc.steady {
			if res.redone < maxRedos {
				res.redone++
				fmt.Fprintf(r.progress, "  %s: repeating: %s\n", sc.name, why)
				continue
			}
			res.disturbed++
		}
		res.pairs = append(res.pairs, p)
		fmt.Fprintf(r.progress, "  %s %d/%d: %s\n", sc.name, len(res.pairs), want, oneLine(p))
	}
	return res
}

func (r *runner) prepare(ctx context.Context, sc scenario) error {
	st := r.stage(r.nats)
	defer st.close()
	return sc.prepare(ctx, st)
}

func (r *runner) stage(p product) *stage {
	return &stage{opts: r.opts, env: r.env, product: p}
}

// pair runs one leg of each server, nats-server first if swapped.
func (r *runner) pair(ctx context.Context, sc scenario, swapped bool) (p pair, err error) {
	r.awaitQuiet(ctx)
	order := []product{r.ganglion, r.nats}
	if swapped {
		slices.Reverse(order)
	}
	legs := map[string]leg{}
	var times []float64
	for _, prod := range order {
		times = append(times, float64(calibrate()))
		l, err := r.leg(ctx, sc, prod)
		if err != nil {
			return pair{}, fmt.Errorf("%s: %w", prod.name, err)
		}
		legs[prod.name] = l
		times = append(times, float64(calibrate()))
	}
	return pair{Ganglion: legs[r.ganglion.name], Nats: legs[r.nats.name], Drift: spread(times...)}, nil
}

func (r *runner) leg(ctx context.Context, sc scenario, prod product) (leg, error) {
	st := r.stage(prod)
	defer settleMachine()
	defer st.close()
	return sc.run(ctx, st)
}

// disturbed is why p should not count, if so.
func (p pair) disturbed() string {
	switch foreign := max(p.Ganglion.Foreign, p.Nats.Foreign); {
	case foreign > maxForeign:
		return fmt.Sprintf("somebody else used %.2f cores", foreign)
	case p.Drift > maxDrift:
		return fmt.Sprintf("machine drifted by %.0f %%", p.Drift*100)
	}
	return ""
}

// awaitQuiet waits a little for the machine to be ours.
func (r *runner) awaitQuiet(ctx context.Context) {
	const look = 100 * time.Millisecond
	begin := time.Now()
	for r.waited+time.Since(begin) < quietBudget && time.Since(begin) < quietPatience && ctx.Err() == nil {
		before, err := machineCPU()
		nap(look)
		after, _ := machineCPU()
		if err != nil || float64(after-before) <= 1.5*maxForeign*float64(look) {
			break
		}
	}
	r.waited += time.Since(begin)
}

// settleMachine leaves nothing of a leg to the next one: our garbage (collection is off
// while legs run) and the kernel's work of burying the server.
func settleMachine() {
	runtime.GC()
	debug.FreeOSMemory()
	nap(50 * time.Millisecond)
}

// median of a metric over the pairs: "g." Ganglion's, "n." nats-server's, "x."
// the ratio within each pair, "m." the ratio of both medians. NaN if there is
// none.
func (r result) median(metric string) float64 {
	if name, ok := strings.CutPrefix(metric, "m."); ok {
		return ratio(r.median("g."+name), r.median("n."+name))
	}
	return median(r.all(metric))
}

func (r result) all(metric string) (v []float64) {
	side, name := metric[:2], metric[2:]
	for _, p := range r.pairs {
		g, okG := p.Ganglion.values()[name]
		n, okN := p.Nats.values()[name]
		x := math.NaN()
		switch {
		case side == "g." && okG:
			x = g
		case side == "n." && okN:
			x = n
		case side == "x." && okG && okN:
			x = ratio(g, n)
		}
		if !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// missed are the floors that the scenario does not reach.
func (r result) missed() (m []floor) {
	for _, f := range r.scenario.floors {
		if !f.holds(r.median(f.metric)) {
			m = append(m, f)
		}
	}
	return m
}

// extras are the names of what only this scenario measured, sorted.
func (r result) extras() []string {
	if len(r.pairs) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(r.pairs[0].Ganglion.Extra))
}

// oneLine is a pair on the progress output.
func oneLine(p pair) string {
	s := ""
	if p.Ganglion.Rate > 0 {
		s = fmt.Sprintf("throughput %.2f, cpu %.2f (%.0f / %.0f ns, own %.0f / %.0f, foreign %.2f / %.2f, probe %.0f / %.0f)",
			ratio(p.Ganglion.Rate, p.Nats.Rate), ratio(p.Ganglion.CPU, p.Nats.CPU),
			p.Ganglion.CPU, p.Nats.CPU, p.Ganglion.OwnCPU, p.Nats.OwnCPU, p.Ganglion.Foreign, p.Nats.Foreign, p.Ganglion.Probe, p.Nats.Probe)
	}
	if p.Ganglion.P99 > 0 {
		s += fmt.Sprintf(", p50 %.2f, p99 %.2f (%.0f / %.0f µs)", ratio(p.Ganglion.P50, p.Nats.P50),
			ratio(p.Ganglion.P99, p.Nats.P99), p.Ganglion.P99/1e3, p.Nats.P99/1e3)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Ganglion.Extra)) {
		s += fmt.Sprintf(" [%s %s / %s]", k, short(p.Ganglion.Extra[k]), short(p.Nats.Extra[k]))
	}
	return s
}
