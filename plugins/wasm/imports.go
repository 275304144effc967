package wasm

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"ganglion/plugins/abi"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
	f64 = api.ValueTypeF64
)

// hostFunction is one of the imports of abi.HostModule.
type hostFunction struct {
	params, results []api.ValueType
	call            func(i *Instance, mem api.Memory, s []uint64)
}

func types(t ...api.ValueType) []api.ValueType { return t }

// hostFunctions are those that plugins may import. It is never written.
var hostFunctions = map[string]hostFunction{
	"log":        {types(i32, i32, i32), nil, hostLog},
	"config_get": {types(i32, i32, i32, i32), types(i32), hostConfig},
	"metric_add": {types(i32, i32, i64), nil, hostCount},
	"metric_set": {types(i32, i32, f64), nil, hostGauge},
	"kv_get":     {types(i32, i32, i32, i32), types(i32), hostGet},
	"kv_set":     {types(i32, i32, i32, i32, i64), types(i32), hostSet},
	"kv_delete":  {types(i32, i32), types(i32), hostDelete},
	"kv_add":     {types(i32, i32, i64, i64), types(i64), hostAdd},
	"emit":       {types(i32, i32, i32, i32, i32, i32, i32, i32), types(i32), hostEmit},
	"now_ns":     {nil, types(i64), hostNow},
}

func instantiateHost(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.HostModule)
	for name, f := range hostFunctions {
		call := f.call
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, s []uint64) {
			call(ctx.Value(instanceKey{}).(*Instance), mod.Memory(), s)
		}), f.params, f.results).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// errOutside ends a guest that names bytes outside its memory.
type errOutside struct{}

func (errOutside) Error() string { return "a host function was given bytes outside the memory" }

// at returns bytes of the guest's, or traps.
func at(mem api.Memory, ptr, size uint64) []byte {
	if uint32(size) == 0 {
		return nil
	}
	b, ok := mem.Read(uint32(ptr), uint32(size))
	if !ok {
		panic(errOutside{})
	}
	return b
}

// freeBytes is how many bytes a host call may copy for its price.
const freeBytes = 256

// charge has the guest pay for n bytes that the host copies on its behalf: a unit
// for two. It traps soon after it has none left.
func (i *Instance) charge(n int) {
	if n > freeBytes && i.mutable != nil {
		i.mutable.Set(i.mutable.Get() - uint64(n/2))
	}
}

// pay takes units of fuel, and reports whether there are some left.
func (i *Instance) pay(units int) bool {
	if i.mutable == nil {
		return i.until.IsZero() || time.Now().Before(i.until)
	}
	left := int64(i.mutable.Get()) - int64(units)
	i.mutable.Set(uint64(left))
	return left >= 0
}

// random is a guest's source of randomness.
type random struct{ inst *Instance }

// Read fails when the guest has no fuel left.
func (r random) Read(b []byte) (int, error) {
	if !r.inst.pay(4 * len(b)) {
		return 0, ErrFuel
	}
	return rand.Read(b)
}

// maxPolls is how many subscriptions of poll_oneoff are looked at.
const maxPolls = 64

// pollOneoff has everything happen at once: a guest has nothing to wait for, and no
// time to. It takes the place of wazero's, whose work is bounded by memory only.
func pollOneoff(_ context.Context, mod api.Module, s []uint64) {
	const ok, fault, invalid = 0, 21, 28 // errno of WASI
	in, out, n, result := uint32(s[0]), uint32(s[1]), uint32(s[2]), uint32(s[3])
	if n == 0 || n > maxPolls {
		s[0] = invalid
		return
	}
	subs, found := mod.Memory().Read(in, 48*n)
	events, room := mod.Memory().Read(out, 32*n)
	if !found || !room || !mod.Memory().WriteUint32Le(result, n) {
		s[0] = fault
		return
	}
	for i := range int(n) {
		sub, ev := subs[48*i:48*i+48], events[32*i:32*i+32]
		user, kind := [8]byte(sub[:8]), sub[8]
		clear(ev)
		copy(ev, user[:])
		ev[10] = kind
	}
	s[0] = ok
}

func code(n int32) uint64 { return uint64(uint32(n)) }

func hostLog(i *Instance, mem api.Memory, s []uint64) {
	level := slog.Level(int32(s[0]))
	switch {
	case level < slog.LevelDebug:
		level = slog.LevelDebug
	case level > slog.LevelError:
		level = slog.LevelError
	}
	text := at(mem, s[1], s[2])
	text = text[:min(len(text), maxLine)]
	i.charge(4 * len(text))
	i.services.Log(level, clean(text))
}

func hostConfig(i *Instance, mem api.Memory, s []uint64) {
	i.charge(int(uint32(s[1])))
	v, ok := i.config[string(at(mem, s[0], s[1]))]
	if !ok {
		s[0] = code(abi.NotFound)
		return
	}
	if uint64(len(v)) <= uint64(uint32(s[3])) {
		copy(at(mem, s[2], uint64(len(v))), v)
	}
	s[0] = code(int32(len(v)))
}

func hostCount(i *Instance, mem api.Memory, s []uint64) {
	i.services.Count(at(mem, s[0], s[1]), int64(s[2]))
}

func hostGauge(i *Instance, mem api.Memory, s []uint64) {
	i.services.Gauge(at(mem, s[0], s[1]), math.Float64frombits(s[2]))
}

func hostGet(i *Instance, mem api.Memory, s []uint64) {
	st := i.services.Store()
	if st == nil {
		s[0] = code(abi.ErrDenied)
		return
	}
	n := st.Get(at(mem, s[0], s[1]), at(mem, s[2], s[3]))
	i.charge(int(n))
	s[0] = code(n)
}

func hostSet(i *Instance, mem api.Memory, s []uint64) {
	st := i.services.Store()
	if st == nil {
		s[0] = code(abi.ErrDenied)
		return
	}
	i.charge(int(uint32(s[3])))
	s[0] = code(st.Set(at(mem, s[0], s[1]), at(mem, s[2], s[3]), int64(s[4])))
}

func hostDelete(i *Instance, mem api.Memory, s []uint64) {
	st := i.services.Store()
	switch {
	case st == nil:
		s[0] = code(abi.ErrDenied)
	case st.Delete(at(mem, s[0], s[1])):
		s[0] = 1
	default:
		s[0] = 0
	}
}

func hostAdd(i *Instance, mem api.Memory, s []uint64) {
	st := i.services.Store()
	if st == nil {
		s[0] = 0
		return
	}
	s[0] = uint64(st.Add(at(mem, s[0], s[1]), int64(s[2]), int64(s[3])))
}

func hostEmit(i *Instance, mem api.Memory, s []uint64) {
	if i.emits >= i.module.Limits.Emits {
		s[0] = code(abi.ErrTooLarge)
		return
	}
	i.emits++
	e := Emit{Account: i.account, Hops: i.hops, Subject: at(mem, s[0], s[1]), Reply: at(mem, s[2], s[3]), Headers: at(mem, s[4], s[5]), Payload: at(mem, s[6], s[7])}
	if len(e.Headers)+len(e.Payload) > i.module.Limits.Result {
		s[0] = code(abi.ErrTooLarge)
		return
	}
	i.charge(len(e.Headers) + len(e.Payload))
	s[0] = code(i.services.Emit(&e))
}

func hostNow(i *Instance, _ api.Memory, s []uint64) {
	s[0] = 0
	if i.services.Clock() {
		s[0] = uint64(time.Now().UnixNano())
	}
}
