package fuel_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// script is a test of the WebAssembly specification, as wast2json writes it.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type     string `json:"type"`
	Line     int    `json:"line"`
	Name     string `json:"name"`
	Filename string `json:"filename"`
	As       string `json:"as"`
	Action   struct {
		Type   string  `json:"type"`
		Module string  `json:"module"`
		Field  string  `json:"field"`
		Args   []value `json:"args"`
	} `json:"action"`
}

type value struct {
	Type  string `json:"type"`
	Lane  string `json:"lane_type"`
	Value any    `json:"value"`
}

// bits are the words in which the value is passed to a call.
func (v value) bits(tb testing.TB) []uint64 {
	number := func(s string, width int) uint64 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < 0 {
			return uint64(n) & (1<<(width-1)<<1 - 1)
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			tb.Fatalf("argument %q: %v", s, err)
		}
		return n
	}
	switch s := v.Value.(type) {
	case string:
		if s == "null" {
			return []uint64{0}
		}
		width := 64
		if strings.HasSuffix(v.Type, "32") {
			width = 32
		}
		n := number(s, width)
		if v.Type == "externref" {
			n++ // 0 is null
		}
		return []uint64{n}
	case []any:
		width, err := strconv.Atoi(v.Lane[1:])
		if err != nil {
			tb.Fatal(err)
		}
		var words [2]uint64
		for i, lane := range s {
			words[i*width/64] |= number(lane.(string), width) << (i * width % 64)
		}
		return words[:]
	}
	return []uint64{0}
}

// side plays a script on one runtime.
type side struct {
	r       wazero.Runtime
	last    api.Module
	named   map[string]api.Module
	metered bool
}

func newSide(t *testing.T, config wazero.RuntimeConfig, dir string, metered bool) *side {
	s := &side{r: wazero.NewRuntimeWithConfig(t.Context(), config), named: map[string]api.Module{}, metered: metered}
	t.Cleanup(func() { s.r.Close(context.Background()) })
	b, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.instantiate(t, b, "spectest"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *side) instantiate(t *testing.T, b []byte, name string) (api.Module, error) {
	if s.metered {
		out, err := fuel.Rewrite(b, generous)
		if err != nil {
			return nil, err
		}
		b = out
	}
	return s.r.InstantiateWithConfig(t.Context(), b,
		wazero.NewModuleConfig().WithName(name).WithStartFunctions(fuel.Start))
}

func (s *side) module(name string) api.Module {
	if name != "" {
		return s.named[name]
	}
	return s.last
}

// call returns the results of a call; of references only whether they are null.
func (s *side) call(t *testing.T, c command) (results []uint64, err error) {
	m := s.module(c.Action.Module)
	if c.Action.Type == "get" {
		return []uint64{m.ExportedGlobal(c.Action.Field).Get()}, nil
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.bits(t)...)
	}
	f := m.ExportedFunction(c.Action.Field)
	results, err = f.Call(t.Context(), args...)
	results = slices.Clone(results)
	i := 0
	for _, typ := range f.Definition().ResultTypes() {
		switch {
		case i >= len(results):
		case typ == 0x7b:
			i++
		case typ == 0x70 || typ == 0x6f:
			results[i] = min(results[i], 1)
		case typ == i32 || typ == 0x7d:
			results[i] &= 1<<32 - 1 // the rest of the word is anything
		}
		i++
	}
	return results, err
}

// trap is the first line of a trap: the others are the stack, in which functions of
// ours may stand.
func trap(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// The tests of the specification that come with wazero give the same results and
// traps with metering as without.
func TestCorpusResults(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(wazeroDir(t), "internal", "integration_test", "spectest")
	scripts, err := filepath.Glob(filepath.Join(dir, "*", "testdata", "*.json"))
	if err != nil || len(scripts) == 0 {
		t.Skip("the specification's tests are not there")
	}
	var calls, traps, modules, skipped int
	// All of it takes two seconds, and twenty with the race detector: then a part does.
	end := time.Now().Add(10 * time.Second)
	for i, path := range scripts {
		if time.Now().After(end) {
			t.Logf("out of time after %d of %d scripts", i, len(scripts))
			break
		}
		if filepath.Base(filepath.Dir(filepath.Dir(path))) == "v1" {
			continue // v2 has them all
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var sc script
		if err := json.Unmarshal(b, &sc); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		plain := newSide(t, config(), dir, false)
		metered := newSide(t, config(), dir, true)
		name := filepath.Join(filepath.Base(filepath.Dir(filepath.Dir(path))), filepath.Base(path))
		playing := true
		for i, c := range sc.Commands {
			switch c.Type {
			case "module":
				var as string
				if i+1 < len(sc.Commands) && sc.Commands[i+1].Type == "register" {
					as = sc.Commands[i+1].As
				}
				b, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
				if err != nil {
					t.Fatal(err)
				}
				p, perr := plain.instantiate(t, b, as)
				m, merr := metered.instantiate(t, b, as)
				playing = perr == nil && merr == nil
				if !playing {
					if perr == nil && !errors.Is(merr, fuel.ErrUnsupported) {
						t.Errorf("%s:%d: %v", name, c.Line, merr)
					}
					skipped++
					continue
				}
				plain.last, metered.last = p, m
				if c.Name != "" {
					plain.named[c.Name], metered.named[c.Name] = p, m
				}
				modules++
			case "action", "assert_return", "assert_trap":
				if !playing || plain.module(c.Action.Module) == nil {
					continue
				}
				want, perr := plain.call(t, c)
				have, merr := metered.call(t, c)
				if !slices.Equal(want, have) || trap(perr) != trap(merr) {
					t.Errorf("%s:%d %s: %v %v, without metering %v %v", name, c.Line, c.Action.Field, have, trap(merr), want, trap(perr))
				}
				if n := remaining(metered.module(c.Action.Module)); n <= 0 || n > fuel.MaxBudget {
					t.Errorf("%s:%d %s: %d units are left", name, c.Line, c.Action.Field, n)
				}
				calls++
				if perr != nil {
					traps++
				}
			case "assert_uninstantiable":
				b, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
				if err != nil {
					t.Fatal(err)
				}
				_, perr := plain.instantiate(t, b, "")
				_, merr := metered.instantiate(t, b, "")
				if (perr == nil) != (merr == nil) {
					t.Errorf("%s:%d: instantiation: %v, without metering %v", name, c.Line, merr, perr)
				}
			}
		}
	}
	t.Logf("%d calls, %d of them traps, of %d modules gave equal results; %d modules skipped", calls, traps, modules, skipped)
	if calls < 1000 {
		t.Errorf("only %d calls", calls)
	}
}
