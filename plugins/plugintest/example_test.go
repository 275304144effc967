package plugintest_test

import (
	"fmt"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
)

// The plugin of this example writes what follows a 'u' in capitals, and refuses what
// begins with an 'R'. In a test of one's own, t is the test's.
func ExampleLoad() {
	var t testing.T
	p := plugintest.Load(&t, "../wasm/testdata/guest.wasm", plugintest.Config{})
	defer p.Close()

	r := p.Publish("t.room", "uhello", "Device: 7")
	fmt.Println(r.Verdict, r.Subject, r.Header("Device"), r.Payload)

	r = p.Publish("t.room", "Rtoo warm")
	fmt.Println(r.Verdict == abi.Reject, r.Code, r.Reason)
	// Output:
	// replace t.room 7 uHELLO
	// true 429 too warm
}
