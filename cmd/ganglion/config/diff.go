package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is one option that differs between two configurations.
type Change struct {
	Name     string
	Old, New string
	// Fixed options can't change while the server runs.
	Fixed bool
}

// fixed are the options that need a restart.
var fixed = map[string]bool{
	"Host": true, "Port": true, "HTTPHost": true, "HTTPPort": true, "HTTPBasePath": true, "ProfPort": true,
	"HTTPSPort": true, "Monitor.Certificate": true, "WebSocket.On": true, "WebSocket.Host": true, "WebSocket.Port": true, "WebSocket.HandshakeTimeout": true,
	"QUIC.On": true, "QUIC.Host": true, "QUIC.Port": true, "QUIC.MaxConns": true, "QUIC.MaxStreams": true, "QUIC.MaxHandshakes": true, "QUIC.RetryRate": true,
	"QUIC.MaxLanes": true, "QUIC.HandshakeTimeout": true, "QUIC.IdleTimeout": true, "QUIC.KeepAlive": true, "QUIC.NoEarlyData": true, "QUICByFlag": true, "WebTransport.On": true,
	"ProxyProtocol": true, "ProxyFrom": true, "Domain": true, "WSSPort": true, "ACMEPort": true,
	"LeafNodes.Host": true, "LeafNodes.Port": true, "LeafNodes.TLS.On": true, "LeafNodes.TLS.First": true, "LeafNodes.TLS.Map": true, "LeafNodes.Auth.Account": true,
	"PortsFileDir": true, "Broker.ServerName": true, "Plugins.On": true, "Plugins.Metering": true, "Plugins.CacheDir": true, "Broker.MaxClosed": true,
}

// secret options are named in a diff, but not shown.
var secret = map[string]bool{
	"Broker.Auth.Password": true, "Broker.Auth.Token": true, "Broker.Auth.Users": true, "Broker.Auth.Listeners": true, "Broker.Auth.DefaultSentinel": true,
	"WebSocket.Auth.Password": true, "WebSocket.Auth.Token": true, "WebSocket.Auth.User": true,
	"QUIC.Auth.Password": true, "QUIC.Auth.Token": true, "QUIC.Auth.User": true,
	"WebTransport.Auth.Password": true, "WebTransport.Auth.Token": true, "WebTransport.Auth.User": true,
	"LeafNodes.Remotes": true, "LeafNodes.Auth.User": true, "LeafNodes.Auth.Password": true, "LeafNodes.Auth.NKey": true, "LeafNodes.Auth.Users": true,
	"Monitor.Password": true, "Operator.Tokens": true, "Operator.Preload": true, "Broker.Accounts": true, "Plugins.Configure": true,
}

// Diff lists what differs from old to new.
func Diff(old, new *Config) []Change {
	var cs []Change
	walk("", reflect.ValueOf(*old), reflect.ValueOf(*new), &cs)
	return cs
}

func walk(path string, a, b reflect.Value, cs *[]Change) {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		name := path + f.Name
		x, y := a.Field(i), b.Field(i)
		switch {
		case f.Name == "ConfigDigest" || f.Name == "Logger":
			continue
		case f.Type.Kind() == reflect.Struct:
			walk(name+".", x, y, cs)
			continue
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Pointer:
			if sameMappings(x, y) {
				continue
			}
		case reflect.DeepEqual(x.Interface(), y.Interface()):
			continue
		}
		c := Change{Name: name, Old: fmt.Sprint(x.Interface()), New: fmt.Sprint(y.Interface()), Fixed: fixed[name]}
		if secret[name] {
			c.Old, c.New = "[hidden]", "[hidden]"
		}
		*cs = append(*cs, c)
	}
}

// sameMappings compares lists of pointers by what they point to.
func sameMappings(x, y reflect.Value) bool {
	if x.Len() != y.Len() {
		return false
	}
	for i := range x.Len() {
		if !reflect.DeepEqual(x.Index(i).Interface(), y.Index(i).Interface()) {
			return false
		}
	}
	return true
}

// String writes the change for a log.
func (c Change) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %s -> %s", c.Name, c.Old, c.New))
}
