package broker

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// Hook is a hook on subjects of some accounts.
type Hook struct {
	hook.Binding
	// Accounts are those whose messages it sees; none is all but the system
	// account.
	Accounts []string
}

// SetHooks replaces the hooks that were set before, for messages that are read
// from now on; those of Options stay, in front. It may be called at any time, and
// disturbs neither messages nor connections.
func (b *Broker) SetHooks(hooks []Hook) {
	b.hooking.Lock()
	defer b.hooking.Unlock()
	b.hooks = hooks
	b.bindHooks()
}

// rebindHooks is called after a reload: another account may be the system's.
func (b *Broker) rebindHooks() {
	b.hooking.Lock()
	defer b.hooking.Unlock()
	b.bindHooks()
}

func (b *Broker) bindHooks() {
	all := append(slices.Clone(b.ownHooks), b.hooks...)
	system := b.accounts.System().Name()
	tables := map[string]*hook.Table{} // accounts with the same hooks share one
	b.accounts.SetHooks(func(name string) *hook.Table {
		var list []hook.Binding
		var key []byte
		for i := range all {
			h := &all[i]
			if len(h.Accounts) == 0 && (name == system || name == account.System) || len(h.Accounts) > 0 && !slices.Contains(h.Accounts, name) {
				continue
			}
			list = append(list, h.Binding)
			key = binary.AppendUvarint(key, uint64(i))
		}
		t, ok := tables[string(key)]
		if !ok {
			t = hook.NewTable(list)
			tables[string(key)] = t
		}
		return t
	})
}

// hooksOf returns the hooks of o, which see every subject that they name.
func hooksOf(o *Options) (list []Hook) {
	for _, h := range o.Publish {
		list = append(list, Hook{Binding: hook.Binding{Pattern: h.Pattern, Publish: h.Hook, Reserved: true}})
	}
	for _, h := range o.Deliver {
		list = append(list, Hook{Binding: hook.Binding{Pattern: h.Pattern, Deliver: h.Hook, Reserved: true}})
	}
	return list
}

// PublishAs publishes m in an account ("" is the global one) on behalf of name,
// as a peer inside the process; hops is how many hooks' messages led to it. It
// returns an error if there is no such account. m is not kept.
func (b *Broker) PublishAs(name, acc string, hops int, m *wire.Msg) error {
	a := b.global
	if acc != "" {
		if a = b.accounts.Get(acc); a == nil {
			return fmt.Errorf("broker: there is no account %q", acc)
		}
	}
	b.hooking.Lock()
	key := peerKey{name, a}
	p := b.peers[key]
	if p == nil {
		if len(b.peers) >= maxPeers { // accounts come and go
			clear(b.peers)
		}
		p = b.PeerIn(a, name)
		b.peers[key] = p
	}
	b.hooking.Unlock()
	p.PublishHops(hops, m)
	return nil
}

// maxPeers bounds how many peers PublishAs keeps.
const maxPeers = 256

type peerKey struct {
	name string
	acc  *account.Account
}
