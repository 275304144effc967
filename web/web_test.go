package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ganglion/web"
)

// get asks a handler of its own.
func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func source(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("dist", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFiles(t *testing.T) {
	for _, c := range []struct{ path, file, kind string }{
		{"/", "index.html", "text/html; charset=utf-8"},
		{"/index.html", "index.html", "text/html; charset=utf-8"},
		{"/app.js", "app.js", "text/javascript; charset=utf-8"},
		{"/nats.js", "nats.js", "text/javascript; charset=utf-8"},
		{"/theme.js", "theme.js", "text/javascript; charset=utf-8"},
		{"/style.css", "style.css", "text/css; charset=utf-8"},
		{"/icon.svg", "icon.svg", "image/svg+xml"},
		{"/licenses.txt", "licenses.txt", "text/plain; charset=utf-8"},
	} {
		r := get(t, "GET", c.path)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != c.kind {
			t.Errorf("%s: status %d, type %q, want 200 and %q", c.path, r.StatusCode, r.Header.Get("Content-Type"), c.kind)
		}
		if !bytes.Equal(body(t, r), source(t, c.file)) {
			t.Errorf("%s is not dist/%s", c.path, c.file)
		}
		if n, err := strconv.Atoi(r.Header.Get("Content-Length")); err != nil || n != len(source(t, c.file)) {
			t.Errorf("%s: length %q", c.path, r.Header.Get("Content-Length"))
		}
		head := get(t, "HEAD", c.path)
		if head.StatusCode != 200 || len(body(t, head)) != 0 || head.Header.Get("ETag") != r.Header.Get("ETag") {
			t.Errorf("HEAD %s: status %d, tag %q, want 200, no body, tag %q", c.path, head.StatusCode, head.Header.Get("ETag"), r.Header.Get("ETag"))
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/nothing", 404},
		{"GET", "/dist/app.js", 404},
		{"GET", "/../web.go", 404},
		{"GET", "//", 404},
		{"GET", "/app.js/", 404},
		{"POST", "/nothing", 404},
		{"POST", "/", 405},
		{"PUT", "/app.js", 405},
		{"DELETE", "/", 405},
		{"OPTIONS", "/", 405},
	} {
		r := get(t, c.method, c.path)
		if r.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, r.StatusCode, c.status)
		}
		if allow := r.Header.Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	for _, path := range []string{"/", "/nats.js", "/nothing"} {
		h := get(t, "GET", path).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self' https: ws: wss:;", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy lacks %s: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy is no policy: %s", path, csp)
		}
	}
	if get(t, "GET", "/nats.js").Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("other origins cannot import nats.js")
	}
	if got := get(t, "GET", "/app.js").Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("other origins may read app.js: %q", got)
	}
}

func TestCaching(t *testing.T) {
	for _, encoding := range []string{"", "gzip"} {
		first := get(t, "GET", "/app.js", "Accept-Encoding", encoding)
		tag := first.Header.Get("ETag")
		if !regexp.MustCompile(`^"[\w-]{20,}"$`).MatchString(tag) || first.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("encoding %q: tag %s, Cache-Control %q", encoding, tag, first.Header.Get("Cache-Control"))
		}
		again := get(t, "GET", "/app.js", "Accept-Encoding", encoding, "If-None-Match", tag)
		if again.StatusCode != 304 || len(body(t, again)) != 0 || again.Header.Get("ETag") != tag {
			t.Errorf("encoding %q: status %d, tag %s, want 304 and %s", encoding, again.StatusCode, again.Header.Get("ETag"), tag)
		}
		if other := get(t, "GET", "/style.css", "Accept-Encoding", encoding, "If-None-Match", tag); other.StatusCode != 200 {
			t.Errorf("encoding %q: another file has the same tag", encoding)
		}
	}
}

func TestGzip(t *testing.T) {
	for _, c := range []struct {
		accept string
		want   bool
	}{
		{"", false}, {"gzip", true}, {"br, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"gzip; q=0.0, *", false},
		{"*", true}, {"*;q=0", false}, {"identity", false}, {"deflate, br", false}, {"gzip;q=x", false},
	} {
		r := get(t, "GET", "/nats.js", "Accept-Encoding", c.accept)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != c.want {
			t.Errorf("Accept-Encoding %q: gzip %v, want %v", c.accept, got, c.want)
			continue
		}
		if r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary is %q", c.accept, r.Header.Get("Vary"))
		}
		b := body(t, r)
		if n := r.Header.Get("Content-Length"); n != strconv.Itoa(len(b)) {
			t.Errorf("Accept-Encoding %q: Content-Length %s, %d bytes", c.accept, n, len(b))
		}
		if c.want {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(b, source(t, "nats.js")) {
			t.Errorf("Accept-Encoding %q: not the file", c.accept)
		}
	}
}

func TestRange(t *testing.T) {
	r := get(t, "GET", "/nats.js", "Accept-Encoding", "gzip", "Range", "bytes=0-9")
	if r.StatusCode != 206 || r.Header.Get("Content-Encoding") != "" || !bytes.Equal(body(t, r), source(t, "nats.js")[:10]) {
		t.Errorf("status %d, encoding %q", r.StatusCode, r.Header.Get("Content-Encoding"))
	}
}

// Nothing in dist names a URL elsewhere; licenses.txt is to read only.
func TestNothingFromElsewhere(t *testing.T) {
	url := regexp.MustCompile(`(?i)\b(?:https?|wss?):?//[\w.-]+`)
	const svg = "http://www.w3.org" // begins the name of SVG's elements; nobody goes there
	for _, name := range []string{"index.html", "app.js", "nats.js", "theme.js", "style.css", "icon.svg"} {
		for _, found := range url.FindAllString(string(source(t, name)), -1) {
			if found != svg {
				t.Errorf("%s names %s", name, found)
			}
		}
	}
	if css := string(source(t, "style.css")); strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("style.css loads something")
	}
}

func TestReferences(t *testing.T) {
	used := map[string]bool{"index.html": true, "nats.js": true}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(source(t, "index.html")), -1) {
		used[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`from"\./([^"]*)"`).FindAllStringSubmatch(string(source(t, "app.js")), -1) {
		if m[1] != "nats.js" {
			t.Errorf("app.js imports %s", m[1])
		}
	}
	files, err := os.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !used[f.Name()] {
			t.Errorf("nothing refers to dist/%s", f.Name())
		}
		delete(used, f.Name())
	}
	for name := range used {
		t.Errorf("dist/%s is missing", name)
	}
	for _, m := range regexp.MustCompile(`<script[^>]*>([^<]*)`).FindAllStringSubmatch(string(source(t, "index.html")), -1) {
		if strings.TrimSpace(m[1]) != "" {
			t.Errorf("index.html has a script of its own, which the policy forbids: %.40s", m[1])
		}
	}
	for _, bad := range []string{" style=", " onclick=", "<style"} {
		if strings.Contains(string(source(t, "index.html")), bad) {
			t.Errorf("index.html has %q, which the policy forbids", bad)
		}
	}
}

// Every id that app.js looks up is in the page.
func TestIds(t *testing.T) {
	html := string(source(t, "index.html"))
	src, err := filepath.Glob("src/*.ts")
	if err != nil || len(src) == 0 {
		t.Fatal(err, src)
	}
	n := 0
	for _, file := range src {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:byId(?:<\w+>)?|input)\("([^"]+)"\)`).FindAllStringSubmatch(string(b), -1) {
			n++
			if !strings.Contains(html, `id="`+m[1]+`"`) {
				t.Errorf("%s: no #%s in index.html", file, m[1])
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d look-ups found", n)
	}
}

func TestClientExports(t *testing.T) {
	js := string(source(t, "nats.js"))
	at := strings.LastIndex(js, "export{")
	if at < 0 {
		t.Fatal("nats.js exports nothing")
	}
	for _, name := range []string{"connectEdge", "discover", "transportOf", "OpSplitter", "WebTransportLink", "wsconnect", "headers", "createInbox", "nkeyAuthenticator", "credsAuthenticator", "jwtAuthenticator", "NoRespondersError", "deadline"} {
		if !regexp.MustCompile(`\bas ` + name + `\b`).MatchString(js[at:]) {
			t.Errorf("nats.js does not export %s", name)
		}
	}
}
