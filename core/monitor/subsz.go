package monitor

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Subsz is the answer of /subsz. Our interest is cached by readers, not by the
// list, hence no cache figures.
type Subsz struct {
	ID           string      `json:"server_id"`
	Now          time.Time   `json:"now"`
	NumSubs      int         `json:"num_subscriptions"`
	NumCache     int         `json:"num_cache"`
	NumInserts   uint64      `json:"num_inserts"`
	NumRemoves   uint64      `json:"num_removes"`
	NumMatches   uint64      `json:"num_matches"`
	CacheHitRate float64     `json:"cache_hit_rate"`
	MaxFanout    int         `json:"max_fanout"`
	AvgFanout    float64     `json:"avg_fanout"`
	Total        int         `json:"total"`
	Offset       int         `json:"offset"`
	Limit        int         `json:"limit"`
	Subs         []SubDetail `json:"subscriptions_list,omitempty"`
}

// SubszOptions say what Subsz is to show. Their JSON is what requests to the
// system account take.
type SubszOptions struct {
	Offset  int    `json:"offset"`
	Limit   int    `json:"limit"`         // 0 is DefaultLimit
	Subs    bool   `json:"subscriptions"` // list them
	Account string `json:"account"`       // only this account's
	Test    string `json:"test"`          // only those that match this literal subject
}

// Subsz returns the counters of the interest and the subscriptions asked for.
// Errors have nats-server's texts.
func (v *Views) Subsz(o SubszOptions) (*Subsz, error) {
	if o.Test != "" && !v.source.ValidLiteral(o.Test) {
		return nil, fmt.Errorf("invalid test subject, must be valid publish subject: %s", o.Test)
	}
	z := v.source.SublistStats(o.Account)
	z.ID, z.Now = v.source.ID(), time.Now().UTC()
	z.Offset, z.Limit = page(o.Offset, o.Limit)
	if !o.Subs {
		return z, nil
	}
	rows := v.source.Subscriptions(o.Account, o.Test)
	slices.SortFunc(rows, func(a, b SubDetail) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.CID, b.CID), cmp.Compare(a.SID, b.SID))
	})
	z.Total = len(rows)
	rows = rows[min(z.Offset, len(rows)):]
	z.Subs = rows[:min(z.Limit, len(rows))]
	return z, nil
}

func (h *Handler) subsz(r *http.Request) (any, error) {
	q := query{r.URL.Query()}
	o := SubszOptions{Account: q.Get("acc"), Test: q.Get("test")}
	var err error
	if o.Subs, err = q.bool("subs"); err != nil {
		return nil, err
	}
	if o.Offset, o.Limit, err = q.page(); err != nil {
		return nil, err
	}
	return h.Subsz(o)
}
