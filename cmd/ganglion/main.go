// Ganglion is an edge gateway broker that speaks the NATS protocol.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

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
	if f := os.Getenv("GG_PROF"); f != "" {
		w, _ := os.Create(fmt.Sprintf("%s.%d", f, os.Getpid()))
		pprof.StartCPUProfile(w)
		go func() { c := make(chan os.Signal, 1); signal.Notify(c, os.Interrupt, syscall.SIGTERM); <-c; pprof.StopCPUProfile(); w.Close(); os.Exit(0) }()
	}
	b.Serve(ln, broker.Endpoint{Name: "tcp"})
	b.Shutdown(context.Background())
}
