package operator

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/subject"
)

// What tags multiply is bounded: the subjects that one entry stands for, and the
// bytes of all of a user's.
const (
	maxExpanded      = 1024
	maxExpandedBytes = 1 << 20
)

// scoped returns the rights of a user whom a scoped signing key issued: those of
// the scope, with its templates filled in. The token itself may have none.
func scoped(scope *jwt.UserScope, c *jwt.UserClaims, acc *jwt.AccountClaims) (jwt.UserPermissionLimits, error) {
	if err := scope.ValidateScopedSigner(c); err != nil {
		return jwt.UserPermissionLimits{}, fmt.Errorf("%w: user %s: %w", ErrScope, c.Subject, err)
	}
	may := scope.Template
	e := expander{user: c, account: acc}
	may.Pub.Allow = e.allow(may.Pub.Allow, &may.Pub.Deny)
	may.Sub.Allow = e.allow(may.Sub.Allow, &may.Sub.Deny)
	may.Pub.Deny = e.deny(may.Pub.Deny)
	may.Sub.Deny = e.deny(may.Sub.Deny)
	if e.err != nil {
		return may, fmt.Errorf("%w: user %s: %w", ErrScope, c.Subject, e.err)
	}
	return may, nil
}

// expander fills in templates; err is its first failure.
type expander struct {
	user    *jwt.UserClaims
	account *jwt.AccountClaims
	bytes   int
	err     error
}

// allow expands allowed subjects. One that can't be filled in, for want of a tag
// or because a name makes it invalid, is left out; when that leaves nothing,
// everything is denied. Names and tags may be wildcards: who signs decides.
func (e *expander) allow(list jwt.StringList, deny *jwt.StringList) jwt.StringList {
	var out jwt.StringList
	for _, s := range list {
		subjects, _ := e.expand(s)
		out = append(out, subjects...)
	}
	if len(list) > 0 && len(out) == 0 {
		*deny = append(slices.Clone(*deny), ">")
	}
	return out
}

// deny expands denied subjects, none of which may get lost.
func (e *expander) deny(list jwt.StringList) jwt.StringList {
	var out jwt.StringList
	for _, s := range list {
		subjects, complete := e.expand(s)
		if !complete {
			e.fail("the denied subject %.200q can't be filled in", s)
		}
		out = append(out, subjects...)
	}
	return out
}

var templates = regexp.MustCompile(`{{.*?}}`)

// expand returns the valid subjects that s with its templates stands for, one
// for each combination of the values of different templates. It reports whether
// they are all: that no tag was missing and no subject invalid.
func (e *expander) expand(s string) (subjects []string, complete bool) {
	found := templates.FindAllString(s, -1)
	if found == nil {
		return []string{s}, true
	}
	subjects = []string{s}
	slices.Sort(found)
	for _, call := range slices.Compact(found) {
		values, known := e.values(strings.TrimSpace(call[2 : len(call)-2]))
		if !known {
			e.fail("the template %.60s is unknown", call)
			return nil, false
		}
		var next []string
		for _, subj := range subjects {
			for _, v := range values {
				e.bytes += len(subj) + strings.Count(subj, call)*len(v)
				if len(next) == maxExpanded || e.bytes > maxExpandedBytes {
					e.fail("the templates of %.200q stand for too many subjects; leave out tags", s)
					return nil, false
				}
				next = append(next, strings.ReplaceAll(subj, call, v))
			}
		}
		subjects = next
	}
	n := len(subjects)
	subjects = slices.DeleteFunc(subjects, func(s string) bool { return !subject.Valid(s) })
	return subjects, n > 0 && len(subjects) == n
}

// values returns what a template stands for; a tag may have any number.
func (e *expander) values(call string) (values []string, known bool) {
	name, arg, ok := strings.Cut(call, "(")
	arg, closed := strings.CutSuffix(arg, ")")
	if !ok || !closed {
		return nil, false
	}
	arg = strings.TrimSpace(arg)
	switch name = strings.ToLower(strings.TrimSpace(name)); {
	case name == "tag" && arg != "":
		return tagged(e.user.Tags, arg), true
	case name == "account-tag" && arg != "":
		return tagged(e.account.Tags, arg), true
	case arg != "":
		return nil, false
	case name == "name":
		return []string{e.user.Name}, true
	case name == "subject":
		return []string{e.user.Subject}, true
	case name == "account-name":
		return []string{e.account.Name}, true
	case name == "account-subject":
		return []string{e.account.Subject}, true
	}
	return nil, false
}

// tagged returns the values of the tags "key:value".
func tagged(tags jwt.TagList, key string) (values []string) {
	for _, tag := range tags {
		k, v, ok := strings.Cut(tag, ":")
		if ok && strings.EqualFold(k, key) {
			values = append(values, v)
		}
	}
	return values
}

func (e *expander) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}
