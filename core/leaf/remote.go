package leaf

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/wire"
)

// remote keeps a link to a hub.
type remote struct {
	*Remote
	m      *Manager
	acc    *account.Account
	stop   context.CancelFunc
	done   chan struct{}
	missed atomic.Int64 // messages that only a hub that is away wanted
	// toldMissed is how many of them were announced; of run.
	toldMissed int64

	mu         sync.Mutex
	link       *Link
	state      string
	lastError  string
	attempts   uint64
	reconnects uint64
	reasons    map[string]uint64
	wait       time.Duration // asked for by delay
	found      []*url.URL    // that the hub named
	since      time.Time
}

// States of a remote.
const (
	stateConnecting = "connecting"
	stateUp         = "connected"
	stateWaiting    = "waiting"
	stateDisabled   = "disabled"
)

// run connects, and connects again, until ctx ends.
func (r *remote) run(ctx context.Context) {
	defer close(r.done)
	if r.Disabled {
		r.set(stateDisabled, nil)
		return
	}
	var old *Link // whose interest is remembered
	var forget *time.Timer
	failures, plain := 0, false
	for ctx.Err() == nil {
		for _, u := range r.addresses() {
			if ctx.Err() != nil {
				break
			}
			r.set(stateConnecting, nil)
			s, err := r.m.solicit(ctx, r.Remote, u, plain)
			if err != nil {
				var pe *peerError
				plain = !plain && errors.As(err, &pe) && strings.Contains(pe.text, "Timeout")
				failures++
				r.failed(u, err, failures)
				if r.pausing() > 0 {
					break
				}
				continue
			}
			failures = 0
			if forget != nil {
				forget.Stop()
			}
			l := r.m.start(s, r, old)
			old = l
			r.up(l, u)
			<-l.gone
			why := l.conn.Reason().String()
			if t := l.text.Load(); t != nil {
				why = *t
			}
			r.downed(l, why)
			if ctx.Err() == nil {
				l.down.Store(true)
				forget = time.AfterFunc(r.m.options().Remember, func() { l.forget() })
			}
			break
		}
		r.sleep(ctx, failures)
	}
	if forget != nil {
		forget.Stop()
	}
	if old != nil {
		old.forget()
	}
}

// sleep waits before the next round: longer after failures in a row, and never as
// long as another remote that failed at the same time.
func (r *remote) sleep(ctx context.Context, failures int) {
	base := r.m.options().Reconnect
	d := min(base<<min(max(failures-2, 0), 5), maxReconnect)
	d += rand.N(d/4 + 1)
	if w := r.pausing(); w > 0 {
		d = w + rand.N(w/10+1)
	}
	r.mu.Lock()
	r.wait = 0
	r.mu.Unlock()
	r.set(stateWaiting, nil)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// delay has the next attempt come after d at the earliest.
func (r *remote) delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait = max(r.wait, d)
}

func (r *remote) pausing() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wait
}

func (r *remote) set(state string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
	if err != nil {
		r.lastError = err.Error()
	}
}

// failed notes an attempt that led to nothing. Of many in a row every tenth has a
// line.
func (r *remote) failed(u *url.URL, err error, failures int) {
	r.mu.Lock()
	r.attempts++
	r.lastError = err.Error()
	r.mu.Unlock()
	var pe *peerError
	if errors.As(err, &pe) && (strings.HasPrefix(pe.text, "Loop detected") || strings.Contains(pe.text, textCluster)) {
		r.delay(loopDelay)
	}
	if failures <= 3 || failures%10 == 0 {
		r.m.opts.Log.Error("cannot connect to the hub", "remote", Shown(u), "account", r.acc.Name(), "attempt", failures, "error", err)
	}
}

func (r *remote) up(l *Link, u *url.URL) {
	r.mu.Lock()
	r.link, r.state, r.lastError, r.since = l, stateUp, "", time.Now()
	r.attempts++
	r.mu.Unlock()
	r.m.opts.Log.Info("leafnode link is up", "cid", l.cid, "remote", Shown(u), "hub", l.peer.Name, "account", r.acc.Name(), "compression", string(l.peer.Compression))
	if r.m.opts.Events == nil {
		return
	}
	r.m.opts.Events.LinkUp(l)
	if n := r.missed.Load(); n > r.toldMissed {
		r.m.opts.Events.Missed(r.acc.Name(), r.Name(), n-r.toldMissed)
		r.toldMissed = n
	}
}

func (r *remote) downed(l *Link, why string) {
	r.mu.Lock()
	r.link = nil
	r.reconnects++
	if r.reasons == nil {
		r.reasons = map[string]uint64{}
	}
	if len(r.reasons) < 32 || r.reasons[why] > 0 {
		r.reasons[why]++
	}
	r.lastError = why
	r.mu.Unlock()
	r.m.opts.Log.Warn("leafnode link is down", "cid", l.cid, "remote", r.Name(), "account", r.acc.Name(), "reason", why)
	if r.m.opts.Events != nil {
		r.m.opts.Events.LinkDown(l, why)
	}
}

// learn takes up what an INFO of the hub says at any time.
func (r *remote) learn(arg []byte) {
	var i wire.LeafInfo
	if json.Unmarshal(arg, &i) != nil {
		return
	}
	r.discovered(&i)
}

// maxFound bounds the addresses that a hub may name.
const maxFound = 256

// discovered notes further addresses of the hub.
func (r *remote) discovered(i *wire.LeafInfo) {
	if r.IgnoreDiscovered || len(r.URLs) == 0 {
		return
	}
	scheme := r.URLs[0].Scheme
	if scheme == "ws" || scheme == "wss" || scheme == "quic" {
		return // what is named are leafnode ports
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = r.found[:0]
	for _, a := range i.LeafURLs {
		u := &url.URL{Scheme: scheme, Host: a, User: r.URLs[0].User}
		if strings.Contains(a, "://") {
			if p, err := url.Parse(a); err == nil {
				u.Host = p.Host
			}
		}
		known := slices.ContainsFunc(r.URLs, func(k *url.URL) bool { return address(k) == address(u) })
		if !known && len(r.found) < maxFound {
			r.found = append(r.found, u)
		}
	}
}

// addresses returns what to try, in its order.
func (r *remote) addresses() []*url.URL {
	r.mu.Lock()
	list := append(slices.Clone(r.URLs), r.found...)
	r.mu.Unlock()
	if !r.NoRandomize {
		rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	}
	return list
}

// close ends the remote and waits for it.
func (r *remote) close() {
	r.stop()
	r.mu.Lock()
	l := r.link
	r.mu.Unlock()
	if l != nil {
		l.conn.Close(conn.Shutdown)
	}
	<-r.done
}
