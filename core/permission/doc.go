// Package permission compiles what a user may publish and subscribe to, so that
// asking costs little per message and nothing per session.
//
// The rules are those that nats-server 2.15 was seen to follow:
//
//   - A subject may be published to when an allow entry matches it and no deny
//     entry does. It is taken literally: "*" and ">" in it are ordinary tokens. A
//     subject with an empty token matches no entry, so that it is refused where
//     there is an allow list and otherwise allowed. Case matters.
//   - With allow_responses and no allow list of publishing, only responses may be
//     published; responses go out even where a deny entry matches.
//   - A subscription's subject is matched in the same way, as if it were a literal.
//     So "foo.w.>" is refused where "foo.w.*" is denied, because the "*" stands for
//     the token ">" too. "foo.*" is not refused where "foo.no" is denied; its
//     messages are filtered on delivery.
//   - A queue subscription whose subject is matched by allow entries with a queue
//     must be in the queue of one of them; entries without one count when there
//     are none with. A plain subscription needs an entry without a queue.
//   - Deny entries without a queue concern all subscriptions, those with one only
//     queue subscriptions in that queue. A queue's pattern must cover the
//     queue: ">" as a name is not in "*".
//
// There is one difference, on the safe side. By matching literally, nats-server
// accepts a subscription to "a.>" where only "a.*" is allowed, and then delivers
// "a.b.c" to it. Here it is accepted too, but its messages are filtered by the
// allow list as well.
//
// # How a Set decides
//
// The patterns of allow and deny are compiled together into one deterministic
// automaton over tokens. A state is what is left of the patterns after some
// tokens; a token leads to one next state, so that nothing is tried twice, and a
// state in which the rest cannot matter ends the walk. Tokens are compared as a
// word of up to eight bytes and the rest, one after the other when there are
// few and through a hash table when there are many. Patterns that would make an
// unreasonably large automaton, which takes dozens of them with "*" at different
// places, are matched one after the other instead.
package permission
