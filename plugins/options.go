package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// Policy is what becomes of a message whose plugin failed or is not there.
type Policy uint8

const (
	// FailClosed ends the message; its publisher is told. The default.
	FailClosed Policy = iota
	// FailOpen lets it on.
	FailOpen
	// Quarantine publishes it on the plugin's quarantine subject instead.
	Quarantine
)

var policies = [...]string{FailClosed: "fail_closed", FailOpen: "fail_open", Quarantine: "quarantine"}

// String returns the policy's name in the configuration.
func (p Policy) String() string { return policies[p] }

// ParsePolicy reads fail_closed, fail_open or quarantine.
func ParsePolicy(s string) (Policy, error) {
	if i := slices.Index(policies[:], s); i >= 0 {
		return Policy(i), nil
	}
	return 0, fmt.Errorf("error policy %.40q is none of fail_closed, fail_open and quarantine", s)
}

// Options configure a Manager.
type Options struct {
	// Dir is where plugins are dropped; "" is nowhere.
	Dir string
	// Configure is about plugins by the names in their manifests.
	Configure map[string]Config
	// RequireSigned refuses files that no TrustedKeys signed. A file with a
	// signature that does not hold is always refused.
	RequireSigned bool
	TrustedKeys   []string
	// Limits hold where a plugin's Config says nothing.
	Limits wasm.Limits
	// Every is how often Dir is looked at; 0 is 250 ms.
	Every time.Duration

	// What the Manager needs of its surroundings. Static: a reload does not
	// change them.

	// Host compiles.
	Host *wasm.Host
	// Bind is given all hooks whenever they change.
	Bind func([]Hook)
	// Emit publishes a message in an account; hops is how many plugins' emits led
	// to it. It may block for a moment.
	Emit func(account string, hops int, m *wire.Msg) error
	// MaxPayload returns how many bytes headers and payload may have; nil is 1 MiB.
	MaxPayload func() int
	// Event is told what happens to plugins; nil for nobody.
	Event func(Event)
	// Log gets the Manager's own words and the plugins'.
	Log *slog.Logger
}

// Hook is a hook on subjects of some accounts; without accounts, of all but the
// system account.
type Hook struct {
	hook.Binding
	Accounts []string
}

// Config is what the operator says about one plugin.
type Config struct {
	Disabled bool
	// Required keeps the subjects of Bindings closed while the plugin is not there.
	Required bool
	Policy   Policy
	// Quarantine is the subject of messages that a Quarantine policy takes; "" is
	// "quarantine.NAME".
	Quarantine string
	// SHA256 pins the file; "" is any.
	SHA256 string
	// Bindings take the place of the manifest's; nil takes the manifest's.
	Bindings []Binding
	// Config is handed to the guest, a JSON object.
	Config json.RawMessage
	// Emit, KV and Clock take the place of what the manifest wants, if they are
	// not nil. A plugin has what it wants within reason otherwise: MaxKV at most.
	Emit   []string
	KV     *int64
	Clock  *bool
	Limits wasm.Limits
}

// Binding is a boundary at which a plugin is.
type Binding struct {
	Boundary  abi.Boundary
	Subjects  []string
	PublishTo []string // what a subject may be replaced by; none is Subjects
	Listeners []string // only what comes from, or goes to, these; none is all
	Accounts  []string // only messages of these; none is all but the system account
	Order     int
}

// MaxKV is how many bytes a plugin may keep unless its Config says otherwise.
const MaxKV = 16 << 20

// Check returns what is wrong with o.
func (o *Options) Check() error {
	for name, c := range o.Configure {
		for i := range c.Bindings {
			if err := c.Bindings[i].check(); err != nil {
				return fmt.Errorf("plugins: %s: %w", name, err)
			}
		}
		if c.SHA256 != "" && (len(c.SHA256) != 64 || strings.Trim(strings.ToLower(c.SHA256), "0123456789abcdef") != "") {
			return fmt.Errorf("plugins: %s: sha256 %q is none; it has 64 hexadecimal digits", name, c.SHA256)
		}
		if c.Quarantine != "" && !subject.ValidLiteral(c.Quarantine) {
			return fmt.Errorf("plugins: %s: quarantine %q is no subject", name, c.Quarantine)
		}
		if c.Required && len(c.Bindings) == 0 {
			return fmt.Errorf("plugins: %s: required needs bindings: which subjects are closed while it is not there", name)
		}
	}
	if o.RequireSigned && len(o.TrustedKeys) == 0 {
		return errors.New("plugins: require_signed needs trusted_keys")
	}
	return nil
}

func (b *Binding) check() error {
	if b.Boundary == 0 {
		return errors.New("a binding has no boundary")
	}
	if len(b.Subjects) == 0 && b.Boundary != abi.Connect {
		return fmt.Errorf("the binding to %s has no subjects", b.Boundary)
	}
	for _, s := range slices.Concat(b.Subjects, b.PublishTo) {
		if !subject.Valid(s) {
			return fmt.Errorf("%.80q is no subject", s)
		}
	}
	return nil
}

// bindings are those that hold for a plugin with this manifest.
func (c *Config) bindings(m *abi.Manifest) ([]Binding, error) {
	if c.Bindings != nil {
		return c.Bindings, nil
	}
	var list []Binding
	for _, b := range m.Bindings {
		x := Binding{Boundary: abi.ParseBoundary(b.Boundary), Subjects: b.Subjects, PublishTo: b.PublishTo, Order: b.Order}
		if err := x.check(); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		list = append(list, x)
	}
	return list, nil
}

// limits are those of c over the defaults.
func (c *Config) limits(d wasm.Limits) wasm.Limits {
	pick := func(x, y int64) int64 {
		if x != 0 {
			return x
		}
		return y
	}
	l := c.Limits
	l.Memory, l.Fuel, l.StartFuel, l.TickFuel, l.Module = pick(l.Memory, d.Memory), pick(l.Fuel, d.Fuel), pick(l.StartFuel, d.StartFuel), pick(l.TickFuel, d.TickFuel), pick(l.Module, d.Module)
	l.Emits, l.LogBytes = int(pick(int64(l.Emits), int64(d.Emits))), int(pick(int64(l.LogBytes), int64(d.LogBytes)))
	l.Instances, l.Result = int(pick(int64(l.Instances), int64(d.Instances))), int(pick(int64(l.Result), int64(d.Result)))
	return l
}

// Event is something that happened to a plugin.
type Event struct {
	Kind    string    `json:"type"` // load, swap, unload, refuse, fault, trip, recover, enable, disable
	Time    time.Time `json:"time"`
	Plugin  string    `json:"plugin"`
	Version string    `json:"version,omitempty"`
	Hash    string    `json:"sha256,omitempty"`
	File    string    `json:"file,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}
