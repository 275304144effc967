package permission_test

import (
	"slices"
	"strings"
	"testing"

	"ganglion/core/permission"
)

// The model knows subjects as lists of tokens only.

func modelMatches(pattern, subj string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subj, ".")
	if slices.Contains(s, "") {
		return false
	}
	if last := len(p) - 1; p[last] == ">" && len(s) >= len(p) {
		p, s = p[:last], s[:last]
	}
	return slices.EqualFunc(p, s, func(p, s string) bool { return p == "*" || p == s })
}

// modelCovers is for a queue and a queue's pattern: as matching, but ">" as a
// name is only in ">".
func modelCovers(pattern, queue string) bool {
	if strings.HasSuffix("."+queue, ".>") && !strings.HasSuffix("."+pattern, ".>") {
		return false
	}
	return modelMatches(pattern, queue)
}

func modelAllows(r permission.Rules, subj string) bool {
	in := func(p string) bool { return modelMatches(p, subj) }
	return (r.Allow == nil || slices.ContainsFunc(r.Allow, in)) && !slices.ContainsFunc(r.Deny, in)
}

// modelConcerned returns the subjects of the entries for subscriptions in queue,
// and all of those with a queue at all.
func modelConcerned(entries []string, queue string) (plain, ours, queued []string) {
	for _, e := range entries {
		f := strings.FieldsFunc(e, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
		switch {
		case len(f) == 1:
			plain = append(plain, f[0])
			continue
		case queue != "" && modelCovers(f[1], queue):
			ours = append(ours, f[0])
		}
		queued = append(queued, f[0])
	}
	return plain, ours, queued
}

func modelSubscribe(r permission.Rules, subj, queue string) bool {
	in := func(p string) bool { return modelMatches(p, subj) }
	plain, ours, _ := modelConcerned(r.Deny, queue)
	if slices.ContainsFunc(plain, in) || slices.ContainsFunc(ours, in) {
		return false
	}
	if r.Allow == nil {
		return true
	}
	plain, ours, queued := modelConcerned(r.Allow, queue)
	if queue != "" && slices.ContainsFunc(queued, in) {
		return slices.ContainsFunc(ours, in)
	}
	return slices.ContainsFunc(plain, in)
}

// modelDelivers reports whether a message that matches an accepted subscription
// may go out.
func modelDelivers(r permission.Rules, queue, subj string) bool {
	plain, ours, _ := modelConcerned(r.Deny, queue)
	concerned := permission.Rules{Deny: append(plain, ours...)}
	if r.Allow != nil {
		plain, ours, _ := modelConcerned(r.Allow, queue)
		concerned.Allow = slices.Concat([]string{}, plain, ours)
	}
	return modelAllows(concerned, subj)
}

// FuzzPermissions compares with the model: allow and deny are lines, "-" as
// allow is no list; subs are subscriptions and subjects are published.
func FuzzPermissions(f *testing.F) {
	f.Fuzz(func(t *testing.T, allow, deny, subs, subjects string) {
		if len(allow)+len(deny)+len(subs)+len(subjects) > 2000 {
			t.Skip()
		}
		var r permission.Rules
		if allow != "-" {
			r.Allow = splitLines(allow)
		}
		r.Deny = splitLines(deny)
		if p, err := permission.Compile(permission.Spec{Publish: &r}); err == nil {
			for _, subj := range append(splitLines(subjects), "", subjects) {
				if got, want := p.Publish().Allows([]byte(subj)), modelAllows(r, subj); got != want {
					t.Errorf("%q: Allows(%q) is %v, want %v", r, subj, got, want)
				}
			}
		}
		p, err := permission.Compile(permission.Spec{Subscribe: &r})
		if err != nil {
			return
		}
		for _, sub := range splitLines(subs) {
			subj, queue, _ := strings.Cut(sub, " ")
			if !valid(subj) || queue != "" && !valid(queue) {
				continue
			}
			ok, filter := p.Subscribe(subj, queue)
			if want := modelSubscribe(r, subj, queue); ok != want {
				t.Errorf("%q: Subscribe(%q, %q) is %v, want %v", r, subj, queue, ok, want)
			}
			for _, msg := range splitLines(subjects) {
				if !ok || !modelMatches(subj, msg) {
					continue
				}
				if got, want := filter.Allows([]byte(msg)), modelDelivers(r, queue, msg); got != want {
					t.Errorf("%q: SUB %q %q: %q goes out: %v, want %v", r, subj, queue, msg, got, want)
				}
			}
		}
	})
}

func splitLines(s string) []string {
	list := []string{}
	for line := range strings.SplitSeq(s, "\n") {
		if line != "" {
			list = append(list, line)
		}
	}
	return list
}

// valid reports whether s may be subscribed to.
func valid(s string) bool {
	tokens := strings.Split(s, ".")
	return !strings.ContainsAny(s, " \t\r\n") && !slices.Contains(tokens, "") &&
		!slices.Contains(tokens[:len(tokens)-1], ">")
}
