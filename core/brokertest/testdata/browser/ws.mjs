// Checks a broker's WebSocket listener with the client that browsers use:
//
//	node ws.mjs ws[s]://host:port [deflate|plain] [ws|native] [short]
//
// deflate and plain say what the handshake must negotiate when it offers
// permessage-deflate; ws and native, whose WebSocket is used; short, how many bytes
// the largest payload that goes through compressed falls short of max_payload. It
// prints a line per check and ends with a status other than 0 when one failed. For
// the last check it prints "restart" and expects the connection to be cut and the
// address to come back.
import assert from "node:assert/strict";
import { createInbox, deadline, deferred, headers, NoRespondersError, RequestError, TimeoutError, wsconnect } from "@nats-io/nats-core";
import { WebSocket } from "ws";

const [servers, compression = "plain", whose = "ws", short = "0"] = process.argv.slice(2);
const soon = 10_000; // milliseconds
if (whose === "ws") globalThis.WebSocket = WebSocket;
assert.ok(globalThis.WebSocket, "this Node has no WebSocket of its own");

const sockets = []; // what was opened
async function wsFactory(url) {
  const socket = new globalThis.WebSocket(url);
  sockets.push(socket);
  return { socket, encrypted: url.startsWith("wss:") };
}
const dial = (options = {}) => wsconnect({ servers, timeout: soon, wsFactory, ...options });

// take returns the next n messages of sub.
async function take(sub, n) {
  const list = [];
  const all = (async () => {
    for await (const m of sub) {
      list.push(m);
      if (list.length === n) break;
    }
  })();
  await deadline(all, soon);
  return list;
}

const texts = (list) => list.map((m) => m.string());
const noise = (n) => { // what does not compress
  const b = new Uint8Array(n);
  for (let i = 0, x = 1; i < n; i++) b[i] = (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 16;
  return b;
};

const checks = {
  async connect() {
    const nc = await dial({ name: "browser" });
    assert.equal(nc.info.proto, 1);
    assert.equal(nc.info.headers, true);
    assert.ok(nc.info.client_id > 0);
    await nc.close();
    assert.ok(nc.isClosed());
  },

  async "negotiate compression"() {
    const nc = await dial();
    const got = sockets.at(-1).extensions;
    if (compression === "deflate") assert.match(got, /^permessage-deflate\b/);
    else assert.equal(got, "");
    await nc.close();
  },

  async "the client's own socket"() {
    const nc = await wsconnect({ servers, timeout: soon });
    assert.ok(await nc.rtt() >= 0);
    await nc.close();
  },

  async "publish and subscribe"() {
    const nc = await dial();
    const sub = nc.subscribe("ws.plain.*", { max: 3 });
    for (const s of ["a", "ä", ""]) nc.publish("ws.plain.x", s);
    assert.deepEqual(texts(await take(sub, 3)), ["a", "ä", ""]);
    await nc.close();
  },

  async "in order"() {
    const [nc, from] = [await dial(), await dial()];
    const sub = nc.subscribe("ws.order");
    await nc.flush();
    for (let i = 0; i < 5000; i++) from.publish("ws.order", String(i));
    const got = texts(await take(sub, 5000));
    assert.ok(got.every((s, i) => s === String(i)));
    await Promise.all([nc.close(), from.close()]);
  },

  async "request and reply"() {
    const [nc, service] = [await dial(), await dial()];
    service.subscribe("ws.service", { callback: (_, m) => m.respond("re: " + m.string()) });
    await service.flush();
    for (const noMux of [false, true]) {
      const m = await nc.request("ws.service", "hi", { timeout: soon, noMux });
      assert.equal(m.string(), "re: hi");
    }
    await Promise.all([nc.close(), service.close()]);
  },

  async headers() {
    const nc = await dial();
    const sub = nc.subscribe("ws.headers", { max: 1 });
    const h = headers();
    h.append("Multi", "one");
    h.append("Multi", "two");
    h.set("Other", "ä: b");
    nc.publish("ws.headers", "body", { headers: h, reply: createInbox() });
    const [m] = await take(sub, 1);
    assert.equal(m.string(), "body");
    assert.match(m.reply, /^_INBOX\./);
    assert.deepEqual(m.headers.values("Multi"), ["one", "two"]);
    assert.equal(m.headers.get("Other"), "ä: b");
    await nc.close();
  },

  async "queue group"() {
    const conns = await Promise.all([dial(), dial(), dial()]);
    const subs = conns.map((nc) => nc.subscribe("ws.queue", { queue: "q" }));
    await Promise.all(conns.map((nc) => nc.flush()));
    const nc = await dial();
    for (let i = 0; i < 300; i++) nc.publish("ws.queue");
    await nc.flush();
    await Promise.all(conns.map((nc) => nc.flush()));
    const counts = subs.map((s) => s.getReceived());
    assert.equal(counts.reduce((a, b) => a + b), 300);
    assert.ok(counts.every((n) => n > 20), `spread ${counts}`);
    await Promise.all([nc, ...conns].map((nc) => nc.close()));
  },

  async "no responders"() {
    const nc = await dial();
    for (const noMux of [false, true]) {
      await assert.rejects(nc.request("ws.nobody", "", { timeout: soon, noMux }),
        (err) => err instanceof NoRespondersError || err instanceof RequestError && err.isNoResponders());
    }
    nc.subscribe("ws.silent");
    await assert.rejects(nc.request("ws.silent", "", { timeout: 100 }), (err) => err instanceof TimeoutError || err.cause instanceof TimeoutError);
    await nc.close();
  },

  async "drain a subscription"() {
    const nc = await dial();
    const sub = nc.subscribe("ws.drain");
    for (let i = 0; i < 100; i++) nc.publish("ws.drain", String(i));
    const drained = sub.drain();
    for (let i = 0; i < 100; i++) nc.publish("ws.drain", "late");
    let n = 0;
    for await (const m of sub) assert.equal(m.string(), String(n++));
    await deadline(drained, soon);
    assert.equal(n, 100);
    await nc.close();
  },

  async "drain a connection"() {
    const [nc, from] = [await dial(), await dial()];
    let n = 0;
    nc.subscribe("ws.drains", { callback: (_, m) => { n++; m.respond("ok"); } });
    await nc.flush();
    const answers = from.subscribe("ws.answers");
    for (let i = 0; i < 100; i++) from.publish("ws.drains", "", { reply: "ws.answers" });
    await from.flush();
    await deadline(nc.drain(), soon);
    assert.equal(n, 100);
    assert.ok(nc.isClosed());
    assert.equal((await take(answers, 100)).length, 100);
    await from.close();
  },

  async "large payloads"() {
    const [nc, from] = [await dial(), await dial()];
    const max = nc.info.max_payload;
    assert.equal(max, 1 << 20);
    const sub = nc.subscribe("ws.large", { max: 2 });
    await nc.flush();
    const most = compression === "plain" ? max : max - Number(short);
    const bodies = [new Uint8Array(most).fill(7), noise(most)];
    for (const b of bodies) {
      from.publish("ws.large", b);
      await from.flush(); // a frame of its own
    }
    const got = await take(sub, 2);
    bodies.forEach((b, i) => assert.ok(Buffer.compare(b, got[i].data) === 0, `payload ${i}`));
    await Promise.all([nc.close(), from.close()]);
  },

  async reconnect() {
    const nc = await dial({ reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1 });
    const sub = nc.subscribe("ws.again");
    await nc.flush();
    const [gone, back] = [deferred(), deferred()];
    (async () => {
      for await (const s of nc.status()) {
        if (s.type === "disconnect") gone.resolve();
        if (s.type === "reconnect") back.resolve();
      }
    })();
    console.log("restart");
    await deadline(gone, soon);
    await deadline(back, soon);
    await nc.flush(); // the subscription is there again
    const from = await dial();
    from.publish("ws.again", "after");
    assert.deepEqual(texts(await take(sub, 1)), ["after"]);
    await from.close();
    await nc.close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await deadline(check(), 3 * soon);
    console.log("ok", name);
  } catch (err) {
    failed++;
    console.log("FAIL", name, err);
  }
}
console.log("done", Object.keys(checks).length);
process.exit(failed ? 1 : 0);
