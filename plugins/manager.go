package plugins

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/hook"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
)

// Manager runs the plugins of a broker. Create it with New; it is safe for
// concurrent use.
type Manager struct {
	o          Options // what is static of it
	emitting   chan emitted
	queued     atomic.Int64 // bytes in emitting
	happened   chan Event
	connecting atomic.Pointer[[]*link]
	// subscribing are the links at the boundary subscribe, connecting those at
	// connect, in order.
	subscribing atomic.Pointer[[]*link]
	system      atomic.Pointer[string]

	mu       sync.Mutex
	opts     Options
	slots    map[string]*slot
	files    map[string]*found // by name in the directory
	disabled map[string]bool   // by an operator's request, until a restart
	old      []*version        // replaced, to be drained when hooks are bound anew

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	drains  sync.WaitGroup
}

// New returns a Manager whose plugins are loaded: those that are in the directory
// now have their hooks bound when it returns.
func New(ctx context.Context, o Options) (*Manager, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	m := &Manager{o: o, opts: o, emitting: make(chan emitted, emitQueue), happened: make(chan Event, 256), slots: map[string]*slot{}, files: map[string]*found{}, disabled: map[string]bool{}}
	m.connecting.Store(&[]*link{})
	m.subscribing.Store(&[]*link{})
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.running.Go(m.emit)
	m.running.Go(m.tell)
	m.mu.Lock()
	m.scan(true)
	m.bind()
	m.mu.Unlock()
	m.running.Go(m.watch)
	m.running.Go(m.ticks)
	return m, nil
}

// Close takes the hooks away and ends all plugins. It waits for messages that they
// look at.
func (m *Manager) Close() {
	m.cancel()
	m.running.Wait()
	m.mu.Lock()
	if m.o.Bind != nil {
		m.o.Bind(nil)
	}
	for _, s := range m.slots {
		s.end()
		if v := s.current.Swap(nil); v != nil {
			m.drain(v)
		}
	}
	m.mu.Unlock()
	m.drains.Wait()
}

// Prepare checks other Options, for a reload; commit has them hold. Static ones
// stay as they are.
func (m *Manager) Prepare(o Options) (commit func(), err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		o.Every = cmp.Or(o.Every, m.opts.Every)
		m.opts = o
		for _, f := range m.files { // each is loaded anew where what is said of it changed
			f.again = true
		}
		m.scan(true)
		m.bind()
	}, nil
}

// SetSystemAccount names the account whose messages no plugin sees unless it is
// named.
func (m *Manager) SetSystemAccount(name string) { m.system.Store(&name) }

func (m *Manager) systemAccount() string {
	if s := m.system.Load(); s != nil {
		return *s
	}
	return "$SYS"
}

func (m *Manager) maxPayload() int {
	if m.o.MaxPayload == nil {
		return wire.DefaultMaxPayload
	}
	return m.o.MaxPayload()
}

func (m *Manager) event(e Event) {
	if m.o.Event == nil {
		return
	}
	e.Time = time.Now()
	select {
	case m.happened <- e:
	default: // whoever listens is too slow
	}
}

// tell hands events on, away from locks and from readers.
func (m *Manager) tell() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case e := <-m.happened:
			m.o.Event(e)
		}
	}
}

// emit publishes what plugins emit, in order.
func (m *Manager) emit() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case x := <-m.emitting:
			m.queued.Add(-int64(len(x.msg.Data)))
			if m.o.Emit == nil {
				continue
			}
			if err := m.o.Emit(x.account, x.hops, &x.msg); err != nil {
				m.o.Log.Warn("plugin's message could not be published", "subject", string(x.msg.Subject), "account", x.account, "error", err)
			}
		}
	}
}

// watch looks at the directory.
func (m *Manager) watch() {
	m.mu.Lock()
	every := cmp.Or(m.opts.Every, 250*time.Millisecond)
	m.mu.Unlock()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
			m.mu.Lock()
			if m.scan(false) {
				m.bind()
			}
			m.mu.Unlock()
		}
	}
}

func (m *Manager) ticks() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case now := <-t.C:
			m.mu.Lock()
			slots := slices.Collect(maps.Values(m.slots))
			m.mu.Unlock()
			for _, s := range slots {
				s.tick(m.ctx, now)
			}
		}
	}
}

// bind hands the hooks of all plugins on. The caller holds mu.
func (m *Manager) bind() {
	var links []*link
	for _, name := range slices.Sorted(maps.Keys(m.slots)) {
		if v := m.slots[name].current.Load(); v != nil {
			links = append(links, v.links...)
		}
	}
	slices.SortStableFunc(links, func(a, b *link) int { return cmp.Compare(a.b.Order, b.b.Order) })
	var hooks []Hook
	connecting, subscribing := []*link{}, []*link{}
	for i, l := range links {
		switch l.b.Boundary {
		case abi.Connect:
			connecting = append(connecting, l)
			continue
		case abi.Subscribe:
			subscribing = append(subscribing, l)
			continue
		}
		for _, p := range l.b.Subjects {
			h := Hook{Binding: hook.Binding{Pattern: p, ID: uint64(i) + 1}, Accounts: l.b.Accounts}
			switch l.b.Boundary {
			case abi.Publish:
				h.Publish = l
			case abi.Deliver:
				h.Deliver = l
			case abi.LeafIn:
				h.LeafIn = l
			case abi.LeafOut:
				h.LeafOut = l
			}
			hooks = append(hooks, h)
		}
	}
	hooks = append(hooks, m.missing(&connecting, &subscribing)...)
	m.connecting.Store(&connecting)
	m.subscribing.Store(&subscribing)
	if m.o.Bind != nil {
		m.o.Bind(hooks)
	}
	for _, v := range m.old {
		m.drain(v)
	}
	m.old = nil
}

// missing are hooks that keep subjects closed whose plugin is required and not
// there.
func (m *Manager) missing(connecting, subscribing *[]*link) (hooks []Hook) {
	for _, name := range slices.Sorted(maps.Keys(m.opts.Configure)) {
		c := m.opts.Configure[name]
		if !c.Required || c.Disabled {
			continue
		}
		if s := m.slots[name]; s != nil && s.current.Load() != nil {
			continue
		}
		s := m.slot(name)
		for _, b := range c.Bindings {
			l := &link{v: &version{slot: s, config: c}, b: b}
			closed := hook.PublishFunc(func(from *hook.Origin, msg *wire.Msg) (hook.Verdict, error) {
				if !l.listens(from.Listener) {
					return hook.Pass, nil
				}
				return s.apply(FailClosed, "", from.Account, from.Hops, msg, errMissing)
			})
			undelivered := hook.DeliverFunc(func(to hook.Zone, _ *wire.Msg) (hook.Verdict, error) {
				if !l.listens(to.Listener) {
					return hook.Pass, nil
				}
				s.closed.Add(1)
				return hook.Drop, nil
			})
			switch b.Boundary {
			case abi.Connect:
				*connecting = append(*connecting, l)
			case abi.Subscribe:
				*subscribing = append(*subscribing, l)
			}
			for _, p := range b.Subjects {
				h := Hook{Binding: hook.Binding{Pattern: p}, Accounts: b.Accounts}
				switch b.Boundary {
				case abi.Publish:
					h.Publish = closed
				case abi.Deliver:
					h.Deliver = undelivered
				case abi.LeafIn:
					h.LeafIn = closed
				case abi.LeafOut:
					h.LeafOut = undelivered
				default:
					continue
				}
				hooks = append(hooks, h)
			}
		}
		m.o.Log.Warn("plugin is required and not there: its subjects are closed", "plugin", name)
	}
	return hooks
}

var errMissing = fmt.Errorf("plugins: it is required and not there")

// slot returns the slot of that name. The caller holds mu.
func (m *Manager) slot(name string) *slot {
	s := m.slots[name]
	if s == nil {
		s = &slot{m: m, name: name, metrics: map[string]*metric{}}
		m.slots[name] = s
	}
	return s
}

// drain ends a version when nobody uses it any more.
func (m *Manager) drain(v *version) {
	m.drains.Go(func() {
		v.pool.Close()
		v.pool.Module().Close()
	})
}
