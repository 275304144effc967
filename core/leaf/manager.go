package leaf

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/permission"
)

// Manager owns the links of a broker. Create it with NewManager.
type Manager struct {
	opts Options // static but for what swap replaces
	cur  atomic.Pointer[Options]
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	accepted atomic.Uint64
	shaking  atomic.Int64 // handshakes of leafs under way

	mu      sync.Mutex
	books   map[*account.Account]*book
	remotes []*remote
	links   map[*Link]struct{}
	closed  bool
}

// firstPing is when a link is first pinged, to learn its round-trip time.
const firstPing = time.Second

// NewManager starts to solicit the remotes of o.
func NewManager(o Options) (*Manager, error) {
	o, err := o.normal()
	if err != nil {
		return nil, err
	}
	m := &Manager{opts: o, books: map[*account.Account]*book{}, links: map[*Link]struct{}{}}
	m.cur.Store(&o)
	m.ctx, m.stop = context.WithCancel(context.Background())
	for _, r := range o.Remotes {
		m.remotes = append(m.remotes, m.keep(r))
	}
	return m, nil
}

func (m *Manager) options() *Options { return m.cur.Load() }

// keep starts to solicit r.
func (m *Manager) keep(r *Remote) *remote {
	name := r.Account
	if name == "" {
		name = account.Global
	}
	x := &remote{Remote: r, m: m, acc: m.opts.Accounts.Get(name), done: make(chan struct{}), state: stateConnecting}
	ctx, stop := context.WithCancel(m.ctx)
	x.stop = stop
	m.bookOf(x.acc)
	go x.run(ctx)
	return x
}

// Prepare checks o as the next options: commit ends the remotes that are gone or
// changed, starts new ones and leaves the others alone. Of the rest what concerns
// links to come takes hold.
func (m *Manager) Prepare(o Options) (commit func(), err error) {
	if o, err = o.normal(); err != nil {
		return nil, err
	}
	return func() {
		m.cur.Store(&o)
		m.mu.Lock()
		old := m.remotes
		m.mu.Unlock()
		var next, gone []*remote
		left := slices.Clone(o.Remotes)
		for _, x := range old {
			at := slices.IndexFunc(left, func(r *Remote) bool { return r == x.Remote || same(r, x.Remote) })
			if at < 0 {
				gone = append(gone, x)
				continue
			}
			left = slices.Delete(left, at, at+1)
			next = append(next, x)
		}
		for _, x := range gone {
			x.close()
		}
		for _, r := range left {
			next = append(next, m.keep(r))
		}
		m.mu.Lock()
		m.remotes = next
		m.mu.Unlock()
	}, nil
}

// same reports whether a and b are the same remote. Functions and TLS are taken to
// be, if both have them: their files are read with each attempt.
func same(a, b *Remote) bool {
	urls := func(r *Remote) (list []string) {
		for _, u := range r.URLs {
			list = append(list, u.String())
		}
		return list
	}
	return slices.Equal(urls(a), urls(b)) && a.Account == b.Account && slices.Equal(a.DenyImports, b.DenyImports) && slices.Equal(a.DenyExports, b.DenyExports) &&
		a.NoRandomize == b.NoRandomize && a.Hub == b.Hub && a.Isolate == b.Isolate && a.IgnoreDiscovered == b.IgnoreDiscovered && a.Disabled == b.Disabled &&
		a.Compression == b.Compression && a.TLSFirst == b.TLSFirst && (a.TLS == nil) == (b.TLS == nil) && (a.Credentials == nil) == (b.Credentials == nil) &&
		a.WSCompression == b.WSCompression && a.FirstInfoTimeout == b.FirstInfoTimeout && a.Limits == b.Limits
}

// bookOf returns the book of acc, which counts from now on.
func (m *Manager) bookOf(acc *account.Account) *book {
	m.mu.Lock()
	b := m.books[acc]
	if b != nil {
		m.mu.Unlock()
		return b
	}
	b = newBook(acc)
	m.books[acc] = b
	m.mu.Unlock()
	acc.Watch(b)
	return b
}

// start makes a link of a connection whose handshake is done. old is the remote's
// last one, whose interest is remembered until the hub has told its own.
func (m *Manager) start(s *shaken, r *remote, old *Link) *Link {
	o := m.options()
	l := m.newLink(s, r.acc)
	if l.remote, l.old = r, old; old != nil {
		old.stale.Store(true)
	}
	l.mayOut = s.perms.Publish()
	l.pace = newPacer(r.Limits)
	l.mayTell = s.scope
	l.denyOut = denying(append(streamAPI(), r.DenyExports...))
	if len(r.DenyImports) > 0 {
		l.mayIn = denying(r.DenyImports)
	}
	r.discovered(s.info)
	m.begin(l, s.nc, o)
	l.ping(time.Now()) // the answer comes behind everything that the hub wants
	return l
}

// denying returns a set that allows everything but list.
func denying(list []string) *permission.Set {
	p, err := permission.Compile(permission.Spec{Publish: &permission.Rules{Deny: list}})
	if err != nil {
		return nil
	}
	return p.Publish()
}

func (m *Manager) newLink(s *shaken, acc *account.Account) *Link {
	l := &Link{
		m: m, cid: m.opts.NextID(), start: time.Now(), acc: acc, book: m.bookOf(acc), peer: s.peer, wire: s.wire,
		subs: map[key]*account.Subscription{}, told: map[key]int{}, gone: make(chan struct{}),
	}
	host, port, _ := net.SplitHostPort(s.peer.Addr)
	l.peer.IP = host
	l.peer.Port, _ = strconv.Atoi(port)
	l.origin = originOf(l.cid, acc.Name(), s.peer.Listener, s.peer.Name, s.peer.Addr)
	l.parser.MaxPayload, l.parser.MaxControlLine = m.options().MaxPayload, maxLine
	if s.rtt != nil {
		*s.rtt = l.RTT
	}
	l.last.Store(l.start.UnixNano())
	return l
}

// begin has l read and announce.
func (m *Manager) begin(l *Link, nc net.Conn, o *Options) {
	l.sending.Lock()
	l.conn = o.Loop.Add(nc, l, o.Limits)
	l.sending.Unlock()
	m.mu.Lock()
	m.links[l] = struct{}{}
	m.mu.Unlock()
	l.book.attach(l)
	l.conn.Schedule(firstPing)
	l.conn.Start()
}

// ended is called by each link when its connection has ended.
func (m *Manager) ended(l *Link, r conn.CloseReason) {
	m.mu.Lock()
	delete(m.links, l)
	closed := m.closed
	m.mu.Unlock()
	if l.remote == nil || closed {
		l.forget()
	}
	if l.old != nil {
		l.old.forget()
	}
	if l.remote == nil {
		m.opts.Log.Info("leafnode connection closed", "cid", l.cid, "remote", l.peer.Addr, "name", l.peer.Name, "account", l.acc.Name(), "reason", r.String())
		if m.opts.Events != nil {
			m.opts.Events.LinkDown(l, r.String())
		}
	}
	close(l.gone)
}

// Links returns the links that are up, in no order.
func (m *Manager) Links() []*Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*Link, 0, len(m.links))
	for l := range m.links {
		list = append(list, l)
	}
	return list
}

// Close ends all links and waits for them.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	remotes := m.remotes
	m.mu.Unlock()
	m.stop()
	for _, x := range remotes {
		x.close()
	}
	for _, l := range m.Links() {
		l.conn.Close(conn.Shutdown)
		<-l.gone
	}
	m.wg.Wait()
}

// Missed returns how many messages had interest only beyond links that were down.
func (m *Manager) Missed() (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.remotes {
		n += x.missed.Load()
	}
	return n
}
