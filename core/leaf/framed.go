package leaf

import "net"

// Framed is a connection of frames, as WebSocket's are: S2 goes below the frames
// there, as nats-server has it, so what travels are S2 streams of frames.
type Framed interface {
	// Below puts what put makes of the connection that carries the frames in its
	// place. Nothing is read or written meanwhile, and nothing was read ahead.
	Below(put func(net.Conn) net.Conn)
}
