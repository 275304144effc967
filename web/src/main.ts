// The page: it connects the panels to one connection.
import type { NatsConnection } from "@nats-io/nats-core";
import { Broker, origin, type Login, type State } from "./broker";
import { showDetail } from "./detail";
import { byId, setText } from "./dom";
import { count, millis } from "./format";
import { List } from "./list";
import { Log, type Entry } from "./log";
import { Publisher } from "./publish";
import { Rates } from "./rates";
import { Subs } from "./subs";
import { themeButton } from "./theme";

const names: Record<State, string> = { connecting: "Connecting", connected: "Connected", reconnecting: "Reconnecting", disconnected: "Disconnected" };
const transports = { webtransport: "WebTransport", websocket: "WebSocket" };
const input = (id: string): HTMLInputElement => byId<HTMLInputElement>(id);

themeButton(byId("theme"), byId("theme-name"));
const login = (): Login => ({ server: input("server").value.trim(), user: input("user").value, password: input("password").value, token: input("token").value });
input("server").placeholder = origin();

// The messages.
const log = new Log();
let missed = 0; // while paused
let paused = false;
const list = new List(log, choose);
const subs = new Subs(log, () => {
  if (paused) missed++;
  return !paused;
}, list.refresh);

function choose(e: Entry | undefined): void {
  showDetail(e, (reply) => publisher.answer(reply), () => {
    list.select(undefined);
    byId("list").focus();
  });
}

function pause(on: boolean): void {
  paused = on;
  missed = 0;
  byId("pause").setAttribute("aria-pressed", String(on));
  setText(byId("pause"), on ? "Resume" : "Pause");
}
byId("pause").addEventListener("click", () => pause(!paused));
byId("clear").addEventListener("click", () => {
  log.clear();
  list.select(undefined);
});

// The connection.
const broker = new Broker({
  state(state, problem) {
    byId("status").dataset.state = state;
    setText(byId("status-text"), names[state]);
    setText(byId("notice"), problem);
    byId("notice").hidden = problem === "";
    byId<HTMLButtonElement>("disconnect").disabled = state === "disconnected";
    showServer(broker.connection);
  },
  opened(nc) {
    subs.attach(nc);
  },
  refused() {
    byId<HTMLDetailsElement>("connection").open = true;
    input("user").focus();
  },
});
const publisher = new Publisher(() => (broker.connected ? broker.connection : undefined));

function showServer(nc: NatsConnection | undefined): void {
  const info = broker.connected ? nc?.info : undefined;
  const name = info?.server_name ?? "–";
  setText(byId("fact-server"), name);
  byId("fact-server").title = info ? `${name}, id ${info.server_id}` : "";
  setText(byId("fact-version"), info?.version ?? "–");
  setText(byId("fact-transport"), info && broker.transport ? transports[broker.transport] : "–");
  if (!info) setText(byId("fact-rtt"), "–");
  else void measure();
}

async function measure(): Promise<void> {
  const nc = broker.connection;
  if (!nc || !broker.connected) return;
  try {
    const ms = await nc.rtt();
    if (nc === broker.connection && broker.connected) setText(byId("fact-rtt"), millis(ms));
  } catch {
    // It went down meanwhile, which its state says.
  }
}

byId("connect-form").addEventListener("submit", (ev) => {
  ev.preventDefault();
  void broker.connect(login());
});
byId("disconnect").addEventListener("click", () => void broker.disconnect());

// What goes on by itself.
const rates = new Rates();
setInterval(() => {
  rates.sample(broker.stats, performance.now());
  if (paused) setText(byId("pause"), missed > 0 ? `Resume (${count(missed)} missed)` : "Resume");
}, 1000);
setInterval(() => {
  if (!document.hidden) void measure();
}, 5000);
let told = 0;
setInterval(() => { // for screen readers: not each message, but that there are some
  if (log.last > told) setText(byId("spoken"), `${count(log.last - told)} new messages`);
  told = log.last;
}, 10_000);

document.addEventListener("keydown", (ev) => {
  const typing = ev.target instanceof HTMLElement && ev.target.matches("input, textarea, select");
  if (ev.key === "Escape" && !byId("detail").hidden) {
    list.select(undefined);
    byId("list").focus();
    return;
  }
  if (typing || ev.ctrlKey || ev.metaKey || ev.altKey) return;
  if (ev.key === "/") {
    ev.preventDefault();
    input("filter").focus();
  } else if (ev.key === "p") {
    pause(!paused);
  }
});

void broker.connect(login());
