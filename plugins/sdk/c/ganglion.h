// ganglion.h: Ganglion plugins in C, ABI version 1. One header, no library:
//
//	clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,-s -o NAME.wasm main.c
//
// A plugin is one file that includes it, names its manifest and defines
// gg_configure and gg_on_message:
//
//	#include "ganglion.h"
//
//	GG_MANIFEST({"name": "upper", "version": "1",
//	             "bindings": [{"boundary": "publish", "subjects": ["demo.>"]}]})
//
//	int64_t gg_configure(gg_str config) { (void)config; return GG_WANT_PAYLOAD; }
//
//	gg_verdict gg_on_message(gg_message *m) {
//		gg_str p = m->payload;
//		for (uint32_t i = 0; i < p.n; i++)
//			if (p.p[i] >= 'a' && p.p[i] <= 'z') p.p[i] -= 32;
//		return gg_replace_payload(p);
//	}
//
// It needs no libc, and gets along with wasi-libc. One message is handled at a
// time; there may be several instances, and what they share is the key-value store.

#ifndef GANGLION_H
#define GANGLION_H

#ifndef __wasm_bulk_memory__
#error "build with -mbulk-memory: copies are instructions then, and no libc is needed"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Strings ----------------------------------------------------------------------

// gg_str is n bytes at p, which nothing ends.
typedef struct {
	char *p;
	uint32_t n;
} gg_str;

// GG is a literal as gg_str.
#define GG(literal) ((gg_str){(char *)("" literal), sizeof(literal) - 1})

static inline bool gg_equal(gg_str a, gg_str b) {
	if (a.n != b.n) return false;
	for (uint32_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i]) return false;
	return true;
}

// gg_from is s without its first i bytes.
static inline gg_str gg_from(gg_str s, uint32_t i) {
	if (i > s.n) i = s.n;
	return (gg_str){s.p + i, s.n - i};
}

// gg_index is where c is in s, or s.n.
static inline uint32_t gg_index(gg_str s, char c) {
	uint32_t i = 0;
	while (i < s.n && s.p[i] != c) i++;
	return i;
}

// ---- Messages and verdicts -----------------------------------------------------------

enum { // boundaries
	GG_PUBLISH = 1,
	GG_DELIVER,
	GG_LEAF_OUT,
	GG_LEAF_IN,
	GG_CONNECT,
	GG_SUBSCRIBE,
};

enum { // what gg_configure returns: what of a message is copied into the plugin
	GG_WANT_SUBJECT = 1,
	GG_WANT_REPLY = 2,
	GG_WANT_HEADERS = 4,
	GG_WANT_PAYLOAD = 8,
	GG_WANT_FACTS = 16,
	GG_WANT_ALL = 31,
};

enum { // present
	GG_HAS_REPLY = 1,
	GG_HAS_HEADERS = 2,
	GG_HAS_PAYLOAD = 4,
	GG_HAS_FACTS = 8,
};

// gg_message is a message at a boundary. What wasn't asked for is empty. All of it
// is borrowed until the next call, and may be changed in place.
typedef struct {
	uint8_t boundary;
	uint8_t present;                 // what the message has, asked for or not
	uint32_t hops;                   // how many plugins' emits led to it
	gg_str subject, reply;           // at subscribe: the pattern and the queue group
	gg_str headers;                  // as they go over the wire, NATS/1.0 to the empty line
	gg_str payload;
	gg_str facts;                    // of the connection, a JSON object
	uint32_t headers_size, payload_size; // asked for or not
} gg_message;

typedef int64_t gg_verdict;

#define GG_PASS ((gg_verdict)0)  // it goes on as it is
#define GG_DROP ((gg_verdict)1)  // it ends here, and nobody is told
#define GG_FAIL ((gg_verdict)-4) // the plugin failed; its binding's error policy decides

// The plugin's own: gg_configure returns what it wants, or GG_FAIL. The config is a
// JSON object, and stays; so does what gg_alloc gives in gg_configure.
int64_t gg_configure(gg_str config);
gg_verdict gg_on_message(gg_message *m);

#define GG_EXPORT(name) __attribute__((export_name(name), used))

// GG_MANIFEST takes the plugin's manifest as JSON.
#define GG_MANIFEST(...)                                                             \
	GG_EXPORT("ganglion_manifest") int64_t gg_export_manifest(void);             \
	int64_t gg_export_manifest(void) {                                           \
		static const char text[] = #__VA_ARGS__;                             \
		return (int64_t)(uintptr_t)text << 32 | (int64_t)(sizeof(text) - 1); \
	}

// GG_ON_TICK and GG_ON_CLOSE begin functions that a plugin may have:
//
//	GG_ON_TICK(now) { ... }    // about once a second; unix nanoseconds
//	GG_ON_CLOSE() { ... }
#define GG_ON_TICK(now)                                          \
	GG_EXPORT("ganglion_on_tick") void gg_on_tick(int64_t);  \
	void gg_on_tick(int64_t now)
#define GG_ON_CLOSE()                                          \
	GG_EXPORT("ganglion_close") void gg_on_close(void);    \
	void gg_on_close(void)

static struct {
	uint8_t verdict, replaced;
	uint16_t code;
	uint32_t zero;
	gg_str subject, reply, headers, payload, reason;
} gg_result;

_Static_assert(sizeof(gg_result) == 48, "a result has 48 bytes");

static inline gg_verdict gg_say(uint8_t verdict) {
	gg_result.verdict = verdict;
	return (gg_verdict)(uintptr_t)&gg_result << 32 | (gg_verdict)sizeof(gg_result);
}

// gg_reject ends the message here and tells its publisher why. A request is answered
// with code, 100 to 599; 0 is 403. A reason has 256 bytes at most; longer ones are
// cut.
static inline gg_verdict gg_reject(uint16_t code, gg_str reason) {
	if (code == 0 && reason.n == 0) return 2;
	gg_result.code = code;
	gg_result.reason = (gg_str){reason.p, reason.n > 256 ? 256 : reason.n};
	return gg_say(2);
}

// What is set is replaced by gg_replace. It must stay as it is until the next
// message: bytes of the message, of gg_alloc, or static ones. A reply or headers of
// length 0 are taken away.
static inline void gg_set_subject(gg_str s) { gg_result.subject = s, gg_result.replaced |= 1; }
static inline void gg_set_reply(gg_str s) { gg_result.reply = s, gg_result.replaced |= 2; }
static inline void gg_set_headers(gg_str s) { gg_result.headers = s, gg_result.replaced |= 4; }
static inline void gg_set_payload(gg_str s) { gg_result.payload = s, gg_result.replaced |= 8; }

// gg_replace lets the message go on with what was set.
static inline gg_verdict gg_replace(void) { return gg_result.replaced ? gg_say(3) : GG_PASS; }

static inline gg_verdict gg_replace_payload(gg_str s) {
	gg_set_payload(s);
	return gg_say(3);
}

static inline gg_verdict gg_replace_subject(gg_str s) {
	gg_set_subject(s);
	return gg_say(3);
}

// gg_find_header returns the line of the first header of that name with its line
// end; p is 0 when there is none.
static inline gg_str gg_find_header(gg_str block, gg_str name) {
	gg_str rest = gg_from(block, gg_index(block, '\n') + 1);
	while (rest.n > 0) {
		uint32_t n = gg_index(rest, '\n') + 1;
		if (n > rest.n) break;
		if (n > name.n && rest.p[name.n] == ':' && gg_equal((gg_str){rest.p, name.n}, name)) return (gg_str){rest.p, n};
		rest = gg_from(rest, n);
	}
	return (gg_str){0, 0};
}

// gg_header returns the value of the first header of that name; p is 0 when there
// is none.
static inline gg_str gg_header(const gg_message *m, gg_str name) {
	gg_str v = gg_find_header(m->headers, name);
	if (v.p == 0) return v;
	v = gg_from(v, name.n + 1);
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) v = gg_from(v, 1);
	while (v.n > 0 && (uint8_t)v.p[v.n - 1] <= ' ') v.n--;
	return v;
}

// ---- Memory --------------------------------------------------------------------------

// gg_block is memory that only grows.
typedef struct {
	char *p;
	uint32_t cap;
} gg_block;

#define GG_PAGE 65536u

static char gg_first_room[4096] __attribute__((aligned(8)));
static char gg_first_arena[4096] __attribute__((aligned(8)));
static gg_block gg_room = {gg_first_room, sizeof(gg_first_room)};
static gg_block gg_arena = {gg_first_arena, sizeof(gg_first_arena)};
static uint32_t gg_arena_at, gg_arena_base;

// gg_grow gives b room for size bytes, in place when it is the last of the memory.
// It doubles, so that what it leaves behind is less than what it has. It returns
// false when there is no more.
static inline bool gg_grow(gg_block *b, uint32_t size) {
	if (size > 1u << 30) return false;
	uint32_t end = (uint32_t)__builtin_wasm_memory_size(0) * GG_PAGE;
	bool last = (uint32_t)(uintptr_t)b->p + b->cap == end;
	uint32_t want = size > 2 * b->cap ? size : 2 * b->cap;
	for (;;) {
		uint32_t pages = ((last ? want - b->cap : want) + GG_PAGE - 1) / GG_PAGE;
		if (__builtin_wasm_memory_grow(0, pages) != (size_t)-1) {
			if (!last) *b = (gg_block){(char *)(uintptr_t)end, 0};
			b->cap += pages * GG_PAGE;
			return true;
		}
		if (want == size) return false;
		want = size;
	}
}

// gg_alloc returns n bytes, or 0 when there are no more. They are there until the
// next message; those of gg_configure stay.
static inline void *gg_alloc(uint32_t n) {
	if (n > 1u << 30) return 0;
	n = (n + 7) & ~7u;
	if (n > gg_arena.cap - gg_arena_at) {
		char *was = gg_arena.p;
		if (!gg_grow(&gg_arena, gg_arena_at + n)) return 0;
		if (gg_arena.p != was) gg_arena_at = gg_arena_base = 0; // the old block is left to its owners
	}
	char *p = gg_arena.p + gg_arena_at;
	gg_arena_at += n;
	return p;
}

// gg_buf is text that is being written, in memory of gg_alloc. It begins as {0}.
typedef struct {
	gg_str s;
	uint32_t cap;
	bool failed; // there was no memory
} gg_buf;

static inline void gg_put(gg_buf *b, gg_str s) {
	if (s.n > b->cap - b->s.n) {
		uint32_t cap = (2 * b->s.n + s.n + 63) & ~63u;
		bool last = b->cap > 0 && b->s.p + b->cap == gg_arena.p + gg_arena_at && cap - b->cap <= gg_arena.cap - gg_arena_at;
		char *p = b->failed || cap < s.n ? 0 : gg_alloc(last ? cap - b->cap : cap);
		if (p == 0) {
			b->failed = true;
			return;
		}
		if (!last) {
			__builtin_memcpy(p, b->s.p, b->s.n);
			b->s.p = p;
		}
		b->cap = cap;
	}
	__builtin_memcpy(b->s.p + b->s.n, s.p, s.n);
	b->s.n += s.n;
}

static inline void gg_put_char(gg_buf *b, char c) { gg_put(b, (gg_str){&c, 1}); }

static inline void gg_put_int(gg_buf *b, int64_t v) {
	char digits[20];
	uint32_t i = sizeof(digits);
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	do digits[--i] = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0) digits[--i] = '-';
	gg_put(b, (gg_str){digits + i, (uint32_t)sizeof(digits) - i});
}

// gg_put_number writes v with at most so many decimals, 9 at most, as JSON has it.
// What is no number becomes null; from 1e15 on it has an exponent and 15 digits.
static inline void gg_put_number(gg_buf *b, double v, int decimals) {
	if (v != v || v - v != 0) {
		gg_put(b, GG("null"));
		return;
	}
	bool negative = v < 0;
	if (negative) v = -v;
	int exponent = 0;
	if (v >= 1e15) {
		for (; v >= 10; v /= 10) exponent++;
		decimals = 9;
	}
	uint64_t scale = 1;
	for (int i = 0; i < decimals && i < 9; i++) scale *= 10;
	uint64_t whole = (uint64_t)v;
	uint64_t rest = (uint64_t)((v - (double)whole) * (double)scale + 0.5);
	if (rest >= scale) whole++, rest -= scale;
	if (negative && (whole | rest)) gg_put_char(b, '-');
	gg_put_int(b, (int64_t)whole);
	if (rest) {
		gg_put_char(b, '.');
		while (rest) {
			scale /= 10;
			gg_put_char(b, (char)('0' + rest / scale));
			rest %= scale;
		}
	}
	if (exponent) {
		gg_put_char(b, 'e');
		gg_put_int(b, exponent);
	}
}

// gg_set_header sets one header, for a gg_replace: the first of that name, or a new
// one. The plugin must want headers. It returns false when there is no memory.
static inline bool gg_set_header(const gg_message *m, gg_str name, gg_str value) {
	gg_str from = gg_result.replaced & 4 ? gg_result.headers : m->headers;
	if (from.n == 0) from = GG("NATS/1.0\r\n\r\n");
	gg_str line = gg_find_header(from, name);
	if (line.p == 0) line = (gg_str){from.p + from.n - (from.n < 2 ? from.n : 2), 0};
	gg_buf b = {0};
	gg_put(&b, (gg_str){from.p, (uint32_t)(line.p - from.p)});
	gg_put(&b, name);
	gg_put(&b, GG(": "));
	gg_put(&b, value);
	gg_put(&b, GG("\r\n"));
	gg_put(&b, gg_from(from, (uint32_t)(line.p - from.p) + line.n));
	if (!b.failed) gg_set_headers(b.s);
	return !b.failed;
}

// ---- JSON ----------------------------------------------------------------------------

// JSON is looked at in place: a value is its text. Text that is no JSON gives no
// values, but not all of it is looked at.

static inline gg_str gg_skip_space(gg_str s) {
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\n' || s.p[0] == '\r')) s = gg_from(s, 1);
	return s;
}

// gg_json_value is the value that s begins with; n is 0 when there is none. Depth is
// a count, so that no text can exhaust the stack.
static inline gg_str gg_json_value(gg_str s) {
	s = gg_skip_space(s);
	uint32_t depth = 0, i = 0;
	while (i < s.n) {
		char c = s.p[i];
		if (c == '"') {
			for (i++; i < s.n && s.p[i] != '"'; i++)
				if (s.p[i] == '\\') i++;
			if (i++ >= s.n) return (gg_str){0, 0};
		} else if (c == '{' || c == '[') {
			depth++, i++;
			continue;
		} else if (c == '}' || c == ']') {
			if (depth-- == 0) return (gg_str){0, 0};
			i++;
		} else if (depth > 0 && (c <= ' ' || c == ',' || c == ':')) {
			i++;
			continue;
		} else {
			uint32_t start = i;
			while (i < s.n && s.p[i] > ' ' && s.p[i] != ',' && s.p[i] != ':' && s.p[i] != '"' && s.p[i] != ']' && s.p[i] != '}' && s.p[i] != '{' && s.p[i] != '[') i++;
			if (i == start) return (gg_str){0, 0};
		}
		if (depth == 0) return (gg_str){s.p, i};
	}
	return (gg_str){0, 0};
}

// gg_json_each walks an array's items or an object's members:
//
//	for (gg_json_each e = gg_json_first(value); e.value.n > 0; gg_json_next(&e)) ...
typedef struct {
	gg_str key, value; // the key has its quotes
	gg_str rest;
	bool object;
} gg_json_each;

static inline void gg_json_next(gg_json_each *e) {
	e->key = e->value = (gg_str){0, 0};
	e->rest = gg_skip_space(e->rest);
	if (e->object) {
		gg_str key = gg_json_value(e->rest);
		if (key.n < 2 || key.p[0] != '"') return;
		gg_str rest = gg_skip_space(gg_from(e->rest, key.n));
		if (rest.n == 0 || rest.p[0] != ':') return;
		e->key = key;
		e->rest = gg_skip_space(gg_from(rest, 1));
	}
	e->value = gg_json_value(e->rest);
	e->rest = gg_skip_space(gg_from(e->rest, e->value.n));
	if (e->rest.n > 0 && e->rest.p[0] == ',') e->rest = gg_from(e->rest, 1);
}

static inline gg_json_each gg_json_first(gg_str value) {
	value = gg_skip_space(value);
	gg_json_each e = {.rest = gg_from(value, 1), .object = value.n > 0 && value.p[0] == '{'};
	if (e.object || (value.n > 0 && value.p[0] == '[')) gg_json_next(&e);
	return e;
}

// gg_json_get is the value of a member of an object; n is 0 when there is none. Keys
// are compared as they are written, without escapes.
static inline gg_str gg_json_get(gg_str object, gg_str key) {
	gg_json_each e = gg_json_first(object);
	if (!e.object) return (gg_str){0, 0};
	for (; e.value.n > 0; gg_json_next(&e))
		if (e.key.n == key.n + 2 && gg_equal((gg_str){e.key.p + 1, key.n}, key)) return e.value;
	return (gg_str){0, 0};
}

// gg_json_number reads a number. It returns false, and leaves v, when s is none.
static inline bool gg_json_number(gg_str s, double *v) {
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t digits = 0;
	int exponent = 0, seen = 0, point = 0;
	uint32_t i = negative;
	for (; i < s.n; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9') {
			seen = 1;
			if (digits < UINT64_C(100000000000000000)) digits = digits * 10 + (uint64_t)(c - '0'), exponent -= point;
			else exponent += !point;
		} else if (c == '.' && !point && seen) {
			point = 1;
		} else {
			break;
		}
	}
	if (!seen) return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		bool minus = ++i < s.n && s.p[i] == '-';
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) i++;
		int e = 0;
		if (i == s.n) return false;
		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			if (e < 10000) e = e * 10 + (s.p[i] - '0');
		exponent += minus ? -e : e;
	}
	if (i < s.n) return false;
	double d = (double)digits, ten = 10;
	double power = 1;
	for (uint32_t n = (uint32_t)(exponent < 0 ? -exponent : exponent); n > 0 && digits > 0; n >>= 1, ten *= ten)
		if (n & 1) power *= ten;
	d = exponent < 0 ? d / power : d * power;
	*v = negative ? -d : d;
	return true;
}

static inline uint32_t gg_hex4(gg_str s) {
	uint32_t v = 0;
	for (uint32_t i = 0; i < 4; i++) {
		char c = i < s.n ? s.p[i] : '0';
		v = v << 4 | (uint32_t)(c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0');
	}
	return v;
}

// gg_json_text is a string without its quotes and escapes; other values stay as they
// are. Strings with escapes are copied (gg_alloc); p is 0 when there is no memory.
static inline gg_str gg_json_text(gg_str v) {
	if (v.n < 2 || v.p[0] != '"') return v;
	v = (gg_str){v.p + 1, v.n - 2};
	if (gg_index(v, '\\') == v.n) return v;
	char *out = gg_alloc(v.n);
	uint32_t n = 0;
	for (uint32_t i = 0; out && i < v.n; i++) {
		char c = v.p[i];
		if (c != '\\' || ++i >= v.n) {
			out[n++] = c;
			continue;
		}
		c = v.p[i];
		if (c != 'u') {
			out[n++] = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
			continue;
		}
		uint32_t r = gg_hex4(gg_from(v, i + 1)) & 0xffff;
		i += 4;
		if (r >= 0xd800 && r < 0xdc00 && i + 6 < v.n && v.p[i + 1] == '\\' && v.p[i + 2] == 'u') {
			r = 0x10000 + ((r & 0x3ff) << 10) + (gg_hex4(gg_from(v, i + 3)) & 0x3ff);
			i += 6;
		}
		if (r < 0x80) {
			out[n++] = (char)r;
			continue;
		}
		if (r < 0x800) {
			out[n++] = (char)(0xc0 | r >> 6);
		} else {
			if (r < 0x10000) {
				out[n++] = (char)(0xe0 | r >> 12);
			} else {
				out[n++] = (char)(0xf0 | r >> 18);
				out[n++] = (char)(0x80 | (r >> 12 & 0x3f));
			}
			out[n++] = (char)(0x80 | (r >> 6 & 0x3f));
		}
		out[n++] = (char)(0x80 | (r & 0x3f));
	}
	return (gg_str){out, n};
}

// ---- The host ------------------------------------------------------------------------

enum { // what the host refuses with
	GG_NOT_FOUND = -1,
	GG_DENIED = -2,
	GG_TOO_LARGE = -3,
	GG_INVALID = -4,
	GG_FULL = -5,
};

enum { GG_DEBUG = -4, GG_INFO = 0, GG_WARN = 4, GG_ERROR = 8 };

#define GG_IMPORT(name) __attribute__((import_module("ganglion_v1"), import_name(name)))

GG_IMPORT("log") void gg_import_log(int32_t level, const char *p, uint32_t n);
GG_IMPORT("config_get") int32_t gg_import_config_get(const char *key, uint32_t n, char *out, uint32_t cap);
GG_IMPORT("metric_add") void gg_import_metric_add(const char *name, uint32_t n, int64_t by);
GG_IMPORT("metric_set") void gg_import_metric_set(const char *name, uint32_t n, double v);
GG_IMPORT("kv_get") int32_t gg_import_kv_get(const char *key, uint32_t n, char *out, uint32_t cap);
GG_IMPORT("kv_set") int32_t gg_import_kv_set(const char *key, uint32_t n, const char *val, uint32_t size, int64_t ttl);
GG_IMPORT("kv_delete") int32_t gg_import_kv_delete(const char *key, uint32_t n);
GG_IMPORT("kv_add") int64_t gg_import_kv_add(const char *key, uint32_t n, int64_t by, int64_t ttl);
GG_IMPORT("emit")
int32_t gg_import_emit(const char *subj, uint32_t sn, const char *reply, uint32_t rn, const char *hdr, uint32_t hn, const char *data, uint32_t dn);
GG_IMPORT("now_ns") int64_t gg_import_now_ns(void);

// gg_log writes a line to the host's log.
static inline void gg_log(int32_t level, gg_str text) { gg_import_log(level, text.p, text.n); }

// gg_read calls an import that gives a value, with as much memory as it takes.
static inline int32_t gg_read(int32_t (*get)(const char *, uint32_t, char *, uint32_t), gg_str key, gg_str *value) {
	uint32_t cap = 64;
	for (;;) {
		char *p = gg_alloc(cap);
		if (p == 0) return GG_TOO_LARGE;
		int32_t n = get(key.p, key.n, p, cap);
		if (n < 0) return n;
		if ((uint32_t)n <= cap) {
			*value = (gg_str){p, (uint32_t)n};
			return 0;
		}
		cap = (uint32_t)n; // another instance may make it longer meanwhile: ask again
	}
}

// gg_config_get reads a value of the configuration: strings bare, others as JSON. It
// returns 0, or why not. value is memory of gg_alloc.
static inline int32_t gg_config_get(gg_str key, gg_str *value) { return gg_read(gg_import_config_get, key, value); }

// gg_metric_add adds to a counter, gg_metric_set sets a gauge.
static inline void gg_metric_add(gg_str name, int64_t by) { gg_import_metric_add(name.p, name.n, by); }
static inline void gg_metric_set(gg_str name, double v) { gg_import_metric_set(name.p, name.n, v); }

// gg_kv_get reads a value of the store. It returns 0, or why not. value is memory of
// gg_alloc.
static inline int32_t gg_kv_get(gg_str key, gg_str *value) { return gg_read(gg_import_kv_get, key, value); }

// gg_kv_set sets a value for ttl milliseconds, 0 is for ever. It returns 0, or why
// not.
static inline int32_t gg_kv_set(gg_str key, gg_str value, int64_t ttl) {
	return gg_import_kv_set(key.p, key.n, value.p, value.n, ttl);
}

// gg_kv_delete returns 1 when the value was there, 0 when not, or why not.
static inline int32_t gg_kv_delete(gg_str key) { return gg_import_kv_delete(key.p, key.n); }

// gg_kv_add adds to a decimal number, which is 0 when it isn't there, and returns
// the sum, or why not. No other instance comes between. ttl counts for a new key.
static inline int64_t gg_kv_add(gg_str key, int64_t by, int64_t ttl) {
	return gg_import_kv_add(key.p, key.n, by, ttl);
}

// gg_emit publishes a message of the plugin's own; reply and headers may be empty.
// It returns 0, or why not.
static inline int32_t gg_emit(gg_str subject, gg_str reply, gg_str headers, gg_str payload) {
	return gg_import_emit(subject.p, subject.n, reply.p, reply.n, headers.p, headers.n, payload.p, payload.n);
}

// gg_now returns unix nanoseconds, or GG_DENIED ("clock" in the manifest).
static inline int64_t gg_now(void) { return gg_import_now_ns(); }

// ---- Exports -------------------------------------------------------------------------

GG_EXPORT("ganglion_abi_v1") void gg_export_abi(void);
void gg_export_abi(void) {}

GG_EXPORT("ganglion_alloc") char *gg_export_alloc(uint32_t size);
char *gg_export_alloc(uint32_t size) {
	if (size > gg_room.cap && !gg_grow(&gg_room, size)) return 0;
	return gg_room.p;
}

GG_EXPORT("ganglion_configure") int64_t gg_export_configure(const char *p, uint32_t n);
int64_t gg_export_configure(const char *p, uint32_t n) {
	char *config = gg_alloc(n);
	if (config == 0) return GG_FAIL;
	__builtin_memcpy(config, p, n);
	int64_t wants = gg_configure((gg_str){config, n});
	gg_arena_base = gg_arena_at;
	return wants;
}

static inline bool gg_part(char *frame, uint32_t n, uint32_t field, gg_str *part) {
	uint32_t at[2];
	__builtin_memcpy(at, frame + field, sizeof(at));
	*part = (gg_str){frame + at[0], at[1]};
	return at[0] <= n && at[1] <= n - at[0];
}

GG_EXPORT("ganglion_on_message") gg_verdict gg_export_on_message(char *frame, uint32_t n);
gg_verdict gg_export_on_message(char *frame, uint32_t n) {
	uint32_t head[2], sizes[3];
	if (n < 64) return GG_FAIL;
	__builtin_memcpy(head, frame, sizeof(head));
	__builtin_memcpy(sizes, frame + 48, sizeof(sizes));
	gg_message m = {
		.boundary = (uint8_t)(head[0] >> 16), .present = (uint8_t)(head[0] >> 24),
		.headers_size = sizes[0], .payload_size = sizes[1], .hops = sizes[2],
	};
	if ((head[0] & 0xffff) != 1 || head[1] != n || !gg_part(frame, n, 8, &m.subject) || !gg_part(frame, n, 16, &m.reply) ||
	    !gg_part(frame, n, 24, &m.headers) || !gg_part(frame, n, 32, &m.payload) || !gg_part(frame, n, 40, &m.facts))
		return GG_FAIL;
	gg_arena_at = gg_arena_base;
	gg_result.replaced = 0;
	gg_result.code = 0;
	return gg_on_message(&m);
}

#endif
