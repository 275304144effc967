// The page's connection to the broker.
import { AuthorizationError, type NatsConnection, type Stats } from "@nats-io/nats-core";
import { connectEdge, discover, transportOf, type TransportName } from "./extra";

export type State = "connecting" | "connected" | "reconnecting" | "disconnected";

/** Login is what the connection form holds. */
export interface Login {
  server: string;
  user: string;
  password: string;
  token: string;
}

/** Watcher is told what happens to the connection. */
export interface Watcher {
  /** state changed; problem says why when it is not a wish of the user. */
  state(state: State, problem: string): void;
  /** opened is called with each new connection, which has no subscriptions yet. */
  opened(nc: NatsConnection): void;
  /** refused is called when the broker wants other credentials. */
  refused(): void;
}

const retryWait = 2000; // milliseconds between attempts
const reconnectWait = 1000;
const none: Stats = { inBytes: 0, inMsgs: 0, outBytes: 0, outMsgs: 0 };

/** origin is the page's own broker. */
export function origin(): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
}

/** Broker keeps one connection, from its first attempt on, until disconnect. */
export class Broker {
  #watcher: Watcher;
  #nc: NatsConnection | undefined;
  #attempt = 0; // what was begun for an older attempt is given up
  #timer = 0;
  #state: State = "disconnected";
  #past: Stats = none; // of earlier connections

  constructor(watcher: Watcher) {
    this.#watcher = watcher;
  }

  /** connection is the open connection; while it reconnects it takes messages too. */
  get connection(): NatsConnection | undefined {
    return this.#nc;
  }

  /** transport is what the connection travels over. */
  get transport(): TransportName | undefined {
    return this.#nc && transportOf(this.#nc);
  }

  get connected(): boolean {
    return this.#state === "connected";
  }

  /** stats sums up all connections. */
  get stats(): Stats {
    const now = this.#nc?.stats() ?? none;
    const p = this.#past;
    return { inBytes: p.inBytes + now.inBytes, inMsgs: p.inMsgs + now.inMsgs, outBytes: p.outBytes + now.outBytes, outMsgs: p.outMsgs + now.outMsgs };
  }

  /** connect replaces the connection by one with login. */
  async connect(login: Login): Promise<void> {
    await this.#end();
    const attempt = this.#attempt;
    this.#set("connecting", "");
    await this.#try(login, attempt);
  }

  async disconnect(): Promise<void> {
    await this.#end();
    this.#set("disconnected", "");
  }

  async #end(): Promise<void> {
    this.#attempt++;
    clearTimeout(this.#timer);
    const old = this.#nc;
    this.#past = this.stats;
    this.#nc = undefined;
    await old?.close();
  }

  async #try(login: Login, attempt: number): Promise<void> {
    let nc: NatsConnection;
    try {
      const server = login.server || origin();
      nc = await connectEdge({
        servers: server, name: "Ganglion page", ignoreClusterUpdates: true,
        maxReconnectAttempts: -1, reconnectTimeWait: reconnectWait, timeout: 10_000, pingInterval: 20_000,
        ...(login.user ? { user: login.user, pass: login.password } : {}), ...(login.token ? { token: login.token } : {}),
        // The policy of this page lets it ask its own broker, and others over TLS.
        ...(server === origin() || server.startsWith("wss:") ? { webtransport: discover } : {}),
      });
    } catch (err) {
      if (attempt !== this.#attempt) return;
      if (err instanceof AuthorizationError || err instanceof Error && err.cause instanceof AuthorizationError) {
        this.#set("disconnected", login.user || login.token ? "The broker refused these credentials." : "The broker asks who you are.");
        this.#watcher.refused();
        return;
      }
      this.#set("reconnecting", `${login.server || origin()} cannot be reached${detail(err)}`);
      this.#timer = window.setTimeout(() => void this.#try(login, attempt), retryWait);
      return;
    }
    if (attempt !== this.#attempt) {
      await nc.close();
      return;
    }
    this.#nc = nc;
    this.#watcher.opened(nc);
    this.#set("connected", "");
    void this.#follow(nc);
    const err = await nc.closed();
    if (this.#nc !== nc) return;
    this.#past = this.stats;
    this.#nc = undefined;
    this.#set("disconnected", `The broker closed the connection${detail(err)}`);
    this.#watcher.refused();
  }

  async #follow(nc: NatsConnection): Promise<void> {
    for await (const s of nc.status()) {
      if (this.#nc !== nc) return;
      switch (s.type) {
        case "disconnect":
        case "reconnecting":
          this.#set("reconnecting", "");
          break;
        case "reconnect":
          this.#set("connected", "");
          break;
        case "ldm":
          this.#set(this.#state, "The broker is about to shut down.");
          break;
        case "error":
          this.#set(this.#state, s.error.message);
          break;
        default:
      }
    }
  }

  #set(state: State, problem: string): void {
    this.#state = state;
    this.#watcher.state(state, problem);
  }
}

function detail(err: unknown): string {
  return err instanceof Error && err.message && err.message !== "undefined" ? `: ${err.message}` : "";
}
