package permission_test

import (
	"fmt"
	"slices"
	"testing"

	"ganglion/core/permission"
)

// benchmarkSet is 20 allow and 5 deny patterns of a plant's gateway.
func benchmarkSet(t testing.TB) *permission.Set {
	allow := []string{
		"plant.north.line.*.sensor.>", "plant.north.line.*.state", "plant.north.alarm.*.*",
		"plant.south.>", "plant.west.line.4.>", "plant.west.line.5.robot.*.pose",
		"$JS.API.INFO", "$JS.API.STREAM.*.telemetry", "$JS.ACK.telemetry.>",
		"metrics.*.cpu", "metrics.*.memory", "metrics.*.disk.*",
		"log.info.>", "log.error.>", "cmd.*.result", "_INBOX.>",
		"heartbeat", "service.time.now", "service.geo.*.lookup", "ota.status.*",
	}
	deny := []string{
		"plant.south.secret.>", "plant.*.line.*.sensor.calibration", "log.info.audit.*",
		"metrics.root.*", "_INBOX.admin.>",
	}
	return publishSet(t, allow, deny)
}

// benchmarkSubjects are 1,000 of each kind, most of 20 to 40 bytes.
func benchmarkSubjects() map[string][][]byte {
	kinds := map[string][]string{
		"literal":  {"service.time.now", "heartbeat", "$JS.API.INFO"},
		"wildcard": {"plant.north.line.%d.state", "metrics.host-%d.disk.sda1", "service.geo.tile-%d.lookup", "plant.north.alarm.%d.overheat"},
		"rest":     {"plant.south.hall.%d.temperature", "log.error.gateway.module-%d", "_INBOX.Jx7q2kd0aPl3.%d", "plant.north.line.%d.sensor.temp.c"},
		"deep":     {"plant.north.line.%d.sensor.a.b.c.d.e.f.g.h.i.j", "plant.west.line.4.a.b.%d.d.e.f.g.h.i.j.k"},
		"miss":     {"plant.east.line.%d.sensor.temp", "telemetry.gateway-%d.uptime", "plant.west.line.6.robot.%d.pose", "metrics.host-%d.network"},
		"denied":   {"plant.south.secret.%d.recipe.one", "log.info.audit.record-%d", "_INBOX.admin.%d.x"},
	}
	subjects := map[string][][]byte{}
	for kind, forms := range kinds {
		for i := range 1000 {
			form := forms[i%len(forms)]
			if kind != "literal" {
				form = fmt.Sprintf(form, i*7919)
			}
			subjects[kind] = append(subjects[kind], []byte(form))
		}
	}
	for i := range 1000 {
		kind := []string{"wildcard", "rest", "wildcard", "rest", "literal", "miss"}[i%6]
		subjects["mixed"] = append(subjects["mixed"], slices.Clone(subjects[kind][i]))
	}
	return subjects
}

func BenchmarkAllows(b *testing.B) {
	s, subjects := benchmarkSet(b), benchmarkSubjects()
	for _, kind := range []string{"mixed", "literal", "wildcard", "rest", "deep", "miss", "denied"} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			list := subjects[kind]
			i := 0
			for b.Loop() {
				s.Allows(list[i])
				if i++; i == len(list) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkSubscribe(b *testing.B) {
	p := compile(b, permission.Spec{Subscribe: &permission.Rules{
		Allow: []string{"a.>", "b.*.c", "d.* q.*", "_INBOX.>"}, Deny: []string{"a.no", "a.*.no"}}})
	for _, subj := range []string{"_INBOX.Jx7q2kd0aPl3.*", "a.>"} {
		b.Run(subj, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Subscribe(subj, "")
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchmarkSet(b)
	}
}
