package subject

import "fmt"

// A Dest is one destination of a mapping.
type Dest struct {
	Subject string // as [NewTransform] takes it
	Weight  int    // percent of the messages, 0 to 100
	Cluster string // the cluster whose servers it is for; "" is all that have none of their own
}

// A Mapping spreads the subjects that a source matches over weighted
// destinations. It is immutable and may be used by any number of goroutines.
type Mapping struct {
	src      string
	dests    []weighted
	lossy    bool                // what is over 100 percent short goes nowhere
	clusters map[string]*Mapping // those with destinations of their own
}

// weighted takes the rolls below upTo that its predecessors did not.
type weighted struct {
	upTo uint32
	t    *Transform
}

// NewMapping compiles a mapping of the subjects that src matches. What its
// weights leave of 100 percent keeps its subject; but when src itself is one of
// the destinations the rest is lost, which is nats-server's way to test loss.
//
// The mapping uses the destinations without a cluster; see [Mapping.For].
func NewMapping(src string, dests ...Dest) (*Mapping, error) {
	if len(dests) == 0 {
		return nil, fmt.Errorf("mapping of %q has no destination; name one", src)
	}
	m := &Mapping{src: src}
	seen := make(map[string]bool, len(dests))
	for _, d := range dests {
		if seen[d.Subject] {
			return nil, fmt.Errorf("mapping of %q names the destination %q twice; name it once with the sum of the weights", src, d.Subject)
		}
		seen[d.Subject] = true
		if err := m.of(d.Cluster).add(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// of returns the part of m for a cluster's own destinations, for NewMapping.
func (m *Mapping) of(cluster string) *Mapping {
	if cluster == "" {
		return m
	}
	c := m.clusters[cluster]
	if c == nil {
		if m.clusters == nil {
			m.clusters = make(map[string]*Mapping)
		}
		c = &Mapping{src: m.src}
		m.clusters[cluster] = c
	}
	return c
}

func (m *Mapping) add(d Dest) error {
	if d.Weight < 0 || d.Weight > 100 {
		return fmt.Errorf("mapping of %q to %q has the weight %d; use a percentage from 0 to 100", m.src, d.Subject, d.Weight)
	}
	t, err := NewTransform(m.src, d.Subject)
	if err != nil {
		return err
	}
	upTo := uint32(d.Weight)
	if n := len(m.dests); n > 0 {
		upTo += m.dests[n-1].upTo
	}
	if upTo > 100 {
		return fmt.Errorf("mapping of %q has weights of %d percent with %q; lower them to 100 or less in sum", m.src, upTo, d.Subject)
	}
	m.dests = append(m.dests, weighted{upTo, t})
	m.lossy = m.lossy || d.Subject == m.src
	return nil
}

// For returns the mapping as a server of the named cluster uses it: with the
// cluster's own destinations only, or with the common ones when it has none.
func (m *Mapping) For(cluster string) *Mapping {
	if c := m.clusters[cluster]; c != nil {
		return c
	}
	return m
}

// Match reports whether m applies to subj.
func (m *Mapping) Match(subj []byte) bool { return match(m.src, subj) }

// Append appends to dst what m makes of subj, which m must match, and returns
// the extended slice. rnd, a random number, chooses the destination. When nothing
// was appended the message is lost, as [NewMapping] explains. It keeps neither
// slice and allocates only to grow dst.
func (m *Mapping) Append(dst, subj []byte, rnd uint32) []byte {
	roll := rnd % 100
	for i := range m.dests {
		if d := &m.dests[i]; roll < d.upTo {
			return d.t.Append(dst, subj)
		}
	}
	if m.lossy {
		return dst
	}
	return append(dst, subj...)
}

// Source returns the pattern of the subjects that m applies to.
func (m *Mapping) Source() string { return m.src }

// Dests returns the destinations that m uses, with their weights in percent;
// those of single clusters are left out.
func (m *Mapping) Dests() []Dest {
	var ds []Dest
	last := uint32(0)
	for _, d := range m.dests {
		ds = append(ds, Dest{Subject: d.t.dest, Weight: int(d.upTo - last)})
		last = d.upTo
	}
	return ds
}
