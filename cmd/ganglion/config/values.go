package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// The readers below make a key of a place in the Config and a type. Their
// errors name the option, the value and what would do.

// given says what was given for the option called name: the value, or only its
// kind where it may be a secret, or have one inside.
func given(name string, v any) string {
	switch v.(type) {
	case map[string]any:
		return "a block"
	case []any:
		return "a list"
	}
	for _, word := range []string{"token", "pass", "auth", "user", "nkey", "monitor", "operator", "resolver", "account", "cookie", "remotes"} {
		if !strings.Contains(name, word) {
			continue
		}
		switch v.(type) {
		case string:
			return "a string"
		case bool:
			return "true or false"
		case int64, float64:
			return "a number"
		}
		return "something else"
	}
	return fmt.Sprint(v)
}

func str(at func(*Config) *string) key {
	return func(c *Config, name string, t token, v any) error {
		s, ok := v.(string)
		if !ok {
			return errorAt(t, "%s must be a string, got %s; put it in quotes", name, given(name, v))
		}
		*at(c) = s
		return nil
	}
}

func boolean(at func(*Config) *bool) key {
	return func(c *Config, name string, t token, v any) error {
		b, ok := v.(bool)
		if !ok {
			return errorAt(t, "%s must be true or false, got %s", name, given(name, v))
		}
		*at(c) = b
		return nil
	}
}

// integer reads a number from lo on; 0 always passes and means the default.
func integer[T int | int64](at func(*Config) *T, lo int64) key {
	return func(c *Config, name string, t token, v any) error {
		n, ok := v.(int64)
		if !ok {
			return errorAt(t, "%s must be a number, got %s", name, given(name, v))
		}
		if n < lo && n != 0 {
			return errorAt(t, "%s is %d; it must be at least %d", name, n, lo)
		}
		*at(c) = T(n)
		return nil
	}
}

// duration reads a quoted duration. A bare number is an error, because
// nats-server's grammar would read 2m as two million.
func duration(at func(*Config) *time.Duration, lo time.Duration) key {
	return func(c *Config, name string, t token, v any) error {
		s, ok := v.(string)
		if !ok {
			return errorAt(t, "%s is %v, which should be converted to a duration, in quotes, e.g. \"10s\"", name, v)
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return errorAt(t, "%s: %q is no duration; write e.g. \"10s\" or \"2m\"", name, s)
		}
		if d < lo {
			return errorAt(t, "invalid %s of %v, minimum is %v", name, d, lo)
		}
		*at(c) = d
		return nil
	}
}

// seconds reads a duration given as a number of seconds or as a string.
func seconds(at func(*Config) *time.Duration) key {
	return func(c *Config, name string, t token, v any) error {
		switch v := v.(type) {
		case int64:
			*at(c) = time.Duration(v) * time.Second
		case float64:
			*at(c) = time.Duration(v * float64(time.Second))
		case string:
			d, err := time.ParseDuration(v)
			if err != nil {
				return errorAt(t, "%s: %q is no duration; write e.g. \"2s\" or a number of seconds", name, v)
			}
			*at(c) = d
		default:
			return errorAt(t, "%s must be seconds or a duration, got %s", name, given(name, v))
		}
		if *at(c) < 0 {
			return errorAt(t, "%s must not be negative", name)
		}
		return nil
	}
}

// port reads a port number; -1 is a free one.
func port(at func(*Config) *int) key {
	return func(c *Config, name string, t token, v any) error {
		n, ok := v.(int64)
		if !ok || n < -1 || n > 65535 {
			return errorAt(t, "%s is %v; it must be a port from 1 to 65535, or -1 for a free one", name, v)
		}
		*at(c) = int(n)
		return nil
	}
}

// address reads "host:port" or a port.
func address(host func(*Config) *string, p func(*Config) *int) key {
	return func(c *Config, name string, t token, v any) error {
		switch v := v.(type) {
		case int64:
			return port(p)(c, name, t, v)
		case string:
			h, ps, err := net.SplitHostPort(v)
			if err != nil {
				return errorAt(t, "could not parse address string %q for %s; write \"host:port\"", v, name)
			}
			n, err := strconv.Atoi(ps)
			if err != nil || n < -1 || n > 65535 {
				return errorAt(t, "could not parse port %q of %s", ps, name)
			}
			*host(c), *p(c) = h, n
			return nil
		}
		return errorAt(t, "%s must be \"host:port\" or a port, got %s", name, given(name, v))
	}
}

// falseOnly accepts a feature that is not built yet as long as it is off.
func falseOnly(_ *Config, name string, t token, v any) error {
	if v == false || v == "disabled" {
		return nil
	}
	return errorAt(t, "%q is a key of nats-server that Ganglion does not support yet; remove it", name)
}

// table reads a nested block.
func table(keys map[string]key) key {
	return func(c *Config, name string, t token, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return errorAt(t, "%s must be a block { ... }, got %s", name, given(name, v))
		}
		return block{path: name + ".", keys: keys}.read(c, m)
	}
}

// unwrap takes a value out of its token.
func unwrap(v any) (any, token) {
	if t, ok := v.(token); ok {
		return t.Value(), t
	}
	return v, nil
}

func stringList(at func(*Config) *[]string) key {
	return func(c *Config, name string, t token, v any) error {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		var out []string
		for _, e := range list {
			e, _ = unwrap(e)
			s, ok := e.(string)
			if !ok {
				return errorAt(t, "%s must be a list of strings, got %s in it", name, given(name, e))
			}
			out = append(out, s)
		}
		*at(c) = out
		return nil
	}
}

func stringMap(at func(*Config) *map[string]string) key {
	return func(c *Config, name string, t token, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return errorAt(t, "%s must be a block of strings, got %s", name, given(name, v))
		}
		out := make(map[string]string, len(m))
		for k, e := range m {
			e, _ = unwrap(e)
			s, ok := e.(string)
			if !ok {
				return errorAt(t, "%s.%s must be a string, got %s", name, k, given(name, e))
			}
			out[k] = s
		}
		*at(c) = out
		return nil
	}
}
