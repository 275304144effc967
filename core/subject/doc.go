// Package subject is the grammar of subjects: which are valid, which match,
// and how a mapping rewrites one into another. It is pure functions over the
// standard library; nothing here starts a goroutine, takes a lock or keeps the
// bytes it is given.
//
// # Grammar
//
// A subject is tokens joined by dots. No token is empty and none contains a
// blank (space, tab, CR, LF); every other byte is allowed. In a
// pattern, which is what clients subscribe to, the whole token "*" stands for
// one token, and the whole token ">" at the end for one or more. Anywhere else
// these are ordinary characters: "a*b" and "a>" are literals.
//
// Publishers may use "*" and ">" as tokens too and are taken literally: a
// message to "a.*" goes to who subscribed to "a.*", "a.>" or ">". A subject
// with an empty token matches no pattern, not even ">".
//
//	Valid(s)            may be subscribed to
//	ValidLiteral(s)     may be subscribed to and has no wildcards
//	ValidPublish(b)     the same for bytes: what a pedantic connection may publish to
//	Match(p, s)         the pattern p matches the literal subject s
//	Overlap(p, q)       some subject is matched by both patterns
//	Covers(p, q)        every subject that q matches, p matches too
//
// # Transforms and mappings
//
// A [Transform] turns subjects that a source pattern matches into a destination.
// Tokens of the destination are literal, ">" (the rest, when the source ends in
// ">" too), or one of these, where n counts the "*" of the source from 1:
//
//	$n or {{wildcard(n)}}      the token
//	{{partition(N,n,...)}}     FNV-1a 32 of the tokens' text, one after the other, modulo N
//	{{partition(N)}}           FNV-1a 32 of the whole subject, dots included, modulo N
//	{{split(n,delim)}}         the token, cut at every delim
//	{{splitFromLeft(n,pos)}}   the token, cut pos bytes after its start
//	{{splitFromRight(n,pos)}}  the token, cut pos bytes before its end
//	{{sliceFromLeft(n,size)}}  the token in pieces of size bytes, the last may be shorter
//	{{sliceFromRight(n,size)}} the same, the first may be shorter
//	{{left(n,len)}}            the token's first len bytes
//	{{right(n,len)}}           the token's last len bytes
//	{{random(N)}}              a number below N
//
// A cut outside the token leaves it whole. This is what nats-server 2.15 does,
// accidents included where a configuration may rest on them: an index of 0 or
// below is the subject's first token, partition of a source without wildcards
// hashes nothing, N = 0 gives 0. There are two differences, both on the generous
// side: names of functions may be in any case (nats-server takes Split and split
// but not SPLIT), and split never makes an empty token (nats-server makes one of
// two delimiters at the start, and so loses the message): empty pieces vanish,
// and a token of delimiters alone stays as it is.
//
// A [Mapping] is one source with weighted destinations.
package subject
