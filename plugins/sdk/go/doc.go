// Package plugin is for authors of Ganglion plugins in Go: a plugin is a main
// package that registers itself in init and is built to WASM,
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o NAME.wasm .
//
// This one makes payloads upper case:
//
//	func init() {
//		plugin.Register(plugin.Plugin{
//			Name: "upper", Version: "1",
//			Bindings: []plugin.Binding{{Boundary: plugin.Publish, Subjects: []string{"demo.>"}}},
//			Want:     plugin.WantPayload,
//			OnMessage: func(m *plugin.Message) plugin.Verdict {
//				return m.ReplacePayload(bytes.ToUpper(m.Payload))
//			},
//		})
//	}
//
//	func main() {}
//
// The package depends on the standard library only and is copied into a plugin's
// module. It speaks ABI version 1. There may be several instances of a plugin, each
// with variables of its own; what they share is in the key-value store (KVGet and
// others). One instance handles one message at a time, and a panic ends it.
//
// In a program that isn't built for wasip1 everything is there, so that plugins can
// be tested as Go programs, but the host isn't: its functions return ErrDenied.
package plugin
