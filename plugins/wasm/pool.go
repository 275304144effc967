package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"ganglion/plugins/abi"
)

// ErrClosed is returned by Lease of a closed Pool.
var ErrClosed = errors.New("wasm: the plugin is closed")

// ErrUnavailable is returned by Lease when there is no instance and none can be
// made.
var ErrUnavailable = errors.New("wasm: the plugin has no instance")

// spins is how often Lease looks for a free instance before it waits for one.
const spins = 32

// Pool is a configured plugin: instances that share a configuration and Services.
// It is safe for concurrent use.
type Pool struct {
	module   *Module
	services Services
	json     []byte
	config   map[string][]byte
	want     abi.Want

	slots []slot
	// waiting counts those that sleep on free.
	waiting atomic.Int32

	mu      sync.Mutex
	free    sync.Cond
	made    int   // instances that exist, or are being made
	broken  error // why the last one could not be made
	closed  bool
	filling sync.WaitGroup
	fill    context.Context
	cancel  context.CancelFunc
}

// slot holds an instance that nobody uses, or nil.
type slot struct {
	inst atomic.Pointer[Instance]
	_    [56]byte // slots are taken by different processors
}

// NewPool configures m with config, a JSON object ("" is an empty one), and starts
// a first instance.
func (m *Module) NewPool(ctx context.Context, config []byte, s Services) (*Pool, error) {
	if len(config) == 0 {
		config = []byte("{}")
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(config, &values); err != nil {
		return nil, fmt.Errorf("wasm: the configuration is no JSON object: %w", err)
	}
	p := &Pool{module: m, services: s, json: config, config: map[string][]byte{}, slots: make([]slot, m.Limits.Instances)}
	for k, v := range values {
		p.config[k] = v
		var text string
		if json.Unmarshal(v, &text) == nil {
			p.config[k] = []byte(text)
		}
	}
	p.free.L = &p.mu
	p.fill, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	i, err := p.start(ctx)
	if err != nil {
		p.cancel()
		return nil, err
	}
	p.want, p.made = i.want, 1
	p.put(i)
	return p, nil
}

func (p *Pool) start(ctx context.Context) (*Instance, error) {
	i, err := p.module.instantiate(ctx, p.services, p.config)
	if err != nil {
		return nil, err
	}
	if err := i.configure(p.json); err != nil {
		i.mod.Close(i.ctx)
		return nil, err
	}
	return i, nil
}

// Want returns what the plugin wants to see of messages.
func (p *Pool) Want() abi.Want { return p.want }

// Module returns what the pool's instances are of.
func (p *Pool) Module() *Module { return p.module }

// Lease returns an instance for one message; hint spreads callers over them. When
// all are in use it waits for one, which takes as long as a message's work may
// take. Release it, or Fail it.
func (p *Pool) Lease(hint uint64) (*Instance, error) {
	if i := p.take(hint); i != nil {
		return i, nil
	}
	return p.wait(hint)
}

func (p *Pool) take(hint uint64) *Instance {
	n := uint64(len(p.slots))
	for k := range n {
		s := &p.slots[(hint+k)%n]
		if i := s.inst.Load(); i != nil && s.inst.CompareAndSwap(i, nil) {
			return i
		}
	}
	return nil
}

// wait is Lease when all are in use: there is room for more of them, or one comes
// back.
func (p *Pool) wait(hint uint64) (*Instance, error) {
	p.mu.Lock()
	if p.made < len(p.slots) && p.made > 0 && !p.closed {
		p.makeOne()
	}
	p.mu.Unlock()
	for range spins {
		runtime.Gosched()
		if i := p.take(hint); i != nil {
			return i, nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	for {
		if p.closed {
			return nil, ErrClosed
		}
		if i := p.take(hint); i != nil {
			return i, nil
		}
		if p.made == 0 {
			if p.broken != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, p.broken)
			}
			return nil, ErrUnavailable
		}
		p.free.Wait()
	}
}

// put gives an instance back to a slot.
func (p *Pool) put(i *Instance) {
	for k := range p.slots {
		if p.slots[k].inst.CompareAndSwap(nil, i) {
			break
		}
	}
	if p.waiting.Load() > 0 {
		p.mu.Lock()
		p.free.Broadcast()
		p.mu.Unlock()
	}
}

// Release gives an instance back that is well.
func (p *Pool) Release(i *Instance) {
	p.put(i)
}

// Fail throws an instance away that failed, and has another made.
func (p *Pool) Fail(i *Instance) {
	i.mod.Close(i.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made--
	if !p.closed {
		p.makeOne()
	}
	p.free.Broadcast()
}

// makeOne has an instance made. The caller holds mu.
func (p *Pool) makeOne() {
	p.made++
	p.filling.Go(func() {
		i, err := p.start(p.fill)
		if err == nil {
			p.put(i)
			return
		}
		p.mu.Lock()
		p.made--
		p.broken = err
		p.free.Broadcast()
		p.mu.Unlock()
	})
}

// Retry has an instance made if there is none.
func (p *Pool) Retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == 0 && !p.closed {
		p.makeOne()
	}
}

// Stats are about a pool's instances.
type Stats struct {
	Instances int
	Memory    int64 // bytes of those that nobody uses at the moment
}

// Stats returns them.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	st := Stats{Instances: p.made}
	p.mu.Unlock()
	for k := range p.slots {
		s := &p.slots[k]
		if i := s.inst.Load(); i != nil && s.inst.CompareAndSwap(i, nil) {
			st.Memory += i.Memory()
			p.put(i)
		}
	}
	return st
}

// Close waits for those who use instances and ends them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.free.Broadcast()
	p.mu.Unlock()
	p.cancel()
	p.filling.Wait()
	p.mu.Lock()
	n := p.made
	p.mu.Unlock()
	for n > 0 {
		p.mu.Lock()
		p.waiting.Add(1)
		var i *Instance
		for i = p.take(0); i == nil && p.made > 0; i = p.take(0) {
			p.free.Wait()
		}
		p.waiting.Add(-1)
		if i != nil {
			p.made--
		}
		n = p.made
		p.mu.Unlock()
		if i != nil {
			i.close()
		}
	}
}
