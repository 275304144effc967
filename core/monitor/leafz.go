package monitor

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Leafz is the answer of /leafz.
type Leafz struct {
	ID       string     `json:"server_id"`
	Now      time.Time  `json:"now"`
	NumLeafs int        `json:"leafnodes"`
	Leafs    []LeafInfo `json:"leafs"`

	// Remotes, a key of our own, are the hubs that are solicited, connected or not.
	Remotes []LeafRemote `json:"remotes,omitempty"`
}

// LeafInfo is one link to another server.
type LeafInfo struct {
	CID         uint64   `json:"id"`
	Name        string   `json:"name"` // of the other end
	IsSpoke     bool     `json:"is_spoke"`
	IsIsolated  bool     `json:"is_isolated,omitempty"`
	Account     string   `json:"account"`
	IP          string   `json:"ip"`
	Port        int      `json:"port"`
	RTT         string   `json:"rtt,omitempty"`
	InMsgs      int64    `json:"in_msgs"`
	OutMsgs     int64    `json:"out_msgs"`
	InBytes     int64    `json:"in_bytes"`
	OutBytes    int64    `json:"out_bytes"`
	NumSubs     int      `json:"subscriptions"`
	Subs        []string `json:"subscriptions_list,omitempty"`
	Compression string   `json:"compression,omitempty"`

	// Keys of our own. The wire's bytes are those of a compressed link, protocol
	// included; WireRatio is message bytes by wire bytes, both directions.
	Start         time.Time     `json:"start"`
	Remote        string        `json:"remote,omitempty"`
	RemoteAccount string        `json:"remote_account,omitempty"`
	Listener      string        `json:"listener,omitempty"`
	User          string        `json:"user,omitempty"`
	Cluster       string        `json:"cluster,omitempty"`
	Domain        string        `json:"domain,omitempty"`
	PendingBytes  int64         `json:"pending_bytes"`
	InWireBytes   int64         `json:"in_wire_bytes,omitempty"`
	OutWireBytes  int64         `json:"out_wire_bytes,omitempty"`
	WireRatio     float64       `json:"wire_ratio,omitempty"`
	Dropped       int64         `json:"dropped,omitempty"` // messages that limits kept from going
	Latency       time.Duration `json:"-"`                 // RTT
}

// LeafRemote is a hub that is solicited.
type LeafRemote struct {
	URL        string            `json:"url"` // the first, without its user
	URLs       int               `json:"urls"`
	Discovered int               `json:"discovered_urls"`
	Account    string            `json:"account"`
	State      string            `json:"state"` // connecting, connected, waiting or disabled
	LastError  string            `json:"last_error,omitempty"`
	CID        uint64            `json:"id,omitempty"` // of the link
	Attempts   uint64            `json:"attempts"`
	Reconnects uint64            `json:"reconnects"`
	Reasons    map[string]uint64 `json:"reasons,omitempty"`
	Missed     int64             `json:"missed"` // messages that only the hub wanted while it was away
	Since      time.Time         `json:"since,omitzero"`
}

// LeafzOptions say what Leafz is to show. Their JSON is what requests to the
// system account take.
type LeafzOptions struct {
	Subscriptions bool   `json:"subscriptions"` // list what the other ends want
	Account       string `json:"account"`       // only this account's
}

// Leafz returns the links to other servers, by their id.
func (v *Views) Leafz(o LeafzOptions) *Leafz {
	z := &Leafz{ID: v.source.ID(), Now: time.Now().UTC(), Leafs: []LeafInfo{}}
	for _, l := range v.source.Links(o.Subscriptions) {
		if o.Account == "" || o.Account == l.Account {
			slices.Sort(l.Subs)
			z.Leafs = append(z.Leafs, l)
		}
	}
	for _, r := range v.source.Remotes() {
		if o.Account == "" || o.Account == r.Account {
			z.Remotes = append(z.Remotes, r)
		}
	}
	slices.SortFunc(z.Leafs, func(a, b LeafInfo) int { return cmp.Compare(a.CID, b.CID) })
	z.NumLeafs = len(z.Leafs)
	return z
}

func (h *Handler) leafz(r *http.Request) (any, error) {
	q := query{r.URL.Query()}
	subs, err := q.bool("subs")
	if err != nil {
		return nil, err
	}
	return h.Leafz(LeafzOptions{Subscriptions: subs, Account: q.Get("acc")}), nil
}

// LeafNode is what /varz says of leafnodes { }; the zero value shows as {}.
type LeafNode struct {
	Host         string       `json:"host,omitempty"`
	Port         int          `json:"port,omitempty"`
	AuthTimeout  float64      `json:"auth_timeout,omitempty"`
	TLSTimeout   float64      `json:"tls_timeout,omitempty"`
	TLSRequired  bool         `json:"tls_required,omitempty"`
	TLSVerify    bool         `json:"tls_verify,omitempty"`
	CertNotAfter time.Time    `json:"tls_cert_not_after,omitzero"`
	Remotes      []RemoteLeaf `json:"remotes,omitempty"`
}

// RemoteLeaf is a hub in /varz.
type RemoteLeaf struct {
	Account    string   `json:"local_account,omitempty"`
	TLSTimeout float64  `json:"tls_timeout,omitempty"`
	URLs       []string `json:"urls,omitempty"` // host and port
	Deny       *Denied  `json:"deny,omitempty"`
}

// Denied are subjects that don't cross a link.
type Denied struct {
	Exports []string `json:"exports,omitempty"`
	Imports []string `json:"imports,omitempty"`
}
