package client

import (
	"encoding/json"
	"time"
)

// requestor is what a service is told of who asks when the import shares it.
type requestor struct {
	Start      time.Time     `json:"start"`
	Host       string        `json:"host,omitempty"`
	ID         uint64        `json:"id,omitempty"`
	Account    string        `json:"acc,omitempty"`
	User       string        `json:"user,omitempty"`
	Name       string        `json:"name,omitempty"`
	Lang       string        `json:"lang,omitempty"`
	Version    string        `json:"ver,omitempty"`
	RTT        time.Duration `json:"rtt,omitempty"`
	Server     string        `json:"server,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	ClientType string        `json:"client_type,omitempty"`
}

// appendRequestor appends everything there is to say of the client.
func (c *Client) appendRequestor(b []byte, acc string, rtt int64) []byte {
	r := requestor{
		Start: c.start.UTC(), Host: c.remote, ID: c.cid, Account: acc, RTT: time.Duration(rtt),
		Server: c.m.Settings().Info.ServerName, Kind: "Client", ClientType: "nats",
	}
	if w := c.who.Load(); w != nil {
		r.User, r.Name, r.Lang, r.Version = w.user, w.name, w.lang, w.version
	}
	if c.conn.Framed() {
		r.ClientType = "websocket"
	}
	j, err := json.Marshal(&r)
	if err != nil { // strings and numbers always marshal
		return append(b, "{}"...)
	}
	return append(b, j...)
}
