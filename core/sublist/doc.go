// Package sublist answers one question: who is interested in a subject. It is a
// trie of subject tokens with wildcards and queue groups, generic over what is
// subscribed.
//
// # Readers and writers
//
// Readers name a slot (their worker's number) and take that slot's lock, which
// no other reader touches, so matching costs no shared cache line. Writers take
// all slots, which is cheap while there are few of them, and change the trie in
// place.
//
// # Staleness
//
// A reader that keeps a Result keeps a Stamp with it. Each change moves the
// generation of the first token that it concerns, or of all tokens when it
// begins with a wildcard, so that a change on one subject tree leaves what is
// remembered of the others alone.
package sublist
