package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

type reqCmd struct {
	connection
	output
	Subject string   `arg:"" help:"Subject of the request."`
	Body    []string `arg:"" optional:"" help:"Payload; - is standard input."`
	Header  []string `short:"H" sep:"none" help:"Header as \"Name: value\", may be given again."`
	Replies int      `default:"1" help:"How many replies to wait for; 0 takes all until --timeout."`
}

// Run prints the replies, or fails when there are none in time.
func (c *reqCmd) Run(env *environment) error {
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
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("request on %q: %w", c.Subject, err)
	}
	start := time.Now()
	if err := nc.PublishMsg(&nats.Msg{Subject: c.Subject, Reply: inbox, Header: h, Data: data}); err != nil {
		return fmt.Errorf("request on %q: %w", c.Subject, err)
	}
	for n := 1; c.Replies == 0 || n <= c.Replies; n++ {
		m, err := sub.NextMsg(c.Timeout - time.Since(start))
		switch {
		case errors.Is(err, nats.ErrTimeout) && n > 1:
			return nil
		case errors.Is(err, nats.ErrTimeout):
			return fmt.Errorf("no reply on %q within %v", c.Subject, c.Timeout)
		case err != nil:
			return fmt.Errorf("request on %q: %w", c.Subject, err)
		case len(m.Data) == 0 && m.Header.Get("Status") == "503":
			return fmt.Errorf("nobody answers on %q (no responders)", c.Subject)
		}
		if !c.Raw && !c.JSON {
			fmt.Fprintf(env.stderr, "Reply in %v\n", time.Since(start).Round(time.Microsecond))
		}
		c.print(env.stdout, int64(n), m)
	}
	return nil
}

type replyCmd struct {
	connection
	Subject string   `arg:"" help:"Subject to answer on."`
	Body    []string `arg:"" optional:"" help:"Answer; without one the request comes back."`
	Queue   string   `short:"q" default:"ganglion-reply" help:"Queue group of the responders."`
	Command string   `help:"Run this program for each request: payload on its input, its output is the answer."`
	Count   int      `short:"n" help:"Stop after so many requests."`
}

// Run answers until it is interrupted or has answered enough.
func (c *replyCmd) Run(env *environment) error {
	nc, err := c.connect(env, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	done := make(chan struct{})
	n := 0
	_, err = nc.QueueSubscribe(c.Subject, c.Queue, func(m *nats.Msg) {
		if c.Count > 0 && n >= c.Count {
			return
		}
		n++
		answer := slices.Clone(m.Data)
		if len(c.Body) > 0 {
			answer, _ = body(env, c.Body)
		}
		if c.Command != "" {
			answer = c.run(env, m)
		}
		fmt.Fprintf(env.stderr, "[#%d] %s: %q\n", n, m.Subject, m.Data)
		if err := m.Respond(answer); err != nil && m.Reply != "" {
			fmt.Fprintln(env.stderr, "reply:", err)
		}
		if n == c.Count {
			nc.Flush()
			close(done)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %q: %w", c.Subject, err)
	}
	if err := nc.FlushTimeout(c.Timeout); err != nil {
		return fmt.Errorf("subscribe to %q: %w", c.Subject, err)
	}
	fmt.Fprintf(env.stderr, "Answering on %s\n", c.Subject)
	select {
	case <-done:
	case <-env.ctx.Done():
	}
	return nil
}

func (c *replyCmd) run(env *environment, m *nats.Msg) []byte {
	p := exec.CommandContext(env.ctx, c.Command)
	p.Env = append(os.Environ(), "NATS_SUBJECT="+m.Subject)
	in, err := p.StdinPipe()
	if err != nil {
		return []byte(err.Error())
	}
	go func() { in.Write(m.Data); in.Close() }()
	out, err := p.Output()
	if err != nil {
		fmt.Fprintln(env.stderr, "command:", err)
	}
	return out
}

type rttCmd struct {
	connection
	Count int `short:"n" default:"5" help:"How many round trips."`
}

// Run prints the round trips to the server.
func (c *rttCmd) Run(env *environment) error {
	nc, err := c.connect(env)
	if err != nil {
		return err
	}
	defer nc.Close()
	var sum time.Duration
	for range c.Count {
		d, err := nc.RTT()
		if err != nil {
			return fmt.Errorf("round trip: %w", err)
		}
		fmt.Fprintln(env.stdout, d)
		sum += d
	}
	if c.Count > 0 {
		fmt.Fprintf(env.stdout, "%s: average %v of %d\n", nc.ConnectedUrl(), (sum / time.Duration(c.Count)).Round(time.Microsecond), c.Count)
	}
	return nil
}
