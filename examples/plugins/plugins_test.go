// Package plugins_test runs the example plugins as they are committed.
package plugins_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/sdk/sdktest"
)

// message is one row of a plugin's table: what is sent, and what becomes of it.
type message struct {
	subject, headers, payload, facts string
	want                             string // as show writes it
	emitted                          string // subject and payload of what is emitted
}

// table is a plugin with a configuration, and what it is sent in order.
type table struct {
	plugin, name, config string
	messages             []message
}

var tables = []table{
	{"upper", "", `{}`, []message{
		{payload: "hello", want: "payload=HELLO"},
		{payload: "grüße 1", want: "payload=GRüßE 1"},
		{want: "pass"},
	}},
	{"units", "convert", `{"convert":[{"field":"temp_f","as":"temp_c","factor":0.5555555556,"offset":-17.7777777778,"decimals":1},{"field":"p","factor":100}]}`, []message{
		{payload: `{"temp_f":70,"rpm":3}`, want: `payload={"temp_c":21.1,"rpm":3}`},
		{payload: ` { "id" : "x,}" , "p" : -0.0125 } `, want: `payload={"id":"x,}","p":-1.25}`},
		{payload: `{"id":"x,}\"","p":-1.25e-2}`, want: `payload={"id":"x,}\"","p":-1.25}`},
		{payload: `{"temp_f":"70"}`, want: "pass"},
		{payload: `{"temp_f":-40}`, want: `payload={"temp_c":-40}`},
		{payload: `{"p":1e20}`, want: `payload={"p":1e22}`},
		{payload: `{"rpm":3}`, want: "pass"},
		{payload: `[1]`, want: "pass"},
		{payload: "\x00\xff", want: "pass"},
		{want: "pass"},
	}},
	{"units", "every", `{"every":3}`, []message{
		{subject: "telemetry.1", want: "pass"},
		{subject: "telemetry.1", want: "drop"},
		{subject: "telemetry.2", want: "pass"},
		{subject: "telemetry.1", want: "drop"},
		{subject: "telemetry.1", want: "pass"},
	}},
	{"units", "interval", `{"interval_ms":1000}`, []message{
		{subject: "telemetry.1", want: "pass"},
		{subject: "telemetry.1", want: "drop"},
		{subject: "telemetry.2", want: "pass"},
	}},
	{"router", "", `{"rules":[
		{"from":"raw.*.temp","to":"plant.$1.temperature"},
		{"from":"raw.>","header":"Kind","equals":"alarm","to":"plant.alarms.>"},
		{"from":"raw.*.*","to":"plant.$2.$1"}]}`, []message{
		{subject: "raw.7.temp", want: "subject=plant.7.temperature"},
		{subject: "raw.7.x.y", headers: "NATS/1.0\r\nKind: alarm\r\n\r\n", want: "subject=plant.alarms.7.x.y"},
		{subject: "raw.7.x.y", headers: "NATS/1.0\r\nKind: other\r\n\r\n", want: "pass"},
		{subject: "raw.7.rpm", want: "subject=plant.rpm.7"},
		{subject: "raw.7", want: "pass"},
		{subject: "other.7.temp", want: "pass"},
	}},
	{"router", "without rules", `{}`, []message{{subject: "raw.7.temp", want: "pass"}}},
	{"jsonschema", "", `{"schema":{"type":"object","required":["t"],"additionalProperties":false,"properties":{
		"t":{"type":"number","minimum":-40,"maximum":120},"unit":{"enum":["C","K"]},"id":{"type":"string","pattern":"^[a-z]+$","maxLength":3},
		"list":{"type":"array","items":{"type":"integer"},"maxItems":2}}}}`, []message{
		{payload: `{"t":21.5,"unit":"C","id":"abc","list":[1,2]}`, want: "pass"},
		{payload: `{"t":500}`, want: `reject 422 /t: 500 is more than 120`},
		{payload: `{"t":-41}`, want: `reject 422 /t: -41 is less than -40`},
		{payload: `{"t":"x"}`, want: `reject 422 /t: is of type string, not number`},
		{payload: `{}`, want: `reject 422 the payload: has no "t"`},
		{payload: `[]`, want: `reject 422 the payload: is of type array, not object`},
		{payload: `{"t":1,"unit":"F"}`, want: `reject 422 /unit: is none of the values that it may be`},
		{payload: `{"t":1,"id":"ABC"}`, want: `reject 422 /id: does not match ^[a-z]+$`},
		{payload: `{"t":1,"id":"abcd"}`, want: `reject 422 /id: is longer than 3`},
		{payload: `{"t":1,"list":[1,2.5]}`, want: `reject 422 /list/1: is of type number, not integer`},
		{payload: `{"t":1,"list":[1,2,3]}`, want: `reject 422 /list: has more than 2 items`},
		{payload: `{"t":1,"x":1}`, want: `reject 422 /x: must not be there`},
		{payload: `{"t":1`, want: `reject 422 the payload is no JSON: it ends too early`},
		{want: `reject 422 the payload is no JSON: it ends too early`},
	}},
	{"signature", "", `{"keys":{"pump-7":"s3cret"}}`, []message{
		{subject: "signed.a", payload: "on", headers: sign("pump-7", "s3cret", "signed.a", "on"), want: "pass"},
		{subject: "signed.a", payload: "off", headers: sign("pump-7", "s3cret", "signed.a", "on"), want: "reject 401 the signature is wrong"},
		{subject: "signed.b", payload: "on", headers: sign("pump-7", "s3cret", "signed.a", "on"), want: "reject 401 the signature is wrong"},
		{subject: "signed.a", payload: "on", headers: sign("pump-7", "other", "signed.a", "on"), want: "reject 401 the signature is wrong"},
		{subject: "signed.a", payload: "on", headers: sign("pump-8", "s3cret", "signed.a", "on"), want: "reject 401 the key of the signature is unknown"},
		{subject: "signed.a", payload: "on", headers: "NATS/1.0\r\nSignature: pump-7=xyz\r\n\r\n", want: "reject 401 the signature is not hexadecimal"},
		{subject: "signed.a", payload: "on", want: "reject 401 there is no signature"},
	}},
	{"redact", "", `{"fields":["email","phone","größe"]}`, []message{
		{payload: `{"name":"Ann","email":"ann@example.com","kin":[{"phone":4711}]}`, want: `payload={"name":"Ann","email":"***","kin":[{"phone":"***"}]}`},
		{payload: `{"email":{"a":["b",{"c":1}]},"x":1}`, want: `payload={"email":"***","x":1}`},
		{payload: `{ "\u0065mail" : null , "größe":5 }`, want: `payload={ "\u0065mail" : "***" , "größe":"***" }`},
		{payload: `{"name":"email"}`, want: "pass"},
		{payload: `{"name":"\"email\":1"}`, want: "pass"},
		{payload: `["email"]`, want: "pass"},
		{payload: strings.Repeat(`[`, 5000) + `{"email":1}` + strings.Repeat(`]`, 5000), want: "payload=" + strings.Repeat(`[`, 5000) + `{"email":"***"}` + strings.Repeat(`]`, 5000)},
		{payload: `{"email":"ann@exam`, want: "drop"},
		{payload: `{'email':'ann'}`, want: "drop"},
		{payload: `email=ann`, want: "drop"},
		{payload: "\xa1\x65email", want: "drop"},
		{want: "pass"},
	}},
	{"redact", "mask", `{"fields":["x"],"mask":"\"hidden\""}`, []message{{payload: `{"x":1}`, want: `payload={"x":"\"hidden\""}`}}},
	{"alert", "", `{"field":"temp.value","above":80,"below":-10}`, []message{
		{subject: "plant.7", payload: `{"temp":{"value":70}}`, want: "pass"},
		{subject: "plant.7", payload: `{"temp":{"value":91.5}}`, want: "pass", emitted: `alerts.plant.7 {"subject":"plant.7","field":"temp.value","value":91.5,"state":"above","bound":80}`},
		{subject: "plant.7", payload: `{"temp":{"value":92}}`, want: "pass"},
		{subject: "plant.8", payload: `{"temp":{"value":-11}}`, want: "pass", emitted: `alerts.plant.8 {"subject":"plant.8","field":"temp.value","value":-11,"state":"below","bound":-10}`},
		{subject: "plant.7", payload: `{"temp":{"value":80}}`, want: "pass", emitted: `alerts.plant.7 {"subject":"plant.7","field":"temp.value","value":80,"state":"ok"}`},
		{subject: "plant.7", payload: `{"temp":{"value":"99"}}`, want: "pass"},
		{subject: "plant.7", payload: `{"temp":99}`, want: "pass"},
		{subject: "plant.7", payload: `99`, want: "pass"},
		{subject: "plant.7", want: "pass"},
	}},
	{"rate", "by client", `{"limit":2,"window_ms":500}`, []message{
		{facts: `{"cid":5,"account":"A"}`, want: "pass"},
		{facts: `{"cid":5,"account":"A"}`, want: "pass"},
		{facts: `{"cid":5,"account":"A"}`, want: "reject 429 more than 2 messages in 500 ms"},
		{facts: `{"cid":6,"account":"A"}`, want: "pass"},
	}},
	{"rate", "by token", `{"limit":1,"by":2}`, []message{
		{subject: "device.7.temp", want: "pass"},
		{subject: "device.7.rpm", want: "reject 429 more than 1 messages in 1000 ms"},
		{subject: "device.8.temp", want: "pass"},
	}},
	{"rate", "by subject", `{"limit":1,"by":"subject"}`, []message{
		{subject: "device.7.temp", want: "pass"},
		{subject: "device.7.rpm", want: "pass"},
		{subject: "device.7.rpm", want: "reject 429 more than 1 messages in 1000 ms"},
	}},
	// Most are of RFC 8949, appendix A.
	{"cbor2json", "", `{}`, []message{
		{payload: "\xa1\x61t\xf9\x4d\x60", want: `payload={"t":21.5}`},
		{payload: "\xa1\x61t\x01", headers: "NATS/1.0\r\nContent-Type: application/cbor\r\nA: b\r\n\r\n", want: "headers=NATS/1.0\r\nContent-Type: application/json\r\nA: b\r\n\r\n payload={\"t\":1}"},
		{payload: unhex("1bffffffffffffffff"), want: "payload=18446744073709551615"},
		{payload: unhex("3bffffffffffffffff"), want: "payload=-18446744073709551616"},
		{payload: unhex("3903e7"), want: "payload=-1000"},
		{payload: unhex("f90001"), want: "payload=5.960464477539063e-8"},
		{payload: unhex("fa47c35000"), want: "payload=100000"},
		{payload: unhex("fb7e37e43c8800759c"), want: "payload=1e300"},
		{payload: unhex("f97c00"), want: "payload=null"},
		{payload: unhex("f5"), want: "payload=true"},
		{payload: unhex("c11a514b67b0"), want: "payload=1363896240"},
		{payload: unhex("4401020304"), want: `payload="AQIDBA"`},
		{payload: unhex("62225c"), want: `payload="\"\\"`},
		{payload: unhex("64f0908591"), want: `payload="𐅑"`},
		{payload: unhex("a201020304"), want: `payload={"1":2,"3":4}`},
		{payload: unhex("9f018202039f0405ffff"), want: "payload=[1,[2,3],[4,5]]"},
		{payload: unhex("bf6346756ef563416d7421ff"), want: `payload={"Fun":true,"Amt":-2}`},
		{payload: unhex("7f657374726561646d696e67ff"), want: `payload="streaming"`},
		{payload: unhex("0101"), want: "pass"},
		{payload: unhex("9b00ffffffffffffff01"), want: "pass"},
		{payload: unhex("62ffff"), want: "pass"},
		{payload: strings.Repeat("\x81", 5000), want: "pass"},
		{payload: unhex("ff"), want: "pass"},
		{want: "pass"},
	}},
}

func sign(key, secret, subject, payload string) string {
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "%s\n%s", subject, payload)
	return fmt.Sprintf("NATS/1.0\r\nSignature: %s=%x\r\n\r\n", key, h.Sum(nil))
}

func unhex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// show writes a result as the tables have it.
func show(r abi.Result) string {
	if r.Verdict != abi.Replace {
		s := r.Verdict.String()
		if r.Code > 0 {
			s += fmt.Sprintf(" %d %s", r.Code, r.Reason)
		}
		return s
	}
	var list []string
	for i, p := range [][]byte{r.Subject, r.Reply, r.Headers, r.Payload} {
		if r.Replaced&(1<<i) != 0 {
			list = append(list, [...]string{"subject", "reply", "headers", "payload"}[i]+"="+string(p))
		}
	}
	return strings.Join(list, " ")
}

func file(plugin string) string { return filepath.Join(plugin, plugin+".wasm") }

// compiler returns what compiles each plugin once.
func compiler(t *testing.T) func(name string) *sdktest.Plugin {
	compiled := map[string]*sdktest.Plugin{}
	return func(name string) *sdktest.Plugin {
		if compiled[name] == nil {
			compiled[name] = sdktest.Compile(t, file(name))
		}
		return compiled[name]
	}
}

func TestExamples(t *testing.T) {
	plugin := compiler(t)
	for _, tt := range tables {
		t.Run(tt.plugin+"/"+tt.name, func(t *testing.T) {
			g := plugin(tt.plugin).Load(t, tt.config)
			if g.Manifest.Name != tt.plugin {
				t.Errorf("is called %s", g.Manifest.Name)
			}
			boundary := abi.ParseBoundary(g.Manifest.Bindings[0].Boundary)
			for i, m := range tt.messages {
				g.Emitted = nil
				if m.subject == "" {
					m.subject = "a.b"
				}
				r, err := g.Send(abi.Frame{Boundary: boundary, Subject: []byte(m.subject), Headers: []byte(m.headers), Payload: []byte(m.payload), Facts: []byte(m.facts)})
				if err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if got := show(r); got != m.want {
					t.Errorf("message %d: %.300q, want %.300q", i, got, m.want)
				}
				emitted := ""
				for _, e := range g.Emitted {
					emitted += e.Subject + " " + e.Payload
				}
				if emitted != m.emitted {
					t.Errorf("message %d emits %q, want %q", i, emitted, m.emitted)
				}
			}
			if len(g.Log) > 0 {
				t.Errorf("logs %q", g.Log)
			}
		})
	}
}

// TestConfigurations are those that a plugin must refuse, and say why.
func TestConfigurations(t *testing.T) {
	plugin := compiler(t)
	for _, tt := range []struct{ plugin, config, want string }{
		{"units", `{"every":"x"}`, "every is no count of messages"},
		{"units", `{"interval_ms":-1}`, "interval_ms is no count of milliseconds"},
		{"units", `{"convert":[{"factor":2}]}`, "an item of convert has no field"},
		{"units", `{"convert":[{"field":"a","decimals":10}]}`, "factor, offset or decimals (0 to 9) is no number"},
		{"units", `{"convert":[` + strings.Repeat(`{"field":"a"},`, 32) + `{"field":"a"}]}`, "convert has more than 32 items"},
		{"router", `{"rules":[{"from":"a"}]}`, "a rule must have from and to"},
		{"jsonschema", `{}`, "there is no schema"},
		{"jsonschema", `{"schema":{"oneOf":[]}}`, `unknown field \"oneOf\"`},
		{"jsonschema", `{"schema":{"properties":{"x":{"type":"float"}}}}`, `type \"float\"`},
		{"jsonschema", `{"schema":{"pattern":"("}}`, "missing closing"},
		{"signature", `{}`, "there are no keys"},
		{"signature", `{"keys":{"a":""}}`, "a key has no name or no secret"},
		{"redact", `{}`, "there are no fields"},
		{"alert", `{"field":"t"}`, "there must be a field"},
		{"rate", `{"limit":0}`, "limit is no whole number above 0"},
		{"rate", `{"by":"moon"}`, "by is none of"},
	} {
		_, err := plugin(tt.plugin).Start(tt.config)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %.60s: %v, want %q", tt.plugin, tt.config, err, tt.want)
		}
	}
}

// TestNoise sends each plugin payloads, headers and subjects that are almost right:
// whoever publishes must not be able to make one fail.
func TestNoise(t *testing.T) {
	plugin := compiler(t)
	for _, tt := range tables {
		t.Run(tt.plugin+"/"+tt.name, func(t *testing.T) {
			g := plugin(tt.plugin).Load(t, tt.config)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range 1000 {
				m := tt.messages[random.IntN(len(tt.messages))]
				f := abi.Frame{Boundary: abi.Publish, Subject: spoil(random, m.subject+"a"), Headers: spoil(random, m.headers), Payload: spoil(random, m.payload), Facts: spoil(random, m.facts)}
				if len(f.Payload) > 2000 {
					f.Payload = f.Payload[:2000]
				}
				if _, err := g.Send(f); err != nil {
					t.Fatalf("message %d, subject %q, headers %q, payload %q, facts %q: %v", i, f.Subject, f.Headers, f.Payload, f.Facts, err)
				}
			}
		})
	}
}

// spoil changes some bytes of s: others, fewer, or more of its own.
func spoil(random *rand.Rand, s string) []byte {
	const tokens = `{}[]":,\\u.e-0 `
	b := []byte(s)
	for range random.IntN(4) {
		at := random.IntN(len(b) + 1)
		switch random.IntN(4) {
		case 0:
			b = b[:at]
		case 1:
			b = slices.Insert(b, at, tokens[random.IntN(len(tokens))])
		case 2:
			b = slices.Insert(b, at, byte(random.Uint32()))
		case 3:
			b = append(b, b[at:]...)
		}
	}
	return b
}

// TestStoreFull is what those do that count in the store, and can't.
func TestStoreFull(t *testing.T) {
	for _, tt := range []struct{ plugin, config, want string }{
		{"units", `{"every":2,"interval_ms":10}`, "pass"},
		{"rate", `{}`, "reject 503 too many senders"},
		{"alert", `{"field":"t","above":1}`, "pass"},
	} {
		g := sdktest.Compile(t, file(tt.plugin)).Load(t, tt.config)
		g.Deny = abi.ErrFull
		for range 2 {
			r, err := g.Send(abi.Frame{Boundary: abi.Publish, Subject: []byte("a"), Payload: []byte(`{"t":2}`), Facts: []byte(`{"cid":1}`)})
			if got := show(r); err != nil || got != tt.want {
				t.Errorf("%s: %s, %v, want %s", tt.plugin, got, err, tt.want)
			}
		}
	}
}

// TestComplete keeps sources and plugins together, and the plugins small.
func TestComplete(t *testing.T) {
	tested := map[string]bool{}
	for _, tt := range tables {
		tested[tt.plugin] = true
	}
	dirs, err := filepath.Glob("*/main.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range dirs {
		name := filepath.Dir(source)
		if !tested[name] {
			t.Errorf("%s has no test", name)
		}
		b, err := os.ReadFile(file(name))
		if err != nil {
			t.Errorf("%v; make plugins builds it", err)
			continue
		}
		most := 100 << 10
		if filepath.Ext(source) == ".go" {
			most = 5 << 20
		}
		if len(b) > most {
			t.Errorf("%s has %d bytes, more than %d", file(name), len(b), most)
		}
		if bytes.Contains(b, []byte("/home/")) || bytes.Contains(b, []byte("/root/")) {
			t.Errorf("%s has paths of the machine in it that built it", file(name))
		}
	}
}
