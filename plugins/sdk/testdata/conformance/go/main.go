// The conformance guest in Go. What it does on which subject is written in
// ../README.md; it is the same in all languages.
package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	plugin "ganglion/plugins/sdk/go"
)

func init() {
	plugin.Register(plugin.Plugin{
		Name: "conformance", Version: "1", Description: `says "what" it \ sees`,
		Bindings: []plugin.Binding{
			{Boundary: plugin.Publish, Subjects: []string{">"}, PublishTo: []string{"new.>"}, Order: 7},
			{Boundary: plugin.Connect},
		},
		Emit: []string{"out.>"}, KV: 4096, Clock: true,
		Want: plugin.WantAll,
		Configure: func() error {
			if plugin.ConfigString("fail", "") != "" {
				return fmt.Errorf("told to fail")
			}
			return nil
		},
		OnMessage: onMessage,
		OnTick:    func(now int64) { plugin.MetricSet("tick", float64(now)) },
		Close:     func() { plugin.Log(plugin.Info, "closed") },
	})
}

func main() {}

func onMessage(m *plugin.Message) plugin.Verdict {
	text := string(m.Payload)
	answer := func(s string, err error) plugin.Verdict {
		if e, ok := err.(plugin.Error); ok {
			s = fmt.Sprintf("error %d", int32(e))
		}
		return m.ReplacePayload([]byte(s))
	}
	switch m.Subject {
	case "cmd.pass":
		return plugin.Pass
	case "cmd.drop":
		return plugin.Drop
	case "cmd.reject":
		return m.Reject(422, text)
	case "cmd.reject.plain":
		return m.Reject(0, "")
	case "cmd.fail":
		return plugin.Fail
	case "cmd.trap":
		panic("told to trap")
	case "cmd.replace.subject":
		return m.ReplaceSubject(text)
	case "cmd.replace.reply":
		m.SetReply(text)
		return m.Replace()
	case "cmd.replace.headers":
		m.SetHeaders(m.Payload)
		return m.Replace()
	case "cmd.replace.payload":
		return m.ReplacePayload(append(m.Payload, m.Payload...))
	case "cmd.replace.inplace":
		for i, c := range m.Payload {
			if c >= 'a' && c <= 'z' {
				m.Payload[i] = c - 32
			}
		}
		return m.ReplacePayload(m.Payload)
	case "cmd.replace.all":
		m.SetSubject("new.subject")
		m.SetReply("new.reply")
		m.SetHeaders([]byte("NATS/1.0\r\nA: b\r\n\r\n"))
		m.SetPayload([]byte("new"))
		return m.Replace()
	case "cmd.header":
		return answer("<"+m.Header(text)+">", nil)
	case "cmd.header.set":
		m.SetHeader("Unit", text)
		return m.Replace()
	case "cmd.config":
		return answer(plugin.ConfigString(text, "none"), nil)
	case "cmd.config.raw":
		return m.ReplacePayload(plugin.ConfigJSON())
	case "cmd.log":
		for _, l := range []plugin.Level{plugin.Debug, plugin.Info, plugin.Warn, plugin.Err} {
			plugin.Log(l, text)
		}
		return plugin.Pass
	case "cmd.metric.add":
		plugin.MetricAdd(text, 3)
		return plugin.Pass
	case "cmd.metric.set":
		plugin.MetricSet(text, 2.5)
		return plugin.Pass
	case "cmd.kv.get":
		b, err := plugin.KVGet(text)
		return answer(string(b), err)
	case "cmd.kv.set":
		key, value, _ := strings.Cut(text, "=")
		return answer("ok", plugin.KVSet(key, []byte(value), 1500*time.Millisecond))
	case "cmd.kv.delete":
		was, err := plugin.KVDelete(text)
		if was {
			return answer("1", err)
		}
		return answer("0", err)
	case "cmd.kv.add":
		sum, err := plugin.KVAdd(text, 7, time.Minute)
		return answer(strconv.FormatInt(sum, 10), err)
	case "cmd.emit":
		return answer("ok", plugin.Emit(text, "r", []byte("NATS/1.0\r\nX: y\r\n\r\n"), []byte("emitted")))
	case "cmd.now":
		return answer(strconv.FormatInt(plugin.Now().UnixNano(), 10), nil)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "boundary %d\nhops %d\nsubject %x\nreply %x\nheaders %x\npayload %x\nfacts %x\npresent %d\nsizes %d %d\n",
		m.Boundary, m.Hops, m.Subject, m.Reply, m.Headers, m.Payload, m.Facts, m.Present, m.HeadersSize, m.PayloadSize)
	return m.ReplacePayload(b.Bytes())
}
