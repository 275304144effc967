package account

import "slices"

// Watcher is told of interest as it comes and goes, for links that announce it.
// It is called while the account is locked for such changes, by many goroutines at
// the same time; when Changed returns the change is as good as announced to those
// who publish after it.
type Watcher interface {
	// Changed tells that sub came (1) or went (-1).
	Changed(sub *Subscription, by int)
}

// Watch has w told of everything that a has, and of every change from now on; nil
// ends that.
func (a *Account) Watch(w Watcher) {
	a.importing.Lock()
	defer a.importing.Unlock()
	if w == nil {
		a.watch.Store(nil)
		return
	}
	a.watch.Store(&w)
	for _, sub := range a.list.All() {
		w.Changed(sub, 1)
	}
}

// order puts what r has of links where the router wants it.
func (r *Result) order() {
	// Few links, and few of their patterns that match one subject: looking
	// through what was kept is all there is to it.
	kept := r.Plain[:0]
	for _, sub := range r.Plain {
		if !sub.Link() {
			kept = append(kept, sub)
			continue
		}
		r.Linked = true
		if sub.Via != nil || !slices.ContainsFunc(kept, func(o *Subscription) bool { return o.Via == nil && o.Sink == sub.Sink }) {
			kept = append(kept, sub)
		}
	}
	clear(r.Plain[len(kept):])
	r.Plain = kept
	for i := range r.Groups {
		g := &r.Groups[i]
		at := 0
		for k, sub := range g.Members {
			if !sub.Link() {
				g.Members[k], g.Members[at] = g.Members[at], sub
				at++
			}
		}
		g.Far = len(g.Members) - at
		r.Linked = r.Linked || g.Far > 0
	}
}
