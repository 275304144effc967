// The conformance guest in AssemblyScript. What it does on which subject is written
// in ../README.md; it is the same in all languages.

import {
  Bytes, DROP, FAIL, Level, Message, PASS, Value, Verdict, Want, Writer, configString, emit, json, kvAdd, kvDelete, kvGet, kvSet,
  log, metricAdd, metricSet, now, onClose, onConfigure, onTick, register,
} from "../../../assemblyscript/ganglion";
export {
  ganglion_abi_v1, ganglion_manifest, ganglion_alloc, ganglion_configure, ganglion_on_message, ganglion_on_tick, ganglion_close,
} from "../../../assemblyscript/ganglion";

let configuration: Bytes = new Bytes();

onConfigure((config: Bytes): bool => {
  if (json.get(config, "fail").length > 0) {
    log(Level.ERROR, "told to fail");
    return false;
  }
  configuration = config;
  return true;
});
onTick((now: i64): void => metricSet("tick", <f64>now));
onClose((): void => log(Level.INFO, "closed"));

register(
  `{"name": "conformance", "version": "1", "description": "says \\"what\\" it \\\\ sees",
    "bindings": [{"boundary": "publish", "subjects": [">"], "publish_to": ["new.>"], "order": 7}, {"boundary": "connect"}],
    "emit": ["out.>"], "kv": 4096, "clock": true}`,
  Want.ALL, onMessage);

function answer(m: Message, status: i64, text: string): Verdict {
  return m.replacePayload(Bytes.of(status < 0 ? "error " + status.toString() : text));
}

function onMessage(m: Message): Verdict {
  if (!m.subject.has(0, "cmd.")) return describe(m);
  const cmd = m.subject.slice(4).toString();
  const p = m.payload;
  const text = p.toString();
  if (cmd == "pass") return PASS;
  if (cmd == "drop") return DROP;
  if (cmd == "reject") return m.reject(422, text);
  if (cmd == "reject.plain") return m.reject(0, "");
  if (cmd == "fail") return FAIL;
  if (cmd == "trap") throw new Error("told to trap");
  if (cmd == "replace.subject") return m.replaceSubject(p);
  if (cmd == "replace.reply") {
    m.setReply(p);
    return m.replace();
  }
  if (cmd == "replace.headers") {
    m.setHeaders(p);
    return m.replace();
  }
  if (cmd == "replace.payload") return m.replacePayload(new Writer().bytes(p).bytes(p).done());
  if (cmd == "replace.inplace") {
    for (let i: u32 = 0; i < p.length; i++) {
      if (p[i] >= 97 && p[i] <= 122) p[i] = p[i] - 32;
    }
    return m.replacePayload(p);
  }
  if (cmd == "replace.all") {
    m.setSubject(Bytes.of("new.subject"));
    m.setReply(Bytes.of("new.reply"));
    m.setHeaders(Bytes.of("NATS/1.0\r\nA: b\r\n\r\n"));
    m.setPayload(Bytes.of("new"));
    return m.replace();
  }
  if (cmd == "header") {
    const h = m.header(text);
    return answer(m, 0, "<" + (h ? h.toString() : "") + ">");
  }
  if (cmd == "header.set") {
    m.setHeader("Unit", p);
    return m.replace();
  }
  if (cmd == "config") return answer(m, 0, configString(text, "none"));
  if (cmd == "config.raw") return m.replacePayload(configuration);
  if (cmd == "log") {
    for (let level = Level.DEBUG; level <= Level.ERROR; level += 4) log(level, text);
    return PASS;
  }
  if (cmd == "metric.add") {
    metricAdd(text, 3);
    return PASS;
  }
  if (cmd == "metric.set") {
    metricSet(text, 2.5);
    return PASS;
  }
  if (cmd == "kv.get") {
    const v = kvGet(text);
    return answer(m, v.status, v.bytes.toString());
  }
  if (cmd == "kv.set") {
    const eq = p.indexOf(61);
    return answer(m, kvSet(p.slice(0, eq).toString(), p.slice(eq + 1), 1500), "ok");
  }
  if (cmd == "kv.delete") {
    const was = kvDelete(text);
    return answer(m, was, was.toString());
  }
  if (cmd == "kv.add") {
    const sum = kvAdd(text, 7, 60000);
    return answer(m, sum, sum.toString());
  }
  if (cmd == "emit") return answer(m, emit(text, Bytes.of("emitted"), "r", "NATS/1.0\r\nX: y\r\n\r\n"), "ok");
  if (cmd == "now") return answer(m, 0, now().toString());
  return describe(m);
}

function hex(w: Writer, name: string, b: Bytes): void {
  w.text(name);
  for (let i: u32 = 0; i < b.length; i++) {
    w.byte(<u8>"0123456789abcdef".charCodeAt(b[i] >> 4));
    w.byte(<u8>"0123456789abcdef".charCodeAt(b[i] & 15));
  }
  w.byte(10);
}

function describe(m: Message): Verdict {
  const w = new Writer();
  w.text("boundary ").number(m.boundary).text("\nhops ").number(m.hops);
  hex(w, "\nsubject ", m.subject);
  hex(w, "reply ", m.reply);
  hex(w, "headers ", m.headers);
  hex(w, "payload ", m.payload);
  hex(w, "facts ", m.facts);
  w.text("present ").number(m.present).text("\nsizes ").number(m.headersSize).text(" ").number(m.payloadSize).text("\n");
  return m.replacePayload(w.done());
}
