package limit

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Action is what becomes of what is above a rate.
type Action uint8

const (
	// Inherit is what a wider rule says, and Throttle where none says anything.
	Inherit Action = iota
	// Throttle has the connection not be read until it may go on. Nothing is lost.
	Throttle
	// Drop ends the message, and its publisher is told so.
	Drop
	// Disconnect ends the connection. Clients come back by themselves.
	Disconnect
)

var actions = [...]string{Inherit: "", Throttle: "throttle", Drop: "drop", Disconnect: "disconnect"}

// String returns the action's name in the configuration; "" for Inherit.
func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return "unknown"
}

// ParseAction reads throttle, drop or disconnect, in any case.
func ParseAction(s string) (Action, error) {
	if i := slices.Index(actions[:], strings.ToLower(s)); i > 0 {
		return Action(i), nil
	}
	return Inherit, fmt.Errorf("action %q is none of throttle, drop and disconnect", s)
}

// DefaultBurst is how many seconds' worth may come at once.
const DefaultBurst = time.Second

// Rates bound one scope. Each is a number a second; 0 says nothing, negative is no
// limit, also where a wider rule has one.
type Rates struct {
	Messages      float64 // published
	Bytes         float64 // of their headers and payloads
	Subscriptions float64 // SUBs
	Connects      float64 // new connections; not in the scope of one connection
	// Burst is the time in which as much may come at once as the rates allow in
	// it, after a silence of that length: rates times seconds, and one message
	// or connection at least. 0 is DefaultBurst.
	Burst time.Duration
	// Action is what becomes of messages and subscriptions above the rates.
	// Connects are delayed for a second at most by Throttle and closed in silence
	// beyond, and at once by the others.
	Action Action
}

// None reports whether r bounds nothing.
func (r *Rates) None() bool {
	return r.Messages <= 0 && r.Bytes <= 0 && r.Subscriptions <= 0 && r.Connects <= 0
}

// burst returns how many tokens a bucket of rate holds.
func (r *Rates) burst(rate float64) float64 {
	d := r.Burst
	if d == 0 {
		d = DefaultBurst
	}
	return max(rate*d.Seconds(), 1)
}

// over returns r, with what it says nothing about as in wider.
func (r Rates) over(wider Rates) Rates {
	pick := func(x, y float64) float64 {
		if x != 0 {
			return x
		}
		return y
	}
	r.Messages, r.Bytes = pick(r.Messages, wider.Messages), pick(r.Bytes, wider.Bytes)
	r.Subscriptions, r.Connects = pick(r.Subscriptions, wider.Subscriptions), pick(r.Connects, wider.Connects)
	if r.Burst == 0 {
		r.Burst = wider.Burst
	}
	if r.Action == Inherit {
		r.Action = wider.Action
	}
	return r
}

// narrowed returns r where x, which is set by somebody of less authority, can
// only take away: the lower rates, the shorter burst, the harsher action.
func (r Rates) narrowed(x Rates) Rates {
	if x == (Rates{}) {
		return r
	}
	if r.None() {
		return x
	}
	low := func(x, y float64) float64 {
		switch {
		case x <= 0:
			return y
		case y <= 0:
			return x
		}
		return min(x, y)
	}
	r.Messages, r.Bytes = low(r.Messages, x.Messages), low(r.Bytes, x.Bytes)
	r.Subscriptions, r.Connects = low(r.Subscriptions, x.Subscriptions), low(r.Connects, x.Connects)
	if x.Burst > 0 && (r.Burst == 0 && x.Burst < DefaultBurst || x.Burst < r.Burst) {
		r.Burst = x.Burst
	}
	r.Action = max(r.Action, x.Action)
	return r
}

// check returns what is wrong with r, which is called name.
func (r *Rates) check(name string) error {
	for _, x := range []struct {
		key string
		v   float64
	}{{"messages", r.Messages}, {"bytes", r.Bytes}, {"subscriptions", r.Subscriptions}, {"connects", r.Connects}} {
		if math.IsNaN(x.v) || math.IsInf(x.v, 0) {
			return fmt.Errorf("rate_limits: %s.%s is %v; use a number a second", name, x.key, x.v)
		}
	}
	switch {
	case r.Burst < 0:
		return fmt.Errorf("rate_limits: %s.burst is %v; use a duration such as \"2s\"", name, r.Burst)
	case r.Action > Disconnect:
		return fmt.Errorf("rate_limits: %s.action is %d; use throttle, drop or disconnect", name, r.Action)
	}
	return nil
}

// Scopes are the rates of each scope: of one connection, of all connections of a
// user, of an account, of an address.
type Scopes struct {
	Connection, User, Account, Address Rates
}

// None reports whether s bounds nothing.
func (s *Scopes) None() bool {
	return s.Connection.None() && s.User.None() && s.Account.None() && s.Address.None()
}

// Limits are the rates of an edge. The zero value bounds nothing.
type Limits struct {
	// Connection bounds each connection, User all those of one user, Account all
	// of one account, Address all from one IPv4 address or IPv6 network of 64 bits.
	Connection, User, Account, Address Rates
	// Accounts are differences by account; their Address is not looked at. What
	// one says nothing about is as above.
	Accounts map[string]Scopes
	// Exempt are networks whose connections are not bounded.
	Exempt []netip.Prefix
}

// None reports whether l bounds nothing.
func (l *Limits) None() bool {
	if len(l.Exempt) > 0 {
		return false // from limits in JWTs as well
	}
	for _, s := range l.Accounts {
		if !s.Connection.None() || !s.User.None() || !s.Account.None() {
			return false
		}
	}
	return l.Connection.None() && l.User.None() && l.Account.None() && l.Address.None()
}

// Check returns what is wrong with l.
func (l *Limits) Check() error {
	for _, x := range []struct {
		name string
		r    *Rates
	}{{"connection", &l.Connection}, {"user", &l.User}, {"account", &l.Account}, {"address", &l.Address}} {
		if err := x.r.check(x.name); err != nil {
			return err
		}
	}
	for name, s := range l.Accounts {
		for _, r := range []*Rates{&s.Connection, &s.User, &s.Account} {
			if err := r.check("accounts." + name); err != nil {
				return err
			}
		}
	}
	return nil
}

// For returns what holds in an account for somebody with these own limits (see
// Tags), which can only narrow what l says. It returns nil if that is nothing.
func (l *Limits) For(account string, own Scopes) *Scopes {
	s := Scopes{Connection: l.Connection, User: l.User, Account: l.Account, Address: l.Address}
	if x, ok := l.Accounts[account]; ok {
		s.Connection, s.User, s.Account = x.Connection.over(s.Connection), x.User.over(s.User), x.Account.over(s.Account)
	}
	s.Connection, s.User = s.Connection.narrowed(own.Connection), s.User.narrowed(own.User)
	if s.None() {
		return nil
	}
	return &s
}

// Exempts reports whether connections from addr are not bounded.
func (l *Limits) Exempts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(l.Exempt, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Network returns what addresses are counted by: an IPv4 address itself, the
// network of 64 bits of an IPv6 address.
func Network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64)
	return p.Addr()
}
