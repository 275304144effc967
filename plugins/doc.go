// Package plugins runs what users drop into a directory: WASM modules that see
// messages at subject boundaries (plugins/abi has their side).
//
// A Manager looks at the directory several times a second. A file that is new or
// changed is compiled beside the old one, configured and tried; then its bindings
// take the place of the old one's at once, and the old one ends when the last
// message that it looks at is done. A file that is no good leaves the old one in
// force.
//
// Each plugin has its own limits, a key-value store that outlives its versions, and
// a breaker: faults in a row take it out for a while, in which the error policy of
// its bindings decides.
package plugins
