package leaf

import (
	"crypto/rand"
	"math/big"
	"strings"
	"sync"

	"ganglion/core/account"
)

// key is what one LS+ is about.
type key struct{ subject, queue string }

// row is how much interest there is in a key: subscriptions here, and what each
// link announced (1, or the members of a queue group).
type row struct {
	local int
	links map[*Link]int
}

// book counts the interest of one account for its links (account.Watcher).
type book struct {
	acc *account.Account
	lds string // announced on each link, to see it come back in a loop

	mu    sync.Mutex
	rows  map[key]*row
	links map[*Link]struct{}
}

const (
	ldsPrefix = "$LDS."
	ldsDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func newBook(acc *account.Account) *book {
	id := []byte(ldsPrefix)
	for range 22 {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(ldsDigits))))
		if err != nil {
			panic("leaf: no randomness: " + err.Error()) // crypto/rand never fails
		}
		id = append(id, ldsDigits[n.Int64()])
	}
	return &book{acc: acc, lds: string(id), rows: map[key]*row{}, links: map[*Link]struct{}{}}
}

// private reports subjects that stay on this server.
func private(subject string) bool {
	return strings.HasPrefix(subject, "_GR_.") || strings.HasPrefix(subject, "$GR.") || strings.HasPrefix(subject, "$NRG.")
}

// Changed counts a subscription that came or went (account.Watcher).
func (b *book) Changed(sub *account.Subscription, by int) {
	if private(sub.Subject()) {
		return
	}
	l, _ := sub.Sink.(*Link)
	if l != nil && sub.Root() == sub && sub.Queue() != "" {
		by *= l.Weight(sub)
	}
	b.add(key{sub.Subject(), sub.Queue()}, l, by)
}

// add changes how much interest in k there is, of l or, with nil, here.
func (b *book) add(k key, l *Link, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[k]
	if r == nil {
		r = &row{}
		b.rows[k] = r
	}
	if l == nil {
		r.local += by
	} else {
		if r.links == nil {
			r.links = map[*Link]int{}
		}
		if r.links[l] += by; r.links[l] == 0 {
			delete(r.links, l)
		}
	}
	for x := range b.links {
		x.announce(k, r.wanted(x))
	}
	if r.local == 0 && len(r.links) == 0 {
		delete(b.rows, k)
	}
}

// wanted returns how much of r the other end of x is to know of.
func (r *row) wanted(x *Link) int {
	n := r.local
	for l, k := range r.links {
		if l != x && l.passes(x) {
			n += k
		}
	}
	return n
}

// attach has x told of everything, and of every change from now on.
func (b *book) attach(x *Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links[x] = struct{}{}
	x.announceLDS(b.lds)
	for k, r := range b.rows {
		x.announce(k, r.wanted(x))
	}
}

func (b *book) detach(x *Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, x)
}
