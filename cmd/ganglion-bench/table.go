package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// printReport writes all tables of one run as GitHub markdown.
func printReport(w io.Writer, title string, r *runner, results []result) {
	fmt.Fprintf(w, "## %s\n\n", title)
	fmt.Fprintf(w, "%s, %d cores, %s, %s. Servers under GOGC=%s GOMAXPROCS=%d; legs of %s after %s of warm-up; medians of %d pairs "+
		"([smallest, largest] ratio); ratios are ganglion / nats-server.\n\n",
		cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(), r.env.gogc, r.env.procs,
		r.opts.measured, r.opts.warmup, r.opts.pairs)
	printLoad(w, results)
	printLatency(w, results)
	printFootprint(w, results)
	printNotes(w, results)
}

func printLoad(w io.Writer, results []result) {
	t := table{head: []string{"scenario", "ganglion msg/s", "nats msg/s", "throughput ratio", "ganglion CPU ns/msg", "nats CPU ns/msg",
		"CPU ratio", "ganglion RSS MiB", "nats RSS MiB", "floor", "ok"}}
	for _, r := range results {
		if r.scenario.kind == footprint {
			continue
		}
		t.add(r.scenario.name, short(r.median("g.rate")), short(r.median("n.rate")), r.withSpread("x.rate"),
			short(r.median("g.cpu")), short(r.median("n.cpu")), r.withSpread("x.cpu"),
			short(r.median("g.rss")/(1<<20)), short(r.median("n.rss")/(1<<20)), r.floorText(), r.verdict())
	}
	t.print(w)
}

func printLatency(w io.Writer, results []result) {
	t := table{head: []string{"latency", "ganglion p50 µs", "nats p50 µs", "p50 ratio", "ganglion p99 µs", "nats p99 µs", "p99 ratio"}}
	for _, r := range results {
		if r.scenario.kind != latency {
			continue
		}
		t.add(r.scenario.name, short(r.median("g.p50")/1e3), short(r.median("n.p50")/1e3), r.withSpread("x.p50"),
			short(r.median("g.p99")/1e3), short(r.median("n.p99")/1e3), r.withSpread("x.p99"))
	}
	t.print(w)
}

// printFootprint has a row per metric: idle, startup, and what else a scenario
// measures beside messages.
func printFootprint(w io.Writer, results []result) {
	t := table{head: []string{"scenario", "metric", "ganglion", "nats", "ratio", "floor", "ok"}}
	for _, r := range results {
		name := r.scenario.name
		for _, metric := range r.extras() {
			floors, ok := "", ""
			for _, f := range r.scenario.floors {
				if f.name() == metric {
					floors, ok = f.String(), verdictOf(!f.holds(r.median(f.metric)))
				}
			}
			t.add(name, metric, short(r.median("g."+metric)), short(r.median("n."+metric)), r.withSpread("x."+metric), floors, ok)
			name = ""
		}
	}
	t.print(w)
}

func printNotes(w io.Writer, results []result) {
	for _, r := range results {
		if r.scenario.bare {
			fmt.Fprintf(w, "- %s: beside Ganglion stands a bare quic-go relay, not nats-server.\n", r.scenario.name)
		}
		switch {
		case r.err != nil:
			why, _, _ := strings.Cut(r.err.Error(), "\n") // the server's log, on the next lines, went to stderr
			fmt.Fprintf(w, "- **%s failed** after %d pairs: %s\n", r.scenario.name, len(r.pairs), why)
		case r.disturbed > 0:
			fmt.Fprintf(w, "- %s: %d of the %d pairs were disturbed (others on the machine, cores moved by the host, calibration off); %d worse ones were dropped.\n",
				r.scenario.name, r.disturbed, len(r.pairs), r.redone)
		}
	}
	fmt.Fprintln(w)
}

func (r result) floorText() string {
	var f []string
	for _, x := range r.scenario.floors {
		f = append(f, x.String())
	}
	return strings.Join(f, ", ")
}

func (r result) verdict() string {
	if r.err != nil {
		return "error"
	}
	var m []string
	for _, f := range r.missed() {
		m = append(m, f.what())
	}
	if len(m) == 0 {
		return verdictOf(false)
	}
	return verdictOf(true) + ": " + strings.Join(m, ", ")
}

func verdictOf(missed bool) string {
	if missed {
		return "miss"
	}
	return "ok"
}

// withSpread is the median of a ratio with the range of its pairs.
func (r result) withSpread(metric string) string {
	v := r.all(metric)
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", median(v), slices.Min(v), slices.Max(v))
}

// short prints x with three significant digits or so, thousands apart.
func short(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "-"
	case a < 10:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// table is markdown in the making.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes nothing for an empty table.
func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := slices.Repeat([]string{"---:"}, len(t.head))
	rule[0] = "---"
	line(rule)
	for _, r := range t.rows {
		line(r)
	}
	fmt.Fprintln(w)
}

// report is the JSON form of a run.
type report struct {
	Title   string      `json:"title"`
	CPU     string      `json:"cpu"`
	Cores   int         `json:"cores"`
	Kernel  string      `json:"kernel"`
	Go      string      `json:"go"`
	GOGC    string      `json:"gogc"`
	Procs   int         `json:"gomaxprocs"`
	Results []resultRow `json:"results"`
}

type resultRow struct {
	Name      string             `json:"name"`
	Ratios    map[string]float64 `json:"median_ratios"`
	Missed    []string           `json:"missed,omitempty"`
	Error     string             `json:"error,omitempty"`
	Redone    int                `json:"pairs_dropped"`
	Disturbed int                `json:"pairs_disturbed"`
	Pairs     []pair             `json:"pairs"`
}

func newReport(title string, r *runner, results []result) report {
	rep := report{Title: title, CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernel(), Go: runtime.Version(),
		GOGC: r.env.gogc, Procs: r.env.procs}
	for _, res := range results {
		row := resultRow{Name: res.scenario.name, Ratios: map[string]float64{}, Redone: res.redone, Disturbed: res.disturbed, Pairs: res.pairs}
		for _, m := range append([]string{"rate", "cpu", "rss", "p50", "p99"}, res.extras()...) {
			if x := res.median("x." + m); !math.IsNaN(x) {
				row.Ratios[m] = x
			}
		}
		for _, f := range res.missed() {
			row.Missed = append(row.Missed, f.String())
		}
		if res.err != nil {
			row.Error = res.err.Error()
		}
		rep.Results = append(rep.Results, row)
	}
	return rep
}

func writeJSON(path string, reports []report) error {
	b, err := json.MarshalIndent(reports, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
