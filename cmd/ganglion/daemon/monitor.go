package daemon

import (
	"net"
	"net/http"
	"net/netip"

	"ganglion/core/auth"
	"ganglion/core/wire"
)

// mayMonitor reports whether a request may see the monitoring pages, as the
// configuration in force says.
func (d *Daemon) mayMonitor(r *http.Request) bool {
	m := d.Config().Monitor
	if !m.On {
		return true
	}
	if m.Certificate && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	user, pass, ok := r.BasicAuth()
	if !ok || m.User == "" {
		return false
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, _ := netip.ParseAddr(host)
	err := d.broker.Login(r.Context(), auth.Options{User: m.User, Password: m.Password}, &auth.Request{
		Connect: &wire.ConnectOptions{User: user, Pass: pass}, Remote: addr, Kind: "Monitor",
	})
	if err != nil {
		d.log.Warn("monitoring refused", "remote", r.RemoteAddr, "user", user)
	}
	return err == nil
}
