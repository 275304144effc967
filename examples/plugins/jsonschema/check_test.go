package main

import (
	"encoding/json"
	"strings"
	"testing"
)

var documents = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1.5e-3`, `-12E+2`, `"a"`, `"\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00"`, `"grüße"`, "\"\xff\"", `"\ud83d"`,
	` { "a" : [ 1 , { "b" : null } ] , "a" : 2 } `, `{"":""}`,
	``, ` `, `{`, `[`, `"`, `"\`, `"\x"`, "\"\n\"", `01`, `1.`, `.5`, `+1`, `1e`, `1e400`, `0x1`, `1_0`, `Inf`, `NaN`, `nul`, `nulll`, `[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`,
	`[1 2]`, `{}{}`, `1 2`, "\x00", `-`, `--1`, "\u00a0",
}

// FuzzJSON holds what is taken for JSON against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") > maxDepth {
			return
		}
		var v any
		err := json.Unmarshal([]byte(text), &v)
		c := checker{b: []byte(text)}
		if why := c.document(anything); (why == "") != (err == nil) {
			t.Errorf("%q: %q; encoding/json says %v", text, why, err)
		}
	})
}

func TestDeep(t *testing.T) {
	for _, deep := range []string{strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000)} {
		c := checker{b: []byte(deep)}
		if why := c.document(anything); !strings.HasSuffix(why, "is deeper than 200") {
			t.Errorf("%.80q", why)
		}
	}
}

func TestKeywords(t *testing.T) {
	for _, tt := range []struct{ schema, payload, want string }{
		{`{"const":{"a":[1,null]}}`, ` {"a":[1.0,null]}`, ""},
		{`{"const":1}`, `2`, "the payload: is not the one value that it may be"},
		{`{"enum":[null,"ü"]}`, `"\u00fc"`, ""},
		{`{"type":["string","null"]}`, `null`, ""},
		{`{"type":["string","null"]}`, `1`, "the payload: is of type integer, not string"},
		{`{"type":"integer"}`, `1e2`, ""},
		{`{"type":"integer"}`, `1e-2`, "the payload: is of type number, not integer"},
		{`{"type":"number"}`, `1`, ""},
		{`{"exclusiveMinimum":1}`, `1`, "the payload: 1 is not more than 1"},
		{`{"exclusiveMaximum":1}`, `1`, "the payload: 1 is not less than 1"},
		{`{"minLength":3}`, `"üü"`, "the payload: is shorter than 3"},
		{`{"maxLength":2}`, `"üü"`, ""},
		{`{"minItems":1}`, `[]`, "the payload: has fewer than 1 items"},
		{`{"items":{"items":{"maximum":1}}}`, `[[],[0,1,2]]`, "/1/2: 2 is more than 1"},
		{`{"items":false}`, `[]`, ""},
		{`{"items":false}`, `[1]`, "/0: must not be there"},
		{`{"properties":{"ü":{"type":"null"}}}`, `{"\u00fc":1}`, "/ü: is of type integer, not null"},
		{`{"additionalProperties":{"type":"null"}}`, `{"a":null,"b":1}`, "/b: is of type integer, not null"},
		{`{"properties":{"a":true},"additionalProperties":false}`, `{"a":1}`, ""},
		{`{"required":["a","b"]}`, `{"b":{"a":1}}`, `the payload: has no "a"`},
		{`{"properties":{"a":{"maximum":1}}}`, `{"a":0,"a":2}`, "/a: 2 is more than 1"},
		{`{"properties":{"a":{"required":["x"]}}}`, `{"z":1,"a":{"y":{"x":1}}}`, `/a: has no "x"`},
		{`{"type":"string"}`, `{`, "the payload: is of type object, not string"},
	} {
		s, err := parse([]byte(tt.schema))
		if err != nil {
			t.Errorf("%s: %v", tt.schema, err)
			continue
		}
		c := checker{b: []byte(tt.payload)}
		if why := c.document(s); why != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.schema, tt.payload, why, tt.want)
		}
	}
}
