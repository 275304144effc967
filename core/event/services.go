package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"ganglion/core/monitor"
)

// routes returns all that is answered.
func (s *Service) routes() []route {
	statsz := func(q *request) {
		if s.read(q, &none{}) {
			s.sendTo(q, s.statsz())
		}
	}
	rs := []route{{subject: "$SYS.REQ.SERVER.PING", answer: statsz}}
	id := s.opts.Identity.ID
	add := func(name string, slow bool, f func(*request)) {
		for _, to := range []string{"PING", id} {
			rs = append(rs, route{subject: "$SYS.REQ.SERVER." + to + "." + name, slow: slow, answer: f})
		}
	}
	add("STATSZ", false, statsz)
	add("IDZ", false, func(q *request) { s.sendTo(q, s.idz()) })
	add("VARZ", false, with(s, func(*request, *none) (any, error) { return s.opts.Source.Varz(), nil }))
	add("CONNZ", false, with(s, func(_ *request, o *monitor.ConnzOptions) (any, error) { return orNull(s.opts.Source.Connz(*o)) }))
	add("SUBSZ", false, with(s, func(_ *request, o *monitor.SubszOptions) (any, error) { return orNull(s.opts.Source.Subsz(*o)) }))
	add("LEAFZ", false, with(s, func(_ *request, o *monitor.LeafzOptions) (any, error) { return s.opts.Source.Leafz(*o), nil }))
	add("ACCOUNTZ", false, with(s, func(_ *request, o *monitor.AccountzOptions) (any, error) { return orNull(s.opts.Source.Accountz(*o)) }))
	add("HEALTHZ", false, with(s, func(_ *request, o *monitor.HealthzOptions) (any, error) { return s.opts.Source.Healthz(*o), nil }))
	add("PROFILEZ", true, with(s, func(_ *request, o *profileOptions) (any, error) { return s.profile(o), nil }))
	add("EXPVARZ", false, with(s, func(*request, *none) (any, error) { return expvarz(), nil }))
	add("IPQUEUESZ", false, with(s, func(_ *request, o *queuesOptions) (any, error) { return s.queues(o), nil }))
	for name, f := range s.absent() {
		add(name, false, with(s, f))
	}
	for name, f := range s.opts.Extra {
		add(name, true, with(s, func(_ *request, o *map[string]any) (any, error) { return f(*o) }))
	}
	if s.opts.Admin != nil {
		own := "$SYS.REQ.SERVER." + id + "."
		rs = append(rs, route{subject: own + "RELOAD", slow: true, answer: s.reload},
			route{subject: own + "KICK", answer: s.perClient("kick", "no such client or leafnode id", s.opts.Admin.Kick)},
			route{subject: own + "LDM", answer: s.perClient("lame duck", "no such client id", s.opts.Admin.LameDuck)})
	}
	rs = append(rs, s.accountRoutes()...)
	if s.opts.Claims != nil {
		rs = append(rs, s.claimsRoutes()...)
	}
	return rs
}

// none are the options of a request that has none of its own.
type none struct{}

// orNull keeps a nil pointer from becoming data.
func orNull[T any](v *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// id is the answer to IDZ.
type id struct {
	Name string `json:"name"`
	Host string `json:"host"`
	ID   string `json:"id"`
}

func (s *Service) idz() id {
	i := s.identity.Load()
	return id{i.Name, i.Host, i.ID}
}

// absent returns the answers of services whose feature is not there: those that
// nats-server gives without it.
func (s *Service) absent() map[string]func(*request, *none) (any, error) {
	type empty struct{}
	return map[string]func(*request, *none) (any, error){
		"ROUTEZ": func(*request, *none) (any, error) {
			i := s.identity.Load()
			return struct {
				ID        string    `json:"server_id"`
				Name      string    `json:"server_name"`
				Now       time.Time `json:"now"`
				NumRoutes int       `json:"num_routes"`
				Routes    []empty   `json:"routes"`
			}{i.ID, i.Name, time.Now().UTC(), 0, []empty{}}, nil
		},
		"GATEWAYZ": func(*request, *none) (any, error) {
			return struct {
				ID       string    `json:"server_id"`
				Now      time.Time `json:"now"`
				Outbound empty     `json:"outbound_gateways"`
				Inbound  empty     `json:"inbound_gateways"`
			}{ID: s.opts.Identity.ID, Now: time.Now().UTC()}, nil
		},
		"JSZ": func(*request, *none) (any, error) {
			return &jsz{ID: s.opts.Identity.ID, Now: time.Now().UTC(), Disabled: true}, nil
		},
		"RAFTZ": func(*request, *none) (any, error) { return empty{}, nil },
	}
}

// jsz is the answer of a server without JetStream.
type jsz struct {
	Memory          uint64 `json:"memory"`
	Storage         uint64 `json:"storage"`
	ReservedMemory  uint64 `json:"reserved_memory"`
	ReservedStorage uint64 `json:"reserved_storage"`
	Accounts        int    `json:"accounts"`
	HAAssets        int    `json:"ha_assets"`
	API             struct {
		Level  int    `json:"level"`
		Total  uint64 `json:"total"`
		Errors uint64 `json:"errors"`
	} `json:"api"`
	ID       string    `json:"server_id"`
	Now      time.Time `json:"now"`
	Disabled bool      `json:"disabled,omitempty"`
	Config   struct {
		MaxMemory  int64 `json:"max_memory"`
		MaxStorage int64 `json:"max_storage"`
	} `json:"config"`
	Streams   int    `json:"streams"`
	Consumers int    `json:"consumers"`
	Messages  uint64 `json:"messages"`
	Bytes     uint64 `json:"bytes"`
	Total     int    `json:"total"`
}

var errNoJetStream = errors.New("jetstream not enabled")

// vars is the answer to EXPVARZ. Of the command line only the
// program is told: the rest may hold secrets.
type vars struct {
	Memory  runtime.MemStats `json:"memstats"`
	CmdLine []string         `json:"cmdline"`
}

func expvarz() *vars {
	v := &vars{CmdLine: os.Args[:min(1, len(os.Args))]}
	runtime.ReadMemStats(&v.Memory)
	return v
}

type queuesOptions struct {
	All bool `json:"all"` // empty ones too
}

type queue struct {
	Pending    int `json:"pending"`
	InProgress int `json:"in_progress,omitempty"`
}

// queues returns the queues of the Service itself.
func (s *Service) queues(o *queuesOptions) map[string]queue {
	m := map[string]queue{"System recvQ": {len(s.requests), 1}}
	if n := len(s.events); n > 0 || o.All {
		m["System sendQ"] = queue{Pending: n}
	}
	if n := len(s.guests); n > 0 || o.All {
		m["System recvQ Accounts"] = queue{Pending: n}
	}
	if n := len(s.slow); n > 0 || o.All {
		m["System recvQ Slow"] = queue{Pending: n}
	}
	return m
}

func (s *Service) reload(q *request) {
	if !s.read(q, &none{}) {
		return
	}
	s.log.Info("reload asked for by the system account", "cid", q.cid)
	s.done(q, s.opts.Admin.Reload())
}

// perClient returns the answer to a request to do something to one connection. A
// body that makes no sense has no answer.
func (s *Service) perClient(what, absent string, do func(cid uint64) error) func(*request) {
	return func(q *request) {
		var o struct {
			CID uint64 `json:"cid"`
		}
		if json.Unmarshal(q.data, &o) != nil {
			return
		}
		err := do(o.CID)
		if errors.Is(err, ErrNoClient) {
			err = errors.New(absent)
		} else if err != nil {
			err = fmt.Errorf("%s of %d: %w", what, o.CID, err)
		}
		s.log.Info("asked for by the system account", "what", what, "cid", o.CID, "by_cid", q.cid, "error", err)
		s.done(q, err)
	}
}
