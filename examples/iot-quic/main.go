// Iot-quic is a device: it publishes what it measures, answers commands, and stays
// connected while its address changes, from one network to the next or behind a
// NAT that forgets it. Nothing is published twice or lost by that, and there is no
// second handshake. Try it with
//
//	ganglion --quic 4433
//	go run ./examples/iot-quic -server quic://localhost:4433 -ca ~/.config/ganglion/internal-ca/root.crt -id 7
//	ganglion sub 'devices.*.telemetry'
//	ganglion req devices.7.cmd 'interval 200ms'
//
// and, should there be another network to go to, go there. Commands come on a lane,
// a QUIC stream of their own: what else the device receives holds up none of them.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/listeners/quic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := device{out: os.Stdout, way: net.Dial, dial: quic.DialOptions{TLS: &tls.Config{}}}
	server := flag.String("server", "quic://localhost:4433", "broker, quic://host:port")
	ca := flag.String("ca", "", "file with the roots to trust, in PEM form; without it the system's")
	flag.StringVar(&d.id, "id", "1", "name of the device, one token of a subject")
	flag.DurationVar(&d.every, "interval", time.Second, "time between measurements")
	flag.Parse()
	if err := d.configure(*server, *ca); err != nil {
		log.Fatal(err)
	}
	if err := d.run(ctx); err != nil {
		log.Fatal(err)
	}
}

// device is what a device needs to know.
type device struct {
	addr  string // of the broker, host:port
	id    string
	every time.Duration
	dial  quic.DialOptions
	way   func(network, addr string) (net.Conn, error) // net.Dial; to see where packets leave
	out   io.Writer
}

func (d *device) configure(server, ca string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "quic" || u.Port() == "" {
		return fmt.Errorf("-server %s is no address; write quic://host:port", server)
	}
	if d.addr = u.Host; ca == "" {
		return nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("-ca: %w", err)
	}
	d.dial.TLS.RootCAs = x509.NewCertPool()
	if !d.dial.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("-ca %s holds no certificate in PEM form", ca)
	}
	return nil
}

// telemetry is what is published; numbers go on over reconnects.
type telemetry struct {
	N           uint64    `json:"n"`
	At          time.Time `json:"at"`
	Temperature float64   `json:"temperature"`
}

// run works until ctx ends.
func (d *device) run(ctx context.Context) error {
	commands := "devices." + d.id + ".cmd"
	d.dial.Lanes = []string{commands}
	dialer := &quic.Dialer{Options: d.dial, Timeout: 10 * time.Second}
	defer dialer.Close()
	nc, err := nats.Connect("nats://"+d.addr, nats.SetCustomDialer(dialer), nats.Name("device "+d.id),
		nats.Timeout(dialer.Timeout), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ConnectHandler(func(nc *nats.Conn) { fmt.Fprintln(d.out, "connected to", nc.ConnectedAddr()) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Fprintln(d.out, "disconnected:", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { fmt.Fprintln(d.out, "connected again to", nc.ConnectedAddr()) }))
	if err != nil {
		return err
	}
	defer nc.Close()

	tick := time.NewTicker(d.every)
	defer tick.Stop()
	_, err = nc.Subscribe(commands, func(m *nats.Msg) {
		answer := d.command(string(m.Data), tick)
		fmt.Fprintf(d.out, "command %q: %s\n", m.Data, answer)
		if m.Reply != "" {
			m.Respond([]byte(answer))
		}
	})
	if err != nil {
		return err
	}
	at := d.address()
	for n := uint64(0); ; n++ {
		b, err := json.Marshal(telemetry{N: n, At: time.Now(), Temperature: 20 + float64(n%50)/10})
		if err != nil {
			return err
		}
		if err := nc.Publish("devices."+d.id+".telemetry", b); err != nil {
			return err
		}
		if now := d.address(); now != at && now != "" {
			fmt.Fprintf(d.out, "moved from %s to %s\n", at, now)
			at = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nc.FlushTimeout(5 * time.Second)
		}
	}
}

// command does what it is told and says what came of it.
func (d *device) command(text string, tick *time.Ticker) string {
	switch verb, arg, _ := strings.Cut(text, " "); verb {
	case "ping":
		return "pong"
	case "interval":
		every, err := time.ParseDuration(arg)
		if err != nil || every <= 0 {
			return "not a duration: " + arg
		}
		tick.Reset(every)
		return "every " + every.String()
	}
	return "unknown; there are ping and interval <duration>"
}

// address returns the address of this host that packets to the broker leave from,
// "" without one. The socket is bound to none and so goes on with the next; the
// NATS connection knows nothing of it.
func (d *device) address() string {
	c, err := d.way("udp", d.addr) // sends nothing
	if err != nil {
		return ""
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}
