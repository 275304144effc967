package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tags reads the limits among the tags of a user's JWT. They are
//
//	rate-msgs:100/s        messages of all the user's connections
//	rate-bytes:64kb/s      bytes
//	rate-subs:20/s         subscriptions
//	rate-connects:2/s      connections
//	rate-burst:2s          what may come at once, in seconds' worth
//	rate-action:drop       throttle, drop or disconnect
//
// and, with rate-conn- instead of rate- (but for connects), the same of each
// connection. The "/s" may be left out; /m and /h are a minute and an hour. Tags
// are not case-sensitive; others are passed over. The errors say which tags are
// none of these though they begin with rate-; the rest holds.
func Tags(tags []string) (s Scopes, errs []error) {
	for _, tag := range tags {
		name, value, ok := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), ":")
		rest, ours := strings.CutPrefix(name, "rate-")
		if !ok || !ours {
			continue
		}
		r := &s.User
		if c, conn := strings.CutPrefix(rest, "conn-"); conn {
			rest, r = c, &s.Connection
		}
		var err error
		switch {
		case rest == "msgs":
			r.Messages, err = ParseRate(value)
		case rest == "bytes":
			r.Bytes, err = ParseRate(value)
		case rest == "subs":
			r.Subscriptions, err = ParseRate(value)
		case rest == "connects" && r == &s.User:
			r.Connects, err = ParseRate(value)
		case rest == "burst":
			if r.Burst, err = time.ParseDuration(value); err == nil && r.Burst <= 0 {
				r.Burst, err = 0, fmt.Errorf("burst %q is not positive", value)
			}
		case rest == "action":
			r.Action, err = ParseAction(value)
		default:
			err = fmt.Errorf("there is no limit of that name")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tag %.80q: %w", tag, err))
		}
	}
	return s, errs
}

// multiples are the suffixes of numbers, those of the configuration's grammar.
var multiples = []struct {
	suffix string
	times  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9},
}

// maxRate is far above what a machine can do.
const maxRate = 1 << 50

// ParseRate reads a rate such as "100", "0.5/s", "64KB/s", "10/m" or "1k/h" and
// returns it as a number a second, which is positive.
func ParseRate(text string) (float64, error) {
	s, per, found := strings.Cut(strings.ToLower(strings.TrimSpace(text)), "/")
	seconds := 1.0
	if found {
		switch per {
		case "s", "sec", "second":
		case "m", "min", "minute":
			seconds = 60
		case "h", "hour":
			seconds = 3600
		default:
			return 0, fmt.Errorf("rate %.40q: %q is none of s, m and h; write e.g. \"100/s\"", text, per)
		}
	}
	times := 1.0
	for _, m := range multiples {
		if x, ok := strings.CutSuffix(s, m.suffix); ok {
			s, times = x, m.times
			break
		}
	}
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789.") != "" { // what ParseFloat takes beside plain numbers is no rate
		return 0, fmt.Errorf("rate %.40q is no number; write e.g. \"100/s\" or \"64KB/s\"", text)
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("rate %.40q is no number; write e.g. \"100/s\" or \"64KB/s\"", text)
	}
	n = n * times / seconds
	if n <= 0 || n > maxRate {
		return 0, fmt.Errorf("rate %.40q is out of range; write e.g. \"100/s\" or \"64KB/s\"", text)
	}
	return n, nil
}
