package config

import (
	"os"
	"slices"
	"strings"
	"time"

	"ganglion/core/auth"
	"ganglion/core/permission"
)

// byPlace returns the keys of m in the order in which they stand in the file.
func byPlace(m map[string]any) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.SortFunc(list, func(x, y string) int {
		if d := place(m[x]) - place(m[y]); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	return list
}

// readUsers reads users [ { user, password } { nkey } ... ].
func readUsers(name string, t token, v any) ([]auth.User, error) {
	var users []auth.User
	err := each(name, t, v, func(name string, t token, m map[string]any) error {
		var u auth.User
		user := str(func(*Config) *string { return &u.Name })
		pass := str(func(*Config) *string { return &u.Password })
		types := stringList(func(*Config) *[]string { return &u.ConnectionTypes })
		perms := permissions(&u.Permissions)
		keys := map[string]key{
			"user": user, "username": user, "pass": pass, "password": pass,
			"password_file": secretFile(func(*Config) *string { return &u.Password }), // ours
			"nkey":          str(func(*Config) *string { return &u.NKey }),
			"permissions":   perms, "permission": perms, "authorization": perms,
			"allowed_connection_types": types, "connection_types": types, "clients": types,
			"proxy_required": falseOnly,
		}
		if err := (block{path: name + ".", keys: keys}).read(nil, m); err != nil {
			return err
		}
		switch {
		case u.NKey != "" && (u.Name != "" || u.Password != ""):
			return errorAt(t, "%s has an nkey beside a user or password; keep one of them", name)
		case u.NKey == "" && u.Name == "":
			return errorAt(t, "%s has no user; add user, or nkey", name)
		case u.NKey != "" && !auth.IsUserKey(u.NKey):
			return errorAt(t, "%s: nkey is no public nkey of a user; it begins with U", name)
		}
		if err := auth.CheckConnectionTypes(u.ConnectionTypes); err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		users = append(users, u)
		return nil
	})
	return users, err
}

// secretFile reads a secret out of a file, so that it need not stand in the
// configuration.
func secretFile(at func(*Config) *string) key {
	return func(c *Config, name string, t token, v any) error {
		file, ok := v.(string)
		if !ok {
			return errorAt(t, "%s must be the name of a file, got %s", name, given(name, v))
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		s := strings.TrimRight(string(b), "\r\n")
		if s == "" {
			return errorAt(t, "%s: the file %s is empty", name, file)
		}
		*at(c) = s
		return nil
	}
}

// permissions reads permissions { publish, subscribe, allow_responses }.
func permissions(at **permission.Spec) key {
	return func(c *Config, name string, t token, v any) error {
		var s permission.Spec
		pub := func(_ *Config, name string, t token, v any) (err error) {
			s.Publish, err = readRules(name, t, v)
			return err
		}
		sub := func(_ *Config, name string, t token, v any) (err error) {
			s.Subscribe, err = readRules(name, t, v)
			return err
		}
		responses := func(_ *Config, name string, t token, v any) error {
			r, err := readResponses(name, t, v)
			s.Responses = r
			return err
		}
		keys := map[string]key{
			"publish": pub, "pub": pub, "import": pub, "subscribe": sub, "sub": sub, "export": sub,
			"allow_responses": responses, "publish_allow_responses": responses,
		}
		if err := table(keys)(c, name, t, v); err != nil {
			return err
		}
		if _, err := permission.Compile(s); err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		*at = &s
		return nil
	}
}

// readRules reads a subject, a list of them, or { allow, deny }. An empty list
// restricts nothing, as in nats-server.
func readRules(name string, t token, v any) (*permission.Rules, error) {
	var r permission.Rules
	list := func(at *[]string) key {
		return func(_ *Config, name string, t token, v any) error {
			l, err := names(name, t, v)
			if len(l) > 0 {
				*at = l
			}
			return err
		}
	}
	var err error
	if m, ok := v.(map[string]any); ok {
		err = block{path: name + ".", keys: map[string]key{"allow": list(&r.Allow), "deny": list(&r.Deny)}}.read(nil, m)
	} else {
		err = list(&r.Allow)(nil, name, t, v)
	}
	if err != nil || r.Allow == nil && r.Deny == nil {
		return nil, err
	}
	return &r, nil
}

// readResponses reads true, or { max, expires }.
func readResponses(name string, t token, v any) (*permission.Responses, error) {
	if on, ok := v.(bool); ok {
		if !on {
			return nil, nil
		}
		return &permission.Responses{}, nil
	}
	var r permission.Responses
	most := func(_ *Config, name string, t token, v any) error {
		n, ok := v.(int64)
		if !ok {
			return errorAt(t, "%s must be a number, got %s", name, given(name, v))
		}
		r.Max = int(n)
		return nil
	}
	expires := duration(func(*Config) *time.Duration { return &r.Expires }, -1<<62)
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errorAt(t, "%s must be true or { max, expires }, got %s", name, given(name, v))
	}
	err := block{path: name + ".", keys: map[string]key{
		"max": most, "max_msgs": most, "max_messages": most, "max_responses": most,
		"expires": expires, "expiration": expires, "ttl": expires,
	}}.read(nil, m)
	return &r, err
}
