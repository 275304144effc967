package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

type pubCmd struct {
	connection
	Subject string        `arg:"" help:"Subject to publish on."`
	Body    []string      `arg:"" optional:"" help:"Payload; {{n}} becomes the message's number, - is standard input."`
	Header  []string      `short:"H" sep:"none" help:"Header as \"Name: value\", may be given again."`
	Reply   string        `help:"Reply subject."`
	Count   int           `short:"n" default:"1" help:"How many messages."`
	Sleep   time.Duration `help:"Pause between messages."`
}

// Run publishes and waits until the server has everything.
func (c *pubCmd) Run(env *environment) error {
	nc, err := c.connect(env)
	if err != nil {
		return err
	}
	defer nc.Close()
	data, err := body(env, c.Body)
	if err != nil {
		return err
	}
	h, err := headers(c.Header)
	if err != nil {
		return err
	}
	var told error // what the server said against it
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { told = err })
	for i := 1; i <= c.Count; i++ {
		m := &nats.Msg{Subject: c.Subject, Reply: c.Reply, Header: h, Data: number(data, i)}
		if err := nc.PublishMsg(m); err != nil {
			return fmt.Errorf("publish on %q: %w", c.Subject, err)
		}
		if c.Sleep > 0 && i < c.Count {
			select {
			case <-time.After(c.Sleep):
			case <-env.ctx.Done():
				return nc.Flush()
			}
		}
	}
	if err := nc.FlushTimeout(c.Timeout); err != nil {
		return fmt.Errorf("publish on %q: %w", c.Subject, err)
	}
	if err := nc.LastError(); err != nil {
		return fmt.Errorf("publish on %q: %w", c.Subject, err)
	}
	if told != nil {
		return fmt.Errorf("publish on %q: %w", c.Subject, told)
	}
	if c.Count == 1 {
		fmt.Fprintf(env.stderr, "Published %d bytes to %s\n", len(data), c.Subject)
	} else {
		fmt.Fprintf(env.stderr, "Published %d messages to %s\n", c.Count, c.Subject)
	}
	return nil
}

func number(data []byte, n int) []byte {
	if !strings.Contains(string(data), "{{n}}") {
		return data
	}
	return []byte(strings.ReplaceAll(string(data), "{{n}}", strconv.Itoa(n)))
}
