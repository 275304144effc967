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

func (h *Handler) subsz(r *http.Request) (any, error) {
	q := query{r.URL.Query()}
	subs, err := q.bool("subs")
	if err != nil {
		return nil, err
	}
	offset, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	test := q.Get("test")
	if test != "" && !h.source.ValidLiteral(test) {
		return nil, fmt.Errorf("invalid test subject, must be valid publish subject: %s", test)
	}
	z := h.source.SublistStats()
	z.ID, z.Now, z.Offset, z.Limit = h.source.ID(), time.Now().UTC(), offset, limit
	if !subs && test == "" {
		return z, nil
	}
	rows := h.source.Subscriptions(q.Get("acc"), test)
	slices.SortFunc(rows, func(a, b SubDetail) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.CID, b.CID), cmp.Compare(a.SID, b.SID))
	})
	z.Total = len(rows)
	rows = rows[min(offset, len(rows)):]
	z.Subs = rows[:min(limit, len(rows))]
	if !subs {
		z.Total, z.Subs = 0, nil
	}
	return z, nil
}
