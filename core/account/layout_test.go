package account

import (
	"testing"
	"unsafe"
)

// TestLayout: what a delivery reads is in the first cache line.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Log("only 64-bit machines are laid out for")
		return
	}
	var s Subscription
	if at := unsafe.Offsetof(s.entry) + unsafe.Offsetof(s.entry.Value); at != 56 {
		t.Errorf("the entry's Value is at %d, want 56", at)
	}
	if n := unsafe.Sizeof(s); n != 192 {
		t.Errorf("a subscription takes %d bytes, want 192", n)
	}
}

func TestHeads(t *testing.T) {
	long := "a-sid-that-is-longer-than-the-room-for-it"
	for _, c := range []struct{ subject, sid, want string }{
		{"a.b", "1", "MSG a.b 1 "}, {"a.*", "1", "MSG a.b 1 "}, {"a.*", long, "MSG a.b " + long + " "}, {"a.b", long, "MSG a.b " + long + " "},
	} {
		s := NewSubscription(nil, c.subject, "", c.sid)
		for _, header := range []bool{false, true} {
			want := c.want
			if header {
				want = "H" + want
			}
			got := string(s.AppendHead(nil, []byte("a.b"), header))
			if got != want || len(got) > s.HeadLen([]byte("a.b")) {
				t.Errorf("%s %s: %q, at most %d", c.subject, c.sid, got, s.HeadLen([]byte("a.b")))
			}
		}
		if s.SID() != c.sid || s.Subject() != c.subject {
			t.Errorf("%s %s: %q %q", c.subject, c.sid, s.SID(), s.Subject())
		}
	}
}
