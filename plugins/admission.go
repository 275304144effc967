package plugins

import (
	"errors"
	"fmt"
	"slices"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
)

// OnConnect has the plugins at the boundary connect look at a session
// (hook.Connect). They see no credentials.
func (m *Manager) OnConnect(from *hook.Origin, c *wire.ConnectOptions) error {
	for _, l := range *m.connecting.Load() {
		if !l.concerns(from) {
			continue
		}
		f := abi.Frame{Boundary: abi.Connect, Facts: facts(from, abi.Facts{Lang: c.Lang, Version: c.Version, Protocol: c.Protocol})}
		if err := l.admit(from, &f); err != nil {
			return err
		}
	}
	return nil
}

// OnSubscribe has the plugins at the boundary subscribe look at a subscription
// (hook.Subscribe).
func (m *Manager) OnSubscribe(from *hook.Origin, subj, queue string) error {
	for _, l := range *m.subscribing.Load() {
		if !l.concerns(from) || !slices.ContainsFunc(l.b.Subjects, func(p string) bool {
			return subject.Overlap(p, subj) && (p[0] != '>' && p[0] != '*' || subj[0] != '$' && !isInbox(subj))
		}) {
			continue
		}
		f := abi.Frame{Boundary: abi.Subscribe, Subject: []byte(subj), Reply: []byte(queue), Facts: facts(from, abi.Facts{})}
		if err := l.admit(from, &f); err != nil {
			return err
		}
	}
	return nil
}

func isInbox(subj string) bool { return len(subj) > 7 && subj[:7] == "_INBOX." }

// concerns reports whether the link is for that connection.
func (l *link) concerns(from *hook.Origin) bool {
	if !l.listens(from.Listener) {
		return false
	}
	if len(l.b.Accounts) == 0 {
		return from.Account != l.v.slot.m.systemAccount()
	}
	return slices.Contains(l.b.Accounts, from.Account)
}

// admit has the plugin look at who wants something.
func (l *link) admit(from *hook.Origin, f *abi.Frame) error {
	if l.v.pool == nil { // it is required and not there
		return fmt.Errorf("plugin %s is required and not there", l.v.slot.name)
	}
	var none wire.Msg
	none.Subject = f.Subject
	verdict, err := l.look(from, from.Account, f, &none)
	r := &hook.Rejection{}
	switch {
	case verdict == hook.Pass && err == nil:
		return nil
	case errors.As(err, &r) && r.Reason != "":
		return fmt.Errorf("plugin %s: %s", l.v.slot.name, r.Reason)
	}
	return fmt.Errorf("plugin %s refuses it", l.v.slot.name)
}
