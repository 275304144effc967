// Browser runs a broker inside a program that serves a web page: browsers connect
// to the address that the page came from, see a temperature that the program
// publishes, and chat with each other.
//
//	go run ./examples/browser -addr localhost:8080
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/listeners/websocket"
	"ganglion/web"
)

//go:embed index.html
var page []byte

func main() {
	addr := flag.String("addr", "localhost:8080", "where to serve the page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("open http://%s/\n", ln.Addr())
	if err := run(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// run serves the page and its broker on ln until ctx ends.
func run(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	mux.Handle("GET /nats.js", web.Handler()) // the NATS client as a module
	ws, err := websocket.Listen(ln, websocket.Options{Handler: mux, SameOrigin: true})
	if err != nil {
		return err
	}
	b, err := broker.New(broker.Options{})
	if err != nil {
		return err
	}
	defer b.Shutdown(context.Background())
	go b.Serve(ws, broker.Endpoint{Name: "websocket"})

	inside, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		return err
	}
	defer inside.Close()
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			celsius := 21 + 2*math.Sin(float64(now.UnixMilli())/10_000)
			if err := inside.Publish("temperature", fmt.Appendf(nil, `{"celsius":%.2f}`, celsius)); err != nil {
				return err
			}
		}
	}
}
