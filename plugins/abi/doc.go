// Package abi is the contract between Ganglion and its plugins: WASM modules that
// see messages at subject boundaries. This page is the specification of version
// 1; frame.go and result.go are the host's half of it, plugins/sdk has the
// guests'. Both are tested against the frames in testdata.
//
// # Module
//
// A plugin is a core WASM module. All numbers are little-endian, all pointers are
// offsets into the module's memory. It exports
//
//	memory                                  its one memory
//	ganglion_abi_v1()                       never called: says which version it speaks
//	ganglion_manifest() i64                 where its manifest is: ptr<<32 | len
//	ganglion_alloc(size i32) i32            room for a frame of size bytes, 0 when there is none
//	ganglion_configure(ptr, len i32) i64    its configuration; returns wants (see Want), or negative
//	ganglion_on_message(ptr, len i32) i64   a frame; returns a result
//
// and may export
//
//	_initialize()                           called once, first (reactors)
//	ganglion_on_tick(now i64)               called about once a second, if it is there
//	ganglion_close()                        called before the instance is let go
//
// # Lifecycle
//
// The host calls _initialize, ganglion_manifest (JSON, see Manifest),
// ganglion_configure with the binding's config as JSON in room that
// ganglion_alloc gave ("{}" without one), and then ganglion_alloc for frames,
// again only when a frame is larger than the room at hand: the last room given
// stays the host's until the next call of ganglion_alloc. Then ganglion_on_message, one call a message. There may be several instances
// of a module, each with a memory of its own; what they share is the key-value
// store. An instance that trapped is never called again.
//
// # Frame
//
// A frame is a header of 64 bytes, and behind it the bytes it points to. Offsets
// are from the beginning of the frame. A part that is not there, or that the
// plugin did not ask for, has offset and length 0; present and the sizes tell
// the two apart.
//
//	 0  u16  version, 1
//	 2  u8   boundary: 1 publish, 2 deliver, 3 leaf-out, 4 leaf-in, 5 connect, 6 subscribe
//	 3  u8   present: 1 reply subject, 2 headers, 4 payload, 8 facts
//	 4  u32  length of the frame
//	 8  u32  subject: offset            12  u32  length
//	16  u32  reply subject: offset      20  u32  length
//	24  u32  headers: offset            28  u32  length
//	32  u32  payload: offset            36  u32  length
//	40  u32  facts: offset              44  u32  length
//	48  u32  size of the headers, copied or not
//	52  u32  size of the payload, copied or not
//	56  u32  hops: how many plugins' emits led to the message
//	60  u32  0
//	64       bytes
//
// Headers are the block as it goes over the wire, "NATS/1.0\r\n" to the empty
// line. Facts are a JSON object about the connection (see Facts); at the
// boundaries connect and subscribe they are always there, subject and reply too,
// asked for or not. At connect there is no
// subject; at subscribe the subject is the pattern and the reply subject is the
// queue group.
//
// # Result
//
// ganglion_on_message returns
//
//	 0   pass: the message goes on as it is
//	 1   drop: it ends here, and nobody is told
//	 2   reject: it ends here, and its publisher is told
//	<0   the plugin failed; the error policy of the binding decides
//	else ptr<<32 | len of a result, which stays untouched until the next call
//
// A result has 48 bytes. Its pointers are the guest's own; parts may lie in the
// frame.
//
//	 0  u8   verdict: 2 reject, 3 replace
//	 1  u8   replaced: 1 subject, 2 reply subject, 4 headers, 8 payload
//	 2  u16  code of a reject, 100 to 599, which a request is answered with; 0 is 403
//	 4  u32  0
//	 8  u32  subject: pointer         12  u32  length
//	16  u32  reply subject: pointer   20  u32  length
//	24  u32  headers: pointer         28  u32  length
//	32  u32  payload: pointer         36  u32  length
//	40  u32  reason of a reject: pointer   44  u32  length, 256 bytes at most
//
// Headers of length 0 take the headers away, a reply subject of length 0 the
// reply. At deliver the subject can't be replaced; at connect and subscribe
// nothing can.
//
// # Imports
//
// From module "ganglion_v1" (strings are ptr, len):
//
//	log(level, ptr, len i32)                                  -4 debug, 0 info, 4 warn, 8 error
//	config_get(key, keylen, out, cap i32) i32                 a value of the config
//	metric_add(name, namelen i32, n i64)                      a counter
//	metric_set(name, namelen i32, v f64)                      a gauge
//	kv_get(key, keylen, out, cap i32) i32                     a value
//	kv_set(key, keylen, val, vallen i32, ttl i64) i32         ttl in milliseconds, 0 is for ever
//	kv_delete(key, keylen i32) i32                            1 when it was there
//	kv_add(key, keylen i32, n, ttl i64) i64                   adds to a decimal number, atomically, and returns the sum; ttl counts for a new key
//	emit(subj, subjlen, reply, replylen, hdr, hdrlen, data, datalen i32) i32
//	now_ns() i64                                              unix nanoseconds
//
// emit publishes in the account of the message that is being looked at, and is
// denied when there is none (start, configure, tick). config_get and kv_get return the value's length, also when cap is less (then
// nothing is written), or NotFound. Negative results are errors: see ErrDenied
// and others. config_get returns strings bare and other JSON values as JSON.
// From module "wasi_snapshot_preview1" all of it, without files, sockets,
// arguments and environment: standard output and error go to the log line by
// line.
//
// # Versions
//
// A host runs guests of all versions that it ever ran: new imports, new want
// bits, new boundaries and new fields in bytes that are 0 now don't make a new
// version, so a guest ignores what it doesn't know and a host what it doesn't
// find. What a guest can't ignore is a new marker, ganglion_abi_v2, beside
// which a module may export the old one.
package abi
