package router

import (
	"encoding/json"
	"math/rand/v2"
	"net/textproto"
	"time"

	"github.com/nats-io/nuid"

	"ganglion/core/account"
	"ganglion/core/wire"
)

// metricType names the message that says how long a service took (ADR-3).
const metricType = "io.nats.server.metric.v1.service_latency"

// The statuses of a measured request.
const (
	statusOK           = 200
	statusNobody       = 503
	statusTimeout      = 504
	descriptionNobody  = "Service Unavailable"
	descriptionTooLate = "Service Timeout"
)

// samplingHeaders are those by which requests ask to be measured, and what makes
// them do so.
var samplingHeaders = [...]struct {
	name string
	asks func(v []byte) bool
}{
	{"traceparent", sampled},
	{"X-B3-Sampled", func(v []byte) bool { return string(v) == "1" || string(v) == "true" }},
	{"X-B3-TraceId", func(v []byte) bool { return len(v) > 0 }},
	{"b3", func(v []byte) bool {
		return len(v) > 0 && string(v) != "0" && (len(v) < 2 || string(v[len(v)-2:]) != "-0")
	}},
	{"Uber-Trace-Id", func(v []byte) bool { return len(v) > 1 && v[len(v)-2] == ':' && (v[len(v)-1]-'0')&1 == 1 }},
}

// metric is what is published on a service's latency subject; its keys are
// nats-server's.
type metric struct {
	Type        string              `json:"type"`
	ID          string              `json:"id"`
	Timestamp   time.Time           `json:"timestamp"`
	Status      int                 `json:"status"`
	Description string              `json:"description,omitempty"`
	Requestor   json.RawMessage     `json:"requestor,omitempty"`
	Responder   json.RawMessage     `json:"responder,omitempty"`
	Header      map[string][]string `json:"header,omitempty"`
	Start       time.Time           `json:"start"`
	Service     time.Duration       `json:"service"`
	System      time.Duration       `json:"system"`
	Total       time.Duration       `json:"total"`
}

// measure returns what is to be noted of a request of s that is to be measured,
// nil for one that is not.
func (b *Batch) measure(from Publisher, s *account.ServiceImport, m *wire.Msg, now int64) *account.Measure {
	l := s.Export.Latency
	var header map[string][]string
	switch {
	case l == nil:
		return nil
	case l.Sampling == 0:
		if header = asksToBeMeasured(m.Header()); header == nil {
			return nil
		}
	case l.Sampling < 100 && rand.IntN(100) >= l.Sampling:
		return nil
	}
	return &account.Measure{
		Start: now, RTT: from.RTT(), Header: header,
		Requestor: from.AppendRequestor(nil, s.From.Name(), s.Import.Share),
	}
}

// asksToBeMeasured returns the header that has a request measured, nil for none.
func asksToBeMeasured(head []byte) map[string][]string {
	for i := range samplingHeaders {
		h := &samplingHeaders[i]
		if v := wire.HeaderValue(head, h.name); v != nil && h.asks(v) {
			return map[string][]string{textproto.CanonicalMIMEHeaderKey(h.name): {string(v)}}
		}
	}
	return nil
}

// reportLatency publishes, in the service's account, how long it took.
func (b *Batch) reportLatency(from Publisher, q *account.Reply, status int, description string) {
	responder := []byte(nil)
	rtt := time.Duration(0)
	if status == statusOK {
		rtt = from.RTT()
		responder = from.AppendRequestor(nil, q.Import.To.Name(), true)
	}
	subj, data, err := latency(q, status, description, responder, rtt, time.Now())
	if err != nil || b.depth >= maxDepth {
		return
	}
	lv := b.enter()
	b.publishIn(from, lv, q.Import.To, &wire.Msg{Subject: []byte(subj), Data: data})
	b.depth--
}

// Late returns what is to be published in the account of a service that did not
// answer q in time, and on which subject.
func Late(q *account.Reply) (subj string, data []byte, err error) {
	return latency(q, statusTimeout, descriptionTooLate, nil, 0, time.Now())
}

func latency(q *account.Reply, status int, description string, responder json.RawMessage, rtt time.Duration, now time.Time) (string, []byte, error) {
	x := q.Measure
	v := metric{
		Type: metricType, ID: nuid.Next(), Timestamp: now.UTC(), Status: status, Description: description,
		Requestor: x.Requestor, Responder: responder, Header: x.Header, Start: time.Unix(0, x.Start).Add(-x.RTT).UTC(),
	}
	if status == statusOK {
		here := now.Sub(time.Unix(0, x.Start))
		v.Total = here + x.RTT
		v.Service = max(here-rtt, 0)
		v.System = max(v.Total-x.RTT-rtt-v.Service, 0)
	}
	data, err := json.Marshal(&v)
	return q.Import.Export.Latency.Subject, data, err
}
