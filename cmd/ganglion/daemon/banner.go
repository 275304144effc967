package daemon

import (
	"fmt"
	"io"
	"net"
	"strconv"

	"ganglion/listeners/quic"
	"ganglion/listeners/websocket"
)

// Banner writes where to connect and what to try, for a person at a terminal.
func (d *Daemon) Banner(w io.Writer) {
	host := d.config.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	port := d.ClientAddr().Port
	server := ""
	if port != 4222 {
		server = fmt.Sprintf(" -s localhost:%d", port)
	}
	fmt.Fprintf(w, "\n  Ganglion %s is ready: nats://%s\n", d.version, net.JoinHostPort(host, strconv.Itoa(port)))
	if d.httpLn != nil {
		fmt.Fprintf(w, "  Monitoring:          http://%s\n", net.JoinHostPort("localhost", strconv.Itoa(d.httpLn.Addr().(*net.TCPAddr).Port)))
	}
	for i, l := range d.set {
		if l.Kind == quic.Kind {
			if p, ok := portOf(l.Addr()); ok {
				fmt.Fprintf(w, "  Devices:             quic://%s\n", net.JoinHostPort(host, strconv.Itoa(p)))
			}
		}
		if l.Kind != websocket.Kind {
			continue
		}
		scheme, page := "ws", "http"
		if d.endpoints[i].Secure {
			scheme, page = "wss", "https"
		}
		name := "localhost"
		if d.config.Domain != "" {
			name = d.config.Domain
		}
		at := net.JoinHostPort(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		fmt.Fprintf(w, "  Browsers:            %s://%s\n", scheme, at)
		if !d.config.WebSocket.NoPage {
			fmt.Fprintf(w, "  Page:                %s://%s/\n", page, at)
		}
	}
	fmt.Fprintf(w, "\n  Try it from another shell:\n    ganglion sub%s '>'\n    ganglion pub%s hello world\n\n", server, server)
}
