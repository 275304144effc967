package monitor

import "time"

// Varz is the answer of /varz, fields in nats-server's order.
type Varz struct {
	ID                string            `json:"server_id"`
	Name              string            `json:"server_name"`
	Version           string            `json:"version"`
	Proto             int               `json:"proto"`
	GitCommit         string            `json:"git_commit,omitempty"`
	GoVersion         string            `json:"go"`
	Host              string            `json:"host"`
	Port              int               `json:"port"`
	AuthRequired      bool              `json:"auth_required,omitempty"`
	TLSRequired       bool              `json:"tls_required,omitempty"`
	TLSVerify         bool              `json:"tls_verify,omitempty"`
	ConnectURLs       []string          `json:"connect_urls,omitempty"`
	MaxConnections    int               `json:"max_connections"`
	MaxSubscriptions  int               `json:"max_subscriptions,omitempty"`
	PingInterval      time.Duration     `json:"ping_interval"`
	PingMax           int               `json:"ping_max"`
	HTTPHost          string            `json:"http_host"`
	HTTPPort          int               `json:"http_port"`
	HTTPBasePath      string            `json:"http_base_path"`
	HTTPSPort         int               `json:"https_port"`
	AuthTimeout       float64           `json:"auth_timeout"`
	MaxControlLine    int               `json:"max_control_line"`
	MaxPayload        int               `json:"max_payload"`
	MaxPending        int64             `json:"max_pending"`
	Cluster           struct{}          `json:"cluster"`
	Gateway           struct{}          `json:"gateway"`
	Leaf              LeafNode          `json:"leaf"`
	MQTT              struct{}          `json:"mqtt"`
	Websocket         WebSocket         `json:"websocket"`
	JetStream         struct{}          `json:"jetstream"`
	TLSTimeout        float64           `json:"tls_timeout"`
	TLSCertNotAfter   time.Time         `json:"tls_cert_not_after,omitzero"`
	WriteDeadline     time.Duration     `json:"write_deadline"`
	Start             time.Time         `json:"start"`
	Now               time.Time         `json:"now"`
	Uptime            string            `json:"uptime"`
	Mem               int64             `json:"mem"`
	Cores             int               `json:"cores"`
	MaxProcs          int               `json:"gomaxprocs"`
	MemLimit          int64             `json:"gomemlimit,omitempty"`
	CPU               float64           `json:"cpu"`
	Connections       int               `json:"connections"`
	TotalConnections  uint64            `json:"total_connections"`
	Routes            int               `json:"routes"`
	Remotes           int               `json:"remotes"`
	Leafs             int               `json:"leafnodes"`
	InMsgs            int64             `json:"in_msgs"`
	InBytes           int64             `json:"in_bytes"`
	InClientMsgs      int64             `json:"in_client_msgs"`
	InClientBytes     int64             `json:"in_client_bytes"`
	OutMsgs           int64             `json:"out_msgs"`
	OutBytes          int64             `json:"out_bytes"`
	OutClientMsgs     int64             `json:"out_client_msgs"`
	OutClientBytes    int64             `json:"out_client_bytes"`
	SlowConsumers     int64             `json:"slow_consumers"`
	StaleConnections  int64             `json:"stale_connections"`
	StalledClients    int64             `json:"stalled_clients"`
	Subscriptions     int               `json:"subscriptions"`
	HTTPReqStats      map[string]uint64 `json:"http_req_stats"`
	ConfigLoadTime    time.Time         `json:"config_load_time"`
	ConfigDigest      string            `json:"config_digest"`
	Tags              []string          `json:"tags,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
	FeatureFlags      map[string]bool   `json:"feature_flags"`
	OperatorsJWT      []string          `json:"trusted_operators_jwt,omitempty"`
	OperatorsClaim    []any             `json:"trusted_operators_claim,omitempty"`
	SystemAccount     string            `json:"system_account"`
	SlowConsumerStats KindCounts        `json:"slow_consumer_stats"`
	StaleStats        KindCounts        `json:"stale_connection_stats"`
	DiskIOWait        DiskIOWait        `json:"disk_io_wait_stats"`

	// Keys of our own.
	GanglionVersion string `json:"ganglion_version"`
	PendingBytes    int64  `json:"pending_bytes"`
	MaxPendingTotal int64  `json:"max_pending_total"`
	PendingCuts     uint64 `json:"max_pending_total_cuts"`
	// RateLimits is there where rate limits are, or did something.
	RateLimits *RateLimits `json:"rate_limits,omitempty"`

	Listeners []Listener `json:"listeners,omitempty"`
}

// KindCounts is a count by kind of connection.
type KindCounts struct {
	Clients  uint64 `json:"clients"`
	Routes   uint64 `json:"routes"`
	Gateways uint64 `json:"gateways"`
	Leafs    uint64 `json:"leafs"`
}

// DiskIOWait belongs to JetStream and is zero without it.
type DiskIOWait struct {
	Waiters     int64         `json:"waiters"`
	Waits       int64         `json:"waits"`
	WaitTime    time.Duration `json:"wait_time"`
	MaxWaitTime time.Duration `json:"max_wait_time"`
}

// RateLimits in /varz, a key of our own, is what rate limits did.
type RateLimits struct {
	Throttled    uint64 `json:"throttled"`           // pauses of connections
	Dropped      uint64 `json:"dropped"`             // messages and SUBs
	Disconnected uint64 `json:"disconnected"`        // connections, for messages or SUBs
	Delayed      uint64 `json:"connections_delayed"` // connections that came too fast
	Refused      uint64 `json:"connections_refused"` // connections that came much too fast
}
