package main

import (
	"fmt"
	"strconv"
)

// hello is what every client sends first. Same flags as nats.go, so that
// servers take the paths that real clients take.
const hello = `CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"name":"bench","lang":"go","version":"1",` +
	`"protocol":1,"echo":true,"headers":true,"no_responders":true}` + "\r\n"

// helloAs is hello of a user with a password.
func helloAs(user, pass string) string {
	return fmt.Sprintf(`CONNECT {"user":%q,"pass":%q,%s`, user, pass, hello[len("CONNECT {"):])
}

// chunkBytes is the size of a publisher's write.
const chunkBytes = 64 << 10

// appendPub encodes one PUB whose payload is size bytes, all 'x'. No reply
// when reply is empty.
func appendPub(b []byte, subject, reply string, size int) []byte {
	b = append(b, "PUB "...)
	b = append(b, subject...)
	if reply != "" {
		b = append(b, ' ')
		b = append(b, reply...)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, "\r\n"...)
	for range size {
		b = append(b, 'x')
	}
	return append(b, "\r\n"...)
}

// msgHead is the line with which a server delivers, and msgSize the length of
// the whole delivery.
func msgHead(subject, sid, reply string, size int) string {
	if reply != "" {
		reply += " "
	}
	return fmt.Sprintf("MSG %s %s %s%d\r\n", subject, sid, reply, size)
}

func msgSize(head string, size int) int { return len(head) + size + 2 }

// chunk is a write of n whole PUBs.
type chunk struct {
	b []byte
	n int
}

// chunkOf repeats one PUB to about chunkBytes.
func chunkOf(subject string, size int) chunk {
	one := appendPub(nil, subject, "", size)
	c := chunk{n: (chunkBytes + len(one) - 1) / len(one)}
	for range c.n {
		c.b = append(c.b, one...)
	}
	return c
}
