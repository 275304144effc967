// Checks a broker with the NATS client for JavaScript:
//
//	node checks.mjs host:port
//
// It prints a line per check and ends with a status other than 0 when one
// failed. For the last check it prints "restart" and expects the broker on that
// address to be replaced by another.
import assert from "node:assert/strict";
import { connect, deferred, deadline, headers, NoRespondersError, RequestError } from "@nats-io/transport-node";

const servers = process.argv[2];
const soon = 10_000; // milliseconds
const dial = (options = {}) => connect({ servers, timeout: soon, ...options });

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

const checks = {
  async connect() {
    const nc = await dial({ name: "js" });
    assert.equal(nc.info.proto, 1);
    assert.equal(nc.info.headers, true);
    assert.ok(nc.info.client_id > 0);
    assert.equal(nc.getServer(), servers);
    await nc.close();
    assert.ok(nc.isClosed());
  },

  async "publish and subscribe"() {
    const nc = await dial();
    const sub = nc.subscribe("js.plain", { max: 3 });
    for (const s of ["a", "ä", ""]) nc.publish("js.plain", s);
    assert.deepEqual(texts(await take(sub, 3)), ["a", "ä", ""]);
    await nc.close();
  },

  async wildcards() {
    const nc = await dial();
    const one = nc.subscribe("js.wild.*.end");
    const rest = nc.subscribe("js.wild.>");
    for (const s of ["a.end", "a.b.end", "b"]) nc.publish("js.wild." + s, s);
    await nc.flush();
    assert.equal(one.getReceived(), 1);
    assert.equal(rest.getReceived(), 3);
    assert.deepEqual((await take(rest, 3)).map((m) => m.subject), ["js.wild.a.end", "js.wild.a.b.end", "js.wild.b"]);
    await nc.close();
  },

  async "queue group"() {
    const conns = await Promise.all([dial(), dial(), dial()]);
    const subs = conns.map((nc) => nc.subscribe("js.queue", { queue: "q" }));
    await Promise.all(conns.map((nc) => nc.flush()));
    const nc = await dial();
    for (let i = 0; i < 300; i++) nc.publish("js.queue");
    await nc.flush();
    await Promise.all(conns.map((nc) => nc.flush()));
    const counts = subs.map((s) => s.getReceived());
    assert.equal(counts.reduce((a, b) => a + b), 300);
    assert.ok(counts.every((n) => n > 20), `spread ${counts}`);
    await Promise.all([nc, ...conns].map((nc) => nc.close()));
  },

  async "request and reply"() {
    const nc = await dial();
    nc.subscribe("js.service", { callback: (_, m) => m.respond("re: " + m.string()) });
    for (const noMux of [false, true]) {
      const m = await nc.request("js.service", "hi", { timeout: soon, noMux });
      assert.equal(m.string(), "re: hi");
    }
    await nc.close();
  },

  async "no responders"() {
    const nc = await dial();
    for (const noMux of [false, true]) {
      await assert.rejects(nc.request("js.nobody", "", { timeout: soon, noMux }),
        (err) => err instanceof NoRespondersError || err instanceof RequestError && err.isNoResponders());
    }
    await nc.close();
  },

  async headers() {
    const nc = await dial();
    const sub = nc.subscribe("js.headers", { max: 1 });
    const h = headers();
    h.append("Multi", "one");
    h.append("Multi", "two");
    h.set("Other", "ä: b");
    nc.publish("js.headers", "body", { headers: h });
    const [m] = await take(sub, 1);
    assert.equal(m.string(), "body");
    assert.deepEqual(m.headers.values("Multi"), ["one", "two"]);
    assert.equal(m.headers.get("Other"), "ä: b");
    await nc.close();
  },

  async "no echo"() {
    const nc = await dial({ noEcho: true });
    const sub = nc.subscribe("js.echo");
    nc.publish("js.echo");
    await nc.flush();
    assert.equal(sub.getReceived(), 0);
    await nc.close();
  },

  async "unsubscribe after a number"() {
    const nc = await dial();
    const sub = nc.subscribe("js.max", { max: 2 });
    for (let i = 0; i < 5; i++) nc.publish("js.max", String(i));
    await nc.flush();
    assert.deepEqual(texts(await take(sub, 2)), ["0", "1"]);
    assert.equal(nc.stats().inMsgs, 2);
    await nc.close();
  },

  async "drain a subscription"() {
    const nc = await dial();
    const sub = nc.subscribe("js.drain");
    for (let i = 0; i < 100; i++) nc.publish("js.drain", String(i));
    const drained = sub.drain();
    for (let i = 0; i < 100; i++) nc.publish("js.drain", "late");
    let n = 0;
    for await (const m of sub) assert.equal(m.string(), String(n++));
    await deadline(drained, soon);
    assert.equal(n, 100);
    await nc.close();
  },

  async "drain a connection"() {
    const [nc, from] = [await dial(), await dial()];
    let n = 0;
    nc.subscribe("js.drains", { callback: (_, m) => { n++; m.respond("ok"); } });
    await nc.flush();
    const answers = from.subscribe("js.answers");
    for (let i = 0; i < 100; i++) from.publish("js.drains", "", { reply: "js.answers" });
    await from.flush();
    await deadline(nc.drain(), soon);
    assert.equal(n, 100);
    assert.ok(nc.isClosed());
    assert.equal((await take(answers, 100)).length, 100);
    await from.close();
  },

  async "large payload"() {
    const nc = await dial();
    const sub = nc.subscribe("js.large", { max: 1 });
    nc.publish("js.large", new Uint8Array(nc.info.max_payload).fill(7));
    const [m] = await take(sub, 1);
    assert.equal(m.data.length, 1 << 20);
    assert.ok(m.data.every((b) => b === 7));
    await nc.close();
  },

  async rtt() {
    const nc = await dial();
    const ms = await nc.rtt();
    assert.ok(ms >= 0 && ms < soon, `${ms} ms`);
    await nc.close();
  },

  async reconnect() {
    const nc = await dial({ reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1 });
    const id = nc.info.server_id;
    const sub = nc.subscribe("js.again");
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
    assert.notEqual(nc.info.server_id, id);
    await nc.flush(); // the subscription is there again
    const from = await dial();
    from.publish("js.again", "after");
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
