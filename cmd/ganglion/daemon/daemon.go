package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/leaf"
	"ganglion/core/monitor"
	"ganglion/listeners"
	"ganglion/listeners/certs"
	"ganglion/listeners/quic"
	"ganglion/listeners/websocket"
	"ganglion/listeners/webtransport"
	"ganglion/plugins"
	"ganglion/plugins/wasm"
)

// shutdownTimeout bounds how long a stop waits for clients to take what is
// queued for them.
const shutdownTimeout = 10 * time.Second

// Daemon is one running server process.
type Daemon struct {
	cmd     *config.Command
	version string

	mu sync.Mutex // one reload at a time

	// Guarded by state; written under mu as well.
	state     sync.RWMutex
	config    *config.Config
	endpoints []broker.Endpoint // of set, in its order

	log     *logger
	trust   *trust // operator mode; nil without. Guarded by mu
	broker  *broker.Broker
	plugins *plugins.Manager // nil for none
	wasm    *wasm.Host
	certs   *certs.Manager
	set     listeners.Set
	// endpoints are those of set, in its order.
	webSocket    *websocket.Listener // nil for none
	quic         *quic.Port          // nil for none
	webTransport *webtransport.Listener
	leafs        map[string]leaf.Endpoint   // of listeners of leafs, by name
	leafTLS      atomic.Pointer[tls.Config] // of leafs to come; nil for none
	http         []*http.Server
	httpLn       net.Listener
	httpsLn      net.Listener
	ports        string // file written to ports_file_dir
	pid          string // pid file
	serving      sync.WaitGroup
}

// Start starts everything that cmd's configuration names, or nothing. version
// is our own version.
func Start(ctx context.Context, cmd *config.Command, version, commit string) (*Daemon, error) {
	c := cmd.Config
	c.Broker.Version, c.Broker.GitCommit = version, commit
	d := &Daemon{cmd: cmd, version: version, config: c}
	var err error
	if d.log, err = newLogger(c.Log); err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		d.cleanUp()
		d.closeQUIC()
		d.log.Close()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context) error {
	c := d.config
	log := d.log.Logger
	log.Info("starting ganglion", "version", d.version, "pid", os.Getpid(), "config", c.File)
	var err error
	if d.certs, err = certs.New(certs.Options{Sources: c.Sources(), Logger: log}); err != nil {
		return err
	}
	if err := d.listen(ctx); err != nil {
		return err
	}
	if err := d.certs.Start(ctx); err != nil {
		return err
	}
	addr := d.set[0].Addr().(*net.TCPAddr)
	if d.trust, err = d.newTrust(c, nil); err != nil {
		return err
	}
	o := c.Broker
	o.Logger, o.Host, o.Port = log, c.Host, addr.Port
	if d.trust != nil {
		o.Auth.Operator, o.AccountStore = d.trust.Trust, d.trust.store
	}
	o.Reload = d.Reload
	d.admit(c, &o)
	if o.Leaf, err = d.leafOptions(c); err != nil {
		return err
	}
	if d.broker, err = broker.New(o); err != nil {
		return err
	}
	if err := d.startPlugins(ctx); err != nil {
		return err
	}
	if err := d.startHTTP(); err != nil {
		return err
	}
	if err := d.writeFiles(addr); err != nil {
		return err
	}
	d.serveAll()
	log.Info("Listening for client connections", "address", net.JoinHostPort(c.Host, strconv.Itoa(addr.Port)))
	if f := c.Broker.ConfigDigest; f != nil {
		d.serving.Go(func() { f() })
	}
	log.Info("Server is ready", "server_id", d.broker.ID(), "server_name", d.broker.Name())
	return nil
}

// startHTTP opens the monitoring and profiling ports that are configured.
func (d *Daemon) startHTTP() error {
	c := d.config
	if c.Monitor.Certificate && c.HTTPSPort == 0 {
		return errors.New("monitor.client_certificate has no effect without https; add https_port")
	}
	if c.HTTPPort != 0 {
		ln, err := net.Listen("tcp", net.JoinHostPort(c.HTTPHost, strconv.Itoa(max(c.HTTPPort, 0))))
		if err != nil {
			return fmt.Errorf("cannot listen for monitoring: %w", err)
		}
		d.httpLn = ln
		d.serveHTTP(ln, d.monitor(ln))
		d.log.Info("Starting http monitor", "address", ln.Addr().String())
	}
	if c.HTTPSPort != 0 {
		cfg, err := tlsConfig(d.certs.TLSConfig(config.SourceClient), &c.TLS)
		if err != nil {
			return err
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(c.HTTPHost, strconv.Itoa(max(c.HTTPSPort, 0))))
		if err != nil {
			return fmt.Errorf("cannot listen for monitoring: %w", err)
		}
		d.httpsLn = ln
		cfg.NextProtos = []string{"h2", "http/1.1"}
		cfg.ClientAuth = tls.NoClientCert // what clients of the broker must show is no matter here
		if c.Monitor.Certificate {
			if cfg.ClientCAs == nil {
				return errors.New("monitor.client_certificate needs to know whose certificates; add ca_file to the tls block")
			}
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
		d.serveHTTP(tls.NewListener(ln, cfg), d.monitor(ln))
		d.log.Info("Starting https monitor", "address", ln.Addr().String())
	}
	if c.ProfPort != 0 {
		ln, err := net.Listen("tcp", net.JoinHostPort(c.Host, strconv.Itoa(max(c.ProfPort, 0))))
		if err != nil {
			return fmt.Errorf("cannot listen for profiling: %w", err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		d.serveHTTP(ln, mux)
		d.log.Info("profiling", "address", ln.Addr().String())
	}
	return nil
}

// monitor returns the monitoring pages as they are served on ln.
func (d *Daemon) monitor(ln net.Listener) http.Handler {
	c := d.config
	h := d.broker.Monitor(monitor.Options{BasePath: c.HTTPBasePath, Host: c.HTTPHost, Port: ln.Addr().(*net.TCPAddr).Port, Complete: d.complete, Authorize: d.mayMonitor})
	if d.quic != nil {
		h.Register(d.quicSamples)
	}
	if d.plugins != nil {
		h.Mount("/pluginz", http.HandlerFunc(d.pluginz))
		h.Register(d.pluginSamples)
	}
	return h
}

func (d *Daemon) serveHTTP(ln net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	d.http = append(d.http, s)
	d.serving.Add(1)
	go func() {
		defer d.serving.Done()
		if err := s.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("http server failed", "error", err)
		}
	}()
}

// ClientAddr returns where clients connect to.
func (d *Daemon) ClientAddr() *net.TCPAddr { return d.set[0].Addr().(*net.TCPAddr) }

// MonitorAddr returns where monitoring listens, nil for nowhere.
func (d *Daemon) MonitorAddr() net.Addr {
	if d.httpLn == nil {
		return nil
	}
	return d.httpLn.Addr()
}

// Config returns the configuration in force. It must not be changed.
func (d *Daemon) Config() *config.Config {
	d.state.RLock()
	defer d.state.RUnlock()
	return d.config
}

// Broker returns the broker.
func (d *Daemon) Broker() *broker.Broker { return d.broker }

// Stop ends the server: clients get what is queued for them, within limits.
func (d *Daemon) Stop() {
	d.log.Info("Initiating Shutdown...")
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	d.cleanUp()
	if err := d.broker.Shutdown(ctx); err != nil {
		d.log.Warn("shutdown was not clean", "error", err)
	}
	d.closeQUIC()
	d.closePlugins()
	d.serving.Wait()
	d.log.Info("Server Exiting..")
	d.log.Close()
}

// LameDuck sends clients elsewhere, closes them one by one, and stops. It
// returns when the server has stopped.
func (d *Daemon) LameDuck(ctx context.Context) {
	o := d.broker.Options()
	d.log.Info("Entering lame duck mode, stop accepting new clients", "grace", o.LameDuckGrace, "duration", o.LameDuckDuration)
	if err := d.broker.LameDuck(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrClosed) {
		d.log.Warn("lame duck mode ended early", "error", err)
	}
	d.Stop()
}

// cleanUp closes what Start opened outside the broker, and the broker too if it
// never served.
func (d *Daemon) cleanUp() {
	for _, s := range d.http {
		s.Close()
	}
	d.set.Close()
	if d.certs != nil {
		d.certs.Close()
	}
	d.removeFiles()
}
