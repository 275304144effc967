// NATS over WebTransport: the mapping of listeners/quic/doc.go, as browsers can
// speak it. One session is one connection.
import { codeText } from "./codes";
import { join, OpSplitter } from "./ops";

/** Place is where a broker takes WebTransport. */
export interface Place {
  /** url is https://, with the port and path of the broker. */
  url: string;
  /** serverCertificateHashes has browsers take a certificate that they do not know: ECDSA, for 14 days at most. */
  serverCertificateHashes?: WebTransportHash[];
}

/** Events is told what a link receives. Nothing is called before open has returned. */
export interface Events {
  /** data is called with what was read, which with lanes is always whole ops. */
  data(b: Uint8Array): void;
  /** ended is called once, after the last data; why is "" when nobody has to be told. */
  ended(why: string): void;
}

const version = 1;
const flagLanes = 1;
const headLength = 3; // of a lane: version, number
const maxWrite = 64 << 10; // bytes that small frames are joined to
const closeWait = 1000; // milliseconds for what is left to be acknowledged
const codeWait = 200; // milliseconds that a code may be behind the end of a stream

/** preamble is what a connection's stream begins with. */
function preamble(number: number | undefined): Uint8Array {
  const magic = [0x4e, 0x41, 0x54, 0x53]; // NATS
  return number === undefined ? Uint8Array.of(...magic, version, 0) : Uint8Array.of(...magic, version, flagLanes, number >> 8, number & 0xff);
}

/** withLanes adds the subjects of lanes to a CONNECT line, and leaves other frames alone. */
export function withLanes(frame: Uint8Array, lanes: string[]): Uint8Array {
  const begin = "CONNECT {";
  if (new TextDecoder().decode(frame.subarray(0, begin.length)) !== begin) return frame;
  const names = new TextEncoder().encode(`${begin}"lanes":${JSON.stringify(lanes)},`);
  return join([names, frame.subarray(begin.length)]);
}

/** WebTransportLink is one NATS connection over WebTransport. */
export class WebTransportLink {
  #session: WebTransport;
  #lanes: string[];
  #number: number | undefined; // names this connection in its lanes
  #events: Events;
  #writer!: WritableStreamDefaultWriter<Uint8Array>;
  #reader!: ReadableStreamDefaultReader<Uint8Array>;
  #out: Uint8Array[] = []; // not yet written
  #pumping: Promise<void> | undefined;
  #greeted = false; // CONNECT is written
  #closing = false;
  #ended = false;
  #tail: Uint8Array = new Uint8Array(0); // what was read last

  private constructor(place: Place, lanes: string[], events: Events) {
    const { url, ...options } = place;
    this.#session = new WebTransport(url, options);
    this.#session.closed.catch(ignore); // who reads and writes sees it
    this.#lanes = lanes;
    this.#number = lanes.length > 0 ? crypto.getRandomValues(new Uint16Array(1))[0] : undefined;
    this.#events = events;
  }

  /**
   * open connects to place and waits for the first bytes of INFO, until signal is
   * aborted. Subscriptions within lanes, subjects, are delivered on streams of
   * their own.
   */
  static async open(place: Place, lanes: string[], signal: AbortSignal, events: Events): Promise<WebTransportLink> {
    signal.throwIfAborted();
    const link = new WebTransportLink(place, lanes, events);
    const abort = (): void => link.#session.close();
    signal.addEventListener("abort", abort, { once: true });
    try {
      const info = await link.#greet();
      signal.throwIfAborted();
      setTimeout(() => void link.#run(info)); // open's caller comes first
      return link;
    } catch (err) {
      link.#session.close();
      throw signal.aborted ? signal.reason : err;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  async #greet(): Promise<Uint8Array> {
    await this.#session.ready;
    const stream = await this.#session.createBidirectionalStream();
    this.#writer = (stream.writable as WritableStream<Uint8Array>).getWriter();
    this.#reader = (stream.readable as ReadableStream<Uint8Array>).getReader();
    this.#writer.closed.catch(ignore);
    this.#reader.closed.catch(ignore);
    this.#writer.write(preamble(this.#number)).catch(ignore); // reading fails too
    const { done, value } = await this.#reader.read();
    if (done) throw new Error("the broker ended the stream before INFO");
    return value;
  }

  async #run(info: Uint8Array): Promise<void> {
    const receive = (b: Uint8Array): void => {
      this.#tail = b;
      if (!this.#ended) this.#events.data(b);
    };
    let take = receive;
    if (this.#number !== undefined) {
      const ops = new OpSplitter(receive);
      take = (b) => ops.push(b);
      void this.#accept();
    }
    try {
      for (let b: Uint8Array | undefined = info; b; b = (await this.#reader.read()).value) take(b);
      this.#end(await this.#reason());
    } catch (err) {
      this.#end(text(err));
    }
  }

  /** reason says why the broker has ended the stream. */
  async #reason(): Promise<string> {
    if (this.#closing || saysWhy(this.#tail)) return "";
    const told = await Promise.race([
      this.#session.closed.then((info) => info.reason || codeText(info.closeCode ?? 0), text),
      this.#writer.closed.then(() => "", text), // STOP_SENDING and its code
      delay(codeWait),
    ]);
    return told || "closed by the broker";
  }

  /** accept takes lanes. */
  async #accept(): Promise<void> {
    const lanes = (this.#session.incomingUnidirectionalStreams as ReadableStream<ReadableStream<Uint8Array>>).getReader();
    try {
      for (let lane = await lanes.read(); !lane.done; lane = await lanes.read()) void this.#lane(lane.value.getReader());
    } catch {
      // The session has ended, which run sees.
    }
  }

  async #lane(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const ops = new OpSplitter((b) => {
      if (!this.#ended) this.#events.data(b);
    });
    let head: Uint8Array | undefined = new Uint8Array(0);
    try {
      for (let r = await reader.read(); !r.done; r = await reader.read()) {
        let b = r.value;
        if (head) {
          head = join([head, b]);
          if (head.length < headLength) continue;
          if (head[0] !== version || ((head[1] ?? 0) << 8 | (head[2] ?? 0)) !== this.#number) throw new Error("a lane with a strange head");
          b = head.subarray(headLength);
          head = undefined;
        }
        if (b.length > 0) ops.push(b);
      }
      if (head || ops.within) throw new Error("a lane that ends amid a message");
    } catch (err) {
      if (err instanceof WebTransportError) return; // it was reset: what was on it is lost, as with a slow consumer
      this.#end(text(err));
    }
  }

  /** send writes b behind what was sent before, as fast as the broker takes it. */
  send(b: Uint8Array): void {
    if (this.#closing || this.#ended) return;
    if (!this.#greeted) {
      this.#greeted = true;
      if (this.#lanes.length > 0) b = withLanes(b, this.#lanes);
    }
    this.#out.push(b);
    this.#pumping ??= this.#pump();
  }

  async #pump(): Promise<void> {
    try {
      await this.#writer.ready;
      while (this.#out.length > 0) {
        let n = 0;
        let bytes = 0;
        do bytes += this.#out[n++]?.length ?? 0;
        while (n < this.#out.length && bytes + (this.#out[n]?.length ?? 0) <= maxWrite);
        this.#writer.write(join(this.#out.splice(0, n))).catch(ignore); // ready fails too
        await this.#writer.ready;
      }
    } catch {
      this.#out = []; // the broker has ended it; reading says why
    } finally {
      this.#pumping = undefined;
    }
  }

  /** close ends the connection when what was sent is acknowledged, or a second later. */
  close(): void {
    if (this.#closing || this.#ended) return;
    this.#closing = true;
    const flushed = (async () => {
      await this.#pumping;
      await this.#writer.close();
    })();
    void Promise.race([flushed.catch(ignore), delay(closeWait)]).then(() => this.#end(""));
  }

  #end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session.close();
    if (this.#closing || saysWhy(this.#tail)) why = "";
    setTimeout(() => this.#events.ended(why)); // behind those who are handling data
  }
}

/** saysWhy reports whether b ends with -ERR, which says more than a code. */
function saysWhy(b: Uint8Array): boolean {
  return /(^|\n)-ERR [^\n]*\n$/.test(new TextDecoder().decode(b.subarray(-1024)));
}

function text(err: unknown): string {
  if (err instanceof WebTransportError && err.streamErrorCode) return codeText(err.streamErrorCode);
  return err instanceof Error || err instanceof DOMException ? err.message : String(err);
}

function delay(ms: number): Promise<string> {
  return new Promise((done) => setTimeout(() => done(""), ms));
}

function ignore(): void {}
