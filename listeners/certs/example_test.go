package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"

	"ganglion/listeners/certs"
)

// A wss port of the broker, with certificates of its own CA. With ACME the same
// config answers tls-alpn-01, and the daemon also serves HTTPHandler on port 80.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m, err := certs.New(certs.Options{
		Logger:  slog.New(slog.DiscardHandler),
		Sources: map[string]certs.Source{"lan": {Internal: &certs.Internal{Storage: dir}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if err := m.Start(context.Background()); err != nil {
		log.Fatal(err)
	}

	cfg := m.TLSConfig("lan")
	cfg.NextProtos = []string{"http/1.1"}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })}
	go server.Serve(tls.NewListener(ln, cfg))
	defer server.Close()

	root, err := m.Root()
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := client.Get("https://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.TLS.PeerCertificates[0].VerifyHostname("127.0.0.1"))
	// Output: 200 OK <nil>
}
