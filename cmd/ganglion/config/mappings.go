package config

import (
	"slices"
	"strconv"
	"strings"

	"ganglion/core/subject"
)

// mappings reads the mappings of the global account.
func mappings(c *Config, name string, t token, v any) (err error) {
	c.Broker.Mappings, err = readMappings(name, t, v)
	return err
}

// readMappings reads mappings { source: destination | [ {destination, weight, cluster} ] }.
func readMappings(name string, t token, v any) ([]*subject.Mapping, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errorAt(t, "%s must be a block { source: destination }, got %s", name, given(name, v))
	}
	sources := make([]string, 0, len(m))
	for src := range m {
		sources = append(sources, src)
	}
	// The block is a map, so its order is gone; the narrower source goes first.
	slices.SortFunc(sources, func(a, b string) int {
		if wa, wb := subject.HasWildcard(a), subject.HasWildcard(b); wa != wb {
			if wa {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	var out []*subject.Mapping
	for _, src := range sources {
		val, at := unwrap(m[src])
		if at == nil {
			at = t
		}
		dests, err := destinations(name+"."+src, at, val)
		if err != nil {
			return nil, err
		}
		mp, err := subject.NewMapping(src, dests...)
		if err != nil {
			return nil, errorAt(at, "%s.%s: %w", name, src, err)
		}
		out = append(out, mp)
	}
	return out, nil
}

func destinations(name string, t token, v any) ([]subject.Dest, error) {
	switch v := v.(type) {
	case string:
		return []subject.Dest{{Subject: v, Weight: 100}}, nil
	case map[string]any:
		d, err := destination(name, t, v)
		return []subject.Dest{d}, err
	case []any:
		var out []subject.Dest
		for _, e := range v {
			e, at := unwrap(e)
			if at == nil {
				at = t
			}
			m, ok := e.(map[string]any)
			if !ok {
				return nil, errorAt(at, "%s: each entry must be a block { destination, weight }, got %s", name, given(name, e))
			}
			d, err := destination(name, at, m)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
		return out, nil
	}
	return nil, errorAt(t, "%s must be a subject or a list of destinations, got %s", name, given(name, v))
}

func destination(name string, t token, m map[string]any) (subject.Dest, error) {
	d := subject.Dest{Weight: 100}
	for k, raw := range m {
		v, at := unwrap(raw)
		if at == nil {
			at = t
		}
		switch strings.ToLower(k) {
		case "destination", "dest":
			s, ok := v.(string)
			if !ok {
				return d, errorAt(at, "%s.%s must be a subject, got %s", name, k, given(name, v))
			}
			d.Subject = s
		case "weight":
			w, ok := weight(v)
			if !ok {
				return d, errorAt(at, "%s.%s is %v; it must be a percentage from 0 to 100", name, k, v)
			}
			d.Weight = w
		case "cluster":
			s, ok := v.(string)
			if !ok {
				return d, errorAt(at, "%s.%s must be a string, got %s", name, k, given(name, v))
			}
			d.Cluster = s
		default:
			return d, errorAt(at, "unknown field %q", name+"."+k)
		}
	}
	if d.Subject == "" {
		return d, errorAt(t, "%s: an entry has no destination; add one", name)
	}
	return d, nil
}

func weight(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), v >= 0 && v <= 100
	case string:
		n, err := strconv.Atoi(strings.TrimSuffix(v, "%"))
		return n, err == nil && n >= 0 && n <= 100
	}
	return 0, false
}
