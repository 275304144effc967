package account

import (
	"reflect"
	"slices"

	"ganglion/core/sublist"
)

// stream is a stream that an account imports.
type stream struct {
	bridge *bridge
	from   *Account
	imp    *Import
}

// shadow has sub, a subscription of the importing account, see what of the
// stream it matches; that account's importing is held.
func (s *stream) shadow(sub *Subscription) {
	far := s.bridge.farOf(sub.Subject())
	if far == "" || sub.Via != nil {
		return
	}
	sh := newShadow(sub, s.bridge, far, s.imp.AllowTrace)
	sh.entry.Value, sh.account = sh, s.from
	if sub.deny.Load() != nil {
		s.from.filtered.Store(true)
	}
	s.from.insert(sh)
	sub.shadows = append(sub.shadows, sh)
}

// unshadow takes back what shadow did; importing of s's account is held.
func (s *Subscription) unshadow() {
	for _, sh := range s.shadows {
		sh.account.remove(sh)
	}
	s.shadows = nil
}

// ServiceImport is a service that an account imports: what is published on Near there
// goes on in the account To.
type ServiceImport struct {
	From, To *Account
	Near     string // pattern in From
	bridge   *bridge
	Import   *Import
	Export   *Export // of To
}

// Far appends what To calls subj, which Near matches.
func (s *ServiceImport) Far(dst, subj []byte) []byte { return s.bridge.toFar(dst, subj) }

// Back returns the service by which who gets an answer may answer that in turn.
func (s *ServiceImport) Back() *ServiceImport {
	e := &Export{Kind: Service, Response: s.Export.Response, Threshold: s.Export.Threshold}
	return &ServiceImport{From: s.To, To: s.From, Import: s.Import, Export: e}
}

// setImports replaces what a imports. What stays the same goes on undisturbed.
func (a *Account) setImports(streams []*stream, services []*ServiceImport) {
	a.importing.Lock()
	defer a.importing.Unlock()
	a.setServices(services)
	old := a.streams
	fresh := map[*bridge]bool{}
	kept := map[*bridge]bool{}
	for i, s := range streams {
		if at := slices.IndexFunc(old, s.same); at >= 0 {
			streams[i] = old[at]
			kept[old[at].bridge] = true
		} else {
			fresh[s.bridge] = true
		}
	}
	a.streams = streams
	if len(fresh) == 0 && len(kept) == len(old) {
		return
	}
	for _, sub := range a.list.All() {
		sub.shadows = slices.DeleteFunc(sub.shadows, func(sh *Subscription) bool {
			gone := !kept[sh.Via.stream]
			if gone {
				sh.account.remove(sh)
			}
			return gone
		})
		for _, s := range streams {
			if fresh[s.bridge] {
				s.shadow(sub)
			}
		}
	}
}

func (a *Account) setServices(services []*ServiceImport) {
	var next []*Subscription
	for _, s := range services {
		at := slices.IndexFunc(a.services, func(sub *Subscription) bool { return sub.Via.Service.same(s) })
		if at >= 0 {
			next = append(next, a.services[at])
			a.services = slices.Delete(a.services, at, at+1)
			continue
		}
		sub := &Subscription{Via: &Via{Service: s}, account: a}
		sub.entry = sublist.Entry[*Subscription]{Value: sub, Subject: s.Near}
		a.insert(sub)
		next = append(next, sub)
	}
	for _, sub := range a.services {
		a.remove(sub)
	}
	a.services = next
}

// same reports whether s and o are one import.
func (s *stream) same(o *stream) bool {
	return s.from == o.from && s.bridge.same(o.bridge) && *s.imp == *o.imp
}

// same reports whether s and o are one import, answered alike.
func (s *ServiceImport) same(o *ServiceImport) bool {
	return s.To == o.To && s.bridge.same(o.bridge) && *s.Import == *o.Import && reflect.DeepEqual(s.Export, o.Export)
}

func (b *bridge) same(o *bridge) bool {
	return b.far == o.far && b.near == o.near && slices.Equal(b.nearT, o.nearT)
}

// ServiceImports returns the subscriptions by which a's imported services are
// asked.
func (a *Account) ServiceImports() []*Subscription {
	a.importing.RLock()
	defer a.importing.RUnlock()
	return append([]*Subscription(nil), a.services...)
}
