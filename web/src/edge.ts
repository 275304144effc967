// Connections over WebTransport where that works, over WebSocket where not.
//
// nats-core opens a WebSocket for each attempt to connect through a function that
// is an option of the connection. Ours returns an EdgeSocket, which does what
// nats-core asks of a WebSocket over either transport; all else, reconnecting
// too, stays nats-core's.
import { wsconnect, type NatsConnection, type WsConnectionOptions } from "@nats-io/nats-core";
import { WebTransportLink, type Place } from "./webtransport";

export type TransportName = "webtransport" | "websocket";

/** Finder says where the broker behind a WebSocket URL takes WebTransport. */
export type Finder = (url: string, signal: AbortSignal) => Promise<Place | undefined> | Place | undefined;

/** EdgeOptions are those of wsconnect, and what is about WebTransport. */
export interface EdgeOptions extends Omit<WsConnectionOptions, "wsFactory"> {
  /** webtransport is a URL, a place, or asked before each attempt; without it there is WebSocket only. */
  webtransport?: string | Place | Finder;
  /** webtransportTimeout is how many milliseconds an attempt over WebTransport may take, 2500 if not given. */
  webtransportTimeout?: number;
  /** webtransportRetry is for how many milliseconds reconnects do without WebTransport after it failed where WebSocket did not, 60,000 if not given. */
  webtransportRetry?: number;
  /** lanes are subjects: each subscription within one is delivered on a stream of its own, in no order with others. */
  lanes?: string[];
}

const defaultTimeout = 2500;
const defaultRetry = 60_000;

/** Route is what a connection knows of its ways. */
interface Route {
  find: Finder;
  lanes: string[];
  timeout: number;
  retry: number;
  notBefore: number; // for WebTransport, on performance's clock
  now: TransportName; // of the last attempt that got through
}

const routes = new WeakMap<NatsConnection, Route>();

/** connectEdge connects as wsconnect does, over WebTransport if that gets through. */
export async function connectEdge(options: EdgeOptions = {}): Promise<NatsConnection> {
  const { webtransport: at, webtransportTimeout: timeout = defaultTimeout, webtransportRetry: retry = defaultRetry, lanes = [], ...rest } = options;
  if (!at || typeof WebTransport === "undefined") return wsconnect(rest);
  const find: Finder = typeof at === "function" ? at : () => (typeof at === "string" ? { url: at } : at);
  const route: Route = { find, lanes, timeout, retry, notBefore: 0, now: "websocket" };
  const nc = await wsconnect({
    ...rest,
    // Encrypted says how URLs that the broker names are to be understood, which
    // are WebSockets' all the same.
    wsFactory: (url) => Promise.resolve({ socket: new EdgeSocket(url, route) as unknown as WebSocket, encrypted: url.startsWith("wss:") }),
  });
  routes.set(nc, route);
  return nc;
}

/** transportOf says what a connection's current, or last, session travels over. */
export function transportOf(nc: NatsConnection): TransportName {
  return routes.get(nc)?.now ?? "websocket";
}

/**
 * discover asks the broker that serves its page at an origin, or a WebSocket at a
 * URL, where it takes WebTransport. It is a Finder.
 */
export async function discover(server: string = location.origin, signal?: AbortSignal): Promise<Place | undefined> {
  if (typeof WebTransport === "undefined") return undefined;
  const url = new URL("/edge.json", server);
  url.protocol = url.protocol === "wss:" || url.protocol === "https:" ? "https:" : "http:";
  const r = await fetch(url, { cache: "no-store", credentials: "omit", ...(signal ? { signal } : {}) });
  if (!r.ok) return undefined;
  const w = ((await r.json()) as { webtransport?: { host?: string; port: number; path: string; hashes?: string[] } }).webtransport;
  if (!w) return undefined;
  const place: Place = { url: `https://${w.host || url.hostname}:${w.port}${w.path}` };
  if (w.hashes) place.serverCertificateHashes = w.hashes.map((h) => ({ algorithm: "sha-256", value: Uint8Array.from(atob(h), (c) => c.charCodeAt(0)) }));
  return place;
}

/** EdgeSocket is as much of a WebSocket as nats-core needs, over either transport. */
class EdgeSocket {
  binaryType = "arraybuffer";
  onopen: ((ev: unknown) => void) | null = null;
  onmessage: ((ev: { data: ArrayBufferLike | Uint8Array }) => void) | null = null;
  onerror: ((ev: unknown) => void) | null = null;
  onclose: ((ev: { wasClean: boolean; reason: string }) => void) | null = null;
  #link: WebTransportLink | undefined;
  #socket: WebSocket | undefined;
  #gone = new AbortController(); // nobody wants it any more

  constructor(url: string, route: Route) {
    void this.#start(url, route);
  }

  /** bufferedAmount is what close would lose: over WebTransport nothing, it flushes. */
  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  send(b: ArrayBuffer): void {
    if (this.#link) this.#link.send(new Uint8Array(b));
    else this.#socket?.send(b);
  }

  close(): void {
    this.#gone.abort();
    this.#link?.close();
    this.#socket?.close();
  }

  async #start(url: string, route: Route): Promise<void> {
    const tried = performance.now() >= route.notBefore;
    if (tried && await this.#webTransport(url, route)) return;
    if (this.#gone.signal.aborted) this.#closed("");
    else this.#webSocket(url, route, tried);
  }

  /** webTransport reports whether there is a link now. */
  async #webTransport(url: string, route: Route): Promise<boolean> {
    try {
      const signal = AbortSignal.any([this.#gone.signal, AbortSignal.timeout(route.timeout)]);
      const place = await Promise.race([route.find(url, signal), aborted(signal)]);
      if (!place) return false;
      this.#link = await WebTransportLink.open(place, route.lanes, signal, {
        // nats-core makes an array of a buffer, and copies what is a part of one.
        data: (b) => this.onmessage?.({ data: b.byteLength === b.buffer.byteLength ? b.buffer : b }),
        ended: (why) => this.#closed(why),
      });
      if (this.#gone.signal.aborted) this.#link.close();
      route.now = "webtransport";
      this.onopen?.({});
      return true;
    } catch {
      return false; // WebSocket may work; if not, its error counts
    }
  }

  #webSocket(url: string, route: Route, tried: boolean): void {
    const socket = this.#socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = (ev) => {
      route.now = "websocket";
      // Where nothing gets through the broker is away, which says nothing of WebTransport.
      if (tried) route.notBefore = performance.now() + route.retry;
      this.onopen?.(ev);
    };
    socket.onmessage = (ev) => this.onmessage?.(ev);
    socket.onerror = (ev) => this.onerror?.(ev);
    socket.onclose = (ev) => this.onclose?.(ev);
  }

  #closed(reason: string): void {
    this.onclose?.({ wasClean: reason === "", reason });
  }
}

/** aborted fails when signal is aborted. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason), { once: true }));
}
