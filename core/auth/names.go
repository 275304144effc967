package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// IsAccountKey reports whether s is the public nkey of an account.
func IsAccountKey(s string) bool { return nkeys.IsValidPublicAccountKey(s) }

// IsUserKey reports whether s is the public nkey of a user.
func IsUserKey(s string) bool { return nkeys.IsValidPublicUserKey(s) }

// CheckConnectionTypes reports a name that is no connection type; case does not
// matter.
func CheckConnectionTypes(names []string) error {
	known := []string{TypeStandard, TypeWebSocket, TypeLeaf, TypeLeafWS, TypeMQTT, TypeMQTTWS, TypeInProcess, TypeQUIC, TypeWebTransport}
	for _, n := range names {
		if !slices.Contains(known, strings.ToUpper(n)) {
			return fmt.Errorf("auth: %q is no connection type; use %s", n, strings.Join(known, ", "))
		}
	}
	return nil
}
