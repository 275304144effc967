package wire

import "encoding/json"

// Version is the nats-server version that we are compatible with; clients and
// hubs gate features on it.
const Version = "2.15.2"

// APILevel is the JetStream API level of that version.
const APILevel = 5

// Info is the server's INFO, fields in the order in which nats-server emits them.
type Info struct {
	ServerID      string   `json:"server_id"`
	ServerName    string   `json:"server_name"`
	Version       string   `json:"version"`
	Proto         int      `json:"proto"`
	GitCommit     string   `json:"git_commit,omitempty"`
	Go            string   `json:"go"`
	Host          string   `json:"host"`
	Port          int      `json:"port"`
	Headers       bool     `json:"headers"`
	AuthRequired  bool     `json:"auth_required,omitempty"`
	TLSRequired   bool     `json:"tls_required,omitempty"`
	TLSVerify     bool     `json:"tls_verify,omitempty"`
	TLSAvailable  bool     `json:"tls_available,omitempty"`
	MaxPayload    int      `json:"max_payload"`
	JetStream     bool     `json:"jetstream,omitempty"`
	ClientID      uint64   `json:"client_id,omitempty"`
	ClientIP      string   `json:"client_ip,omitempty"`
	Nonce         string   `json:"nonce,omitempty"`
	Cluster       string   `json:"cluster,omitempty"`
	Domain        string   `json:"domain,omitempty"`
	ConnectURLs   []string `json:"connect_urls,omitempty"`
	WSConnectURLs []string `json:"ws_connect_urls,omitempty"`
	ConnectInfo   bool     `json:"connect_info,omitempty"`
	RemoteAccount string   `json:"remote_account,omitempty"`
	AccountIsSys  bool     `json:"acc_is_sys,omitempty"`
	LameDuck      bool     `json:"ldm,omitempty"`
	APILevel      int      `json:"api_lvl,omitempty"`
	XKey          string   `json:"xkey,omitempty"`
	Lanes         bool     `json:"lanes,omitempty"` // ours, of package listeners/quic
}

// Append appends the INFO line. The blank before CRLF is as nats-server writes it.
func (i *Info) Append(b []byte) []byte {
	j, err := json.Marshal(i)
	if err != nil { // strings, numbers and bools always marshal
		panic("wire: marshal INFO: " + err.Error())
	}
	b = append(b, "INFO "...)
	b = append(b, j...)
	return append(b, " \r\n"...)
}

// ConnectOptions is the argument of CONNECT.
type ConnectOptions struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	TLSRequired  bool   `json:"tls_required"`
	AuthToken    string `json:"auth_token,omitempty"`
	User         string `json:"user,omitempty"`
	Pass         string `json:"pass,omitempty"`
	NKey         string `json:"nkey,omitempty"`
	Sig          string `json:"sig,omitempty"`
	JWT          string `json:"jwt,omitempty"`
	Name         string `json:"name,omitempty"`
	Lang         string `json:"lang,omitempty"`
	Version      string `json:"version,omitempty"`
	Protocol     int    `json:"protocol"`
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
	Account      string `json:"account,omitempty"`
	NewAccount   bool   `json:"new_account,omitempty"`
	// Lanes are the subjects whose subscriptions want a lane; ours.
	Lanes []string `json:"lanes,omitempty"`
}

// ParseConnect reads the argument of CONNECT; fields that are absent have
// nats-server's defaults (verbose, pedantic and echo true). Unknown fields are ignored.
func ParseConnect(arg []byte) (ConnectOptions, error) {
	o := ConnectOptions{Verbose: true, Pedantic: true, Echo: true}
	err := json.Unmarshal(arg, &o)
	return o, err
}
