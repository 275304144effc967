package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

type output struct {
	Raw  bool `help:"Print payloads only."`
	JSON bool `name:"json" help:"Print one JSON object a message."`
}

type subCmd struct {
	connection
	output
	Subject string `arg:"" help:"Subject, may hold wildcards."`
	Queue   string `short:"q" help:"Join this queue group."`
	Count   int    `short:"n" help:"Stop after so many messages."`
}

// Run prints messages until it is interrupted or has enough.
func (c *subCmd) Run(env *environment) error {
	nc, err := c.connect(env, nats.MaxReconnects(-1), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
		if err != nil {
			fmt.Fprintln(env.stderr, "disconnected:", err)
		}
	}), nats.ReconnectHandler(func(nc *nats.Conn) { fmt.Fprintln(env.stderr, "reconnected to", nc.ConnectedUrl()) }))
	if err != nil {
		return err
	}
	defer nc.Close()
	done := make(chan struct{})
	var seen atomic.Int64
	sub, err := nc.QueueSubscribe(c.Subject, c.Queue, func(m *nats.Msg) {
		n := seen.Add(1)
		if c.Count > 0 && n > int64(c.Count) {
			return
		}
		c.print(env.stdout, n, m)
		if n == int64(c.Count) {
			close(done)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %q: %w", c.Subject, err)
	}
	if c.Count > 0 {
		if err := sub.AutoUnsubscribe(c.Count); err != nil {
			return fmt.Errorf("subscribe to %q: %w", c.Subject, err)
		}
	}
	if err := nc.FlushTimeout(c.Timeout); err != nil {
		return fmt.Errorf("subscribe to %q: %w", c.Subject, err)
	}
	fmt.Fprintf(env.stderr, "Subscribed to %s\n", c.Subject)
	select {
	case <-done:
	case <-env.ctx.Done():
	}
	return nil
}

// print writes one message.
func (o *output) print(w io.Writer, n int64, m *nats.Msg) {
	switch {
	case o.Raw:
		fmt.Fprintf(w, "%s\n", m.Data)
	case o.JSON:
		json.NewEncoder(w).Encode(struct {
			Seq     int64       `json:"seq"`
			Time    time.Time   `json:"time"`
			Subject string      `json:"subject"`
			Reply   string      `json:"reply,omitempty"`
			Headers nats.Header `json:"headers,omitempty"`
			Data    string      `json:"data"`
		}{n, time.Now().UTC(), m.Subject, m.Reply, m.Header, string(m.Data)})
	default:
		fmt.Fprintf(w, "[#%d] %s", n, m.Subject)
		if m.Reply != "" {
			fmt.Fprintf(w, " (reply to %s)", m.Reply)
		}
		fmt.Fprintln(w)
		names := make([]string, 0, len(m.Header))
		for k := range m.Header {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			for _, v := range m.Header[k] {
				fmt.Fprintf(w, "%s: %s\n", k, v)
			}
		}
		fmt.Fprintf(w, "%s\n\n", m.Data)
	}
}
