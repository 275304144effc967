package web

import (
	"encoding/json"
	"net/http"
)

// edgePath is where pages look for what Edge says.
const edgePath = "/edge.json"

// Edge is what /edge.json tells pages about the broker that serves them. The zero
// value is {}: WebSocket at the page's own address is all there is.
type Edge struct {
	// WebTransport is where the broker takes WebTransport; nil is nowhere.
	WebTransport *WebTransport `json:"webtransport,omitempty"`
}

// WebTransport is where a broker takes WebTransport.
type WebTransport struct {
	// Host is the name or address; "" is the one that the page came from.
	Host string `json:"host,omitempty"`
	// Port is the UDP port.
	Port int `json:"port"`
	// Path begins with a slash.
	Path string `json:"path"`
	// Hashes are the SHA-256 of certificates (DER) that browsers are to take
	// though no authority that they know has signed them: ECDSA, valid for 14 days
	// at most. With none, the certificate must be one that browsers know.
	Hashes [][]byte `json:"hashes,omitempty"`
}

// serve writes e; nobody is to keep it, ports and certificates change.
func (e Edge) serve(w http.ResponseWriter) {
	hd := w.Header()
	hd.Set("Content-Type", "application/json")
	hd.Set("Cache-Control", "no-store")
	hd.Set("Access-Control-Allow-Origin", "*") // pages that import nats.js from here connect here
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings, numbers and bytes can be written
	}
	w.Write(append(b, '\n'))
}
