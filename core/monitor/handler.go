//lint:file-ignore ST1005 the texts are those of nats-server

package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source is what a Handler shows. Its methods are safe for concurrent use.
type Source interface {
	ID() string
	// Varz returns everything that is known at the moment, less what belongs to
	// HTTP and to the process.
	Varz() *Varz
	// Conns returns the connections asked for, in no order. The caller owns them.
	// An account that does not exist has none.
	Conns(ConnQuery) []ConnInfo
	// NumConns counts the connections asked for, whatever the query's CID.
	NumConns(ConnQuery) int
	// SublistStats returns the counters of the interest in the account acc, ""
	// for the sum of all.
	SublistStats(acc string) *Subsz
	// Subscriptions returns those of the account acc ("" for all) that match
	// the literal subject test ("" for all).
	Subscriptions(acc, test string) []SubDetail
	ValidLiteral(subject string) bool
	// Links returns the links to other servers, with subs what their other ends
	// want, and Remotes the hubs that are solicited. The caller owns both.
	Links(subs bool) []LeafInfo
	Remotes() []LeafRemote
	// Healthy returns why the broker is not, or nil.
	Healthy() error

	// SystemAccount returns the system account's name.
	SystemAccount() string
	// AccountNames returns the names of all accounts, sorted.
	AccountNames() []string
	// Account returns what is known of an account, nil if there is none of that
	// name.
	Account(name string) *AccountInfo
	// AccountStats returns the counters of the named accounts, of all with nil,
	// sorted by name. Names that don't exist are left out.
	AccountStats(names []string) []AccountStat
}

// Options configure a Handler.
type Options struct {
	// BasePath stands before every path; "" for none.
	BasePath string
	// Host, Port and HTTPSPort are what /varz says of the HTTP listeners.
	Host            string
	Port, HTTPSPort int
	// Complete adds to /varz and the metrics what the Source does not know: the
	// listeners and their certificates. May be nil.
	Complete func(*Varz)
	// Authorize says whether a request may be answered; those that may not get
	// status 401 and are asked for a user and password. nil allows all.
	Authorize func(*http.Request) bool
}

// Handler serves a Source. Create it with New.
type Handler struct {
	*Views
	opts     Options
	mux      *http.ServeMux
	registry *prometheus.Registry

	mu    sync.Mutex
	paths []string
	stats map[string]uint64
}

// New returns a Handler for source.
func New(source Source, o Options) *Handler {
	h := &Handler{Views: NewViews(source), opts: o, mux: http.NewServeMux(), registry: prometheus.NewRegistry(), stats: map[string]uint64{}}
	h.registry.MustRegister(&collector{views: h.Views, complete: o.Complete})
	h.json("/varz", func(*http.Request) (any, error) { return h.Varz(), nil })
	h.json("/connz", h.connz)
	h.json("/leafz", h.leafz)
	h.json("/subsz", h.subsz)
	h.json("/subscriptionsz", h.subsz)
	h.json("/accountz", h.accountz)
	h.json("/accstatz", h.accstatz)
	h.count("/healthz", h.healthz)
	h.count("/stacksz", stacksz)
	h.Mount("/metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}))
	h.mux.HandleFunc(h.path("/{$}"), h.index)
	return h
}

func (h *Handler) path(p string) string {
	if h.opts.BasePath == "" || h.opts.BasePath == "/" {
		return p
	}
	return "/" + strings.Trim(h.opts.BasePath, "/") + p
}

// Mount serves path, below the base path, by handler.
func (h *Handler) Mount(path string, handler http.Handler) {
	h.paths = append(h.paths, path)
	h.mux.Handle(h.path(path), handler)
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opts.Authorize != nil && !h.opts.Authorize(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="monitoring", charset="UTF-8"`)
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// count serves path by f and counts its requests for /varz.
func (h *Handler) count(path string, f http.HandlerFunc) {
	h.Mount(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.stats[h.path(path)]++
		h.mu.Unlock()
		f(w, r)
	}))
}

// json serves path by f: indented JSON, or its error with status 400.
func (h *Handler) json(path string, f func(*http.Request) (any, error)) {
	h.count(path, func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(err.Error()))
			return
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		reply(w, http.StatusOK, b)
	})
}

func reply(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.WriteHeader(status)
	w.Write(body)
}

// Varz is Views.Varz with what only the HTTP listeners know.
func (h *Handler) Varz() *Varz {
	v := h.Views.Varz()
	if h.opts.Complete != nil {
		h.opts.Complete(v)
	}
	v.HTTPHost, v.HTTPPort, v.HTTPSPort, v.HTTPBasePath = h.opts.Host, h.opts.Port, h.opts.HTTPSPort, h.opts.BasePath
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, n := range h.stats {
		v.HTTPReqStats[p] = n
	}
	return v
}

func (h *Handler) healthz(w http.ResponseWriter, r *http.Request) {
	q := query{r.URL.Query()}
	o := HealthzOptions{Account: q.Get("account"), Stream: q.Get("stream"), Consumer: q.Get("consumer")}
	for _, p := range []struct {
		name string
		to   *bool
	}{
		{"js-enabled", &o.JSEnabled}, {"js-enabled-only", &o.JSEnabledOnly}, {"js-server-only", &o.JSServerOnly},
		{"js-meta-only", &o.JSMetaOnly}, {"details", &o.Details},
	} {
		var err error
		if *p.to, err = q.bool(p.name); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(err.Error()))
			return
		}
	}
	z := h.Healthz(o)
	code := z.Code
	z.Code = 0
	b, _ := json.Marshal(z)
	reply(w, code, b)
}

func stacksz(w http.ResponseWriter, _ *http.Request) {
	buf := make([]byte, 1<<20)
	w.Write(buf[:runtime.Stack(buf, true)])
}

func (h *Handler) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>ganglion</title><h1>ganglion</h1><ul>")
	for _, p := range h.paths {
		fmt.Fprintf(w, "<li><a href=%q>%s</a></li>", "."+p, p)
	}
	fmt.Fprint(w, "</ul>")
}

// query reads parameters with nats-server's error texts.
type query struct{ url.Values }

func (q query) bool(name string) (bool, error) {
	s := q.Get(name)
	if s == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("Error decoding boolean for '%s': %w", name, err)
	}
	return v, nil
}

func (q query) int(name string) (int, error) {
	s := q.Get(name)
	if s == "" {
		return 0, nil
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("Error decoding int for '%s': %w", name, err)
	}
	return v, nil
}

func (q query) uint(name string) (uint64, error) {
	s := q.Get(name)
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Error decoding uint64 for '%s': %w", name, err)
	}
	return v, nil
}

// subs reads subs=1|true|detail.
func (q query) subs() (list, detail bool, err error) {
	if strings.EqualFold(q.Get("subs"), "detail") {
		return true, true, nil
	}
	list, err = q.bool("subs")
	return list, false, err
}

func (q query) page() (offset, limit int, err error) {
	if offset, err = q.int("offset"); err != nil {
		return 0, 0, err
	}
	limit, err = q.int("limit")
	return offset, limit, err
}

// page returns where a page begins and how long it is, from what was asked for.
func page(offset, limit int) (int, int) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return max(offset, 0), limit
}
