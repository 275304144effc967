package broker

import (
	"encoding/json"
	"time"

	"ganglion/core/event"
	"ganglion/core/leaf"
	"ganglion/core/monitor"
	"ganglion/core/wire"
)

// LinkUp announces a link to another server as a session (leaf.Events).
func (e *events) LinkUp(l *leaf.Link) {
	if s := e.service.Load(); s != nil {
		s.Connected(l.Account().Name(), func() event.Client { return describedLink(l) })
	}
}

// LinkDown announces its end (leaf.Events).
func (e *events) LinkDown(l *leaf.Link, reason string) {
	s := e.service.Load()
	if s == nil {
		return
	}
	s.Disconnected(l.Account().Name(), true, func() event.Ended {
		c := describedLink(l)
		now := time.Now().UTC()
		c.Stop, c.RTT = &now, l.RTT()
		in, out := l.Counts()
		return event.Ended{
			Client: c, Reason: reason,
			Sent: monitor.MsgBytes{Msgs: in.Msgs, Bytes: in.Bytes}, Received: monitor.MsgBytes{Msgs: out.Msgs, Bytes: out.Bytes},
		}
	})
}

// Missed tells the system account, when a link is there again, how many messages
// had interest only beyond it while it was not (leaf.Events). The subject is ours:
// $SYS.ACCOUNT.<account>.LEAFNODE.MISSED.
func (e *events) Missed(acc, remote string, n int64) {
	s := e.service.Load()
	if s == nil {
		return
	}
	data, err := json.Marshal(struct {
		Server  any       `json:"server"`
		Time    time.Time `json:"timestamp"`
		Account string    `json:"acc"`
		Remote  string    `json:"remote"`
		Missed  int64     `json:"missed"`
	}{s.Server(), time.Now().UTC(), acc, remote, n})
	if err != nil {
		return
	}
	e.broker.PeerIn(s.System(), "leafnodes").Publish(&wire.Msg{Subject: []byte("$SYS.ACCOUNT." + acc + ".LEAFNODE.MISSED"), Data: data})
}

func describedLink(l *leaf.Link) event.Client {
	p := l.Peer()
	return event.Client{
		Start: l.Start().UTC(), Host: p.IP, ID: l.CID(), Account: l.Account().Name(), User: p.User, Name: p.Name, Version: p.Version,
		NameTag: l.Account().Name(), Kind: "Leafnode",
	}
}
