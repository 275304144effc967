package plugin

import "strconv"

// Plugin is what a plugin is and does. Name, Version and OnMessage must be there.
type Plugin struct {
	Name        string // letters, digits, '-', '_' and '.', 64 at most
	Version     string
	Description string
	Bindings    []Binding

	Emit   []string // patterns of subjects that it wants to emit to
	KV     int64    // bytes of keys and values that it wants to keep
	Clock  bool     // it wants to know the time
	Memory int64    // bytes of memory that it wants at most; 0 is the host's default

	// Want is what OnMessage looks at. What isn't asked for isn't copied into the
	// plugin, which makes a message cheaper.
	Want Want

	// Configure is called once, before the first message. An error keeps the plugin
	// from being loaded and is logged.
	Configure func() error
	// OnMessage decides what becomes of a message. The message is borrowed until
	// it returns.
	OnMessage func(*Message) Verdict
	// OnTick is called about once a second, with unix nanoseconds.
	OnTick func(now int64)
	// Close is called before an instance is let go.
	Close func()
}

// Binding is a boundary at which a plugin wants to be. The configuration may
// restrict or replace it.
type Binding struct {
	Boundary  Boundary
	Subjects  []string // patterns
	PublishTo []string // what a subject may be replaced by; without any, Subjects
	Order     int      // in a chain lower ones come first, 0 to 1000
}

// Boundary is a place where messages or sessions cross.
type Boundary uint8

// The boundaries. A host may know more.
const (
	Publish   Boundary = 1 + iota // a client publishes
	Deliver                       // a listener's clients are delivered to
	LeafOut                       // a message leaves to the uplink
	LeafIn                        // a message comes from the uplink
	Connect                       // a client connects
	Subscribe                     // a client subscribes: Subject is the pattern, Reply the queue group
)

// String returns the boundary's name.
func (b Boundary) String() string {
	switch b {
	case Publish:
		return "publish"
	case Deliver:
		return "deliver"
	case LeafOut:
		return "leaf-out"
	case LeafIn:
		return "leaf-in"
	case Connect:
		return "connect"
	case Subscribe:
		return "subscribe"
	}
	return "unknown"
}

// Want says what a plugin wants to see of messages.
type Want int64

// The bits of Want.
const (
	WantSubject Want = 1 << iota
	WantReply
	WantHeaders
	WantPayload
	WantFacts

	WantAll = WantSubject | WantReply | WantHeaders | WantPayload | WantFacts
)

// registered is the one plugin of the module.
var registered Plugin

// Register makes p the module's plugin. It is called from init; a second call
// replaces the first.
func Register(p Plugin) { registered = p }

// Registered returns what was registered: tests of a plugin call its OnMessage.
func Registered() Plugin { return registered }

// manifest returns p as JSON, without encoding/json, which would be half of a small
// plugin.
func (p *Plugin) manifest() []byte {
	b := append([]byte(nil), `{"name":`...)
	b = quote(b, p.Name)
	b = append(b, `,"version":`...)
	b = quote(b, p.Version)
	if p.Description != "" {
		b = append(b, `,"description":`...)
		b = quote(b, p.Description)
	}
	b = append(b, `,"bindings":[`...)
	for i, x := range p.Bindings {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"boundary":`...)
		b = quote(b, x.Boundary.String())
		b = list(b, "subjects", x.Subjects)
		b = list(b, "publish_to", x.PublishTo)
		b = number(b, "order", int64(x.Order))
		b = append(b, '}')
	}
	b = append(b, ']')
	b = list(b, "emit", p.Emit)
	b = number(b, "kv", p.KV)
	b = number(b, "memory", p.Memory)
	if p.Clock {
		b = append(b, `,"clock":true`...)
	}
	return append(b, '}')
}

func list(b []byte, key string, items []string) []byte {
	if len(items) == 0 {
		return b
	}
	b = append(b, ',')
	b = quote(b, key)
	b = append(b, ':')
	for i, s := range items {
		if i == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ',')
		}
		b = quote(b, s)
	}
	return append(b, ']')
}

func number(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	b = append(b, ',')
	b = quote(b, key)
	b = append(b, ':')
	return strconv.AppendInt(b, n, 10)
}

// quote appends s as a JSON string.
func quote(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
