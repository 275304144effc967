package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// flags are the command line.
type flags struct {
	options
	only, ganglion, nats, json, gogc string
	procs                            int
	pin, check, list                 bool
}

func parseFlags() flags {
	var f flags
	seconds := func(name string, def float64, usage string, d *time.Duration) {
		*d = time.Duration(def * 1e9)
		flag.Func(name, fmt.Sprintf("%s (default %g)", usage, def), func(s string) error {
			var err error
			*d, err = time.ParseDuration(s + "s")
			return err
		})
	}
	flag.StringVar(&f.only, "only", "", "comma-separated scenarios: names, families (1:1), globs or prefixes (req)")
	flag.IntVar(&f.pairs, "pairs", 5, "pairs of legs per scenario")
	seconds("seconds", 3, "measured `seconds` of a leg", &f.measured)
	seconds("warmup", 0.5, "`seconds` of load before", &f.warmup)
	seconds("idle-wait", 30, "`seconds` that idle connections stay idle", &f.idleWait)
	seconds("spare", spareTime.Seconds(), "`seconds` in all for waiting until others are quiet and for repeating disturbed pairs", &f.spare)
	flag.StringVar(&f.ganglion, "ganglion", "", "prebuilt ganglion `binary` (default: build ./cmd/ganglion)")
	flag.StringVar(&f.nats, "nats", "", "prebuilt nats-server `binary` (default: build the version in go.mod)")
	flag.StringVar(&f.json, "json", "", "also write everything measured to `file`")
	flag.StringVar(&f.gogc, "gogc", "100", "GOGC of both servers")
	flag.IntVar(&f.procs, "gomaxprocs", runtime.NumCPU(), "GOMAXPROCS of both servers")
	flag.BoolVar(&f.pin, "pin", false, "second table: servers on the first core alone, the load generator on the second")
	flag.BoolVar(&f.check, "check", false, "exit 1 if a floor is missed (in the first table)")
	flag.BoolVar(&f.list, "list", false, "list the scenarios and their floors")
	flag.Parse()
	return f
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == relayCommand {
		if err := runRelay(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "ganglion-bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(parseFlags()); err != nil {
		fmt.Fprintln(os.Stderr, "ganglion-bench:", err)
		os.Exit(1)
	}
}

// errMissed is returned under -check; the table says which.
var errMissed = errors.New("floors missed")

func run(f flags) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	files, err := raiseFiles()
	if err != nil {
		return fmt.Errorf("prepare process: %w", err)
	}
	chosen, err := selectScenarios(scenarios(f.options, files), f.only)
	if err != nil {
		return err
	}
	if f.list {
		for _, sc := range chosen {
			fmt.Printf("%-12s %s\n%-12s   %s\n", sc.name, sc.about, "", result{scenario: sc}.floorText())
		}
		return nil
	}
	tuneSelf()

	dir, err := os.MkdirTemp("", "ganglion-bench-")
	if err != nil {
		return fmt.Errorf("create work folder: %w", err)
	}
	defer os.RemoveAll(dir)
	r, err := newRunner(ctx, f, dir)
	if err != nil {
		return err
	}
	return measureAll(ctx, f, r, chosen)
}

// tuneSelf fits the runtime to threads that block in system calls: each finds
// a P when it returns instead of queueing for one, and no collector runs
// beside a measurement (runner collects between legs).
func tuneSelf() {
	runtime.GOMAXPROCS(32)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(4 << 30)
}

// newRunner builds the servers that were not given.
func newRunner(ctx context.Context, f flags, dir string) (*runner, error) {
	spare := f.spare
	r := &runner{
		spare:    &spare,
		opts:     f.options,
		env:      serverEnv{gogc: f.gogc, procs: f.procs, core: -1, logs: dir},
		ganglion: product{name: "ganglion", path: f.ganglion},
		nats:     product{name: "nats-server", path: f.nats},
		relay:    product{name: "relay", relay: true},
		progress: os.Stderr,
	}
	var err error
	if r.env.id, err = newIdentity(dir); err != nil {
		return nil, err
	}
	if r.relay.path, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if r.ganglion.path == "" {
		if r.ganglion.path, err = build(ctx, dir, "ganglion", "ganglion/cmd/ganglion", "-trimpath", "-ldflags", "-s -w"); err != nil {
			return nil, err
		}
	}
	if r.nats.path == "" {
		if r.nats.path, err = build(ctx, dir, "nats-server", "github.com/nats-io/nats-server/v2"); err != nil {
			return nil, err
		}
	}
	// Servers run in dir.
	for _, p := range []*product{&r.ganglion, &r.nats} {
		if p.path, err = filepath.Abs(p.path); err != nil {
			return nil, fmt.Errorf("find %s: %w", p.name, err)
		}
		if _, err := os.Stat(p.path); err != nil {
			return nil, fmt.Errorf("find %s: %w", p.name, err)
		}
	}
	return r, nil
}

// measureAll prints what it has even when interrupted.
func measureAll(ctx context.Context, f flags, r *runner, chosen []scenario) error {
	results := runAll(ctx, r, chosen)
	printReport(os.Stdout, "Ganglion and nats-server", r, results)
	reports := []report{newReport("shared", r, results)}

	if f.pin && ctx.Err() == nil {
		if runtime.NumCPU() < 2 {
			return errors.New("-pin needs two cores")
		}
		if err := pinSelf(1); err != nil {
			return err
		}
		pinned := *r
		pinned.env.core, pinned.env.procs = 0, 1
		var loads []scenario
		for _, sc := range chosen {
			if sc.kind != footprint {
				loads = append(loads, sc)
			}
		}
		more := runAll(ctx, &pinned, loads)
		printReport(os.Stdout, "Server alone on one core, load generator on another", &pinned, more)
		reports = append(reports, newReport("pinned", &pinned, more))
	}
	if f.json != "" {
		if err := writeJSON(f.json, reports); err != nil {
			return fmt.Errorf("write -json: %w", err)
		}
	}
	return judge(ctx, f.check, results)
}

func runAll(ctx context.Context, r *runner, chosen []scenario) (results []result) {
	begin := time.Now()
	for i, sc := range chosen {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(r.progress, "[%s] %d/%d %s: %s\n", time.Since(begin).Round(time.Second), i+1, len(chosen), sc.name, sc.about)
		res := r.run(ctx, sc)
		if res.err != nil {
			fmt.Fprintf(r.progress, "  %s: failed: %v\n", sc.name, res.err)
		}
		results = append(results, res)
	}
	return results
}

// judge is the exit status: failures always count, floors under -check.
func judge(ctx context.Context, check bool, results []result) error {
	missed, failed := 0, 0
	for _, res := range results {
		if res.err != nil {
			failed++
		}
		missed += len(res.missed())
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case failed > 0:
		return fmt.Errorf("%d scenarios failed", failed)
	}
	if check && missed > 0 {
		return fmt.Errorf("%w: %d", errMissed, missed)
	}
	return nil
}
