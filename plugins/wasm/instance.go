package wasm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"ganglion/core/hook"
	"ganglion/plugins/abi"
	"ganglion/plugins/fuel"
)

// contextTime is how long a call may take with Metering Context.
const contextTime = 100 * time.Millisecond

// startTime is how long a start function may take with Metering Context.
const startTime = 5 * time.Second

// firstFrame is the room for frames that an instance is asked for at first.
const firstFrame = 4 << 10

// What went wrong with a plugin. Faults end the instance.
var (
	// ErrFuel says that its budget of work was used up.
	ErrFuel = errors.New("wasm: it used up its fuel")
	// ErrTrap says that it trapped; the text says how.
	ErrTrap = errors.New("wasm: it trapped")
	// ErrResult says that it returned what can't be.
	ErrResult = errors.New("wasm: invalid result")
	// ErrPlugin says that it reported a failure of its own.
	ErrPlugin = errors.New("wasm: it reported a failure")
)

// Outcome is what a plugin made of a message. Its bytes are the instance's, until
// it is released.
type Outcome = abi.Result

// Instance is a running copy of a module. It has one user at a time.
type Instance struct {
	// Origin and Facts are its user's to remember between calls.
	Origin *hook.Origin
	Facts  []byte

	module    *Module
	services  Services
	config    map[string][]byte
	mod       api.Module
	memory    api.Memory
	onMessage api.Function
	alloc     api.Function
	onTick    api.Function
	fuel      api.Global // nil without fuel
	mutable   api.MutableGlobal
	until     time.Time // when a call ends, with Metering Context
	ctx       context.Context
	stack     [2]uint64

	want     abi.Want
	frame    uint32 // where frames are put
	room     uint32 // for how many bytes
	emits    int    // of the message being looked at
	account  string // of that message
	hops     uint32
	out, err lines // standard output and error
}

// instanceKey is where a host function finds its instance.
type instanceKey struct{}

// instantiate starts an instance: start function and _initialize.
func (m *Module) instantiate(ctx context.Context, s Services, config map[string][]byte) (*Instance, error) {
	i := &Instance{module: m, services: s, config: config, out: lines{to: s}, err: lines{to: s, level: 4}}
	i.out.inst, i.err.inst = i, i
	i.ctx = context.WithValue(context.WithoutCancel(ctx), instanceKey{}, i)
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(random{i}).WithStdout(&i.out).WithStderr(&i.err)
	if s.Clock() {
		c = c.WithSysWalltime().WithSysNanotime()
	}
	var err error
	starting, cancel := context.WithTimeout(i.ctx, startTime) // looked at with Metering Context only
	defer cancel()
	if i.mod, err = m.runtime.InstantiateModule(starting, m.compiled, c); err != nil {
		return nil, fmt.Errorf("%w: it can't be started: %w", ErrModule, err)
	}
	if g := i.mod.ExportedGlobal(fuel.Global); g != nil && m.Metering == Fuel {
		i.fuel = g
		i.mutable, _ = g.(api.MutableGlobal)
	}
	i.memory = i.mod.Memory()
	for _, name := range []string{fuel.Start, abi.ExportInitialize} {
		if f := i.mod.ExportedFunction(name); f != nil && (name != fuel.Start || m.started) {
			if _, err := i.call(f); err != nil {
				i.close()
				return nil, fmt.Errorf("%w: %s: %w", ErrModule, name, err)
			}
		}
	}
	i.onMessage = i.mod.ExportedFunction(abi.ExportOnMessage)
	i.alloc = i.mod.ExportedFunction(abi.ExportAlloc)
	i.onTick = i.mod.ExportedFunction(abi.ExportOnTick)
	return i, nil
}

// call calls f and returns its result, or what went wrong.
func (i *Instance) call(f api.Function, params ...uint64) (uint64, error) {
	i.stack[0], i.stack[1] = 0, 0
	copy(i.stack[:], params)
	if err := i.invoke(f); err != nil {
		return 0, err
	}
	return i.stack[0], nil
}

// invoke calls f with what is on the stack.
func (i *Instance) invoke(f api.Function) error {
	ctx := i.ctx
	if i.module.Metering == Context {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, contextTime)
		defer cancel()
		i.until = time.Now().Add(contextTime)
	}
	if err := f.CallWithStack(ctx, i.stack[:]); err != nil {
		return i.fault(err)
	}
	return nil
}

// fault says what err, from a call, was.
func (i *Instance) fault(err error) error {
	if i.fuel != nil && int64(i.fuel.Get()) < 0 {
		return fmt.Errorf("%w (%d units)", ErrFuel, i.module.Limits.Fuel)
	}
	if i.module.Metering == Context && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%v)", ErrFuel, contextTime)
	}
	return fmt.Errorf("%w: %.300w", ErrTrap, firstLine{err})
}

// firstLine is an error whose text is that of another's first line: traps come
// with a stack.
type firstLine struct{ error }

func (f firstLine) Error() string {
	s := f.error.Error()
	for i := range len(s) {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}

// configure gives the plugin its configuration, as JSON, and asks for room for
// frames.
func (i *Instance) configure(json []byte) error {
	if err := i.grow(uint32(max(firstFrame, len(json)))); err != nil {
		return err
	}
	if !i.memory.Write(i.frame, json) {
		return fmt.Errorf("%w: room for frames is outside its memory", ErrResult)
	}
	v, err := i.call(i.mod.ExportedFunction(abi.ExportConfigure), uint64(i.frame), uint64(len(json)))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", abi.ExportConfigure, err)
	case int64(v) < 0:
		return fmt.Errorf("%w: %s returned %d; its log may say why", ErrPlugin, abi.ExportConfigure, int64(v))
	}
	i.want = abi.Want(v)
	return i.grow(firstFrame)
}

// grow asks for room for frames of size bytes.
func (i *Instance) grow(size uint32) error {
	size = (size + firstFrame - 1) / firstFrame * firstFrame
	v, err := i.call(i.alloc, uint64(size))
	if err != nil {
		return fmt.Errorf("%s(%d): %w", abi.ExportAlloc, size, err)
	}
	ptr := uint32(v)
	if ptr == 0 {
		return fmt.Errorf("%w: no room for a frame of %d bytes", ErrPlugin, size)
	}
	if _, ok := i.memory.Read(ptr, size); !ok {
		return fmt.Errorf("%w: %s(%d) returned %d, which is outside its memory", ErrResult, abi.ExportAlloc, size, ptr)
	}
	i.frame, i.room = ptr, size
	return nil
}

// Call has the plugin look at a message of an account. After an error other than
// ErrPlugin the instance must be given to Pool.Fail.
func (i *Instance) Call(f *abi.Frame, account string, out *Outcome) error {
	want := i.want
	if f.Boundary == abi.Connect || f.Boundary == abi.Subscribe { // there is little else to go by
		want |= abi.WantSubject | abi.WantReply | abi.WantFacts
	}
	size := f.Size(want)
	if size > int(i.room) {
		if size > int(i.module.Limits.Memory) {
			return fmt.Errorf("%w: a frame of %d bytes does not fit into its memory", ErrPlugin, size)
		}
		if err := i.grow(uint32(size)); err != nil {
			return err
		}
	}
	room, ok := i.memory.Read(i.frame, uint32(size))
	if !ok {
		return fmt.Errorf("%w: room for frames is outside its memory", ErrResult)
	}
	n := f.Put(room, want)
	i.emits, i.hops, i.account = 0, f.Hops, account
	i.stack[0], i.stack[1] = uint64(i.frame), uint64(n)
	if i.module.Metering == Context {
		if err := i.invoke(i.onMessage); err != nil {
			return err
		}
	} else if err := i.onMessage.CallWithStack(i.ctx, i.stack[:]); err != nil {
		return i.fault(err)
	}
	if i.stack[0] <= uint64(abi.Reject) {
		*out = Outcome{Verdict: abi.Verdict(i.stack[0])}
		return nil
	}
	return i.parse(i.stack[0], out)
}

// parse reads a result that is more than a number.
func (i *Instance) parse(v uint64, out *Outcome) error {
	all, ok := i.memory.Read(0, i.memory.Size())
	if !ok {
		return fmt.Errorf("%w: no memory", ErrResult)
	}
	switch err := abi.ParseResult(v, all, out); {
	case err == abi.ErrFailed:
		return fmt.Errorf("%w: %s returned %d", ErrPlugin, abi.ExportOnMessage, int64(v))
	case err != nil:
		return fmt.Errorf("%w: %s returned %#x", ErrResult, abi.ExportOnMessage, v)
	}
	if n := len(out.Headers) + len(out.Payload); n > i.module.Limits.Result {
		return fmt.Errorf("%w: %d bytes of headers and payload; limits.result is %d", ErrResult, n, i.module.Limits.Result)
	}
	return nil
}

// Want returns what the plugin wants to see.
func (i *Instance) Want() abi.Want { return i.want }

// Ticks reports whether the plugin wants to be called about once a second.
func (i *Instance) Ticks() bool { return i.onTick != nil }

// Tick calls it. After an error the instance must be given to Pool.Fail.
func (i *Instance) Tick(now time.Time) error {
	i.emits, i.hops, i.account = 0, 0, ""
	_, err := i.call(i.onTick, uint64(now.UnixNano()))
	return err
}

// Memory returns how many bytes of memory the instance has.
func (i *Instance) Memory() int64 {
	if i.memory == nil {
		return 0
	}
	return int64(i.memory.Size())
}

// close ends an instance that is well.
func (i *Instance) close() {
	if f := i.mod.ExportedFunction(abi.ExportClose); f != nil {
		i.call(f)
	}
	i.mod.Close(i.ctx)
}
