package account

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"ganglion/core/hook"
	"ganglion/core/subject"
)

// Registry holds the accounts of a broker. Create it with NewRegistry; it is
// safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex
	accounts map[string]*Account
	system   string
	implicit []Import // that every account has of the system account
	hooks    func(account string) *hook.Table
}

// NewRegistry returns a Registry with the global account and a system account
// called system ("" is System).
func NewRegistry(system string) *Registry {
	if system == "" {
		system = System
	}
	r := &Registry{accounts: map[string]*Account{}, system: system}
	for _, name := range []string{Global, system} {
		r.accounts[name] = r.make(name)
	}
	return r
}

// make returns a new account with its hooks.
func (r *Registry) make(name string) *Account {
	a := New(name)
	if r.hooks != nil {
		a.SetHooks(r.hooks(name))
	}
	return a
}

// SetHooks has hooks say which hooks each account has, those that come later
// included. It is called with the Registry locked.
func (r *Registry) SetHooks(hooks func(account string) *hook.Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = hooks
	for name, a := range r.accounts {
		a.SetHooks(hooks(name))
	}
}

// Get returns the account called name, or nil.
func (r *Registry) Get(name string) *Account {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.accounts[name]
}

// Global returns the account of those who name no other.
func (r *Registry) Global() *Account { return r.Get(Global) }

// System returns the system account.
func (r *Registry) System() *Account {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.accounts[r.system]
}

// All returns the accounts ordered by name.
func (r *Registry) All() []*Account {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*Account, 0, len(r.accounts))
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		all = append(all, r.accounts[name])
	}
	return all
}

// SetSystem makes the account called name the system account.
func (r *Registry) SetSystem(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == r.system {
		return
	}
	if r.accounts[name] == nil {
		r.accounts[name] = r.make(name)
	}
	r.system = name
	r.link("")
}

// SetImplicit has every account but the system account itself import services of
// the system account, whatever its Spec says and without an export. In their To
// and Subject "{account}" stands for the importing account's name. It takes hold
// with the next Prepare or Update of an account.
func (r *Registry) SetImplicit(services []Import) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.implicit = services
	r.link("")
}

// Prepare checks specs as all the accounts there are to be, beside the global
// and the system account. commit makes them that and returns the names of
// accounts that are gone. An import that no export answers, a cycle and a name
// twice are errors.
func (r *Registry) Prepare(specs []Spec, system string) (commit func() (gone []string), err error) {
	if system == "" {
		system = System
	}
	byName := map[string]*Spec{}
	for i := range specs {
		s := &specs[i]
		if byName[s.Name] != nil {
			return nil, fmt.Errorf("account: %q is there twice; merge the two", s.Name)
		}
		byName[s.Name] = s
	}
	if system != System && byName[system] == nil {
		return nil, fmt.Errorf("account: system_account %q is none of the accounts; add it to accounts { }", system)
	}
	for _, name := range []string{Global, system} {
		if byName[name] == nil {
			byName[name] = &Spec{Name: name, Limits: NoLimits}
		}
	}
	lookup := func(name string) *Spec { return byName[name] }
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if err := check(byName[name], lookup); err != nil {
			return nil, fmt.Errorf("account: %q: %w", name, err)
		}
	}
	if err := checkCycles(byName, lookup); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return func() []string {
		r.mu.Lock()
		defer r.mu.Unlock()
		var gone []string
		for name, a := range r.accounts {
			if byName[name] == nil {
				gone = append(gone, name)
				a.setImports(nil, nil)
				delete(r.accounts, name)
			}
		}
		for name, s := range byName {
			a := r.accounts[name]
			if a == nil {
				a = r.make(name)
				r.accounts[name] = a
			}
			a.adopt(s)
		}
		r.system = system
		r.link("")
		slices.Sort(gone)
		return gone
	}, nil
}

// Update adds or replaces one account, as when its JWT was loaded. Imports that
// don't hold are left out and returned as errors; they take hold when the other
// account's Update comes.
func (r *Registry) Update(s Spec) (*Account, []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[s.Name]
	if a == nil {
		a = r.make(s.Name)
		r.accounts[s.Name] = a
	}
	a.adopt(&s)
	return a, r.link(s.Name)
}

// adopt makes s what a is.
func (a *Account) adopt(s *Spec) {
	a.spec.Store(s)
	a.SetMappings(s.Mappings)
}

// link resolves the imports of all accounts, or, unless name is "", of the
// account name and those that import from it. It returns what does not hold of
// name's.
func (r *Registry) link(name string) (errs []error) {
	specs := func(name string) *Spec {
		if a := r.accounts[name]; a != nil {
			return a.Spec()
		}
		return nil
	}
	for n, a := range r.accounts {
		s := a.Spec()
		if name != "" && n != name && !slices.ContainsFunc(s.Imports, func(i Import) bool { return i.Account == name }) {
			continue
		}
		var streams []*stream
		var services []*ServiceImport
		for i := range s.Imports {
			imp := &s.Imports[i]
			b, exp, err := resolve(s, imp, specs)
			if err == nil {
				err = cycle(s.Name, b.near, imp, b, specs)
			}
			switch {
			case err != nil:
				if n == name {
					errs = append(errs, err)
				}
			case imp.Kind == Stream:
				streams = append(streams, &stream{bridge: b, from: r.accounts[imp.Account], imp: imp})
			default:
				services = append(services, &ServiceImport{From: a, To: r.accounts[imp.Account], Near: b.near, bridge: b, Import: imp, Export: exp})
			}
		}
		if n != r.system {
			services = append(services, r.implicitOf(a)...)
		}
		a.setImports(streams, services)
	}
	return errs
}

// implicitOf returns the services that a has of the system account.
func (r *Registry) implicitOf(a *Account) []*ServiceImport {
	var list []*ServiceImport
	for i := range r.implicit {
		imp := r.implicit[i]
		imp.Account = r.system
		imp.Subject, imp.To = named(imp.Subject, a.name), named(imp.To, a.name)
		b, err := newBridge(imp.Subject, imp.To)
		if err != nil {
			continue // an account's name that is no token has none
		}
		list = append(list, &ServiceImport{From: a, To: r.accounts[r.system], Near: b.near, bridge: b, Import: &imp, Export: &implicitExport})
	}
	return list
}

// implicitExport is what the system account's own services are exported by.
var implicitExport = Export{Kind: Service, Subject: ">", Response: Streamed}

func named(subj, name string) string {
	const mark = "{account}"
	for i := 0; i+len(mark) <= len(subj); i++ {
		if subj[i:i+len(mark)] == mark {
			return subj[:i] + name + subj[i+len(mark):]
		}
	}
	return subj
}

// check reports what is wrong with s among specs.
func check(s *Spec, specs func(string) *Spec) error {
	for i := range s.Exports {
		e := &s.Exports[i]
		if !subject.Valid(e.Subject) {
			return fmt.Errorf("export of %s %q: the subject is not valid", e.Kind, e.Subject)
		}
		if p := e.TokenPosition; p != 0 {
			toks := subject.Tokens(e.Subject, nil)
			if p < 1 || p > len(toks) || toks[p-1] != "*" {
				return fmt.Errorf("export of %s %q: account_token_position %d must be the place of a * in it", e.Kind, e.Subject, p)
			}
		}
	}
	for i := range s.Imports {
		if _, _, err := resolve(s, &s.Imports[i], specs); err != nil {
			return err
		}
	}
	return nil
}
