//lint:file-ignore ST1005 the texts are those of nats-server

package monitor

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"ganglion/core/subject"
)

// ConnInfo is one connection in /connz. In and out are from the server's point
// of view.
type ConnInfo struct {
	CID          uint64      `json:"cid"`
	Kind         string      `json:"kind"`
	Type         string      `json:"type"`
	IP           string      `json:"ip"`
	Port         int         `json:"port"`
	Start        time.Time   `json:"start"`
	LastActivity time.Time   `json:"last_activity"`
	Stop         *time.Time  `json:"stop,omitempty"`
	Reason       string      `json:"reason,omitempty"`
	RTT          string      `json:"rtt"`
	Uptime       string      `json:"uptime"`
	Idle         string      `json:"idle"`
	Pending      int64       `json:"pending_bytes"`
	InMsgs       int64       `json:"in_msgs"`
	OutMsgs      int64       `json:"out_msgs"`
	InBytes      int64       `json:"in_bytes"`
	OutBytes     int64       `json:"out_bytes"`
	NumSubs      int         `json:"subscriptions"`
	Name         string      `json:"name,omitempty"`
	Lang         string      `json:"lang,omitempty"`
	Version      string      `json:"version,omitempty"`
	TLSVersion   string      `json:"tls_version,omitempty"`
	TLSCipher    string      `json:"tls_cipher_suite,omitempty"`
	TLSFirst     bool        `json:"tls_first,omitempty"`
	User         string      `json:"authorized_user,omitempty"`
	Account      string      `json:"account,omitempty"`
	Subs         []string    `json:"subscriptions_list,omitempty"`
	SubsDetail   []SubDetail `json:"subscriptions_list_detail,omitempty"`
	JWT          string      `json:"jwt,omitempty"`
	Bearer       bool        `json:"-"` // JWT is all that its holder needs, and not shown
	IssuerKey    string      `json:"issuer_key,omitempty"`
	NameTag      string      `json:"name_tag,omitempty"` // of the account; "" shows its name
	Tags         []string    `json:"tags,omitempty"`

	// Listener is a key of our own.
	Listener string `json:"listener,omitempty"`
	// Throttled and Dropped, keys of our own, are how often rate limits had the
	// connection wait, and how many of its messages and SUBs they dropped.
	Throttled uint64 `json:"throttled,omitempty"`
	// Path, a key of our own, is what the transport knows of the way to a client
	// over QUIC or WebTransport: its RTT in nanoseconds, packets sent and lost,
	// migrations to another address, streams of the QUIC connection and lanes of
	// this one.
	Path    map[string]int64 `json:"path,omitempty"`
	Dropped uint64           `json:"dropped,omitempty"`

	RTTime  time.Duration `json:"-"`
	AllSubs []SubDetail   `json:"-"` // filled when ConnQuery.Subs
}

// SubDetail is one subscription.
type SubDetail struct {
	Account    string `json:"account,omitempty"`
	AccountTag string `json:"account_tag,omitempty"`
	Subject    string `json:"subject"`
	Queue      string `json:"qgroup,omitempty"`
	SID        string `json:"sid"`
	Msgs       int64  `json:"msgs"`
	Max        int64  `json:"max,omitempty"`
	CID        uint64 `json:"cid"`
}

// ConnQuery says which connections a Source is asked for.
type ConnQuery struct {
	Open, Closed bool
	Account      string // only its connections, "" is all
	CID          uint64 // only this one, 0 is all
	Subs         bool   // with their subscriptions in AllSubs
}

// Connz is the answer of /connz.
type Connz struct {
	ID     string     `json:"server_id"`
	Now    time.Time  `json:"now"`
	Num    int        `json:"num_connections"`
	Total  int        `json:"total"`
	Offset int        `json:"offset"`
	Limit  int        `json:"limit"`
	Conns  []ConnInfo `json:"connections"`
}

// DefaultLimit is how many rows a page has.
const DefaultLimit = 1024

// global is the account that connections are not shown to be in.
const global = "$G"

// order compares two connections so that the one to be shown first is less.
type order func(a, b *ConnInfo) int

func desc[T cmp.Ordered](f func(*ConnInfo) T) order {
	return func(a, b *ConnInfo) int { return cmp.Compare(f(b), f(a)) }
}

func asc[T cmp.Ordered](f func(*ConnInfo) T) order {
	return func(a, b *ConnInfo) int { return cmp.Compare(f(a), f(b)) }
}

var orders = map[string]order{
	"":           asc(func(c *ConnInfo) uint64 { return c.CID }),
	"cid":        asc(func(c *ConnInfo) uint64 { return c.CID }),
	"start":      asc(func(c *ConnInfo) int64 { return c.Start.UnixNano() }),
	"subs":       desc(func(c *ConnInfo) int { return c.NumSubs }),
	"pending":    desc(func(c *ConnInfo) int64 { return c.Pending }),
	"msgs_to":    desc(func(c *ConnInfo) int64 { return c.OutMsgs }),
	"msgs_from":  desc(func(c *ConnInfo) int64 { return c.InMsgs }),
	"bytes_to":   desc(func(c *ConnInfo) int64 { return c.OutBytes }),
	"bytes_from": desc(func(c *ConnInfo) int64 { return c.InBytes }),
	"last":       desc(func(c *ConnInfo) int64 { return c.LastActivity.UnixNano() }),
	"idle":       asc(func(c *ConnInfo) int64 { return c.LastActivity.UnixNano() }),
	"uptime":     asc(uptime),
	"stop":       desc(func(c *ConnInfo) int64 { return stopTime(c).UnixNano() }),
	"reason":     asc(func(c *ConnInfo) string { return c.Reason }),
	"rtt":        desc(func(c *ConnInfo) time.Duration { return c.RTTime }),
}

func stopTime(c *ConnInfo) time.Time {
	if c.Stop == nil {
		return time.Time{}
	}
	return *c.Stop
}

// uptime returns how long c was open, and for those that still are a number that
// is greater than for any that is not and smaller for the younger.
func uptime(c *ConnInfo) int64 {
	if c.Stop == nil {
		return math.MaxInt64 - c.Start.UnixNano()
	}
	return c.Stop.Sub(c.Start).Nanoseconds()
}

// ConnState says which connections a ConnzOptions asks for.
type ConnState int

// The states, as numbers in requests to the system account.
const (
	ConnOpen ConnState = iota
	ConnClosed
	ConnAll
)

// ConnzOptions say what Connz is to show. Their JSON is what requests to the
// system account take; the zero value is what /connz shows without parameters.
type ConnzOptions struct {
	Sort       string    `json:"sort"` // "" is by cid
	Auth       bool      `json:"auth"` // who they are
	Subs       bool      `json:"subscriptions"`
	SubsDetail bool      `json:"subscriptions_detail"`
	Offset     int       `json:"offset"`
	Limit      int       `json:"limit"` // 0 is DefaultLimit
	CID        uint64    `json:"cid"`   // only this one; 0 is all
	MQTTClient string    `json:"mqtt_client"`
	State      ConnState `json:"state"`
	User       string    `json:"user"` // only this user's
	Account    string    `json:"acc"`  // only this account's
	// FilterSubject shows only who subscribes to what overlaps it. It needs an
	// Account.
	FilterSubject string `json:"filter_subject"`
}

// Connz returns the connections asked for. Errors have nats-server's texts.
func (v *Views) Connz(o ConnzOptions) (*Connz, error) {
	less, ok := orders[o.Sort]
	open := o.State == ConnOpen || o.State == ConnAll
	switch {
	case !ok:
		return nil, fmt.Errorf("invalid sorting option: %s", o.Sort)
	case o.Sort == "stop" && open:
		return nil, fmt.Errorf("sort by stop only valid on closed connections")
	case o.Sort == "reason" && open:
		return nil, fmt.Errorf("sort by reason only valid on closed connections")
	case o.FilterSubject != "" && o.Account == "":
		return nil, fmt.Errorf("filter by subject only valid with account filtering")
	}
	offset, limit := page(o.Offset, o.Limit)
	if o.CID != 0 {
		limit = 1
	}
	ask := ConnQuery{
		Open: open, Closed: o.State == ConnClosed || o.State == ConnAll,
		Account: o.Account, CID: o.CID, Subs: o.Subs || o.SubsDetail || o.FilterSubject != "",
	}
	z := &Connz{ID: v.source.ID(), Now: time.Now().UTC(), Offset: offset, Limit: limit, Total: v.source.NumConns(ask)}
	rows := slices.DeleteFunc(v.source.Conns(ask), func(c ConnInfo) bool {
		return o.User != "" && c.User != o.User || o.MQTTClient != "" || o.FilterSubject != "" && !c.subscribes(o.FilterSubject)
	})
	slices.SortStableFunc(rows, func(a, b ConnInfo) int {
		if d := less(&a, &b); d != 0 {
			return d
		}
		return cmp.Compare(a.CID, b.CID)
	})
	rows = rows[min(offset, len(rows)):]
	rows = rows[:min(limit, len(rows))]
	for i := range rows {
		rows[i].present(&o)
	}
	z.Num, z.Conns = len(rows), append([]ConnInfo{}, rows...)
	return z, nil
}

// subscribes reports whether c has a subscription that overlaps subj.
func (c *ConnInfo) subscribes(subj string) bool {
	return subject.Valid(subj) && slices.ContainsFunc(c.AllSubs, func(s SubDetail) bool { return subject.Overlap(s.Subject, subj) })
}

// present shapes a row as it was asked for.
func (c *ConnInfo) present(o *ConnzOptions) {
	if c.Bearer {
		c.JWT = ""
	}
	switch {
	case !o.Auth:
		c.User, c.Account, c.NameTag, c.JWT, c.IssuerKey, c.Tags = "", "", "", "", "", nil
	case c.Account == global && c.Stop != nil:
		c.Account, c.NameTag = "", ""
	default:
		if c.NameTag == "" {
			c.NameTag = c.Account
		}
		if c.Account == global {
			c.Account = ""
		}
	}
	slices.SortFunc(c.AllSubs, func(a, b SubDetail) int { return cmp.Compare(a.Subject, b.Subject) })
	switch {
	case o.SubsDetail:
		c.SubsDetail = c.AllSubs
		for i := range c.SubsDetail {
			c.SubsDetail[i].Account, c.SubsDetail[i].AccountTag = "", ""
		}
	case o.Subs:
		for _, s := range c.AllSubs {
			c.Subs = append(c.Subs, s.Subject)
		}
	}
}

func (h *Handler) connz(r *http.Request) (any, error) {
	q := query{r.URL.Query()}
	o := ConnzOptions{Sort: q.Get("sort"), User: q.Get("user"), Account: q.Get("acc"), MQTTClient: q.Get("mqtt_client")}
	var err error
	if o.Auth, err = q.bool("auth"); err != nil {
		return nil, err
	}
	if o.Subs, o.SubsDetail, err = q.subs(); err != nil {
		return nil, err
	}
	if o.Offset, o.Limit, err = q.page(); err != nil {
		return nil, err
	}
	if o.CID, err = q.uint("cid"); err != nil {
		return nil, err
	}
	switch state := q.Get("state"); strings.ToLower(state) {
	case "", "open":
	case "closed":
		o.State = ConnClosed
	case "any", "all":
		o.State = ConnAll
	default:
		return nil, fmt.Errorf("Error decoding state for %s", state)
	}
	return h.Connz(o)
}
