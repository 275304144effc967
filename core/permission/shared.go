package permission

import (
	"runtime"
	"strconv"
	"sync"
	"weak"
)

// Shared compiles each Spec once for as long as somebody uses what came of it:
// many users have the same permissions, and a compiled set takes tens of
// kilobytes. The zero value is ready; it is safe for concurrent use.
type Shared struct {
	mu   sync.Mutex
	sets map[string]weak.Pointer[Permissions]
}

// Compile is the function Compile, sharing the result with whoever asked for
// equal rules before and still holds it.
func (c *Shared) Compile(s Spec) (*Permissions, error) {
	key := s.key()
	if p := c.get(key); p != nil {
		return p, nil
	}
	p, err := Compile(s)
	if p == nil || err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.sets[key].Value(); first != nil {
		return first, nil
	}
	if c.sets == nil {
		c.sets = map[string]weak.Pointer[Permissions]{}
	}
	c.sets[key] = weak.Make(p)
	runtime.AddCleanup(p, c.forget, key)
	return p, nil
}

func (c *Shared) get(key string) *Permissions {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[key].Value()
}

// forget drops what nobody uses any more, unless it came anew.
func (c *Shared) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets[key].Value() == nil {
		delete(c.sets, key)
	}
}

// Len returns how many compiled sets are in use.
func (c *Shared) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sets)
}

// key is the same for equal rules only.
func (s Spec) key() string {
	var b []byte
	list := func(l []string) {
		if l == nil {
			b = append(b, '-')
			return
		}
		b = strconv.AppendInt(b, int64(len(l)), 10)
		for _, e := range l {
			b = append(b, ' ')
			b = strconv.AppendInt(b, int64(len(e)), 10)
			b = append(b, ':')
			b = append(b, e...)
		}
	}
	for _, r := range []*Rules{s.Publish, s.Subscribe} {
		if r == nil {
			b = append(b, 'n')
			continue
		}
		b = append(b, 'a')
		list(r.Allow)
		b = append(b, 'd')
		list(r.Deny)
	}
	if r := s.Responses; r != nil {
		b = strconv.AppendInt(append(b, 'r'), int64(r.Max), 10)
		b = strconv.AppendInt(append(b, ' '), int64(r.Expires), 10)
	}
	return string(b)
}
