package config

import (
	"net/netip"
	"time"

	"ganglion/core/limit"
)

// rateLimits reads
//
//	rate_limits {
//	  connection { messages: 100, bytes: 64KB, subscriptions: 20, burst: "2s", action: throttle }
//	  user       { messages: 1000, connects: 5 }
//	  account    { bytes: 10MB }
//	  address    { connects: 10, messages: "600/m", action: disconnect }
//	  accounts   { NAME { connection { ... } user { ... } account { ... } } }
//	  exempt:    ["10.0.0.0/8"]
//	}
//
// A rate is a number a second, or a string such as "600/m"; in accounts, -1 lifts
// what stands above.
func rateLimits(c *Config, name string, t token, v any) error {
	l := limit.Limits{}
	keys := scopes(&l.Connection, &l.User, &l.Account)
	keys["address"] = rates(&l.Address, true)
	keys["accounts"] = func(c *Config, name string, t token, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return errorAt(t, "%s must be a block { NAME { ... } }, got %s", name, given(name, v))
		}
		l.Accounts = map[string]limit.Scopes{}
		for _, n := range byPlace(m) {
			e, et := unwrap(m[n])
			if et == nil {
				et = t
			}
			var s limit.Scopes
			if err := table(scopes(&s.Connection, &s.User, &s.Account))(c, name+"."+n, et, e); err != nil {
				return err
			}
			l.Accounts[n] = s
		}
		return nil
	}
	keys["exempt"] = prefixes(func(*Config) *[]netip.Prefix { return &l.Exempt })
	if err := table(keys)(c, name, t, v); err != nil {
		return err
	}
	if err := l.Check(); err != nil {
		return errorAt(t, "%w", err)
	}
	c.Broker.RateLimits = l
	return nil
}

// scopes are the keys of connection, user and account.
func scopes(connection, user, account *limit.Rates) map[string]key {
	return map[string]key{"connection": rates(connection, false), "user": rates(user, true), "account": rates(account, true)}
}

// rates reads the rates of one scope; connects says that it may have that one.
func rates(r *limit.Rates, connects bool) key {
	keys := map[string]key{
		"messages": rate(&r.Messages), "msgs": rate(&r.Messages),
		"bytes":         rate(&r.Bytes),
		"subscriptions": rate(&r.Subscriptions), "subs": rate(&r.Subscriptions),
		"burst": duration(func(*Config) *time.Duration { return &r.Burst }, time.Millisecond),
		"action": func(_ *Config, name string, t token, v any) (err error) {
			s, ok := v.(string)
			if !ok {
				return errorAt(t, "%s must be throttle, drop or disconnect, got %s", name, given(name, v))
			}
			if r.Action, err = limit.ParseAction(s); err != nil {
				return errorAt(t, "%s: %w", name, err)
			}
			return nil
		},
		"connects": rate(&r.Connects),
	}
	if !connects {
		keys["connects"] = func(_ *Config, name string, t token, _ any) error {
			return errorAt(t, "%s: a connection connects once; put connects into user, account or address", name)
		}
	}
	return table(keys)
}

// rate reads a number a second; -1 is no limit.
func rate(at *float64) key {
	return func(_ *Config, name string, t token, v any) (err error) {
		switch v := v.(type) {
		case int64:
			*at = float64(v)
		case float64:
			*at = v
		case string:
			if *at, err = limit.ParseRate(v); err != nil {
				return errorAt(t, "%s: %w", name, err)
			}
		default:
			return errorAt(t, "%s must be a number a second or a string such as \"600/m\", got %s", name, given(name, v))
		}
		if *at <= 0 && *at != -1 {
			return errorAt(t, "%s is %v; it must be above 0, or -1 for no limit", name, v)
		}
		return nil
	}
}
