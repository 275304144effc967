package hook

import (
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// Chain is the hooks that a subject's messages meet, in order. A nil Chain is
// empty: calling it costs one comparison.
type Chain struct {
	publish []*Binding
	deliver []*Binding
	in, out []*Binding // at links
}

func newChain(bindings []*Binding) *Chain {
	c := &Chain{}
	seen := map[uint64]bool{}
	for _, b := range bindings {
		if b.ID != 0 && seen[b.ID] {
			continue
		}
		seen[b.ID] = true
		if b.Publish != nil {
			c.publish = append(c.publish, b)
		}
		if b.Deliver != nil {
			c.deliver = append(c.deliver, b)
		}
		if b.LeafIn != nil {
			c.in = append(c.in, b)
		}
		if b.LeafOut != nil {
			c.out = append(c.out, b)
		}
	}
	return c
}

// Publish runs the publish hooks until one does not pass. Once one has replaced
// the subject, those that are not for the new one are left out.
func (c *Chain) Publish(from *Origin, m *wire.Msg) (Verdict, error) {
	was, moved := m.Subject, false
	for _, b := range c.publish {
		if moved && !b.covers(m.Subject) {
			continue
		}
		if v, err := b.Publish.OnPublish(from, m); v != Pass || err != nil {
			if err != nil {
				v = Reject
			}
			return v, err
		}
		moved = moved || !same(was, m.Subject)
	}
	return Pass, nil
}

// LeafIn runs the hooks on what came over a link as Publish does its own.
func (c *Chain) LeafIn(from *Origin, m *wire.Msg) (Verdict, error) {
	was, moved := m.Subject, false
	for _, b := range c.in {
		if moved && !b.covers(m.Subject) {
			continue
		}
		if v, err := b.LeafIn.OnPublish(from, m); v != Pass || err != nil {
			return Drop, err // there is nobody to be told
		}
		moved = moved || !same(was, m.Subject)
	}
	return Pass, nil
}

// LeafOut runs the hooks on what is to go over a link as Deliver does its own.
func (c *Chain) LeafOut(to Zone, m *wire.Msg) (Verdict, error) {
	for _, b := range c.out {
		if v, err := b.LeafOut.OnDeliver(to, m); v != Pass || err != nil {
			return Drop, err
		}
	}
	return Pass, nil
}

// Ins reports whether there are hooks on what comes over links.
func (c *Chain) Ins() bool { return c != nil && len(c.in) > 0 }

// Outs reports whether there are hooks on what goes over links.
func (c *Chain) Outs() bool { return c != nil && len(c.out) > 0 }

func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Publishes reports whether there are publish hooks.
func (c *Chain) Publishes() bool { return c != nil && len(c.publish) > 0 }

// Delivers reports whether there are deliver hooks.
func (c *Chain) Delivers() bool { return c != nil && len(c.deliver) > 0 }

// Deliver runs the deliver hooks until one does not pass.
func (c *Chain) Deliver(to Zone, m *wire.Msg) (Verdict, error) {
	for _, b := range c.deliver {
		if v, err := b.Deliver.OnDeliver(to, m); v != Pass || err != nil {
			if err != nil {
				v = Drop
			}
			return v, err
		}
	}
	return Pass, nil
}

// covers reports whether b is for messages on subj.
func (b *Binding) covers(subj []byte) bool {
	return subject.MatchBytes(b.Pattern, subj) && (b.Reserved || !b.wild() || !reserved(subj))
}

// wild reports whether the pattern begins with a wildcard.
func (b *Binding) wild() bool { return b.Pattern[0] == '*' || b.Pattern[0] == '>' }
