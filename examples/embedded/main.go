// Embedded runs a broker inside a program: a TCP listener for others, an
// in-process connection for itself, and a hook in plain Go that stamps what is
// published on "orders.*".
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	stamp := hook.PublishFunc(func(from *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
		m.Data, m.HdrLen = fmt.Appendf(nil, "%s (seen by the broker)", m.Payload()), 0
		return hook.Pass, nil
	})
	b, err := broker.New(broker.Options{Publish: []broker.PublishHook{{Pattern: "orders.*", Hook: stamp}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer b.Shutdown(ctx)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go b.Serve(ln, broker.Endpoint{Name: "tcp"})

	inside, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		return err
	}
	defer inside.Close()
	sub, err := inside.SubscribeSync("orders.*")
	if err != nil {
		return err
	}
	if err := inside.Flush(); err != nil {
		return err
	}

	outside, err := nats.Connect("nats://" + ln.Addr().String())
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := outside.Publish("orders.new", []byte("one coffee")); err != nil {
		return err
	}
	m, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", m.Subject, m.Data)
	return nil
}
