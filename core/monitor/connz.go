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
	NameTag      string      `json:"name_tag,omitempty"`

	// Listener is a key of our own.
	Listener string `json:"listener,omitempty"`

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

func (h *Handler) connz(r *http.Request) (any, error) {
	q := query{r.URL.Query()}
	auth, err := q.bool("auth")
	if err != nil {
		return nil, err
	}
	subs, detail, err := q.subs()
	if err != nil {
		return nil, err
	}
	offset, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	cid, err := q.uint("cid")
	if err != nil {
		return nil, err
	}
	ask := ConnQuery{Account: q.Get("acc"), CID: cid, Subs: subs || detail}
	switch state := q.Get("state"); strings.ToLower(state) {
	case "", "open":
		ask.Open = true
	case "closed":
		ask.Closed = true
	case "any", "all":
		ask.Open, ask.Closed = true, true
	default:
		return nil, fmt.Errorf("Error decoding state for %s", state)
	}
	sortBy := q.Get("sort")
	less, ok := orders[sortBy]
	switch {
	case !ok:
		return nil, fmt.Errorf("invalid sorting option: %s", sortBy)
	case sortBy == "stop" && ask.Open:
		return nil, fmt.Errorf("sort by stop only valid on closed connections")
	case sortBy == "reason" && ask.Open:
		return nil, fmt.Errorf("sort by reason only valid on closed connections")
	}
	if cid != 0 {
		limit = 1
	}
	z := &Connz{ID: h.source.ID(), Now: time.Now().UTC(), Offset: offset, Limit: limit, Total: h.source.NumConns(ask)}
	all := h.source.Conns(ask)
	user, mqtt := q.Get("user"), q.Get("mqtt_client")
	rows := all[:0]
	for _, c := range all {
		if (user == "" || c.User == user) && mqtt == "" {
			rows = append(rows, c)
		}
	}
	slices.SortStableFunc(rows, func(a, b ConnInfo) int {
		if d := less(&a, &b); d != 0 {
			return d
		}
		return cmp.Compare(a.CID, b.CID)
	})
	rows = rows[min(offset, len(rows)):]
	rows = rows[:min(limit, len(rows))]
	for i := range rows {
		present(&rows[i], auth, subs, detail)
	}
	z.Num, z.Conns = len(rows), append([]ConnInfo{}, rows...)
	return z, nil
}

// present shapes a row as it was asked for.
func present(c *ConnInfo, auth, subs, detail bool) {
	if auth && (c.Stop == nil || c.Account != global) {
		c.NameTag = c.Account
	}
	if !auth || c.Account == global {
		c.Account = ""
	}
	if !auth {
		c.User = ""
	}
	slices.SortFunc(c.AllSubs, func(a, b SubDetail) int { return cmp.Compare(a.Subject, b.Subject) })
	switch {
	case detail:
		c.SubsDetail = c.AllSubs
		for i := range c.SubsDetail {
			c.SubsDetail[i].Account, c.SubsDetail[i].AccountTag = "", ""
		}
	case subs:
		for _, s := range c.AllSubs {
			c.Subs = append(c.Subs, s.Subject)
		}
	}
}
