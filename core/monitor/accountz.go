//lint:file-ignore ST1005 the texts are those of nats-server

package monitor

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Accountz is the answer of /accountz: the names of all accounts, or one of them
// in detail.
type Accountz struct {
	ID            string       `json:"server_id"`
	Now           time.Time    `json:"now"`
	SystemAccount string       `json:"system_account,omitempty"`
	Accounts      []string     `json:"accounts,omitempty"`
	Account       *AccountInfo `json:"account_detail,omitempty"`
}

// AccountInfo is an account in detail.
type AccountInfo struct {
	Name      string               `json:"account_name"`
	Updated   time.Time            `json:"update_time"`
	IsSystem  bool                 `json:"is_system,omitempty"`
	Expired   bool                 `json:"expired"`
	Complete  bool                 `json:"complete"`
	JetStream bool                 `json:"jetstream_enabled"`
	Leafs     int                  `json:"leafnode_connections"`
	Clients   int                  `json:"client_connections"`
	NumSubs   int                  `json:"subscriptions"`
	Mappings  map[string][]Mapped  `json:"mappings,omitempty"`
	Exports   []Export             `json:"exports,omitempty"`
	Imports   []Import             `json:"imports,omitempty"`
	JWT       string               `json:"jwt,omitempty"`
	IssuerKey string               `json:"issuer_key,omitempty"`
	NameTag   string               `json:"name_tag,omitempty"`
	Tags      []string             `json:"tags,omitempty"`
	Claims    any                  `json:"decoded_jwt,omitempty"`
	Revoked   map[string]time.Time `json:"revoked_user,omitempty"`
	Sublist   *SublistStats        `json:"sublist_stats,omitempty"`
}

// Mapped is one destination of a subject mapping.
type Mapped struct {
	Subject string `json:"subject"`
	Weight  int    `json:"weight"` // percent
	Cluster string `json:"cluster,omitempty"`
}

// Export is an export of an account.
type Export struct {
	Subject       string               `json:"subject,omitempty"`
	Type          string               `json:"type,omitempty"` // stream or service
	TokenRequired bool                 `json:"token_req,omitempty"`
	Revocations   map[string]int64     `json:"revocations,omitempty"`
	ResponseType  string               `json:"response_type,omitempty"`
	Latency       *Latency             `json:"service_latency,omitempty"`
	TokenPosition int                  `json:"account_token_position,omitempty"`
	AllowTrace    bool                 `json:"allow_trace,omitempty"`
	Accounts      []string             `json:"approved_accounts,omitempty"`
	Revoked       map[string]time.Time `json:"revoked_activations,omitempty"`
}

// Latency says which requests of a service are measured.
type Latency struct {
	Sampling int    `json:"sampling"`
	Subject  string `json:"results"`
}

// Import is an import of an account. Subject is the exporting account's, the
// others are what it is here.
type Import struct {
	Subject      string `json:"subject,omitempty"`
	Account      string `json:"account,omitempty"`
	To           string `json:"to,omitempty"`
	LocalSubject string `json:"local_subject,omitempty"`
	Type         string `json:"type,omitempty"`
	AllowTrace   bool   `json:"allow_trace,omitempty"`
	Invalid      bool   `json:"invalid"`
	Share        bool   `json:"share"`
	Tracking     bool   `json:"tracking"`
}

// SublistStats are the counters of an account's interest.
type SublistStats struct {
	NumSubs      int     `json:"num_subscriptions"`
	NumCache     int     `json:"num_cache"`
	NumInserts   uint64  `json:"num_inserts"`
	NumRemoves   uint64  `json:"num_removes"`
	NumMatches   uint64  `json:"num_matches"`
	CacheHitRate float64 `json:"cache_hit_rate"`
	MaxFanout    int     `json:"max_fanout"`
	AvgFanout    float64 `json:"avg_fanout"`
}

// AccountzOptions say what Accountz is to show. Their JSON is what requests to
// the system account take.
type AccountzOptions struct {
	Account string `json:"account"` // this one in detail; "" is the list of all
}

// Accountz returns the accounts, or one of them. The error for one that is not
// there has nats-server's text.
func (v *Views) Accountz(o AccountzOptions) (*Accountz, error) {
	z := &Accountz{ID: v.source.ID(), Now: time.Now().UTC(), SystemAccount: v.source.SystemAccount()}
	if o.Account == "" {
		z.Accounts = v.source.AccountNames()
		return z, nil
	}
	if z.Account = v.source.Account(o.Account); z.Account == nil {
		return nil, fmt.Errorf("Account %s does not exist", o.Account)
	}
	return z, nil
}

func (h *Handler) accountz(r *http.Request) (any, error) {
	return h.Accountz(AccountzOptions{Account: r.URL.Query().Get("acc")})
}

// AccountStatz is the answer of /accstatz.
type AccountStatz struct {
	ID       string        `json:"server_id"`
	Now      time.Time     `json:"now"`
	Accounts []AccountStat `json:"account_statz"`
}

// AccountStat counts what an account uses. Sent is what went to its
// connections.
type AccountStat struct {
	Account       string    `json:"acc"`
	Name          string    `json:"name"`
	Conns         int       `json:"conns"`
	Leafs         int       `json:"leafnodes"`
	TotalConns    int       `json:"total_conns"`
	NumSubs       int       `json:"num_subscriptions"`
	Sent          DataStats `json:"sent"`
	Received      DataStats `json:"received"`
	SlowConsumers int64     `json:"slow_consumers"`
}

// MsgBytes counts messages and their header and payload bytes.
type MsgBytes struct {
	Msgs  int64 `json:"msgs"`
	Bytes int64 `json:"bytes"`
}

// DataStats are a MsgBytes of all connections, and what of it belongs to other
// servers.
type DataStats struct {
	MsgBytes
	Gateways MsgBytes `json:"gateways"`
	Routes   MsgBytes `json:"routes"`
	Leafs    MsgBytes `json:"leafs"`
}

// AccountStatzOptions say what AccountStatz is to show. Their JSON is what
// requests to the system account take.
type AccountStatzOptions struct {
	Accounts      []string `json:"accounts"` // only these; empty is all
	IncludeUnused bool     `json:"include_unused"`
}

// AccountStatz returns the counters of accounts, without those that nobody is
// connected to unless asked for.
func (v *Views) AccountStatz(o AccountStatzOptions) *AccountStatz {
	names := o.Accounts
	if len(names) == 0 {
		names = nil
	}
	list := slices.DeleteFunc(v.source.AccountStats(names), func(s AccountStat) bool {
		return s.TotalConns == 0 && !o.IncludeUnused
	})
	return &AccountStatz{ID: v.source.ID(), Now: time.Now().UTC(), Accounts: append([]AccountStat{}, list...)}
}

func (h *Handler) accstatz(r *http.Request) (any, error) {
	unused, err := query{r.URL.Query()}.bool("unused")
	if err != nil {
		return nil, err
	}
	return h.AccountStatz(AccountStatzOptions{IncludeUnused: unused}), nil
}
