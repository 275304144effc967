// Package web holds the page that the broker serves to browsers, a NATS client
// over WebSocket, and that client as a module of its own for other pages:
//
//	import { connectEdge, discover } from "/nats.js";
//	const nc = await connectEdge({ servers: "wss://edge.example.com", webtransport: discover });
//
// connectEdge connects over WebTransport where the broker says in /edge.json that
// it takes it and where it gets through, over WebSocket otherwise.
//
// The sources are in src; `npm ci && npm run build` bundles them into dist, which
// is committed so that building the broker needs no Node.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load nothing from elsewhere and run nothing inline. It may
// connect to other brokers: the server is a field of its form, and WebTransport
// is https: on a port of its own.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' https: ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// types are the content types by extension: the system's table may lack some or
// have others.
var types = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// asset is a file of dist.
type asset struct {
	name, kind, tag string
	plain           []byte
	gzipped         func() []byte // made at the first request
}

// Handler serves the page at "/", its files beside it, and 404 for every other
// path. It answers GET and HEAD, compresses for those who accept gzip, and lets
// browsers keep what they revalidate by ETag. It is HandlerWith of a broker with
// nothing to tell.
func Handler() http.Handler { return HandlerWith(nil) }

// HandlerWith is Handler, with what edge returns as /edge.json. edge is called for
// each request, by several goroutines at once; nil stands for one that returns the
// zero Edge.
func HandlerWith(edge func() Edge) http.Handler {
	if edge == nil {
		edge = func() Edge { return Edge{} }
	}
	h := handler{edge: edge, assets: map[string]*asset{}}
	files, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // go:embed would not have compiled
	}
	for _, f := range files {
		data, err := dist.ReadFile("dist/" + f.Name())
		if err != nil {
			panic(err)
		}
		h.assets["/"+f.Name()] = newAsset(f.Name(), data)
	}
	h.assets["/"] = h.assets["/index.html"]
	return h
}

func newAsset(name string, data []byte) *asset {
	sum := sha256.Sum256(data)
	return &asset{
		name: name, kind: types[path.Ext(name)], tag: base64.RawURLEncoding.EncodeToString(sum[:15]), plain: data,
		gzipped: sync.OnceValue(func() []byte { return compress(data) }),
	}
}

func compress(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(data) // a bytes.Buffer takes all
	w.Close()
	return b.Bytes()
}

// handler holds the assets by path.
type handler struct {
	edge   func() Edge
	assets map[string]*asset
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("Content-Security-Policy", policy)
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Referrer-Policy", "no-referrer")
	hd.Set("Cross-Origin-Opener-Policy", "same-origin")
	a, ok := h.assets[r.URL.Path]
	known := r.URL.Path == edgePath
	switch {
	case !ok && !known:
		http.Error(w, "404 page not found", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		hd.Set("Allow", "GET, HEAD")
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
	case known:
		h.edge().serve(w)
	default:
		a.serve(w, r)
	}
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("Content-Type", a.kind)
	hd.Set("Cache-Control", "no-cache") // keep, but ask: names stay when contents change
	hd.Set("Vary", "Accept-Encoding")
	if a.name == "nats.js" {
		hd.Set("Access-Control-Allow-Origin", "*") // a module may be imported by pages from elsewhere
	}
	data, tag := a.plain, a.tag
	if acceptsGzip(r.Header.Get("Accept-Encoding")) && r.Header.Get("Range") == "" {
		data, tag = a.gzipped(), a.tag+"-gzip" // other bytes, another tag
		hd.Set("Content-Encoding", "gzip")
		hd.Set("Content-Length", strconv.Itoa(len(data)))
	}
	hd.Set("ETag", fmt.Sprintf("%q", tag))
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(data))
}

// acceptsGzip reads an Accept-Encoding header, RFC 9110 section 12.5.3.
func acceptsGzip(header string) bool {
	any := false
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		q, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		ok := !found || err == nil && weight > 0
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return ok
		case "*":
			any = ok
		}
	}
	return any
}
