package leaf

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/wire"
)

// Endpoint says what a listener of leafs is.
type Endpoint struct {
	// Name of the listener.
	Name string
	// TLS is what leafs must do; nil is nothing. First has them begin with it.
	TLS   *tls.Config
	First bool
	// Secure says that connections come with TLS below them.
	Secure bool
	// MapTLS has the leaf's certificate say who it is.
	MapTLS bool
	// Account is that of leafs without credentials of their own accounts, where
	// Auth of Options lets them in as the global one; "" is that.
	Account string
	// Type is what allowed_connection_types calls the connections.
	Type string
}

// apiLevel is the JetStream API level that INFO says.
const apiLevel = wire.APILevel

// maxShaking bounds the handshakes of leafs that are under way.
const maxShaking = 1024

// Serve makes nc a link to a leaf, if it says who it is. It does not block.
func (m *Manager) Serve(nc net.Conn, e *Endpoint) {
	m.mu.Lock()
	closed := m.closed
	if !closed {
		m.wg.Add(1)
	}
	m.mu.Unlock()
	if closed {
		nc.Close()
		return
	}
	if m.shaking.Add(1) > maxShaking {
		m.shaking.Add(-1)
		m.wg.Done()
		nc.Close()
		return
	}
	go func() {
		defer m.wg.Done()
		defer m.shaking.Add(-1)
		l, err := m.admit(nc, e)
		if err != nil {
			m.opts.Log.Error("leafnode connection refused", "remote", nc.RemoteAddr(), "listener", e.Name, "error", err)
			// What was written last should arrive, and the peer may still be sending.
			if c, ok := nc.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
				nc.SetReadDeadline(time.Now().Add(time.Second))
				nc.Read(make([]byte, 1))
			}
			nc.Close()
			return
		}
		m.opts.Log.Info("leafnode connection created", "cid", l.cid, "remote", l.peer.Addr, "name", l.peer.Name, "account", l.acc.Name(), "compression", string(l.peer.Compression))
		if m.opts.Events != nil {
			m.opts.Events.LinkUp(l)
		}
	}()
}

// errLimit is returned where an account has as many leafs as it may.
var errLimit = errors.New("the account has as many leafs as it may")

const textLimit = "Maximum account leafnode connections exceeded"

var errAuth = errors.New("not let in")

// admit does the hub's part of the handshake.
func (m *Manager) admit(nc net.Conn, e *Endpoint) (*Link, error) {
	o := m.options()
	ctx, cancel := context.WithTimeout(m.ctx, o.AuthTimeout)
	defer cancel()
	base := nc
	stop := context.AfterFunc(ctx, func() { base.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	id := m.opts.NextID()
	nonce := auth.NewNonce()
	var state *tls.ConnectionState
	secure := func() error {
		t := tls.Server(nc, e.TLS)
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		nc = t
		s := t.ConnectionState()
		state = &s
		return nil
	}
	if e.TLS != nil && e.First {
		if err := secure(); err != nil {
			return nil, err
		}
	}
	info := wire.LeafInfo{
		ServerID: o.ServerID, ServerName: o.ServerName, Version: o.Version, Proto: 3, Go: runtime.Version(), Host: o.Host, Port: o.Port,
		Headers: !o.NoHeaders, AuthRequired: true, TLSRequired: e.TLS != nil, MaxPayload: o.MaxPayload, IP: base.LocalAddr().String(), ClientID: id, Nonce: nonce,
		Cluster: o.Cluster, Domain: o.Domain, Compression: string(o.Compression), APILevel: apiLevel, InfoOnConnect: true, LeafURLs: o.Advertise,
	}
	if e.TLS != nil {
		info.TLSVerify = e.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	}
	switch {
	case o.NoAdvertise:
		info.LeafURLs = nil
	case len(info.LeafURLs) == 0:
		info.LeafURLs = []string{base.LocalAddr().String()}
	}
	if _, err := nc.Write(wire.AppendLine(nil, "INFO", &info)); err != nil {
		return nil, err
	}
	if e.TLS != nil && !e.First {
		if err := secure(); err != nil {
			return nil, err
		}
	}
	s := &shaken{nc: nc}
	zero := func() time.Duration { return 0 }
	s.rtt = &zero
	c, mode, err := m.awaitConnect(s, o, &info)
	if err != nil {
		return nil, m.tell(s, err, wire.TextAuthTimeout)
	}
	if c.Lang != "" {
		return nil, m.tell(s, errors.New(textWrongPort), "")
	}
	own := o.Cluster
	if own != "" && c.Cluster == own {
		return nil, m.tell(s, errors.New(textCluster), "")
	}
	who, err := m.authenticate(ctx, o, e, c, nonce, base, state, id)
	if err != nil {
		return nil, m.tell(s, fmt.Errorf("%w: %w", errAuth, err), wire.TextAuthorization)
	}
	acc := who.Account
	if acc == nil || who.Anonymous && e.Account != "" {
		name := e.Account
		if name == "" {
			name = account.Global
		}
		if acc = o.Accounts.Get(name); acc == nil {
			return nil, m.tell(s, errAuth, wire.TextAuthorization)
		}
	}
	if n := acc.Spec().Limits.Leafs; n >= 0 && m.count(acc) >= n {
		return nil, m.tell(s, errLimit, textLimit)
	}
	s.peer = Peer{
		ServerID: c.ServerID, Name: c.Name, Version: c.Version, Cluster: c.Cluster, Domain: c.Domain, Account: c.RemoteAccount, Hub: c.Hub, Isolate: c.Isolate || o.Isolate,
		Headers: c.Headers && !o.NoHeaders, Compression: mode, Addr: base.RemoteAddr().String(), Listener: e.Name, User: who.User,
	}
	m.replace(&s.peer, acc)
	info.Nonce, info.Compression, info.ConnectInfo, info.RemoteAccount = "", "", true, acc.Name()
	info.AccountIsSys = acc == o.Accounts.System()
	if who.Permissions != nil {
		p := who.Permissions.Spec()
		if p.Subscribe != nil {
			info.Import = &wire.LeafPermits{Allow: p.Subscribe.Allow, Deny: p.Subscribe.Deny}
		}
		if p.Publish != nil {
			info.Export = &wire.LeafPermits{Allow: p.Publish.Allow, Deny: p.Publish.Deny}
		}
	}
	stop()
	base.SetDeadline(time.Time{})
	want, err := newScope(subscribeRules(who.Permissions), nil)
	if err != nil {
		return nil, m.tell(s, err, wire.TextAuthorization)
	}
	l := m.newLink(s, acc)
	l.cid = id
	l.pace = newPacer(o.LeafLimits)
	l.mayIn, l.mayWant = who.Permissions.Publish(), want
	if len(c.DenyPub) > 0 {
		l.denyOut = denying(c.DenyPub)
	}
	l.notes = wire.AppendLine(nil, "INFO", &info) // in front of what is announced
	m.accepted.Add(1)
	m.begin(l, s.nc, o)
	return l, nil
}

// tell has the peer know why it is refused, and returns err.
func (m *Manager) tell(s *shaken, err error, text string) error {
	var ne net.Error
	switch {
	case text == wire.TextAuthTimeout && !(errors.As(err, &ne) && ne.Timeout()):
		text = wire.TextAuthorization
	case text == "":
		text = err.Error()
	}
	s.nc.SetWriteDeadline(time.Now().Add(time.Second))
	s.nc.Write(wire.AppendErr(nil, text))
	return err
}

// awaitConnect reads CONNECT, which an INFO that asks for compression may precede.
func (m *Manager) awaitConnect(s *shaken, o *Options, info *wire.LeafInfo) (*wire.LeafConnect, Compression, error) {
	mode := Off
	for round := 0; ; round++ {
		line, err := readLine(s.nc)
		if err != nil {
			return nil, mode, fmt.Errorf("waiting for CONNECT: %w", err)
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "INFO":
			if round > 0 {
				return nil, mode, errors.New("a second INFO instead of CONNECT")
			}
			var asked wire.LeafInfo
			if err := json.Unmarshal([]byte(arg), &asked); err != nil {
				return nil, mode, fmt.Errorf("INFO makes no sense: %w", err)
			}
			theirs := Compression(asked.Compression)
			if err := theirs.Check(); err != nil {
				return nil, mode, err
			}
			c, on := negotiate(o.Compression, theirs)
			if !on {
				continue
			}
			mode = c
			s.compress(mode)
			again := *info
			again.Compression = string(effective(mode, 0))
			if mode == Auto {
				again.Compression = string(Auto)
			}
			if _, err := s.nc.Write(wire.AppendLine(nil, "INFO", &again)); err != nil {
				return nil, mode, err
			}
		case "CONNECT":
			c := &wire.LeafConnect{}
			if err := json.Unmarshal([]byte(arg), c); err != nil {
				return nil, mode, fmt.Errorf("CONNECT makes no sense: %w", err)
			}
			return c, mode, nil
		default:
			return nil, mode, fmt.Errorf("%.20q came instead of CONNECT", verb)
		}
	}
}

// authenticate finds out who a leaf is.
func (m *Manager) authenticate(ctx context.Context, o *Options, e *Endpoint, c *wire.LeafConnect, nonce string, nc net.Conn, state *tls.ConnectionState, id uint64) (*auth.Identity, error) {
	r := &auth.Request{
		Connect: &wire.ConnectOptions{User: c.User, Pass: c.Pass, AuthToken: c.AuthToken, NKey: c.NKey, Sig: c.Sig, JWT: c.JWT, Name: c.Name, Version: c.Version, Echo: true},
		Nonce:   nonce, TLS: state, MapTLS: e.MapTLS, Listener: e.Name, Type: e.Type, Kind: "Leafnode", CID: id,
	}
	if r.Type == "" {
		r.Type = auth.TypeLeaf
	}
	if ap, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		r.Remote = ap.Addr().Unmap()
	}
	return o.Auth.Authenticate(ctx, r)
}

// count returns how many leafs of acc were accepted.
func (m *Manager) count(acc *account.Account) int {
	n := 0
	for _, l := range m.Links() {
		if l.acc == acc && l.remote == nil {
			n++
		}
	}
	return n
}

// replace ends the link that the same leaf has already.
func (m *Manager) replace(p *Peer, acc *account.Account) {
	if p.ServerID == "" {
		return
	}
	for _, l := range m.Links() {
		if l.remote == nil && l.acc == acc && l.peer.ServerID == p.ServerID && l.peer.Name == p.Name && l.peer.Account == p.Account {
			m.opts.Log.Warn("the leaf is here again; its old connection is closed", "cid", l.cid, "name", p.Name, "account", acc.Name())
			l.fail(conn.DuplicateRemote, textDuplicate)
		}
	}
}
