// redact masks members of JSON payloads, at any depth, on their way to those who
// receive them. The configuration:
//
//   {"fields": ["email", "phone"], "mask": "***"}
//
//   people.7 {"name":"Ann","email":"ann@example.com","kin":[{"phone":4711}]}
//     -> {"name":"Ann","email":"***","kin":[{"phone":"***"}]}
//
// mask is "***" if nothing is said. What is no JSON is not let through: drop, at
// deliver, and a reject with 422 at other boundaries.

import {
  Boundary, Bytes, DROP, Level, Message, PASS, Verdict, Want, Writer, configString, json, log, onConfigure, register,
} from "../../../plugins/sdk/assemblyscript/ganglion";
export {
  ganglion_abi_v1, ganglion_manifest, ganglion_alloc, ganglion_configure, ganglion_on_message,
} from "../../../plugins/sdk/assemblyscript/ganglion";

let fields: Bytes[] = [];
let mask: Bytes = new Bytes(); // a JSON string

onConfigure((config: Bytes): bool => {
  const each = new json.Each(json.get(config, "fields"));
  while (each.next()) fields.push(Bytes.of(json.text(each.value)));
  mask = new Writer().quote(configString("mask", "***")).done();
  if (fields.length == 0) log(Level.ERROR, 'there are no fields; give some, as {"fields": ["email"]}');
  return fields.length > 0;
});

register(
  `{"name": "redact", "version": "1", "description": "masks members of JSON payloads",
    "bindings": [{"boundary": "deliver", "subjects": ["people.>"]}]}`,
  Want.PAYLOAD, (m: Message): Verdict => {
    if (m.payload.length == 0) return PASS;
    const out = redact(m.payload);
    if (out) return out.length == 0 ? PASS : m.replacePayload(out);
    return m.boundary == Boundary.DELIVER ? DROP : m.reject(422, "the payload is no JSON");
  });

/** Whether the string at start to end, quotes included, is one of the fields. */
function masked(b: Bytes, start: u32, end: u32): bool {
  let escape = start;
  while (escape < end && b[escape] != 92) escape++;
  if (escape < end) {
    const key = Bytes.of(json.text(b.slice(start, end)));
    for (let i = 0; i < fields.length; i++) {
      if (fields[i].length == key.length && key.matches(0, fields[i])) return true;
    }
    return false;
  }
  for (let i = 0; i < fields.length; i++) {
    if (fields[i].length == end - start - 2 && b.matches(start + 1, fields[i])) return true;
  }
  return false;
}

/**
 * The payload with what is to be masked, empty when there is nothing, null when it
 * is no JSON. It reads the tokens without recursion: a string before a colon is a
 * key, however deep. What it doesn't understand it doesn't let through, because
 * somebody else may.
 */
function redact(b: Bytes): Bytes | null {
  let out: Writer | null = null;
  let copied: u32 = 0, i: u32 = 0;
  if (json.valueEnd(b, json.skipSpace(b, 0)) == json.skipSpace(b, 0)) return null;
  while (i < b.length) {
    const c = b[i];
    if (c == 34) {
      const end = json.valueEnd(b, i);
      const colon = json.skipSpace(b, end);
      if (end == i) return null;
      if (b[colon] == 58 && masked(b, i, end)) {
        const start = json.skipSpace(b, colon + 1);
        i = json.valueEnd(b, start);
        if (i == start) return null;
        if (!out) out = new Writer(b.length + 64);
        out.bytes(b.slice(copied, start)).bytes(mask);
        copied = i;
        continue;
      }
      i = end;
    } else if (json.isPlain(c)) {
      const end = json.valueEnd(b, i);
      if (!literal(b, i, end - i)) return null;
      i = end;
    } else {
      i++;
    }
  }
  return out ? out.bytes(b.slice(copied)).done() : new Bytes();
}

/** Whether n bytes at i are a number, true, false or null. */
function literal(b: Bytes, i: u32, n: u32): bool {
  if ((n == 4 && (b.has(i, "true") || b.has(i, "null"))) || (n == 5 && b.has(i, "false"))) return true;
  let digits = 0;
  for (let at = i; at < i + n; at++) {
    const c = b[at];
    if (c >= 48 && c <= 57) digits++;
    else if (c != 45 && c != 46 && c != 43 && c != 101 && c != 69) return false; // - . + e E
  }
  return digits > 0;
}
