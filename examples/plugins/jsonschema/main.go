// Jsonschema rejects payloads that don't fit a JSON schema, with 422 and a reason
// that says where and why. The configuration:
//
//	{"schema": {
//	  "type": "object",
//	  "required": ["t"],
//	  "properties": {"t": {"type": "number", "minimum": -40, "maximum": 120}, "unit": {"enum": ["C", "K"]}}
//	}}
//
//	sensors.7 {"t":21.5,"unit":"C"} -> passes
//	sensors.7 {"t":500}             -> rejected, 422 "/t: 500 is more than 120"
//
// The keywords are those of schema.go. A schema with others is refused, because what
// nobody checks had better not be thought to be checked. Members are checked in the
// order of the payload, and each time when they are there twice. (A complete
// implementation, such as github.com/santhosh-tekuri/jsonschema, works too; it makes
// the plugin half as large again.)
package main

import (
	"encoding/json"
	"errors"
	"fmt"

	plugin "ganglion/plugins/sdk/go"
)

var (
	root *schema
	path []byte // room for where a checker is
)

func init() {
	plugin.Register(plugin.Plugin{
		Name: "jsonschema", Version: "1", Description: "rejects payloads that don't fit a JSON schema",
		Bindings:  []plugin.Binding{{Boundary: plugin.Publish, Subjects: []string{"sensors.>"}}},
		Want:      plugin.WantPayload,
		Configure: configure,
		OnMessage: check,
	})
}

func main() {}

func configure() error {
	var config struct {
		Schema json.RawMessage `json:"schema"`
	}
	if err := plugin.Config(&config); err != nil {
		return err
	}
	if config.Schema == nil {
		return errors.New(`there is no schema; give one, as {"schema": {"type": "object"}}`)
	}
	s, err := parse(config.Schema)
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	root = s
	return nil
}

func check(m *plugin.Message) plugin.Verdict {
	c := checker{b: m.Payload, path: path[:0]}
	why := c.document(root)
	path = c.path
	if why != "" {
		return m.Reject(422, why)
	}
	return plugin.Pass
}
