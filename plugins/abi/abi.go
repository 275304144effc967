package abi

// Version is what this package specifies.
const Version = 1

// Names of exports and imports.
const (
	ExportMemory     = "memory"
	ExportMarker     = "ganglion_abi_v1"
	ExportInitialize = "_initialize"
	ExportManifest   = "ganglion_manifest"
	ExportAlloc      = "ganglion_alloc"
	ExportConfigure  = "ganglion_configure"
	ExportOnMessage  = "ganglion_on_message"
	ExportOnTick     = "ganglion_on_tick"
	ExportClose      = "ganglion_close"

	// MarkerPrefix begins the markers of all versions.
	MarkerPrefix = "ganglion_abi_v"
	// HostModule is where imports come from.
	HostModule = "ganglion_v1"
	// WASIModule is the other one.
	WASIModule = "wasi_snapshot_preview1"
)

// Want says what a plugin wants to see of messages.
type Want int64

// The bits of Want.
const (
	WantSubject Want = 1 << iota
	WantReply
	WantHeaders
	WantPayload
	WantFacts

	// WantAll is all that this version knows.
	WantAll = WantSubject | WantReply | WantHeaders | WantPayload | WantFacts
)

// Result codes of host functions.
const (
	// NotFound says that there is no such value.
	NotFound = -1
	// ErrDenied says that the plugin may not do that.
	ErrDenied = -2
	// ErrTooLarge says that it was too large, or too many.
	ErrTooLarge = -3
	// ErrInvalid says that an argument was wrong.
	ErrInvalid = -4
	// ErrFull says that a queue or the store is full.
	ErrFull = -5
)

// Boundary is a place where messages or sessions cross.
type Boundary uint8

// The boundaries.
const (
	Publish Boundary = 1 + iota
	Deliver
	LeafOut
	LeafIn
	Connect
	Subscribe
)

var boundaries = [...]string{Publish: "publish", Deliver: "deliver", LeafOut: "leaf-out", LeafIn: "leaf-in", Connect: "connect", Subscribe: "subscribe"}

// String returns the boundary's name in manifests and the configuration.
func (b Boundary) String() string {
	if b > 0 && int(b) < len(boundaries) {
		return boundaries[b]
	}
	return "unknown"
}

// ParseBoundary returns the boundary of that name, 0 when there is none.
func ParseBoundary(name string) Boundary {
	for b := Publish; int(b) < len(boundaries); b++ {
		if boundaries[b] == name {
			return b
		}
	}
	return 0
}

// Verdict is what becomes of a message.
type Verdict uint8

// The verdicts.
const (
	Pass Verdict = iota
	Drop
	Reject
	Replace
)

var verdicts = [...]string{Pass: "pass", Drop: "drop", Reject: "reject", Replace: "replace"}

// String returns the verdict's name.
func (v Verdict) String() string {
	if int(v) < len(verdicts) {
		return verdicts[v]
	}
	return "unknown"
}

// Pack returns ptr and size as manifests and results are returned.
func Pack(ptr, size uint32) uint64 { return uint64(ptr)<<32 | uint64(size) }

// Unpack is the inverse of Pack.
func Unpack(v uint64) (ptr, size uint32) { return uint32(v >> 32), uint32(v) }
