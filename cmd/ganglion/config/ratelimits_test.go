package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ganglion/core/limit"
)

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	return c, c.Load(file)
}

func TestRateLimits(t *testing.T) {
	c, err := loadText(t, `
rate_limits {
  connection { messages: 100, bytes: 64KB, subscriptions: 20, burst: "2s", action: throttle }
  user       { msgs: 1000, subs: 0.5, connects: 5, action: Drop }
  account    { bytes: "10MB/s" }
  address    { connects: 10, messages: "600/m", action: disconnect }
  accounts   { BIG { connection { messages: -1 }, account { bytes: 1GB } } }
  exempt: ["10.0.0.0/8", "::1"]
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := limit.Limits{
		Connection: limit.Rates{Messages: 100, Bytes: 64 << 10, Subscriptions: 20, Burst: 2 * time.Second, Action: limit.Throttle},
		User:       limit.Rates{Messages: 1000, Subscriptions: 0.5, Connects: 5, Action: limit.Drop},
		Account:    limit.Rates{Bytes: 10 << 20},
		Address:    limit.Rates{Connects: 10, Messages: 10, Action: limit.Disconnect},
		Accounts:   map[string]limit.Scopes{"BIG": {Connection: limit.Rates{Messages: -1}, Account: limit.Rates{Bytes: 1 << 30}}},
		Exempt:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if !reflect.DeepEqual(c.Broker.RateLimits, want) {
		t.Errorf("got %+v", c.Broker.RateLimits)
	}
	cs := Diff(Default(), c)
	if !strings.Contains(strings.Join(changed(cs), " "), "Broker.RateLimits.Connection.Messages") {
		t.Errorf("a change is called %v", changed(cs))
	}
}

func changed(cs []Change) (list []string) {
	for _, c := range cs {
		list = append(list, c.Name)
	}
	return list
}

// What is wrong is named with its place and what would do.
func TestRateLimitErrors(t *testing.T) {
	for text, want := range map[string]string{
		"5":                                           "rate_limits must be a block",
		"{ conection { messages: 1 } }":               `did you mean "connection"`,
		"{ connection { mesages: 1 } }":               `did you mean "messages"`,
		"{ connection { messages: 0 } }":              "rate_limits.connection.messages is 0; it must be above 0",
		"{ connection { messages: -2 } }":             "above 0, or -1",
		"{ connection { messages: \"1/day\" } }":      "none of s, m and h",
		"{ connection { messages: true } }":           "must be a number a second",
		"{ connection { connects: 5 } }":              "put connects into user, account or address",
		"{ user { burst: 5 } }":                       "in quotes",
		"{ user { burst: \"0s\" } }":                  "minimum is",
		"{ user { action: slow } }":                   "none of throttle, drop and disconnect",
		"{ user { action: 7 } }":                      "must be throttle, drop or disconnect",
		"{ accounts { A { address { bytes: 1 } } } }": `unknown field "rate_limits.accounts.A.address"`,
		"{ accounts: 1 }":                             "must be a block { NAME",
		"{ exempt: [\"10.0.0\"] }":                    "is no network",
	} {
		_, err := loadText(t, "\nrate_limits "+text+"\n")
		if text == "5" {
			_, err = loadText(t, "\nrate_limits: 5\n")
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "x.conf:2:") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
