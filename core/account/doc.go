// Package account holds isolated subject spaces: who is subscribed in one, how
// subjects are mapped in it, which hooks its messages meet.
//
// An Account's interest is a sublist of *Subscription. Whatever receives
// messages is a Sink: a client, a stream, a leaf, a route. The router copies a
// message into a Stage per receiver and commits each Stage once.
package account
