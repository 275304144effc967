package router

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/permission"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// seen is one delivery: to which subscription, on which subject, with which
// reply.
type seen struct {
	sub            *listener
	subject, reply string
}

// listener is a subscription that notes what it gets, and what the model knows of
// it.
type listener struct {
	id      int
	account string
	pattern string
	queue   string
	deny    *permission.Set
	sub     *account.Subscription
	got     *[]seen
}

func (l *listener) Stage(_ *account.Stage, _ *account.Subscription, m *wire.Msg) bool {
	*l.got = append(*l.got, seen{l, string(m.Subject), string(m.Reply)})
	return true
}
func (*listener) Commit(*account.Stage) {}

// anybody publishes.
type anybody struct{ listener }

func (*anybody) Origin() *hook.Origin                                        { return &hook.Origin{} }
func (*anybody) RTT() time.Duration                                          { return 0 }
func (*anybody) AppendRequestor(b []byte, _ string, _ bool) []byte           { return append(b, "{}"...) }
func (*anybody) Stage(*account.Stage, *account.Subscription, *wire.Msg) bool { return false }

// world is accounts in random relations, and the naive model of them.
type world struct {
	t        *testing.T
	rnd      *rand.Rand
	registry *account.Registry
	specs    []account.Spec
	subs     []*listener
	batch    *Batch
	got      []seen
	nextID   int
	// pending are answers that services owe: by the account that answers and the
	// reply subject, where they go to.
	pending map[[2]string]owed
	answers int
}

type owed struct {
	account, subject string
}

var words = []string{"a", "b", "c"}

func (w *world) literal() string {
	toks := make([]string, 1+w.rnd.IntN(3))
	for i := range toks {
		toks[i] = words[w.rnd.IntN(len(words))]
	}
	return strings.Join(toks, ".")
}

func (w *world) pattern() string {
	toks := strings.Split(w.literal(), ".")
	for i := range toks {
		if w.rnd.IntN(3) == 0 {
			toks[i] = "*"
		}
	}
	if w.rnd.IntN(4) == 0 {
		toks[len(toks)-1] = ">"
	}
	return strings.Join(toks, ".")
}

var accountNames = []string{"A", "B", "C", "D", "E"}

// reconfigure draws new exports and imports; a relation that the registry refuses
// is left out.
func (w *world) reconfigure() {
	specs := make([]account.Spec, len(accountNames))
	for i, n := range accountNames {
		specs[i] = account.Spec{Name: n, Limits: account.NoLimits}
	}
	commit, err := w.registry.Prepare(specs, "")
	for range 4 + w.rnd.IntN(12) {
		if err != nil {
			w.t.Fatal(err)
		}
		next := make([]account.Spec, len(specs))
		for i, s := range specs {
			s.Exports, s.Imports = slices.Clone(s.Exports), slices.Clone(s.Imports)
			next[i] = s
		}
		w.relate(next)
		if c, err := w.registry.Prepare(next, ""); err == nil {
			commit, specs = c, next
		}
	}
	commit()
	w.specs = specs
	// What was asked before is answered by what is exported now only where the
	// request is still known; the model forgets it.
	clear(w.pending)
}

// relate adds one export and one import of it.
func (w *world) relate(specs []account.Spec) {
	from, to := w.rnd.IntN(len(specs)), w.rnd.IntN(len(specs))
	e := account.Export{Kind: account.Kind(w.rnd.IntN(2)), Subject: w.pattern()}
	if w.rnd.IntN(3) == 0 {
		e.Accounts = []string{accountNames[w.rnd.IntN(len(accountNames))]}
	}
	if e.Kind == account.Service && w.rnd.IntN(2) == 0 {
		e.Response = account.Streamed
	}
	imp := account.Import{Kind: e.Kind, Account: accountNames[from], Subject: e.Subject}
	if w.rnd.IntN(2) == 0 {
		imp.Subject = strings.ReplaceAll(imp.Subject, "*", words[0])
	}
	switch w.rnd.IntN(3) {
	case 0:
		imp.To = "i." + imp.Subject
	case 1:
		imp.To = w.mapped(imp.Subject)
	}
	specs[from].Exports = append(specs[from].Exports, e)
	specs[to].Imports = append(specs[to].Imports, imp)
}

// mapped renames a pattern with its wildcards the other way round.
func (w *world) mapped(pattern string) string {
	toks := strings.Split(pattern, ".")
	n := strings.Count(pattern, "*")
	out := []string{words[w.rnd.IntN(len(words))]}
	for i := n; i > 0; i-- {
		out = append(out, "$"+strconv.Itoa(i))
	}
	if toks[len(toks)-1] == ">" {
		out = append(out, ">")
	}
	return strings.Join(out, ".")
}

func (w *world) subscribe() {
	w.nextID++
	l := &listener{id: w.nextID, account: accountNames[w.rnd.IntN(len(accountNames))], pattern: w.pattern(), got: &w.got}
	if w.rnd.IntN(3) == 0 {
		l.pattern = "i." + l.pattern
	}
	if w.rnd.IntN(3) == 0 {
		l.queue = "q" + strconv.Itoa(w.rnd.IntN(2))
	}
	if w.rnd.IntN(3) == 0 {
		p, err := permission.Compile(permission.Spec{Subscribe: &permission.Rules{Deny: []string{w.pattern(), w.literal()}}})
		if err != nil {
			w.t.Fatal(err)
		}
		ok, deny := p.Subscribe(l.pattern, l.queue)
		if !ok {
			return
		}
		l.deny = deny
	}
	l.sub = account.NewSubscription(l, l.pattern, l.queue, strconv.Itoa(l.id))
	l.sub.Filter(l.deny)
	w.registry.Get(l.account).Subscribe(l.sub)
	w.subs = append(w.subs, l)
}

func (w *world) unsubscribe() {
	if len(w.subs) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.subs))
	w.registry.Get(w.subs[i].account).Unsubscribe(w.subs[i].sub)
	w.subs = slices.Delete(w.subs, i, i+1)
}

// expectation is what the model allows: these deliveries, and of each group one.
type expectation struct {
	plain  []seen
	groups [][]seen
	depth  int // accounts that it went through
}

// rename maps a subject from one naming to another, the naive way: token by token.
func rename(from, to, subj string) (string, bool) {
	if !subject.Match(wild(from), subj) {
		return "", false
	}
	f, s := strings.Split(from, "."), strings.Split(subj, ".")
	named := map[string]string{}
	stars := 0
	for i, tok := range f {
		switch {
		case tok == ">":
			named[">"] = strings.Join(s[i:], ".")
		case tok == "*":
			stars++
			named["$"+strconv.Itoa(stars)] = s[i]
		case tok[0] == '$':
			named[tok] = s[i]
		}
	}
	out := strings.Split(to, ".")
	stars = 0
	for i, tok := range out {
		switch {
		case tok == "*":
			stars++
			out[i] = named["$"+strconv.Itoa(stars)]
		case tok == ">" || tok[0] == '$':
			out[i] = named[tok]
		}
	}
	return strings.Join(out, "."), true
}

// wild is a pattern whose $1 ... are wildcards.
func wild(p string) string {
	toks := strings.Split(p, ".")
	for i, t := range toks {
		if t[0] == '$' {
			toks[i] = "*"
		}
	}
	return strings.Join(toks, ".")
}

func (w *world) spec(name string) *account.Spec {
	i := slices.IndexFunc(w.specs, func(s account.Spec) bool { return s.Name == name })
	return &w.specs[i]
}

// expect adds to x who is to see subj, published in acc.
func (w *world) expect(x *expectation, acc, subj string, depth int) {
	groups := map[string][]seen{}
	x.depth = max(x.depth, depth)
	add := func(l *listener, subj string) {
		if !subject.Match(l.pattern, subj) || l.deny != nil && !l.deny.Allows([]byte(subj)) {
			return
		}
		if l.queue == "" {
			x.plain = append(x.plain, seen{sub: l, subject: subj})
		} else {
			groups[l.queue] = append(groups[l.queue], seen{sub: l, subject: subj})
		}
	}
	for _, l := range w.subs {
		if l.account == acc {
			add(l, subj)
		}
		for i := range w.spec(l.account).Imports {
			imp := &w.spec(l.account).Imports[i]
			if imp.Kind == account.Stream && imp.Account == acc {
				if near, ok := rename(imp.Subject, cmp.Or(imp.To, imp.Subject), subj); ok {
					add(l, near)
				}
			}
		}
	}
	for _, g := range groups {
		x.groups = append(x.groups, g)
	}
	if strings.HasPrefix(subj, account.ReplyPrefix) {
		return // answers go where they are owed, and nowhere else
	}
	s := w.spec(acc)
	for i := range s.Imports {
		imp := &s.Imports[i]
		if imp.Kind != account.Service {
			continue
		}
		if far, ok := rename(cmp.Or(imp.To, imp.Subject), imp.Subject, subj); ok {
			w.expect(x, imp.Account, far, depth+1)
		}
	}
}

// publish publishes in acc and compares what was seen with the model.
func (w *world) publish(acc, subj, reply string) {
	w.got = w.got[:0]
	m := wire.Msg{Subject: []byte(subj), Data: []byte("x")}
	if reply != "" {
		m.Reply = []byte(reply)
	}
	w.batch.Publish(&anybody{}, w.registry.Get(acc), nil, &m)
	w.batch.Flush()
	var x expectation
	w.expect(&x, acc, subj, 0)
	w.compare(fmt.Sprintf("publish %s in %s", subj, acc), &x)
	if reply == "" || x.depth > 1 { // the model does not follow answers through chains
		return
	}
	for _, s := range w.got {
		if strings.HasPrefix(s.reply, account.ReplyPrefix) {
			w.pending[[2]string{w.owner(s.reply), s.reply}] = owed{account: acc, subject: reply}
		}
	}
}

// owner returns the account whose services answer on a reply subject.
func (w *world) owner(reply string) string {
	for _, n := range accountNames {
		if strings.HasPrefix(reply, w.registry.Get(n).Replies().Prefix()) {
			return n
		}
	}
	return ""
}

func (w *world) compare(what string, x *expectation) {
	rest := slices.Clone(w.got)
	take := func(want seen) bool {
		i := slices.IndexFunc(rest, func(s seen) bool { return s.sub == want.sub && s.subject == want.subject })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
		return true
	}
	for _, s := range x.plain {
		if !take(s) {
			w.t.Fatalf("%s: %s of account %s (%s) did not get %s\n%s", what, name(s.sub), s.sub.account, s.sub.pattern, s.subject, w)
		}
	}
	left, ok := settle(rest, x.groups)
	if !ok {
		w.t.Fatalf("%s: some queue group of %v got nothing, or too much\n%s", what, x.groups, w)
	}
	rest = left
	for _, s := range rest {
		w.t.Fatalf("%s: %s of account %s (%s) got %s, which the model forbids\n%s", what, name(s.sub), s.sub.account, s.sub.pattern, s.subject, w)
	}
}

// settle gives each group one of the deliveries in got, and returns the others;
// false when that can't be done. A subscription may be in several groups, by
// different ways, so which delivery is whose may have to be tried.
func settle(got []seen, groups [][]seen) ([]seen, bool) {
	if len(groups) == 0 {
		return got, true
	}
	for _, want := range groups[0] {
		i := slices.IndexFunc(got, func(s seen) bool { return s.sub == want.sub && s.subject == want.subject })
		if i < 0 {
			continue
		}
		if left, ok := settle(slices.Delete(slices.Clone(got), i, i+1), groups[1:]); ok {
			return left, true
		}
	}
	return got, false
}

func name(l *listener) string {
	if l.queue != "" {
		return fmt.Sprintf("subscription %d, queue %s,", l.id, l.queue)
	}
	return fmt.Sprintf("subscription %d", l.id)
}

// String lists the relations, for a failure.
func (w *world) String() string {
	var b strings.Builder
	for _, s := range w.specs {
		for _, e := range s.Exports {
			fmt.Fprintf(&b, "%s exports %s %s to %v\n", s.Name, e.Kind, e.Subject, e.Accounts)
		}
		for _, i := range s.Imports {
			fmt.Fprintf(&b, "%s imports %s %s of %s as %s\n", s.Name, i.Kind, i.Subject, i.Account, i.To)
		}
	}
	return b.String()
}

// answer publishes on a reply subject that a service was given, in its account
// and in another one, where nobody may see it.
func (w *world) answer() {
	for k, o := range w.pending {
		delete(w.pending, k)
		w.answers++
		if stranger := accountNames[w.rnd.IntN(len(accountNames))]; stranger != k[0] {
			w.publish(stranger, k[1], "")
		}
		w.got = w.got[:0]
		m := wire.Msg{Subject: []byte(k[1]), Data: []byte("x")}
		w.batch.Publish(&anybody{}, w.registry.Get(k[0]), nil, &m)
		w.batch.Flush()
		var x expectation
		w.expect(&x, k[0], k[1], 0) // those in the service's account that see everything
		w.expect(&x, o.account, o.subject, 0)
		w.compare(fmt.Sprintf("answer of %s to %s in %s", k[0], o.subject, o.account), &x)
		return
	}
}

// TestIsolation: with random accounts, imports and permissions, changing all the
// time, nobody sees what a naive model forbids, and everybody what it demands.
// GANGLION_STEPS makes it longer or shorter.
func TestIsolation(t *testing.T) {
	steps := 100_000
	if s := os.Getenv("GANGLION_STEPS"); s != "" {
		steps, _ = strconv.Atoi(s)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), registry: account.NewRegistry(""), batch: New(0, &Counters{}), pending: map[[2]string]owed{}}
	w.reconfigure()
	delivered := 0
	for i := range steps {
		switch n := w.rnd.IntN(100); {
		case n == 0 && w.rnd.IntN(3) == 0 || i == 0:
			w.reconfigure()
		case n < 14 && len(w.subs) < 40:
			w.subscribe()
		case n < 18:
			w.unsubscribe()
		case n < 36:
			w.answer()
		default:
			subj := w.literal()
			if w.rnd.IntN(4) == 0 {
				subj = "i." + subj
			}
			reply := ""
			if w.rnd.IntN(2) == 0 {
				reply = w.literal()
			}
			w.publish(accountNames[w.rnd.IntN(len(accountNames))], subj, reply)
		}
		delivered += len(w.got)
	}
	t.Logf("%d deliveries, %d answers", delivered, w.answers)
	if delivered < steps/10 || w.answers < steps/200 {
		t.Error("the test has nothing to say")
	}
}
