package leaf

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"ganglion/core/wire"
)

// maxLine bounds a line of the handshake: INFO of a large cluster names many
// addresses.
const maxLine = 64 << 10

// readLine reads a line from nc and not a byte more: what follows may be TLS, S2
// or already the session's.
func readLine(nc net.Conn) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		if _, err := nc.Read(one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return strings.TrimRight(string(line), "\r "), nil
		}
		if line = append(line, one[0]); len(line) > maxLine {
			return "", errors.New("the line is too long")
		}
	}
}

// errWrongPort is returned for a peer that is no leafnode port.
var errWrongPort = errors.New("attempted to connect to wrong port: it is none for leafnodes (of nats-server that is 7422); correct the remote's url")

// peerError is what the peer says in -ERR.
type peerError struct{ text string }

func (e *peerError) Error() string { return "the hub says: " + e.text }

// readInfo reads INFO.
func readInfo(nc net.Conn) (*wire.LeafInfo, error) {
	for {
		line, err := readLine(nc)
		if err != nil {
			return nil, err
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "INFO":
			i := &wire.LeafInfo{}
			if err := json.Unmarshal([]byte(arg), i); err != nil {
				return nil, fmt.Errorf("INFO makes no sense: %w", err)
			}
			return i, nil
		case "-ERR":
			return nil, &peerError{strings.Trim(arg, " '")}
		case "PING", "PONG", "+OK":
			continue
		}
		return nil, errWrongPort
	}
}

// leafPort reports whether i is of a port that leafs are to connect to.
func leafPort(i *wire.LeafInfo) bool {
	if i.InfoOnConnect || len(i.LeafURLs) > 0 {
		return true
	}
	return i.ClientIP == "" && len(i.ConnectURLs) == 0 && i.GatewayURL == "" && i.Nonce != ""
}
