package broker

import (
	"encoding/binary"
	"slices"

	"ganglion/core/account"
	"ganglion/core/hook"
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
