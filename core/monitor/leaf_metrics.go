package monitor

import "strconv"

// LeafSamples are the metrics of links to other servers, for Handler.Register.
func LeafSamples(links []LeafInfo, remotes []LeafRemote) []Sample {
	list := []Sample{{Name: "leaf_links", Help: "Links to other servers.", Value: float64(len(links))}}
	for i := range links {
		l := &links[i]
		at := map[string]string{"id": strconv.FormatUint(l.CID, 10), "account": l.Account, "name": l.Name}
		of := func(direction string) map[string]string {
			return map[string]string{"id": at["id"], "account": l.Account, "name": l.Name, "direction": direction}
		}
		counter := func(name, help, direction string, v int64) {
			list = append(list, Sample{Name: name, Help: help, Counter: true, Labels: of(direction), Value: float64(v)})
		}
		list = append(list,
			Sample{Name: "leaf_rtt_seconds", Help: "Round-trip time of a link, 0 while unknown.", Labels: at, Value: l.Latency.Seconds()},
			Sample{Name: "leaf_subscriptions", Help: "Subscriptions that the other end of a link announced.", Labels: at, Value: float64(l.NumSubs)},
			Sample{Name: "leaf_pending_bytes", Help: "Bytes queued for a link.", Labels: at, Value: float64(l.PendingBytes)})
		const msgs, bytes, wire = "Messages over a link, seen from here.", "Header and payload bytes over a link.", "Bytes of a compressed link as they travel."
		counter("leaf_messages_total", msgs, "in", l.InMsgs)
		counter("leaf_messages_total", msgs, "out", l.OutMsgs)
		counter("leaf_message_bytes_total", bytes, "in", l.InBytes)
		counter("leaf_message_bytes_total", bytes, "out", l.OutBytes)
		counter("leaf_wire_bytes_total", wire, "in", l.InWireBytes)
		counter("leaf_wire_bytes_total", wire, "out", l.OutWireBytes)
		list = append(list, Sample{Name: "leaf_dropped_total", Help: "Messages that a link's limits kept from going.", Counter: true, Labels: at, Value: float64(l.Dropped)})
	}
	for i := range remotes {
		r := &remotes[i]
		// Two remotes may have one address and account.
		at := map[string]string{"index": strconv.Itoa(i), "account": r.Account, "url": r.URL}
		up := 0.0
		if r.CID != 0 {
			up = 1
		}
		list = append(list,
			Sample{Name: "leaf_remote_up", Help: "1 while the link to a hub is up.", Labels: at, Value: up},
			Sample{Name: "leaf_remote_attempts_total", Help: "Attempts to connect to a hub.", Counter: true, Labels: at, Value: float64(r.Attempts)},
			Sample{Name: "leaf_remote_reconnects_total", Help: "Links to a hub that ended.", Counter: true, Labels: at, Value: float64(r.Reconnects)},
			Sample{Name: "leaf_remote_missed_total", Help: "Messages that only a hub wanted that was away.", Counter: true, Labels: at, Value: float64(r.Missed)})
	}
	return list
}
