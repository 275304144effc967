// Checks with the NATS client for JavaScript every way to say who one is:
//
//	node auth.mjs http://host:port
//
// GET /plan there says what to check: the servers, and with which credentials one
// gets in, or not. POST /reload/NAME gives the server of that name its other
// configuration, and answers when it is in force. It prints a line per check and
// ends with a status other than 0 when one failed.
import assert from "node:assert/strict";
import {
  AuthorizationError, connect, credsAuthenticator, deferred, deadline, jwtAuthenticator, nkeyAuthenticator,
  PermissionViolationError, UserAuthenticationExpiredError, wsconnect,
} from "@nats-io/transport-node";
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket; // Node before 22 has none
const soon = 10_000; // milliseconds
const control = process.argv[2];
const plan = await (await fetch(control + "/plan")).json();

const bytes = (text) => new TextEncoder().encode(text);

// options turns credentials of the plan into the client's.
function options(c) {
  if (c.creds) return { authenticator: credsAuthenticator(bytes(c.creds)) };
  if (c.jwt) return { authenticator: jwtAuthenticator(c.jwt, c.seed ? bytes(c.seed) : undefined) };
  if (c.seed) return { authenticator: nkeyAuthenticator(bytes(c.seed)) };
  if (c.token) return { token: c.token };
  return c.user ? { user: c.user, pass: c.pass } : {};
}

const dial = (url, c) => (url.startsWith("ws") ? wsconnect : connect)({
  servers: url, timeout: soon, reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: 50, ...options(c),
});

// watch collects what a connection is told.
function watch(nc) {
  const seen = { errors: [], disconnects: 0, told: deferred() };
  (async () => {
    for await (const s of nc.status()) {
      if (s.type === "disconnect") seen.disconnects++;
      if (s.type === "error") {
        seen.errors.push(s.error);
        seen.told.resolve(s.error);
      }
    }
  })();
  return seen;
}

// own has a connection get its own message back.
async function own(nc, subject) {
  const got = deferred();
  const sub = nc.subscribe(subject, { max: 1, callback: (err, m) => err ? got.reject(err) : got.resolve(m.string()) });
  nc.publish(subject, "hi");
  assert.equal(await deadline(got, soon), "hi");
  sub.unsubscribe();
}

const violation = (err) => err instanceof AuthorizationError && /^'?Authorization Violation'?$/i.test(err.message);

async function reload(name) {
  const answer = await fetch(control + "/reload/" + name, { method: "POST" });
  assert.equal(answer.status, 200, await answer.text());
}

const checks = {};

for (const { name, url, good, bad } of plan.kinds) {
  checks[name + ": let in"] = async () => {
    const nc = await dial(url, good);
    await own(nc, "foo");
    await nc.close();
  };
  for (const [why, c] of Object.entries(bad)) {
    checks[`${name}: refused, ${why}`] = () =>
      assert.rejects(dial(url, c).then((nc) => nc.close()), (err) => violation(err) || assert.fail(`refused with ${err?.name}: ${err?.message}`));
  }
}

// Whose time is over is told so, and with the same credentials let in no more.
for (const { name, url, good } of plan.expiring) {
  checks[name + ": expires"] = async () => {
    // A JWT's times are whole seconds, and it is made for this connection.
    const c = await (await fetch(control + "/credentials/" + encodeURIComponent(name), { method: "POST" })).json();
    const nc = await dial(url, { ...good, ...c });
    const seen = watch(nc);
    const closed = nc.closed();
    const err = await deadline(seen.told, soon);
    assert.ok(err instanceof UserAuthenticationExpiredError, String(err));
    assert.match(err.message, /User Authentication Expired/i);
    const end = await deadline(closed, soon);
    assert.ok(violation(end), `closed with ${end}`);
    assert.ok(nc.isClosed());
    assert.ok(seen.disconnects > 0);
  };
}

// Who is taken away by a reload is told and can't come back; who stays notices
// nothing.
for (const { name, url, good, stays } of plan.removed) {
  checks[name + ": removed by a reload"] = async () => {
    const [nc, other] = [await dial(url, good), await dial(url, stays)];
    const [seen, calm] = [watch(nc), watch(other)];
    await own(nc, "foo");
    const closed = nc.closed();
    await reload(name);
    const err = await deadline(seen.told, soon);
    assert.ok(violation(err), `told ${err}`);
    const end = await deadline(closed, soon);
    assert.ok(violation(end), `closed with ${end}`);
    await own(other, "bar");
    assert.equal(calm.disconnects, 0);
    assert.deepEqual(calm.errors, []);
    await other.close();
  };
}

// Whose permissions a reload changes stays connected and loses those subscriptions
// that they no longer allow.
for (const { name, url, good } of plan.narrowed) {
  checks[name + ": narrowed by a reload"] = async () => {
    const nc = await dial(url, good);
    const seen = watch(nc);
    const cut = deferred();
    const secret = nc.subscribe("secret", { callback: (err, m) => cut.resolve(err ?? m) });
    const kept = deferred();
    const open = nc.subscribe("open", { callback: (err, m) => err ? kept.reject(err) : kept.resolve(m.string()) });
    await nc.flush();
    await reload(name);
    const err = await deadline(cut, soon);
    assert.ok(err instanceof PermissionViolationError, `the subscription had ${err}`);
    assert.equal(err.operation, "subscription");
    assert.equal(err.subject, "secret");
    assert.ok(secret.isClosed());
    nc.publish("secret", "no");
    nc.publish("open", "yes");
    assert.equal(await deadline(kept, soon), "yes");
    assert.equal(open.isClosed(), false);
    await nc.flush();
    assert.equal(secret.getReceived(), 0);
    assert.equal(seen.disconnects, 0);
    assert.equal(nc.isClosed(), false);
    assert.equal(seen.errors.length, 1, String(seen.errors));
    await nc.close();
  };
}

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
