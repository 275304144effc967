package link

// fifo is the queue before the transmitter.
type fifo struct {
	packets []*packet
	head    int
	bytes   int
}

func (q *fifo) len() int { return len(q.packets) - q.head }

func (q *fifo) first() *packet { return q.packets[q.head] }

func (q *fifo) push(p *packet) {
	q.packets = append(q.packets, p)
	q.bytes += len(p.bytes)
}

func (q *fifo) pop() *packet {
	p := q.packets[q.head]
	q.packets[q.head] = nil
	q.head++
	q.bytes -= len(p.bytes)
	if q.head*2 >= len(q.packets) { // at most half is empty
		n := copy(q.packets, q.packets[q.head:])
		clear(q.packets[n:])
		q.packets, q.head = q.packets[:n], 0
	}
	return p
}

// flight is a heap of packets: the first is due first, and of two that are due
// at the same time the one that left first.
type flight []*packet

func (f flight) before(i, j int) bool {
	if f[i].due != f[j].due {
		return f[i].due < f[j].due
	}
	return f[i].number < f[j].number
}

func (f *flight) push(p *packet) {
	*f = append(*f, p)
	h := *f
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (f *flight) pop() *packet {
	h := *f
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = nil
	h = h[:last]
	*f = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if child+1 < last && h.before(child+1, child) {
			child++
		}
		if !h.before(child, i) {
			return first
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
