// Checks of the op splitter that nats.js exports, which is beside as nats.mjs:
//
//	node ops.mjs [seed]
import { webcrypto } from "node:crypto";

globalThis.self = globalThis; // nats.js is made for browsers
globalThis.crypto ??= webcrypto;
const { OpSplitter, WebTransportLink } = await import("./nats.mjs");

let seed = Number(process.argv[2] ?? Date.now() % 1e9);
console.log(`seed ${seed}`);

// random returns a whole number below n (mulberry32).
function random(n) {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

const bytes = (s) => Buffer.from(s, "latin1");
const text = (b) => Buffer.from(b).toString("latin1");

function check(name, f) {
  try {
    f();
    console.log("ok  ", name);
  } catch (err) {
    console.log("FAIL", name, err);
  }
}

function same(got, want, what) {
  if (got !== want) throw new Error(`${what}: got ${JSON.stringify(got.slice(0, 200))}, want ${JSON.stringify(want.slice(0, 200))}`);
}

// payload has line ends and what looks like ops in it.
function payload() {
  const parts = ["\r\n", "\n", "MSG a 1 5\r\n", "PING\r\n", "x", "\0\xff", "HMSG"];
  let s = "";
  for (let n = random(12); n > 0; n--) s += parts[random(parts.length)];
  return random(20) === 0 ? s + "y".repeat(random(70_000)) : s;
}

function op() {
  const p = payload();
  const blank = [" ", "\t", "  "][random(3)];
  switch (random(9)) {
    case 0: return "PING\r\n";
    case 1: return "PONG\r\n";
    case 2: return "+OK\r\n";
    case 3: return "-ERR 'Permissions Violation for Subscription to \"a b 77\"'\r\n";
    case 4: return `INFO {"server_id":"M","max_payload":1048576}\r\n`;
    case 5: return `HMSG a.b 9 reply.to 12 ${12 + p.length}\r\nNATS/1.0\r\n\r\n${p}\r\n`;
    case 6: return `msg${blank}a${blank}1${blank}${p.length}${blank}\r\n${p}\r\n`;
    case 7: return `MSG a 1 r ${p.length}\n${p}\r\n`;
    default: return `MSG a.b.c 123 ${p.length}\r\n${p}\r\n`;
  }
}

// split pushes s, cut by cut(rest), and returns what came after each piece.
function split(s, cut) {
  const runs = [];
  const ops = new OpSplitter((b) => runs.push(text(b)));
  const b = bytes(s);
  for (let at = 0; at < b.length;) {
    const n = cut(b.length - at);
    ops.push(Uint8Array.from(b.subarray(at, at + n)));
    at += n;
  }
  return { runs, within: ops.within };
}

check("random cuts give whole ops, all of them, in order", () => {
  let ends = 0;
  for (let round = 0; round < 400; round++) {
    const ops = Array.from({ length: 1 + random(30) }, op);
    const s = ops.join("");
    const boundaries = new Set();
    ops.reduce((at, o) => (boundaries.add(at + o.length), at + o.length), 0);
    const most = [1, 3, 17, 400, 5000, 100_000][random(6)];
    const { runs, within } = split(s, (rest) => 1 + random(Math.min(most, rest)));
    same(runs.join(""), s, `round ${round}`);
    if (within) throw new Error(`round ${round}: within an op at the end`);
    let at = 0;
    for (const r of runs) {
      at += r.length;
      ends++;
      if (!boundaries.has(at)) throw new Error(`round ${round}: a run ends amid an op, at ${at}`);
    }
  }
  if (ends < 1000) throw new Error(`only ${ends} runs`);
});

check("streams that take turns do not mix their ops", () => {
  for (let round = 0; round < 100; round++) {
    const out = [];
    const streams = Array.from({ length: 3 }, (_, i) => ({
      b: bytes(Array.from({ length: 40 }, (_, k) => `MSG s${i} ${i} ${String(k).length + 4}\r\n${k}\r\nx\n\r\n`).join("")),
      at: 0,
      ops: new OpSplitter((b) => out.push(text(b))),
    }));
    for (let open = streams; open.length > 0; open = streams.filter((s) => s.at < s.b.length)) {
      const s = open[random(open.length)];
      const n = 1 + random(40);
      s.ops.push(s.b.subarray(s.at, s.at + n));
      s.at += n;
    }
    const next = [0, 0, 0];
    const all = out.join("");
    let at = 0;
    for (const m of all.matchAll(/MSG s(\d) \1 \d+\r\n(\d+)\r\nx\n\r\n/g)) {
      if (m.index !== at || Number(m[2]) !== next[m[1]]++) throw new Error(`round ${round}: ${m[0]} at ${m.index}, expected at ${at}`);
      at += m[0].length;
    }
    if (at !== all.length || next.some((n) => n !== 40)) throw new Error(`round ${round}: ${next}`);
  }
});

check("a large payload in small pieces", () => {
  const s = `MSG a 1 ${4 << 20}\r\n${"z".repeat(4 << 20)}\r\nPING\r\n`;
  same(split(s, (rest) => Math.min(rest, 1000)).runs.join(""), s, "4 MiB");
});

check("half an op is held", () => {
  for (const s of ["MSG a 1 5\r\nhello\r", "MSG a 1 5\r\n", "MSG a", "PING", "MSG a 1 0\r\n\r"]) {
    const { runs, within } = split(s, (rest) => rest);
    same(runs.join(""), "", s);
    if (!within) throw new Error(`${s}: nothing is held`);
  }
});

check("noise is refused", () => {
  for (const s of ["MSG a 1 x\r\n", "MSG\r\n", "MSG a 1 -5\r\n", "MSG a 1 5x\r\n", "HMSG a 1 12 1e3\r\n", "MSG a 1 99999999999\r\n", "MSG a5\r\n", "x".repeat((1 << 20) + 1)]) {
    let failed = false;
    try {
      split(s, (rest) => rest);
    } catch {
      failed = true;
    }
    if (!failed) throw new Error(`${s.slice(0, 40)} was taken`);
  }
});

check("the transport is exported", () => {
  if (typeof WebTransportLink.open !== "function") throw new Error("WebTransportLink.open is missing");
});

console.log("done");
