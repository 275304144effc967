// Package broker is the embedding API: it assembles the core and serves
// net.Listeners.
//
//	b, err := broker.New(broker.Options{})
//	if err != nil { ... }
//	ln, err := net.Listen("tcp", "127.0.0.1:4222")
//	if err != nil { ... }
//	go b.Serve(ln, broker.Endpoint{Name: "tcp"})
//	defer b.Shutdown(ctx)
//
// A Broker is also a nats.InProcessConnProvider:
//
//	nc, err := nats.Connect("", nats.InProcessServer(b))
package broker
