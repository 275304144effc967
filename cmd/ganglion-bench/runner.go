package main

import (
	"cmp"
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
	spare    time.Duration // for all waiting and repeating
}

// When a pair is repeated, and how much of that there may be.
const (
	maxDrift   = 0.15 // of the calibration loop within a pair
	maxForeign = 0.10 // cores that somebody else used during a leg
	maxFar     = 0.15 // difference between the legs' shares of distant cores
	maxRedos   = 6    // pairs thrown away per scenario

	quietPatience = 10 * time.Second // waiting for others to finish, before a pair
	// spareTime is the default of options.spare: with it, a run ends within the
	// hour on the busiest machine.
	spareTime = 8 * time.Minute
)

// runner takes scenarios through their pairs.
type runner struct {
	opts     options
	env      serverEnv
	ganglion product
	nats     product
	relay    product // stands in for nats, see scenario.bare
	progress io.Writer

	spare *time.Duration // what is left of options.spare
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
	var clean, other []pair
	for try := 0; len(clean) < want; try++ {
		begin := time.Now()
		p, err := r.pair(ctx, sc, try%2 == 1)
		if err != nil {
			// Never repeated: a message lost once in six legs is not noise.
			res.err = err
			break
		}
		why := p.disturbance()
		if why == "" || sc.steady {
			clean = append(clean, p)
			fmt.Fprintf(r.progress, "  %s %d/%d: %s\n", sc.name, len(clean), want, oneLine(p))
			continue
		}
		other = append(other, p)
		fmt.Fprintf(r.progress, "  %s (%s): %s\n", sc.name, why, oneLine(p))
		*r.spare -= time.Since(begin)
		if enough := len(clean)+len(other) >= want; enough && (len(other) >= maxRedos || *r.spare <= 0) {
			break
		}
	}
	// What is missing is made up with the least disturbed.
	slices.SortStableFunc(other, func(a, b pair) int { return cmp.Compare(a.score(), b.score()) })
	fill := min(len(other), max(0, want-len(clean)))
	res.pairs, res.disturbed, res.redone = append(clean, other[:fill]...), fill, len(other)-fill
	return res
}

func (r *runner) prepare(ctx context.Context, sc scenario) error {
	st := r.stage(r.nats)
	defer st.close()
	return sc.prepare(ctx, st)
}

func (r *runner) stage(p product) *stage {
	return &stage{opts: r.opts, env: r.env, product: p, nats: r.nats}
}

// pair runs one leg of each server, the one that Ganglion is compared with first
// if swapped.
func (r *runner) pair(ctx context.Context, sc scenario, swapped bool) (p pair, err error) {
	r.awaitQuiet(ctx)
	other := r.nats
	if sc.bare {
		other = r.relay
	}
	order := []product{r.ganglion, other}
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
	return pair{Ganglion: legs[r.ganglion.name], Nats: legs[other.name], Drift: spread(times...)}, nil
}

func (r *runner) leg(ctx context.Context, sc scenario, prod product) (leg, error) {
	st := r.stage(prod)
	if sc.self && prod == r.nats {
		st = r.stage(r.ganglion)
		st.base = true
	}
	defer settleMachine()
	defer st.close()
	return sc.run(ctx, st)
}

// disturbances are by how much p exceeds each bound: up to 1 is fine.
func (p pair) disturbances() (foreign, drift, far float64) {
	moved := max(math.Abs(p.Ganglion.Far-p.Nats.Far), p.Ganglion.Moved, p.Nats.Moved)
	return max(p.Ganglion.Foreign, p.Nats.Foreign) / maxForeign, p.Drift / maxDrift, moved / maxFar
}

// score is 1 or less for a good pair.
func (p pair) score() float64 {
	foreign, drift, far := p.disturbances()
	return max(foreign, drift, far)
}

// disturbance is why p should not count, empty if it should.
func (p pair) disturbance() string {
	switch foreign, drift, far := p.disturbances(); {
	case foreign > 1:
		return "others were busy"
	case far > 1:
		return "cores were moved"
	case drift > 1:
		return fmt.Sprintf("machine drifted by %.0f %%", p.Drift*100)
	}
	return ""
}

// awaitQuiet waits a little for the machine to be ours.
func (r *runner) awaitQuiet(ctx context.Context) {
	const look = 100 * time.Millisecond
	begin := time.Now()
	for *r.spare > time.Since(begin) && time.Since(begin) < quietPatience && ctx.Err() == nil {
		before, err := machineCPU()
		nap(look)
		after, _ := machineCPU()
		if err != nil || float64(after-before) <= 1.5*maxForeign*float64(look) {
			break
		}
	}
	*r.spare -= time.Since(begin)
}

// settleMachine leaves nothing of a leg to the next one: our garbage (collection is off
// while legs run) and the kernel's work of burying the server.
func settleMachine() {
	runtime.GC()
	debug.FreeOSMemory()
	nap(50 * time.Millisecond)
}

// median of a metric over the pairs: "g." Ganglion's, "n." nats-server's, "x."
// the ratio within each pair, "d." the difference, "m." the ratio of both medians. NaN if there is
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
		case side == "d." && okG && okN:
			x = g - n
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
		s = fmt.Sprintf("throughput %.2f, cpu %.2f (%.0f / %.0f ns, own %.0f / %.0f, foreign %.2f / %.2f, far %.2f / %.2f)",
			ratio(p.Ganglion.Rate, p.Nats.Rate), ratio(p.Ganglion.CPU, p.Nats.CPU),
			p.Ganglion.CPU, p.Nats.CPU, p.Ganglion.OwnCPU, p.Nats.OwnCPU, p.Ganglion.Foreign, p.Nats.Foreign, p.Ganglion.Far, p.Nats.Far)
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
