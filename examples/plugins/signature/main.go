// Signature lets only messages through that somebody with a key has signed. The
// signature is a header,
//
//	Signature: KEY=HEX
//
// where KEY is the name of a key and HEX the HMAC-SHA256 of the subject, a line feed
// and the payload. Others are rejected with 401. The configuration:
//
//	{"keys": {"pump-7": "s3cret"}, "header": "Signature"}
//
// It says who made a message, not when: one that was seen can be sent again, to the
// same subject.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	plugin "ganglion/plugins/sdk/go"
)

var config struct {
	Keys   map[string]string `json:"keys"`
	Header string            `json:"header"`
}

func init() {
	plugin.Register(plugin.Plugin{
		Name: "signature", Version: "1", Description: "lets only signed messages through",
		Bindings:  []plugin.Binding{{Boundary: plugin.Publish, Subjects: []string{"signed.>"}}},
		Want:      plugin.WantSubject | plugin.WantHeaders | plugin.WantPayload,
		Configure: configure,
		OnMessage: check,
	})
}

func main() {}

func configure() error {
	config.Header = "Signature"
	if err := plugin.Config(&config); err != nil {
		return err
	}
	if len(config.Keys) == 0 {
		return errors.New(`there are no keys; give some, as {"keys": {"NAME": "SECRET"}}`)
	}
	for name, secret := range config.Keys {
		if name == "" || secret == "" {
			return errors.New("a key has no name or no secret")
		}
	}
	return nil
}

func check(m *plugin.Message) plugin.Verdict {
	name, sum, ok := strings.Cut(m.Header(config.Header), "=")
	if !ok {
		return m.Reject(401, "there is no signature")
	}
	secret, ok := config.Keys[name]
	if !ok {
		return m.Reject(401, "the key of the signature is unknown")
	}
	got, err := hex.DecodeString(sum)
	if err != nil {
		return m.Reject(401, "the signature is not hexadecimal")
	}
	h := hmac.New(sha256.New, []byte(secret))
	io.WriteString(h, m.Subject)
	io.WriteString(h, "\n")
	h.Write(m.Payload)
	if !hmac.Equal(got, h.Sum(nil)) {
		return m.Reject(401, "the signature is wrong")
	}
	return plugin.Pass
}
