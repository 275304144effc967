// Package daemon is the server process: it starts what the configuration names,
// reloads it, and stops it, by signals or by the caller's context.
package daemon
