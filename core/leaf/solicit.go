package leaf

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"time"

	"ganglion/core/permission"
	"ganglion/core/wire"
)

// shaken is a connection whose handshake is done.
type shaken struct {
	nc    net.Conn
	peer  Peer
	info  *wire.LeafInfo // the hub's last
	wire  *counted
	perms *permission.Permissions // the hub's permissions for us; nil is everything
	scope *scope                  // of them, and of deny_imports, what we may ask for
	rtt   *func() time.Duration
}

// solicit connects to u and does the leaf's part of the handshake.
//
// plain has it decline compression: a hub may not have the patience for the round
// trip that this takes more.
func (m *Manager) solicit(ctx context.Context, r *Remote, u *url.URL, plain bool) (s *shaken, err error) {
	o := m.options()
	var nc net.Conn
	dialing, cancel := context.WithTimeout(ctx, DefaultDialTimeout)
	if dial := o.Dial[u.Scheme]; dial != nil {
		nc, err = dial(dialing, u, r)
	} else {
		nc, err = (&net.Dialer{}).DialContext(dialing, "tcp", address(u))
	}
	cancel()
	if err != nil {
		return nil, err
	}
	base := nc
	defer func() {
		if err != nil {
			base.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { base.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wait := r.FirstInfoTimeout
	if wait == 0 {
		wait = DefaultDialTimeout
	}
	base.SetDeadline(time.Now().Add(wait))
	secure := false
	if r.TLSFirst {
		if nc, err = m.secure(ctx, nc, r, u); err != nil {
			return nil, err
		}
		secure = true
	}
	info, err := readInfo(nc)
	if err != nil {
		return nil, fmt.Errorf("waiting for the first INFO: %w", err)
	}
	if !leafPort(info) {
		return nil, errWrongPort
	}
	base.SetDeadline(time.Now().Add(o.Handshake))
	if o.Cluster != "" && info.Cluster == o.Cluster {
		return nil, &peerError{textCluster}
	}
	if !secure && (info.TLSRequired || r.TLS != nil || u.Scheme == "tls") && u.Scheme != "wss" && u.Scheme != "quic" {
		if !info.TLSRequired && !info.TLSAvailable {
			return nil, fmt.Errorf("the hub does no TLS, which the remote wants")
		}
		if nc, err = m.secure(ctx, nc, r, u); err != nil {
			return nil, err
		}
	}
	s = &shaken{nc: nc, info: info}
	zero := func() time.Duration { return 0 }
	s.rtt = &zero
	mode := r.Compression
	if mode == "" {
		mode = Auto
	}
	ours := Off
	if plain {
		mode = Off
	}
	if c, on := negotiate(mode, Compression(info.Compression)); on {
		ours = c
		ask := wire.LeafInfo{ClientID: info.ClientID, Compression: string(mode)}
		if _, err := nc.Write(wire.AppendLine(nil, "INFO", &ask)); err != nil {
			return nil, err
		}
		s.compress(ours)
		if info, err = readInfo(s.nc); err != nil {
			return nil, fmt.Errorf("waiting for INFO under S2: %w", err)
		}
		s.info = info
	}
	c, err := m.connectOf(o, r, u, info)
	if err != nil {
		return nil, err
	}
	c.Compression = string(ours)
	if ours == Auto {
		c.Compression = string(Uncompressed)
	}
	if _, err := s.nc.Write(wire.AppendLine(nil, "CONNECT", c)); err != nil {
		return nil, err
	}
	final := info
	if info.InfoOnConnect {
		if final, err = readInfo(s.nc); err != nil {
			return nil, fmt.Errorf("waiting for the hub to answer CONNECT: %w", err)
		}
	}
	if s.perms, err = permits(final); err != nil {
		return nil, err
	}
	if s.scope, err = newScope(subscribeRules(s.perms), append(notAsked(info.Domain), r.DenyImports...)); err != nil {
		return nil, fmt.Errorf("deny_imports, or the hub's permissions: %w", err)
	}
	s.info = info
	s.peer = Peer{
		ServerID: info.ServerID, Name: info.ServerName, Version: info.Version, Cluster: info.Cluster, Domain: info.Domain, Account: final.RemoteAccount, Hub: !r.Hub,
		Headers: info.Headers && !o.NoHeaders, Compression: ours, Addr: base.RemoteAddr().String(),
	}
	base.SetDeadline(time.Time{})
	return s, nil
}

// streamAPI is what does not cross a link to a hub: the API of this server's own
// streams and of the hub's, which is reached by its domain, and the subjects of
// buckets, which would be mixed up with those of the same name there. A hub ends
// links on which it is asked for them.
func streamAPI() []string { return []string{"$JS.API.>", "$KV.>", "$OBJ.>"} }

// notAsked is what a hub of a domain must not be asked for.
func notAsked(domain string) []string {
	list := streamAPI()
	if domain != "" {
		list = append(list, "$JS."+domain+".API.>")
	}
	return list
}

// compress puts S2 on the connection.
func (s *shaken) compress(mode Compression) {
	if x, ok := s.nc.(Framed); ok {
		x.Below(func(nc net.Conn) net.Conn {
			s.wire = &counted{Conn: nc}
			return newS2(s.wire, mode, func() time.Duration { return (*s.rtt)() })
		})
		return
	}
	s.wire = &counted{Conn: s.nc}
	rtt := s.rtt
	s.nc = newS2(s.wire, mode, func() time.Duration { return (*rtt)() })
}

// permits compiles what the hub lets us do.
func permits(i *wire.LeafInfo) (*permission.Permissions, error) {
	rules := func(p *wire.LeafPermits) *permission.Rules {
		if p == nil {
			return nil
		}
		return &permission.Rules{Allow: p.Allow, Deny: p.Deny}
	}
	if i.Import == nil && i.Export == nil {
		return nil, nil
	}
	p, err := permission.Compile(permission.Spec{Publish: rules(i.Export), Subscribe: rules(i.Import)})
	if err != nil {
		return nil, fmt.Errorf("the hub's permissions make no sense: %w", err)
	}
	return p, nil
}

// secure puts TLS on nc.
func (m *Manager) secure(ctx context.Context, nc net.Conn, r *Remote, u *url.URL) (net.Conn, error) {
	cfg := &tls.Config{}
	if r.TLS != nil {
		cfg = r.TLS.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	t := tls.Client(nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

// connectOf says who we are.
func (m *Manager) connectOf(o *Options, r *Remote, u *url.URL, info *wire.LeafInfo) (*wire.LeafConnect, error) {
	acc := r.Account
	if acc == "" {
		acc = "$G"
	}
	cluster := o.Cluster
	if cluster == "" {
		cluster = o.ServerName
	}
	c := &wire.LeafConnect{
		Version: o.Version, ServerID: o.ServerID, Name: o.ServerName, Cluster: cluster, Domain: o.Domain, Hub: r.Hub, Isolate: r.Isolate,
		Headers: !o.NoHeaders, DenyPub: r.DenyImports, RemoteAccount: acc, Proto: 3,
	}
	if r.Credentials != nil {
		jwt, nkey, sign, err := r.Credentials()
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		c.JWT, c.NKey = jwt, nkey
		if sign != nil {
			sig, err := sign([]byte(info.Nonce))
			if err != nil {
				return nil, fmt.Errorf("credentials: %w", err)
			}
			c.Sig = base64.RawURLEncoding.EncodeToString(sig)
		}
		if c.JWT != "" {
			c.NKey = ""
		}
	} else if u.User != nil {
		if pass, both := u.User.Password(); both {
			c.User, c.Pass = u.User.Username(), pass
		} else {
			c.AuthToken = u.User.Username()
		}
	}
	return c, nil
}
