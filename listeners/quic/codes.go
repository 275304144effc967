package quic

import (
	"errors"
	"fmt"

	quicgo "github.com/quic-go/quic-go"
)

// The codes of doc.go that are the listener's own.
const (
	CodeNone       = 0x00 // closed without anything wrong
	CodePreamble   = 0x01 // no preamble, or none of this version
	CodeTimeout    = 0x02 // no preamble, or no stream, in time
	CodeRefused    = 0x03 // as many connections as there may be
	CodeClosed     = 0x04 // the listener was closed
	firstCloseCode = 0x100
)

// CloseError is why the server ended a NATS connection, or the QUIC connection
// that it travels on, as codes say it; see the package's comment.
type CloseError struct {
	Code uint64
	// Text names the reason; "" where the code alone was sent.
	Text string
}

func (e *CloseError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("quic: closed by the server with code %#x", e.Code)
	}
	return fmt.Sprintf("quic: closed by the server with code %#x: %s", e.Code, e.Text)
}

// closeError returns what err says about why the other end closed, nil for
// nothing.
func closeError(err error) *CloseError {
	var se *quicgo.StreamError
	var ae *quicgo.ApplicationError
	switch {
	case errors.As(err, &se) && se.Remote:
		return &CloseError{Code: uint64(se.ErrorCode)}
	case errors.As(err, &ae) && ae.Remote:
		return &CloseError{Code: uint64(ae.ErrorCode), Text: ae.ErrorMessage}
	}
	return nil
}
