package plugins_test

import (
	"ganglion/core/hook"
	"ganglion/core/wire"
	"ganglion/plugins"
)

// late are the hooks of a Manager that comes after its broker.
type late struct{ m *plugins.Manager }

func (l *late) connect() []hook.Connect {
	return []hook.Connect{hook.ConnectFunc(func(from *hook.Origin, c *wire.ConnectOptions) error { return l.m.OnConnect(from, c) })}
}

func (l *late) subscribe() []hook.Subscribe {
	return []hook.Subscribe{hook.SubscribeFunc(func(from *hook.Origin, subject, queue string) error { return l.m.OnSubscribe(from, subject, queue) })}
}
