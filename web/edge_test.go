package web_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"ganglion/web"
)

func TestEdge(t *testing.T) {
	for _, c := range []struct {
		name string
		edge func() web.Edge
		want string
	}{
		{"none", nil, `{}`},
		{"zero", func() web.Edge { return web.Edge{} }, `{}`},
		{"known certificate", func() web.Edge { return web.Edge{WebTransport: &web.WebTransport{Port: 443, Path: "/nats"}} }, `{"webtransport":{"port":443,"path":"/nats"}}`},
		{"all", func() web.Edge {
			return web.Edge{WebTransport: &web.WebTransport{Host: "h3.example.com", Port: 8443, Path: "/x", Hashes: [][]byte{{1, 2, 3}, {255}}}}
		}, `{"webtransport":{"host":"h3.example.com","port":8443,"path":"/x","hashes":["AQID","/w=="]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := web.HandlerWith(c.edge)
			for _, method := range []string{"GET", "HEAD", "POST"} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/edge.json", nil))
				if method == "POST" {
					if w.Code != 405 {
						t.Errorf("POST: status %d, want 405", w.Code)
					}
					continue
				}
				hd := w.Header()
				if w.Code != 200 || hd.Get("Content-Type") != "application/json" || hd.Get("Cache-Control") != "no-store" || hd.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("%s: status %d, header %v", method, w.Code, hd)
				}
				if got := strings.TrimSpace(w.Body.String()); got != c.want || !json.Valid([]byte(got)) {
					t.Errorf("%s: got %s, want %s", method, got, c.want)
				}
			}
		})
	}
}

// What edge says may change while the page is served.
func TestEdgeIsAsked(t *testing.T) {
	port := 1
	h := web.HandlerWith(func() web.Edge { return web.Edge{WebTransport: &web.WebTransport{Port: port, Path: "/"}} })
	for port = 1; port < 3; port++ {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/edge.json", nil))
		var got web.Edge
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.WebTransport == nil || got.WebTransport.Port != port {
			t.Errorf("got %s (%v), want port %d", w.Body, err, port)
		}
	}
}
