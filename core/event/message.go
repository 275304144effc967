package event

import (
	"encoding/json"
	"time"
)

// server is what stands in front of each message.
type server struct {
	Name         string            `json:"name"`
	Host         string            `json:"host"`
	ID           string            `json:"id"`
	Cluster      string            `json:"cluster,omitempty"`
	Domain       string            `json:"domain,omitempty"`
	Version      string            `json:"ver"`
	Tags         []string          `json:"tags,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	FeatureFlags map[string]bool   `json:"feature_flags,omitempty"`
	JetStream    bool              `json:"jetstream"`
	Flags        uint64            `json:"flags"`
	Seq          uint64            `json:"seq"`
	Time         time.Time         `json:"time"`
}

// Server returns what a message of the server begins with, for others who publish
// such messages; it is to be marshalled to JSON.
func (s *Service) Server() any { return s.server() }

// server returns the head of the next message.
func (s *Service) server() *server {
	i := s.identity.Load()
	return &server{
		Name: i.Name, Host: i.Host, ID: i.ID, Cluster: i.Cluster, Domain: i.Domain, Version: i.Version, Tags: i.Tags,
		Metadata: i.Metadata, FeatureFlags: i.FeatureFlags, Seq: s.seq.Add(1), Time: time.Now().UTC(),
	}
}

// answer is the envelope of an answer. Data that is there and fails is null.
type answer struct {
	Server *server         `json:"server"`
	Data   json.RawMessage `json:"data,omitempty"`
	Error  *failure        `json:"error,omitempty"`
}

// failure is an error in an answer.
type failure struct {
	Account string `json:"account,omitempty"`
	Code    int    `json:"code"`
	Text    string `json:"description"`
}

// The codes of failures.
const (
	badRequest = 400
	failed     = 500
)

// reply answers q with data, or with err where that is not nil.
func (s *Service) reply(q *request, data any, err error) {
	if err != nil {
		s.sendTo(q, &answer{Server: s.server(), Data: json.RawMessage("null"), Error: &failure{Code: failed, Text: err.Error()}})
		return
	}
	b, err := json.Marshal(data)
	if err != nil {
		s.log.Error("system account: an answer is no JSON", "subject", q.subject, "error", err)
		return
	}
	s.sendTo(q, &answer{Server: s.server(), Data: b})
}

// done answers q with nothing but the server, or with err.
func (s *Service) done(q *request, err error) {
	a := &answer{Server: s.server()}
	if err != nil {
		a.Error = &failure{Code: failed, Text: err.Error()}
	}
	s.sendTo(q, a)
}

// refuse answers a request that could not be read.
func (s *Service) refuse(q *request, err error) {
	s.sendTo(q, &answer{Server: s.server(), Error: &failure{Code: badRequest, Text: err.Error()}})
}

// sendTo answers q with v.
func (s *Service) sendTo(q *request, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Error("system account: an answer is no JSON", "subject", q.subject, "error", err)
		return
	}
	s.sendBytes(q, b)
}

func (s *Service) sendBytes(q *request, b []byte) {
	if q.reply != "" {
		s.send(q.reply, b)
	}
}
