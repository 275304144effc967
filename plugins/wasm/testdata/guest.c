// Test guest: the payload's first letter says what it does. Variants by -D, see
// build.sh.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("ganglion_v1"), import_name(name)))

IMPORT("log") void host_log(int32_t level, const void *p, uint32_t n);
IMPORT("metric_add") void host_count(const void *p, uint32_t n, int64_t by);
IMPORT("kv_add") int64_t host_add(const void *k, uint32_t n, int64_t by, int64_t ttl);
IMPORT("kv_get") int32_t host_get(const void *k, uint32_t n, void *out, uint32_t cap);
IMPORT("kv_set") int32_t host_set(const void *k, uint32_t n, const void *v, uint32_t vn, int64_t ttl);
IMPORT("emit") int32_t host_emit(const void *s, uint32_t sn, const void *r, uint32_t rn, const void *h, uint32_t hn, const void *d, uint32_t dn);
IMPORT("now_ns") int64_t host_now(void);
IMPORT("config_get") int32_t host_config(const void *k, uint32_t n, void *out, uint32_t cap);
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))
WASI("fd_write") int32_t fd_write(int32_t fd, const void *iovs, int32_t n, void *written);
WASI("random_get") int32_t random_get(void *p, uint32_t n);
WASI("poll_oneoff") int32_t poll_oneoff(const void *in, void *out, uint32_t n, void *events);
#ifdef BADIMPORT
IMPORT("format_disk") int32_t host_format(int32_t n);
#endif

#ifndef MANIFEST
#define MANIFEST "{\"name\":\"guest\",\"version\":\"1.0\",\"bindings\":[{\"boundary\":\"publish\",\"subjects\":[\"t.>\"]}],\"emit\":[\"out.>\"],\"kv\":65536}"
#endif

static const char manifest[] = MANIFEST;
static uint32_t result[12];
static char buffer[2048];
static volatile uint32_t sink;

#ifndef NOMARKER
#ifdef VERSION2
EXPORT("ganglion_abi_v2")
#else
EXPORT("ganglion_abi_v1")
#endif
void marker(void) {}
#endif

EXPORT("ganglion_manifest") int64_t get_manifest(void) {
	return (int64_t)((uint64_t)(uint32_t)manifest << 32 | (sizeof(manifest) - 1));
}

#ifndef NOALLOC
EXPORT("ganglion_alloc") uint32_t alloc(uint32_t size) {
	static uint32_t at;
	uint32_t pages = (size + 65535) / 65536;
	uint32_t before = __builtin_wasm_memory_grow(0, pages);
	(void)at;
	return before == (uint32_t)-1 ? 0 : before << 16;
}
#endif

#ifdef INITLOOP
EXPORT("_initialize") void initialize(void) { for (;;) sink++; }
#else
EXPORT("_initialize") void initialize(void) { sink = 1; }
#endif

#ifdef WRONGTYPE
EXPORT("ganglion_configure") int32_t configure(const char *p, uint32_t n) { return 9; }
#else
// The config's "want" is a digit or two.
EXPORT("ganglion_configure") int64_t configure(const char *p, uint32_t n) {
	int32_t len = host_config("want", 4, buffer, sizeof buffer);
	if (len < 0) return 9;
	if (buffer[0] == '-') return -1;
	int64_t want = 0;
	for (int32_t i = 0; i < len; i++) want = want * 10 + buffer[i] - '0';
	return want;
}
#endif

static uint32_t u32(const char *p) { return *(const uint32_t *)p; }

static int64_t answer(uint32_t verdict, uint32_t replaced) {
	result[0] = verdict | replaced << 8;
	return (int64_t)((uint64_t)(uint32_t)result << 32 | sizeof result);
}

static __attribute__((noinline)) uint32_t recurse(uint32_t n) {
	volatile uint32_t x = n;
	return recurse(n + 1) + x;
}

static void put(uint32_t field, const void *p, uint32_t n) {
	result[field] = (uint32_t)p;
	result[field + 1] = n;
}

EXPORT("ganglion_on_message") int64_t on_message(char *frame, uint32_t size) {
	char *p = frame + u32(frame + 32);
	uint32_t n = u32(frame + 36);
	if (frame[2] == 5) { // connect: not who has "bad" among the facts
		const char *f = frame + u32(frame + 40);
		for (uint32_t i = 0; i + 3 <= u32(frame + 44); i++)
			if (f[i] == 'b' && f[i + 1] == 'a' && f[i + 2] == 'd') {
				put(10, "bad name", 8);
				return answer(2, 0);
			}
		return 0;
	}
	if (frame[2] == 6) // subscribe: not to t.no
		return u32(frame + 12) == 4 && frame[u32(frame + 8) + 2] == 'n' ? 2 : 0;
#ifdef BADIMPORT
	host_format(0);
#endif
	if (u32(frame + 32) == 0) return 0;
	switch (p[0]) {
	case 'd': return 1;
	case 'r': return 2;
	case 'R':
		put(10, p + 1, n - 1);
		answer(2, 0);
		result[0] |= 429u << 16;
		return (int64_t)((uint64_t)(uint32_t)result << 32 | sizeof result);
	case 'u': // replace by capitals
		for (uint32_t i = 1; i < n; i++) if (p[i] >= 'a' && p[i] <= 'z') p[i] -= 32;
		put(8, p, n);
		return answer(3, 8);
	case 'b': // replace by 256 bytes
		for (uint32_t i = 0; i < 256; i++) buffer[i] = 'b';
		put(8, buffer, 256);
		return answer(3, 8);
	case 's': // subject is what follows
		put(2, p + 1, n - 1);
		return answer(3, 1);
	case 'h':
		put(6, "NATS/1.0\r\nA: b\r\n\r\n", 18);
		return answer(3, 4);
	case 'H':
		put(6, "not headers", 11);
		return answer(3, 4);
	case 'y':
		put(4, "new.reply", 9);
		return answer(3, 2);
	case 'Z': // all at once
		put(2, "t.z", 3); put(4, "rep", 3); put(6, "NATS/1.0\r\nA: b\r\n\r\n", 18); put(8, "zz", 2);
		return answer(3, 15);
	case 'S': { // sum of what is there
		uint32_t sum = 0;
		for (uint32_t i = 0; i < n; i++) sum += (uint8_t)p[i];
		sink = sum;
		return 0;
	}
	case 'l': for (;;) sink++;
	case 'f': for (;;) __builtin_memset(buffer, sink++, sizeof buffer);
	case 'c': sink = recurse(0); return 0;
	case 'g': while (__builtin_wasm_memory_grow(0, 1) != (unsigned long)-1) sink++; return 0;
	case 'G': for (;;) sink += __builtin_wasm_memory_grow(0, 1);
	case 'm': for (;;) host_log(0, "storm", 5);
	case 'M': for (;;) host_now();
	case 'k': for (;;) host_add("k", 1, 1, 0);
	case 'e': for (;;) host_emit("out.x", 5, 0, 0, 0, 0, p, n);
	case 'P': { // a chase of pointers over two mebibytes
		uint32_t base = __builtin_wasm_memory_grow(0, 32) << 16, words = 32 << 14, at = 0;
		uint32_t *w = (uint32_t *)base;
		for (uint32_t i = 0; i < words; i++) w[i] = (i * 1103515245u + 12345u) % words;
		for (;;) at = w[at] ^ (sink & 0);
	}
	case 'W': { // lines without end, by pieces that overlap
		uint32_t at = __builtin_wasm_memory_grow(0, 32) << 16, *iov = (uint32_t *)at;
		__builtin_memset((void *)(at + (8 << 16)), '\n', 16 << 16);
		for (uint32_t i = 0; i < 1000; i++) { iov[2 * i] = at + (8 << 16); iov[2 * i + 1] = 16 << 16; }
		for (;;) fd_write(1, iov, 1000, (void *)(at + (24 << 16)));
	}
	case 'Q': { // randomness without end
		uint32_t at = __builtin_wasm_memory_grow(0, 32) << 16;
		for (;;) random_get((void *)at, 32 << 16);
	}
	case 'w': { // waiting without end
		uint32_t at = __builtin_wasm_memory_grow(0, 32) << 16;
		for (;;) poll_oneoff((void *)at, (void *)(at + (16 << 16)), 64, (void *)(at + (24 << 16)));
	}
	case 'K': { // large values
		uint32_t at = __builtin_wasm_memory_grow(0, 16) << 16;
		for (;;) host_set("k", 1, (void *)at, 1 << 20, 0);
	}
	case 't': __builtin_trap();
	case 'o': return (int64_t)((uint64_t)0x7fffffff << 32 | 48);
	case 'O': put(8, (void *)0xfffffff0, 0xffffffff); return answer(3, 8);
	case 'q': return (int64_t)((uint64_t)(uint32_t)result << 32 | 47);
	case 'v': return answer(9, 0);
	case 'n': return -7;
	case 'X': host_log(0, (void *)0xfffffff0, 64); return 0;
	case 'E': return host_emit("out.x", 5, 0, 0, 0, 0, p, n) == 0 ? 0 : 1;
	case 'F': return host_emit("forbidden.x", 11, 0, 0, 0, 0, p, n) == -2 ? 0 : 1;
	case 'N': { // counts, and says how often
		int64_t c = host_add("count", 5, 1, 0);
		uint32_t k = sizeof buffer;
		do buffer[--k] = '0' + c % 10; while (c /= 10);
		put(8, buffer + k, sizeof buffer - k);
		return answer(3, 8);
	}
	case 'C': host_count("seen", 4, 1); return 0;
	case 'T': return host_now() > 0 ? 0 : 1;
	case 'B': { // a result that is too large
		uint32_t at = __builtin_wasm_memory_grow(0, 20) << 16;
		put(8, (void *)at, 20 << 16);
		return answer(3, 8);
	}
	}
	return 0;
}
