package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
)

// maxLine is how many bytes a line of a recording may have.
const maxLine = 16 << 20

// recorded is a message as JSON.
type recorded struct {
	Subject string          `json:"subject,omitempty"`
	Reply   string          `json:"reply,omitempty"`
	Headers recordedHeaders `json:"headers,omitempty"`
	Payload string          `json:"payload,omitempty"`
	Base64  []byte          `json:"payload_base64,omitempty"` // of a payload that is no text
	Data    string          `json:"data,omitempty"`           // as ganglion sub calls the payload
}

// recordedHeaders are values by name: lists of them, or single ones.
type recordedHeaders map[string][]string

// UnmarshalJSON takes {"A":"b"} as well as {"A":["b"]}.
func (h *recordedHeaders) UnmarshalJSON(b []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	*h = recordedHeaders{}
	for name, v := range values {
		var one string
		if json.Unmarshal(v, &one) == nil {
			(*h)[name] = []string{one}
			continue
		}
		var list []string
		if err := json.Unmarshal(v, &list); err != nil {
			return fmt.Errorf("header %q is neither a string nor a list of them", name)
		}
		(*h)[name] = list
	}
	return nil
}

func (h recordedHeaders) lines() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			list = append(list, name+": "+v)
		}
	}
	return list
}

// record is m as it stands in a recording.
func record(subject, reply string, headers []string, payload string) recorded {
	r := recorded{Subject: subject, Reply: reply, Payload: payload}
	if !utf8.ValidString(payload) {
		r.Payload, r.Base64 = "", []byte(payload)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if r.Headers == nil {
			r.Headers = recordedHeaders{}
		}
		r.Headers[name] = append(r.Headers[name], strings.TrimSpace(value))
	}
	return r
}

// recording reads messages, one a line, up to the first error.
func recording(in io.Reader) iter.Seq2[plugintest.Message, error] {
	return func(yield func(plugintest.Message, error) bool) {
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			if len(bytes.TrimSpace(s.Bytes())) == 0 {
				continue
			}
			m, err := parseRecorded(s.Bytes())
			if !yield(m, err) || err != nil {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(plugintest.Message{}, fmt.Errorf("%w (a line may have %d bytes)", err, maxLine))
		}
	}
}

func parseRecorded(line []byte) (plugintest.Message, error) {
	var r recorded
	if err := json.Unmarshal(line, &r); err != nil {
		return plugintest.Message{}, fmt.Errorf("not a JSON object with subject, reply, headers and payload: %w", err)
	}
	m := plugintest.Message{Subject: r.Subject, Reply: r.Reply, Headers: r.Headers.lines()}
	for _, payload := range []string{r.Payload, string(r.Base64), r.Data} {
		if payload != "" && m.Payload != "" {
			return m, errors.New("it has more than one of payload, payload_base64 and data; leave one")
		}
		m.Payload += payload
	}
	return m, nil
}

// verdict is one line about a recorded message.
type verdict struct {
	Message int    `json:"message"` // its number, from 1
	Verdict string `json:"verdict"`
	Unbound bool   `json:"unbound,omitempty"` // the manifest does not name the subject
	// Of a reject.
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// Of a replace: what is not as it was, and all of the message as it is.
	Changed []string `json:"changed,omitempty"`
	recorded
	Emitted []recorded `json:"emitted,omitempty"`
	Log     []string   `json:"log,omitempty"`
}

func verdictLine(n int, m *plugintest.Message, r *plugintest.Result, p *plugintest.Plugin) verdict {
	v := verdict{Message: n, Verdict: r.Verdict.String(), Unbound: !r.Bound, Code: r.Code, Reason: r.Reason, Log: p.Logs()}
	switch {
	case r.Err != nil:
		v.Error = r.Err.Error()
	case r.Verdict == abi.Replace:
		v.Changed = changes(m, r)
		v.recorded = record(r.Subject, r.Reply, r.Headers, r.Payload)
	}
	for _, e := range p.Emitted() {
		v.Emitted = append(v.Emitted, record(e.Subject, e.Reply, e.Headers, e.Payload))
	}
	return v
}
