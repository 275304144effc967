// ganglion.ts: Ganglion plugins in AssemblyScript, ABI version 1. One file, no
// dependency:
//
//   asc main.ts -O3 --noAssert --runtime minimal --exportStart _initialize \
//     --use abort=ganglion/pluginAbort -o NAME.wasm
//
// A plugin registers itself and exports what the host calls:
//
//   import { Message, Verdict, Want, register } from "./ganglion";
//   export { ganglion_abi_v1, ganglion_manifest, ganglion_alloc, ganglion_configure, ganglion_on_message } from "./ganglion";
//
//   register(`{"name": "upper", "version": "1",
//     "bindings": [{"boundary": "publish", "subjects": ["demo.>"]}]}`,
//     Want.PAYLOAD, (m: Message): Verdict => {
//       for (let i: u32 = 0; i < m.payload.length; i++) {
//         const c = m.payload[i];
//         if (c >= 97 && c <= 122) m.payload[i] = c - 32;
//       }
//       return m.replacePayload(m.payload);
//     });
//
// A message that only looks at bytes allocates nothing. What is allocated is
// collected between messages, so there is neither a shadow stack nor a pause inside
// of one. One message is handled at a time; there may be several instances, and what
// they share is the key-value store.

// ---- The host ---------------------------------------------------------------------

@external("ganglion_v1", "log")
declare function importLog(level: i32, p: usize, n: u32): void;
@external("ganglion_v1", "config_get")
declare function importConfigGet(key: usize, n: u32, out: usize, cap: u32): i32;
@external("ganglion_v1", "metric_add")
declare function importMetricAdd(name: usize, n: u32, by: i64): void;
@external("ganglion_v1", "metric_set")
declare function importMetricSet(name: usize, n: u32, v: f64): void;
@external("ganglion_v1", "kv_get")
declare function importKVGet(key: usize, n: u32, out: usize, cap: u32): i32;
@external("ganglion_v1", "kv_set")
declare function importKVSet(key: usize, n: u32, val: usize, size: u32, ttl: i64): i32;
@external("ganglion_v1", "kv_delete")
declare function importKVDelete(key: usize, n: u32): i32;
@external("ganglion_v1", "kv_add")
declare function importKVAdd(key: usize, n: u32, by: i64, ttl: i64): i64;
@external("ganglion_v1", "emit")
declare function importEmit(s: usize, sn: u32, r: usize, rn: u32, h: usize, hn: u32, d: usize, dn: u32): i32;
@external("ganglion_v1", "now_ns")
declare function importNow(): i64;

/** What the host refuses with. */
export namespace Refused {
  export const NOT_FOUND: i32 = -1;
  export const DENIED: i32 = -2;
  export const TOO_LARGE: i32 = -3;
  export const INVALID: i32 = -4;
  export const FULL: i32 = -5;
}

/** Levels of log. */
export namespace Level {
  export const DEBUG: i32 = -4;
  export const INFO: i32 = 0;
  export const WARN: i32 = 4;
  export const ERROR: i32 = 8;
}

/** Writes a line to the host's log. */
export function log(level: i32, text: string): void {
  const b = Bytes.of(text);
  importLog(level, b.ptr, b.length);
}

/** A value read from the host; status is 0, or why there is none. */
export class Value {
  constructor(public status: i32, public bytes: Bytes) {}
}

function read(get: (key: usize, n: u32, out: usize, cap: u32) => i32, key: string): Value {
  const k = Bytes.of(key);
  let b = Bytes.alloc(128);
  let n = get(k.ptr, k.length, b.ptr, b.length);
  while (n >= 0 && <u32>n > b.length) {
    b = Bytes.alloc(n); // another instance may make it longer meanwhile: ask again
    n = get(k.ptr, k.length, b.ptr, b.length);
  }
  b.length = max(n, 0);
  return new Value(min(n, 0), b);
}

/** A value of the configuration: strings bare, others as JSON. */
export function configGet(key: string): Value {
  return read((k: usize, n: u32, out: usize, cap: u32): i32 => importConfigGet(k, n, out, cap), key);
}

/** A value of the configuration as text, or fallback. */
export function configString(key: string, fallback: string): string {
  const v = configGet(key);
  return v.status < 0 ? fallback : v.bytes.toString();
}

/** Adds to a counter in the host's metrics. */
export function metricAdd(name: string, by: i64): void {
  const b = Bytes.of(name);
  importMetricAdd(b.ptr, b.length, by);
}

/** Sets a gauge in the host's metrics. */
export function metricSet(name: string, v: f64): void {
  const b = Bytes.of(name);
  importMetricSet(b.ptr, b.length, v);
}

/** A value of the plugin's store. */
export function kvGet(key: string): Value {
  return read((k: usize, n: u32, out: usize, cap: u32): i32 => importKVGet(k, n, out, cap), key);
}

/** Sets a value for ttl milliseconds, 0 is for ever. Returns 0, or why not. */
export function kvSet(key: string, value: Bytes, ttl: i64 = 0): i32 {
  const k = Bytes.of(key);
  return importKVSet(k.ptr, k.length, value.ptr, value.length, ttl);
}

/** Removes a value. Returns 1 when it was there, 0 when not, or why not. */
export function kvDelete(key: string): i32 {
  const k = Bytes.of(key);
  return importKVDelete(k.ptr, k.length);
}

/**
 * Adds to a decimal number, which is 0 when it isn't there, and returns the sum, or
 * why not. No other instance comes between. ttl counts for a new key.
 */
export function kvAdd(key: string, by: i64, ttl: i64 = 0): i64 {
  const k = Bytes.of(key);
  return importKVAdd(k.ptr, k.length, by, ttl);
}

/** Publishes a message of the plugin's own. Returns 0, or why not. */
export function emit(subject: string, payload: Bytes, reply: string = "", headers: string = ""): i32 {
  const s = Bytes.of(subject), r = Bytes.of(reply), h = Bytes.of(headers);
  return importEmit(s.ptr, s.length, r.ptr, r.length, h.ptr, h.length, payload.ptr, payload.length);
}

/** Unix nanoseconds, or Refused.DENIED ("clock" in the manifest). */
export function now(): i64 {
  return importNow();
}

// ---- Bytes ------------------------------------------------------------------------

/** Bytes somewhere in the memory: a part of a message, or a buffer of its own. */
export class Bytes {
  ptr: usize = 0;
  length: u32 = 0;
  private buffer: ArrayBuffer | null = null; // keeps it alive

  /** New bytes, all 0. */
  static alloc(n: u32): Bytes {
    const b = new Bytes(), buffer = new ArrayBuffer(n);
    b.buffer = buffer;
    b.ptr = changetype<usize>(buffer);
    b.length = n;
    return b;
  }

  /** The text as UTF-8. */
  static of(text: string): Bytes {
    const n = String.UTF8.byteLength(text), b = Bytes.alloc(n);
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, b.ptr);
    return b;
  }

  /** The bytes read as UTF-8. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.ptr, this.length);
  }

  @operator("[]")
  get(i: u32): u8 {
    return i < this.length ? load<u8>(this.ptr + i) : 0;
  }

  @operator("[]=")
  set(i: u32, c: u8): void {
    if (i < this.length) store<u8>(this.ptr + i, c);
  }

  /** The bytes from start to end, which stay where they are. */
  slice(start: u32, end: u32 = u32.MAX_VALUE): Bytes {
    const b = new Bytes();
    if (end > this.length) end = this.length;
    if (start > end) start = end;
    b.buffer = this.buffer;
    b.ptr = this.ptr + start;
    b.length = end - start;
    return b;
  }

  /** Where c is, or length. */
  indexOf(c: u8, from: u32 = 0): u32 {
    let i = from;
    while (i < this.length && load<u8>(this.ptr + i) != c) i++;
    return i;
  }

  /** Whether text, which is ASCII, is at offset at. It allocates nothing. */
  has(at: u32, text: string): bool {
    if (at > this.length || <u32>text.length > this.length - at) return false;
    for (let i = 0; i < text.length; i++) {
      if (<i32>load<u8>(this.ptr + at + i) != text.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Whether the bytes of other are at offset at. */
  matches(at: u32, other: Bytes): bool {
    if (at > this.length || other.length > this.length - at) return false;
    return memory.compare(this.ptr + at, other.ptr, other.length) == 0;
  }

  /** Whether the bytes are this text, which is ASCII. It allocates nothing. */
  equals(text: string): bool {
    return this.length == <u32>text.length && this.has(0, text);
  }

  /** @internal */
  point(frame: usize, n: u32, field: usize): bool {
    const at = load<u32>(frame + field), size = load<u32>(frame + field + 4);
    this.ptr = frame + at;
    this.length = size;
    return at <= n && size <= n - at;
  }
}

/** Text or bytes that are being written. */
export class Writer {
  private room: Bytes;
  private n: u32 = 0;

  constructor(cap: u32 = 128) {
    this.room = Bytes.alloc(cap);
  }

  private reserve(more: u32): usize {
    const need = this.n + more;
    if (need > this.room.length) {
      const room = Bytes.alloc(2 * need);
      memory.copy(room.ptr, this.room.ptr, this.n);
      this.room = room;
    }
    const at = this.room.ptr + this.n;
    this.n = need;
    return at;
  }

  byte(c: u8): Writer {
    store<u8>(this.reserve(1), c);
    return this;
  }

  bytes(b: Bytes): Writer {
    memory.copy(this.reserve(b.length), b.ptr, b.length);
    return this;
  }

  text(s: string): Writer {
    const n = String.UTF8.byteLength(s);
    String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, this.reserve(n));
    return this;
  }

  /** A number as JSON has it: without a fraction when it has none. */
  number(v: f64): Writer {
    if (!isFinite(v)) return this.text("null");
    if (v == Math.floor(v) && Math.abs(v) < 1e15) return this.text((<i64>v).toString());
    return this.text(v.toString());
  }

  /** The text as a JSON string. */
  quote(s: string): Writer {
    const b = Bytes.of(s);
    this.byte(34);
    for (let i: u32 = 0; i < b.length; i++) {
      const c = b[i];
      if (c == 34 || c == 92) this.byte(92).byte(c);
      else if (c < 32) this.text("\\u00").byte(48 + (c >> 4)).byte(c % 16 < 10 ? 48 + (c % 16) : 87 + (c % 16));
      else this.byte(c);
    }
    return this.byte(34);
  }

  /** What was written. It is the writer's: more writing may change it. */
  done(): Bytes {
    return this.room.slice(0, this.n);
  }
}

// ---- Messages and verdicts --------------------------------------------------------

/** Where a message is. */
export namespace Boundary {
  export const PUBLISH: u8 = 1;
  export const DELIVER: u8 = 2;
  export const LEAF_OUT: u8 = 3;
  export const LEAF_IN: u8 = 4;
  export const CONNECT: u8 = 5;
  export const SUBSCRIBE: u8 = 6;
}

/** What of a message is copied into the plugin. */
export namespace Want {
  export const NOTHING: i64 = 0;
  export const SUBJECT: i64 = 1;
  export const REPLY: i64 = 2;
  export const HEADERS: i64 = 4;
  export const PAYLOAD: i64 = 8;
  export const FACTS: i64 = 16;
  export const ALL: i64 = 31;
}

/** Bits of Message.present. */
export namespace Has {
  export const REPLY: u8 = 1;
  export const HEADERS: u8 = 2;
  export const PAYLOAD: u8 = 4;
  export const FACTS: u8 = 8;
}

/** What becomes of a message: one of these, or what a method of Message returns. */
export type Verdict = i64;

/** It goes on as it is. */
export const PASS: Verdict = 0;
/** It ends here, and nobody is told. */
export const DROP: Verdict = 1;
/** The plugin failed; the error policy of its binding decides. */
export const FAIL: Verdict = -4;

const result = memory.data(48, 8);

/**
 * A message at a boundary. Its parts are borrowed until the next one, and may be
 * changed in place; what wasn't asked for is empty.
 */
export class Message {
  boundary: u8 = 0;
  /** What the message has, asked for or not: bits of Has. */
  present: u8 = 0;
  /** How many plugins' emits led to it. */
  hops: u32 = 0;
  subject: Bytes = new Bytes(); // at subscribe, the pattern
  reply: Bytes = new Bytes(); // at subscribe, the queue group
  headers: Bytes = new Bytes(); // as they go over the wire, NATS/1.0 to the empty line
  payload: Bytes = new Bytes();
  facts: Bytes = new Bytes(); // of the connection, a JSON object
  headersSize: u32 = 0;
  payloadSize: u32 = 0;

  private replaced: u8 = 0;
  private newSubject: Bytes | null = null; // what the host was shown stays alive
  private newReply: Bytes | null = null;
  private newHeaders: Bytes | null = null;
  private newPayload: Bytes | null = null;
  private reason: Bytes | null = null;

  /** Ends it here and tells the publisher why. A code is 100 to 599; 0 is 403. */
  reject(code: u16, reason: string): Verdict {
    if (code == 0 && reason.length == 0) return 2;
    const b = Bytes.of(reason);
    this.reason = b;
    memory.fill(result, 0, 48);
    store<u8>(result, 2);
    store<u16>(result, code, 2);
    store<u32>(result, <u32>b.ptr, 40);
    store<u32>(result, b.length > 256 ? 256 : b.length, 44);
    return (<i64>result << 32) | 48;
  }

  setSubject(b: Bytes): void {
    this.newSubject = b;
    this.put(0, b);
  }

  /** The reply subject; of length 0 it is taken away. */
  setReply(b: Bytes): void {
    this.newReply = b;
    this.put(1, b);
  }

  /** All headers, from NATS/1.0 to the empty line; of length 0 they are taken away. */
  setHeaders(b: Bytes): void {
    this.newHeaders = b;
    this.put(2, b);
  }

  setPayload(b: Bytes): void {
    this.newPayload = b;
    this.put(3, b);
  }

  /** Lets it go on with what was set. */
  replace(): Verdict {
    if (this.replaced == 0) return PASS;
    store<u32>(result, 3 | (<u32>this.replaced << 8));
    return (<i64>result << 32) | 48;
  }

  /** Lets it go on with this payload, and what was set. */
  replacePayload(b: Bytes): Verdict {
    this.setPayload(b);
    return this.replace();
  }

  /** Lets it go on to this subject, and with what was set. */
  replaceSubject(b: Bytes): Verdict {
    this.setSubject(b);
    return this.replace();
  }

  /** The first header of that name, letters being as they are; null without one. */
  header(name: string): Bytes | null {
    const line = findHeader(this.headers, name);
    if (!line) return null;
    let start: u32 = name.length + 1, end = line.length;
    while (start < end && (line[start] == 32 || line[start] == 9)) start++;
    while (start < end && line[end - 1] <= 32) end--;
    return line.slice(start, end);
  }

  /** Sets the first header of that name, or a new one. Headers must be wanted. */
  setHeader(name: string, value: Bytes): void {
    let from = (this.replaced & 4) != 0 ? this.newHeaders! : this.headers;
    if (from.length == 0) from = Bytes.of("NATS/1.0\r\n\r\n");
    const line = findHeader(from, name);
    const start: u32 = line ? <u32>(line.ptr - from.ptr) : from.length - min<u32>(from.length, 2);
    const end: u32 = line ? start + line.length : start;
    const w = new Writer(from.length + value.length + 64);
    w.bytes(from.slice(0, start)).text(name).text(": ").bytes(value).text("\r\n").bytes(from.slice(end));
    this.setHeaders(w.done());
  }

  private put(part: i32, b: Bytes): void {
    const at = result + 8 + 8 * part;
    store<u32>(at, <u32>b.ptr);
    store<u32>(at, b.length, 4);
    this.replaced |= <u8>1 << <u8>part;
  }

  /** @internal */
  decode(frame: usize, n: u32): bool {
    if (n < 64) return false;
    const head = load<u32>(frame);
    if ((head & 0xffff) != 1 || load<u32>(frame, 4) != n) return false;
    this.boundary = <u8>(head >> 16);
    this.present = <u8>(head >> 24);
    this.headersSize = load<u32>(frame, 48);
    this.payloadSize = load<u32>(frame, 52);
    this.hops = load<u32>(frame, 56);
    this.replaced = 0;
    return (
      this.subject.point(frame, n, 8) && this.reply.point(frame, n, 16) && this.headers.point(frame, n, 24) &&
      this.payload.point(frame, n, 32) && this.facts.point(frame, n, 40)
    );
  }
}

/** The line of the first header of that name, with its line end. */
function findHeader(block: Bytes, name: string): Bytes | null {
  let at = block.indexOf(10) + 1; // behind the status line
  while (at < block.length) {
    const next = block.indexOf(10, at) + 1;
    if (next > block.length) break;
    if (block.has(at, name) && block[at + name.length] == 58) return block.slice(at, next);
    at = next;
  }
  return null;
}

// ---- JSON -------------------------------------------------------------------------

/** JSON, looked at in place: a value is its text, of length 0 when there is none. */
export namespace json {
  /** Where the next byte that isn't space is, from i on. */
  export function skipSpace(b: Bytes, i: u32): u32 {
    while (i < b.length && (b[i] == 32 || (b[i] >= 9 && b[i] <= 13))) i++;
    return i;
  }

  /** Whether c can be of a number or a literal. */
  export function isPlain(c: u8): bool {
    return c > 32 && c != 44 && c != 58 && c != 34 && c != 91 && c != 93 && c != 123 && c != 125;
  }

  /**
   * Where the value that begins at i ends; i when there is none. Not all of it is
   * checked. Depth is a count, so that no text can exhaust the stack.
   */
  export function valueEnd(b: Bytes, i: u32): u32 {
    const start = i;
    let depth = 0;
    while (i < b.length) {
      const c = b[i];
      if (c == 34) {
        let p = b.ptr + i + 1;
        const end = b.ptr + b.length;
        while (p < end && load<u8>(p) != 34) p += load<u8>(p) == 92 ? 2 : 1;
        if (p >= end) return start;
        i = <u32>(p - b.ptr) + 1;
      } else if (c == 123 || c == 91) {
        depth++;
        i++;
        continue;
      } else if (c == 125 || c == 93) {
        if (depth-- == 0) return start;
        i++;
      } else if (depth > 0 && !isPlain(c)) {
        i++;
        continue;
      } else {
        const from = i;
        while (i < b.length && isPlain(b[i])) i++;
        if (i == from) return start;
      }
      if (depth == 0) return i;
    }
    return start;
  }

  /** Walks an array's items or an object's members: while (each.next()) ... */
  export class Each {
    /** The member's key, without its quotes and with its escapes. */
    key: Bytes = new Bytes();
    value: Bytes = new Bytes();
    private at: u32 = 0;
    private open: u8 = 0;

    constructor(private json: Bytes) {
      const i = skipSpace(json, 0);
      if (json[i] == 123 || json[i] == 91) {
        this.open = json[i];
        this.at = i + 1;
      }
    }

    next(): bool {
      const b = this.json;
      if (this.open == 0) return false;
      let i = skipSpace(b, this.at);
      if (b[i] == 44) i = skipSpace(b, i + 1);
      if (this.open == 123) {
        const end = valueEnd(b, i);
        if (b[i] != 34 || end == i) return false;
        this.key = b.slice(i + 1, end - 1);
        i = skipSpace(b, end);
        if (b[i] != 58) return false;
        i = skipSpace(b, i + 1);
      }
      const end = valueEnd(b, i);
      this.value = b.slice(i, end);
      this.at = end;
      return end > i;
    }
  }

  /** A member of an object; the key is ASCII and has no escapes. */
  export function get(object: Bytes, key: string): Bytes {
    const each = new Each(object);
    if (object[skipSpace(object, 0)] == 123) {
      while (each.next()) {
        if (each.key.equals(key)) return each.value;
      }
    }
    return new Bytes();
  }

  /** A number, or NaN when b is none. */
  export function number(b: Bytes): f64 {
    const c = b[b[0] == 45 ? 1 : 0];
    return c >= 48 && c <= 57 ? parseFloat(b.toString()) : NaN;
  }

  /** A string without its quotes and escapes; other values as they are. */
  export function text(b: Bytes): string {
    if (b.length < 2 || b[0] != 34) return b.toString();
    const inner = b.slice(1, b.length - 1);
    if (inner.indexOf(92) == inner.length) return inner.toString();
    const s = inner.toString();
    let out = "";
    for (let i = 0; i < s.length; i++) {
      if (s.charCodeAt(i) != 92) {
        out += s.charAt(i);
        continue;
      }
      const c = s.charCodeAt(++i);
      if (c == 117) {
        out += String.fromCharCode(<i32>parseInt(s.substr(i + 1, 4), 16));
        i += 4;
      } else {
        out += c == 110 ? "\n" : c == 116 ? "\t" : c == 114 ? "\r" : c == 98 ? "\b" : c == 102 ? "\f" : s.charAt(i);
      }
    }
    return out;
  }
}

// ---- Registration and exports -----------------------------------------------------

let manifest: Bytes = new Bytes();
let want: i64 = 0;
let handler: ((m: Message) => Verdict) | null = null;
let configurer: ((config: Bytes) => bool) | null = null;
let ticker: ((now: i64) => void) | null = null;
let closer: (() => void) | null = null;
let message: Message = new Message();
let configuration: Bytes = new Bytes();

/** Makes the module a plugin: its manifest (JSON), what it looks at, what it does. */
export function register(manifestJSON: string, wants: i64, onMessage: (m: Message) => Verdict): void {
  manifest = Bytes.of(manifestJSON);
  want = wants;
  handler = onMessage;
}

/** What is called once with the configuration, a JSON object; false refuses it. */
export function onConfigure(f: (config: Bytes) => bool): void {
  configurer = f;
}

/** What is called about once a second; export ganglion_on_tick too. */
export function onTick(f: (now: i64) => void): void {
  ticker = f;
}

/** What is called at the end; export ganglion_close too. */
export function onClose(f: () => void): void {
  closer = f;
}

/** What abort does: --use abort=ganglion/pluginAbort. It logs the text, and traps. */
export function pluginAbort(text: string | null, file: string | null, line: u32, column: u32): void {
  // Without memory from the heap: that may be what there is no more of.
  const out = memory.data(256);
  if (text !== null) {
    const n = String.UTF8.encodeUnsafe(changetype<usize>(text), min(text.length, 80), out);
    importLog(8, out, <u32>n);
  }
  unreachable();
}

// Messages are counted by what they may have allocated; with 64 KiB of that, or
// when the memory grew, what nobody holds is collected before the next one.
const collectAfter: u32 = 64 << 10;
let allocated: u32 = 0;
let pages: i32 = 0;

function collect(n: u32): void {
  allocated += 256 + 2 * n;
  if (allocated < collectAfter && memory.size() == pages) return;
  __collect();
  allocated = 0;
  pages = memory.size();
}

let room: usize = 0;

export function ganglion_abi_v1(): void {}

export function ganglion_manifest(): i64 {
  return (<i64>manifest.ptr << 32) | manifest.length;
}

export function ganglion_alloc(size: u32): usize {
  if (room != 0) heap.free(room);
  room = heap.alloc(size);
  return room;
}

export function ganglion_configure(ptr: usize, n: u32): i64 {
  configuration = Bytes.alloc(n);
  memory.copy(configuration.ptr, ptr, n);
  const f = configurer;
  if (f !== null && !f(configuration)) return FAIL;
  return handler === null ? FAIL : want;
}

export function ganglion_on_message(frame: usize, n: u32): i64 {
  collect(n);
  return message.decode(frame, n) ? handler!(message) : FAIL;
}

export function ganglion_on_tick(now: i64): void {
  collect(0);
  const f = ticker;
  if (f !== null) f(now);
}

export function ganglion_close(): void {
  const f = closer;
  if (f !== null) f();
}
