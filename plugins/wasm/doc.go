// Package wasm runs plugins on wazero: it compiles modules that follow
// plugins/abi, meters them (plugins/fuel), and calls their instances.
//
// A Host compiles. A Module is one file, compiled, with a Runtime of its own, so
// that its memory limit is its own too. A Pool is a module configured once, as
// several instances that are leased one message at a time. An instance that
// failed is thrown away and another takes its place.
package wasm
