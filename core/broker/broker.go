package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/client"
	"ganglion/core/conn"
	"ganglion/core/leaf"
	"ganglion/core/local"
	"ganglion/core/permission"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// ErrClosed is returned by calls on a Broker that was shut down.
var ErrClosed = errors.New("broker: closed")

// Endpoint says what a listener's connections are.
type Endpoint = client.Endpoint

// TLS says how an Endpoint's connections become TLS.
type TLS = client.TLS

// DefaultTLSTimeout is how long a TLS handshake may take.
const DefaultTLSTimeout = client.DefaultTLSTimeout

// When TLS begins.
const (
	AfterInfo = client.AfterInfo
	First     = client.First
	Auto      = client.Auto
)

// inProcess is the endpoint of connections inside the process.
var inProcess = &Endpoint{Name: "inprocess", Type: "IN_PROCESS"}

// TLSServer returns the server's side of TLS over nc, which a Broker reads
// without a goroutine. Listeners with a protocol of their own between TLS and
// the session put it below that.
func TLSServer(nc net.Conn, cfg *tls.Config) net.Conn { return conn.TLSServer(nc, cfg) }

// Broker is a running broker. Create it with New and end it with Shutdown.
type Broker struct {
	keys        *auth.Keys
	start       time.Time
	log         *slog.Logger
	loop        *conn.Loop
	clients     *client.Manager
	leafs       *leaf.Manager
	accounts    *account.Registry
	global      *account.Account
	events      *events
	pool        *auth.Pool
	failures    *auth.Failures
	passwords   auth.PasswordCache
	permissions permission.Shared
	counters    router.Counters
	opts        atomic.Pointer[Options]
	requests    map[string]func(map[string]any) (any, error)

	hooking  sync.Mutex
	ownHooks []Hook // of Options
	hooks    []Hook // guarded by hooking
	peers    map[peerKey]*local.Peer

	mu            sync.Mutex
	listeners     map[net.Listener]*atomic.Pointer[Endpoint]
	leafListeners map[net.Listener]struct{}
	closed        bool
	lameDuck      bool
	loaded        time.Time // when the options were loaded last
	accepting     sync.WaitGroup
	done          chan struct{} // closed when Shutdown has finished
	stop          chan struct{} // closed when Shutdown begins
	trimming      sync.WaitGroup
}

// New starts a Broker that serves nothing yet.
func New(o Options) (*Broker, error) {
	o, err := o.normal()
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b := &Broker{
		start: time.Now(), log: o.Logger, listeners: map[net.Listener]*atomic.Pointer[Endpoint]{}, leafListeners: map[net.Listener]struct{}{}, done: make(chan struct{}), stop: make(chan struct{}),
		accounts: account.NewRegistry(o.SystemAccount), failures: &auth.Failures{},
	}
	b.loaded = b.start
	if b.keys, err = auth.NewKeys(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	commit, err := b.prepareAccounts(&o)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	commit()
	b.global = b.accounts.Global()
	a, err := b.authenticator(&o)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.ownHooks, b.peers = hooksOf(&o), map[peerKey]*local.Peer{}
	b.SetHooks(nil)
	b.loop, err = conn.NewLoop(conn.LoopOptions{
		NewBatch: func(reader int) conn.Batch { return router.New(reader, &b.counters) },
	})
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.pool = auth.NewPool(auth.PoolOptions{})
	b.requests = o.Requests
	b.events = newEvents(b)
	b.events.reload = o.Reload
	if t := o.Auth.Operator; t != nil && o.AccountStore != nil {
		b.events.claims = b.resolver(t, o.AccountStore, t.Signs)
	}
	b.clients = client.NewManager(b.loop, b.settings(&o, a), o.MaxClosed, b.events)
	b.adopt(&o)
	if err := b.events.start(); err != nil {
		return nil, err
	}
	lo, err := b.leafOptions(&o, a)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	leafs, err := leaf.NewManager(lo)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.mu.Lock()
	b.leafs = leafs // the system account may have been asked already
	b.mu.Unlock()
	b.trimming.Go(func() { b.trim(b.stop) })
	b.trimming.Go(func() { b.expire(b.stop) })
	return b, nil
}

// expireEvery is how often answers that services owe are looked at.
const expireEvery = time.Second

// expire forgets answers that did not come in time.
func (b *Broker) expire(stop <-chan struct{}) {
	t := time.NewTicker(expireEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-t.C:
			for _, a := range b.accounts.All() {
				a.ExpireReplies(now.UnixNano(), func(q *account.Reply) { b.late(a, q) })
			}
		}
	}
}

// late publishes that a service of acc did not answer q in time.
func (b *Broker) late(acc *account.Account, q *account.Reply) {
	if subj, data, err := router.Late(q); err == nil {
		b.PeerIn(acc, "latency").Publish(&wire.Msg{Subject: []byte(subj), Data: data})
	}
}

// settings derives what sessions go by from o.
func (b *Broker) settings(o *Options, a *auth.Authenticator) *client.Settings {
	s := &client.Settings{
		Auth: a, Account: b.global, System: b.accounts.System(), Pool: b.pool, Failures: b.failures, ServerInfo: b.events.serverInfo,
		MaxPayload: o.MaxPayload, MaxControlLine: o.MaxControlLine, MaxConns: max(o.MaxConnections, 0),
		MaxSubs: max(o.MaxSubscriptions, 0), MaxSubTokens: o.MaxSubTokens,
		PingInterval: o.PingInterval, PingMax: o.PingMax,
		NoHeaders: o.NoHeaders, NoStall: o.NoFastProducerStall, Trace: o.Trace, MaxTraced: o.MaxTraced,
		Connect: o.Connect, Subscribe: o.Subscribe, Log: b.log,
	}
	if l := &o.RateLimits; !l.None() {
		s.RateLimits = l
	}
	s.Info = wire.Info{
		ServerID: b.keys.ID, ServerName: o.ServerName, Version: wire.Version, Proto: 1, GitCommit: o.GitCommit, Go: runtime.Version(),
		Host: o.Host, Port: o.Port, Headers: !o.NoHeaders, MaxPayload: o.MaxPayload,
		APILevel: wire.APILevel, XKey: b.keys.XKey,
	}
	if s.Info.ServerName == "" {
		s.Info.ServerName = b.keys.ID
	}
	if o.ClientAdvertise != "" {
		s.Info.Host, s.Info.Port = advertised(o.ClientAdvertise, o.Port)
	}
	return s
}

// advertised splits "host:port" or "host".
func advertised(s string, port int) (string, int) {
	h, p, err := net.SplitHostPort(s)
	if err != nil {
		return s, port
	}
	var n int
	if _, err := fmt.Sscanf(p, "%d", &n); err != nil || n <= 0 {
		n = port
	}
	return h, n
}

// adopt makes o the options in force, as far as they are not in Settings.
func (b *Broker) adopt(o *Options) {
	l := b.clients.Limits()
	l.MaxPending.Store(o.MaxPending)
	l.WriteDeadline.Store(int64(o.WriteDeadline))
	b.loop.SetMaxPendingTotal(max(o.MaxPendingTotal, 0))
	b.opts.Store(o)
}

// Prepare checks o as the next options of a running broker. commit makes them
// its options, for sessions that exist too; abort forgets them. Host, Port,
// ServerName, MaxClosed, Publish and Deliver stay as they were. Clients that the
// new Auth would refuse are closed by commit.
func (b *Broker) Prepare(o Options) (commit, abort func(), err error) {
	old := b.Options()
	o.Publish, o.Deliver, o.MaxClosed, o.ServerName = old.Publish, old.Deliver, old.MaxClosed, old.ServerName
	if o.Logger == nil {
		o.Logger = b.log
	}
	if o, err = o.normal(); err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	adopt, err := b.prepareAccounts(&o)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	a, err := b.authenticator(&o)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	lo, err := b.leafOptions(&o, a)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	leafs, err := b.leafs.Prepare(lo)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	commit = func() {
		if gone := adopt(); len(gone) > 0 {
			b.log.Info("accounts are gone", "accounts", gone)
		}
		s := b.settings(&o, a)
		before := b.clients.Settings()
		b.clients.SetSettings(s)
		b.adopt(&o)
		b.rebindHooks()
		b.mu.Lock()
		b.loaded = time.Now()
		b.mu.Unlock()
		b.clients.Reauthorize()
		leafs()
		b.events.adopt()
		if infoChanged(&before.Info, &s.Info) {
			b.clients.Broadcast()
		}
	}
	return commit, func() {}, nil
}

func infoChanged(a, b *wire.Info) bool {
	return a.MaxPayload != b.MaxPayload || a.Host != b.Host || a.Port != b.Port || a.Headers != b.Headers
}

// Options returns the options in force, with their defaults filled in.
func (b *Broker) Options() Options { return *b.opts.Load() }

// ID returns the server's id, an nkey of a server.
func (b *Broker) ID() string { return b.keys.ID }

// Name returns the server's name.
func (b *Broker) Name() string { return b.clients.Settings().Info.ServerName }

// Accounts returns the accounts there are.
func (b *Broker) Accounts() *account.Registry { return b.accounts }

// PeerIn returns a peer inside the process, in the account acc of Accounts. name
// is what hooks see.
func (b *Broker) PeerIn(acc *account.Account, name string) *local.Peer {
	return local.New(acc, name, 0, &b.counters)
}

// Peer is PeerIn for the global account.
func (b *Broker) Peer(name string) *local.Peer { return b.PeerIn(b.global, name) }

// Serve accepts connections of ln until it is closed. Closing the Broker closes
// ln. It returns nil then, and the listener's error otherwise.
func (b *Broker) Serve(ln net.Listener, e Endpoint) error {
	b.mu.Lock()
	if b.closed || b.lameDuck {
		b.mu.Unlock()
		ln.Close()
		return ErrClosed
	}
	at := &atomic.Pointer[Endpoint]{}
	at.Store(&e)
	b.listeners[ln] = at
	b.accepting.Add(1)
	b.mu.Unlock()
	defer b.accepting.Done()
	defer func() {
		b.mu.Lock()
		delete(b.listeners, ln)
		b.mu.Unlock()
	}()
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		if err == nil {
			wait = 0
			b.clients.Serve(nc, at.Load())
			continue
		}
		if b.stopping() || errors.Is(err, net.ErrClosed) {
			return nil
		}
		var ne net.Error
		if !errors.As(err, &ne) {
			return fmt.Errorf("broker: accept on %s: %w", e.Name, err)
		}
		// Out of descriptors, most likely: wait for some to be freed.
		wait = min(max(2*wait, 10*time.Millisecond), time.Second)
		b.log.Error("accept failed, retrying", "listener", e.Name, "error", err, "in", wait)
		select {
		case <-b.done:
			return nil
		case <-time.After(wait):
		}
	}
}

// SetEndpoint replaces the endpoint of ln for connections to come.
func (b *Broker) SetEndpoint(ln net.Listener, e Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.listeners[ln]; at != nil {
		at.Store(&e)
	}
}

func (b *Broker) stopping() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || b.lameDuck
}

// InProcessConn returns one end of a connection to b inside the process
// (nats.InProcessConnProvider).
func (b *Broker) InProcessConn() (net.Conn, error) {
	if b.stopping() {
		return nil, ErrClosed
	}
	near, far := net.Pipe()
	b.clients.Serve(far, inProcess)
	return near, nil
}

// closeListeners closes all listeners and waits for their accept loops.
func (b *Broker) closeListeners() {
	b.mu.Lock()
	lns := make([]net.Listener, 0, len(b.listeners)+len(b.leafListeners))
	for ln := range b.leafListeners {
		lns = append(lns, ln)
	}
	for ln := range b.listeners {
		lns = append(lns, ln)
	}
	b.mu.Unlock()
	for _, ln := range lns {
		ln.Close()
	}
	b.accepting.Wait()
}

// Shutdown closes listeners and connections and waits for them, or for ctx. What
// is queued for clients goes out first. A second call waits for the first.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		select {
		case <-b.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	b.trimming.Wait()
	b.events.stop()
	b.closeListeners()
	b.leafs.Close()
	b.clients.Refuse()
	b.clients.Abort()
	for _, c := range b.clients.Clients() {
		c.Close(conn.Shutdown)
	}
	var err error
	select {
	case <-b.clients.Empty():
	case <-ctx.Done():
		err = fmt.Errorf("broker: shutdown: %w", ctx.Err())
		for _, c := range b.clients.Clients() {
			c.Abandon()
		}
		<-b.clients.Empty()
	}
	b.loop.Close()
	b.pool.Close()
	close(b.done)
	return err
}

// Done is closed when Shutdown has finished.
func (b *Broker) Done() <-chan struct{} { return b.done }

// LameDuck closes the listeners, tells clients to go elsewhere, and after the
// grace period closes them one by one over the lame duck duration. It returns
// when none is left or ctx ends; Shutdown is still to be called.
func (b *Broker) LameDuck(ctx context.Context) error {
	b.mu.Lock()
	if b.closed || b.lameDuck {
		b.mu.Unlock()
		return ErrClosed
	}
	b.lameDuck = true
	b.mu.Unlock()
	b.closeListeners()
	b.events.lameDuck()
	cs := b.clients.Clients()
	for _, c := range cs {
		c.SendLameDuck()
	}
	b.clients.Refuse()
	if err := b.retire(ctx, cs); err != nil || len(cs) == 0 {
		return err
	}
	select {
	case <-b.clients.Empty():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// LameDuckListener is LameDuck for the listener called name alone: the broker
// and its other listeners go on. It returns when the last of the listener's
// clients has been told to go.
func (b *Broker) LameDuckListener(ctx context.Context, name string) error {
	b.mu.Lock()
	var ln net.Listener
	for l, e := range b.listeners {
		if e.Load().Name == name {
			ln = l
		}
	}
	b.mu.Unlock()
	if ln == nil {
		return fmt.Errorf("broker: no listener is called %q", name)
	}
	ln.Close()
	var cs []*client.Client
	for _, c := range b.clients.Clients() {
		if c.Listener() == name {
			cs = append(cs, c)
			c.SendLameDuck()
		}
	}
	return b.retire(ctx, cs)
}

// retire closes cs one by one over the lame duck duration, after the grace period.
func (b *Broker) retire(ctx context.Context, cs []*client.Client) error {
	o := b.Options()
	if !b.sleep(ctx, o.LameDuckGrace) {
		return ctx.Err()
	}
	for i, c := range cs {
		c.Close(conn.Shutdown)
		if i < len(cs)-1 && !b.sleep(ctx, o.LameDuckDuration/time.Duration(len(cs))) {
			return ctx.Err()
		}
	}
	return nil
}

// sleep waits for d, or less when no client is left or ctx ends; false for the
// latter.
func (b *Broker) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.clients.Empty():
	case <-ctx.Done():
		return false
	}
	return true
}
