package main

import (
	"net"
	"testing"
)

func TestConnected(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	if connected(port) {
		t.Error("connected before anybody is")
	}
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !connected(port) { // nobody has accepted yet
		t.Error("not connected")
	}
}
