package config

import (
	"strconv"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/permission"
	"ganglion/core/subject"
)

// accountsBlock reads accounts { NAME { ... } }, or a list of names.
func accountsBlock(c *Config, name string, t token, v any) error {
	c.Broker.Accounts = nil
	switch v := v.(type) {
	case []any:
		list, err := names(name, t, v)
		if err != nil {
			return err
		}
		for _, n := range list {
			c.Broker.Accounts = append(c.Broker.Accounts, account.Spec{Name: n, Limits: account.NoLimits})
		}
		return nil
	case map[string]any:
		for _, n := range byPlace(v) {
			e, et := unwrap(v[n])
			if et == nil {
				et = t
			}
			s := account.Spec{Name: n, Limits: account.NoLimits}
			a := accountReader{spec: &s}
			if err := table(a.keys())(c, name+"."+n, et, e); err != nil {
				return err
			}
			for i := range a.users {
				a.users[i].Account, a.users[i].DefaultPermissions = n, a.defaults
			}
			c.Broker.Auth.Users = append(c.Broker.Auth.Users, a.users...)
			c.Broker.Accounts = append(c.Broker.Accounts, s)
		}
		if _, err := account.NewRegistry("").Prepare(c.Broker.Accounts, ""); err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		return nil
	}
	return errorAt(t, "%s must be a block { NAME { ... } } or a list of names, got %s", name, given(name, v))
}

// accountReader reads one account.
type accountReader struct {
	spec     *account.Spec
	users    []auth.User
	defaults *permission.Spec
}

func (a *accountReader) keys() map[string]key {
	limits := table(map[string]key{
		"max_connections": limitOf(&a.spec.Limits.Conns), "max_conn": limitOf(&a.spec.Limits.Conns),
		"max_subscriptions": limitOf(&a.spec.Limits.Subs), "max_subs": limitOf(&a.spec.Limits.Subs),
		"max_payload": limitOf(&a.spec.Limits.Payload), "max_pay": limitOf(&a.spec.Limits.Payload),
		"max_leafnodes": limitOf(&a.spec.Limits.Leafs), "max_leafs": limitOf(&a.spec.Limits.Leafs),
	})
	maps := func(_ *Config, name string, t token, v any) (err error) {
		a.spec.Mappings, err = readMappings(name, t, v)
		return err
	}
	return map[string]key{
		"nkey": accountKey,
		"users": func(_ *Config, name string, t token, v any) (err error) {
			a.users, err = readUsers(name, t, v)
			return err
		},
		"default_permissions": permissions(&a.defaults),
		"exports":             func(c *Config, name string, t token, v any) error { return a.exports(c, name, t, v) },
		"imports":             func(c *Config, name string, t token, v any) error { return a.imports(c, name, t, v) },
		"mappings":            maps, "maps": maps, "limits": limits,
		"msg_trace": a.trace, "trace_dest": a.trace,
		"jetstream": falseOnly,
	}
}

// accountKey checks the nkey of an account, which nothing else depends on.
func accountKey(_ *Config, name string, t token, v any) error {
	s, ok := v.(string)
	if !ok || !auth.IsAccountKey(s) {
		return errorAt(t, "%s is no public nkey of an account; it begins with A", name)
	}
	return nil
}

// limitOf reads a limit; negative is none.
func limitOf(at *int) key {
	return func(_ *Config, name string, t token, v any) error {
		n, ok := v.(int64)
		if !ok {
			return errorAt(t, "%s must be a number, got %s", name, given(name, v))
		}
		*at = int(max(n, account.Unlimited))
		return nil
	}
}

// trace reads where traces go: a subject, or { dest, sampling }.
func (a *accountReader) trace(c *Config, name string, t token, v any) error {
	x := &a.spec.Trace
	dest := str(func(*Config) *string { return &x.Dest })
	if _, ok := v.(string); ok {
		if err := dest(c, name, t, v); err != nil {
			return err
		}
	} else {
		sampling := func(_ *Config, name string, t token, v any) (err error) {
			x.Sampling, err = readSampling(name, t, v, false)
			return err
		}
		if err := table(map[string]key{"dest": dest, "sampling": sampling})(c, name, t, v); err != nil {
			return err
		}
	}
	if !subject.ValidLiteral(x.Dest) {
		return errorAt(t, "%s: %q is no subject to publish traces on", name, x.Dest)
	}
	return nil
}

// readSampling reads a percentage, or "headers" where that is allowed, which is 0.
func readSampling(name string, t token, v any, headers bool) (int, error) {
	switch v := v.(type) {
	case int64:
		if v >= 1 && v <= 100 {
			return int(v), nil
		}
	case string:
		if headers && strings.EqualFold(v, "headers") {
			return 0, nil
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), "%")); err == nil && n >= 1 && n <= 100 {
			return n, nil
		}
	}
	if headers {
		return 0, errorAt(t, "%s is %v; it must be a percentage from 1 to 100, or \"headers\"", name, v)
	}
	return 0, errorAt(t, "%s is %v; it must be a percentage from 1 to 100", name, v)
}

// each calls f for every entry of the list v, which must be blocks.
func each(name string, t token, v any, f func(name string, t token, m map[string]any) error) error {
	list, ok := v.([]any)
	if !ok {
		return errorAt(t, "%s must be a list of blocks [ { ... } ], got %s", name, given(name, v))
	}
	for i, e := range list {
		e, et := unwrap(e)
		if et == nil {
			et = t
		}
		m, ok := e.(map[string]any)
		if !ok {
			return errorAt(et, "%s: each entry must be a block { ... }, got %s", name, given(name, e))
		}
		if err := f(name+"["+strconv.Itoa(i)+"]", et, m); err != nil {
			return err
		}
	}
	return nil
}

func (a *accountReader) exports(c *Config, name string, t token, v any) error {
	return each(name, t, v, func(name string, t token, m map[string]any) error {
		var e account.Export
		kinds := 0
		kind := func(k account.Kind) key {
			return func(c *Config, name string, t token, v any) error {
				kinds++
				e.Kind = k
				return str(func(*Config) *string { return &e.Subject })(c, name, t, v)
			}
		}
		response := func(_ *Config, name string, t token, v any) error {
			s, _ := v.(string)
			for _, r := range []account.Response{account.Singleton, account.Streamed, account.Chunked} {
				if strings.EqualFold(s, r.String()) || r == account.Singleton && strings.EqualFold(s, "single") || r == account.Chunked && strings.EqualFold(s, "chunk") {
					e.Response = r
					return nil
				}
			}
			return errorAt(t, "%s is %v; it must be singleton, stream or chunked", name, v)
		}
		accounts := func(c *Config, name string, t token, v any) error {
			list, err := names(name, t, v)
			e.Accounts = append([]string{}, list...) // none at all is nobody
			return err
		}
		latency := func(c *Config, name string, t token, v any) error { return readLatency(c, &e, name, t, v) }
		threshold := duration(func(*Config) *time.Duration { return &e.Threshold }, time.Nanosecond)
		keys := map[string]key{
			"stream": kind(account.Stream), "service": kind(account.Service),
			"accounts": accounts, "response": response, "response_type": response,
			"threshold": threshold, "response_threshold": threshold, "response_max_time": threshold, "response_time": threshold,
			"latency":                latency,
			"account_token_position": integer(func(*Config) *int { return &e.TokenPosition }, 1),
			"allow_trace":            boolean(func(*Config) *bool { return &e.AllowTrace }),
		}
		if err := (block{path: name + ".", keys: keys}).read(c, m); err != nil {
			return err
		}
		switch {
		case kinds != 1:
			return errorAt(t, "%s must have either stream or service", name)
		case !subject.Valid(e.Subject):
			return errorAt(t, "%s: %q is no valid subject", name, e.Subject)
		case e.Kind == account.Stream && (e.Latency != nil || e.Response != 0 || e.Threshold != 0):
			return errorAt(t, "%s: response, threshold and latency are for services only", name)
		case e.Latency != nil && e.Response != account.Singleton:
			return errorAt(t, "%s: latency can be measured of a service with one response only, got response: %s", name, e.Response)
		case e.Kind == account.Stream && e.AllowTrace:
			return errorAt(t, "%s: allow_trace of a stream stands in the import", name)
		}
		a.spec.Exports = append(a.spec.Exports, e)
		return nil
	})
}

func readLatency(c *Config, e *account.Export, name string, t token, v any) error {
	l := &account.Latency{Sampling: 100}
	subj := str(func(*Config) *string { return &l.Subject })
	if _, ok := v.(string); ok {
		if err := subj(c, name, t, v); err != nil {
			return err
		}
	} else {
		sampling := func(_ *Config, name string, t token, v any) (err error) {
			l.Sampling, err = readSampling(name, t, v, true)
			return err
		}
		if err := table(map[string]key{"subject": subj, "sampling": sampling})(c, name, t, v); err != nil {
			return err
		}
	}
	if !subject.ValidLiteral(l.Subject) {
		return errorAt(t, "%s: %q is no subject to publish latencies on", name, l.Subject)
	}
	e.Latency = l
	return nil
}

func (a *accountReader) imports(c *Config, name string, t token, v any) error {
	return each(name, t, v, func(name string, t token, m map[string]any) error {
		var imp account.Import
		kinds := 0
		prefix := ""
		source := func(k account.Kind) key {
			keys := map[string]key{
				"account": str(func(*Config) *string { return &imp.Account }),
				"subject": str(func(*Config) *string { return &imp.Subject }),
			}
			return func(c *Config, name string, t token, v any) error {
				kinds++
				imp.Kind = k
				return table(keys)(c, name, t, v)
			}
		}
		keys := map[string]key{
			"stream": source(account.Stream), "service": source(account.Service),
			"to":          str(func(*Config) *string { return &imp.To }),
			"prefix":      str(func(*Config) *string { return &prefix }),
			"share":       boolean(func(*Config) *bool { return &imp.Share }),
			"allow_trace": boolean(func(*Config) *bool { return &imp.AllowTrace }),
		}
		if err := (block{path: name + ".", keys: keys}).read(c, m); err != nil {
			return err
		}
		switch {
		case kinds != 1:
			return errorAt(t, "%s must have either stream or service", name)
		case imp.Account == "" || imp.Subject == "":
			return errorAt(t, "%s: %s needs an account and a subject", name, imp.Kind)
		case prefix != "" && imp.To != "":
			return errorAt(t, "%s has both prefix and to; keep one of them", name)
		case prefix != "" && imp.Kind == account.Service, imp.Share && imp.Kind == account.Stream, imp.AllowTrace && imp.Kind == account.Service:
			return errorAt(t, "%s: prefix and allow_trace are for streams, share is for services; the trace of a service is allowed by its export", name)
		}
		if prefix != "" {
			imp.To = strings.TrimSuffix(prefix, ".") + "." + imp.Subject
		}
		a.spec.Imports = append(a.spec.Imports, imp)
		return nil
	})
}
