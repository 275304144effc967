// Ganglion is an edge gateway broker that speaks the NATS protocol.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"

	"ganglion/core/broker"
)

func main() {
	a := flag.String("a", "0.0.0.0", "")
	p := flag.Int("p", 4222, "")
	prof := flag.String("prof", "", "")
	flag.Parse()
	b, err := broker.New(broker.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if *prof != "" {
		go http.ListenAndServe(*prof, nil)
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", *a, *p))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	b.Serve(ln, broker.Endpoint{Name: "tcp"})
	b.Shutdown(context.Background())
}
