package account

import (
	"fmt"
	"slices"

	"ganglion/core/subject"
)

// resolve returns how imp of the account s is translated, and the export that
// answers it.
func resolve(s *Spec, imp *Import, specs func(string) *Spec) (*bridge, *Export, error) {
	what := fmt.Sprintf("import of %s %q from account %q", imp.Kind, imp.Subject, imp.Account)
	b, err := newBridge(imp.Subject, imp.To)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	if imp.Account == s.Name {
		return nil, nil, fmt.Errorf("%s: an account can't import from itself", what)
	}
	from := specs(imp.Account)
	if from == nil {
		return nil, nil, fmt.Errorf("%s: there is no such account", what)
	}
	why := "it exports no such subject"
	var best *Export
	for i := range from.Exports {
		e := &from.Exports[i]
		if e.Kind != imp.Kind || !subject.Covers(e.Subject, imp.Subject) {
			continue
		}
		if w := e.refuses(s.Name, imp); w != "" {
			why = w
			continue
		}
		if best == nil || subject.Covers(best.Subject, e.Subject) {
			best = e // the closest one says how it is answered
		}
	}
	if best == nil {
		return nil, nil, fmt.Errorf("%s is not authorized: %s", what, why)
	}
	return b, best, nil
}

// refuses returns why the account name may not have imp by e, "" if it may.
func (e *Export) refuses(name string, imp *Import) string {
	if p := e.TokenPosition; p != 0 {
		if toks := subject.Tokens(imp.Subject, nil); p > len(toks) || toks[p-1] != name {
			return fmt.Sprintf("token %d of the subject must be the importing account's name", p)
		}
		return ""
	}
	if e.Accounts != nil && !slices.Contains(e.Accounts, name) {
		if !e.Token {
			return "it is exported to other accounts"
		}
	}
	if !e.Token {
		return ""
	}
	if imp.Activated.IsZero() {
		return "it needs an activation token"
	}
	for _, who := range []string{name, "*"} {
		if at, ok := e.Revoked[who]; ok && imp.Activated.Unix() <= at {
			return "the activation is revoked"
		}
	}
	return ""
}

// checkCycles reports an import that leads back to itself.
func checkCycles(all map[string]*Spec, specs func(string) *Spec) error {
	for name, s := range all {
		for i := range s.Imports {
			imp := &s.Imports[i]
			b, _, err := resolve(s, imp, specs)
			if err != nil {
				return err
			}
			if err := cycle(name, b.near, imp, b, specs); err != nil {
				return err
			}
		}
	}
	return nil
}

// cycle follows imp, of the account origin, to the accounts that it leads to and
// reports when it comes back to where near is imported.
func cycle(origin, near string, imp *Import, b *bridge, specs func(string) *Spec) error {
	type place struct{ account, pattern string }
	seen := map[place]bool{}
	todo := []place{{imp.Account, b.far}}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if at.account == origin && subject.Overlap(at.pattern, near) {
			return fmt.Errorf("import of %s %q from account %q forms a cycle", imp.Kind, imp.Subject, imp.Account)
		}
		if seen[at] {
			continue
		}
		seen[at] = true
		s := specs(at.account)
		if s == nil {
			continue
		}
		for i := range s.Imports {
			next := &s.Imports[i]
			if next.Kind != imp.Kind {
				continue
			}
			nb, err := newBridge(next.Subject, next.To)
			if err != nil {
				continue
			}
			if far := nb.farOf(at.pattern); far != "" {
				todo = append(todo, place{next.Account, far})
			}
		}
	}
	return nil
}
