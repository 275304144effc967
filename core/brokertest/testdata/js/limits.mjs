// Checks with the NATS client for JavaScript that it lives with rate limits:
//
//	node limits.mjs throttle host:port drop host:port disconnect host:port
//
// Each broker lets 500 messages a second of a connection through, 50 at once.
// It prints a line per check and ends with a status other than 0 when one
// failed.
import assert from "node:assert/strict";
import { connect, deferred, deadline, delay } from "@nats-io/transport-node";

const soon = 10_000; // milliseconds
const servers = {};
for (let i = 2; i < process.argv.length; i += 2) servers[process.argv[i]] = process.argv[i + 1];

// dial connects, and watches what becomes of the connection.
async function dial(action) {
  const nc = await connect({ servers: servers[action], timeout: soon, reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: 5 });
  const seen = { nc, disconnects: 0, errors: [], back: deferred() };
  (async () => {
    for await (const s of nc.status()) {
      if (s.type === "disconnect") seen.disconnects++;
      if (s.type === "reconnect") seen.back.resolve();
      if (s.type === "error") seen.errors.push(s.error);
    }
  })();
  return seen;
}

const flood = (nc) => {
  for (let i = 0; i < 300; i++) nc.publish("flood");
};

// usable tries a request until it is answered.
async function usable(nc) {
  const until = Date.now() + soon;
  for (;;) {
    try {
      const m = await nc.request("echo", "x", { timeout: 2000 });
      if (m.headers?.code !== 429) {
        assert.equal(m.string(), "x");
        return;
      }
    } catch (err) {
      if (Date.now() > until) throw err;
    }
    assert.ok(!nc.isClosed(), "it gave up");
    await delay(20);
  }
}

const checks = {
  async throttle() {
    const s = await dial("throttle");
    s.nc.subscribe("echo", { callback: (_, m) => m.respond(m.data) });
    flood(s.nc);
    const start = Date.now();
    await deadline(s.nc.flush(), soon);
    assert.ok(Date.now() - start > 300, "300 messages take half a second, 50 being free");
    await usable(s.nc);
    assert.equal(s.disconnects, 0);
    assert.equal(s.errors.length, 0);
    await s.nc.close();
  },

  async drop() {
    const s = await dial("drop");
    s.nc.subscribe("echo", { callback: (_, m) => m.respond(m.data) });
    flood(s.nc);
    const m = await s.nc.request("echo", "x", { timeout: soon }).catch((err) => err);
    assert.equal(m.headers?.code, 429, String(m));
    await usable(s.nc);
    assert.equal(s.disconnects, 0);
    assert.ok(s.errors.length > 0, "it was told");
    assert.ok(s.errors.every((err) => /Permissions Violation for Publish/.test(err.message)), String(s.errors));
    await s.nc.close();
  },

  async disconnect() {
    const s = await dial("disconnect");
    s.nc.subscribe("echo", { callback: (_, m) => m.respond(m.data) });
    flood(s.nc);
    await deadline(s.back, soon);
    await usable(s.nc);
    assert.ok(s.disconnects > 0);
    await s.nc.close();
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
