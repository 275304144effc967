package router

import (
	"fmt"
	"testing"

	"ganglion/core/account"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// BenchmarkPermissions publishes on 1,000 subjects in turn in each of 100
// accounts, in reads of 400 messages, without and with permissions: 20 allow and
// 5 deny patterns for the publisher, an overlapping deny for the receiver.
func BenchmarkPermissions(b *testing.B) {
	for _, with := range []bool{false, true} {
		name := "without"
		if with {
			name = "with"
		}
		b.Run(name, func(b *testing.B) {
			const accounts, subjects, read = 100, 1000, 400
			var may *permission.Set
			var deny *permission.Set
			if with {
				p := benchPermissions(b)
				may = p.Publish()
				_, deny = p.Subscribe("bench.>", "")
				if deny == nil {
					b.Fatal("no filter")
				}
			}
			accs := make([]*account.Account, accounts)
			for i := range accs {
				accs[i] = account.New(fmt.Sprint("A", i))
				s := account.NewSubscription(&counting{}, "bench.>", "", "1")
				s.Filter(deny)
				accs[i].Subscribe(s)
			}
			subjs := make([][]byte, subjects)
			for i := range subjs {
				subjs[i] = fmt.Appendf(nil, "bench.site%d.sensor.%d", i%20, i)
			}
			at := make([]int, accounts)
			batch := New(0, &Counters{})
			var from counting
			data := make([]byte, 128)
			var m wire.Msg
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += read {
				i := n / read % accounts
				for range read {
					m = wire.Msg{Subject: subjs[at[i]], Data: data}
					at[i] = (at[i] + 1) % subjects
					if out := batch.Publish(&from, accs[i], may, &m); out.Receivers != 1 {
						b.Fatalf("%+v on %s", out, m.Subject)
					}
				}
				batch.Flush()
			}
		})
	}
}

func benchPermissions(b *testing.B) *permission.Permissions {
	var allow, deny []string
	for i := range 20 {
		allow = append(allow, fmt.Sprintf("bench.site%d.>", i))
	}
	for i := range 5 {
		deny = append(deny, fmt.Sprintf("bench.*.secret%d.>", i))
	}
	p, err := permission.Compile(permission.Spec{
		Publish:   &permission.Rules{Allow: allow, Deny: deny},
		Subscribe: &permission.Rules{Deny: []string{"bench.*.secret.>"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}
