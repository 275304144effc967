package brokertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// infoKey is something that an INFO must say.
type infoKey struct{ key, want string }

func parseInfoKeys(s string) ([]infoKey, error) {
	var keys []infoKey
	for _, f := range strings.Fields(s) {
		k, v, ok := strings.Cut(f, "=")
		if !ok || v == "" {
			return nil, fmt.Errorf("%q in <INFO> is no key and value; write key=json, key=* or key=-", f)
		}
		keys = append(keys, infoKey{k, v})
	}
	return keys, nil
}

// varies are the keys whose values differ from server to server and run to run;
// only their type is compared.
var varies = map[string]bool{
	"server_id": true, "server_name": true, "go": true, "host": true, "port": true, "client_id": true,
	"client_ip": true, "nonce": true, "xkey": true, "ip": true, "connect_urls": true, "leafnode_urls": true,
}

// normalInfo checks line, an INFO, against keys and returns it with varying
// values replaced by their types, in the order in which the server wrote it.
// git_commit is left out: it is where each broker names its own build.
func normalInfo(line []byte, keys []infoKey) (string, error) {
	body, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return "", fmt.Errorf("is no INFO")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return "", fmt.Errorf("has no JSON object")
	}
	var out strings.Builder
	values := map[string]string{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return "", err
		}
		key, _ := tok.(string)
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return "", err
		}
		values[key] = string(v)
		switch {
		case key == "git_commit":
		case varies[key]:
			fmt.Fprintf(&out, " %s:%s", key, jsonType(v[0]))
		default:
			fmt.Fprintf(&out, " %s:%s", key, v)
		}
	}
	if _, err := d.Token(); err != nil {
		return "", err
	}
	for _, k := range keys {
		v, there := values[k.key]
		switch {
		case k.want == "-" && there:
			return "", fmt.Errorf("has %s:%s, want it absent", k.key, v)
		case k.want != "-" && !there:
			return "", fmt.Errorf("lacks %s", k.key)
		case k.want != "-" && k.want != "*" && k.want != v:
			return "", fmt.Errorf("has %s:%s, want %s", k.key, v, k.want)
		}
	}
	return "INFO {" + out.String() + " }" + escaped(body[d.InputOffset():]), nil
}

func jsonType(first byte) string {
	switch first {
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	case 't', 'f':
		return "bool"
	}
	return "number"
}
