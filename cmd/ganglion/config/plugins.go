package config

import (
	"encoding/json"
	"maps"

	"ganglion/plugins"
	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// Plugins is what is said about plugins.
type Plugins struct {
	plugins.Options
	// On says that there is a plugins { } block or --plugins.
	On bool
	// Metering is fuel or context.
	Metering wasm.Metering
	// CacheDir is where compiled code is kept; "" is the user's cache directory.
	CacheDir string
}

// pluginsBlock reads
//
//	plugins {
//	  dir: ./plugins, require_signed: true, trusted_keys: [UA...], metering: fuel, cache_dir: "..."
//	  limits { memory: 4MB, fuel: 10000000, emits: 8, instances: 4, ... }
//	  configure {
//	    NAME {
//	      enabled: true, required: true, error_policy: fail_open, quarantine: "dead.letters", sha256: "..."
//	      bindings: [ { boundary: publish, subjects: ["a.>"], publish_to: [...], listeners: [...], accounts: [...], order: 10 } ]
//	      config { ... }
//	      emit: ["alerts.>"], kv: 1MB, clock: true
//	      limits { ... }
//	    }
//	  }
//	}
func pluginsBlock(c *Config, name string, t token, v any) error {
	c.Plugins.On = true
	p := func(c *Config) *plugins.Options { return &c.Plugins.Options }
	return table(map[string]key{
		"dir":            str(func(c *Config) *string { return &p(c).Dir }),
		"require_signed": boolean(func(c *Config) *bool { return &p(c).RequireSigned }),
		"trusted_keys":   stringList(func(c *Config) *[]string { return &p(c).TrustedKeys }),
		"cache_dir":      str(func(c *Config) *string { return &c.Plugins.CacheDir }),
		"limits":         pluginLimits(func(c *Config) *wasm.Limits { return &p(c).Limits }),
		"metering": func(c *Config, name string, t token, v any) error {
			switch v {
			case "fuel", "context":
				c.Plugins.Metering = wasm.Metering(v.(string))
				return nil
			}
			return errorAt(t, "%s must be fuel or context, got %v", name, v)
		},
		"configure": func(c *Config, name string, t token, v any) error {
			m, ok := v.(map[string]any)
			if !ok {
				return errorAt(t, "%s must be a block { NAME { ... } }, got %s", name, given(name, v))
			}
			p(c).Configure = map[string]plugins.Config{}
			for _, n := range byPlace(m) {
				e, et := unwrap(m[n])
				if et == nil {
					et = t
				}
				var x plugins.Config
				if err := pluginConfig(&x)(c, name+"."+n, et, e); err != nil {
					return err
				}
				p(c).Configure[n] = x
			}
			return nil
		},
	})(c, name, t, v)
}

// pluginConfig reads what is said of one plugin.
func pluginConfig(x *plugins.Config) key {
	enabled := true
	keys := map[string]key{
		"enabled": func(c *Config, name string, t token, v any) error {
			err := boolean(func(*Config) *bool { return &enabled })(c, name, t, v)
			x.Disabled = !enabled
			return err
		},
		"required":   boolean(func(*Config) *bool { return &x.Required }),
		"quarantine": str(func(*Config) *string { return &x.Quarantine }),
		"sha256":     str(func(*Config) *string { return &x.SHA256 }),
		"error_policy": func(_ *Config, name string, t token, v any) (err error) {
			s, _ := v.(string)
			if x.Policy, err = plugins.ParsePolicy(s); err != nil {
				return errorAt(t, "%s: %w", name, err)
			}
			return nil
		},
		"bindings": func(c *Config, name string, t token, v any) error {
			x.Bindings = []plugins.Binding{}
			return each(name, t, v, func(name string, t token, m map[string]any) error {
				var b plugins.Binding
				if err := (block{path: name + ".", keys: bindingKeys(&b)}).read(c, m); err != nil {
					return err
				}
				x.Bindings = append(x.Bindings, b)
				return nil
			})
		},
		"config": func(_ *Config, name string, t token, v any) error {
			b, err := json.Marshal(bare(v))
			if _, ok := v.(map[string]any); !ok || err != nil {
				return errorAt(t, "%s must be a block { ... }", name)
			}
			x.Config = b
			return nil
		},
		"emit": func(c *Config, name string, t token, v any) error {
			err := stringList(func(*Config) *[]string { return &x.Emit })(c, name, t, v)
			if x.Emit == nil {
				x.Emit = []string{} // none, whatever the manifest wants
			}
			return err
		},
		"kv": func(c *Config, name string, t token, v any) error {
			x.KV = new(int64)
			return integer(func(*Config) *int64 { return x.KV }, 0)(c, name, t, v)
		},
		"clock": func(c *Config, name string, t token, v any) error {
			x.Clock = new(bool)
			return boolean(func(*Config) *bool { return x.Clock })(c, name, t, v)
		},
		"limits": pluginLimits(func(*Config) *wasm.Limits { return &x.Limits }),
	}
	return table(keys)
}

func bindingKeys(b *plugins.Binding) map[string]key {
	return map[string]key{
		"boundary": func(_ *Config, name string, t token, v any) error {
			s, _ := v.(string)
			if b.Boundary = abi.ParseBoundary(s); b.Boundary == 0 {
				return errorAt(t, "%s is %v; use publish, deliver, leaf-in, leaf-out, connect or subscribe", name, v)
			}
			return nil
		},
		"subjects":   stringList(func(*Config) *[]string { return &b.Subjects }),
		"publish_to": stringList(func(*Config) *[]string { return &b.PublishTo }),
		"listeners":  stringList(func(*Config) *[]string { return &b.Listeners }),
		"accounts":   stringList(func(*Config) *[]string { return &b.Accounts }),
		"order":      integer(func(*Config) *int { return &b.Order }, 0),
	}
}

func pluginLimits(at func(*Config) *wasm.Limits) key {
	return table(map[string]key{
		"memory":     integer(func(c *Config) *int64 { return &at(c).Memory }, 1),
		"fuel":       integer(func(c *Config) *int64 { return &at(c).Fuel }, 1),
		"start_fuel": integer(func(c *Config) *int64 { return &at(c).StartFuel }, 1),
		"tick_fuel":  integer(func(c *Config) *int64 { return &at(c).TickFuel }, 1),
		"module":     integer(func(c *Config) *int64 { return &at(c).Module }, 1),
		"emits":      integer(func(c *Config) *int { return &at(c).Emits }, 1),
		"log_bytes":  integer(func(c *Config) *int { return &at(c).LogBytes }, 1),
		"instances":  integer(func(c *Config) *int { return &at(c).Instances }, 1),
		"result":     integer(func(c *Config) *int { return &at(c).Result }, 1),
	})
}

// bare takes all values out of their tokens.
func bare(v any) any {
	v, _ = unwrap(v)
	switch v := v.(type) {
	case map[string]any:
		m := maps.Clone(v)
		for k, e := range m {
			m[k] = bare(e)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = bare(e)
		}
		return list
	}
	return v
}
