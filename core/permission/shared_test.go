package permission_test

import (
	"runtime"
	"testing"

	"ganglion/core/permission"
)

// TestShared: equal rules give one set while it is in use, others another.
func TestShared(t *testing.T) {
	var c permission.Shared
	spec := func(allow ...string) permission.Spec {
		return permission.Spec{Publish: &permission.Rules{Allow: allow}, Responses: &permission.Responses{Max: len(allow)}}
	}
	get := func(s permission.Spec) *permission.Permissions {
		t.Helper()
		p, err := c.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := get(spec("a", "b.>")), get(spec("a", "b.>"))
	if a != b {
		t.Error("equal rules gave two sets")
	}
	for _, other := range []permission.Spec{spec("a"), spec("b.>", "a"), spec("a b", ">"), {Subscribe: &permission.Rules{Allow: []string{"a", "b.>"}}},
		{Publish: &permission.Rules{Deny: []string{"a", "b.>"}}}} {
		if p, err := c.Compile(other); err == nil && p == a {
			t.Errorf("%+v shares the set of other rules", other)
		}
	}
	if p := get(permission.Spec{}); p != nil {
		t.Error("no rules gave a set")
	}
	if _, err := c.Compile(spec("a..b")); err == nil {
		t.Error("no error")
	}
	runtime.KeepAlive(a)
	a, b = nil, nil
	for c.Len() > 0 { // ends, because nothing holds the sets any more
		runtime.GC()
		runtime.Gosched()
	}
}
