package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"ganglion/cmd/ganglion/config"
	"ganglion/listeners/quic"
	"ganglion/listeners/websocket"
	"ganglion/listeners/webtransport"
)

// writeFiles writes the pid file and the ports file.
func (d *Daemon) writeFiles(addr *net.TCPAddr) error {
	c := d.config
	if c.PidFile != "" {
		if err := writePid(c.PidFile); err != nil {
			return err
		}
		d.pid = c.PidFile
	}
	if c.PortsFileDir == "" {
		return nil
	}
	ports := map[string][]string{"nats": urls("nats", c.Host, addr.Port)}
	if d.httpLn != nil {
		ports["monitoring"] = urls("http", c.HTTPHost, d.httpLn.Addr().(*net.TCPAddr).Port)
	}
	if d.httpsLn != nil {
		ports["monitoring"] = append(ports["monitoring"], urls("https", c.HTTPHost, d.httpsLn.Addr().(*net.TCPAddr).Port)...)
	}
	for i, l := range d.set {
		a, ok := portOf(l.Addr())
		switch {
		case i == 0 || !ok:
			continue
		case l.Name == config.ListenerLeaf:
			ports[l.Name] = urls("nats", l.Host, a)
			continue
		case l.Name == config.ListenerLeafQUIC: // on quic's port
			continue
		case l.Kind == quic.Kind || l.Kind == webtransport.Kind:
			ports[l.Name] = urls(map[string]string{quic.Kind: "quic", webtransport.Kind: "https"}[l.Kind], l.Host, a)
			continue
		case l.Kind != websocket.Kind: // a listener of our own block
			ports[l.Name] = urls("nats", l.Host, a)
			continue
		}
		scheme := "ws"
		if d.endpoints[i].Secure {
			scheme = "wss"
		}
		ports["websocket"] = urls(scheme, l.Host, a)
	}
	b, err := json.Marshal(ports)
	if err != nil {
		return fmt.Errorf("cannot write ports file: %w", err)
	}
	name := filepath.Join(c.PortsFileDir, fmt.Sprintf("%s_%d.ports", filepath.Base(os.Args[0]), os.Getpid()))
	// Written beside and renamed, so that who waits for the file reads all of it.
	if err := os.WriteFile(name+".tmp", b, 0o644); err != nil {
		return fmt.Errorf("cannot write ports file: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("cannot write ports file: %w", err)
	}
	d.ports = name
	return nil
}

// urls returns where host and port can be reached; a wildcard host is every
// address of the machine.
func urls(scheme, host string, port int) []string {
	hosts := []string{host}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		hosts = hosts[:0]
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			addrs = nil
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				hosts = append(hosts, n.IP.String())
			}
		}
		if len(hosts) == 0 {
			hosts = append(hosts, "127.0.0.1")
		}
	}
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = scheme + "://" + net.JoinHostPort(h, strconv.Itoa(port))
	}
	return out
}

func writePid(file string) error {
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("cannot write pid file: %w", err)
	}
	return nil
}

func remove(file string) {
	if file != "" {
		os.Remove(file)
	}
}

func (d *Daemon) removeFiles() {
	remove(d.pid)
	remove(d.ports)
	d.pid, d.ports = "", ""
}
